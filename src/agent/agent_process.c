/* The service as a process: starting it, signals to it and to us, and what the keeper tells. */
#include "agent/agent_internal.h"

#include "agent/exit_codes.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIGNALS_PER_TURN = 64, EVENTS_PER_TURN = 64 };

/* --- Starting ---------------------------------------------------------------------------------*/

static comrade_status build_environment(struct agent *agent, comrade_error *error)
{
    const struct agent_options *options = agent->options;
    struct environment_options wanted = {
        .inherited = options->environment,
        .env_file = options->env_file,
        .id = agent->identity.id,
        .role = options->role,
        .port = agent->port.number,
        .notify_socket = agent->readiness.address[0] != '\0' ? agent->readiness.address : NULL,
        .passes_store = options->passes_store,
        .store = options->store,
        .name_space = options->name_space,
        .kind = options->kind,
    };
    struct variables built;
    comrade_status status = environment_build(&wanted, &built, error);
    if (status == COMRADE_OK) {
        variables_finish(&agent->variables);
        agent->variables = built;
        agent->check_command.envp = (const char *const *)agent->variables.items;
    }
    return status;
}

static comrade_status spawn(struct agent *agent, comrade_error *error)
{
    comrade_status status = build_environment(agent, error);
    if (status == COMRADE_OK) {
        status = readiness_begin(&agent->readiness, error);
    }
    if (status != COMRADE_OK) {
        return status;
    }
    struct keeper_extra_fd ready = {agent->readiness.service_fd, agent->options->ready_fd};
    struct keeper_command command = KEEPER_COMMAND_INIT;
    command.argv = agent->options->command;
    command.envp = (const char *const *)agent->variables.items;
    command.stderr_fd = agent->tail != NULL ? stderr_tail_fd(agent->tail) : -1;
    command.extra_fds = &ready;
    command.n_extra_fds = ready.fd >= 0 ? 1 : 0;
    if (agent->tail != NULL) {
        stderr_tail_clear(agent->tail);
    }
    return keeper_spawn(agent->keeper, &command, error);
}

static void spawn_failed(struct agent *agent, int code, const char *why)
{
    readiness_spawned(&agent->readiness);
    agent->is_spawning = false;
    agent->spawn_code = code;
    snprintf(agent->spawn_error, sizeof agent->spawn_error, "%s", why);
    LOG(LOG_LEVEL_ERROR, "spawn-failed", LOG_TEXT("id", agent->identity.id),
        LOG_TEXT("command", agent->options->command[0]), LOG_TEXT("error", why));
    agent_step(agent, LIFECYCLE_EVENT_SPAWN_FAILED);
}

void agent_spawn(struct agent *agent)
{
    comrade_error error = {0};
    agent->is_spawning = true;
    agent->spawn_error[0] = '\0';
    agent->check_reason[0] = '\0';
    if (spawn(agent, &error) != COMRADE_OK) {
        spawn_failed(agent, RUN_EXIT_FAILED, error.message);
    }
}

/* --- What the keeper tells --------------------------------------------------------------------*/

static void on_spawned(struct agent *agent, const struct keeper_event *event)
{
    agent->is_spawning = false;
    agent->service_pid = event->pid;
    readiness_spawned(&agent->readiness);
    LOG(LOG_LEVEL_INFO, "spawned", LOG_TEXT("id", agent->identity.id),
        LOG_NUMBER("pid", event->pid), LOG_TEXT("command", agent->options->command[0]));
    if (agent->readiness.kind == READY_UP && agent->lifecycle.state == LIFECYCLE_STARTING) {
        agent_step(agent, LIFECYCLE_EVENT_READY);
    } else {
        agent_report(agent); /* The pid is new. */
    }
}

static void on_spawn_failed(struct agent *agent, const struct keeper_event *event)
{
    char why[256];
    const char *tried[] = {[KEEPER_STEP_FORK] = "cannot start a process",
                           [KEEPER_STEP_FDS] = "cannot pass descriptors",
                           [KEEPER_STEP_DIRECTORY] = "cannot enter the working directory",
                           [KEEPER_STEP_EXEC] = "cannot execute the command"};
    int code = RUN_EXIT_FAILED;
    if (event->step == KEEPER_STEP_EXEC) {
        code = event->error_number == ENOENT ? RUN_EXIT_NO_COMMAND : RUN_EXIT_NOT_EXECUTABLE;
    }
    snprintf(why, sizeof why, "%s: %s", tried[event->step], strerror(event->error_number));
    spawn_failed(agent, code, why);
}

static void on_exited(struct agent *agent, int wait_status)
{
    agent->is_spawning = false;
    agent->service_pid = 0;
    agent->has_exit = true;
    agent->wait_status = wait_status;
    agent->exited_at_ms = env_wall_ms(agent->env);
    agent->tail_len = 0;
    bool is_signal = WIFSIGNALED(wait_status);
    LOG(LOG_LEVEL_INFO, "exited", LOG_TEXT("id", agent->identity.id),
        LOG_NUMBER(is_signal ? "signal" : "code",
                   is_signal ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status)));
    agent_step(agent, LIFECYCLE_EVENT_EXITED);
}

static void on_tree_gone(struct agent *agent)
{
    /* The answer to a kill whose process is gone may come after the next one was asked for. */
    if (agent->is_spawning || agent->service_pid > 0) {
        return;
    }
    if (agent->tail != NULL) {
        agent->tail_len =
            stderr_tail_copy(agent->tail, TAIL_WAIT_MS, agent->tail_bytes, &agent->is_tail_cut);
    }
    agent_step(agent, LIFECYCLE_EVENT_TREE_GONE);
}

static void on_keeper_died(struct agent *agent)
{
    LOG(LOG_LEVEL_ERROR, "keeper-died", LOG_TEXT("id", agent->identity.id),
        LOG_TEXT("reason", "somebody killed the process between the agent and the service; the "
                           "service was killed with it"));
    bool is_running = agent->is_spawning || agent->service_pid > 0;
    agent->kills_orphans = true;
    agent->spawn_code = RUN_EXIT_SIGNAL + SIGKILL;
    agent_step(agent, LIFECYCLE_EVENT_LEAVE);
    if (is_running) {
        on_exited(agent, SIGKILL);
    }
}

void agent_kill_orphans(struct agent *agent)
{
    if (keeper_kill_orphans(agent->keeper)) {
        agent->kills_orphans = false;
        on_tree_gone(agent);
    }
}

static void take_event(struct agent *agent, const struct keeper_event *event)
{
    bool is_service = event->slot == KEEPER_SERVICE;
    switch (event->kind) {
    case KEEPER_SPAWNED:
        if (is_service) {
            on_spawned(agent, event);
        }
        return;
    case KEEPER_SPAWN_FAILED:
        if (is_service) {
            on_spawn_failed(agent, event);
        }
        return;
    case KEEPER_EXITED:
        if (is_service) {
            on_exited(agent, event->wait_status);
        }
        return;
    case KEEPER_TREE_GONE:
        on_tree_gone(agent);
        return;
    case KEEPER_DIED:
        on_keeper_died(agent);
        return;
    }
}

void agent_take_keeper_events(struct agent *agent)
{
    struct keeper_event event;
    for (int i = 0; i < EVENTS_PER_TURN && keeper_next_event(agent->keeper, &event); i++) {
        bool is_check = agent->check != NULL && event.slot == KEEPER_CHECK &&
                        check_take_event(agent->check, &event);
        if (!is_check) {
            take_event(agent, &event);
        }
    }
}

/* --- Signals ----------------------------------------------------------------------------------*/

/* Where the keeper is gone so is the service: its own event tells, and no error has to. */
void agent_signal(struct agent *agent, unsigned actions)
{
    if ((actions & LIFECYCLE_TERM_GROUP) != 0) {
        keeper_signal_group(agent->keeper, KEEPER_SERVICE, SIGTERM, NULL);
        keeper_signal_group(agent->keeper, KEEPER_SERVICE, SIGCONT, NULL);
    }
    if ((actions & LIFECYCLE_TERM_TREE) != 0) {
        keeper_signal_tree(agent->keeper, SIGTERM, NULL);
        keeper_signal_tree(agent->keeper, SIGCONT, NULL);
    }
    if ((actions & LIFECYCLE_KILL_TREE) != 0) {
        keeper_kill_tree(agent->keeper, NULL);
    }
}

static void take_term(struct agent *agent, int signal)
{
    static const enum lifecycle_event events[] = {LIFECYCLE_EVENT_LEAVE, LIFECYCLE_EVENT_HURRY,
                                                  LIFECYCLE_EVENT_KILL};
    int nth = agent->n_terms < 2 ? agent->n_terms : 2;
    agent->n_terms++;
    LOG(LOG_LEVEL_INFO, "signal", LOG_TEXT("id", agent->identity.id),
        LOG_TEXT("name", signal == SIGINT ? "SIGINT" : "SIGTERM"),
        LOG_NUMBER("times", agent->n_terms));
    agent_leave(agent, LEAVING_SIGNAL, events[nth]);
}

static void take_signal(struct agent *agent, int signal)
{
    if (signal == SIGTERM || signal == SIGINT) {
        take_term(agent, signal);
    } else if (signal == SIGCHLD) {
        keeper_reap_orphans(agent->keeper);
    } else if (signal != SIGPIPE && agent->service_pid > 0) {
        keeper_signal_group(agent->keeper, KEEPER_SERVICE, signal, NULL);
    }
}

void agent_take_signals(struct agent *agent)
{
    struct signalfd_siginfo info;
    for (int i = 0; i < SIGNALS_PER_TURN; i++) {
        if (read(agent->signal_fd, &info, sizeof info) != (ssize_t)sizeof info) {
            return;
        }
        take_signal(agent, (int)info.ssi_signo);
    }
}
