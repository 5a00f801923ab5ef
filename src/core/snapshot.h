/*
 * What a store said about members and roles at one moment: a private copy, in the order it came.
 */
#ifndef CORE_SNAPSHOT_H
#define CORE_SNAPSHOT_H

#include "base/arena.h"

#include <comrade/store.h>

struct snapshot {
    struct arena arena;
    comrade_record *records; /* sorted by role, then id */
    size_t n_records;
    size_t records_capacity;
    comrade_role *roles;
    size_t n_roles;
    size_t roles_capacity;
    int64_t now_ms; /* the store's clock at the last page */
    /* A role's revision changed between two pages: its members are not of one moment. */
    bool is_torn;
};

void snapshot_init(struct snapshot *snapshot);
void snapshot_finish(struct snapshot *snapshot); /* a finished snapshot is an empty one */

/* The callbacks of a comrade_snapshot_sink whose user is a snapshot. Errors: NO_MEMORY. */
comrade_status snapshot_add_record(void *snapshot, const comrade_record *record);
comrade_status snapshot_add_role(void *snapshot, const comrade_role *role);

/* Borrowed; NULL if it is not there. */
const comrade_record *snapshot_find(const struct snapshot *snapshot, const char *id);
const comrade_role *snapshot_role(const struct snapshot *snapshot, const char *role);

#endif
