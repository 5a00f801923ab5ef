/*
 * A world in virtual time: one store, hosts with members, administrators. All that is not certain
 * comes from one seed: who runs next, what fails, what is asked. The same seed is the same run.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "cluster/internal.h"

enum {
    WORLD_HOSTS = 5,
    WORLD_MEMBERS_A_HOST = 2,
    WORLD_MEMBERS = WORLD_HOSTS * WORLD_MEMBERS_A_HOST,
    WORLD_ADMINS = 3,
    WORLD_LIVES = 3 * WORLD_MEMBERS,
    WORLD_ACTORS = WORLD_HOSTS + WORLD_ADMINS,
    WORLD_HEARTBEAT_MS = 10 * 1000,
    WORLD_CALL_TIMEOUT_MS = 5000,
};

/* To add a fault or a thing that must have happened: a row here, and the code that counts it. */
#define WORLD_COUNT_MAP(X)                                                                         \
    X(FAIL_BEFORE, "calls failed before they were applied")                                        \
    X(LOST_REPLY, "replies lost after the call was applied")                                       \
    X(LATE_WRITE, "writes applied after their caller gave up")                                     \
    X(DELAY, "slow calls")                                                                         \
    X(PARTITION, "hosts cut off")                                                                  \
    X(WIPE, "wipes of the store")                                                                  \
    X(RESTORE, "old backups restored")                                                             \
    X(LOST_PUSH, "notifications lost")                                                             \
    X(CONFLICT, "conflicts of writes")                                                             \
    X(FENCED, "members fenced")                                                                    \
    X(REFUSED, "requests refused by the budget")                                                   \
    X(KILL, "kills accepted")                                                                      \
    X(RESTART_ASKED, "restarts asked for")                                                         \
    X(SETTLED, "lost answers found out")                                                           \
    X(SHUTDOWN, "shutdowns delivered")                                                             \
    X(CRASH, "members crashed")                                                                    \
    X(RESTART, "members started again")                                                            \
    X(DRAIN, "members drained by themselves")                                                      \
    X(LOST_RECORD, "members that found their record lost")                                         \
    X(RESTORED_RECORD, "members that came back whole")                                             \
    X(ZOMBIE, "members zombified")                                                                 \
    X(CLEARED, "stale members cleared")

enum world_count {
#define WORLD_COUNT_ENUM(name, text) WORLD_##name,
    WORLD_COUNT_MAP(WORLD_COUNT_ENUM)
#undef WORLD_COUNT_ENUM
        WORLD_COUNTS
};

struct world;

/* One process: a cluster without a thread, whose turns the world makes. */
struct actor {
    struct world *world;
    struct env env;
    int64_t skew_ms; /* of its wall clock */
    comrade_cluster *cluster;
    comrade_client *client;   /* administrators */
    int64_t due_ms;           /* its next turn */
    int64_t blocked_until_ms; /* in a slow call */
    int64_t cut_until_ms;     /* partitioned */
    int64_t next_deed_ms;     /* what it does of itself */
    int n_open_calls;         /* that must complete when all faults have ended */
    int n_rolling;
};

/* One life of an id: from its start to its crash, or until it has left. */
struct life {
    struct inhabitant *of; /* NULL: this place is free */
    struct actor *actor;
    comrade_member *member;
    int n_shutdowns; /* told to it */
    int n_restarts;
    bool is_leaving; /* told to, or draining by itself */
    bool is_zombie;
    bool is_doomed;   /* another life has taken the id over: it must be fenced */
    int64_t leave_ms; /* when it will be gone */
};

struct inhabitant {
    char id[32];
    char role[16];
    int i_host;
    struct life *life; /* NULL: not running */
    int64_t start_ms;  /* when it is started again */
    int64_t ended_ms;  /* when a life of it last ended; 0: never */
};

/* What was committed about one id, for the promises. */
struct witness {
    int64_t incarnation;
    comrade_request_kind kind;
    int64_t request_incarnation;
    int64_t requested_ms;
    int64_t sequence;
};

struct world {
    uint64_t seed;
    uint64_t random_state;
    int64_t now_ms; /* virtual, monotonic */
    struct actor actors[WORLD_ACTORS];
    struct inhabitant inhabitants[WORLD_MEMBERS];
    struct life lives[WORLD_LIVES];
    struct witness witnesses[WORLD_MEMBERS];
    int64_t withdrawn[WORLD_MEMBERS]; /* the last incarnation whose alive:false was committed */
    struct late_write *late;
    struct memory_backup *backup;
    comrade_store *eye; /* sees what is committed, without faults */
    bool has_faults;
    bool was_replaced; /* wiped or restored in this step: witnesses begin anew */
    int minimum;       /* of role "app"; set once, and never to be lost */
    bool has_promise_failed;
    long counts[WORLD_COUNTS];
};

void world_init(struct world *world, uint64_t seed);
void world_finish(struct world *world);
/* Runs for so long; false as soon as a promise is broken (which has been printed). */
bool world_run(struct world *world, int64_t duration_ms);
/* Ends all faults and all deeds, lets everything complete, and checks that it has. */
bool world_heal(struct world *world);

/* For the faulty store and the promises. */
uint64_t world_random(struct world *world);
bool world_chance(struct world *world, int one_in);
int64_t world_between(struct world *world, int64_t low, int64_t high);
int64_t world_store_ms(void *world); /* the store's clock */
struct actor *world_current(void);   /* whose turn it is */
void world_broken(struct world *world, int promise, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* faulty_store.c */
extern const comrade_store_driver faulty_driver;
void faulty_use(struct world *world); /* the world of all stores opened from now on */
void faulty_apply_late(struct world *world, bool all);

/* promises.c: what must be true after every step, and at the end. */
void promises_after_write(struct world *world, const comrade_write *write);
void promises_after_step(struct world *world);
void promises_on_asked(struct world *world, struct life *life, bool is_restart);
void promises_at_end(struct world *world);

#endif
