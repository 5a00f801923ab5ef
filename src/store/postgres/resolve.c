/*
 * A thread a lookup. One that nobody waits for any more ends by itself, whenever the resolver lets
 * it, and then frees what it shares with the one who waited.
 */
#include "store/postgres/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct lookup {
    atomic_int n_references; /* the thread, and the one who waits */
    char *name;
    int done_fd; /* eventfd */
    int failure; /* EAI_… */
    struct addresses found;
};

static void lookup_unref(struct lookup *lookup)
{
    if (atomic_fetch_sub(&lookup->n_references, 1) > 1) {
        return;
    }
    if (lookup->done_fd >= 0) {
        close(lookup->done_fd);
    }
    free(lookup->name);
    free(lookup);
}

static struct lookup *lookup_new(const char *name)
{
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (lookup == NULL) {
        return NULL;
    }
    atomic_init(&lookup->n_references, 1);
    lookup->name = strdup(name);
    lookup->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (lookup->name == NULL || lookup->done_fd < 0) {
        lookup_unref(lookup);
        return NULL;
    }
    return lookup;
}

static void *look_up(void *user)
{
    struct lookup *lookup = user;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL;
    lookup->failure = getaddrinfo(lookup->name, NULL, &hints, &list);
    struct addresses *found = &lookup->found;
    for (struct addrinfo *at = list; at != NULL && found->n_addresses < ADDRESSES_MAX;
         at = at->ai_next) {
        if (getnameinfo(at->ai_addr, at->ai_addrlen, found->texts[found->n_addresses], ADDRESS_SIZE,
                        NULL, 0, NI_NUMERICHOST) == 0) {
            found->n_addresses++;
        }
    }
    if (list != NULL) {
        freeaddrinfo(list);
    }
    uint64_t one = 1;
    ssize_t n = write(lookup->done_fd, &one, sizeof one);
    (void)n; /* a fresh eventfd takes it */
    lookup_unref(lookup);
    return NULL;
}

/* With all signals blocked: they are the program's. */
static int start(struct lookup *lookup)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    atomic_fetch_add(&lookup->n_references, 1);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(&thread, NULL, look_up, lookup);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure == 0) {
        pthread_detach(thread);
    } else {
        atomic_fetch_sub(&lookup->n_references, 1);
    }
    return failure;
}

/* What it has found may be looked at once its word has been read, not only seen to be there. */
static bool await(const struct lookup *lookup, const comrade_call *call)
{
    uint64_t one;
    return comrade_call_wait(call, lookup->done_fd, POLLIN) > 0 &&
           read(lookup->done_fd, &one, sizeof one) == (ssize_t)sizeof one;
}

bool resolve_is_name(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    return host[0] != '\0' && host[0] != '/' && host[0] != '@' &&
           inet_pton(AF_INET, host, address) != 1 && strchr(host, ':') == NULL;
}

comrade_status resolve_name(const char *name, const comrade_call *call, struct addresses *addresses,
                            comrade_error *error)
{
    struct lookup *lookup = lookup_new(name);
    if (lookup == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "look up \"%s\": out of memory", name);
    }
    int failure = start(lookup);
    comrade_status status = COMRADE_OK;
    if (failure != 0) {
        status = comrade_error_set(error, COMRADE_UNAVAILABLE, "look up \"%s\": no thread: %s",
                                   name, strerror(failure));
    } else if (!await(lookup, call)) {
        status = comrade_error_set(error, COMRADE_UNAVAILABLE,
                                   "look up \"%s\": no name server answered in time", name);
    } else if (lookup->failure != 0 || lookup->found.n_addresses == 0) {
        status = comrade_error_set(error, COMRADE_UNAVAILABLE, "look up \"%s\": %s", name,
                                   lookup->failure == 0 ? "it has no address"
                                                        : gai_strerror(lookup->failure));
    } else {
        *addresses = lookup->found;
    }
    lookup_unref(lookup);
    return status;
}
