#include "core/snapshot.h"

#include <stdlib.h>
#include <string.h>

void snapshot_init(struct snapshot *snapshot)
{
    memset(snapshot, 0, sizeof *snapshot);
    arena_init(&snapshot->arena);
}

void snapshot_finish(struct snapshot *snapshot)
{
    arena_finish(&snapshot->arena);
    free(snapshot->records);
    free(snapshot->roles);
    snapshot_init(snapshot);
}

/* Makes room for one more item; the array may move. */
static bool reserve(void **items, size_t n_items, size_t *capacity, size_t item_size)
{
    if (n_items < *capacity) {
        return true;
    }
    size_t grown = *capacity == 0 ? 4 : *capacity * 2;
    void *moved = realloc(*items, grown * item_size);
    if (moved == NULL) {
        return false;
    }
    *items = moved;
    *capacity = grown;
    return true;
}

/* Replaces each text by the arena's copy. False when out of memory. */
static bool copy_texts(struct arena *arena, const char **texts[], size_t n_texts)
{
    for (size_t i = 0; i < n_texts; i++) {
        bool is_empty = *texts[i] == NULL || (*texts[i])[0] == '\0'; /* as most are */
        *texts[i] = is_empty ? "" : arena_copy_text(arena, *texts[i]);
        if (*texts[i] == NULL) {
            return false;
        }
    }
    return true;
}

comrade_status snapshot_add_record(void *user, const comrade_record *record)
{
    struct snapshot *snapshot = user;
    void *records = snapshot->records;
    if (!reserve(&records, snapshot->n_records, &snapshot->records_capacity, sizeof *record)) {
        return COMRADE_NO_MEMORY;
    }
    snapshot->records = records;
    comrade_record copy = *record;
    const char **texts[] = {
        &copy.id,
        &copy.role,
        &copy.own.host,
        &copy.own.version,
        &copy.own.metadata,
        &copy.own.details,
        &copy.request.request_id,
        &copy.request.user,
        &copy.request.host,
        &copy.request.reason,
        &copy.request.database_user,
    };
    if (!copy_texts(&snapshot->arena, texts, sizeof texts / sizeof texts[0])) {
        return COMRADE_NO_MEMORY;
    }
    snapshot->records[snapshot->n_records++] = copy;
    return COMRADE_OK;
}

static comrade_status copy_role(struct snapshot *snapshot, const comrade_role *role,
                                comrade_role *out)
{
    comrade_role copy = *role;
    const char **texts[] = {&copy.role, &copy.spec};
    const char **ids =
        arena_alloc(&snapshot->arena, (role->n_recent_request_ids + 1) * sizeof *ids);
    if (ids == NULL || !copy_texts(&snapshot->arena, texts, 2)) {
        return COMRADE_NO_MEMORY;
    }
    for (size_t i = 0; i < role->n_recent_request_ids; i++) {
        ids[i] = arena_copy_text(&snapshot->arena, role->recent_request_ids[i]);
        if (ids[i] == NULL) {
            return COMRADE_NO_MEMORY;
        }
    }
    copy.recent_request_ids = ids;
    *out = copy;
    return COMRADE_OK;
}

comrade_status snapshot_add_role(void *user, const comrade_role *role)
{
    struct snapshot *snapshot = user;
    for (size_t i = 0; i < snapshot->n_roles; i++) {
        if (strcmp(snapshot->roles[i].role, role->role) == 0) {
            snapshot->is_torn |= snapshot->roles[i].revision != role->revision;
            return copy_role(snapshot, role, &snapshot->roles[i]);
        }
    }
    void *roles = snapshot->roles;
    if (!reserve(&roles, snapshot->n_roles, &snapshot->roles_capacity, sizeof *role)) {
        return COMRADE_NO_MEMORY;
    }
    snapshot->roles = roles;
    comrade_status status = copy_role(snapshot, role, &snapshot->roles[snapshot->n_roles]);
    if (status == COMRADE_OK) {
        snapshot->n_roles++;
    }
    return status;
}

const comrade_record *snapshot_find(const struct snapshot *snapshot, const char *id)
{
    for (size_t i = 0; i < snapshot->n_records; i++) {
        if (strcmp(snapshot->records[i].id, id) == 0) {
            return &snapshot->records[i];
        }
    }
    return NULL;
}

const comrade_role *snapshot_role(const struct snapshot *snapshot, const char *role)
{
    for (size_t i = 0; i < snapshot->n_roles; i++) {
        if (strcmp(snapshot->roles[i].role, role) == 0) {
            return &snapshot->roles[i];
        }
    }
    return NULL;
}
