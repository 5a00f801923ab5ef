/*
 * What a client does to a cluster, as a machine that has no I/O: it says what it needs next (a
 * snapshot, verdicts of health checks, a write, time), is given it, and says what it needs then,
 * until it is done. Its owner makes the calls to the store; a simulation steps it in virtual time.
 *
 * The hard part is here once, for every kind: a decision is taken over a snapshot, and its write
 * names what it saw. A CONFLICT means that the world has moved: look again, after a jittered
 * pause, 20 times, then BUSY. An UNKNOWN means that the answer was lost: the write may have been
 * applied, or may be still. So look for its request id among the role's recent ones; where it is
 * not, make that final by an empty write at the revision just seen, which a late write then meets.
 */
#ifndef CORE_OPERATION_H
#define CORE_OPERATION_H

#include "base/env.h"
#include "core/health.h"
#include "core/query.h"
#include "core/snapshot.h"

enum operation_kind {
    OPERATION_LIST,
    OPERATION_FETCH,
    OPERATION_KILL,
    OPERATION_RESTART,
    OPERATION_KILL_OLDEST,
    OPERATION_ROLLING_KILL,
    OPERATION_ZOMBIFY,
    OPERATION_CLEAR_STALE,
    OPERATION_GET_ROLE,
    OPERATION_SET_ROLE,
};

enum need {
    NEED_SNAPSHOT, /* fill operation.snapshot by operation.ask, all pages; then on_snapshot */
    NEED_VERDICTS, /* fill operation.verdicts, one a record of the snapshot; then on_verdicts */
    NEED_WRITE,    /* perform operation.writes; then on_written */
    NEED_WAIT,     /* let operation.wait_ms pass; then on_waited */
    NEED_NOTHING,  /* done: operation.status and error say how */
};

/* What is asked. Texts are borrowed by operation_new, which copies them. */
struct operation_options {
    enum operation_kind kind;
    const char *id;   /* fetch, kill, restart, zombify */
    const char *role; /* get_role, set_role */
    const comrade_query *query;
    const comrade_request_options *request;
    const char *host; /* of the one who asks */
    int min_members;  /* set_role */
    const comrade_role_minimum *minimums;
    size_t n_minimums;
    bool has_health_check;
    int64_t heartbeat_ms;
    int64_t call_timeout_ms;
    const struct env *env; /* outlives the operation */
};

struct operation_minimum {
    char *role;
    int min_members;
};

/* A member that a rolling kill or a clearing has noted. */
struct operation_noted {
    char *id;
    char *role;
    int64_t incarnation;
    int64_t updated_ms;
};

struct operation {
    /* What is asked. */
    enum operation_kind kind;
    char *id;
    char *role; /* as asked, or as found out */
    char *reason;
    char *user;
    char *host;
    struct query query;
    struct operation_minimum *minimums;
    size_t n_minimums;
    int min_members;
    bool is_budgeted;
    bool accept_prefix;
    bool has_health_check;
    int64_t interval_ms;
    int64_t heartbeat_ms;
    int64_t call_timeout_ms;
    const struct env *env;

    /* What it needs, and what it was given. */
    comrade_snapshot_query ask;
    struct snapshot snapshot;
    enum verdict *verdicts; /* NULL until asked for; else one a record */
    comrade_write *writes;
    size_t n_writes;
    int64_t wait_ms;

    /* How far it is. */
    char request_id[COMRADE_REQUEST_ID_BYTES + 1];
    const char *ask_ids[1];
    int n_conflicts;
    int n_lost; /* answers lost while settling */
    bool is_settling;
    bool is_finalising;
    int n_probes; /* of clear_stale, how often the store has answered while it waits */
    struct operation_noted *noted;
    size_t n_noted;
    bool has_noted;
    char *spec;
    comrade_request request;
    comrade_change *changes;

    /* What came of it. */
    comrade_status status;
    comrade_error error;
    const char *
        *results; /* ids, borrowed from the snapshot or from `noted`; NULL: all that match */
    size_t n_results;
    int available;
    int spec_min_members;
};

/* Errors: INVALID, TOO_LARGE, NO_MEMORY. */
comrade_status operation_new(const struct operation_options *options, struct operation **operation,
                             comrade_error *error);
void operation_free(struct operation *operation);

enum need operation_start(struct operation *operation);
/* `status` and `error` are of the call that made the snapshot; NULL where it went well. */
enum need operation_on_snapshot(struct operation *operation, comrade_status status,
                                const comrade_error *error);
enum need operation_on_verdicts(struct operation *operation);
/* `results` is parallel to operation.writes; read only if `status` is COMRADE_OK. */
enum need operation_on_written(struct operation *operation, comrade_status status,
                               const comrade_write_result *results, const comrade_error *error);
enum need operation_on_waited(struct operation *operation);

/* Is the record part of what the finished operation tells its caller? */
bool operation_tells(const struct operation *operation, size_t i_record);

#endif
