/*
 * members URL PREFIX N: members PREFIX-0 to PREFIX-(N-1) of one process. It prints "up" when all
 * are registered, and "ID NS" by CLOCK_MONOTONIC when one is told to shut down. The same as
 * `node_figures.js members`.
 */
#include <comrade.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MEMBERS_MAX = 1000, ID_SIZE = 64 };

struct told {
    char id[ID_SIZE];
    long *n_registered;
};

static void on_event(void *user, const comrade_event *event)
{
    struct told *told = user;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (event->kind == COMRADE_EVENT_SHUTDOWN) {
        printf("%s %lld\n", told->id, (long long)now.tv_sec * 1000000000 + now.tv_nsec);
    } else if (event->kind == COMRADE_EVENT_REGISTERED) {
        ++*told->n_registered;
    }
}

static comrade_status start_member(comrade_cluster *cluster, struct told *told,
                                   comrade_error *error)
{
    comrade_member_options options = COMRADE_MEMBER_OPTIONS_INIT;
    comrade_member *member = NULL; /* it lives as long as the process */
    options.role = "bench";
    options.id = told->id;
    options.on_event = on_event;
    options.user = told;
    comrade_status status = comrade_member_new(cluster, &options, &member, error);
    return status == COMRADE_OK ? comrade_member_start(member, error) : status;
}

int main(int argc, char **argv)
{
    static struct told told[MEMBERS_MAX];
    comrade_cluster_options options = COMRADE_CLUSTER_OPTIONS_INIT;
    comrade_cluster *cluster = NULL;
    comrade_error error = {0};
    long n_registered = 0;
    long n_members = argc > 3 ? strtol(argv[3], NULL, 10) : 0;
    options.store = argc > 3 ? argv[1] : NULL;
    comrade_status status = comrade_cluster_open(&options, &cluster, &error);
    for (long i = 0; i < n_members && i < MEMBERS_MAX && status == COMRADE_OK; i++) {
        snprintf(told[i].id, sizeof told[i].id, "%s-%ld", argv[2], i);
        told[i].n_registered = &n_registered;
        status = start_member(cluster, &told[i], &error);
    }
    if (status != COMRADE_OK) {
        fprintf(stderr, "members: %s\n", error.message);
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (;;) {
        struct pollfd waiting = {.fd = comrade_cluster_fd(cluster), .events = POLLIN};
        long n_before = n_registered;
        poll(&waiting, 1, -1);
        comrade_cluster_dispatch(cluster);
        if (n_registered == n_members && n_before < n_members) {
            puts("up");
        }
    }
}
