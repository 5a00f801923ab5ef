/*
 * Writes: what they name is read in one request, they are judged here, and all that holds is
 * committed in a second one, on the condition that nothing has changed meanwhile: each entity at
 * the version that was read, or not there at all. Else the whole is done again from its reading. No
 * lock is held in between, which would stall the heartbeats of others.
 *
 * An older server knows no versions: then a transaction of its own makes the two requests one.
 */
#include "store/datastore/write.h"
#include "store/datastore/value.h"

#include <stdlib.h>
#include <string.h>

enum {
    ATTEMPTS_MAX = 12,
    FREE_ATTEMPTS_MAX = 4, /* without a lock */
    ENTITIES_MAX = 400,    /* named by one batch; roles that members leave come to it */
};

/* --- The commit --------------------------------------------------------------------------------
 */

static json_t *mutation_of(const struct batch *batch, const struct held *held)
{
    const comrade_store *store = batch->store;
    json_t *key = datastore_key(
        store, held->kind == HELD_ROLE ? DATASTORE_ROLES : DATASTORE_MEMBERS, held->name);
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)held->version);
    bool is_guarded = held->version != 0 && store->knows.versions;
    const char *version = is_guarded ? text : NULL;
    const char *strategy = is_guarded ? "FAIL" : NULL;
    json_t *mutation = held->properties == NULL
                           ? json_pack("{s:o}", "delete", key)
                           : json_pack("{s:{s:o,s:O}}", held->version == 0 ? "insert" : "update",
                                       "key", key, "properties", held->properties);
    mutation = value_with(mutation, "baseVersion", version);
    mutation = value_with(mutation, "conflictResolutionStrategy", strategy);
    if (held->properties != NULL && held->is_beaten && store->knows.transforms &&
        json_object_set_new(mutation, "propertyTransforms",
                            json_pack("[{s:s,s:s}]", "property", ENTITY_SERVER_UPDATED,
                                      "setToServerValue", "REQUEST_TIME")) != 0) {
        json_decref(mutation);
        return NULL;
    }
    return mutation;
}

/* Is it there to be changed at the server? What came and went within the batch is not. */
static bool is_to_commit(const struct held *held)
{
    return held->is_changed && (held->properties != NULL || held->version != 0);
}

static json_t *mutations_of(const struct batch *batch)
{
    json_t *mutations = json_array();
    for (size_t i = 0; i < batch->n_held && mutations != NULL; i++) {
        const struct held *held = &batch->held[i];
        if (is_to_commit(held) && json_array_append_new(mutations, mutation_of(batch, held)) != 0) {
            json_decref(mutations);
            mutations = NULL;
        }
    }
    return mutations;
}

static json_t *commit_of(const struct batch *batch, json_t *mutations)
{
    return batch->transaction != NULL
               ? json_pack("{s:s,s:s,s:o}", "mode", "TRANSACTIONAL", "transaction",
                           batch->transaction, "mutations", mutations)
               : json_pack("{s:s,s:{s:{}},s:o}", "mode", "TRANSACTIONAL", "singleUseTransaction",
                           "readWrite", "mutations", mutations);
}

/* The heartbeats that follow need not read what was just written. */
static void keep_heads(struct batch *batch, const comrade_call *call, const json_t *answer)
{
    const json_t *results = json_object_get(answer, "mutationResults");
    size_t n = 0;
    for (size_t i = 0; i < batch->n_held; i++) {
        const struct held *held = &batch->held[i];
        if (!is_to_commit(held)) {
            continue;
        }
        const json_t *result = json_array_get(results, n++);
        struct kept *kept = &batch->store->kept;
        struct kept_record *record = NULL;
        if (held->kind == HELD_MEMBER) {
            record = held->is_own_put ? kept_need(kept, held->name, call->now_ms(call->clock))
                                      : kept_find(kept, held->name);
        }
        if (record != NULL) {
            record->version = held->is_member ? api_number(result, "version") : 0;
            record->incarnation = held->record.own.incarnation;
            record->sequence = held->record.own.sequence;
            record->request_revision = held->record.request.revision;
        }
    }
}

/* What became of one attempt at a batch. */
enum outcome {
    OUTCOME_DONE,     /* every result is set; or the status says why nothing was done */
    OUTCOME_COLLIDED, /* nothing was done, and the same may work at once */
    OUTCOME_SPLIT,    /* nothing was done, and a part of it may work */
};

static enum outcome outcome_of(const struct batch *batch, const struct api_request *request)
{
    /* One that is over, for this process was too slow, is told in words only. */
    bool is_transaction_over =
        batch->transaction != NULL && strstr(request->said, "transaction") != NULL;
    switch (request->code) {
    case API_OK:
        return OUTCOME_DONE;
    case API_ABORTED:
    case API_ALREADY_EXISTS:
    case API_NOT_FOUND:
        return OUTCOME_COLLIDED;
    case API_INVALID_ARGUMENT:
        return is_transaction_over ? OUTCOME_COLLIDED : OUTCOME_SPLIT;
    case API_OTHER:
    case API_NONE:
        break;
    }
    return OUTCOME_DONE;
}

static comrade_status commit(struct batch *batch, const comrade_call *call, json_t *mutations,
                             enum outcome *outcome, comrade_error *error)
{
    struct api_request request = {.method = "commit",
                                  .body = api_body(batch->store, commit_of(batch, mutations))};
    if (request.body == NULL) {
        return datastore_no_memory(batch->store, "write", error);
    }
    if (batch->n_writes > 1 && strlen(request.body) > DATASTORE_BODY_MAX) {
        *outcome = OUTCOME_SPLIT;
        api_finish(&request);
        return COMRADE_OK;
    }
    comrade_status status = api_perform(batch->store, call, "write", true, &request, 1, error);
    if (status == COMRADE_OK) {
        *outcome = outcome_of(batch, &request);
        if (request.code == API_OK) {
            keep_heads(batch, call, request.answer);
        } else {
            status = datastore_explain(batch->store, call, "write", false, &request, error);
        }
    }
    if (batch->store->knows.has_other_word && api_is_failed_precondition(&request)) {
        *outcome = OUTCOME_COLLIDED;
    }
    api_finish(&request);
    return status;
}

/* Finds, judges, commits. With COLLIDED and SPLIT the status is what to tell if it was the last
 * try. */
static comrade_status attempt(struct batch *batch, const comrade_call *call, enum outcome *outcome,
                              comrade_error *error)
{
    *outcome = OUTCOME_DONE;
    comrade_status status = batch_find(batch, call, error);
    json_t *mutations = NULL;
    if (status == COMRADE_OK &&
        (!batch_judge(batch) || (mutations = mutations_of(batch)) == NULL)) {
        status = datastore_no_memory(batch->store, "write", error);
    }
    bool must_commit = status == COMRADE_OK && json_array_size(mutations) > 0;
    if (must_commit) {
        status = commit(batch, call, mutations, outcome, error);
    } else {
        json_decref(mutations);
    }
    if (!must_commit || status != COMRADE_OK || *outcome != OUTCOME_DONE) {
        datastore_roll_back(batch->store, call, batch->transaction); /* lets go of its locks */
        batch->transaction = NULL;
    }
    return status;
}

static comrade_status write_batch(comrade_store *store, const comrade_call *call,
                                  const comrade_write *writes, size_t n_writes,
                                  comrade_write_result *results, enum outcome *outcome,
                                  comrade_error *error)
{
    comrade_status status = COMRADE_OK;
    bool must_try = true;
    for (unsigned n = 0; must_try; n++) {
        struct batch batch = {.store = store,
                              .writes = writes,
                              .n_writes = n_writes,
                              .results = results,
                              .must_lock = !store->knows.versions || n >= FREE_ATTEMPTS_MAX};
        status = attempt(&batch, call, outcome, error);
        batch_finish(&batch);
        must_try = *outcome == OUTCOME_COLLIDED && n + 1 < ATTEMPTS_MAX && datastore_pause(call, n);
    }
    return status;
}

/* --- The operation -----------------------------------------------------------------------------
 */

/* How many of the writes, at most `limit`, name no more than fits in a commit. */
static size_t count_fitting(const comrade_write *writes, size_t n_writes, size_t limit)
{
    size_t n = 0;
    size_t n_entities = 0;
    while (n < n_writes && n < limit) {
        bool is_other_role = n == 0 || strcmp(writes[n].role, writes[n - 1].role) != 0;
        n_entities += writes[n].n_changes + is_other_role;
        if (n > 0 && n_entities > ENTITIES_MAX) {
            break;
        }
        n++;
    }
    return n;
}

comrade_status datastore_write(comrade_store *store, const comrade_call *call,
                               const comrade_write *writes, size_t n_writes,
                               comrade_write_result *results, comrade_error *error)
{
    comrade_status status = datastore_need_knows(store, call, error);
    size_t limit = n_writes;
    unsigned n_parted = 0;
    for (size_t done = 0; done < n_writes && status == COMRADE_OK;) {
        size_t n = count_fitting(writes + done, n_writes - done, limit);
        enum outcome outcome;
        status = write_batch(store, call, writes + done, n, results + done, &outcome, error);
        bool may_part = n > 1 && (outcome == OUTCOME_SPLIT || (outcome == OUTCOME_COLLIDED &&
                                                               datastore_pause(call, n_parted++)));
        if (may_part) {
            status = COMRADE_OK;
            limit = n / 2;
            continue;
        }
        if (outcome == OUTCOME_SPLIT) { /* the one whose fault it is */
            results[done] = (comrade_write_result){.status = status};
            status = COMRADE_OK;
        }
        if (status != COMRADE_OK && done > 0) { /* those before it were applied */
            status = COMRADE_UNKNOWN;
            if (error != NULL) {
                error->status = status;
            }
        }
        limit = n * 2;
        done += n;
    }
    return status;
}
