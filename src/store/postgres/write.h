/*
 * A batch of writes between its two round trips: what the first one found and locked, and what the
 * second one is to change. In the batch no id is named twice.
 */
#ifndef POSTGRES_WRITE_H
#define POSTGRES_WRITE_H

#include "core/stored.h"
#include "store/postgres/internal.h"

struct stored_role {
    const char *name;
    int64_t revision;
    int64_t spec_version;
    char recent[RECENT_TEXT_SIZE];
    bool is_bumped; /* by this batch */
};

struct stored_record {
    const char *id;
    const char *role;
    struct stored heads;
};

/* Rows to be written, each a JSON array of objects. */
struct changes {
    json_t *roles;
    json_t *new_own; /* of those who have no record */
    json_t *own;
    json_t *requests;
    json_t *deletions;
    json_t *new_specs;
    json_t *specs;
    json_t *notes; /* payloads */
};

struct batch {
    comrade_store *store;
    const comrade_write *writes;
    size_t n_writes;
    comrade_write_result *results;
    struct answers found; /* holds the texts below */
    int64_t now_ms;
    struct stored_role *roles; /* sorted by name */
    size_t n_roles;
    struct stored_record *records; /* sorted by id */
    size_t n_records;
    const PGresult *locked; /* ids whose heartbeat is locked; NULL: none was to be */
    struct changes changes;
};

/* write_find.c: the first round trip; opens a transaction. */
comrade_status batch_find(struct batch *batch, const comrade_call *call, comrade_error *error);
struct stored_role *batch_role(const struct batch *batch, const char *name);
struct stored_record *batch_record(const struct batch *batch, const char *id);

/* Of a record that is there: one that cannot be locked is another login's. */
bool change_locks_heartbeat(const comrade_change *change);

/* write_judge.c: sets every result, and gathers the changes of those that hold. False: out of
   memory, or a text that is not UTF-8. */
bool batch_judge(struct batch *batch);

/* write_apply.c: the second round trip; ends the transaction. */
comrade_status batch_apply(struct batch *batch, const comrade_call *call, bool must_announce,
                           bool *is_unknown, char sql_state[6], comrade_error *error);

#endif
