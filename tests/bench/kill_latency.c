/*
 * kill_latency URL ID…: kills the members one after another through one client that is open
 * already, and prints for each "ID CALLED_NS RETURNED_NS" by CLOCK_MONOTONIC.
 */
#include <comrade.h>

#include <stdio.h>
#include <time.h>

enum { TIMEOUT_MS = 10000, PAUSE_MS = 20 };

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
    comrade_members *members = NULL;
    comrade_error error = {0};
    options.store = argc > 1 ? argv[1] : NULL;
    if (comrade_cluster_open(&options, &cluster, &error) != COMRADE_OK ||
        comrade_client_new(cluster, NULL, &client, &error) != COMRADE_OK ||
        comrade_client_get_members(client, NULL, TIMEOUT_MS, &members, &error) != COMRADE_OK) {
        fprintf(stderr, "kill_latency: %s\n", error.message);
        return 1;
    }
    comrade_members_free(members);
    int result = 0;
    for (int i = 2; i < argc && result == 0; i++) {
        long long called = now_ns();
        if (comrade_client_kill(client, argv[i], NULL, TIMEOUT_MS, &error) != COMRADE_OK) {
            fprintf(stderr, "kill_latency: %s\n", error.message);
            result = 1;
        }
        printf("%s %lld %lld\n", argv[i], called, now_ns());
        struct timespec pause = {0, PAUSE_MS * 1000000L};
        nanosleep(&pause, NULL);
    }
    comrade_client_free(client);
    comrade_cluster_close(cluster);
    return result;
}
