/*
 * Writes. A batch takes two round trips: the first locks the roles and reads what is stored, the
 * second changes it and commits. What fails for the sake of one write (a right, a value) is tried
 * again a write at a time; what collided, or found no schema, as it is. A write that is alone in
 * its call is denied as a call, so that the error says what it takes.
 */
#include "store/postgres/write.h"

#include <stdlib.h>
#include <string.h>

enum { TRIES_MAX = 4 };

/* How one try ended. */
struct ending {
    comrade_status status;
    char sql_state[6];
    bool is_announcing; /* it was the announcement that failed, or may have been */
};

/* --- One batch, once ---------------------------------------------------------------------------
 */

static bool begin_changes(struct changes *changes)
{
    *changes = (struct changes){json_array(), json_array(), json_array(), json_array(),
                                json_array(), json_array(), json_array(), json_array()};
    return changes->roles != NULL && changes->new_own != NULL && changes->own != NULL &&
           changes->requests != NULL && changes->deletions != NULL && changes->new_specs != NULL &&
           changes->specs != NULL && changes->notes != NULL;
}

static void finish_batch(struct batch *batch)
{
    json_decref(batch->changes.roles);
    json_decref(batch->changes.new_own);
    json_decref(batch->changes.own);
    json_decref(batch->changes.requests);
    json_decref(batch->changes.deletions);
    json_decref(batch->changes.new_specs);
    json_decref(batch->changes.specs);
    json_decref(batch->changes.notes);
    free(batch->roles);
    free(batch->records);
    answers_finish(&batch->found);
}

static bool has_changes(const struct batch *batch)
{
    return json_array_size(batch->changes.roles) > 0;
}

/* A record has moved to another role since that was locked. */
static bool has_moved(const struct batch *batch)
{
    for (size_t i = 0; i < batch->n_records; i++) {
        if (batch_role(batch, batch->records[i].role) == NULL) {
            return true;
        }
    }
    return false;
}

static comrade_status apply(struct batch *batch, const comrade_call *call, bool must_announce,
                            struct ending *ending, comrade_error *error)
{
    bool is_unknown = false;
    comrade_error why = {0};
    comrade_status status =
        batch_apply(batch, call, must_announce, &is_unknown, ending->sql_state, &why);
    ending->is_announcing = must_announce && strcmp(ending->sql_state, "54000") == 0;
    if (is_unknown) {
        return comrade_error_set(error, COMRADE_UNKNOWN, "%s; it may have been applied",
                                 why.message);
    }
    if (status != COMRADE_OK && error != NULL) {
        *error = why;
    }
    return status;
}

static void try_batch(comrade_store *store, const comrade_call *call, const comrade_write *writes,
                      size_t n_writes, bool must_announce, comrade_write_result *results,
                      struct ending *ending, comrade_error *error)
{
    struct batch batch = {
        .store = store, .writes = writes, .n_writes = n_writes, .results = results};
    *ending = (struct ending){.status = postgres_use(store, call, error)};
    if (ending->status == COMRADE_OK && !begin_changes(&batch.changes)) {
        ending->status = comrade_error_set(error, COMRADE_NO_MEMORY, "%s: write: out of memory",
                                           store->shown_url);
    } else if (ending->status == COMRADE_OK) {
        ending->status = batch_find(&batch, call, error);
        memcpy(ending->sql_state, batch.found.sql_state, sizeof ending->sql_state);
    }
    if (ending->status == COMRADE_OK && has_moved(&batch)) {
        memcpy(ending->sql_state, "40001", sizeof ending->sql_state);
        ending->status = comrade_error_set(error, COMRADE_UNAVAILABLE,
                                           "%s: write: a member moved to another role meanwhile",
                                           store->shown_url);
    }
    if (ending->status == COMRADE_OK && !batch_judge(&batch)) {
        ending->status =
            comrade_error_set(error, COMRADE_INVALID,
                              "%s: write: out of memory, or a text is not UTF-8", store->shown_url);
        memcpy(ending->sql_state, "22021", sizeof ending->sql_state);
    }
    if (ending->status == COMRADE_OK && has_changes(&batch)) {
        ending->status = apply(&batch, call, must_announce, ending, error);
    }
    postgres_roll_back(store, call);
    finish_batch(&batch);
}

/* --- Until it is done --------------------------------------------------------------------------
 */

static struct ending write_batch(comrade_store *store, const comrade_call *call,
                                 const comrade_write *writes, size_t n_writes,
                                 comrade_write_result *results, comrade_error *error)
{
    struct ending ending = {0};
    bool must_announce = true;
    bool must_try = true;
    for (int i = 0; i < TRIES_MAX && must_try; i++) {
        try_batch(store, call, writes, n_writes, must_announce, results, &ending, error);
        /* A queue that is full must not hold up what is asked; heartbeats tell of it too. */
        must_announce = must_announce && !ending.is_announcing;
        must_try = postgres_must_try_again(store, ending.sql_state) || ending.is_announcing;
    }
    return ending;
}

static comrade_status write_each(comrade_store *store, const comrade_call *call,
                                 const comrade_write *writes, size_t n_writes,
                                 comrade_write_result *results, comrade_error *error)
{
    comrade_status status = COMRADE_OK;
    for (size_t i = 0; i < n_writes && status == COMRADE_OK; i++) {
        struct ending ending = write_batch(store, call, &writes[i], 1, &results[i], error);
        if (sql_state_is_of_one(ending.sql_state)) {
            results[i] = (comrade_write_result){.status = ending.status};
        } else {
            /* Those before it were applied: nobody may think that none was. */
            bool is_some = ending.status == COMRADE_UNAVAILABLE && i > 0;
            status = is_some ? COMRADE_UNKNOWN : ending.status;
        }
    }
    return status;
}

/* Is this the first time that the record, or the spec, is named? */
static bool is_first(json_t *seen, const comrade_write *write, const comrade_change *change)
{
    char spec[COMRADE_ROLE_MAX_BYTES + 2]; /* no id begins with '/' */
    snprintf(spec, sizeof spec, "/%s", write->role);
    const char *name = change->kind == COMRADE_PUT_SPEC ? spec : change->id;
    return json_object_get(seen, name) == NULL && json_object_set_new(seen, name, json_true()) == 0;
}

/* How many of the writes can go together: as many as name nothing twice. */
static size_t count_distinct(const comrade_write *writes, size_t n_writes)
{
    json_t *seen = json_object();
    size_t n = 0;
    for (bool is_distinct = seen != NULL; n < n_writes && is_distinct; n += is_distinct) {
        for (size_t i = 0; i < writes[n].n_changes && is_distinct; i++) {
            is_distinct = is_first(seen, &writes[n], &writes[n].changes[i]);
        }
    }
    json_decref(seen);
    return n == 0 ? 1 : n;
}

comrade_status postgres_write(comrade_store *store, const comrade_call *call,
                              const comrade_write *writes, size_t n_writes,
                              comrade_write_result *results, comrade_error *error)
{
    comrade_status status = COMRADE_OK;
    for (size_t done = 0; done < n_writes && status == COMRADE_OK;) {
        size_t n = count_distinct(writes + done, n_writes - done);
        struct ending ending = write_batch(store, call, writes + done, n, results + done, error);
        status = ending.status;
        bool is_of_one = sql_state_is_of_one(ending.sql_state);
        if (n > 1 && is_of_one) {
            status = write_each(store, call, writes + done, n, results + done, error);
        } else if (is_of_one) {
            results[done] = (comrade_write_result){.status = status};
            status = COMRADE_OK;
        }
        if (status == COMRADE_UNAVAILABLE && done > 0) {
            status = COMRADE_UNKNOWN;
        }
        done += n;
    }
    bool is_denied = status == COMRADE_OK && n_writes == 1 && results[0].status == COMRADE_DENIED;
    return is_denied ? postgres_explain_denied(store, &writes[0], error) : status;
}
