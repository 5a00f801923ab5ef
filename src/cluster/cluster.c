/* Opening and closing a cluster. */
#include "cluster/internal.h"

#include "core/limits.h"
#include "store/registry.h"
#include "store/url.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    HEARTBEAT_MS = 10 * 1000,
    HEARTBEAT_MIN_MS = 100,
    HEARTBEAT_MAX_MS = 3600 * 1000,
    CALL_TIMEOUT_MS = 5000,
    CALL_TIMEOUT_MIN_MS = 50,
    CALL_TIMEOUT_MAX_MS = 25 * 1000, /* two of them must leave something of the 60 s of health */
    WORKER_STACK_BYTES = 256 * 1024,
};

static comrade_status check_number(const char *what, int64_t value, int64_t low, int64_t high,
                                   comrade_error *error)
{
    if (value < low || value > high) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "the %s is %lld ms; it must be between %lld and %lld ms", what,
                                 (long long)value, (long long)low, (long long)high);
    }
    return COMRADE_OK;
}

static comrade_status check_url(const comrade_cluster *cluster, comrade_error *error)
{
    comrade_store_config config = {
        .size = sizeof config,
        .url = cluster->url,
        .shown_url = cluster->shown_url,
        .name_space = cluster->name_space,
        .kind = cluster->kind,
    };
    return cluster->driver->check_url == NULL ? COMRADE_OK
                                              : cluster->driver->check_url(&config, error);
}

static comrade_status set_options(comrade_cluster *cluster, const comrade_cluster_options *options,
                                  comrade_error *error)
{
    const char *name_space = options->name_space == NULL ? "" : options->name_space;
    const char *kind = options->kind == NULL ? "ComradeServer" : options->kind;
    cluster->heartbeat_ms = options->heartbeat_ms == 0 ? HEARTBEAT_MS : options->heartbeat_ms;
    cluster->call_timeout_ms =
        options->call_timeout_ms == 0 ? CALL_TIMEOUT_MS : options->call_timeout_ms;
    cluster->must_exist = options->must_exist;
    cluster->on_push = options->on_push;
    cluster->push_user = options->push_user;
    cluster->silence_limit_ms = options->silence_limit_ms;
    comrade_status status = COMRADE_OK;
    if (options->store == NULL || options->store[0] == '\0') {
        status = comrade_error_set(error, COMRADE_INVALID,
                                   "no store is named; give a URL such as "
                                   "sqlite:/var/lib/comrade/comrade.db");
    }
    if (status == COMRADE_OK) {
        status = limits_check_name("namespace", name_space, error);
    }
    if (status == COMRADE_OK) {
        status = limits_check_name("kind", kind, error);
    }
    if (status == COMRADE_OK) {
        status = check_number("heartbeat interval", cluster->heartbeat_ms, HEARTBEAT_MIN_MS,
                              HEARTBEAT_MAX_MS, error);
    }
    if (status == COMRADE_OK) {
        status = check_number("deadline of a call", cluster->call_timeout_ms, CALL_TIMEOUT_MIN_MS,
                              CALL_TIMEOUT_MAX_MS, error);
    }
    if (status == COMRADE_OK) {
        status =
            check_number("limit of silence", cluster->silence_limit_ms, 0, HEARTBEAT_MAX_MS, error);
    }
    if (status == COMRADE_OK) {
        status = store_driver_find(options->store, &cluster->driver, error);
    }
    if (status != COMRADE_OK) {
        return status;
    }
    cluster->url = strdup(options->store);
    cluster->shown_url = url_redact(options->store);
    cluster->name_space = strdup(name_space);
    cluster->kind = strdup(kind);
    bool has_all = cluster->url != NULL && cluster->shown_url != NULL &&
                   cluster->name_space != NULL && cluster->kind != NULL;
    return has_all ? check_url(cluster, error)
                   : comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for a cluster");
}

static void close_if_open(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

/* A health check may be answered when the cluster has long been closed, and takes the lock. */
void cluster_unref(comrade_cluster *cluster)
{
    if (atomic_fetch_sub(&cluster->n_references, 1) != 1) {
        return;
    }
    pthread_mutex_destroy(&cluster->lock);
    pthread_cond_destroy(&cluster->call_done);
    free(cluster->url);
    free(cluster->shown_url);
    free(cluster->name_space);
    free(cluster->kind);
    free(cluster);
}

static void cluster_free(comrade_cluster *cluster)
{
    close_if_open(cluster->wake_fd);
    close_if_open(cluster->close_fd);
    close_if_open(cluster->ready_fd);
    cluster_unref(cluster);
}

static comrade_cluster *cluster_new(const struct env *env)
{
    comrade_cluster *cluster = calloc(1, sizeof *cluster);
    if (cluster == NULL) {
        return NULL;
    }
    atomic_init(&cluster->n_references, 1);
    cluster->env = env;
    cluster->wake_fd = -1;
    cluster->close_fd = -1;
    cluster->ready_fd = -1;
    cluster->push_note.kind = NOTE_PUSH;
    cluster->pulse_note.kind = NOTE_PULSE;
    cluster->worker.watch_fd = -1;
    cluster->worker.must_watch = true;
    cluster->worker.next_beat_ms = INT64_MAX;
    pthread_mutex_init(&cluster->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&cluster->call_done, &attributes);
    pthread_condattr_destroy(&attributes);
    if (gethostname(cluster->host, sizeof cluster->host - 1) != 0) {
        memcpy(cluster->host, "unknown", sizeof "unknown");
    }
    return cluster;
}

void cluster_signal(int fd)
{
    uint64_t one = 1;
    ssize_t n = write(fd, &one, sizeof one);
    (void)n; /* an eventfd that is full is readable, which is all that is wanted */
}

/* The thread blocks every signal: they are the user's, on the user's threads. */
static int start_thread(comrade_cluster *cluster)
{
    sigset_t all;
    sigset_t before;
    pthread_attr_t attributes;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, WORKER_STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(&cluster->thread, &attributes, worker_run, cluster);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return failure;
}

comrade_status cluster_open(const comrade_cluster_options *options, const struct env *env,
                            bool has_thread, comrade_cluster **cluster, comrade_error *error)
{
    comrade_cluster_options copy = COMRADE_CLUSTER_OPTIONS_INIT;
    comrade_status status =
        options_read("options of the cluster", options, &copy, sizeof copy, error);
    if (status != COMRADE_OK) {
        return status;
    }
    comrade_cluster *made = cluster_new(env);
    if (made == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for a cluster");
    }
    status = set_options(made, &copy, error);
    if (status != COMRADE_OK) {
        goto fail;
    }
    made->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    made->close_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    made->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (made->wake_fd < 0 || made->close_fd < 0 || made->ready_fd < 0) {
        status =
            comrade_error_set(error, COMRADE_SYSTEM, "cannot make an eventfd: %s", strerror(errno));
        goto fail;
    }
    if (has_thread) {
        int failure = start_thread(made);
        if (failure != 0) {
            status = comrade_error_set(error, COMRADE_SYSTEM, "cannot start a thread: %s",
                                       strerror(failure));
            goto fail;
        }
        made->has_thread = true;
    }
    *cluster = made;
    return COMRADE_OK;
fail:
    cluster_free(made);
    return status;
}

comrade_status comrade_cluster_open(const comrade_cluster_options *options,
                                    comrade_cluster **cluster, comrade_error *error)
{
    return cluster_open(options, &env_system, true, cluster, error);
}

void comrade_cluster_close(comrade_cluster *cluster)
{
    if (cluster == NULL) {
        return;
    }
    pthread_mutex_lock(&cluster->lock);
    cluster->is_closing = true;
    cluster_signal(cluster->wake_fd);
    cluster_signal(cluster->close_fd);
    pthread_mutex_unlock(&cluster->lock);
    if (cluster->has_thread) {
        pthread_join(cluster->thread, NULL);
    }
    worker_finish(cluster);
    /* What was completed and never dispatched. Other notes are part of objects already freed. */
    while (cluster->notes_first != NULL) {
        struct note *note = cluster->notes_first;
        cluster_remove_note(cluster, note);
        if (note->kind == NOTE_CALL) {
            call_free((struct call *)note);
        }
    }
    cluster_free(cluster);
}

bool comrade_cluster_can_push(const comrade_cluster *cluster)
{
    return cluster->driver->watch != NULL;
}

const char *comrade_cluster_store(const comrade_cluster *cluster)
{
    return cluster->shown_url;
}

int comrade_cluster_fd(const comrade_cluster *cluster)
{
    return cluster->ready_fd;
}
