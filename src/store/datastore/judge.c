/*
 * Between the reading and the commit: which writes hold, one after the other, each on what those
 * before it have left; and what they make of what is held.
 */
#include "store/datastore/write.h"

#include <string.h>

static struct stored heads_of(const struct held *held)
{
    struct stored heads = {0};
    if (held->is_member) {
        const comrade_record *record = &held->record;
        heads = (struct stored){.is_there = true,
                                .incarnation = record->own.incarnation,
                                .sequence = record->own.sequence,
                                .request_revision = record->request.revision,
                                .updated_ms = record->updated_ms,
                                .created_ms = record->own.created_ms};
    }
    return heads;
}

static comrade_status judge(const struct batch *batch, const comrade_write *write)
{
    const struct stored_role *role = &batch_held(batch, HELD_ROLE, write->role)->role;
    if (!stored_is_expected(write->expect_revision, role->revision)) {
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
        struct stored heads = heads_of(batch_held(batch, HELD_MEMBER, change->id));
        comrade_status verdict = stored_judge(change, &heads);
        if (verdict != COMRADE_OK) {
            return verdict;
        }
    }
    return COMRADE_OK;
}

/* --- What a change does ------------------------------------------------------------------------
 */

/* The properties that come instead. False: out of memory. */
static bool replace(struct batch *batch, struct held *held, json_t *properties)
{
    if (properties == NULL || json_array_append_new(batch->texts, properties) != 0) {
        return false;
    }
    json_decref(held->properties);
    held->properties = json_incref(properties);
    held->is_changed = true;
    return true;
}

static void bump(struct batch *batch, struct stored_role *role)
{
    role->revision = stored_mint(role->revision, batch->now_ms);
}

static bool put_own(struct batch *batch, const comrade_write *write, const comrade_change *change)
{
    struct held *held = batch_held(batch, HELD_MEMBER, change->id);
    struct stored heads = heads_of(held);
    comrade_record *record = &held->record;
    bool is_new_life = !heads.is_there || heads.incarnation != change->own->incarnation;
    if (!stored_apply_own(change->own, batch->now_ms, &heads)) {
        return true;
    }
    if (!held->is_member) {
        *record = (comrade_record){.id = change->id};
    } else if (strcmp(record->role, write->role) != 0) {
        struct held *left = batch_held(batch, HELD_ROLE, record->role);
        bump(batch, &left->role);
        left->is_changed = true;
    }
    record->role = write->role;
    record->own = *change->own;
    record->own.created_ms = heads.created_ms;
    record->updated_ms = heads.updated_ms;
    const json_t *before = held->is_member ? held->properties : NULL;
    held->is_member = true;
    held->is_beaten = held->is_beaten || is_new_life;
    held->is_own_put = true;
    return replace(batch, held, entity_write_own(record, before));
}

static bool put_request(struct batch *batch, const comrade_change *change)
{
    struct held *held = batch_held(batch, HELD_MEMBER, change->id);
    comrade_record *record = &held->record;
    int64_t revision = record->request.revision;
    record->request = *change->request;
    record->request.revision = stored_mint(revision, batch->now_ms);
    if (record->request.requested_ms == 0) {
        record->request.requested_ms = batch->now_ms;
    }
    return replace(batch, held, entity_write_request(record, held->properties));
}

static bool put_spec(struct batch *batch, const comrade_write *write, const comrade_change *change)
{
    struct stored_role *role = &batch_held(batch, HELD_ROLE, write->role)->role;
    json_t *spec = json_string(change->spec);
    if (spec == NULL) {
        return false;
    }
    json_decref(role->spec);
    role->spec = spec;
    role->spec_version = change->spec_version;
    return true;
}

static bool apply(struct batch *batch, const comrade_write *write, const comrade_change *change)
{
    switch (change->kind) {
    case COMRADE_PUT_OWN:
        return put_own(batch, write, change);
    case COMRADE_PUT_REQUEST:
        return put_request(batch, change);
    case COMRADE_PUT_SPEC:
        return put_spec(batch, write, change);
    case COMRADE_DELETE: {
        struct held *held = batch_held(batch, HELD_MEMBER, change->id);
        if (held->is_member) {
            json_decref(held->properties);
            held->properties = NULL;
            held->is_member = false;
            held->is_changed = true;
        }
        return true;
    }
    }
    return false;
}

static bool take(struct batch *batch, const comrade_write *write, comrade_write_result *result)
{
    bool is_done = true;
    for (size_t i = 0; i < write->n_changes && is_done; i++) {
        is_done = apply(batch, write, &write->changes[i]);
    }
    struct held *held = batch_held(batch, HELD_ROLE, write->role);
    bump(batch, &held->role);
    held->is_changed = true;
    if (write->request_id != NULL) {
        recent_text_add(held->role.recent, write->request_id);
    }
    result->revision = held->role.revision;
    result->now_ms = batch->now_ms;
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
    for (size_t i = 0; i < batch->n_held && is_done; i++) {
        struct held *held = &batch->held[i];
        if (held->kind == HELD_ROLE && held->is_changed) {
            is_done = replace(batch, held, stored_role_write(&held->role));
        }
    }
    return is_done;
}
