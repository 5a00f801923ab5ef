#include "cli/gone_wait.h"

#include "base/env.h"
#include "cli/ask.h"
#include "cli/duration_text.h"
#include "cli/member_table.h"
#include "cli/output.h"

#include <string.h>

enum { SILENT_MS = 60 * 1000, LOOK_AGAIN_MS = 5 * 1000 };

static const struct option_row wait_rows[] = {
    {.name = "wait",
     .type = OPTION_FLAG,
     .help = "follow it until it is gone, with a line for each step"},
    {.name = "wait-timeout",
     .type = OPTION_DURATION,
     .argument = "DURATION",
     .help = "how long --wait waits before it gives up; the member goes on leaving",
     .default_text = "2m",
     .low = 1,
     .high = 24 * 3600 * 1000},
    {.name = NULL},
};
const struct option_group wait_options = {"Waiting", wait_rows};

static const struct option_row back_wait_rows[] = {
    {.name = "wait",
     .type = OPTION_FLAG,
     .help = "follow it until it is available again, with a line for each step"},
    {.name = "wait-timeout",
     .type = OPTION_DURATION,
     .argument = "DURATION",
     .help = "how long it may take until it is available again",
     .default_text = "2m",
     .low = 1,
     .high = 24 * 3600 * 1000},
    {.name = NULL},
};
const struct option_group back_wait_options = {"Waiting", back_wait_rows};

struct wait {
    FILE *out; /* stderr, where stdout is for scripts */
    const char *id;
    int64_t incarnation;
    int64_t started_ms; /* monotonic */
    char said[32];      /* the state that was printed last */
    bool must_return;   /* it was asked to restart */
    bool is_over;       /* it is gone, or back */
    bool is_back;
    bool is_silent;
};

static void say(struct wait *wait, const char *what)
{
    char took[DURATION_TEXT_SIZE];
    duration_text(env_monotonic_ms(&env_system) - wait->started_ms, took);
    output_text(wait->out, wait->id);
    fprintf(wait->out, ": %s (%s)\n", what, took);
    fflush(wait->out);
}

static void on_change(void *user, const comrade_members *members, const comrade_error *error)
{
    struct wait *wait = user;
    if (members == NULL) {
        fprintf(stderr, "%s; still waiting\n", error->message);
        return;
    }
    const comrade_member_data *member = comrade_members_at(members, 0);
    bool is_next = member != NULL && member->incarnation != wait->incarnation;
    wait->is_back = wait->must_return && is_next && member->is_available;
    if (wait->is_back || member == NULL || member->state == COMRADE_STATE_STOPPED ||
        (is_next && !wait->must_return)) {
        wait->is_over = true;
        return;
    }
    if (member->now_ms - member->updated_ms >= SILENT_MS) {
        wait->is_over = true;
        wait->is_silent = true;
        return;
    }
    const char *state = member_state_text(member);
    if (strcmp(wait->said, state) != 0) {
        snprintf(wait->said, sizeof wait->said, "%s", state);
        say(wait, state);
    }
}

/* A watch is silent while a member merely ages, so it is looked at now and then as well. */
static void follow(struct cli *cli, const comrade_query *query, struct wait *wait,
                   int64_t deadline_ms)
{
    int64_t look_ms = wait->started_ms + LOOK_AGAIN_MS;
    int64_t now_ms = wait->started_ms;
    while (!wait->is_over && now_ms < deadline_ms) {
        cluster_wait(cli->cluster, -1, look_ms < deadline_ms ? look_ms : deadline_ms);
        now_ms = env_monotonic_ms(&env_system);
        comrade_members *members = NULL;
        if (now_ms >= look_ms && !wait->is_over) {
            look_ms = now_ms + LOOK_AGAIN_MS;
            /* A failure is the watch's to tell. */
            if (comrade_client_get_members(cli->client, query, cli->timeout_ms, &members, NULL) ==
                COMRADE_OK) {
                on_change(wait, members, NULL);
            }
            comrade_members_free(members);
        }
    }
}

static int end_over(struct cli *cli, struct wait *wait)
{
    if (wait->is_silent) {
        say(wait, "silent for a minute; it has probably crashed");
    } else {
        say(wait, wait->is_back ? "back" : "gone");
    }
    if (wait->must_return && !wait->is_back) {
        return cli_fail(cli, EXIT_CODE_FAILED, "\"%s\" has not come back", wait->id);
    }
    return output_end(cli);
}

static int wait_for_one(struct cli *cli, FILE *out, const comrade_member_data *member,
                        bool must_return, int64_t timeout_ms)
{
    struct wait wait = {.out = out,
                        .must_return = must_return,
                        .id = member->id,
                        .incarnation = member->incarnation,
                        .started_ms = env_monotonic_ms(&env_system)};
    const comrade_where where = {"id", member->id};
    comrade_query query = COMRADE_QUERY_INIT;
    query.role = member->role;
    query.where = &where;
    query.n_where = 1;
    comrade_watch *watch = NULL;
    comrade_error error;
    if (comrade_watch_start(cli->client, &query, on_change, &wait, &watch, &error) != COMRADE_OK) {
        return cli_error(cli, &error);
    }
    follow(cli, &query, &wait, wait.started_ms + timeout_ms);
    comrade_watch_stop(watch);
    if (wait.is_over) {
        return end_over(cli, &wait);
    }
    char took[DURATION_TEXT_SIZE];
    duration_text(timeout_ms, took);
    return cli_fail(cli, EXIT_CODE_FAILED,
                    must_return ? "\"%s\" is not available again after %s; it was asked to restart"
                                : "\"%s\" is still there after %s; it was asked to leave",
                    member->id, took);
}

const char *back_wait_asked(const struct cli *cli)
{
    return comrade_cluster_can_push(cli->cluster)
               ? " was asked to restart\n"
               : " was asked to restart; it hears so with its next heartbeat, within 10 s by "
                 "default\n";
}

static FILE *steps_out(const struct options *options)
{
    return options_flag(options, "json") || options_flag(options, "ids") ? stderr : stdout;
}

int back_wait(struct cli *cli, const struct options *options, const comrade_member_data *member)
{
    return wait_for_one(cli, steps_out(options), member, true,
                        options_number(options, "wait-timeout", 0));
}

const char *gone_wait_asked(const struct cli *cli)
{
    return comrade_cluster_can_push(cli->cluster)
               ? " was asked to leave\n"
               : " was asked to leave; it hears so with its next heartbeat, within 10 s by "
                 "default\n";
}

int gone_wait(struct cli *cli, const struct options *options, const comrade_members *members)
{
    int worst = EXIT_CODE_DONE;
    if (!options_flag(options, "wait")) {
        return worst;
    }
    int64_t timeout_ms = options_number(options, "wait-timeout", 0);
    FILE *out = steps_out(options);
    for (size_t i = 0; i < comrade_members_count(members); i++) {
        int code = wait_for_one(cli, out, comrade_members_at(members, i), false, timeout_ms);
        worst = code > worst ? code : worst;
    }
    return worst;
}
