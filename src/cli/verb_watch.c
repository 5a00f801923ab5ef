/*
 * comrade watch: what is told whenever a member comes, changes or leaves. How it is told is for
 * watch_events and watch_lines; here are the options, the store, and the loop.
 */
#include "base/env.h"
#include "cli/ask.h"
#include "cli/member_query.h"
#include "cli/output.h"
#include "cli/stop_wait.h"
#include "cli/verbs.h"
#include "cli/watch_events.h"
#include "cli/watch_lines.h"

#include <poll.h>
#include <stdio.h>

/* How often a command is looked at of which no descriptor tells. */
enum { UNWATCHED_MS = 50 };

static const struct option_row watch_rows[] = {
    {.name = "json",
     .type = OPTION_FLAG,
     .help =
         "one JSON object a line: \"change\" (came, changed, left), then the member as list has "
         "it"},
    {.name = "exec",
     .type = OPTION_TEXT,
     .argument = "COMMAND",
     .help = "run COMMAND by sh -c, one at a time: with --output once FILE has been replaced,\n"
             "else with what would be printed on its standard input, with --json line by line",
     .is_typed_only = true},
    {.name = NULL},
};
static const struct option_group watch_options = {"Output", watch_rows};

struct watcher {
    struct cli *cli;
    struct watch_events events;
    struct watch_lines lines;
    struct command_runner runner;
    bool has_lines;  /* --line was given; else events are told */
    bool has_runner; /* --exec was given */
    bool is_lost;    /* the store is unreachable, and that was said */
    comrade_status status;
    comrade_error error;
};

static void tell_lost(struct watcher *watcher, const comrade_error *error)
{
    bool has_file = watcher->lines.file.path != NULL;
    watcher->is_lost = true;
    if (watcher->has_lines) {
        watch_lines_lost(&watcher->lines, env_monotonic_ms(&env_system));
    }
    fprintf(stderr, "%s; %s stays %s until it is back\n", error->message,
            has_file ? watcher->lines.file.path : "the last list", has_file ? "as it is" : "true");
}

static void on_change(void *user, const comrade_members *members, const comrade_error *error)
{
    struct watcher *watcher = user;
    if (members == NULL) {
        tell_lost(watcher, error);
        return;
    }
    if (watcher->is_lost) {
        watcher->is_lost = false;
        fputs("the store is back\n", stderr);
    }
    watcher->status = watcher->has_lines
                          ? watch_lines_tell(&watcher->lines, members,
                                             env_monotonic_ms(&env_system), &watcher->error)
                          : watch_events_tell(&watcher->events, members, &watcher->error);
}

static void on_push(void *user, const comrade_error *error)
{
    (void)user;
    if (error == NULL) {
        fputs("changes are pushed again\n", stderr);
    } else {
        fprintf(stderr, "%s; changes are seen within 2.5 s, not at once\n", error->message);
    }
}

static void say_if_nothing_is_pushed(const struct cli *cli)
{
    if (!comrade_cluster_can_push(cli->cluster)) {
        fprintf(stderr,
                "%s: this store does not push; changes are seen within 2.5 s, not at once\n",
                comrade_cluster_store(cli->cluster));
    }
}

static int64_t due_ms(const struct watcher *watcher)
{
    int64_t lines_ms = watcher->has_lines ? watch_lines_due_ms(&watcher->lines) : INT64_MAX;
    int64_t runner_ms = watcher->has_runner
                            ? command_runner_due_ms(&watcher->runner, env_monotonic_ms(&env_system))
                            : INT64_MAX;
    return lines_ms < runner_ms ? lines_ms : runner_ms;
}

static void step(struct watcher *watcher)
{
    int64_t now_ms = env_monotonic_ms(&env_system);
    if (watcher->has_lines && watcher->status == COMRADE_OK) {
        watcher->status = watch_lines_step(&watcher->lines, now_ms, &watcher->error);
    }
    if (watcher->has_runner && command_runner_step(&watcher->runner, now_ms) &&
        watcher->has_lines) {
        watch_lines_command_done(&watcher->lines);
    }
}

static comrade_status start_runner(struct watcher *watcher, const char *command, int wait_fd,
                                   comrade_error *error)
{
    if (command == NULL) {
        return COMRADE_OK;
    }
    watcher->has_runner = true;
    watcher->events.runner = &watcher->runner;
    command_runner_init(&watcher->runner, watcher->cli, command,
                        watcher->has_lines ? COMMAND_LATEST : COMMAND_EACH, wait_fd);
    return watcher->has_lines ? watch_lines_set_runner(&watcher->lines, &watcher->runner, error)
                              : COMRADE_OK;
}

/* A command that runs is waited for. A second signal asks it to end, and a third ends it. */
static void end_runner(struct watcher *watcher, struct stop_wait *wait)
{
    unsigned n_signals = stop_wait_signals(wait);
    if (!watcher->has_runner) {
        return;
    }
    command_runner_close(&watcher->runner);
    step(watcher);
    while (watcher->runner.pid != 0) {
        struct pollfd ready = {.fd = wait->fd, .events = POLLIN};
        poll(&ready, 1, watcher->runner.pid_fd < 0 ? UNWATCHED_MS : -1);
        if (stop_wait_signals(wait) > n_signals) {
            command_runner_signal(&watcher->runner, n_signals < 2 ? SIGTERM : SIGKILL);
            n_signals = wait->n_signals;
        }
        step(watcher);
    }
    command_runner_finish(&watcher->runner);
}

/* Until a signal says to stop, or nobody reads any more. */
static int follow(struct watcher *watcher, const comrade_query *query, const char *command)
{
    struct cli *cli = watcher->cli;
    struct stop_wait wait;
    comrade_watch *watch = NULL;
    comrade_error error;
    bool has_reader = watcher->lines.file.path == NULL && command == NULL;
    if (stop_wait_open(&wait, has_reader, &error) != COMRADE_OK) {
        return cli_error(cli, &error);
    }
    int code = EXIT_CODE_DONE;
    if (start_runner(watcher, command, wait.fd, &error) != COMRADE_OK ||
        comrade_watch_start(cli->client, query, on_change, watcher, &watch, &error) != COMRADE_OK) {
        code = cli_error(cli, &error);
    }
    while (code == EXIT_CODE_DONE && !stop_wait_has_ended(&wait)) {
        cluster_wait(cli->cluster, wait.fd, due_ms(watcher));
        step(watcher);
        code = watcher->status == COMRADE_OK ? output_end(cli) : cli_error(cli, &watcher->error);
    }
    comrade_watch_stop(watch);
    end_runner(watcher, &wait);
    stop_wait_close(&wait);
    return code;
}

/* Options that say nothing without another. */
static int check_combination(const struct cli *cli, const struct options *options)
{
    static const char *const of_line[] = {"output", "empty"};
    bool has_line = options_is_given(options, "line");
    for (size_t i = 0; !has_line && i < sizeof of_line / sizeof *of_line; i++) {
        if (options_is_given(options, of_line[i])) {
            return cli_fail(cli, EXIT_CODE_USAGE,
                            "--%s needs --line, which says what to write, as in --line 'server "
                            "{ip}:{port};'",
                            of_line[i]);
        }
    }
    if (options_is_given(options, "exec") && !has_line && !options_flag(options, "json")) {
        return cli_fail(cli, EXIT_CODE_USAGE,
                        "--exec needs --line 'server {ip}:{port};' --output FILE, which the "
                        "command makes known, or --json for a run of it with each change");
    }
    if (options_is_given(options, "exec") && options_text(options, "exec")[0] == '\0') {
        return cli_fail(cli, EXIT_CODE_USAGE, "--exec: the command is empty");
    }
    if (has_line && options_flag(options, "json")) {
        return cli_fail(cli, EXIT_CODE_USAGE,
                        "--json tells of changes and --line of all that are there: give one of "
                        "them");
    }
    return EXIT_CODE_DONE;
}

static int watch_members(struct cli *cli, const struct options *options, comrade_query *query)
{
    struct watcher watcher = {
        .cli = cli,
        .events.has_json = options_flag(options, "json"),
        .has_lines = options_is_given(options, "line"),
    };
    int code = check_combination(cli, options);
    if (code == EXIT_CODE_DONE && watcher.has_lines) {
        code = watch_lines_init(&watcher.lines, cli, options, query);
    }
    if (code != EXIT_CODE_DONE) {
        return code;
    }
    cli->on_push = on_push;
    code = cli_open(cli, options);
    if (code == EXIT_CODE_DONE) {
        say_if_nothing_is_pushed(cli);
        code = follow(&watcher, query, options_text(options, "exec"));
    }
    watch_events_finish(&watcher.events);
    watch_lines_finish(&watcher.lines);
    return code;
}

static int run(struct cli *cli, const struct options *options)
{
    struct member_query query;
    int code = member_query_init(&query, cli, options);
    if (code == EXIT_CODE_DONE) {
        code = watch_members(cli, options, &query.query);
        member_query_finish(&query);
    }
    return code;
}

static const char *const examples[] = {
    "comrade watch --role app",
    "a line whenever a member comes, changes or leaves",
    "comrade watch --role app --alive --healthy --json",
    "for a program that keeps a list of addresses",
    "comrade watch --role app --line 'server {ip}:{port};' --output FILE --exec 'nginx -s reload'",
    "the servers of an nginx upstream, kept up to date",
    "comrade watch --alive --healthy --json --exec 'logger -t comrade'",
    "a run of the command with each change",
    NULL,
};
static const struct option_group *const groups[] = {&watch_options, &line_options, &filter_options,
                                                    &store_options, NULL};

const struct verb verb_watch = {
    .name = "watch",
    .summary = "Follow members as they come, change and leave",
    .description =
        "Prints those that match, then a line for each change, as soon as the store pushes it.\n"
        "With filters such as --alive a member \"left\" when it no longer matches. While the "
        "store\n"
        "is unreachable the last list stays true; that is said on stderr, and so is, once, that\n"
        "a store does not push: changes are then seen within 2.5 s. Ends on ^C.\n"
        "\n"
        "With --line it tells instead, whenever that changes, all members in rotation: those that\n"
        "are alive and healthy, and match. With --output they are in a file, which others read\n"
        "at any time: it is replaced whole, only when its text changes, and stays as it is while\n"
        "the store is unreachable or nobody is in rotation. A member is left out, with a word on\n"
        "stderr, if it has no such value, or one with other characters than letters, digits and\n"
        ". _ : - @ / + [ ] % , = which could mean something to whoever reads the file.",
    .examples = examples,
    .groups = groups,
    .run = run,
};
