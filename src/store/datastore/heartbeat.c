/*
 * Heartbeats: one commit for up to 500 of them, which writes `updated` alone, and each only at the
 * version that is kept of its record. A record that somebody has changed since is left as it is,
 * and said to be: it is looked up, and written at the version that it has now. So a heartbeat can
 * undo nothing, and reads nothing where nothing has changed.
 *
 * The bodies are put together as text: there may be ten thousand mutations, all of one form.
 */
#include "store/datastore/beat.h"
#include "store/datastore/value.h"

#include "base/env.h"

#include <stdlib.h>
#include <string.h>

enum {
    ATTEMPTS_MAX = 8,
    FREE_ATTEMPTS_MAX = 4, /* without a lock */
    LOCKED_MAX = 16,       /* more than these are not changed by others, but refused */
    BODY_LIMIT = 16 << 20,
};

/* --- One commit --------------------------------------------------------------------------------
 */

/* Texts that all mutations share. */
struct form {
    struct buffer before_name; /* {"update":{"key":… "name": */
    struct buffer after_name;  /* }]},"properties":… ,"baseVersion":" */
    struct buffer end;         /* "} */
};

static void form_finish(struct form *form)
{
    buffer_finish(&form->before_name);
    buffer_finish(&form->after_name);
    buffer_finish(&form->end);
}

/* False: out of memory. */
static bool form_make(const comrade_store *store, int64_t now_ms, struct form *form)
{
    buffer_init(&form->before_name, BODY_LIMIT);
    buffer_init(&form->after_name, BODY_LIMIT);
    buffer_init(&form->end, BODY_LIMIT);
    json_t *partition_object = datastore_partition(store);
    json_t *kind_text = json_string(store->place.kind);
    char *partition = value_dump(partition_object);
    char *kind = value_dump(kind_text);
    bool is_done =
        partition != NULL && kind != NULL &&
        buffer_append_format(&form->before_name,
                             "{\"update\":{\"key\":{\"partitionId\":%s,\"path\":[{\"kind\":%s,"
                             "\"name\":",
                             partition, kind) &&
        buffer_append_format(&form->after_name,
                             "}]},\"properties\":{\"" ENTITY_UPDATED
                             "\":{\"integerValue\":\"%lld\","
                             "\"excludeFromIndexes\":true}}},\"propertyMask\":{\"paths\":"
                             "[\"" ENTITY_UPDATED "\"]},%s\"baseVersion\":\"",
                             (long long)now_ms,
                             store->knows.transforms
                                 ? "\"propertyTransforms\":[{\"property\":\"" ENTITY_SERVER_UPDATED
                                   "\",\"setToServerValue\":\"REQUEST_TIME\"}],"
                                 : "") &&
        buffer_append_text(&form->end, "\"}");
    json_decref(partition_object);
    json_decref(kind_text);
    free(partition);
    free(kind);
    return is_done;
}

static bool append_mutation(struct buffer *body, const struct form *form,
                            const struct kept_record *record)
{
    json_t *id = datastore_name(record->id);
    char *name = value_dump(id);
    bool is_done = name != NULL &&
                   buffer_append(body, buffer_text(&form->before_name), form->before_name.len) &&
                   buffer_append_text(body, name) &&
                   buffer_append(body, buffer_text(&form->after_name), form->after_name.len) &&
                   buffer_append_format(body, "%lld", (long long)record->version) &&
                   buffer_append(body, buffer_text(&form->end), form->end.len);
    json_decref(id);
    free(name);
    return is_done;
}

/* The commit of `n` beats, all of which are kept. NULL: out of memory. */
static char *commit_of(const struct beating *beating, const struct form *form, const size_t *which,
                       size_t n)
{
    const comrade_store *store = beating->store;
    struct buffer body;
    buffer_init(&body, BODY_LIMIT);
    bool is_done = buffer_append_text(&body, "{\"mode\":\"NON_TRANSACTIONAL\",");
    if (store->place.database[0] != '\0') {
        is_done =
            is_done && buffer_append_format(&body, "\"databaseId\":\"%s\",", store->place.database);
    }
    is_done = is_done && buffer_append_text(&body, "\"mutations\":[");
    for (size_t i = 0; i < n && is_done; i++) {
        const struct kept_record *record = kept_find(&store->kept, beating->beats[which[i]].id);
        is_done =
            (i == 0 || buffer_append_text(&body, ",")) && append_mutation(&body, form, record);
    }
    is_done = is_done && buffer_append_text(&body, "]}");
    char *text = is_done ? buffer_take(&body) : NULL;
    buffer_finish(&body);
    return text;
}

/* --- What came of it ---------------------------------------------------------------------------
 */

static void settle(struct beating *beating, size_t i, struct kept_record *record, int64_t now_ms)
{
    record->used_ms = now_ms;
    beating->results[i] = (comrade_beat_result){.status = COMRADE_OK,
                                                .own_sequence = record->sequence,
                                                .request_revision = record->request_revision};
    beating->is_settled[i] = true;
}

/* When the server says it was: as it has noted it down itself. */
static void take_time(struct beating *beating, const json_t *result)
{
    const json_t *times = json_object_get(result, "transformResults");
    int64_t time_ms = datastore_time_ms(api_text(json_array_get(times, 0), "timestampValue"));
    if (time_ms > beating->now_ms) {
        beating->now_ms = time_ms;
    }
}

static void take_answer(struct beating *beating, const struct api_request *request,
                        const size_t *which, size_t n, int64_t now_ms)
{
    const json_t *results = json_object_get(request->answer, "mutationResults");
    for (size_t i = 0; i < n; i++) {
        struct kept_record *record = kept_find(&beating->store->kept, beating->beats[which[i]].id);
        const json_t *result = json_array_get(results, i);
        if (request->code == API_ABORTED) {
            continue; /* as it was */
        }
        if (request->code == API_OK && !json_is_true(json_object_get(result, "conflictDetected"))) {
            take_time(beating, result);
            record->version = api_number(result, "version");
            settle(beating, which[i], record, now_ms);
        } else {
            record->version = 0; /* changed, or one of them is gone, and nobody says which */
        }
    }
}

/* Commits those that are not settled, all of which are kept. */
static comrade_status commit_round(struct beating *beating, const comrade_call *call,
                                   comrade_error *error)
{
    comrade_store *store = beating->store;
    size_t n = beating_unsettled(beating);
    size_t n_requests = (n + DATASTORE_MUTATIONS_MAX - 1) / DATASTORE_MUTATIONS_MAX;
    struct api_request *requests = calloc(n_requests + 1, sizeof *requests);
    struct form form;
    int64_t now_ms = datastore_now_ms(store, call);
    bool is_done = form_make(store, now_ms, &form) && requests != NULL;
    beating->now_ms = store->knows.transforms ? beating->now_ms : now_ms;
    for (size_t i = 0; i < n_requests && is_done; i++) {
        size_t from = i * DATASTORE_MUTATIONS_MAX;
        size_t size = n - from < DATASTORE_MUTATIONS_MAX ? n - from : DATASTORE_MUTATIONS_MAX;
        requests[i].method = "commit";
        requests[i].body = commit_of(beating, &form, beating->unsettled + from, size);
        is_done = requests[i].body != NULL;
    }
    comrade_status status =
        is_done ? api_perform(store, call, "heartbeat", false, requests, n_requests, error)
                : datastore_no_memory(store, "heartbeat", error);
    for (size_t i = 0; i < n_requests && requests != NULL; i++) {
        size_t from = i * DATASTORE_MUTATIONS_MAX;
        size_t size = n - from < DATASTORE_MUTATIONS_MAX ? n - from : DATASTORE_MUTATIONS_MAX;
        if (status == COMRADE_OK && requests[i].code == API_INVALID_ARGUMENT) {
            status = datastore_explain(store, call, "heartbeat", false, &requests[i], error);
        } else if (status == COMRADE_OK) {
            take_answer(beating, &requests[i], beating->unsettled + from, size,
                        call->now_ms(call->clock));
        }
        api_finish(&requests[i]);
    }
    form_finish(&form);
    free(requests);
    return status;
}

/* --- Reading what is not kept ------------------------------------------------------------------
 */

static bool is_kept(const struct beating *beating, size_t i)
{
    const struct kept_record *record = kept_find(&beating->store->kept, beating->beats[i].id);
    return record != NULL && record->version != 0 &&
           record->incarnation == beating->beats[i].incarnation;
}

/* Looks up those that are not settled and not kept, and settles those that have no heartbeat. */
static comrade_status read_round(struct beating *beating, const comrade_call *call,
                                 comrade_error *error)
{
    size_t n = beating_unsettled(beating);
    json_t *keys = json_array();
    bool is_done = keys != NULL;
    for (size_t i = 0; i < n && is_done; i++) {
        size_t at = beating->unsettled[i];
        if (!is_kept(beating, at)) {
            is_done = beating_ask(beating, at, keys);
        }
    }
    if (!is_done || json_array_size(keys) == 0) {
        json_decref(keys);
        return is_done ? COMRADE_OK : datastore_no_memory(beating->store, "heartbeat", error);
    }
    json_t *found = json_array();
    comrade_status status =
        datastore_look_up(beating->store, call, "heartbeat", keys, NULL, found, error);
    if (status == COMRADE_OK) {
        status = beating_read(beating, call, found, error);
    }
    json_decref(found);
    return status;
}

/* --- The operation -----------------------------------------------------------------------------
 */

/* Those that others have changed whenever they were about to be written: each under its lock. */
static comrade_status beat_with_locks(struct beating *beating, const comrade_call *call,
                                      comrade_error *error)
{
    comrade_status status = COMRADE_OK;
    for (size_t i = 0; i < beating->n_unsettled && status == COMRADE_OK; i++) {
        status = beat_in_transactions(beating, call, beating->unsettled[i], 1, error);
    }
    return status;
}

static comrade_status beat_by_version(struct beating *beating, const comrade_call *call,
                                      comrade_error *error)
{
    comrade_status status = COMRADE_OK;
    for (unsigned n = 0; status == COMRADE_OK && beating_unsettled(beating) > 0; n++) {
        if (n == ATTEMPTS_MAX || (n > 1 && !datastore_pause(call, n))) {
            return comrade_error_set(error, COMRADE_UNAVAILABLE,
                                     "%s: heartbeat: the records of %zu members, \"%s\" first, are "
                                     "changed by others again and again; it is tried again",
                                     beating->store->shown_url, beating->n_unsettled,
                                     beating->beats[beating->unsettled[0]].id);
        }
        if (n >= FREE_ATTEMPTS_MAX && beating->n_unsettled <= LOCKED_MAX) {
            return beat_with_locks(beating, call, error);
        }
        status = read_round(beating, call, error);
        if (status == COMRADE_OK && beating_unsettled(beating) > 0) {
            status = commit_round(beating, call, error);
        }
    }
    return status;
}

comrade_status datastore_heartbeat(comrade_store *store, const comrade_call *call,
                                   const comrade_beat *beats, size_t n_beats,
                                   comrade_beat_result *results, comrade_beat_summary *summary,
                                   comrade_error *error)
{
    comrade_status status = datastore_need_knows(store, call, error);
    struct beating beating = {
        .store = store, .beats = beats, .n_beats = n_beats, .results = results};
    if (status == COMRADE_OK && !beating_start(&beating)) {
        status = datastore_no_memory(store, "heartbeat", error);
    }
    if (status == COMRADE_OK) {
        status = store->knows.versions ? beat_by_version(&beating, call, error)
                                       : beat_in_transactions(&beating, call, 0, n_beats, error);
    }
    if (status == COMRADE_OK) {
        summary->now_ms = beating.now_ms == 0 ? datastore_now_ms(store, call) : beating.now_ms;
        summary->specs_revision = 0;
        kept_prune(&store->kept, call->now_ms(call->clock));
    }
    beating_finish(&beating);
    return status;
}
