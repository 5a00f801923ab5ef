/*
 * The lifecycle of a supervised process, as one table: state × event → state, timer, actions.
 *
 * It decides and does nothing else: no clock, no process, no store. The agent tells it what
 * happened and performs the actions of the row that it hands back. There is one timer, whose
 * meaning is the state's: when `deadline_ms` has come, the agent tells LIFECYCLE_TIMER.
 */
#ifndef CORE_LIFECYCLE_H
#define CORE_LIFECYCLE_H

#include <comrade.h>

/* To add a state: a row here, its view in lifecycle_view(), and a row in the table for each event;
   a test finds what is missing. */
#define LIFECYCLE_STATE_MAP(X)                                                                     \
    X(STOPPED, "stopped")         /* nothing runs: before the first start, and at the end */       \
    X(STARTING, "starting")       /* spawned, not ready yet; not listed */                         \
    X(UP, "up")                   /* ready and listed */                                           \
    X(UNHEALTHY, "unhealthy")     /* listed, but its checks fail */                                \
    X(WITHDRAWING, "withdrawing") /* until others can see that it is off the list */               \
    X(DRAINING, "draining")       /* off the list; finishes what callers have begun */             \
    X(STOPPING, "stopping")       /* told to stop, or killed; until no descendant is left */       \
    X(CLEARING, "clearing")       /* it exited by itself; its leftovers are being killed */        \
    X(BACKOFF, "backoff")         /* waits before it is started again */

enum lifecycle_state {
#define LIFECYCLE_STATE_ENUM(name, text) LIFECYCLE_##name,
    LIFECYCLE_STATE_MAP(LIFECYCLE_STATE_ENUM)
#undef LIFECYCLE_STATE_ENUM
        LIFECYCLE_STATES
};

/* To add an event: a row here, and a row in the table for each state. */
#define LIFECYCLE_EVENT_MAP(X)                                                                     \
    X(START, "start")               /* it is wanted */                                             \
    X(SPAWN_FAILED, "spawn-failed") /* the command could not be executed */                        \
    X(READY, "ready")                                                                              \
    X(CHECK_PASSED, "check-passed")                                                                \
    X(CHECK_FAILED, "check-failed")                                                                \
    X(EXITED, "exited")       /* the main process is gone */                                       \
    X(TREE_GONE, "tree-gone") /* and so are all its descendants */                                 \
    X(TIMER, "timer")                                                                              \
    X(COMMITTED, "committed") /* the store says to all that it is off the list */                  \
    X(LEAVE, "leave")         /* SIGTERM: leave the list, then leave */                            \
    X(EVICT, "evict")         /* leave; the list has forgotten us already (kill request), or the   \
                                 record is another's (fenced) */                                   \
    X(RESTART, "restart")     /* leave, the list has forgotten us already; and start again */      \
    X(HURRY, "hurry")         /* the second SIGTERM: skip the waits */                             \
    X(KILL, "kill")           /* the third */

enum lifecycle_event {
#define LIFECYCLE_EVENT_ENUM(name, text) LIFECYCLE_EVENT_##name,
    LIFECYCLE_EVENT_MAP(LIFECYCLE_EVENT_ENUM)
#undef LIFECYCLE_EVENT_ENUM
        LIFECYCLE_EVENTS
};

/* What the agent is to do, in this order. */
enum lifecycle_action {
    LIFECYCLE_REPORT = 1 << 0,     /* tell the store lifecycle_view() */
    LIFECYCLE_SPAWN = 1 << 1,      /* start the process */
    LIFECYCLE_TERM_GROUP = 1 << 2, /* TERM, then CONT, to its process group */
    LIFECYCLE_TERM_TREE = 1 << 3,  /* the same to every descendant */
    LIFECYCLE_KILL_TREE = 1 << 4,  /* KILL every descendant */
    LIFECYCLE_COUNT = 1 << 5,      /* done by the step itself: the budget may count it from now */
    LIFECYCLE_EXIT = 1 << 6,       /* the agent leaves, when its last report is committed */
    LIFECYCLE_EXIT_NOW = 1 << 7,   /* without waiting for that */
    LIFECYCLE_RENEW = 1 << 8,      /* register as the next incarnation, before the report */
};

enum lifecycle_restart { LIFECYCLE_NEVER, LIFECYCLE_ON_FAILURE, LIFECYCLE_ALWAYS };

struct lifecycle_options {
    enum lifecycle_restart restart;
    bool restarts_unhealthy; /* an unhealthy process is drained and started again */
    int n_failures;          /* checks in a row until it is unhealthy */
    int n_successes;         /* checks in a row until it is up again */
    int64_t ready_timeout_ms;
    int64_t min_healthy_ms;      /* without a failure, until the budget counts it */
    int64_t withdraw_timeout_ms; /* how long the store may take to say that it is off the list */
    int64_t drain_delay_ms;
    int64_t stop_timeout_ms;
};
#define LIFECYCLE_OPTIONS_INIT                                                                     \
    {                                                                                              \
        LIFECYCLE_ON_FAILURE, false, 3, 2, 60000, 10000, 5000, 5000, 30000                         \
    }

#define LIFECYCLE_NO_DEADLINE INT64_MAX
/* A process that was healthy for so long is started again at once, the first time. */
#define LIFECYCLE_HEALTHY_MS 10000
/* One that was up for so long has its earlier failures forgotten. */
#define LIFECYCLE_STABLE_MS (5 * 60 * 1000)
#define LIFECYCLE_BACKOFF_MAX_MS 60000

struct lifecycle {
    struct lifecycle_options options;
    enum lifecycle_state state;
    int64_t deadline_ms; /* when TIMER is due; LIFECYCLE_NO_DEADLINE */
    bool is_available;   /* may be counted by the budget */
    bool is_leaving;     /* somebody asked it to leave: it is not started again */
    bool is_restarting;  /* somebody asked for that: it is started again at once */
    bool is_failure;     /* the run that ends, or has ended, was a failure */
    bool has_timed_out;  /* … because it was not ready in time, or unhealthy */
    bool has_restarted;  /* the restart without delay has been used up */
    int backoff_step;    /* the next delay is 2^step seconds */
    int64_t n_spawns;    /* since the agent started */
    int n_failures;      /* checks in a row */
    int n_successes;     /* checks in a row */
    int64_t up_since_ms; /* or since its last failed check */
    int64_t was_up_ms;   /* how long the run that ends was healthy at the end */
};

struct lifecycle_input {
    enum lifecycle_event event;
    int64_t now_ms;  /* monotonic */
    uint64_t random; /* any; jitters the delay before a restart */
    bool is_failure; /* EXITED: with a code other than 0, or by a signal */
};

/* Which of the rows of a state and event is meant: the first whose guard holds. */
enum lifecycle_guard {
    LIFECYCLE_IF_ANY,         /* always; every state and event ends with such a row */
    LIFECYCLE_IF_FIRST_START, /* it has never been spawned before */
    LIFECYCLE_IF_ASKED,       /* somebody asked for a restart, and nobody for its leaving */
    LIFECYCLE_IF_RESTARTS,    /* nobody asked it to leave, and --restart starts it again */
    LIFECYCLE_IF_FAILING,     /* this was one failed check too many */
    LIFECYCLE_IF_REPLACED,    /* the same, and unhealthy processes are to be started again */
    LIFECYCLE_IF_RECOVERED,   /* enough checks have passed */
    LIFECYCLE_IF_AVAILABLE    /* the budget counts it already */
};

enum lifecycle_timer {
    LIFECYCLE_TIMER_KEEP, /* as it was */
    LIFECYCLE_TIMER_NONE,
    LIFECYCLE_TIMER_READY,
    LIFECYCLE_TIMER_MIN_HEALTHY,
    LIFECYCLE_TIMER_WITHDRAW,
    LIFECYCLE_TIMER_DRAIN,
    LIFECYCLE_TIMER_STOP,
    LIFECYCLE_TIMER_BACKOFF
};

struct lifecycle_row {
    enum lifecycle_state state;
    unsigned events; /* a set of LIFECYCLE_BIT(event) */
    enum lifecycle_guard guard;
    enum lifecycle_state next;
    enum lifecycle_timer timer;
    unsigned actions; /* a set of enum lifecycle_action */
    const char *reason;
};
#define LIFECYCLE_BIT(event) (1u << (event))

void lifecycle_init(struct lifecycle *lifecycle, const struct lifecycle_options *options);
/* Moves on, and returns the row that was followed. Never NULL; static. */
const struct lifecycle_row *lifecycle_step(struct lifecycle *lifecycle,
                                           const struct lifecycle_input *input);

struct lifecycle_view {
    comrade_state state;
    bool is_alive;
    bool is_available;
};
/* What others are told. */
struct lifecycle_view lifecycle_view(const struct lifecycle *lifecycle);

/* Should health checks be run in this state? */
bool lifecycle_is_checked(enum lifecycle_state state);

const char *lifecycle_state_name(enum lifecycle_state state);
const char *lifecycle_event_name(enum lifecycle_event event);

/* The table, for those who print or check it. NULL past the end. */
const struct lifecycle_row *lifecycle_row_at(size_t i);
const char *lifecycle_guard_text(enum lifecycle_guard guard);
const char *lifecycle_timer_text(enum lifecycle_timer timer);

#endif
