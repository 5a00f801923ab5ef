#include "cluster/turns.h"

#include "store/memory/memory.h"

#include <stdio.h>
#include <string.h>

enum { TURNS_MAX = 20000 }; /* a worker that spins ends here, too late in its time */

static struct turns *current; /* whose turn it is */
static comrade_store_driver driver;

static int64_t now_ms(void *user)
{
    struct turns *turns = user;
    return turns->now_ms;
}

/* A store's clock that agrees with the worker's, far from zero. */
static int64_t wall_ms(void *user)
{
    return now_ms(user) + INT64_C(1700000000000);
}

static void random_bytes(void *user, void *bytes, size_t n_bytes)
{
    struct turns *turns = user;
    static uint64_t seed = 1; /* ids must differ from cluster to cluster */
    (void)turns;
    for (size_t i = 0; i < n_bytes; i++) {
        seed = seed * 6364136223846793005U + 1442695040888963407U;
        ((unsigned char *)bytes)[i] = (unsigned char)(seed >> 33);
    }
}

static void note_failure(void)
{
    current->n_failing_moments += current->now_ms != current->last_failing_ms;
    current->last_failing_ms = current->now_ms;
}

static comrade_status fail(comrade_error *error)
{
    note_failure();
    return comrade_error_set(error, COMRADE_UNAVAILABLE, "the store is down");
}

static comrade_status heartbeat(comrade_store *store, const comrade_call *call,
                                const comrade_beat *beats, size_t n_beats,
                                comrade_beat_result *results, comrade_beat_summary *summary,
                                comrade_error *error)
{
    if (current->is_failing) {
        return fail(error);
    }
    if (current->on_beat != NULL) {
        current->on_beat(current);
    }
    for (int64_t left_ms = current->beat_takes_ms; left_ms > 0; left_ms -= 10) {
        if (comrade_call_is_over(call)) {
            return comrade_error_set(error, COMRADE_UNAVAILABLE, "not done in time");
        }
        current->now_ms += 10;
    }
    current->n_beats++;
    return memory_driver.heartbeat(store, call, beats, n_beats, results, summary, error);
}

static comrade_status write_all(comrade_store *store, const comrade_call *call,
                                const comrade_write *writes, size_t n_writes,
                                comrade_write_result *results, comrade_error *error)
{
    bool is_spec =
        n_writes > 0 && writes[0].n_changes > 0 && writes[0].changes[0].kind == COMRADE_PUT_SPEC;
    if (current->denies_specs && is_spec) {
        return comrade_error_set(error, COMRADE_DENIED, "only an administrator may do that");
    }
    return current->is_failing ? fail(error)
                               : memory_driver.write(store, call, writes, n_writes, results, error);
}

static comrade_status snapshot(comrade_store *store, const comrade_call *call,
                               const comrade_snapshot_query *query, const comrade_cursor *from,
                               const comrade_snapshot_sink *sink, comrade_snapshot_page *page,
                               comrade_error *error)
{
    current->n_snapshots++;
    return current->is_failing
               ? fail(error)
               : memory_driver.snapshot(store, call, query, from, sink, page, error);
}

static int watch(comrade_store *store, const comrade_call *call, comrade_error *error)
{
    current->n_watches++;
    if (current->is_failing) {
        note_failure();
    }
    if (current->is_failing || current->has_no_push) {
        current->now_ms += current->is_failing ? 0 : TURNS_NO_PUSH_MS;
        comrade_error_set(error, COMRADE_UNAVAILABLE, "notifications do not arrive");
        return -1;
    }
    return memory_driver.watch(store, call, error);
}

static void drop_change(void *user, const char *role, const char *id)
{
    (void)user;
    (void)role;
    (void)id;
}

static void drop_resync(void *user)
{
    (void)user;
}

static comrade_status drain(comrade_store *store, const comrade_watch_sink *sink,
                            comrade_error *error)
{
    static const comrade_watch_sink deaf = {drop_change, drop_resync, NULL};
    return current->is_failing ? fail(error)
                               : memory_driver.drain(store, current->is_deaf ? &deaf : sink, error);
}

static void on_push(void *user, const comrade_error *error)
{
    struct turns *turns = user;
    turns->n_pushes_lost += error != NULL;
    turns->n_pushes_back += error == NULL;
    if (error != NULL) {
        turns->push_error = *error;
    }
}

int turns_register(void **state)
{
    (void)state;
    driver = memory_driver;
    driver.scheme = "turns";
    driver.heartbeat = heartbeat;
    driver.write = write_all;
    driver.snapshot = snapshot;
    driver.watch = watch;
    driver.drain = drain;
    return comrade_store_register(&driver) == COMRADE_OK ? 0 : -1;
}

comrade_status turns_open(struct turns *turns, const char *name, comrade_error *error)
{
    char store[128];
    snprintf(store, sizeof store, "turns:%s", name);
    *turns = (struct turns){.now_ms = 1000};
    turns->env = (struct env){wall_ms, now_ms, random_bytes, turns};
    comrade_cluster_options options = COMRADE_CLUSTER_OPTIONS_INIT;
    options.store = store;
    options.heartbeat_ms = TURNS_HEARTBEAT_MS;
    options.on_push = on_push;
    options.push_user = turns;
    return cluster_open(&options, &turns->env, false, &turns->cluster, error);
}

void turns_run(struct turns *turns, int64_t duration_ms)
{
    int64_t until_ms = turns->now_ms + duration_ms;
    current = turns;
    for (int n_turns = 0; n_turns < TURNS_MAX; n_turns++) {
        int64_t due_ms = worker_turn(turns->cluster);
        if (!turns->is_user_stuck) {
            comrade_cluster_dispatch(turns->cluster);
        }
        bool is_idle = due_ms > turns->now_ms;
        if (is_idle && turns->cluster->submitted_first == NULL) {
            if (due_ms > until_ms) {
                break;
            }
            turns->now_ms = due_ms;
        }
        if (turns->now_ms > until_ms) {
            break;
        }
    }
    turns->now_ms = turns->now_ms < until_ms ? until_ms : turns->now_ms;
}
