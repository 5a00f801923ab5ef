#include "core/query.h"

#include "base/buffer.h"
#include "base/json.h"
#include "base/text.h"
#include "core/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WHERE_MAX = 32, CANDIDATES_SHOWN = 5 };

static comrade_status copy_where(struct query *query, const comrade_query *from,
                                 comrade_error *error)
{
    if (from->n_where > WHERE_MAX) {
        return comrade_error_set(error, COMRADE_TOO_LARGE,
                                 "the query has %zu conditions; at most %d are allowed",
                                 from->n_where, WHERE_MAX);
    }
    query->where = calloc(from->n_where * 2 + 1, sizeof *query->where);
    if (query->where == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for a query");
    }
    for (size_t i = 0; i < from->n_where; i++) {
        const comrade_where *where = &from->where[i];
        if (where->key == NULL || where->key[0] == '\0' || where->value == NULL) {
            return comrade_error_set(error, COMRADE_INVALID,
                                     "condition %zu of the query needs a key and a value", i + 1);
        }
        query->where[2 * i] = strdup(where->key);
        query->where[2 * i + 1] = strdup(where->value);
        query->n_where++;
        if (query->where[2 * i] == NULL || query->where[2 * i + 1] == NULL) {
            return comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for a query");
        }
    }
    return COMRADE_OK;
}

comrade_status query_init(struct query *query, const comrade_query *from, comrade_error *error)
{
    struct query copy = {0};
    comrade_status status = COMRADE_OK;
    if (from != NULL) {
        copy.alive = from->alive;
        copy.healthy = from->healthy;
        copy.stale = from->stale;
        copy.available = from->available;
        if (from->role != NULL) {
            status = limits_check_role(from->role, error);
            copy.role = status == COMRADE_OK ? strdup(from->role) : NULL;
            if (status == COMRADE_OK && copy.role == NULL) {
                status = comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for a query");
            }
        }
        if (status == COMRADE_OK) {
            status = copy_where(&copy, from, error);
        }
    }
    if (status != COMRADE_OK) {
        query_finish(&copy);
        return status;
    }
    *query = copy;
    return COMRADE_OK;
}

void query_finish(struct query *query)
{
    free(query->role);
    for (size_t i = 0; i < query->n_where * 2; i++) {
        free(query->where[i]);
    }
    free(query->where);
    *query = (struct query){0};
}

static bool filter_allows(comrade_filter filter, bool fact)
{
    switch (filter) {
    case COMRADE_ANY:
        return true;
    case COMRADE_YES:
        return fact;
    case COMRADE_NO:
        return !fact;
    }
    return false;
}

static bool metadata_matches(const comrade_record *record, const char *key, const char *value)
{
    json_t *metadata =
        json_object_parse("metadata", record->own.metadata, strlen(record->own.metadata), NULL);
    const json_t *field = json_object_get(metadata, key);
    char *text = field == NULL ? NULL : json_to_plain_text(field);
    bool is_equal = text != NULL && strcmp(text, value) == 0;
    free(text);
    json_decref(metadata);
    return is_equal;
}

static bool where_matches(const comrade_record *record, const char *key, const char *value)
{
    char pid[24];
    snprintf(pid, sizeof pid, "%lld", (long long)record->own.pid);
    const struct {
        const char *key;
        const char *value;
    } fields[] = {
        {"id", record->id},
        {"role", record->role},
        {"state", comrade_state_name(record->own.state)},
        {"host", record->own.host},
        {"pid", pid},
        {"version", record->own.version},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (strcmp(fields[i].key, key) == 0) {
            return strcmp(fields[i].value, value) == 0;
        }
    }
    return metadata_matches(record, key, value);
}

bool query_matches(const struct query *query, const comrade_record *record, int64_t now_ms,
                   int64_t call_timeout_ms, enum verdict verdict)
{
    if (query->role != NULL && strcmp(query->role, record->role) != 0) {
        return false;
    }
    if (!filter_allows(query->alive, health_is_alive(record)) ||
        !filter_allows(query->healthy, health_is_healthy(record, now_ms, verdict)) ||
        !filter_allows(query->stale, health_is_stale(record, now_ms)) ||
        !filter_allows(query->available,
                       health_is_available(record, now_ms, call_timeout_ms, verdict))) {
        return false;
    }
    for (size_t i = 0; i < query->n_where; i++) {
        if (!where_matches(record, query->where[2 * i], query->where[2 * i + 1])) {
            return false;
        }
    }
    return true;
}

static comrade_status not_found(const char *const *ids, size_t n_ids, const char *text,
                                comrade_error *error)
{
    const char *nearest = text_nearest(text, ids, n_ids);
    if (nearest != NULL) {
        return comrade_error_set(error, COMRADE_NOT_FOUND, "no member \"%s\"; did you mean \"%s\"?",
                                 text, nearest);
    }
    return comrade_error_set(error, COMRADE_NOT_FOUND, "no member \"%s\"", text);
}

static comrade_status ambiguous(const char *const *ids, size_t n_ids, const char *text,
                                size_t n_found, comrade_error *error)
{
    struct buffer candidates;
    buffer_init(&candidates, COMRADE_ERROR_MESSAGE_SIZE);
    size_t n_shown = 0;
    for (size_t i = 0; n_shown < CANDIDATES_SHOWN && i < n_ids; i++) {
        if (strncmp(ids[i], text, strlen(text)) == 0) {
            buffer_append_format(&candidates, "%s%s", n_shown == 0 ? "" : ", ", ids[i]);
            n_shown++;
        }
    }
    comrade_error_set(error, COMRADE_AMBIGUOUS, "\"%s\" fits %zu members: %s%s", text, n_found,
                      buffer_text(&candidates), n_found > n_shown ? ", …" : "");
    buffer_finish(&candidates);
    return COMRADE_AMBIGUOUS;
}

comrade_status query_find_text(const char *const *ids, size_t n_ids, const char *text,
                               bool accept_prefix, size_t *index, comrade_error *error)
{
    size_t n_found = 0;
    size_t found = 0;
    for (size_t i = 0; i < n_ids; i++) {
        if (strcmp(ids[i], text) == 0) {
            *index = i;
            return COMRADE_OK;
        }
        if (accept_prefix && strncmp(ids[i], text, strlen(text)) == 0) {
            found = i;
            n_found++;
        }
    }
    if (n_found == 0) {
        return not_found(ids, n_ids, text, error);
    }
    if (n_found > 1) {
        return ambiguous(ids, n_ids, text, n_found, error);
    }
    *index = found;
    return COMRADE_OK;
}

comrade_status query_find_id(const struct snapshot *snapshot, const char *text, bool accept_prefix,
                             const comrade_record **record, comrade_error *error)
{
    size_t index = 0;
    const char **ids = calloc(snapshot->n_records + 1, sizeof *ids);
    if (ids == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for the members' ids");
    }
    for (size_t i = 0; i < snapshot->n_records; i++) {
        ids[i] = snapshot->records[i].id;
    }
    comrade_status status =
        query_find_text(ids, snapshot->n_records, text, accept_prefix, &index, error);
    free(ids);
    if (status == COMRADE_OK) {
        *record = &snapshot->records[index];
    }
    return status;
}
