/*
 * Comrade: services find each other, leave gracefully, and are killed from anywhere, through the
 * database their owner already runs.
 *
 * Objects
 *   comrade_cluster  a store + namespace + kind, and the one thread that talks to the store
 *   comrade_member   one running instance of a service; registers, heartbeats, hears of requests
 *   comrade_client   looks at the members of a cluster and asks things of them
 *   comrade_watch    tells a client's user whenever the live set changes
 *
 * Calls
 *   Every call that needs the store exists once, as submit and completion: comrade_X_submit()
 *   queues the work and returns at once; `done` is called later, from comrade_cluster_dispatch().
 *   comrade_X() is a thin wrapper that submits and waits at most `timeout_ms`.
 *
 * Event loops
 *   comrade_cluster_fd() is readable (level-triggered) while completions or events are waiting;
 *   comrade_cluster_dispatch() runs their callbacks on the calling thread. No callback is ever run
 *   on any other thread, and none is run by the blocking forms except a custom health check.
 *
 * Threads
 *   A cluster and all that belongs to it may be used from several threads, but dispatch() by one
 *   at a time, and *_free() only when no other thread uses the object. Every function may be called
 *   from inside a callback, except comrade_cluster_close() and the blocking forms.
 *
 * Fork
 *   After fork() without exec() the child must not use or free any object made before the fork.
 *   All descriptors are close-on-exec. The library's thread blocks all signals and raises no
 *   SIGPIPE.
 *
 * Ownership
 *   `const char *` arguments are copied. Pointers handed out are borrowed: from a callback until it
 *   returns, from a comrade_members until comrade_members_free(). Free functions accept NULL.
 *
 * Options
 *   Each struct of options begins with its size: set all of it by its initialiser. A program built
 *   against an older header gets the defaults of what is newer; one built against a newer header is
 *   refused (UNSUPPORTED) if it asks for what this library does not know.
 *
 * Errors
 *   Functions return 0 (COMRADE_OK) or a negative comrade_status, and describe what was tried, on
 *   which store, and what it said, in a caller-owned comrade_error (NULL is accepted). Secrets in a
 *   store's URL never appear there. Outputs are untouched on failure.
 *
 * Times are int64_t milliseconds: since 1970 by the store's clock where they name a moment.
 */
#ifndef COMRADE_H
#define COMRADE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define COMRADE_API __attribute__((visibility("default")))
#else
#define COMRADE_API
#endif

#define COMRADE_VERSION_MAJOR 1
#define COMRADE_VERSION_MINOR 0
#define COMRADE_VERSION_PATCH 0

/* The version of the library that is linked, such as "1.0.0". */
COMRADE_API const char *comrade_version(void);

/* --- Status -------------------------------------------------------------------------------- */

/* To add one: a row here. X(NAME, value, "what it means", may it be retried as it is). */
#define COMRADE_STATUS_MAP(X)                                                                      \
    X(OK, 0, "done", false)                                                                        \
    X(INVALID, -1, "invalid argument", false)                                                      \
    X(NOT_FOUND, -2, "no such member", false)                                                      \
    X(AMBIGUOUS, -3, "more than one member matches", false)                                        \
    X(REFUSED, -4, "refused by the disruption budget", false)                                      \
    X(UNAVAILABLE, -5, "the store cannot be reached; nothing was applied", true)                   \
    X(UNKNOWN, -6, "the store's answer was lost; it may have been applied", false)                 \
    X(CONFLICT, -7, "the world has moved since it was looked at", true)                            \
    X(BUSY, -8, "too many conflicts; nothing was applied", true)                                   \
    X(GONE, -9, "the record is gone", false)                                                       \
    X(FENCED, -10, "a later incarnation has taken over this id", false)                            \
    X(IN_USE, -11, "the id is running elsewhere", false)                                           \
    X(DENIED, -12, "the store refuses the permission", false)                                      \
    X(TOO_LARGE, -13, "too large", false)                                                          \
    X(SCHEMA_TOO_NEW, -14, "the store's schema needs a newer version", false)                      \
    X(UNSUPPORTED, -15, "not supported", false)                                                    \
    X(TIMED_OUT, -16, "not done in time; it may have been applied", true)                          \
    X(CANCELED, -17, "cancelled", false)                                                           \
    X(NO_MEMORY, -18, "out of memory", true)                                                       \
    X(SYSTEM, -19, "an operating system call failed", false)                                       \
    X(BROKEN, -20, "the store is damaged or is not ours", false)

typedef enum comrade_status {
#define COMRADE_STATUS_ENUM(name, value, text, retry) COMRADE_##name = value,
    COMRADE_STATUS_MAP(COMRADE_STATUS_ENUM)
#undef COMRADE_STATUS_ENUM
        COMRADE_STATUS_FORCE_INT = -0x7fffffff
} comrade_status;

/* "UNAVAILABLE" and "the store cannot be reached; …". Never NULL. */
COMRADE_API const char *comrade_status_name(comrade_status status);
COMRADE_API const char *comrade_status_text(comrade_status status);
/* May the same call be made again, as it is, with hope? */
COMRADE_API bool comrade_status_is_retryable(comrade_status status);

#define COMRADE_ERROR_MESSAGE_SIZE 1024

/* Caller-owned; written only on failure. The message is one line of UTF-8 without control bytes. */
typedef struct comrade_error {
    comrade_status status;
    char message[COMRADE_ERROR_MESSAGE_SIZE];
} comrade_error;

/* --- Limits (core's, the same on every store) ------------------------------------------------ */

#define COMRADE_ID_MAX_BYTES 128        /* UTF-8, no control characters, no '/', not empty */
#define COMRADE_ROLE_MAX_BYTES 64       /* likewise */
#define COMRADE_METADATA_MAX_BYTES 8192 /* a JSON object without duplicate keys, as text */
#define COMRADE_REASON_MAX_BYTES 256
#define COMRADE_NAME_MAX_BYTES 64 /* namespace, kind, host, user, version */

/* --- Cluster --------------------------------------------------------------------------------- */

typedef struct comrade_cluster comrade_cluster;

/*
 * Called from dispatch() when a store that can push does not: once, with why. Until it is called
 * with NULL, requests come with the next heartbeat, and watches look once in an interval of it. A
 * store that fails altogether is told of elsewhere (COMRADE_EVENT_ERROR, comrade_on_change).
 */
typedef void (*comrade_on_push)(void *user, const comrade_error *error);

typedef struct comrade_cluster_options {
    size_t size;             /* sizeof(comrade_cluster_options) */
    const char *store;       /* URL: "sqlite:/var/lib/app/comrade.db"; required */
    const char *name_space;  /* NULL: none */
    const char *kind;        /* NULL: "ComradeServer" */
    int64_t heartbeat_ms;    /* 0: 10,000. Allowed: 100 to 3,600,000 */
    int64_t call_timeout_ms; /* 0: 5,000. The deadline of one call to the store */
    bool must_exist;         /* a store that nobody has made yet is UNAVAILABLE; else it is made */
    comrade_on_push on_push; /* may be NULL */
    void *push_user;
    int64_t silence_limit_ms; /* 0: none. While the user's thread has dispatched nothing for so
                                 long, though something was waiting, members do not heartbeat */
} comrade_cluster_options;
#define COMRADE_CLUSTER_OPTIONS_INIT                                                               \
    {                                                                                              \
        sizeof(comrade_cluster_options), NULL, NULL, NULL, 0, 0, false, NULL, NULL, 0              \
    }

/*
 * Starts the thread for a store. The store itself is opened behind it, and again whenever it was
 * lost: an unreachable store is no error here, but of the calls that need it.
 * Errors: INVALID (also an unknown scheme, and what no store of that scheme can be called),
 * UNSUPPORTED (its driver is not there), NO_MEMORY, SYSTEM.
 */
COMRADE_API comrade_status comrade_cluster_open(const comrade_cluster_options *options,
                                                comrade_cluster **cluster, comrade_error *error);
/*
 * Ends the thread: what is under way is cancelled, what is queued completes with CANCELED (and
 * its `done` is not called). Members, clients and watches of the cluster must have been freed.
 * Takes at most about 250 ms beyond the store's own cancelling.
 */
COMRADE_API void comrade_cluster_close(comrade_cluster *cluster);
/* Readable while dispatch() has something to do. Owned by the cluster. */
COMRADE_API int comrade_cluster_fd(const comrade_cluster *cluster);
/*
 * Runs the callbacks that are waiting, on this thread, and leaves what they queue for the next
 * time. Never blocks. Returns how many it ran.
 */
COMRADE_API size_t comrade_cluster_dispatch(comrade_cluster *cluster);
/* The store's URL without its secrets. Borrowed until close. */
COMRADE_API const char *comrade_cluster_store(const comrade_cluster *cluster);
/*
 * May the store push at all? If not (Google Cloud Datastore), nobody is told of it through on_push:
 * a request comes with the member's next heartbeat, and watches look four times an interval.
 */
COMRADE_API bool comrade_cluster_can_push(const comrade_cluster *cluster);

/* --- What a caller sees of a member ----------------------------------------------------------- */

/* To add one: a row here. X(NAME, "name in JSON and tables"). */
#define COMRADE_STATE_MAP(X)                                                                       \
    X(STARTING, "starting")                                                                        \
    X(UP, "up")                                                                                    \
    X(UNHEALTHY, "unhealthy")                                                                      \
    X(DRAINING, "draining")                                                                        \
    X(STOPPING, "stopping")                                                                        \
    X(STOPPED, "stopped")                                                                          \
    X(BACKOFF, "backoff")

typedef enum comrade_state {
#define COMRADE_STATE_ENUM(name, text) COMRADE_STATE_##name,
    COMRADE_STATE_MAP(COMRADE_STATE_ENUM)
#undef COMRADE_STATE_ENUM
} comrade_state;

COMRADE_API const char *comrade_state_name(comrade_state state);

typedef enum comrade_request_kind {
    COMRADE_REQUEST_NONE = 0,
    COMRADE_REQUEST_KILL = 1,    /* leave: drain, stop, and stay away */
    COMRADE_REQUEST_RESTART = 2, /* leave, and come back as the next incarnation */
} comrade_request_kind;

/* All strings are borrowed and never NULL ("" where there is nothing). */
typedef struct comrade_member_data {
    size_t size;
    const char *id;
    const char *role;
    const char *metadata; /* a JSON object as text; "{}" if there is none */
    const char *details;  /* a JSON object as text: the last exit and its stderr tail, … */
    const char *host;     /* where it runs, as it says itself */
    const char *version;  /* of Comrade in that process */
    int64_t pid;          /* of the service; 0 while there is none */
    int64_t incarnation;
    comrade_state state;
    bool is_alive;     /* has not begun to shut down, and nobody zombified it */
    bool is_healthy;   /* heartbeat fresh and no failed check; or as the custom check says */
    bool is_stale;     /* no heartbeat for over an hour */
    bool is_available; /* what the disruption budget counts */
    int64_t created_ms;
    int64_t updated_ms;  /* last heartbeat */
    int64_t shutdown_ms; /* when it was asked to shut down; 0: it was not */
    int64_t now_ms;      /* the store's clock when this was read */
    comrade_request_kind request;
    const char *request_id;   /* this and what follows: of the request, or of the zombification */
    const char *requested_by; /* "user@host", with the database's user where it has one */
    const char *request_reason;
} comrade_member_data;

/* A list of members, sorted by role and id; immutable. */
typedef struct comrade_members comrade_members;
COMRADE_API size_t comrade_members_count(const comrade_members *members);
/* NULL past the end. */
COMRADE_API const comrade_member_data *comrade_members_at(const comrade_members *members, size_t i);
COMRADE_API void comrade_members_free(comrade_members *members);
/* The same list for one more holder, who frees it, too: what is borrowed may so be kept. */
COMRADE_API comrade_members *comrade_members_share(const comrade_members *members);

/* What a call came to. Borrowed by the callback; `members` can be kept with take_members(). */
typedef struct comrade_outcome comrade_outcome;
COMRADE_API comrade_status comrade_outcome_status(const comrade_outcome *outcome);
/* NULL when the status is COMRADE_OK. */
COMRADE_API const comrade_error *comrade_outcome_error(const comrade_outcome *outcome);
/* The members that the call listed, killed or deleted. NULL where a call has none to tell. */
COMRADE_API const comrade_members *comrade_outcome_members(const comrade_outcome *outcome);
/* Transfers the list to the caller, who frees it. */
COMRADE_API comrade_members *comrade_outcome_take_members(comrade_outcome *outcome);
/* What comrade_cluster_check found, a line each, "problem: …" or "ok: …". Never NULL. */
COMRADE_API const char *comrade_outcome_findings(const comrade_outcome *outcome);
/* What get_role and set_role saw: the minimum of the role spec; -1 where nobody set one. */
COMRADE_API int comrade_outcome_min_members(const comrade_outcome *outcome);
/* Of the role that the call was about, when it was decided. 0 for other calls. */
COMRADE_API int comrade_outcome_available(const comrade_outcome *outcome);

/* Called once for each submit that returned COMRADE_OK, from comrade_cluster_dispatch(). */
typedef void (*comrade_done)(void *user, comrade_outcome *outcome);

/*
 * Asks the store what it does not promise, and what its owner should know. Outcome: findings. The
 * blocking form transfers them as text, which the caller free()s.
 */
COMRADE_API comrade_status comrade_cluster_check_submit(comrade_cluster *cluster, comrade_done done,
                                                        void *user, comrade_error *error);
COMRADE_API comrade_status comrade_cluster_check(comrade_cluster *cluster, int64_t timeout_ms,
                                                 char **findings, comrade_error *error);
/*
 * Tells, in pieces and without a connection, what the owner of a store runs by hand to set it up
 * for users with fewer rights: SQL for psql, say. `on_text` is called on this thread.
 * Errors: INVALID, UNSUPPORTED (its driver is not there, or a store that needs no setting up).
 */
COMRADE_API comrade_status comrade_store_setup_text(const char *url,
                                                    void (*on_text)(void *user, const char *text),
                                                    void *user, comrade_error *error);
/* Does the same through the store: makes what is not there yet. Safe to repeat. */
COMRADE_API comrade_status comrade_cluster_set_up_submit(comrade_cluster *cluster,
                                                         comrade_done done, void *user,
                                                         comrade_error *error);
COMRADE_API comrade_status comrade_cluster_set_up(comrade_cluster *cluster, int64_t timeout_ms,
                                                  comrade_error *error);
/*
 * Removes from the store all that Comrade ever made in it, also of other namespaces and kinds,
 * whoever is running. Errors: UNSUPPORTED (the error says what to remove by hand), DENIED, and
 * those of every call.
 */
COMRADE_API comrade_status comrade_cluster_drop_submit(comrade_cluster *cluster, comrade_done done,
                                                       void *user, comrade_error *error);
COMRADE_API comrade_status comrade_cluster_drop(comrade_cluster *cluster, int64_t timeout_ms,
                                                comrade_error *error);

/* --- Member ----------------------------------------------------------------------------------- */

typedef struct comrade_member comrade_member;

/* To add one: a row here, and the code that raises it. */
typedef enum comrade_event_kind {
    COMRADE_EVENT_REGISTERED = 0, /* the record is written; others can see it */
    COMRADE_EVENT_SHUTDOWN = 1,   /* once per incarnation: leave. alive:false is committed, or was
                                     sent 5 s ago without an answer. Heartbeats go on until stop */
    COMRADE_EVENT_ERROR = 2,      /* the store fails; said once per outage. The member goes on */
    COMRADE_EVENT_LOST = 3,       /* the record was deleted or is older than ours */
    COMRADE_EVENT_RESTORED = 4,   /* after LOST or ERROR: the record is back, whole */
    COMRADE_EVENT_FENCED = 5,     /* another process has taken over the id: leave, do not fight */
    COMRADE_EVENT_IN_USE = 6,     /* registration refused: the id runs elsewhere (see error) */
    COMRADE_EVENT_ZOMBIFIED = 7,  /* somebody took it off the list; it is not asked to leave */
    COMRADE_EVENT_RESTART = 8,    /* as SHUTDOWN, and come back: free the member, and register
                                     another one of the same id. A SHUTDOWN may still follow */
} comrade_event_kind;

typedef struct comrade_event {
    size_t size;
    comrade_event_kind kind;
    comrade_member *member;
    const comrade_member_data *data; /* SHUTDOWN, RESTART: as read, with who and why. Else NULL */
    const comrade_error *error;      /* ERROR, IN_USE. NULL elsewhere */
} comrade_event;

typedef void (*comrade_on_event)(void *user, const comrade_event *event);

/*
 * When may a record that exists be taken over? Always if it is stopped, has had no heartbeat for
 * 60 s, or names a process of this host that no longer exists. Its old owner, if there is one after
 * all, is fenced. Else the member hears IN_USE, with the host and the pid, and is not registered.
 */
typedef enum comrade_takeover {
    COMRADE_TAKEOVER_DEAD = 0,      /* the rule above alone */
    COMRADE_TAKEOVER_SAME_HOST = 1, /* also from this host where the record names no process:
                                       the caller holds a lock on the id */
    COMRADE_TAKEOVER_ALWAYS = 2,
} comrade_takeover;

typedef struct comrade_member_options {
    size_t size;
    const char *role;     /* required */
    const char *id;       /* NULL: a UUID v4 */
    const char *metadata; /* JSON object as text; NULL: {} */
    const char *host;     /* NULL: the machine's name */
    int64_t pid;          /* 0: this process */
    bool is_ready;        /* true: registers as up, alive and available, like the original;
                             false: as starting, and not alive until a report says so */
    comrade_takeover takeover;
    comrade_on_event on_event; /* may be NULL */
    void *user;
} comrade_member_options;
#define COMRADE_MEMBER_OPTIONS_INIT                                                                \
    {                                                                                              \
        sizeof(comrade_member_options), NULL, NULL, NULL, NULL, 0, true, COMRADE_TAKEOVER_DEAD,    \
            NULL, NULL                                                                             \
    }

/* Nothing is sent until start. Errors: INVALID, TOO_LARGE, NO_MEMORY. */
COMRADE_API comrade_status comrade_member_new(comrade_cluster *cluster,
                                              const comrade_member_options *options,
                                              comrade_member **member, comrade_error *error);
/*
 * Stops it first (see stop), without waiting: what was set before it is still written, for at most
 * a minute and until the close. No event is delivered afterwards.
 */
COMRADE_API void comrade_member_free(comrade_member *member);
COMRADE_API const char *comrade_member_id(const comrade_member *member);
COMRADE_API const char *comrade_member_role(const comrade_member *member);
/* 0 until registered. */
COMRADE_API int64_t comrade_member_incarnation(const comrade_member *member);

/* Registers (retrying until it works) and heartbeats. A second start does nothing. */
COMRADE_API comrade_status comrade_member_start(comrade_member *member, comrade_error *error);
/* Ends the heartbeats; the record stays as it is. What was set before it is still written. */
COMRADE_API void comrade_member_stop(comrade_member *member);

/* What the member says of itself. NULL strings and negative numbers: as before. */
typedef struct comrade_report {
    size_t size;
    comrade_state state;
    bool is_alive;     /* in rotation */
    bool is_available; /* may be counted by the budget */
    int64_t pid;
    const char *metadata;
    const char *details;
} comrade_report;
#define COMRADE_REPORT_INIT                                                                        \
    {                                                                                              \
        sizeof(comrade_report), COMRADE_STATE_UP, true, true, -1, NULL, NULL                       \
    }
/*
 * Writes the own part; `done` (may be NULL) when it is committed. Reports made while one is under
 * way are gathered: only the last one is written, and all of them complete.
 */
COMRADE_API comrade_status comrade_member_report_submit(comrade_member *member,
                                                        const comrade_report *report,
                                                        comrade_done done, void *user,
                                                        comrade_error *error);
COMRADE_API comrade_status comrade_member_report(comrade_member *member,
                                                 const comrade_report *report, int64_t timeout_ms,
                                                 comrade_error *error);
/* Reads the record back: one member in the outcome, or NOT_FOUND. */
COMRADE_API comrade_status comrade_member_fetch_submit(comrade_member *member, comrade_done done,
                                                       void *user, comrade_error *error);
COMRADE_API comrade_status comrade_member_fetch(comrade_member *member, int64_t timeout_ms,
                                                comrade_members **members, comrade_error *error);
/* Writes alive:false. The original's reportDead. */
COMRADE_API comrade_status comrade_member_report_dead_submit(comrade_member *member,
                                                             comrade_done done, void *user,
                                                             comrade_error *error);
COMRADE_API comrade_status comrade_member_report_dead(comrade_member *member, int64_t timeout_ms,
                                                      comrade_error *error);
/* A heartbeat now. The original's update. */
COMRADE_API comrade_status comrade_member_update_submit(comrade_member *member, comrade_done done,
                                                        void *user, comrade_error *error);
COMRADE_API comrade_status comrade_member_update(comrade_member *member, int64_t timeout_ms,
                                                 comrade_error *error);

/* --- Client ----------------------------------------------------------------------------------- */

typedef struct comrade_client comrade_client;

/* One running health check. Answer it exactly once, from any thread. */
typedef struct comrade_health_check comrade_health_check;
COMRADE_API const comrade_member_data *
comrade_health_check_member(const comrade_health_check *check);
/* Transfers the check. An answer after its time-out, or after the close, is accepted and ignored.
 */
COMRADE_API void comrade_health_check_answer(comrade_health_check *check, bool is_healthy);
/*
 * Called from dispatch(), or by a blocking form on its caller's thread. It must not block: answer
 * at once or later. Unanswered after health_check_timeout_ms: unhealthy.
 */
typedef void (*comrade_on_health_check)(void *user, comrade_health_check *check);

typedef struct comrade_role_minimum {
    const char *role;
    int min_members; /* 0 is allowed */
} comrade_role_minimum;

typedef struct comrade_client_options {
    size_t size;
    const comrade_role_minimum *roles; /* this client's own minimums; they can only raise */
    size_t n_roles;
    comrade_on_health_check on_health_check; /* NULL: a heartbeat younger than 60 s */
    void *health_check_user;
    int64_t health_check_timeout_ms; /* 0: 2,000 */
    size_t health_check_limit;       /* how many run at once; 0: 32 */
} comrade_client_options;
#define COMRADE_CLIENT_OPTIONS_INIT                                                                \
    {                                                                                              \
        sizeof(comrade_client_options), NULL, 0, NULL, NULL, 0, 0                                  \
    }

COMRADE_API comrade_status comrade_client_new(comrade_cluster *cluster,
                                              const comrade_client_options *options,
                                              comrade_client **client, comrade_error *error);
/* Calls of it that are under way complete with CANCELED; their `done` is not called. Its watches
   say nothing any more; they are still to be stopped. */
COMRADE_API void comrade_client_free(comrade_client *client);

typedef enum comrade_filter { COMRADE_ANY = 0, COMRADE_YES = 1, COMRADE_NO = 2 } comrade_filter;

/* `key` names a field (id, role, state, host, pid, version) or else a key of the metadata. */
typedef struct comrade_where {
    const char *key;
    const char *value; /* compared with a metadata value as its text: 80, true, "x" → 80, true, x */
} comrade_where;

typedef struct comrade_query {
    size_t size;
    const char *role; /* NULL: all */
    comrade_filter alive;
    comrade_filter healthy;
    comrade_filter stale;
    comrade_filter available;
    const comrade_where *where; /* all must hold */
    size_t n_where;
} comrade_query;
#define COMRADE_QUERY_INIT                                                                         \
    {                                                                                              \
        sizeof(comrade_query), NULL, COMRADE_ANY, COMRADE_ANY, COMRADE_ANY, COMRADE_ANY, NULL, 0   \
    }

/* Outcome: the members that match. A NULL query lists all. */
COMRADE_API comrade_status comrade_client_get_members_submit(comrade_client *client,
                                                             const comrade_query *query,
                                                             comrade_done done, void *user,
                                                             comrade_error *error);
COMRADE_API comrade_status comrade_client_get_members(comrade_client *client,
                                                      const comrade_query *query,
                                                      int64_t timeout_ms, comrade_members **members,
                                                      comrade_error *error);

typedef struct comrade_request_options {
    size_t size;
    const char *reason;  /* recorded; NULL: none */
    const char *user;    /* recorded; NULL: the operating system's user */
    bool is_budgeted;    /* kill, restart: refuse what would take the role below its minimum */
    bool accept_prefix;  /* kill, restart, zombify: `id` may be a unique prefix */
    int64_t interval_ms; /* rolling kill: between two kills; 0: 10,000 */
} comrade_request_options;
#define COMRADE_REQUEST_OPTIONS_INIT                                                               \
    {                                                                                              \
        sizeof(comrade_request_options), NULL, NULL, false, false, 0                               \
    }

/*
 * Asks one member to leave. By default unconditional, as in the original. Asking again leaves the
 * first request as it is, and succeeds. Outcome: the member.
 * Errors: NOT_FOUND, AMBIGUOUS, REFUSED, BUSY, UNAVAILABLE, UNKNOWN, DENIED.
 */
COMRADE_API comrade_status comrade_client_kill_submit(comrade_client *client, const char *id,
                                                      const comrade_request_options *options,
                                                      comrade_done done, void *user,
                                                      comrade_error *error);
COMRADE_API comrade_status comrade_client_kill(comrade_client *client, const char *id,
                                               const comrade_request_options *options,
                                               int64_t timeout_ms, comrade_error *error);
/*
 * Asks one member to leave and to come back: an agent drains its process, stops it and starts it
 * again; in a process it is an event. What is said of kill holds, too. The request is done when
 * the member is back, as a later incarnation. Who was asked to leave for good is not asked: the
 * outcome tells it as it is.
 */
COMRADE_API comrade_status comrade_client_restart_submit(comrade_client *client, const char *id,
                                                         const comrade_request_options *options,
                                                         comrade_done done, void *user,
                                                         comrade_error *error);
COMRADE_API comrade_status comrade_client_restart(comrade_client *client, const char *id,
                                                  const comrade_request_options *options,
                                                  int64_t timeout_ms, comrade_error *error);
/*
 * Asks the member with the earliest `created` (ties: the smallest id) of those that match, are
 * alive, have a fresh heartbeat and were not yet asked, unless the role would keep fewer available
 * members than its minimum. The query must name a role. Outcome: the member.
 */
COMRADE_API comrade_status comrade_client_kill_oldest_submit(comrade_client *client,
                                                             const comrade_query *query,
                                                             const comrade_request_options *options,
                                                             comrade_done done, void *user,
                                                             comrade_error *error);
COMRADE_API comrade_status comrade_client_kill_oldest(comrade_client *client,
                                                      const comrade_query *query,
                                                      const comrade_request_options *options,
                                                      int64_t timeout_ms, comrade_members **members,
                                                      comrade_error *error);
/*
 * Notes the members that match now, then asks the oldest of them every interval, under the
 * minimum, until all of them have been asked or are gone. Waits while the budget refuses, and
 * while the store fails once they are noted. Outcome: the members noted. A time-out of the blocking
 * form ends it.
 */
COMRADE_API comrade_status comrade_client_rolling_kill_submit(
    comrade_client *client, const comrade_query *query, const comrade_request_options *options,
    comrade_done done, void *user, comrade_error *error);
COMRADE_API comrade_status comrade_client_rolling_kill(
    comrade_client *client, const comrade_query *query, const comrade_request_options *options,
    int64_t timeout_ms, comrade_members **members, comrade_error *error);
/* Takes a member off the list (alive:false) without asking it to leave. Outcome: the member. */
COMRADE_API comrade_status comrade_client_zombify_submit(comrade_client *client, const char *id,
                                                         const comrade_request_options *options,
                                                         comrade_done done, void *user,
                                                         comrade_error *error);
COMRADE_API comrade_status comrade_client_zombify(comrade_client *client, const char *id,
                                                  const comrade_request_options *options,
                                                  int64_t timeout_ms, comrade_error *error);
/*
 * Deletes the records of members that are stale and unhealthy, and stay silent for one more
 * heartbeat interval while the store answers: after an outage everybody looks stale. It takes that
 * long when there is something to delete. Outcome: the members deleted.
 */
COMRADE_API comrade_status comrade_client_clear_stale_submit(comrade_client *client,
                                                             comrade_done done, void *user,
                                                             comrade_error *error);
COMRADE_API comrade_status comrade_client_clear_stale(comrade_client *client, int64_t timeout_ms,
                                                      comrade_members **members,
                                                      comrade_error *error);
/* A member on this client's cluster; the same as comrade_member_new(). */
COMRADE_API comrade_status comrade_client_create_member(comrade_client *client,
                                                        const comrade_member_options *options,
                                                        comrade_member **member,
                                                        comrade_error *error);
/* The role spec. Outcome: min_members, available, and the members of the role. */
COMRADE_API comrade_status comrade_client_get_role_submit(comrade_client *client, const char *role,
                                                          comrade_done done, void *user,
                                                          comrade_error *error);
/* min_members: 0 to 1,000,000, or -1 to say nothing again. It holds for everybody at once. */
COMRADE_API comrade_status comrade_client_set_role_submit(comrade_client *client, const char *role,
                                                          int min_members, comrade_done done,
                                                          void *user, comrade_error *error);
COMRADE_API comrade_status comrade_client_get_role(comrade_client *client, const char *role,
                                                   int64_t timeout_ms, int *min_members,
                                                   int *available, comrade_error *error);
COMRADE_API comrade_status comrade_client_set_role(comrade_client *client, const char *role,
                                                   int min_members, int64_t timeout_ms,
                                                   comrade_error *error);

/* --- Watch ------------------------------------------------------------------------------------ */

typedef struct comrade_watch comrade_watch;

/*
 * Called from dispatch() with the whole set that matches: once at first, then whenever it has
 * changed (a member came, left, or changed anything but its heartbeat). While the store is
 * unreachable it is called once with `members` NULL and the error; the last set stays true.
 * `members` is borrowed.
 */
typedef void (*comrade_on_change)(void *user, const comrade_members *members,
                                  const comrade_error *error);

COMRADE_API comrade_status comrade_watch_start(comrade_client *client, const comrade_query *query,
                                               comrade_on_change on_change, void *user,
                                               comrade_watch **watch, comrade_error *error);
COMRADE_API void comrade_watch_stop(comrade_watch *watch); /* and frees it */

#ifdef __cplusplus
}
#endif

#endif
