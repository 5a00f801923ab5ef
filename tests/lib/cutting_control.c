/* The functions of the proxy that a test calls: each changes the state, and wakes the thread. */
#include "lib/cutting_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { AWAIT_S = 60 };

/*
 * A listener that is shut down keeps its port if it had asked for it, but not one that the kernel
 * chose; and it may listen again beside the connections of before, if addresses are reused.
 */
static int bind_listener(int *port)
{
    int probe = cutting_new_socket();
    int fd = cutting_new_socket();
    struct sockaddr_in address = cutting_loopback(0);
    socklen_t size = sizeof address;
    cutting_must(bind(probe, (struct sockaddr *)&address, size) == 0, "bind");
    cutting_must(getsockname(probe, (struct sockaddr *)&address, &size) == 0, "getsockname");
    close(probe);
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    cutting_must(bind(fd, (struct sockaddr *)&address, size) == 0, "bind");
    cutting_must(listen(fd, CONNECTIONS_MAX) == 0, "listen");
    *port = ntohs(address.sin_port);
    return fd;
}

static void lock(struct cutting_proxy *proxy)
{
    pthread_mutex_lock(&proxy->mutex);
}

static void unlock_and_wake(struct cutting_proxy *proxy)
{
    uint64_t one = 1;
    pthread_mutex_unlock(&proxy->mutex);
    (void)!write(proxy->wake_fd, &one, sizeof one);
}

struct cutting_proxy *cutting_proxy_start(int target_port)
{
    struct cutting_proxy *proxy = calloc(1, sizeof *proxy);
    pthread_condattr_t monotonic;
    cutting_must(proxy != NULL, "start");
    proxy->target_port = target_port;
    proxy->listener = bind_listener(&proxy->port);
    proxy->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    cutting_must(proxy->wake_fd >= 0, "start");
    pthread_mutex_init(&proxy->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&proxy->has_cut, &monotonic);
    pthread_condattr_destroy(&monotonic);
    cutting_must(pthread_create(&proxy->thread, NULL, cutting_run, proxy) == 0, "start");
    return proxy;
}

void cutting_proxy_stop(struct cutting_proxy *proxy)
{
    if (proxy == NULL) {
        return;
    }
    lock(proxy);
    proxy->is_ending = true;
    unlock_and_wake(proxy);
    pthread_join(proxy->thread, NULL);
    while (proxy->n_connections > 0) {
        cutting_remove_connection(proxy, 0);
    }
    close(proxy->listener);
    close(proxy->wake_fd);
    pthread_cond_destroy(&proxy->has_cut);
    pthread_mutex_destroy(&proxy->mutex);
    free(proxy);
}

int cutting_proxy_port(const struct cutting_proxy *proxy)
{
    return proxy->port;
}

void cutting_proxy_url(const struct cutting_proxy *proxy, const char *url, char *through,
                       size_t size)
{
    const char *at = strchr(url, '@');
    const char *colon = at == NULL ? NULL : strchr(at, ':');
    cutting_must(colon != NULL, "a URL without user and port");
    snprintf(through, size, "%.*s:%d%s", (int)(colon - url), url, proxy->port,
             colon + 1 + strspn(colon + 1, "0123456789"));
}

void cutting_proxy_cut(struct cutting_proxy *proxy, const struct cut *cut)
{
    lock(proxy);
    cutting_must(proxy->n_cuts < CUTS_MAX, "too many cuts");
    proxy->cuts[proxy->n_cuts++] = (struct waiting_cut){.cut = *cut};
    unlock_and_wake(proxy);
}

void cutting_proxy_forget_cuts(struct cutting_proxy *proxy)
{
    lock(proxy);
    proxy->n_cuts = 0;
    unlock_and_wake(proxy);
}

bool cutting_proxy_await_cuts(struct cutting_proxy *proxy, int n)
{
    struct timespec limit;
    int failure = 0;
    clock_gettime(CLOCK_MONOTONIC, &limit);
    limit.tv_sec += AWAIT_S;
    lock(proxy);
    while (proxy->counts.n_cuts < n && failure == 0) {
        failure = pthread_cond_timedwait(&proxy->has_cut, &proxy->mutex, &limit);
    }
    bool is_done = proxy->counts.n_cuts >= n;
    unlock_and_wake(proxy);
    return is_done;
}

void cutting_proxy_hold(struct cutting_proxy *proxy, unsigned directions)
{
    lock(proxy);
    proxy->held |= directions;
    unlock_and_wake(proxy);
}

void cutting_proxy_release(struct cutting_proxy *proxy)
{
    lock(proxy);
    proxy->held = 0;
    for (size_t i = 0; i < proxy->n_connections; i++) {
        struct connection *connection = proxy->connections[i];
        if (connection->is_held) {
            connection->is_held = false;
            cutting_must(cutting_stream_release(&connection->stream), "release");
        }
    }
    unlock_and_wake(proxy);
}

void cutting_proxy_cut_all(struct cutting_proxy *proxy, enum cut_how how)
{
    lock(proxy);
    for (size_t i = 0; i < proxy->n_connections; i++) {
        struct connection *connection = proxy->connections[i];
        connection->is_doomed = true;
        if (how == CUT_RST && connection->client_fd >= 0) {
            cutting_reset_on_close(connection->client_fd);
        }
    }
    unlock_and_wake(proxy);
}

void cutting_proxy_refuse(struct cutting_proxy *proxy, bool is_refusing)
{
    lock(proxy);
    /* Shut down, a listener keeps its port, so that nobody else gets it, and can listen again. */
    if (is_refusing && !proxy->is_refusing) {
        cutting_must(shutdown(proxy->listener, SHUT_RDWR) == 0, "shutdown");
    } else if (!is_refusing && proxy->is_refusing) {
        cutting_must(listen(proxy->listener, CONNECTIONS_MAX) == 0, "listen");
    }
    proxy->is_refusing = is_refusing;
    unlock_and_wake(proxy);
}

void cutting_proxy_set_target(struct cutting_proxy *proxy, int target_port)
{
    lock(proxy);
    proxy->target_port = target_port;
    unlock_and_wake(proxy);
}

struct cutting_counts cutting_proxy_counts(struct cutting_proxy *proxy)
{
    lock(proxy);
    struct cutting_counts counts = proxy->counts;
    counts.n_open = 0;
    for (size_t i = 0; i < proxy->n_connections; i++) {
        counts.n_open += proxy->connections[i]->is_parked ? 0 : 1;
    }
    unlock_and_wake(proxy);
    return counts;
}

void cutting_proxy_reset_counts(struct cutting_proxy *proxy)
{
    lock(proxy);
    proxy->counts = (struct cutting_counts){.n_cuts = proxy->counts.n_cuts};
    unlock_and_wake(proxy);
}
