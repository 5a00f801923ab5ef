/* comrade kill-oldest, and rolling-kill. */
#include "base/env.h"
#include "cli/ask.h"
#include "cli/duration_text.h"
#include "cli/gone_wait.h"
#include "cli/member_query.h"
#include "cli/output.h"
#include "cli/verbs.h"

#include <stdlib.h>
#include <string.h>

static const struct option_row reason_rows[] = {
    {.name = "reason",
     .type = OPTION_TEXT,
     .argument = "TEXT",
     .help = "why; recorded, and told to the member"},
    {.name = NULL},
};
static const struct option_group reason_options = {NULL, reason_rows};

static int run_oldest(struct cli *cli, const struct options *options)
{
    struct member_query query;
    struct ask ask = {0};
    comrade_request_options request = COMRADE_REQUEST_OPTIONS_INIT;
    request.reason = options_text(options, "reason");
    int code = member_query_init(&query, cli, options);
    if (code != EXIT_CODE_DONE) {
        return code;
    }
    code = cli_open(cli, options);
    if (code != EXIT_CODE_DONE) {
        goto out;
    }
    if (ask_init(&ask, cli) != COMRADE_OK ||
        ask_wait(&ask,
                 comrade_client_kill_oldest_submit(ask.client, &query.query, &request, ask_done,
                                                   &ask, &ask.error),
                 cli->timeout_ms) != COMRADE_OK) {
        code = cli_error(cli, &ask.error);
        goto out;
    }
    code = output_told(cli, options, ask.members, "", gone_wait_asked(cli));
    if (code == EXIT_CODE_DONE) {
        code = gone_wait(cli, options, ask.members);
    }
out:
    ask_finish(&ask);
    member_query_finish(&query);
    return code;
}

static const char *const oldest_examples[] = {
    "comrade kill-oldest --role app",
    "run it from cron to keep members young",
    "comrade kill-oldest --role app --where host=web3 --wait",
    "the oldest on one host, and follow it",
    NULL,
};
static const struct option_group *const oldest_groups[] = {
    &reason_options, &wait_options, &role_filter_options, &output_options, &store_options, NULL};

const struct verb verb_kill_oldest = {
    .name = "kill-oldest",
    .summary = "Ask the oldest member of a role to leave",
    .description =
        "Of the members that match, are alive, not silent and not yet asked, the one that was\n"
        "created first. Refused if the role would keep fewer available members than its minimum,\n"
        "which is 1 where nobody set one.",
    .examples = oldest_examples,
    .groups = oldest_groups,
    .run = run_oldest,
};

/* --- rolling-kill ----------------------------------------------------------------------------- */

static const struct option_row rolling_rows[] = {
    {.name = "interval",
     .letter = 'i',
     .type = OPTION_DURATION,
     .argument = "DURATION",
     .help = "how long to wait between two members",
     .default_text = "10s",
     .low = 1,
     .high = 24 * 3600 * 1000},
    {.name = NULL},
};
static const struct option_group rolling_options = {NULL, rolling_rows};

enum { SAY_WAITING_MS = 3000 };

/* What was printed last about a member that was asked. */
struct seen {
    char id[COMRADE_ID_MAX_BYTES + 1];
    int64_t incarnation;
    const char *what;
};

struct progress {
    int64_t started_ms; /* monotonic, as all here */
    int64_t said_ms;    /* when a line was printed last */
    bool has_said_waiting;
    struct seen *seen;
    size_t n_seen;
    size_t n_available; /* in the role */
    bool has_begun;     /* what was so before is not news */
};

static const char *step_of(const comrade_member_data *member)
{
    if (member->state == COMRADE_STATE_STOPPED) {
        return "is gone";
    }
    bool is_leaving =
        member->state == COMRADE_STATE_DRAINING || member->state == COMRADE_STATE_STOPPING;
    return is_leaving ? "is leaving" : "was asked to leave";
}

static struct seen *find_seen(struct progress *progress, const comrade_member_data *member)
{
    for (size_t i = 0; i < progress->n_seen; i++) {
        if (progress->seen[i].incarnation == member->incarnation &&
            strcmp(progress->seen[i].id, member->id) == 0) {
            return &progress->seen[i];
        }
    }
    struct seen *seen = realloc(progress->seen, (progress->n_seen + 1) * sizeof *seen);
    if (seen == NULL) {
        return NULL;
    }
    progress->seen = seen;
    seen[progress->n_seen] = (struct seen){.incarnation = member->incarnation, .what = ""};
    snprintf(seen[progress->n_seen].id, sizeof seen->id, "%s", member->id);
    return &seen[progress->n_seen++];
}

static void say(struct progress *progress, const char *id, const char *what)
{
    char took[DURATION_TEXT_SIZE];
    progress->said_ms = env_monotonic_ms(&env_system);
    progress->has_said_waiting = false;
    duration_text(progress->said_ms - progress->started_ms, took);
    printf("%6s  ", took);
    output_text(stdout, id);
    printf(" %s\n", what);
    fflush(stdout);
}

static void on_change(void *user, const comrade_members *members, const comrade_error *error)
{
    struct progress *progress = user;
    if (members == NULL) {
        fprintf(stderr, "%s; still rolling\n", error->message);
        return;
    }
    progress->n_available = 0;
    for (size_t i = 0; i < comrade_members_count(members); i++) {
        const comrade_member_data *member = comrade_members_at(members, i);
        progress->n_available += member->is_available ? 1 : 0;
        struct seen *seen =
            member->request == COMRADE_REQUEST_NONE ? NULL : find_seen(progress, member);
        if (seen != NULL && strcmp(seen->what, step_of(member)) != 0) {
            seen->what = step_of(member);
            if (progress->has_begun) {
                say(progress, member->id, seen->what);
            }
        }
    }
    progress->has_begun = true;
}

/* Why nothing happens, once for each time that nothing happens. */
static void say_waiting(struct progress *progress, int64_t patience_ms)
{
    int64_t now_ms = env_monotonic_ms(&env_system);
    if (progress->has_said_waiting || now_ms - progress->said_ms < patience_ms) {
        return;
    }
    char took[DURATION_TEXT_SIZE];
    duration_text(now_ms - progress->started_ms, took);
    printf("%6s  waiting for others to take their place: %zu available now, no more than the "
           "minimum\n",
           took, progress->n_available);
    fflush(stdout);
    progress->has_said_waiting = true;
}

/* Until the rolling kill is done, which may take days. */
static comrade_status follow(struct ask *ask, comrade_status submitted, struct progress *progress,
                             int64_t interval_ms, bool is_quiet)
{
    while (submitted == COMRADE_OK && !ask->is_done) {
        int64_t now_ms = env_monotonic_ms(&env_system);
        cluster_wait(ask->cli->cluster, -1, now_ms + SAY_WAITING_MS);
        if (!is_quiet && !ask->is_done) {
            say_waiting(progress, interval_ms + SAY_WAITING_MS);
        }
    }
    return ask_wait(ask, submitted, 0);
}

static int roll(struct cli *cli, const struct options *options, const comrade_query *query)
{
    struct ask ask = {0};
    int64_t now_ms = env_monotonic_ms(&env_system);
    struct progress progress = {.started_ms = now_ms, .said_ms = now_ms};
    comrade_watch *watch = NULL;
    comrade_request_options request = COMRADE_REQUEST_OPTIONS_INIT;
    comrade_query role = COMRADE_QUERY_INIT;
    bool is_for_scripts = options_flag(options, "json") || options_flag(options, "ids");
    int code = EXIT_CODE_DONE;
    request.reason = options_text(options, "reason");
    request.interval_ms = options_number(options, "interval", 0);
    role.role = query->role;
    if (ask_init(&ask, cli) != COMRADE_OK ||
        (!is_for_scripts && comrade_watch_start(cli->client, &role, on_change, &progress, &watch,
                                                &ask.error) != COMRADE_OK) ||
        follow(&ask,
               comrade_client_rolling_kill_submit(ask.client, query, &request, ask_done, &ask,
                                                  &ask.error),
               &progress, request.interval_ms, is_for_scripts) != COMRADE_OK) {
        code = cli_error(cli, &ask.error);
    } else {
        code = is_for_scripts ? output_told(cli, options, ask.members, "", "") : output_end(cli);
    }
    if (code == EXIT_CODE_DONE && !is_for_scripts) {
        size_t n_asked = comrade_members_count(ask.members);
        printf("%zu member%s asked to leave, one after another\n", n_asked,
               n_asked == 1 ? " was" : "s were");
        code = output_end(cli);
    }
    comrade_watch_stop(watch);
    free(progress.seen);
    ask_finish(&ask);
    return code;
}

static int run_rolling(struct cli *cli, const struct options *options)
{
    struct member_query query;
    int code = member_query_init(&query, cli, options);
    if (code != EXIT_CODE_DONE) {
        return code;
    }
    code = cli_open(cli, options);
    if (code == EXIT_CODE_DONE) {
        code = roll(cli, options, &query.query);
    }
    member_query_finish(&query);
    return code;
}

static const char *const rolling_examples[] = {
    "comrade rolling-kill --role app",
    "all that are there now, the oldest first, one every 10 s at most",
    "comrade rolling-kill --role app --interval 1m --reason 'new certificate'",
    "more slowly",
    NULL,
};
static const struct option_group *const rolling_groups[] = {
    &rolling_options, &reason_options, &role_filter_options, &output_options, &store_options, NULL};

const struct verb verb_rolling_kill = {
    .name = "rolling-kill",
    .summary = "Ask all members of a role to leave, one after another",
    .description =
        "Notes the members that match, then asks the oldest of them every interval, until all "
        "were\n"
        "asked or are gone. While the role has no more available members than its minimum it\n"
        "waits, so something must start others in their place. It goes on through failures of the\n"
        "store; interrupt it to stop, and those not yet asked stay.",
    .examples = rolling_examples,
    .groups = rolling_groups,
    .run = run_rolling,
};
