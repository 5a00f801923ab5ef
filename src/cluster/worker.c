/*
 * The thread that talks to the store. It works in turns, each of which makes at most one call, in
 * the order of urgency: heartbeats, what members must write (registrations, alive:false), what they
 * must read, role specs; then one step of one operation or of one watch. So a long listing, which
 * comes in pages, never holds up a heartbeat, and everything that gathers while a call is under way
 * goes out together in the next. A heartbeat that takes long makes way for what was submitted.
 */
#include "cluster/internal.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum { CANCELLABLE_AFTER_MS = 250, MEMBER_TURNS_MAX = 8 };

static int64_t call_now_ms(void *cluster)
{
    return env_monotonic_ms(((comrade_cluster *)cluster)->env);
}

comrade_call worker_call(comrade_cluster *cluster, bool is_cancellable)
{
    int64_t now_ms = call_now_ms(cluster);
    return (comrade_call){
        .deadline_ms = now_ms + cluster->call_timeout_ms,
        .cancellable_ms = now_ms + CANCELLABLE_AFTER_MS,
        .cancel_fd = is_cancellable ? cluster->wake_fd : cluster->close_fd,
        .now_ms = call_now_ms,
        .clock = cluster,
    };
}

comrade_status worker_call_result(const comrade_call *call, comrade_status status)
{
    bool is_cut = status == COMRADE_UNAVAILABLE && comrade_call_is_over(call) &&
                  call->now_ms(call->clock) < call->deadline_ms;
    return is_cut ? COMRADE_CANCELED : status;
}

static int64_t store_wall_ms(void *cluster)
{
    return env_wall_ms(((comrade_cluster *)cluster)->env);
}

comrade_status worker_open(comrade_cluster *cluster, comrade_error *error)
{
    if (cluster->worker.store != NULL) {
        return COMRADE_OK;
    }
    comrade_store_config config = {
        .size = sizeof config,
        .url = cluster->url,
        .shown_url = cluster->shown_url,
        .name_space = cluster->name_space,
        .kind = cluster->kind,
        .wall_ms = store_wall_ms,
        .clock = cluster,
        .must_exist = cluster->must_exist,
    };
    comrade_call call = worker_call(cluster, false);
    return cluster->driver->open(&config, &call, &cluster->worker.store, error);
}

/* --- What users submit ------------------------------------------------------------------------ */

/* The registration of one that is not there yet is a heartbeat too. */
static void ask_for_beat(comrade_cluster *cluster, struct call *call)
{
    const struct member *core = &call->member->core;
    if (core->phase == MEMBER_IDLE || core->phase == MEMBER_ENDED || core->is_stopping) {
        call_fail(cluster, call, core->phase == MEMBER_ENDED ? core->end_status : COMRADE_NOT_FOUND,
                  NULL);
        return;
    }
    cluster->worker.is_beat_asked = true;
    call->next = cluster->worker.updates;
    cluster->worker.updates = call;
}

static void take(comrade_cluster *cluster, struct call *call)
{
    struct worker *worker = &cluster->worker;
    switch (call->kind) {
    case CALL_OPERATION:
    case CALL_CHECK:
    case CALL_SET_UP:
    case CALL_DROP:
        worker_add_operation(cluster, call);
        break;
    case CALL_REPORT:
        worker_on_report(cluster, call);
        break;
    case CALL_UPDATE:
        ask_for_beat(cluster, call);
        break;
    case CALL_MEMBER_START:
        worker_add_member(cluster, call->member);
        break;
    case CALL_MEMBER_STOP:
        member_stop(&call->member->core);
        break;
    case CALL_MEMBER_FREE:
        worker_release_member(cluster, call->member);
        break;
    case CALL_WATCH_START:
        call->watch->next = worker->watches;
        worker->watches = call->watch;
        break;
    case CALL_WATCH_FREE:
        worker_remove_watch(cluster, call->watch);
        watch_free_now(call->watch);
        break;
    case CALL_CLIENT_FREE:
        worker_free_client(cluster, call->client);
        break;
    }
}

static void take_submitted(comrade_cluster *cluster)
{
    pthread_mutex_lock(&cluster->lock);
    struct call *call = cluster->submitted_first;
    cluster->submitted_first = NULL;
    cluster->submitted_last = NULL;
    if (!cluster->is_closing) {
        uint64_t count;
        ssize_t n = read(cluster->wake_fd, &count, sizeof count);
        (void)n; /* nothing to read is fine */
    }
    pthread_mutex_unlock(&cluster->lock);
    while (call != NULL) {
        struct call *next = call->next;
        take(cluster, call);
        call = next;
    }
}

/* --- Turns ------------------------------------------------------------------------------------ */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Heartbeats come first: they are due once in an interval, and nothing may hold them up. */
static bool serve_members(comrade_cluster *cluster, int64_t now_ms)
{
    bool must_beat = !cluster->worker.is_making_way;
    cluster->worker.is_making_way = false;
    return worker_open_watch(cluster, now_ms) ||
           (must_beat && worker_beat_members(cluster, now_ms)) ||
           worker_write_members(cluster, now_ms) || worker_read_members(cluster, now_ms) ||
           worker_keep_specs(cluster, now_ms);
}

/* Operations and watches take turns. */
static bool serve_clients(comrade_cluster *cluster, int64_t now_ms)
{
    struct worker *worker = &cluster->worker;
    worker->is_watch_turn = !worker->is_watch_turn;
    return worker->is_watch_turn
               ? worker_step_watches(cluster, now_ms) || worker_step_operations(cluster, now_ms)
               : worker_step_operations(cluster, now_ms) || worker_step_watches(cluster, now_ms);
}

/* Members go before clients, but for one turn in a few. */
static bool serve(comrade_cluster *cluster, int64_t now_ms)
{
    struct worker *worker = &cluster->worker;
    bool is_clients_turn = worker->n_member_turns >= MEMBER_TURNS_MAX;
    worker->n_member_turns++;
    if (!is_clients_turn && serve_members(cluster, now_ms)) {
        return true;
    }
    worker->n_member_turns = 0;
    return serve_clients(cluster, now_ms) || (is_clients_turn && serve_members(cluster, now_ms));
}

int64_t worker_turn(comrade_cluster *cluster)
{
    take_submitted(cluster);
    int64_t now_ms = env_monotonic_ms(cluster->env);
    worker_tell_members(cluster, now_ms);
    worker_drain_watch(cluster);
    if (serve(cluster, now_ms)) {
        worker_tell_members(cluster, now_ms);
        return now_ms;
    }
    return earlier(worker_members_due_ms(cluster), worker_operations_due_ms(cluster));
}

static bool is_closing(comrade_cluster *cluster)
{
    pthread_mutex_lock(&cluster->lock);
    bool closing = cluster->is_closing;
    pthread_mutex_unlock(&cluster->lock);
    return closing;
}

static void wait_for_work(comrade_cluster *cluster, int64_t due_ms)
{
    int64_t left_ms = due_ms == INT64_MAX ? -1 : due_ms - env_monotonic_ms(cluster->env);
    if (due_ms != INT64_MAX && left_ms <= 0) {
        return;
    }
    struct pollfd fds[2] = {{.fd = cluster->wake_fd, .events = POLLIN},
                            {.fd = cluster->worker.watch_fd, .events = POLLIN}};
    int timeout_ms = left_ms < 0 ? -1 : left_ms > 3600000 ? 3600000 : (int)left_ms;
    poll(fds, 2, timeout_ms); /* interrupted or not: the next turn looks by itself */
}

void *worker_run(void *user)
{
    comrade_cluster *cluster = user;
    while (!is_closing(cluster)) {
        wait_for_work(cluster, worker_turn(cluster));
    }
    return NULL;
}

/* Members and watches that are still there were not freed; their memory is the user's mistake. */
void worker_finish(comrade_cluster *cluster)
{
    struct worker *worker = &cluster->worker;
    take_submitted(cluster);
    worker_drop_operations(cluster);
    while (worker->updates != NULL) {
        struct call *call = worker->updates;
        worker->updates = call->next;
        call_free(call);
    }
    worker_drop_members(cluster);
    cluster->driver->close(worker->store);
    spec_memory_finish(&worker->specs);
}
