/*
 * Heartbeats whose records are read and written in a transaction, 500 at a time, in two requests:
 * all of them, at a server that knows no masks or versions, since it would take a part of a record
 * for the whole; else those that others change again and again, since its lock keeps these out.
 */
#include "store/datastore/beat.h"
#include "store/datastore/value.h"

#include <stdlib.h>
#include <string.h>

enum { ATTEMPTS_MAX = 12 };

struct part {
    struct beating *beating;
    size_t first; /* of the beats */
    size_t n;
    char *transaction;
    json_t *mutations;
};

/* All of the member's properties, with its heartbeat. NULL: out of memory. */
static json_t *mutation_of(const comrade_store *store, const char *id, json_t *properties,
                           int64_t now_ms)
{
    /* A server that sets it no more would leave it as it was. */
    json_object_del(properties, ENTITY_SERVER_UPDATED);
    if (json_object_set_new(properties, ENTITY_UPDATED, value_number(now_ms)) != 0) {
        return NULL;
    }
    json_t *key = datastore_key(store, DATASTORE_MEMBERS, id);
    if (!store->knows.transforms) {
        return json_pack("{s:{s:o,s:O}}", "update", "key", key, "properties", properties);
    }
    return json_pack("{s:{s:o,s:O},s:[{s:s,s:s}]}", "update", "key", key, "properties", properties,
                     "propertyTransforms", "property", ENTITY_SERVER_UPDATED, "setToServerValue",
                     "REQUEST_TIME");
}

/* Asks for all of the part, and makes mutations of those that have a heartbeat. */
static comrade_status read_part(struct part *part, const comrade_call *call, comrade_error *error)
{
    struct beating *beating = part->beating;
    json_t *keys = json_array();
    bool is_done = keys != NULL;
    for (size_t i = part->first; i < part->first + part->n && is_done; i++) {
        is_done = beating_ask(beating, i, keys);
    }
    if (!is_done) {
        json_decref(keys);
        return datastore_no_memory(beating->store, "heartbeat", error);
    }
    json_t *found = json_array();
    comrade_status status = datastore_look_up(beating->store, call, "heartbeat", keys,
                                              &part->transaction, found, error);
    if (status == COMRADE_OK) {
        status = beating_read(beating, call, found, error);
    }
    int64_t now_ms = datastore_now_ms(beating->store, call);
    beating->now_ms = now_ms;
    size_t i;
    const json_t *result;
    json_array_foreach(found, i, result)
    {
        json_t *entity = json_object_get(result, "entity");
        const char *id = datastore_key_name(json_object_get(entity, "key"));
        size_t at = part->first;
        while (id != NULL && at < part->first + part->n && strcmp(beating->beats[at].id, id) != 0) {
            at++;
        }
        if (at < part->first + part->n && !beating->is_settled[at]) {
            json_t *mutation = mutation_of(beating->store, beating->beats[at].id,
                                           json_object_get(entity, "properties"), now_ms);
            is_done = is_done && json_array_append_new(part->mutations, mutation) == 0;
        }
    }
    json_decref(found);
    return status == COMRADE_OK && !is_done
               ? datastore_no_memory(beating->store, "heartbeat", error)
               : status;
}

static comrade_status commit_part(struct part *part, const comrade_call *call, enum api_code *code,
                                  comrade_error *error)
{
    comrade_store *store = part->beating->store;
    json_t *body =
        json_pack("{s:s,s:s,s:O}", "mode", "TRANSACTIONAL", "transaction",
                  part->transaction == NULL ? "" : part->transaction, "mutations", part->mutations);
    struct api_request request;
    comrade_status status =
        api_ask(store, call, "heartbeat", false, "commit", body, &request, error);
    *code = request.code;
    if (status == COMRADE_OK && *code != API_OK) {
        status = datastore_explain(store, call, "heartbeat", false, &request, error);
    }
    api_finish(&request);
    return status;
}

/* The heads are those that were read: in a transaction they still are. */
static void settle_part(const struct part *part)
{
    struct beating *beating = part->beating;
    for (size_t i = part->first; i < part->first + part->n; i++) {
        if (!beating->is_settled[i]) {
            const struct kept_record *record =
                kept_find(&beating->store->kept, beating->beats[i].id);
            beating->results[i] =
                (comrade_beat_result){.status = COMRADE_OK,
                                      .own_sequence = record->sequence,
                                      .request_revision = record->request_revision};
            beating->is_settled[i] = true;
        }
    }
}

static comrade_status beat_part(struct beating *beating, const comrade_call *call, size_t first,
                                size_t n, comrade_error *error)
{
    comrade_status status = COMRADE_OK;
    enum api_code code = API_ABORTED;
    for (unsigned attempt = 0; code != API_OK && attempt < ATTEMPTS_MAX; attempt++) {
        if (attempt > 0 && !datastore_pause(call, attempt)) {
            break;
        }
        struct part part = {.beating = beating, .first = first, .n = n, .mutations = json_array()};
        memset(beating->is_settled + first, 0, n * sizeof *beating->is_settled);
        code = API_OTHER;
        status = read_part(&part, call, error);
        if (status == COMRADE_OK) {
            status = commit_part(&part, call, &code, error);
        }
        if (status == COMRADE_OK) {
            settle_part(&part);
        }
        json_decref(part.mutations);
        if (status == COMRADE_OK) {
            free(part.transaction);
        } else {
            datastore_roll_back(beating->store, call, part.transaction);
        }
        if (code == API_OTHER) {
            break; /* nothing that another attempt would mend */
        }
    }
    return status;
}

comrade_status beat_in_transactions(struct beating *beating, const comrade_call *call, size_t first,
                                    size_t n, comrade_error *error)
{
    comrade_status status = COMRADE_OK;
    size_t end = first + n;
    for (; first < end && status == COMRADE_OK; first += DATASTORE_MUTATIONS_MAX) {
        size_t left = end - first;
        status = beat_part(beating, call, first,
                           left < DATASTORE_MUTATIONS_MAX ? left : DATASTORE_MUTATIONS_MAX, error);
    }
    return status;
}
