/*
 * Opening and closing. The order matters: the keeper is forked while there is one thread and
 * little memory; signals are blocked before the first thread is started; what may be refused
 * without side effects is refused before the store hears of us.
 */
#include "agent/agent_internal.h"

#include "agent/exit_codes.h"
#include "base/error.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* All but those that tell of our own bugs, which must not be put off. */
static comrade_status open_signals(struct agent *agent, comrade_error *error)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    sigset_t set;
    sigfillset(&set);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        sigdelset(&set, faults[i]);
    }
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) == 0) {
        agent->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    }
    return agent->signal_fd >= 0
               ? COMRADE_OK
               : comrade_error_set(error, COMRADE_SYSTEM, "cannot listen for signals: %s",
                                   strerror(errno));
}

static comrade_status take_port(struct agent *agent, comrade_error *error)
{
    return agent->options->port == 0 ? COMRADE_OK
                                     : port_take(agent->options->port, NULL, &agent->port, error);
}

static comrade_status open_store(struct agent *agent, comrade_error *error)
{
    comrade_cluster_options wanted = COMRADE_CLUSTER_OPTIONS_INIT;
    wanted.store = agent->options->store;
    wanted.name_space = agent->options->name_space;
    wanted.kind = agent->options->kind;
    wanted.heartbeat_ms = agent->options->heartbeat_ms;
    wanted.on_push = agent_on_push;
    wanted.push_user = agent;
    comrade_status status = comrade_cluster_open(&wanted, &agent->cluster, error);
    return status == COMRADE_OK ? agent_claim(agent, error) : status;
}

static comrade_status open_tail(struct agent *agent, comrade_error *error)
{
    return agent->options->keeps_stderr_tail ? stderr_tail_new(STDERR_FILENO, &agent->tail, error)
                                             : COMRADE_OK;
}

static comrade_status open_keeper(struct agent *agent, comrade_error *error)
{
    return keeper_start(NULL, &agent->keeper, error);
}

static comrade_status open_readiness(struct agent *agent, comrade_error *error)
{
    return readiness_init(&agent->readiness, agent->options->ready, agent->env, error);
}

comrade_status agent_open(struct agent *agent, const struct agent_options *options,
                          comrade_error *error)
{
    static comrade_status (*const steps[])(struct agent *, comrade_error *) = {
        open_keeper,    open_signals,     agent_take_id, take_port,
        open_readiness, agent_check_open, open_tail,     open_store,
    };
    agent->options = options;
    agent->env = &env_system;
    agent->error = error;
    agent->now_ms = env_monotonic_ms(agent->env);
    agent->spawn_by_ms = agent->now_ms + FIRST_SPAWN_WAIT_MS;
    agent->spawn_code = RUN_EXIT_FAILED;
    agent->signal_fd = agent->null_fd = -1;
    agent->claim_again_ms = INT64_MAX;
    agent->port.lock_fd = -1;
    agent->identity.directory_fd = agent->identity.lock_fd = -1;
    agent->readiness.fd = agent->readiness.service_fd = -1;
    lifecycle_init(&agent->lifecycle, &options->lifecycle);
    comrade_status status = COMRADE_OK;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && status == COMRADE_OK; i++) {
        status = steps[i](agent, error);
    }
    return status;
}

void agent_close(struct agent *agent)
{
    check_free(agent->check);
    keeper_free(agent->keeper);
    stderr_tail_free(agent->tail, LAST_OUTPUT_WAIT_MS);
    comrade_member_free(agent->member);
    comrade_cluster_close(agent->cluster);
    readiness_finish(&agent->readiness);
    variables_finish(&agent->variables);
    port_release(&agent->port);
    identity_release(&agent->identity);
    if (agent->null_fd >= 0) {
        close(agent->null_fd);
    }
    if (agent->signal_fd >= 0) {
        close(agent->signal_fd);
    }
}
