/*
 * Between the round trips: which writes hold, one after the other, each on what those before it
 * have left; and the rows that they come to.
 */
#include "store/postgres/write.h"

#include <stdlib.h>
#include <string.h>

/* --- Judging -----------------------------------------------------------------------------------
 */

/* One that is there, and cannot be locked, belongs to another login. */
static bool is_locked(const struct batch *batch, const char *id)
{
    for (int i = 0; i < PQntuples(batch->locked); i++) {
        if (strcmp(result_text(batch->locked, i, 0), id) == 0) {
            return true;
        }
    }
    return false;
}

static comrade_status judge_record(const struct batch *batch, const comrade_change *change)
{
    static const struct stored absent = {0};
    const struct stored_record *found = batch_record(batch, change->id);
    comrade_status verdict = stored_judge(change, found == NULL ? &absent : &found->heads);
    bool is_denied = verdict == COMRADE_OK && found != NULL && change_locks_heartbeat(change) &&
                     !is_locked(batch, change->id);
    return is_denied ? COMRADE_DENIED : verdict;
}

static comrade_status judge(const struct batch *batch, const comrade_write *write)
{
    const struct stored_role *role = batch_role(batch, write->role);
    if (role == NULL || !stored_is_expected(write->expect_revision, role->revision)) {
        return COMRADE_CONFLICT;
    }
    for (size_t i = 0; i < write->n_changes; i++) {
        const comrade_change *change = &write->changes[i];
        if (change->kind == COMRADE_PUT_SPEC) {
            if (!stored_is_expected(change->expect_spec_version, role->spec_version)) {
                return COMRADE_CONFLICT;
            }
            continue;
        }
        comrade_status verdict = judge_record(batch, change);
        if (verdict != COMRADE_OK) {
            return verdict;
        }
    }
    return COMRADE_OK;
}

/* --- The rows ----------------------------------------------------------------------------------
 */

static bool put_own(struct batch *batch, const comrade_write *write, const comrade_change *change)
{
    const comrade_own *own = change->own;
    const struct stored_record *stored = batch_record(batch, change->id);
    struct stored heads = {0};
    if (stored != NULL) {
        heads = stored->heads;
    }
    if (!stored_apply_own(own, batch->now_ms, &heads)) {
        return true;
    }
    if (stored != NULL && strcmp(stored->role, write->role) != 0) {
        struct stored_role *left = batch_role(batch, stored->role);
        if (left != NULL) {
            left->revision = stored_mint(left->revision, batch->now_ms);
            left->is_bumped = true;
        }
    }
    return json_array_append_new(
               stored == NULL ? batch->changes.new_own : batch->changes.own,
               json_pack("{s:s,s:s,s:I,s:I,s:s,s:b,s:b,s:I,s:I,s:s,s:s,s:s,s:s,s:I,s:I}", "id",
                         change->id, "role", write->role, "incarnation",
                         (json_int_t)own->incarnation, "sequence", (json_int_t)own->sequence,
                         "state", comrade_state_name(own->state), "is_alive", own->is_alive,
                         "is_available", own->is_available, "created", (json_int_t)heads.created_ms,
                         "pid", (json_int_t)own->pid, "host", own->host, "version", own->version,
                         "metadata", own->metadata, "details", own->details, "updated",
                         (json_int_t)heads.updated_ms, "request_revision",
                         (json_int_t)heads.request_revision)) == 0;
}

static const char *text_or_none(const char *text)
{
    return text == NULL ? "" : text;
}

static bool put_request(struct batch *batch, const comrade_change *change)
{
    const comrade_request *request = change->request;
    const struct stored_record *stored = batch_record(batch, change->id);
    int64_t requested_ms = request->requested_ms == 0 ? batch->now_ms : request->requested_ms;
    return json_array_append_new(
               batch->changes.requests,
               json_pack("{s:s,s:I,s:i,s:I,s:I,s:I,s:s,s:s,s:s,s:s}", "id", change->id, "revision",
                         (json_int_t)stored_mint(stored->heads.request_revision, batch->now_ms),
                         "kind", (int)request->kind, "incarnation",
                         (json_int_t)request->incarnation, "zombified",
                         (json_int_t)request->zombified_incarnation, "requested",
                         (json_int_t)requested_ms, "request_id", text_or_none(request->request_id),
                         "by", text_or_none(request->user), "host", text_or_none(request->host),
                         "reason", text_or_none(request->reason))) == 0;
}

static bool put_spec(struct batch *batch, const comrade_write *write, const comrade_change *change)
{
    struct stored_role *role = batch_role(batch, write->role);
    json_t *rows = role->spec_version == 0 ? batch->changes.new_specs : batch->changes.specs;
    role->spec_version = change->spec_version;
    return json_array_append_new(rows, json_pack("{s:s,s:I,s:s}", "role", write->role,
                                                 "spec_version", (json_int_t)change->spec_version,
                                                 "spec", change->spec)) == 0;
}

static bool put(struct batch *batch, const comrade_write *write, const comrade_change *change)
{
    switch (change->kind) {
    case COMRADE_PUT_OWN:
        return put_own(batch, write, change);
    case COMRADE_PUT_REQUEST:
        return put_request(batch, change);
    case COMRADE_PUT_SPEC:
        return put_spec(batch, write, change);
    case COMRADE_DELETE:
        return json_array_append_new(batch->changes.deletions, json_string(change->id)) == 0;
    }
    return false;
}

static bool announce(struct batch *batch, const comrade_write *write, const comrade_change *change)
{
    const char *id = change->kind == COMRADE_PUT_SPEC ? "" : change->id;
    char *payload = postgres_payload(batch->store, write->role, id);
    bool is_done =
        payload != NULL && json_array_append_new(batch->changes.notes, json_string(payload)) == 0;
    free(payload);
    return is_done;
}

static bool take(struct batch *batch, const comrade_write *write, comrade_write_result *result)
{
    bool is_done = true;
    for (size_t i = 0; i < write->n_changes && is_done; i++) {
        is_done =
            put(batch, write, &write->changes[i]) && announce(batch, write, &write->changes[i]);
    }
    struct stored_role *role = batch_role(batch, write->role);
    role->revision = stored_mint(role->revision, batch->now_ms);
    role->is_bumped = true;
    if (write->request_id != NULL) {
        recent_text_add(role->recent, write->request_id);
    }
    result->revision = role->revision;
    result->now_ms = batch->now_ms;
    return is_done;
}

static bool gather_roles(struct batch *batch)
{
    bool is_done = true;
    for (size_t i = 0; i < batch->n_roles && is_done; i++) {
        const struct stored_role *role = &batch->roles[i];
        is_done = !role->is_bumped ||
                  json_array_append_new(batch->changes.roles,
                                        json_pack("{s:s,s:I,s:s}", "role", role->name, "revision",
                                                  (json_int_t)role->revision, "recent",
                                                  role->recent)) == 0;
    }
    return is_done;
}

bool batch_judge(struct batch *batch)
{
    bool is_done = true;
    for (size_t i = 0; i < batch->n_writes && is_done; i++) {
        comrade_write_result *result = &batch->results[i];
        *result = (comrade_write_result){.status = judge(batch, &batch->writes[i])};
        if (result->status == COMRADE_OK) {
            is_done = take(batch, &batch->writes[i], result);
        }
    }
    return is_done && gather_roles(batch);
}
