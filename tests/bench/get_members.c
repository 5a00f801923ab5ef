/* get_members URL ROUNDS: prints the microseconds of each call that lists all members, on a client
   that is open already. */
#include <comrade.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TIMEOUT_MS = 60000 };

static long long now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000000000 + now.tv_nsec;
}

int main(int argc, char **argv)
{
    comrade_cluster_options options = COMRADE_CLUSTER_OPTIONS_INIT;
    comrade_cluster *cluster = NULL;
    comrade_client *client = NULL;
    comrade_error error = {0};
    options.store = argc > 2 ? argv[1] : NULL;
    comrade_status status = comrade_cluster_open(&options, &cluster, &error);
    if (status == COMRADE_OK) {
        status = comrade_client_new(cluster, NULL, &client, &error);
    }
    long n_rounds = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
    for (long i = 0; i < n_rounds && status == COMRADE_OK; i++) {
        comrade_members *members = NULL;
        long long called = now_ns();
        status = comrade_client_get_members(client, NULL, TIMEOUT_MS, &members, &error);
        printf("%lld\n", (now_ns() - called) / 1000);
        comrade_members_free(members);
    }
    if (status != COMRADE_OK) {
        fprintf(stderr, "get_members: %s\n", error.message);
    }
    comrade_client_free(client);
    comrade_cluster_close(cluster);
    return status == COMRADE_OK ? 0 : 1;
}
