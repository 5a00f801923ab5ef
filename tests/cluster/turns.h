/* A cluster without a thread: a test makes the worker's turns, in virtual time. */
#ifndef CLUSTER_TURNS_H
#define CLUSTER_TURNS_H

#include "cluster/internal.h"

enum { TURNS_HEARTBEAT_MS = 1000, TURNS_NO_PUSH_MS = 1100 };

/* What the store behind the scheme "turns" does; all else is the memory store's. */
struct turns {
    struct env env;
    int64_t now_ms;
    int64_t beat_takes_ms; /* unless it is cancelled */
    bool is_failing;       /* every call */
    int n_failing_moments; /* at which it was tried in vain */
    int64_t last_failing_ms;
    bool denies_specs;  /* every write of one */
    bool has_no_push;   /* `watch` finds, after a second, that nothing arrives */
    bool is_user_stuck; /* dispatches nothing */
    bool is_deaf;       /* nothing that was pushed is heard */
    int n_watches;      /* that were asked for */
    int n_pushes_lost;  /* as the user was told */
    int n_pushes_back;
    comrade_error push_error;
    int n_beats; /* that were answered */
    int n_snapshots;
    comrade_cluster *cluster;
    /* Called while a heartbeat is under way. */
    void (*on_beat)(struct turns *turns);
};

/* Registers the scheme; a cmocka group setup. */
int turns_register(void **state);
/* `name` is the memory store's. */
comrade_status turns_open(struct turns *turns, const char *name, comrade_error *error);
void turns_run(struct turns *turns, int64_t duration_ms);

#endif
