#include "cli/ask.h"

#include "base/env.h"
#include "base/error.h"

#include <limits.h>
#include <poll.h>

comrade_status ask_init(struct ask *ask, struct cli *cli)
{
    *ask = (struct ask){.cli = cli, .min_members = -1};
    ask->status = comrade_client_new(cli->cluster, NULL, &ask->client, &ask->error);
    return ask->status;
}

void ask_finish(struct ask *ask)
{
    comrade_client_free(ask->client);
    comrade_members_free(ask->members);
    *ask = (struct ask){0};
}

void ask_done(void *user, comrade_outcome *outcome)
{
    struct ask *ask = user;
    ask->is_done = true;
    ask->status = comrade_outcome_status(outcome);
    if (ask->status != COMRADE_OK) {
        ask->error = *comrade_outcome_error(outcome);
    }
    ask->members = comrade_outcome_take_members(outcome);
    ask->available = comrade_outcome_available(outcome);
    ask->min_members = comrade_outcome_min_members(outcome);
}

void cluster_wait(comrade_cluster *cluster, int other_fd, int64_t deadline_ms)
{
    int64_t left_ms = deadline_ms - env_monotonic_ms(&env_system);
    left_ms = left_ms < 0 ? 0 : left_ms > INT_MAX ? INT_MAX : left_ms;
    struct pollfd fds[2] = {{.fd = comrade_cluster_fd(cluster), .events = POLLIN},
                            {.fd = other_fd, .events = POLLIN}};
    poll(fds, 2, (int)left_ms); /* whatever it returns: what is there is looked at next */
    comrade_cluster_dispatch(cluster);
}

comrade_status ask_wait(struct ask *ask, comrade_status submitted, int64_t timeout_ms)
{
    int64_t deadline_ms = env_monotonic_ms(&env_system) + timeout_ms;
    if (submitted != COMRADE_OK) {
        ask->status = submitted;
        return submitted;
    }
    while (!ask->is_done) {
        if (env_monotonic_ms(&env_system) >= deadline_ms) {
            return ask->status = comrade_error_set(
                       &ask->error, COMRADE_TIMED_OUT, "no answer from %s within %lld ms",
                       comrade_cluster_store(ask->cli->cluster), (long long)timeout_ms);
        }
        cluster_wait(ask->cli->cluster, -1, deadline_ms);
    }
    return ask->status;
}
