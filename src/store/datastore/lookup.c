/*
 * Keys, and the reading of what they name. A lookup shows one moment of all that it reads: where it
 * takes several requests, those behind the first read as of its time, or in its transaction.
 */
#include "store/datastore/internal.h"
#include "store/datastore/value.h"

#include "base/env.h"

#include <stdlib.h>
#include <string.h>

enum { PAUSE_MS = 10, PAUSE_DOUBLINGS = 5, DEFERRALS_MAX = 100, COLLISIONS_MAX = 6 };

json_t *datastore_partition(const comrade_store *store)
{
    const struct place *place = &store->place;
    json_t *partition = json_pack("{s:s}", "projectId", place->project);
    partition =
        value_with(partition, "databaseId", place->database[0] == '\0' ? NULL : place->database);
    return value_with(partition, "namespaceId",
                      place->name_space[0] == '\0' ? NULL : place->name_space);
}

json_t *datastore_key(const comrade_store *store, const char *suffix, const char *name)
{
    return json_pack("{s:o,s:[{s:s+,s:o}]}", "partitionId", datastore_partition(store), "path",
                     "kind", store->place.kind, suffix, "name", datastore_name(name));
}

/* __…__, and any number of blanks behind it. */
static bool is_like_reserved(const char *name, size_t len)
{
    while (len > 0 && name[len - 1] == ' ') {
        len--;
    }
    return len >= 4 && memcmp(name, "__", 2) == 0 && memcmp(name + len - 2, "__", 2) == 0;
}

json_t *datastore_name(const char *name)
{
    return is_like_reserved(name, strlen(name)) ? json_sprintf("%s ", name) : json_string(name);
}

bool datastore_restore_name(json_t *result)
{
    json_t *entity = json_object_get(result, "entity");
    json_t *path = json_object_get(json_object_get(entity, "key"), "path");
    json_t *last = json_array_get(path, 0);
    const char *name = datastore_key_name(json_object_get(entity, "key"));
    size_t len = name == NULL ? 0 : strlen(name);
    bool is_changed = len > 0 && name[len - 1] == ' ' && is_like_reserved(name, len);
    return !is_changed || json_object_set_new(last, "name", json_stringn(name, len - 1)) == 0;
}

const char *datastore_key_name(const json_t *key)
{
    const json_t *path = json_object_get(key, "path");
    return json_array_size(path) != 1
               ? NULL
               : json_string_value(json_object_get(json_array_get(path, 0), "name"));
}

/* The next keys, as many as one request takes. NULL: out of memory. */
static json_t *next_keys(json_t *keys)
{
    json_t *some = json_array();
    bool is_done = some != NULL;
    for (size_t n = 0; n < DATASTORE_KEYS_MAX && json_array_size(keys) > 0 && is_done; n++) {
        size_t last = json_array_size(keys) - 1;
        is_done = json_array_append(some, json_array_get(keys, last)) == 0;
        json_array_remove(keys, last);
    }
    if (!is_done) {
        json_decref(some);
        return NULL;
    }
    return some;
}

json_t *datastore_read_options(const char *moment)
{
    return moment[0] == '\0' ? json_pack("{s:s}", "readConsistency", "STRONG")
                             : json_pack("{s:s}", "readTime", moment);
}

void datastore_note_moment(char moment[DATASTORE_MOMENT_SIZE], const json_t *answer)
{
    const char *read_time = api_text(answer, "readTime");
    if (moment[0] == '\0' && strlen(read_time) < DATASTORE_MOMENT_SIZE) {
        memcpy(moment, read_time, strlen(read_time) + 1);
    }
}

static json_t *read_options(char **transaction, const char *moment)
{
    if (transaction == NULL) {
        return datastore_read_options(moment);
    }
    return *transaction == NULL ? json_pack("{s:{s:{}}}", "newTransaction", "readWrite")
                                : json_pack("{s:s}", "transaction", *transaction);
}

/* False: out of memory. */
static bool take_found(json_t *results, json_t *found)
{
    size_t i;
    json_t *result;
    bool is_done = true;
    json_array_foreach(results, i, result)
    {
        is_done =
            is_done && datastore_restore_name(result) && json_array_append(found, result) == 0;
    }
    return is_done;
}

static comrade_status look_up_some(comrade_store *store, const comrade_call *call, const char *what,
                                   json_t *keys, char **transaction,
                                   char moment[DATASTORE_MOMENT_SIZE], json_t *found,
                                   comrade_error *error)
{
    json_t *body = json_pack("{s:o,s:o}", "keys", next_keys(keys), "readOptions",
                             read_options(transaction, moment));
    struct api_request request = {.body = NULL};
    comrade_status status = COMRADE_OK;
    bool may_repeat = transaction == NULL || *transaction == NULL; /* else it is over */
    unsigned n = 0;
    do {
        api_finish(&request);
        status = api_ask(store, call, what, false, "lookup", json_incref(body), &request, error);
    } while (request.code == API_ABORTED && may_repeat && n < COLLISIONS_MAX &&
             datastore_pause(call, n++));
    json_decref(body);
    if (status == COMRADE_OK && request.code != API_OK) {
        status = datastore_explain(store, call, what, false, &request, error);
    }
    bool is_done = true;
    if (status == COMRADE_OK) {
        json_t *deferred = json_object_get(request.answer, "deferred");
        const char *begun = api_text(request.answer, "transaction");
        if (transaction != NULL && *transaction == NULL && begun[0] != '\0') {
            *transaction = strdup(begun);
            is_done = *transaction != NULL;
        }
        is_done = is_done && take_found(json_object_get(request.answer, "found"), found) &&
                  (deferred == NULL || json_array_extend(keys, deferred) == 0);
        datastore_note_moment(moment, request.answer);
    }
    api_finish(&request);
    return is_done ? status : datastore_no_memory(store, what, error);
}

comrade_status datastore_look_up(comrade_store *store, const comrade_call *call, const char *what,
                                 json_t *keys, char **transaction, json_t *found,
                                 comrade_error *error)
{
    comrade_status status =
        keys == NULL || found == NULL ? datastore_no_memory(store, what, error) : COMRADE_OK;
    size_t limit = json_array_size(keys) / DATASTORE_KEYS_MAX + DEFERRALS_MAX;
    char moment[DATASTORE_MOMENT_SIZE] = "";
    for (size_t n = 0; json_array_size(keys) > 0 && status == COMRADE_OK; n++) {
        status = n == limit
                     ? comrade_error_set(error, COMRADE_UNAVAILABLE,
                                         "%s: %s: the server puts it off again and again",
                                         store->shown_url, what)
                     : look_up_some(store, call, what, keys, transaction, moment, found, error);
    }
    json_decref(keys);
    return status;
}

void datastore_roll_back(comrade_store *store, const comrade_call *call, char *transaction)
{
    if (transaction == NULL) {
        return;
    }
    json_t *body = json_pack("{s:s}", "transaction", transaction);
    struct api_request request;
    comrade_status status =
        api_ask(store, call, "end a transaction", false, "rollback", body, &request, NULL);
    bool is_reached = status == COMRADE_OK || request.http_status != 0;
    api_finish(&request);
    char *ended = is_reached ? transaction : store->orphan;
    store->orphan = is_reached ? store->orphan : transaction;
    free(ended);
}

bool datastore_pause(const comrade_call *call, unsigned attempt)
{
    unsigned doublings = attempt < PAUSE_DOUBLINGS ? attempt : PAUSE_DOUBLINGS;
    int64_t longest_ms = (int64_t)PAUSE_MS << doublings;
    comrade_call pause = *call;
    pause.deadline_ms =
        call->now_ms(call->clock) + env_random_between(&env_system, longest_ms / 2, longest_ms);
    if (pause.deadline_ms < call->deadline_ms) {
        comrade_call_wait(&pause, -1, 0);
        return !comrade_call_is_over(call);
    }
    return false;
}
