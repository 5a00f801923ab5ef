/*
 * What a driver author needs: the data that crosses, and the six operations of a store.
 *
 * A driver is straight-line code over its database's client library. All calls on one store are
 * made by one thread, one at a time; they may block, but not past the call's deadline. A driver
 * decides nothing: what may be asked of whom is decided above it, from a snapshot, and `write`
 * makes the decision true or says that the world has moved.
 *
 * A record has three parts that never overwrite each other:
 *   own        what the member says of itself; carries (incarnation, own_sequence), and a store
 *              applies only a greater pair
 *   request    what administrators ask of it; carries a revision of its own
 *   heartbeat  `updated`, and the heads (incarnation, own_sequence, request_revision), kept narrow
 *
 * Revisions are opaque and compared for equality only. A store mints one as
 * max(old + 1, its clock in µs), so that a wiped store cannot repeat one.
 */
#ifndef COMRADE_STORE_H
#define COMRADE_STORE_H

#include <comrade.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised whenever a struct below changes. A driver with another number is not loaded. */
#define COMRADE_STORE_ABI 3

/* --- The data --------------------------------------------------------------------------------- */

/* The member's own part. Strings are NUL-terminated, never NULL. */
typedef struct comrade_own {
    int64_t incarnation;
    int64_t sequence;
    comrade_state state;
    bool is_alive;
    bool is_available;  /* ready for long enough to be counted by the budget */
    int64_t created_ms; /* in a write: 0 means "now, by the store's clock"; see PUT_OWN */
    int64_t pid;
    const char *host;
    const char *version;
    const char *metadata; /* JSON object as text */
    const char *details;  /* JSON object as text, opaque to stores; a place for what comes later */
} comrade_own;

/* The request part. A request is for one incarnation and means nothing to another. */
typedef struct comrade_request {
    int64_t revision; /* 0: nothing was ever asked. Minted by the store on each PUT_REQUEST */
    comrade_request_kind kind;
    int64_t incarnation;           /* whom `kind` is for */
    int64_t zombified_incarnation; /* taken off the list without being asked to leave; 0: none */
    int64_t requested_ms; /* in a write: 0 means "now, by the store's clock" (shutdownDate) */
    const char *request_id;
    const char *user;
    const char *host;
    const char *database_user; /* filled in by the store where it knows one, else "" */
    const char *reason;
} comrade_request;

typedef struct comrade_record {
    const char *id;
    const char *role;
    comrade_own own;
    comrade_request request;
    int64_t updated_ms;
} comrade_record;

/* How many request ids a role remembers, newest first, so that a lost answer can be found out. */
#define COMRADE_RECENT_REQUESTS 16
#define COMRADE_REQUEST_ID_BYTES 36 /* a UUID; the longest a request id may be */

typedef struct comrade_role {
    const char *role;
    int64_t revision;     /* 0: the role has never been written */
    int64_t spec_version; /* 0: no spec. Grows with every PUT_SPEC; chosen by the writer */
    const char *spec;     /* JSON object as text, opaque to stores; "{}" if there is none */
    const char *const *recent_request_ids;
    size_t n_recent_request_ids;
} comrade_role;

/* --- A call's bounds -------------------------------------------------------------------------- */

/* Made by the caller for each call; a driver passes it to comrade_wait() and asks is_over(). */
typedef struct comrade_call {
    int64_t deadline_ms;            /* CLOCK_MONOTONIC; the call must have returned by then */
    int64_t cancellable_ms;         /* from then on, cancel_fd becoming readable ends the call */
    int cancel_fd;                  /* -1: the call cannot be cancelled */
    int64_t (*now_ms)(void *clock); /* CLOCK_MONOTONIC */
    void *clock;
} comrade_call;

/* Has the deadline passed, or has the call been cancelled? */
COMRADE_API bool comrade_call_is_over(const comrade_call *call);
/*
 * Waits until `fd` is ready for one of `events` (POLLIN, POLLOUT), or the call is over.
 * Returns the ready events, 0 when the call is over, -1 with errno set.
 */
COMRADE_API int comrade_call_wait(const comrade_call *call, int fd, short events);
/*
 * Formats into `error` (NULL accepted) and returns `status`. Control characters are escaped, and
 * what does not fit is cut at a character's end.
 */
COMRADE_API comrade_status comrade_error_set(comrade_error *error, comrade_status status,
                                             const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* --- Operations ------------------------------------------------------------------------------- */

typedef struct comrade_store comrade_store; /* the driver's own */

typedef struct comrade_store_config {
    size_t size;
    const char *url;        /* whole, with its secrets: never to be shown */
    const char *shown_url;  /* for errors */
    const char *name_space; /* "" if there is none */
    const char *kind;
    int64_t (*wall_ms)(void *clock); /* for stores whose clock is the machine's */
    void *clock;
    bool must_exist; /* open makes nothing: UNAVAILABLE where there is no store, or no schema, yet.
                        The error says what makes it: `comrade run`, or `comrade store init` */
} comrade_store_config;

typedef struct comrade_beat {
    const char *id;
    int64_t incarnation;
} comrade_beat;

typedef struct comrade_beat_result {
    comrade_status status; /* OK; GONE: no record, or one of an older incarnation;
                              FENCED: the record is of a later incarnation */
    int64_t own_sequence;  /* OK: the heads as stored */
    int64_t request_revision;
} comrade_beat_result;

/* Said once for a whole heartbeat batch. */
typedef struct comrade_beat_summary {
    int64_t now_ms;         /* the store's clock */
    int64_t specs_revision; /* differs whenever any role spec of the cluster has changed; 0: the
                               store does not say, and specs are read once a minute */
} comrade_beat_summary;

typedef enum comrade_change_kind {
    COMRADE_PUT_OWN, /* writes the own part; makes the record (and its heartbeat row) if absent */
    COMRADE_PUT_REQUEST, /* writes the request part of a record that exists */
    COMRADE_PUT_SPEC,    /* writes the role's spec */
    COMRADE_DELETE,      /* removes the record: the heartbeat row first, at its seen value */
} comrade_change_kind;

#define COMRADE_ANYTHING INT64_MIN /* no precondition */

/*
 * One change, with what must hold for it. Where one change of a write does not hold, the whole
 * write does nothing and its result is CONFLICT (or GONE, FENCED, as said below).
 *
 * PUT_OWN      applies if the record is absent, or (incarnation, sequence) is greater than the
 *              stored pair. A smaller incarnation: FENCED. An equal or smaller sequence of the
 *              same incarnation: nothing is done, and that is no error. `created_ms` 0 keeps the
 *              stored value if the incarnation is the stored one, else it is the store's now.
 *              A record that is made, or whose incarnation changes, is a heartbeat too. The id of a
 *              record that exists under another role moves to the write's role, and bumps the
 *              revision of the one it leaves as well.
 * PUT_REQUEST  GONE if there is no record. A revision is minted; `revision` of the change is not
 *              used.
 * PUT_SPEC     `spec_version` and `spec` replace the stored ones.
 * DELETE       an absent record is no error.
 */
typedef struct comrade_change {
    comrade_change_kind kind;
    const char *id;                  /* all but PUT_SPEC */
    const comrade_own *own;          /* PUT_OWN; borrowed */
    const comrade_request *request;  /* PUT_REQUEST; borrowed */
    int64_t spec_version;            /* PUT_SPEC */
    const char *spec;                /* PUT_SPEC; borrowed */
    int64_t expect_incarnation;      /* stored own incarnation; 0: the record is absent */
    int64_t expect_request_revision; /* stored request revision; 0: none was ever made */
    int64_t expect_updated_ms;       /* stored `updated` */
    int64_t expect_spec_version;     /* PUT_SPEC: stored spec version; 0: no spec */
} comrade_change;

/* All or nothing. Every write that is applied bumps its role's revision in its transaction. */
typedef struct comrade_write {
    const char *role;
    int64_t expect_revision; /* the role's; COMRADE_ANYTHING; 0: never written. Else CONFLICT */
    const char *request_id;  /* kept among the role's recent ones when applied; NULL: none */
    const comrade_change *changes;
    size_t n_changes; /* 0 is allowed: bumps the revision alone */
} comrade_write;

typedef struct comrade_write_result {
    comrade_status status; /* OK, CONFLICT, GONE, FENCED, DENIED, TOO_LARGE, INVALID */
    int64_t revision;      /* OK: the role's new one */
    int64_t now_ms;        /* OK: the store's clock at the write: `created`, `requested` */
} comrade_write_result;

typedef enum comrade_scope {
    COMRADE_SCOPE_ALL,
    COMRADE_SCOPE_ROLE,
    COMRADE_SCOPE_IDS
} comrade_scope;

/* Large enough for any driver's place in a snapshot. All zero: the beginning. */
typedef struct comrade_cursor {
    bool is_continued;
    char id[COMRADE_ID_MAX_BYTES + 1];
    char role[COMRADE_ROLE_MAX_BYTES + 1];
    char opaque[256];
} comrade_cursor;

typedef struct comrade_snapshot_query {
    comrade_scope scope;
    const char *role;       /* SCOPE_ROLE */
    const char *const *ids; /* SCOPE_IDS: sorted, without duplicates */
    size_t n_ids;
    bool roles_only; /* only the role specs and revisions, no members */
    size_t limit;    /* at most so many members a call */
} comrade_snapshot_query;

/* Strings are borrowed until the callback returns; a failing callback ends the snapshot. */
typedef struct comrade_snapshot_sink {
    comrade_status (*on_record)(void *user, const comrade_record *record);
    comrade_status (*on_role)(void *user, const comrade_role *role);
    void *user;
} comrade_snapshot_sink;

typedef struct comrade_snapshot_page {
    int64_t now_ms; /* the store's clock */
    bool has_more;
    comrade_cursor next;
} comrade_snapshot_page;

/* What a watch has to say. `id` may be "": the role's spec has changed. */
typedef struct comrade_watch_sink {
    void (*on_change)(void *user, const char *role, const char *id);
    void (*on_resync)(void *user); /* look at everything again */
    void *user;
} comrade_watch_sink;

/*
 * To write a driver, fill one of these and read docs/WRITING_A_STORE.md; then run the contract
 * suite on it. Every operation may also return, for the whole call:
 *   UNAVAILABLE   nothing was applied; the connection is remade at the next call
 *   UNKNOWN       (write only) it may have been applied, or may be still
 *   DENIED, BROKEN, SCHEMA_TOO_NEW, NO_MEMORY, CANCELED (the call was over before it was sent)
 * Per-item results are valid only when the call returned OK.
 */
typedef struct comrade_store_driver {
    uint32_t abi;       /* COMRADE_STORE_ABI */
    const char *scheme; /* "sqlite" */
    /*
     * Connects, checks credentials and schema, creates or migrates it additively: safe when a
     * hundred processes open at once. Does not retry.
     */
    comrade_status (*open)(const comrade_store_config *config, const comrade_call *call,
                           comrade_store **store, comrade_error *error);
    void (*close)(comrade_store *store); /* NULL accepted; must not wait for the server */
    /*
     * Refreshes `updated` of each record whose stored incarnation is the beat's, and tells the
     * heads of each, in one round trip. Ids are sorted and without duplicates. Never bumps a
     * revision, never notifies. A failed call may have refreshed any of them.
     */
    comrade_status (*heartbeat)(comrade_store *store, const comrade_call *call,
                                const comrade_beat *beats, size_t n_beats,
                                comrade_beat_result *results, comrade_beat_summary *summary,
                                comrade_error *error);
    /*
     * Each write stands or falls alone, in its own result. Notifies watchers of what was applied.
     * After UNKNOWN any of them may have been applied.
     */
    comrade_status (*write)(comrade_store *store, const comrade_call *call,
                            const comrade_write *writes, size_t n_writes,
                            comrade_write_result *results, comrade_error *error);
    /*
     * Members (sorted by role, then id; compared as bytes) and roles of one consistent view a role:
     * the records of a role are complete and unmixed if its revision is the same in the first and
     * the last page. Each page tells the roles of its members, before them; SCOPE_ROLE always tells
     * its role, with revision 0 if it was never written; SCOPE_ALL tells every role, also those
     * without members; SCOPE_IDS tells the roles of the records it found, and the records in any
     * order.
     */
    comrade_status (*snapshot)(comrade_store *store, const comrade_call *call,
                               const comrade_snapshot_query *query, const comrade_cursor *from,
                               const comrade_snapshot_sink *sink, comrade_snapshot_page *page,
                               comrade_error *error);
    /*
     * Optional (NULL: the store cannot push). A descriptor that becomes readable when something
     * was written, -1 if push cannot be had now. It belongs to the store and may change after a
     * failed call. From then on no change may be missed without a resync.
     */
    int (*watch)(comrade_store *store, const comrade_call *call, comrade_error *error);
    comrade_status (*drain)(comrade_store *store, const comrade_watch_sink *sink,
                            comrade_error *error);
    /*
     * Optional. What this store does not promise, or its owner should know: one call a finding.
     * For `comrade store check`.
     */
    comrade_status (*check)(comrade_store *store, const comrade_call *call,
                            void (*on_finding)(void *user, bool is_problem, const char *text),
                            void *user, comrade_error *error);
    /*
     * Optional, for stores that have an owner with rights of his own. `setup_text` tells, in pieces
     * and without a connection, what that owner runs by hand to make the schema and the rights
     * (SQL for psql, say); running it again changes nothing. `set_up` does the same through a
     * store that is open. `drop` removes all that this driver ever made in the store, of every
     * cluster in it.
     */
    void (*setup_text)(void (*on_text)(void *user, const char *text), void *user);
    comrade_status (*set_up)(comrade_store *store, const comrade_call *call, comrade_error *error);
    comrade_status (*drop)(comrade_store *store, const comrade_call *call, comrade_error *error);
    /*
     * Optional. Could open() ever do anything with these? Asks nobody and does not block, so that a
     * misspelt URL is refused before anything is started: what open() finds is tried again for
     * ever. Only url, shown_url, name_space and kind are set. Errors: INVALID, TOO_LARGE,
     * NO_MEMORY.
     */
    comrade_status (*check_url)(const comrade_store_config *config, comrade_error *error);
} comrade_store_driver;

/* For static builds: makes a scheme known. `driver` must outlive the process. Not thread-safe. */
COMRADE_API comrade_status comrade_store_register(const comrade_store_driver *driver);

/* The one symbol that a module exports. */
#define COMRADE_STORE_ENTRY "comrade_store_entry"
typedef const comrade_store_driver *(*comrade_store_entry_function)(void);

#ifdef __cplusplus
}
#endif

#endif
