/*
 * What the files of this folder share. Nobody outside includes it but the simulation.
 *
 * Two threads of control meet here. The user's threads submit calls; the worker's thread takes
 * them, is the only one that touches the store, the members' machines and the operations, and
 * leaves notes (completions, events) that the user's dispatch() picks up. What both touch is
 * guarded by cluster.lock, which is never held across a call to the store or a callback. A note
 * is part of what it is about, so that telling of it needs no memory.
 */
#ifndef CLUSTER_INTERNAL_H
#define CLUSTER_INTERNAL_H

#include "base/env.h"
#include "core/member.h"
#include "core/operation.h"
#include "core/spec_memory.h"

#include <pthread.h>
#include <stdatomic.h>

/* --- Notes ------------------------------------------------------------------------------------ */

enum note_kind { NOTE_CALL, NOTE_MEMBER, NOTE_WATCH, NOTE_CHECK, NOTE_PUSH, NOTE_PULSE };

struct note {
    struct note *next;
    struct note *previous;
    enum note_kind kind;
    bool is_queued;
};

/* --- Lists of members that callers get -------------------------------------------------------- */

struct comrade_members {
    atomic_int n_references;
    struct snapshot snapshot;
    comrade_member_data *data;
    size_t n_members;
};

/*
 * Takes the snapshot over (and empties it) and lists the records for which `is_told[i]` is true;
 * `is_told` NULL: all. `verdicts` may be NULL. NULL when out of memory, and then the snapshot is
 * as it was.
 */
comrade_members *members_new(struct snapshot *snapshot, const bool *is_told,
                             const enum verdict *verdicts, int64_t call_timeout_ms);
comrade_members *members_share(comrade_members *members);
/* Equal but for heartbeats and the clock. */
bool members_equal(const comrade_members *a, const comrade_members *b);
void member_data_fill(comrade_member_data *data, const comrade_record *record, struct arena *arena,
                      int64_t now_ms, int64_t call_timeout_ms, enum verdict verdict);

/* --- Calls ------------------------------------------------------------------------------------ */

struct comrade_outcome {
    comrade_status status;
    comrade_error error;
    comrade_members *members;
    char *findings;
    int available;
    int min_members;
};

enum call_kind {
    CALL_OPERATION,
    CALL_REPORT,
    CALL_UPDATE,
    CALL_CHECK,
    CALL_SET_UP,
    CALL_DROP,
    /* Without completion; they cannot fail. */
    CALL_MEMBER_START,
    CALL_MEMBER_STOP,
    CALL_MEMBER_FREE,
    CALL_WATCH_START,
    CALL_WATCH_FREE,
    CALL_CLIENT_FREE,
};

struct call {
    struct note note;
    struct call *next; /* in whatever list it is */
    enum call_kind kind;
    comrade_client *client;
    comrade_member *member;
    comrade_watch *watch;
    struct operation *operation;
    enum need need;
    comrade_cursor cursor; /* of a snapshot under way */
    size_t n_written;      /* of a write that goes in parts */
    comrade_write_result *write_results;
    int64_t due_ms; /* NEED_WAIT */
    struct check_run *checks;
    comrade_report report; /* CALL_REPORT; its texts are owned */
    int64_t sequence;      /* CALL_REPORT: the commit that completes it */
    comrade_outcome outcome;

    comrade_done done;
    void *user;
    bool is_blocking;
    /* Guarded by the lock. */
    bool is_done;
    bool is_abandoned; /* nobody waits any more: drop it */
};

/* --- Objects ---------------------------------------------------------------------------------- */

struct comrade_member {
    comrade_cluster *cluster;
    struct member core;   /* the worker's, but for id and role, which never change */
    struct call *waiting; /* the worker's: reports to be completed by a commit */
    comrade_on_event on_event;
    void *user;
    struct call start, stop, release; /* submitting these needs no memory */
    _Atomic int64_t incarnation;
    /* Guarded by the lock. */
    struct note note;
    unsigned pending; /* bits of enum member_event */
    comrade_error error;
    bool is_started;
    bool is_stopped;
    bool is_freed;  /* nothing is told any more */
    int n_tellings; /* callbacks that run now, and may read `core.shutdown` */
    /* The worker's. */
    bool is_released;      /* freed by its user; kept until what it had said is written */
    int64_t keep_until_ms; /* of one that is released */
};

struct comrade_client {
    comrade_cluster *cluster;
    comrade_role_minimum *minimums; /* their texts are owned */
    size_t n_minimums;
    comrade_on_health_check on_health_check;
    void *health_check_user;
    int64_t health_check_timeout_ms;
    size_t health_check_limit;
    struct call release;
    bool is_freed; /* guarded by the lock: completions are dropped */
};

struct comrade_watch {
    comrade_cluster *cluster;
    comrade_client *client;
    struct comrade_watch *next; /* the worker's */
    struct query query;
    comrade_on_change on_change;
    void *user;
    struct call start, release;
    /* The worker's. */
    struct call *look; /* the operation that looks, when one is under way */
    bool is_dirty;
    bool is_troubled;
    int64_t next_look_ms; /* whatever is heard */
    int64_t look_began_ms;
    int64_t rests_until_ms; /* no look before, whatever is heard */
    comrade_members *last;
    /* Guarded by the lock. */
    struct note note;
    comrade_members *pending; /* newest set not yet told */
    bool has_pending_error;
    comrade_error error;
    bool is_freed;
};

struct worker {
    comrade_store *store; /* NULL: not open */
    int watch_fd;         /* -1: no push */
    bool must_watch;
    int64_t watch_asked_ms;    /* when a watch was asked for last */
    int64_t watch_pause_ms;    /* how long not again */
    int n_refusals;            /* how often it was not to be had, and all else was */
    bool has_answered;         /* the store, since a call has failed or a watch was asked for */
    comrade_member **members;  /* sorted by id */
    comrade_member **gathered; /* those that a call is for; as much room as `members` */
    size_t n_members;
    size_t members_capacity;
    struct call *calls; /* operations under way, the next to be served first */
    struct call *calls_last;
    comrade_watch *watches;
    int64_t next_beat_ms;   /* INT64_MAX: nobody to heartbeat */
    int64_t next_member_ms; /* not before: members' calls, after one has failed */
    bool is_beat_asked;
    bool has_failed_to_beat; /* the last time */
    bool is_making_way;      /* a heartbeat was cancelled: what came in between goes first */
    int n_member_turns;      /* for members alone, since anybody else had one */
    bool is_watch_turn;
    struct spec_memory specs;
    int64_t specs_revision;
    bool must_read_specs;
    int64_t next_specs_ms;
    struct call *updates; /* waiting for the heartbeat that they asked for */
};

struct comrade_cluster {
    atomic_int n_references; /* itself, and each health check that is still to be answered */
    const struct env *env;
    const comrade_store_driver *driver;
    char *url;
    char *shown_url;
    char *name_space;
    char *kind;
    char host[COMRADE_NAME_MAX_BYTES + 1];
    int64_t heartbeat_ms;
    int64_t call_timeout_ms;
    bool must_exist;
    comrade_on_push on_push;
    void *push_user;
    int64_t silence_limit_ms; /* 0: none */
    struct worker worker;     /* the worker's */
    pthread_t thread;
    bool has_thread;
    int wake_fd;  /* readable while `submitted` holds something, or while closing */
    int close_fd; /* readable while closing */
    int ready_fd; /* readable while `notes` holds something */
    pthread_mutex_t lock;
    pthread_cond_t call_done; /* CLOCK_MONOTONIC */
    /* Guarded by the lock. */
    struct call *submitted_first;
    struct call *submitted_last;
    struct note *notes_first;
    struct note *notes_last;
    size_t n_notes;
    struct note push_note;
    bool is_push_missing;
    bool was_push_missing; /* as the user was told last */
    comrade_error push_error;
    struct note pulse_note; /* taken by any dispatch */
    int64_t pulse_asked_ms; /* monotonic: when it was queued */
    bool is_silenced;       /* heartbeats rest until it is taken */
    bool is_closing;
};

/* --- cluster.c -------------------------------------------------------------------------------- */

/* As comrade_cluster_open(); without a thread, the caller makes the worker's turns. */
comrade_status cluster_open(const comrade_cluster_options *options, const struct env *env,
                            bool has_thread, comrade_cluster **cluster, comrade_error *error);
void cluster_unref(comrade_cluster *cluster);
void cluster_signal(int fd); /* makes an eventfd readable */

/* --- dispatch.c: both with the lock held ---------------------------------------------------------
 */

void cluster_push_note(comrade_cluster *cluster, struct note *note);
void cluster_remove_note(comrade_cluster *cluster, struct note *note);

/* --- call.c ----------------------------------------------------------------------------------- */

struct call *call_new(enum call_kind kind, comrade_done done, void *user);
void call_free(struct call *call);
void call_submit(comrade_cluster *cluster, struct call *call);
/* By the worker: the outcome is set; tells whoever waits, or drops it. Transfers the call. */
void call_complete(comrade_cluster *cluster, struct call *call);
void call_fail(comrade_cluster *cluster, struct call *call, comrade_status status,
               const comrade_error *error);
/*
 * Submits, waits, and fetches what is asked for (each out may be NULL). Transfers the call.
 */
comrade_status call_run(comrade_cluster *cluster, struct call *call, int64_t timeout_ms,
                        comrade_outcome *outcome, comrade_error *error);
bool call_is_abandoned(comrade_cluster *cluster, struct call *call);

/* --- worker.c --------------------------------------------------------------------------------- */

void *worker_run(void *cluster);
/* One turn: takes what was submitted and makes at most one call to the store. Returns when the
   next turn is due (monotonic; a time in the past: at once). */
int64_t worker_turn(comrade_cluster *cluster);
void worker_finish(comrade_cluster *cluster);
/* The bounds of a call made now. One that is cancellable makes way, after 250 ms, for whatever is
   submitted; every call makes way for closing. */
comrade_call worker_call(comrade_cluster *cluster, bool is_cancellable);
/* What came of it: a call that failed because it was cancelled has only made way: CANCELED. */
comrade_status worker_call_result(const comrade_call *call, comrade_status status);
/* Opens the store if it is not. */
comrade_status worker_open(comrade_cluster *cluster, comrade_error *error);

/* --- worker_push.c ------------------------------------------------------------------------------
 */

/* After a failed call: the store's watch may be another one, and must be asked for again. */
void worker_failed(comrade_cluster *cluster);
/* After one that worked. */
void worker_answered(comrade_cluster *cluster);
/* It has not said what it should have said: it is asked for again. */
void worker_doubt_watch(comrade_cluster *cluster);
void worker_drain_watch(comrade_cluster *cluster);
/* Asks for a watch when that is due; true if it did. */
bool worker_open_watch(comrade_cluster *cluster, int64_t now_ms);
int64_t worker_watch_due_ms(const comrade_cluster *cluster);

/* --- worker_records.c: each makes at most one call, and says whether it made one -----------------
 */

bool worker_write_members(comrade_cluster *cluster, int64_t now_ms);
bool worker_read_members(comrade_cluster *cluster, int64_t now_ms);
bool worker_beat_members(comrade_cluster *cluster, int64_t now_ms);
/* Tells the members that their call did not work, unless it has only made way. */
void worker_fail_members(comrade_cluster *cluster, comrade_member **members, size_t n_members,
                         comrade_status status, const comrade_error *error, int64_t now_ms);
int64_t worker_members_due_ms(const comrade_cluster *cluster);

/* --- owner.c ------------------------------------------------------------------------------------
 */

/* Does the record name a process of this host that is no more? `now_ms`: the store's clock. */
bool is_owner_gone(const comrade_cluster *cluster, const comrade_record *record, int64_t now_ms);

/* --- worker_members.c ---------------------------------------------------------------------------
 */

void worker_add_member(comrade_cluster *cluster, comrade_member *member);
comrade_member *worker_find_member(comrade_cluster *cluster, const char *id);
void worker_tell_members(comrade_cluster *cluster, int64_t now_ms);
void worker_on_report(comrade_cluster *cluster, struct call *call);
/* Frees it as soon as what it had said is written. */
void worker_release_member(comrade_cluster *cluster, comrade_member *member);
void worker_drop_members(comrade_cluster *cluster);

/* --- worker_silence.c --------------------------------------------------------------------------
 */

/* Must the heartbeats rest? Asks the user's thread for a sign with each one that is due. */
bool worker_is_silenced(comrade_cluster *cluster, int64_t now_ms);
/* Has it given one while they rested? True once. */
bool worker_take_return(comrade_cluster *cluster);
void cluster_on_pulse(comrade_cluster *cluster);

/* --- worker_specs.c: likewise -------------------------------------------------------------------
 */

bool worker_keep_specs(comrade_cluster *cluster, int64_t now_ms);

/* --- worker_operations.c ------------------------------------------------------------------------
 */

void worker_add_operation(comrade_cluster *cluster, struct call *call);
bool worker_step_operations(comrade_cluster *cluster, int64_t now_ms);
int64_t worker_operations_due_ms(const comrade_cluster *cluster);
/* One step of an operation, which makes at most one call. */
void worker_advance(comrade_cluster *cluster, struct call *call, int64_t now_ms, bool *has_called);
/* Is there anything to do for it now? */
bool worker_is_due(const struct call *call, int64_t now_ms);
void worker_drop_operations(comrade_cluster *cluster);
void worker_drop_operations_of(comrade_cluster *cluster, const comrade_client *client);

/* --- worker_store.c -----------------------------------------------------------------------------
 */

/* Makes the one call that a CHECK, SET_UP or DROP is, and completes it. */
void worker_call_store(comrade_cluster *cluster, struct call *call);

/* --- worker_watches.c ---------------------------------------------------------------------------
 */

bool worker_step_watches(comrade_cluster *cluster, int64_t now_ms);
int64_t worker_look_due_ms(const comrade_watch *watch); /* of one that is not looking */
void worker_watches_on_change(comrade_cluster *cluster, const char *role);
void worker_remove_watch(comrade_cluster *cluster, comrade_watch *watch);
void worker_remove_watches_of(comrade_cluster *cluster, const comrade_client *client);
void watch_free_now(comrade_watch *watch);
/* Drops its calls, and frees it. In client.c. */
void worker_free_client(comrade_cluster *cluster, comrade_client *client);

/* --- health_check.c -----------------------------------------------------------------------------
 */

/* The running of a client's health checks over one snapshot. */
struct check_run *check_run_new(comrade_cluster *cluster, struct call *call);
void check_run_free(struct check_run *run);
/* Starts what may start and ends what is overdue; true when all verdicts are in. */
bool check_run_step(struct check_run *run, int64_t now_ms);
int64_t check_run_due_ms(const struct check_run *run);
void check_run_take_verdicts(struct check_run *run, struct operation *operation);
/* Runs one callback; on the dispatching or the blocking thread, without the lock. */
void check_call_back(struct note *note);
/* Is there a check of this call to be called back? Lock held; removes it from the queue. */
struct note *check_take_note(comrade_cluster *cluster, const struct call *call);
/* Lock held. Frees a check that waits to be called back, if it is the client's. */
void check_drop_note(struct note *note, const comrade_client *client);

/* --- options.c ----------------------------------------------------------------------------------
 */

/*
 * Copies a caller's struct, which begins with its size, over `to`, which holds the defaults of this
 * version and is untouched on failure. An older, smaller struct leaves the rest at its default; a
 * newer, larger one is accepted where what is unknown here is zero. Errors: INVALID, UNSUPPORTED.
 */
comrade_status options_read(const char *what, const void *from, void *to, size_t to_size,
                            comrade_error *error);

#endif
