/*
 * The loop. An idle agent without checks waits without a time-out: only the store's thread wakes
 * up, for its heartbeats.
 */
#include "agent/agent_internal.h"

#include "agent/exit_codes.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdlib.h>

enum {
    WAIT_SIGNALS,
    WAIT_KEEPER,
    WAIT_CLUSTER,
    WAIT_READY,
    WAIT_CHECK,
    N_WAITS,
    TIMERS_PER_TURN = 8
};

static int64_t earlier(int64_t a_ms, int64_t b_ms)
{
    return a_ms < b_ms ? a_ms : b_ms;
}

static int64_t next_due_ms(const struct agent *agent)
{
    int64_t due_ms = earlier(agent->lifecycle.deadline_ms, agent_check_due_ms(agent));
    if (agent->lifecycle.n_spawns == 0) {
        due_ms = earlier(due_ms, agent->spawn_by_ms);
    }
    if (agent->is_exiting) {
        due_ms = earlier(due_ms, agent->exit_by_ms);
    }
    due_ms = earlier(due_ms, agent->claim_again_ms);
    if (agent->identity.lock_fd < 0) {
        due_ms = earlier(due_ms, agent->lock_retry_ms);
    }
    if (agent->kills_orphans) {
        due_ms = earlier(due_ms, agent->now_ms + 1);
    }
    return due_ms;
}

static int timeout_ms(const struct agent *agent)
{
    int64_t due_ms = next_due_ms(agent);
    if (due_ms == INT64_MAX) {
        return -1;
    }
    int64_t left_ms = due_ms - agent->now_ms;
    return left_ms < 0 ? 0 : left_ms > 60000 ? 60000 : (int)left_ms;
}

static void wait_for_news(struct agent *agent, struct pollfd waits[N_WAITS])
{
    bool is_running = agent->check != NULL && agent->is_checking;
    waits[WAIT_SIGNALS] = (struct pollfd){.fd = agent->signal_fd, .events = POLLIN};
    waits[WAIT_KEEPER] = (struct pollfd){.fd = keeper_fd(agent->keeper), .events = POLLIN};
    waits[WAIT_CLUSTER] =
        (struct pollfd){.fd = comrade_cluster_fd(agent->cluster), .events = POLLIN};
    /* What a service says before the keeper has told of it waits until then. */
    waits[WAIT_READY] =
        (struct pollfd){.fd = agent->service_pid > 0 ? agent->readiness.fd : -1, .events = POLLIN};
    waits[WAIT_CHECK] = (struct pollfd){.fd = is_running ? check_fd(agent->check) : -1,
                                        .events = is_running ? check_events(agent->check) : 0};
    /* An interrupted wait is a turn with no news. */
    if (poll(waits, N_WAITS, timeout_ms(agent)) < 0) {
        for (int i = 0; i < N_WAITS; i++) {
            waits[i].revents = 0;
        }
    }
    agent->now_ms = env_monotonic_ms(agent->env);
}

static void start_when_possible(struct agent *agent)
{
    bool is_due = agent->has_heard || agent->now_ms >= agent->spawn_by_ms;
    if (agent->lifecycle.n_spawns == 0 && is_due && !agent->is_exiting && !agent->is_done) {
        agent_step(agent, LIFECYCLE_EVENT_START);
    }
}

static void run_timers(struct agent *agent)
{
    agent_claim_again(agent);
    start_when_possible(agent);
    for (int i = 0; i < TIMERS_PER_TURN && agent->now_ms >= agent->lifecycle.deadline_ms; i++) {
        agent_step(agent, LIFECYCLE_EVENT_TIMER);
    }
    if (agent->identity.lock_fd < 0 && agent->now_ms >= agent->lock_retry_ms) {
        agent->lock_retry_ms = agent->now_ms + LOCK_RETRY_MS;
        if (identity_lock(&agent->identity)) {
            LOG(LOG_LEVEL_INFO, "locked", LOG_TEXT("id", agent->identity.id),
                LOG_TEXT("reason", "the agent that it was taken over from has left"));
        }
    }
    if (agent->kills_orphans) {
        agent_kill_orphans(agent);
    }
    if (agent->is_exiting && agent->now_ms >= agent->exit_by_ms) {
        agent->is_done = true;
    }
}

static void turn(struct agent *agent)
{
    struct pollfd waits[N_WAITS];
    wait_for_news(agent, waits);
    if (waits[WAIT_SIGNALS].revents != 0) {
        agent_take_signals(agent);
    }
    if (waits[WAIT_KEEPER].revents != 0) {
        agent_take_keeper_events(agent);
    }
    if (waits[WAIT_CLUSTER].revents != 0) {
        comrade_cluster_dispatch(agent->cluster);
    }
    if (waits[WAIT_READY].revents != 0 && agent->service_pid > 0 &&
        readiness_step(&agent->readiness, keeper_pid(agent->keeper))) {
        agent_step(agent, LIFECYCLE_EVENT_READY);
    }
    agent_check_turn(agent);
    run_timers(agent);
}

int agent_run(const struct agent_options *options, comrade_error *error)
{
    /* A heap for each thread would cost more than this process has. */
    mallopt(M_ARENA_MAX, 1);
    struct agent *agent = calloc(1, sizeof *agent);
    if (agent == NULL) {
        return RUN_EXIT_FAILED;
    }
    if (agent_open(agent, options, error) == COMRADE_OK) {
        error->message[0] = '\0'; /* of an id or a port that was tried before the free one */
        while (!agent->is_done) {
            turn(agent);
        }
    }
    int code = agent_exit_code(agent);
    agent_close(agent);
    free(agent);
    return code;
}
