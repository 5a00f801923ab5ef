/*
 * The store's push: its watch, and how far that is trusted.
 *
 * A store may push and yet not be heard: a pooler swallows what the server says. Such a watch
 * cannot be had, which is no failure: requests come with the heartbeats. It is asked for again,
 * ever less often, because asking costs a second; and the user is told once, when the store works
 * otherwise (while it does not, there is nothing special about the watch). A watch that was had and
 * says nothing is found out by what heartbeats reveal.
 */
#include "cluster/internal.h"

#include "base/error.h"

#include <poll.h>

enum { ASK_AGAIN_MAX_MS = 60 * 1000, DOUBLINGS_MAX = 16 };

/* --- What is heard ---------------------------------------------------------------------------- */

static void on_change(void *user, const char *role, const char *id)
{
    comrade_cluster *cluster = user;
    comrade_member *member = worker_find_member(cluster, id);
    if (member != NULL) {
        member_on_change(&member->core);
    }
    if (id[0] == '\0') {
        cluster->worker.must_read_specs = true;
    }
    worker_watches_on_change(cluster, role);
}

static void on_resync(void *user)
{
    comrade_cluster *cluster = user;
    for (size_t i = 0; i < cluster->worker.n_members; i++) {
        member_on_change(&cluster->worker.members[i]->core);
    }
    cluster->worker.must_read_specs = true;
    worker_watches_on_change(cluster, NULL);
}

void worker_drain_watch(comrade_cluster *cluster)
{
    struct worker *worker = &cluster->worker;
    struct pollfd watch = {.fd = worker->watch_fd, .events = POLLIN};
    if (worker->watch_fd < 0 || poll(&watch, 1, 0) <= 0) {
        return;
    }
    comrade_watch_sink sink = {on_change, on_resync, cluster};
    if (cluster->driver->drain(worker->store, &sink, NULL) != COMRADE_OK) {
        worker_failed(cluster);
    }
}

/*
 * What was announced before the watch nobody heard. A heartbeat tells whether there was anything
 * for the members, and costs a store that many come back to less than reading their records would.
 * While heartbeats fail, the next has a time of its own.
 */
static void look_anew(comrade_cluster *cluster)
{
    cluster->worker.is_beat_asked |= !cluster->worker.has_failed_to_beat;
    worker_watches_on_change(cluster, NULL);
}

/* --- Whether it is trusted -------------------------------------------------------------------- */

void worker_failed(comrade_cluster *cluster)
{
    struct worker *worker = &cluster->worker;
    worker->must_watch = true;
    worker->watch_fd = -1; /* the number may be somebody else's by now */
    worker->has_answered = false;
    worker->n_refusals = 0; /* whatever comes back may be another server */
    if (worker->watch_pause_ms > cluster->heartbeat_ms) {
        worker->watch_pause_ms = cluster->heartbeat_ms;
    }
}

void worker_answered(comrade_cluster *cluster)
{
    cluster->worker.has_answered = true;
}

void worker_doubt_watch(comrade_cluster *cluster)
{
    if (cluster->worker.watch_fd >= 0) {
        cluster->worker.watch_fd = -1;
        cluster->worker.must_watch = true;
    }
}

static void tell_push(comrade_cluster *cluster, const comrade_error *error)
{
    pthread_mutex_lock(&cluster->lock);
    cluster->is_push_missing = error != NULL;
    if (error != NULL) {
        cluster->push_error = *error;
    }
    if (cluster->is_push_missing != cluster->was_push_missing && cluster->on_push != NULL) {
        cluster_push_note(cluster, &cluster->push_note);
    } else {
        cluster_remove_note(cluster, &cluster->push_note); /* nobody has heard of it yet */
    }
    pthread_mutex_unlock(&cluster->lock);
}

/* The store answers everything but this. */
static void refuse(comrade_cluster *cluster, comrade_error *error)
{
    if (error->message[0] == '\0') {
        comrade_error_set(error, COMRADE_UNAVAILABLE, "%s: changes are not pushed",
                          cluster->shown_url);
    }
    if (cluster->worker.n_refusals++ == 0) {
        tell_push(cluster, error);
    }
}

/* Spread, so that those who lost a server together do not all ask it at once. */
static int64_t pause_ms(comrade_cluster *cluster)
{
    int64_t longest_ms = cluster->heartbeat_ms;
    for (int i = 0; i < cluster->worker.n_refusals && i < DOUBLINGS_MAX; i++) {
        longest_ms = longest_ms < ASK_AGAIN_MAX_MS / 2 ? longest_ms * 2 : ASK_AGAIN_MAX_MS;
    }
    longest_ms = longest_ms < cluster->heartbeat_ms ? cluster->heartbeat_ms : longest_ms;
    int64_t shortest_ms =
        cluster->worker.n_refusals > 0 ? longest_ms / 2 : cluster->heartbeat_ms / 10;
    return env_random_between(cluster->env, shortest_ms, longest_ms);
}

/* One that was cut short has only made way. */
static void ask_for_watch(comrade_cluster *cluster)
{
    struct worker *worker = &cluster->worker;
    comrade_error error = {0};
    comrade_status status = worker_open(cluster, &error);
    if (status == COMRADE_OK) {
        comrade_call call = worker_call(cluster, true);
        worker->watch_fd = cluster->driver->watch(worker->store, &call, &error);
        status =
            worker->watch_fd >= 0 ? COMRADE_OK : worker_call_result(&call, COMRADE_UNAVAILABLE);
    }
    if (status == COMRADE_OK) {
        worker->must_watch = false;
        worker->n_refusals = 0;
        tell_push(cluster, NULL);
        look_anew(cluster);
    } else if (status != COMRADE_CANCELED) {
        if (worker->has_answered) {
            refuse(cluster, &error);
        }
        worker->has_answered = false;
    }
}

int64_t worker_watch_due_ms(const comrade_cluster *cluster)
{
    const struct worker *worker = &cluster->worker;
    bool has_listeners = worker->n_members > 0 || worker->watches != NULL;
    return worker->must_watch && has_listeners && cluster->driver->watch != NULL
               ? worker->watch_asked_ms + worker->watch_pause_ms
               : INT64_MAX;
}

bool worker_open_watch(comrade_cluster *cluster, int64_t now_ms)
{
    struct worker *worker = &cluster->worker;
    if (now_ms < worker_watch_due_ms(cluster)) {
        return false;
    }
    worker->watch_fd = -1;
    ask_for_watch(cluster);
    if (worker->watch_fd < 0) {
        worker_watches_on_change(cluster, NULL); /* from now on they look by themselves */
    }
    worker->watch_asked_ms = env_monotonic_ms(cluster->env);
    worker->watch_pause_ms = worker->watch_fd >= 0 ? cluster->heartbeat_ms / 10 : pause_ms(cluster);
    if (worker->watch_pause_ms < worker->watch_asked_ms - now_ms) {
        worker->watch_pause_ms = worker->watch_asked_ms - now_ms; /* heartbeats want their time */
    }
    return true;
}
