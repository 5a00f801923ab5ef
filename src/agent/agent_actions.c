/* Doing what the lifecycle decides, and saying so in the log. */
#include "agent/agent_internal.h"

#include "agent/exit_codes.h"

#include <signal.h>
#include <sys/wait.h>

static const char *event_of_state(enum lifecycle_state state)
{
    return state == LIFECYCLE_UP ? "ready" : lifecycle_state_name(state);
}

/* CLEARING lasts a moment, and "exited" has told the rest. */
static void log_transition(const struct agent *agent, const struct lifecycle_row *row)
{
    if ((row->actions & LIFECYCLE_COUNT) != 0) {
        LOG(LOG_LEVEL_INFO, "available", LOG_TEXT("id", agent->identity.id));
    }
    if (row->state == row->next) {
        return;
    }
    enum log_level level = LOG_LEVEL_INFO;
    if (row->next == LIFECYCLE_CLEARING || row->next == LIFECYCLE_WITHDRAWING) {
        level = LOG_LEVEL_DEBUG;
    } else if (row->next == LIFECYCLE_UNHEALTHY || row->next == LIFECYCLE_BACKOFF) {
        level = LOG_LEVEL_WARN;
    }
    if (row->next == LIFECYCLE_BACKOFF) {
        LOG(level, "backoff", LOG_TEXT("id", agent->identity.id), LOG_TEXT("reason", row->reason),
            LOG_NUMBER("delay_ms", agent->lifecycle.deadline_ms - agent->now_ms));
    } else if (row->next == LIFECYCLE_UNHEALTHY) {
        LOG(level, "unhealthy", LOG_TEXT("id", agent->identity.id), LOG_TEXT("reason", row->reason),
            LOG_TEXT("check", agent->check_reason));
    } else {
        LOG(level, event_of_state(row->next), LOG_TEXT("id", agent->identity.id),
            LOG_TEXT("reason", row->reason));
    }
}

static void exit_begin(struct agent *agent)
{
    if (agent->is_exiting) {
        return;
    }
    agent->is_exiting = true;
    agent->exit_by_ms = agent->now_ms + LAST_REPORT_WAIT_MS;
    if (agent->n_stopped_pending == 0) {
        agent->is_done = true;
    }
}

void agent_step(struct agent *agent, enum lifecycle_event event)
{
    bool is_failure = !WIFEXITED(agent->wait_status) || WEXITSTATUS(agent->wait_status) != 0;
    struct lifecycle_input input = {event, agent->now_ms, env_random(agent->env), is_failure};
    const struct lifecycle_row *row = lifecycle_step(&agent->lifecycle, &input);
    log_transition(agent, row);
    if ((row->actions & LIFECYCLE_RENEW) != 0) {
        agent_renew(agent);
    }
    if ((row->actions & LIFECYCLE_REPORT) != 0 && !agent->is_exiting) {
        agent_report(agent);
    }
    agent_signal(agent, row->actions);
    if ((row->actions & LIFECYCLE_EXIT) != 0) {
        exit_begin(agent);
    }
    if ((row->actions & LIFECYCLE_EXIT_NOW) != 0) {
        agent->is_done = true;
    }
    if ((row->actions & LIFECYCLE_SPAWN) != 0) {
        agent_spawn(agent);
    }
}

void agent_leave(struct agent *agent, enum agent_leaving why, enum lifecycle_event event)
{
    if (agent->leaving == LEAVING_NOT) {
        agent->leaving = why;
    }
    agent_step(agent, event);
}

int agent_exit_code(const struct agent *agent)
{
    if (agent->leaving == LEAVING_KILLED) {
        return RUN_EXIT_KILLED;
    }
    if (agent->leaving == LEAVING_FENCED) {
        return RUN_EXIT_FENCED;
    }
    if (!agent->has_exit) {
        bool is_early = agent->leaving == LEAVING_SIGNAL && agent->lifecycle.n_spawns == 0;
        return is_early ? RUN_EXIT_SIGNAL + SIGTERM : agent->spawn_code;
    }
    if (agent->lifecycle.has_timed_out && agent->leaving == LEAVING_NOT) {
        return RUN_EXIT_FAILED; /* it was we who ended it: it was not ready in time */
    }
    if (WIFSIGNALED(agent->wait_status)) {
        return RUN_EXIT_SIGNAL + WTERMSIG(agent->wait_status);
    }
    int code = WEXITSTATUS(agent->wait_status);
    return code == 0 && agent->lifecycle.has_timed_out ? RUN_EXIT_FAILED : code;
}
