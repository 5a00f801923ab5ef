/* What the store hears of the service, and what the agent hears from the store. */
#include "agent/agent_internal.h"

#include "agent/details.h"
#include "base/error.h"

#include <stdlib.h>
#include <sys/wait.h>

/* --- Reports ----------------------------------------------------------------------------------*/

static struct details details_of(const struct agent *agent)
{
    const struct lifecycle *lifecycle = &agent->lifecycle;
    bool is_signal = WIFSIGNALED(agent->wait_status);
    bool waits = lifecycle->state == LIFECYCLE_BACKOFF;
    return (struct details){
        .n_restarts = lifecycle->n_spawns > 0 ? lifecycle->n_spawns - 1 : 0,
        .next_retry_ms = waits ? lifecycle->deadline_ms - agent->now_ms : -1,
        .check = agent->check_reason,
        .error = agent->spawn_error,
        .has_exit = agent->has_exit,
        .code = is_signal ? -1 : WEXITSTATUS(agent->wait_status),
        .signal = is_signal ? WTERMSIG(agent->wait_status) : 0,
        .at_ms = agent->exited_at_ms,
        .tail = agent->tail != NULL ? agent->tail_bytes : NULL,
        .tail_len = agent->tail_len,
        .is_tail_cut = agent->is_tail_cut,
    };
}

/* A report is committed: if it was the last of its sort, the lifecycle may go on. */
static void on_withdrawn(void *user, comrade_outcome *outcome)
{
    struct agent *agent = user;
    agent->n_withdrawn_pending--;
    if (agent->n_withdrawn_pending == 0 && comrade_outcome_status(outcome) == COMRADE_OK) {
        agent_step(agent, LIFECYCLE_EVENT_COMMITTED);
    }
}

static void on_stopped(void *user, comrade_outcome *outcome)
{
    struct agent *agent = user;
    (void)outcome; /* Whatever it was, there is nothing left to be done. */
    agent->n_stopped_pending--;
    if (agent->n_stopped_pending == 0 && agent->is_exiting) {
        agent->is_done = true;
    }
}

void agent_report(struct agent *agent)
{
    if (agent->is_fenced || agent->member == NULL) {
        return;
    }
    struct lifecycle_view view = lifecycle_view(&agent->lifecycle);
    struct details details = details_of(agent);
    char *text = details_text(&details);
    comrade_report report = COMRADE_REPORT_INIT;
    report.state = view.state;
    report.is_alive = view.is_alive;
    report.is_available = view.is_available;
    report.pid = agent->service_pid;
    report.details = text;
    comrade_done done = NULL;
    int *n_pending = NULL;
    if (agent->lifecycle.state == LIFECYCLE_WITHDRAWING) {
        done = on_withdrawn;
        n_pending = &agent->n_withdrawn_pending;
    } else if (agent->lifecycle.state == LIFECYCLE_STOPPED) {
        done = on_stopped;
        n_pending = &agent->n_stopped_pending;
    }
    comrade_error error = {0};
    if (comrade_member_report_submit(agent->member, &report, done, agent, &error) != COMRADE_OK) {
        LOG(LOG_LEVEL_ERROR, "report-failed", LOG_TEXT("id", agent->identity.id),
            LOG_TEXT("error", error.message));
    } else if (n_pending != NULL) {
        ++*n_pending;
    }
    free(text);
}

/* --- Events -----------------------------------------------------------------------------------*/

static void log_request(const struct agent *agent, const char *kind,
                        const comrade_member_data *data)
{
    LOG(LOG_LEVEL_INFO, "request", LOG_TEXT("id", agent->identity.id), LOG_TEXT("kind", kind),
        LOG_TEXT("by", data != NULL ? data->requested_by : ""),
        LOG_TEXT("reason", data != NULL ? data->request_reason : ""),
        LOG_TEXT("request", data != NULL ? data->request_id : ""));
}

/* The id is another's. Before the service was started it never is; afterwards it drains. */
static void on_lost_id(struct agent *agent, const char *event, const comrade_error *error)
{
    const char *why = error != NULL ? error->message : "another process has taken over the id";
    agent->is_fenced = true;
    if (agent->lifecycle.n_spawns == 0 && error != NULL) {
        *agent->error = *error; /* The caller says it. */
    } else {
        LOG(LOG_LEVEL_ERROR, event, LOG_TEXT("id", agent->identity.id), LOG_TEXT("error", why));
    }
    agent_leave(agent, LEAVING_FENCED, LIFECYCLE_EVENT_EVICT);
}

static void on_in_use(struct agent *agent, const comrade_error *error)
{
    comrade_error with_advice = {0};
    comrade_error_set(&with_advice, error->status,
                      "%s; choose another id with --id, or take it over with --takeover",
                      error->message);
    on_lost_id(agent, "in-use", &with_advice);
}

/* Whoever reads it must know whether the service runs all the same. */
static void log_store_error(const struct agent *agent, const comrade_error *error)
{
    bool was_listed = comrade_member_incarnation(agent->member) != 0;
    LOG(LOG_LEVEL_ERROR, "store-error", LOG_TEXT("id", agent->identity.id),
        LOG_TEXT("store", comrade_cluster_store(agent->cluster)), LOG_TEXT("error", error->message),
        LOG_TEXT("meanwhile",
                 was_listed ? "the service runs on; the store is tried again and again"
                            : "the service runs without being listed; the store is tried again "
                              "and again"));
}

void agent_on_push(void *user, const comrade_error *error)
{
    const struct agent *agent = user;
    if (error == NULL) {
        LOG(LOG_LEVEL_INFO, "push-restored", LOG_TEXT("id", agent->identity.id),
            LOG_TEXT("store", comrade_cluster_store(agent->cluster)));
    } else {
        LOG(LOG_LEVEL_WARN, "push-unavailable", LOG_TEXT("id", agent->identity.id),
            LOG_TEXT("store", comrade_cluster_store(agent->cluster)),
            LOG_TEXT("error", error->message),
            LOG_TEXT("meanwhile", "requests come with the next heartbeat"));
    }
}

static void log_store(const struct agent *agent, enum log_level level, const char *event)
{
    LOG(level, event, LOG_TEXT("id", agent->identity.id),
        LOG_TEXT("store", comrade_cluster_store(agent->cluster)));
}

void agent_on_event(void *user, const comrade_event *event)
{
    struct agent *agent = user;
    switch (event->kind) {
    case COMRADE_EVENT_REGISTERED:
        agent->has_heard = true;
        LOG(LOG_LEVEL_INFO, "registered", LOG_TEXT("id", agent->identity.id),
            LOG_TEXT("role", agent->options->role),
            LOG_TEXT("store", comrade_cluster_store(agent->cluster)));
        return;
    case COMRADE_EVENT_ERROR:
        agent->has_heard = true;
        log_store_error(agent, event->error);
        return;
    case COMRADE_EVENT_LOST:
        log_store(agent, LOG_LEVEL_WARN, "record-lost");
        return;
    case COMRADE_EVENT_RESTORED:
        log_store(agent, LOG_LEVEL_INFO, "store-back");
        return;
    case COMRADE_EVENT_ZOMBIFIED:
        log_store(agent, LOG_LEVEL_WARN, "zombified");
        return;
    case COMRADE_EVENT_SHUTDOWN:
        log_request(agent, "kill", event->data);
        agent_leave(agent, LEAVING_KILLED, LIFECYCLE_EVENT_EVICT);
        return;
    case COMRADE_EVENT_RESTART:
        log_request(agent, "restart", event->data);
        if (!agent->is_exiting) {
            agent_step(agent, LIFECYCLE_EVENT_RESTART);
        }
        return;
    case COMRADE_EVENT_FENCED:
        on_lost_id(agent, "fenced", NULL);
        return;
    case COMRADE_EVENT_IN_USE:
        if (!agent_claim_later(agent, event->error)) {
            on_in_use(agent, event->error);
        }
        return;
    }
}
