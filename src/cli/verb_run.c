/* comrade run: options in, struct agent_options out. What they do is src/agent's. */
#include "agent/agent.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/verbs.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* After 60 s without a heartbeat a member is unhealthy: one may be lost. */
enum { HEARTBEAT_MAX_MS = 30 * 1000, HOUR_MS = 3600 * 1000, FD_MIN = 3, FD_MAX = 1000 };

static const struct option_row member_rows[] = {
    {.name = "role",
     .letter = 'r',
     .type = OPTION_TEXT,
     .argument = "ROLE",
     .is_required = true,
     .help = "the role of the service"},
    {.name = "id",
     .type = OPTION_TEXT,
     .argument = "ID",
     .help = "its id; else ROLE-HOST-N, with the lowest N that is free on this host"},
    {.name = "takeover",
     .type = OPTION_FLAG,
     .help = "take the id over from another process, which then leaves"},
    {.name = "port",
     .letter = 'p',
     .type = OPTION_TEXT,
     .argument = "N|auto",
     .help =
         "the port it listens on, at all addresses: told to it as PORT, advertised, and checked\n"
         "at 127.0.0.1. auto: a free one"},
    {.name = "advertise",
     .type = OPTION_TEXT,
     .argument = "IP[:PORT]",
     .help = "where others reach it, if not at its port on this host's address (127.0.0.1 where\n"
             "the store is a file); 127.0.0.1 if it listens on loopback only"},
    {.name = "meta",
     .letter = 'm',
     .type = OPTION_TEXT,
     .argument = "KEY=VALUE",
     .is_repeatable = true,
     .help = "metadata, as text"},
    {.name = "heartbeat",
     .type = OPTION_DURATION,
     .argument = "TIME",
     .default_text = "10s",
     .low = 100,
     .high = HEARTBEAT_MAX_MS,
     .help = "between two heartbeats"},
    {0},
};

static const struct option_row process_rows[] = {
    {.name = "restart",
     .type = OPTION_TEXT,
     .argument = "never|on-failure|always",
     .default_text = "on-failure",
     .help = "whether it is started again when it exits"},
    {.name = "restart-unhealthy",
     .type = OPTION_FLAG,
     .help = "also drain it and start it again when it is unhealthy"},
    {.name = "env-file",
     .type = OPTION_TEXT,
     .argument = "FILE",
     .help = "variables for it, as NAME=VALUE lines; read again at each start"},
    {.name = "pass-store",
     .type = OPTION_FLAG,
     .help = "tell it the store, too (COMRADE_STORE, …_NAMESPACE, …_KIND)"},
    {.name = "no-stderr-tail",
     .type = OPTION_FLAG,
     .help = "do not keep the end of its standard error for `comrade show`"},
    {.name = "drain-delay",
     .type = OPTION_DURATION,
     .argument = "TIME",
     .default_text = "5s",
     .low = 0,
     .high = HOUR_MS,
     .help = "between its leaving the list and SIGTERM"},
    {.name = "stop-timeout",
     .type = OPTION_DURATION,
     .argument = "TIME",
     .default_text = "30s",
     .low = 0,
     .high = 24 * HOUR_MS,
     .help = "between SIGTERM and SIGKILL"},
    {.name = "log-level",
     .type = OPTION_TEXT,
     .argument = "debug|info|warn|error",
     .default_text = "info",
     .help = "what the agent itself says on standard error"},
    {0},
};

static const struct option_row health_rows[] = {
    {.name = "ready",
     .type = OPTION_TEXT,
     .argument = "up|check|notify|fd:N",
     .help =
         "it is ready when it runs, when its check passes (the default where it has one), when\n"
         "it says so with sd_notify, or with a newline on descriptor N"},
    {.name = "ready-timeout",
     .type = OPTION_DURATION,
     .argument = "TIME",
     .default_text = "60s",
     .low = 1,
     .high = 24 * HOUR_MS,
     .help = "a start that takes longer has failed"},
    {.name = "min-healthy-time",
     .type = OPTION_DURATION,
     .argument = "TIME",
     .default_text = "10s",
     .low = 0,
     .high = HOUR_MS,
     .help = "ready and without a failure for so long, it counts as available"},
    {.name = "check-tcp",
     .type = OPTION_TEXT,
     .argument = "[HOST:]PORT",
     .help =
         "check that it accepts connections at localhost, or at HOST (the default with --port)"},
    {.name = "check-http",
     .type = OPTION_TEXT,
     .argument = "PATH|URL",
     .help = "check that GET of PATH, at localhost and --port, or of URL answers with a status\n"
             "from 200 to 399"},
    {.name = "check-command",
     .type = OPTION_TEXT,
     .argument = "COMMAND",
     .help = "check that this command, for /bin/sh, exits with 0"},
    {.name = "no-check", .type = OPTION_FLAG, .help = "no check, although it has a port"},
    {.name = "check-interval",
     .type = OPTION_DURATION,
     .argument = "TIME",
     .default_text = "5s",
     .low = 10,
     .high = HOUR_MS,
     .help = "between two checks; three that fail make it unhealthy, two that pass mend it"},
    {.name = "check-timeout",
     .type = OPTION_DURATION,
     .argument = "TIME",
     .default_text = "2s",
     .low = 1,
     .high = HOUR_MS,
     .help = "a check that takes longer has failed"},
    {0},
};

static const struct option_group member_group = {"The member", member_rows};
static const struct option_group process_group = {"The process", process_rows};
static const struct option_group health_group = {"Its health", health_rows};
static const struct option_group *const groups[] = {&member_group, &process_group, &health_group,
                                                    &store_options, NULL};

/* --- Words ------------------------------------------------------------------------------------*/

struct word {
    const char *text;
    int value;
};

static bool word_find(const struct word *words, const char *text, int *value)
{
    for (size_t i = 0; words[i].text != NULL; i++) {
        if (strcmp(words[i].text, text) == 0) {
            *value = words[i].value;
            return true;
        }
    }
    return false;
}

/* 0, or the exit code of the error that was printed. */
static int read_word(struct cli *cli, const struct options *options, const char *name,
                     const struct word *words, int *value)
{
    const char *text = options_text(options, name);
    if (word_find(words, text, value)) {
        return 0;
    }
    struct buffer known;
    buffer_init(&known, 256);
    for (size_t i = 0; words[i].text != NULL; i++) {
        buffer_append_format(&known, "%s%s", i == 0 ? "" : ", ", words[i].text);
    }
    int code = cli_fail(cli, EXIT_CODE_USAGE, "--%s \"%s\" is none of: %s", name, text,
                        buffer_text(&known));
    buffer_finish(&known);
    return code;
}

static int read_process(struct cli *cli, const struct options *options, struct agent_options *agent)
{
    static const struct word restarts[] = {{"never", LIFECYCLE_NEVER},
                                           {"on-failure", LIFECYCLE_ON_FAILURE},
                                           {"always", LIFECYCLE_ALWAYS},
                                           {0}};
    static const struct word levels[] = {{"debug", LOG_LEVEL_DEBUG},
                                         {"info", LOG_LEVEL_INFO},
                                         {"warn", LOG_LEVEL_WARN},
                                         {"error", LOG_LEVEL_ERROR},
                                         {0}};
    int restart = 0, level = 0;
    int code = read_word(cli, options, "restart", restarts, &restart);
    if (code == 0) {
        code = read_word(cli, options, "log-level", levels, &level);
    }
    if (code != 0) {
        return code;
    }
    log_set_level((enum log_level)level);
    agent->lifecycle = (struct lifecycle_options)LIFECYCLE_OPTIONS_INIT;
    agent->lifecycle.restart = (enum lifecycle_restart)restart;
    agent->lifecycle.restarts_unhealthy = options_flag(options, "restart-unhealthy");
    agent->lifecycle.drain_delay_ms = options_number(options, "drain-delay", 0);
    agent->lifecycle.stop_timeout_ms = options_number(options, "stop-timeout", 0);
    agent->lifecycle.ready_timeout_ms = options_number(options, "ready-timeout", 0);
    agent->lifecycle.min_healthy_ms = options_number(options, "min-healthy-time", 0);
    agent->env_file = options_text(options, "env-file");
    agent->passes_store = options_flag(options, "pass-store");
    agent->keeps_stderr_tail = !options_flag(options, "no-stderr-tail");
    return 0;
}

static int read_port(struct cli *cli, const struct options *options, struct agent_options *agent)
{
    const char *text = options_text(options, "port");
    int64_t port = 0;
    if (text == NULL) {
        return 0;
    }
    if (strcmp(text, "auto") == 0) {
        port = PORT_AUTO;
    } else if (!text_to_number(text, 1, 65535, &port)) {
        return cli_fail(cli, EXIT_CODE_USAGE,
                        "--port \"%s\" is neither a port from 1 to 65535 nor \"auto\"", text);
    }
    agent->port = (int)port;
    return 0;
}

/* --- Health -----------------------------------------------------------------------------------*/

static int read_check(struct cli *cli, const struct options *options, struct agent_options *agent)
{
    static const struct word kinds[] = {{"check-tcp", AGENT_CHECK_TCP},
                                        {"check-http", AGENT_CHECK_HTTP},
                                        {"check-command", AGENT_CHECK_COMMAND},
                                        {0}};
    int n_given = options_flag(options, "no-check") ? 1 : 0;
    agent->check = AGENT_CHECK_NONE;
    for (size_t i = 0; kinds[i].text != NULL; i++) {
        if (options_text(options, kinds[i].text) != NULL) {
            agent->check = (enum agent_check)kinds[i].value;
            agent->check_target = options_text(options, kinds[i].text);
            n_given++;
        }
    }
    if (n_given > 1) {
        return cli_fail(cli, EXIT_CODE_USAGE,
                        "give one of --check-tcp, --check-http, --check-command and --no-check");
    }
    if (n_given == 0 && agent->port != 0) {
        agent->check = AGENT_CHECK_TCP;
    }
    agent->check_interval_ms = options_number(options, "check-interval", 0);
    agent->check_timeout_ms = options_number(options, "check-timeout", 0);
    return 0;
}

static int read_ready(struct cli *cli, const struct options *options, struct agent_options *agent)
{
    static const struct word kinds[] = {
        {"up", READY_UP}, {"check", READY_CHECK}, {"notify", READY_NOTIFY}, {0}};
    const char *text = options_text(options, "ready");
    bool has_check = agent->check != AGENT_CHECK_NONE;
    int kind = has_check ? READY_CHECK : READY_UP;
    int64_t fd = 0;
    if (text != NULL && strncmp(text, "fd:", 3) == 0 &&
        text_to_number(text + 3, FD_MIN, FD_MAX, &fd)) {
        kind = READY_FD;
    } else if (text != NULL && !word_find(kinds, text, &kind)) {
        return cli_fail(cli, EXIT_CODE_USAGE,
                        "--ready \"%s\" is none of: up, check, notify, fd:N with N from %d to %d",
                        text, FD_MIN, FD_MAX);
    }
    if (kind == READY_CHECK && !has_check) {
        return cli_fail(cli, EXIT_CODE_USAGE,
                        "--ready check needs a check: give --port, --check-tcp, --check-http or "
                        "--check-command");
    }
    agent->ready = (enum ready_kind)kind;
    agent->ready_fd = (int)fd;
    return 0;
}

/* --- The verb ---------------------------------------------------------------------------------*/

static int run_agent(struct cli *cli, const struct options *options, struct agent_options *agent)
{
    comrade_error error = {0};
    size_t n_meta = options_count(options, "meta");
    const char **meta = calloc(n_meta + 1, sizeof *meta);
    char *store = meta != NULL ? cli_store_url(cli, options) : NULL;
    int code = EXIT_CODE_FAILED;
    if (store == NULL) {
        goto out;
    }
    for (size_t i = 0; i < n_meta; i++) {
        meta[i] = options_list(options, "meta", i);
    }
    agent->store = store;
    agent->meta = meta;
    agent->n_meta = n_meta;
    code = agent_run(agent, &error);
    if (error.message[0] != '\0') {
        int other = cli_error(cli, &error);
        code = code == RUN_EXIT_FAILED ? other : code;
    }
out:
    free(store);
    free(meta);
    return code;
}

static int run(struct cli *cli, const struct options *options)
{
    struct agent_options agent = {
        .name_space = options_text(options, "namespace"),
        .kind = options_text(options, "kind"),
        .heartbeat_ms = options_number(options, "heartbeat", 0),
        .role = options_text(options, "role"),
        .id = options_text(options, "id"),
        .takes_over = options_flag(options, "takeover"),
        .advertise = options_text(options, "advertise"),
        .command = (const char *const *)options->operands,
        .environment = (const char *const *)environ,
    };
    if (cli->is_shell) {
        return cli_fail(cli, EXIT_CODE_USAGE, "a service is not run from inside the shell");
    }
    int code = read_process(cli, options, &agent);
    if (code == 0) {
        code = read_port(cli, options, &agent);
    }
    if (code == 0) {
        code = read_check(cli, options, &agent);
    }
    if (code == 0) {
        code = read_ready(cli, options, &agent);
    }
    return code == 0 ? run_agent(cli, options, &agent) : code;
}

static const char *const examples[] = {
    "comrade run --role app --port auto -- node server.js",
    "a server that finds its port in PORT, and is listed when it accepts connections",
    "comrade run --role app --port 8080 --check-http /health -- ./app",
    "listed when GET /health succeeds",
    "comrade run --role worker --restart always --env-file /etc/worker.env -- ./worker",
    "started again whenever it exits, with variables from a file",
    NULL,
};

const struct verb verb_run = {
    .name = "run",
    .summary = "Run a command as a member: listed when ready, drained before it stops",
    .operands = "COMMAND [ARGUMENT...]",
    .min_operands = 1,
    .max_operands = SIZE_MAX,
    .description =
        "Starts the command in a process group of its own, registers it, and keeps it running. It "
        "is listed once it is ready. When it is asked to leave (comrade kill, SIGTERM, SIGINT) it "
        "first leaves the list, then gets SIGTERM after the drain delay, and SIGKILL after the "
        "stop timeout. A second SIGTERM skips the delay, a third one kills. Other signals are "
        "forwarded. None of its descendants survives it, and none survives the agent.\n\n"
        "The command gets the environment, without COMRADE_..., and COMRADE_ID, COMRADE_ROLE and "
        "PORT. It is started although the store cannot be reached.\n\n"
        "Checks connect to 127.0.0.1 (or ::1), unless they name another host; others are told this "
        "host's own address, unless the store is a file. A service that listens on loopback only "
        "passes its check, and is listed at an address where nobody reaches it: let it listen on "
        "all addresses, or, if only this host needs it, give --advertise 127.0.0.1.\n\n"
        "Exit code: the command's, or 128 + the signal that killed it; 90: it left because of a "
        "kill request; 91: its id is running elsewhere, or was taken over; 126: the command cannot "
        "be executed; 127: there is no such command; 1, 2, 5: nothing could be started.",
    .examples = examples,
    .groups = groups,
    .stops_at_operand = true,
    .makes_store = true,
    .run = run,
};
