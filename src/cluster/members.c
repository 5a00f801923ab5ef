/* Lists of members as callers see them: immutable, shared by reference. */
#include "cluster/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *requested_by(const comrade_request *request, struct arena *arena)
{
    char text[3 * COMRADE_NAME_MAX_BYTES + 32];
    if (request->user[0] == '\0' && request->host[0] == '\0') {
        return "";
    }
    snprintf(text, sizeof text, "%s@%s%s%s%s", request->user, request->host,
             request->database_user[0] == '\0' ? "" : " (database user ", request->database_user,
             request->database_user[0] == '\0' ? "" : ")");
    char *copy = arena_copy_text(arena, text);
    return copy == NULL ? "" : copy;
}

void member_data_fill(comrade_member_data *data, const comrade_record *record, struct arena *arena,
                      int64_t now_ms, int64_t call_timeout_ms, enum verdict verdict)
{
    *data = (comrade_member_data){
        .size = sizeof *data,
        .id = record->id,
        .role = record->role,
        .metadata = record->own.metadata,
        .details = record->own.details,
        .host = record->own.host,
        .version = record->own.version,
        .pid = record->own.pid,
        .incarnation = record->own.incarnation,
        .state = record->own.state,
        .is_alive = health_is_alive(record),
        .is_healthy = health_is_healthy(record, now_ms, verdict),
        .is_stale = health_is_stale(record, now_ms),
        .is_available = health_is_available(record, now_ms, call_timeout_ms, verdict),
        .created_ms = record->own.created_ms,
        .updated_ms = record->updated_ms,
        .now_ms = now_ms,
        .request_id = "",
        .requested_by = "",
        .request_reason = "",
    };
    if (health_is_requested(record)) {
        data->request = record->request.kind;
        data->shutdown_ms = record->request.requested_ms;
    }
    bool is_zombie = record->request.zombified_incarnation == record->own.incarnation;
    if (health_is_requested(record) || is_zombie) {
        data->request_id = record->request.request_id;
        data->request_reason = record->request.reason;
        data->requested_by = requested_by(&record->request, arena);
    }
}

comrade_members *members_new(struct snapshot *snapshot, const bool *is_told,
                             const enum verdict *verdicts, int64_t call_timeout_ms)
{
    comrade_members *members = calloc(1, sizeof *members);
    comrade_member_data *data = calloc(snapshot->n_records + 1, sizeof *data);
    if (members == NULL || data == NULL) {
        free(members);
        free(data);
        return NULL;
    }
    atomic_init(&members->n_references, 1);
    members->data = data;
    for (size_t i = 0; i < snapshot->n_records; i++) {
        if (is_told == NULL || is_told[i]) {
            member_data_fill(&data[members->n_members++], &snapshot->records[i], &snapshot->arena,
                             snapshot->now_ms, call_timeout_ms,
                             verdicts == NULL ? VERDICT_NONE : verdicts[i]);
        }
    }
    members->snapshot = *snapshot; /* the texts that `data` borrows */
    snapshot_init(snapshot);
    return members;
}

comrade_members *members_share(comrade_members *members)
{
    if (members != NULL) {
        atomic_fetch_add(&members->n_references, 1);
    }
    return members;
}

static bool is_same(const comrade_member_data *a, const comrade_member_data *b)
{
    return a->pid == b->pid && a->incarnation == b->incarnation && a->state == b->state &&
           a->is_alive == b->is_alive && a->is_healthy == b->is_healthy &&
           a->is_stale == b->is_stale && a->is_available == b->is_available &&
           a->created_ms == b->created_ms && a->request == b->request &&
           a->shutdown_ms == b->shutdown_ms && strcmp(a->id, b->id) == 0 &&
           strcmp(a->role, b->role) == 0 && strcmp(a->metadata, b->metadata) == 0 &&
           strcmp(a->details, b->details) == 0 && strcmp(a->host, b->host) == 0 &&
           strcmp(a->version, b->version) == 0;
}

bool members_equal(const comrade_members *a, const comrade_members *b)
{
    if (a->n_members != b->n_members) {
        return false;
    }
    for (size_t i = 0; i < a->n_members; i++) {
        if (!is_same(&a->data[i], &b->data[i])) {
            return false;
        }
    }
    return true;
}

size_t comrade_members_count(const comrade_members *members)
{
    return members == NULL ? 0 : members->n_members;
}

const comrade_member_data *comrade_members_at(const comrade_members *members, size_t i)
{
    return members == NULL || i >= members->n_members ? NULL : &members->data[i];
}

comrade_members *comrade_members_share(const comrade_members *members)
{
    return members_share(
        (comrade_members *)(uintptr_t)members); /* all but its holders is constant */
}

void comrade_members_free(comrade_members *members)
{
    if (members != NULL && atomic_fetch_sub(&members->n_references, 1) == 1) {
        snapshot_finish(&members->snapshot);
        free(members->data);
        free(members);
    }
}
