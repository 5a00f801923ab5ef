/*
 * Locking: the thread holds the lock from before it takes bytes out of the pipe until they are in
 * the ring. So whoever has the lock and finds the pipe empty knows that the ring is complete.
 *
 * Ending: the thread waits in poll(2) alone, where it also hears stop_fd. A pipe that is writable
 * takes PIPE_BUF bytes without waiting, so no more are written at a time. Only if another process
 * fills the same pipe in between, and nobody reads it, the thread hangs in write(2): then it is
 * left behind, with its memory, by an agent that is about to exit.
 */
#include "agent/stderr_tail.h"

#include "base/env.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK_BYTES = PIPE_BUF, STACK_BYTES = 64 * 1024, STOP_WAIT_MS = 1000 };

struct stderr_tail {
    int out_fd;
    int read_fd;
    int write_fd;
    int stop_fd; /* readable: leave, whatever is left */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* something was read, or the thread ended */
    bool is_ended;
    size_t n_total;               /* bytes since the last clear */
    char ring[STDERR_TAIL_BYTES]; /* byte i of the stream is at i % size */
    char chunk[CHUNK_BYTES];      /* the thread's own */
};

static void ring_append(struct stderr_tail *tail, const char *bytes, size_t len)
{
    size_t skip = len > STDERR_TAIL_BYTES ? len - STDERR_TAIL_BYTES : 0;
    for (size_t i = skip; i < len; i++) {
        tail->ring[(tail->n_total + i) % STDERR_TAIL_BYTES] = bytes[i];
    }
    tail->n_total += len;
}

/* False when the thread is to leave. */
static bool wait_for(const struct stderr_tail *tail, int fd, short events)
{
    struct pollfd waits[] = {{.fd = fd, .events = events}, {.fd = tail->stop_fd, .events = POLLIN}};
    poll(waits, 2, -1);
    return waits[1].revents == 0;
}

/* 0 at the end of the stream. */
static ssize_t take_chunk(struct stderr_tail *tail)
{
    ssize_t len = -1;
    while (len < 0) {
        bool is_wanted = wait_for(tail, tail->read_fd, POLLIN);
        pthread_mutex_lock(&tail->lock);
        len = is_wanted ? read(tail->read_fd, tail->chunk, sizeof tail->chunk) : 0;
        if (len > 0) {
            ring_append(tail, tail->chunk, (size_t)len);
        } else if (len < 0 && errno != EAGAIN && errno != EINTR) {
            len = 0;
        }
        tail->is_ended = len == 0;
        pthread_cond_signal(&tail->changed);
        pthread_mutex_unlock(&tail->lock);
    }
    return len;
}

/* False when nobody reads it any more. */
static bool pass_on(struct stderr_tail *tail, size_t len)
{
    for (size_t done = 0; done < len && wait_for(tail, tail->out_fd, POLLOUT);) {
        ssize_t n = write(tail->out_fd, tail->chunk + done, len - done);
        if (n >= 0) {
            done += (size_t)n;
        } else if (errno != EAGAIN && errno != EINTR) {
            return false;
        }
    }
    return true;
}

static void *pump(void *user)
{
    struct stderr_tail *tail = user;
    bool is_read = true;
    ssize_t len;
    while ((len = take_chunk(tail)) > 0) {
        is_read = is_read && pass_on(tail, (size_t)len);
    }
    return NULL;
}

/* All signals are blocked in the thread. */
static int start_thread(struct stderr_tail *tail)
{
    pthread_attr_t attributes;
    sigset_t all, old;
    int failure = pthread_attr_init(&attributes);
    if (failure != 0) {
        return failure;
    }
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    failure = pthread_create(&tail->thread, &attributes, pump, tail);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
    return failure;
}

static void tail_release(struct stderr_tail *tail)
{
    if (tail->read_fd >= 0) {
        close(tail->read_fd);
    }
    if (tail->write_fd >= 0) {
        close(tail->write_fd);
    }
    if (tail->stop_fd >= 0) {
        close(tail->stop_fd);
    }
    pthread_cond_destroy(&tail->changed);
    pthread_mutex_destroy(&tail->lock);
    free(tail);
}

comrade_status stderr_tail_new(int out_fd, struct stderr_tail **tail, comrade_error *error)
{
    struct stderr_tail *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory");
    }
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&made->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&made->lock, NULL);
    made->out_fd = out_fd;
    made->read_fd = made->write_fd = -1;
    made->stop_fd = eventfd(0, EFD_CLOEXEC);
    int fds[2] = {-1, -1};
    int failure = made->stop_fd < 0 || pipe2(fds, O_CLOEXEC) != 0 ? errno : 0;
    if (failure == 0) {
        made->read_fd = fds[0];
        made->write_fd = fds[1];
        /* Only our end: the service would be surprised. */
        failure = fcntl(made->read_fd, F_SETFL, O_NONBLOCK) != 0 ? errno : start_thread(made);
    }
    if (failure != 0) {
        tail_release(made);
        return comrade_error_set(error, COMRADE_SYSTEM,
                                 "cannot pass the service's standard error through: %s",
                                 strerror(failure));
    }
    *tail = made;
    return COMRADE_OK;
}

static struct timespec deadline_in(int64_t wait_ms)
{
    int64_t at_ms = env_monotonic_ms(&env_system) + wait_ms;
    struct timespec deadline = {.tv_sec = (time_t)(at_ms / 1000),
                                .tv_nsec = (long)(at_ms % 1000) * 1000000};
    return deadline;
}

/* Did the thread come to its end? */
static bool wait_for_end(struct stderr_tail *tail, int64_t wait_ms)
{
    struct timespec deadline = deadline_in(wait_ms);
    pthread_mutex_lock(&tail->lock);
    while (!tail->is_ended && pthread_cond_timedwait(&tail->changed, &tail->lock, &deadline) == 0) {
    }
    bool is_ended = tail->is_ended;
    pthread_mutex_unlock(&tail->lock);
    return is_ended;
}

void stderr_tail_free(struct stderr_tail *tail, int64_t wait_ms)
{
    if (tail == NULL) {
        return;
    }
    close(tail->write_fd);
    tail->write_fd = -1;
    bool is_ended = wait_for_end(tail, wait_ms);
    if (!is_ended) {
        eventfd_write(tail->stop_fd, 1);
        is_ended = wait_for_end(tail, STOP_WAIT_MS);
    }
    if (is_ended) {
        pthread_join(tail->thread, NULL);
        tail_release(tail);
    } else {
        pthread_detach(tail->thread);
    }
}

int stderr_tail_fd(const struct stderr_tail *tail)
{
    return tail->write_fd;
}

void stderr_tail_clear(struct stderr_tail *tail)
{
    pthread_mutex_lock(&tail->lock);
    tail->n_total = 0;
    pthread_mutex_unlock(&tail->lock);
}

static bool pipe_is_empty(const struct stderr_tail *tail)
{
    int n_bytes = 0;
    return ioctl(tail->read_fd, FIONREAD, &n_bytes) != 0 || n_bytes == 0;
}

size_t stderr_tail_copy(struct stderr_tail *tail, int64_t wait_ms, char bytes[STDERR_TAIL_BYTES],
                        bool *is_cut)
{
    struct timespec deadline = deadline_in(wait_ms);
    pthread_mutex_lock(&tail->lock);
    while (!tail->is_ended && !pipe_is_empty(tail) &&
           pthread_cond_timedwait(&tail->changed, &tail->lock, &deadline) == 0) {
    }
    size_t len = tail->n_total < STDERR_TAIL_BYTES ? tail->n_total : STDERR_TAIL_BYTES;
    for (size_t i = 0; i < len; i++) {
        bytes[i] = tail->ring[(tail->n_total - len + i) % STDERR_TAIL_BYTES];
    }
    if (is_cut != NULL) {
        *is_cut = tail->n_total > STDERR_TAIL_BYTES;
    }
    pthread_mutex_unlock(&tail->lock);
    return len;
}
