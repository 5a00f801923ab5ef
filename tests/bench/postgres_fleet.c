/*
 * postgres_fleet URL WORKERS MEMBERS: a fleet in one process: WORKERS connections with MEMBERS
 * members each, at the default heartbeat. Says "ready" when all are registered, and stays until its
 * input ends.
 */
#include <comrade.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void on_event(void *user, const comrade_event *event)
{
    long *n_registered = user;
    *n_registered += event->kind == COMRADE_EVENT_REGISTERED;
}

_Noreturn static void stop(const char *what)
{
    fprintf(stderr, "postgres_fleet: %s\n", what);
    exit(1);
}

static comrade_cluster *open_worker(const char *url, long worker, long n_members,
                                    long *n_registered)
{
    comrade_cluster_options cluster_options = COMRADE_CLUSTER_OPTIONS_INIT;
    comrade_cluster *cluster = NULL;
    comrade_error error = {0};
    cluster_options.store = url;
    if (comrade_cluster_open(&cluster_options, &cluster, &error) != COMRADE_OK) {
        stop(error.message);
    }
    for (long i = 0; i < n_members; i++) {
        char id[48], role[16];
        comrade_member *member;
        comrade_member_options options = COMRADE_MEMBER_OPTIONS_INIT;
        snprintf(id, sizeof id, "fleet-%ld-%ld", worker, i);
        snprintf(role, sizeof role, "role-%ld", (worker + i) % 10);
        options.role = role;
        options.id = id;
        options.metadata = "{\"ip\":\"10.0.1.2\",\"port\":8080}";
        options.on_event = on_event;
        options.user = n_registered;
        if (comrade_member_new(cluster, &options, &member, &error) != COMRADE_OK ||
            comrade_member_start(member, &error) != COMRADE_OK) {
            stop(error.message);
        }
    }
    return cluster;
}

int main(int argc, char **argv)
{
    enum { TURN_MS = 20 };
    long n_workers = argc == 4 ? strtol(argv[2], NULL, 10) : 0;
    long n_members = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
    long n_registered = 0;
    bool is_told = false;
    comrade_cluster **clusters = calloc((size_t)n_workers + 1, sizeof(comrade_cluster *));
    if (clusters == NULL || n_workers < 1) {
        stop("usage: postgres_fleet URL WORKERS MEMBERS");
    }
    for (long i = 0; i < n_workers; i++) {
        clusters[i] = open_worker(argv[1], i, n_members, &n_registered);
    }
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    while (poll(&input, 1, TURN_MS) == 0) {
        for (long i = 0; i < n_workers && !is_told; i++) {
            comrade_cluster_dispatch(clusters[i]);
        }
        if (!is_told && n_registered == n_workers * n_members) {
            is_told = true;
            puts("ready");
            fflush(stdout);
        }
    }
    return 0; /* as if it was killed */
}
