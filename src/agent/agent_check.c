/* When the health check is run, and what its results mean to the lifecycle. */
#include "agent/agent_internal.h"

#include "base/error.h"
#include "base/text.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- Options ----------------------------------------------------------------------------------*/

static comrade_status need_port(const struct agent *agent, const char *option, int *port,
                                comrade_error *error)
{
    if (agent->port.number == 0) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "%s needs to know the port of the service: give --port, or the "
                                 "whole address",
                                 option);
    }
    *port = agent->port.number;
    return COMRADE_OK;
}

/* Cuts HOST[:PORT] in place; HOST may be an IPv6 address in brackets. False if it is neither. */
static bool split_host(char *text, char **host, int64_t *port)
{
    char *colon = strrchr(text, ':');
    if (text[0] == '[') {
        char *end = strchr(text, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':')) {
            return false;
        }
        colon = end[1] == ':' ? end + 1 : NULL;
        *end = '\0';
        text++;
    }
    if (colon != NULL) {
        *colon = '\0';
        if (!text_to_number(colon + 1, 1, 65535, port)) {
            return false;
        }
    }
    *host = text;
    return text[0] != '\0';
}

/* `copy` is cut up, and `options` borrow from it. */
static comrade_status parse_http(const struct agent *agent, char *copy,
                                 struct check_options *options, comrade_error *error)
{
    const char scheme[] = "http://";
    if (copy == NULL) {
        return comrade_error_set(error, COMRADE_INVALID, "--check-http needs a path or a URL");
    }
    if (copy[0] == '/') {
        options->path = copy;
        return need_port(agent, "--check-http PATH", &options->port, error);
    }
    char *host = NULL;
    int64_t port = 80;
    char *authority = copy + sizeof scheme - 1;
    bool is_url = strncmp(copy, scheme, sizeof scheme - 1) == 0;
    char *path = is_url ? strchr(authority, '/') : NULL;
    if (path != NULL) {
        options->path = agent->options->check_target + (path - copy);
        *path = '\0';
    }
    if (!is_url || !split_host(authority, &host, &port)) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "--check-http \"%s\" is neither a path such as /health nor a URL "
                                 "such as http://127.0.0.1:8080/health",
                                 agent->options->check_target);
    }
    options->host = host;
    options->port = (int)port;
    return COMRADE_OK;
}

static comrade_status parse_tcp(const struct agent *agent, char *copy,
                                struct check_options *options, comrade_error *error)
{
    int64_t port = 0;
    char *host = NULL;
    if (copy == NULL) {
        return need_port(agent, "a TCP check", &options->port, error);
    }
    bool is_port = text_to_number(copy, 1, 65535, &port);
    if (!is_port && (!split_host(copy, &host, &port) || port == 0)) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "--check-tcp \"%s\" is not PORT or HOST:PORT",
                                 agent->options->check_target);
    }
    options->host = host;
    options->port = (int)port;
    return COMRADE_OK;
}

/* A check that reads our input or writes into our output would be taken for the service. */
static comrade_status prepare_command(struct agent *agent, struct check_options *options,
                                      comrade_error *error)
{
    agent->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (agent->null_fd < 0) {
        return comrade_error_set(error, COMRADE_SYSTEM, "cannot open /dev/null");
    }
    agent->check_argv[0] = "/bin/sh";
    agent->check_argv[1] = "-c";
    agent->check_argv[2] = agent->options->check_target;
    agent->check_argv[3] = NULL;
    agent->check_command = (struct keeper_command)KEEPER_COMMAND_INIT;
    agent->check_command.slot = KEEPER_CHECK;
    agent->check_command.argv = agent->check_argv;
    agent->check_command.stdin_fd = agent->null_fd;
    agent->check_command.stdout_fd = agent->null_fd;
    agent->check_command.stderr_fd = agent->null_fd;
    options->keeper = agent->keeper;
    options->command = &agent->check_command;
    return COMRADE_OK;
}

comrade_status agent_check_open(struct agent *agent, comrade_error *error)
{
    const struct agent_options *wanted = agent->options;
    struct check_options options = CHECK_OPTIONS_INIT;
    options.timeout_ms = wanted->check_timeout_ms;
    char *copy = wanted->check_target != NULL ? strdup(wanted->check_target) : NULL;
    if (wanted->check_target != NULL && copy == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory");
    }
    comrade_status status = COMRADE_OK;
    switch (wanted->check) {
    case AGENT_CHECK_NONE:
        break;
    case AGENT_CHECK_TCP:
        options.kind = CHECK_TCP;
        status = parse_tcp(agent, copy, &options, error);
        break;
    case AGENT_CHECK_HTTP:
        options.kind = CHECK_HTTP;
        status = parse_http(agent, copy, &options, error);
        break;
    case AGENT_CHECK_COMMAND:
        options.kind = CHECK_COMMAND;
        status = prepare_command(agent, &options, error);
        break;
    }
    if (status == COMRADE_OK && wanted->check != AGENT_CHECK_NONE) {
        status = check_new(&options, &agent->check, error);
    }
    free(copy);
    return status;
}

/* --- Running ----------------------------------------------------------------------------------*/

static bool is_wanted(const struct agent *agent)
{
    if (agent->check == NULL || agent->service_pid == 0 ||
        !lifecycle_is_checked(agent->lifecycle.state)) {
        return false;
    }
    return agent->lifecycle.state != LIFECYCLE_STARTING || agent->readiness.kind == READY_CHECK;
}

/* Often before it is ready, so that readiness is seen at once. */
static int64_t interval_ms(const struct agent *agent)
{
    int64_t wanted_ms = agent->options->check_interval_ms;
    bool is_starting = agent->lifecycle.state == LIFECYCLE_STARTING;
    return is_starting && wanted_ms > START_CHECK_MS ? START_CHECK_MS : wanted_ms;
}

static void take_result(struct agent *agent, bool has_passed)
{
    agent->is_checking = false;
    snprintf(agent->check_reason, sizeof agent->check_reason, "%s",
             has_passed ? "" : check_reason(agent->check));
    if (!has_passed) {
        LOG(agent->lifecycle.state == LIFECYCLE_STARTING ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN,
            "check-failed", LOG_TEXT("id", agent->identity.id),
            LOG_TEXT("check", agent->check_reason));
    }
    if (has_passed && agent->lifecycle.state == LIFECYCLE_STARTING) {
        agent_step(agent, LIFECYCLE_EVENT_READY);
    } else {
        agent_step(agent, has_passed ? LIFECYCLE_EVENT_CHECK_PASSED : LIFECYCLE_EVENT_CHECK_FAILED);
    }
    agent->next_check_ms = agent->now_ms + interval_ms(agent);
}

void agent_check_turn(struct agent *agent)
{
    if (!is_wanted(agent)) {
        if (agent->is_checking) {
            check_cancel(agent->check);
            agent->is_checking = false;
        }
        agent->next_check_ms = 0; /* The next service is checked at once. */
        return;
    }
    if (!agent->is_checking && agent->now_ms >= agent->next_check_ms) {
        check_begin(agent->check, agent->now_ms);
        agent->is_checking = true;
    }
    if (agent->is_checking) {
        enum check_result result = check_step(agent->check, agent->now_ms);
        if (result != CHECK_RUNNING) {
            take_result(agent, result == CHECK_PASSED);
        }
    }
}

int64_t agent_check_due_ms(const struct agent *agent)
{
    if (!is_wanted(agent)) {
        return agent->is_checking ? agent->now_ms : INT64_MAX;
    }
    return agent->is_checking ? check_deadline_ms(agent->check) : agent->next_check_ms;
}
