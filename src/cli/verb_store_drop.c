/* comrade store drop: the way back, and never by mistake. */
#include "cli/confirm.h"
#include "cli/output.h"
#include "cli/verbs.h"

enum { SILENT_MS = 60 * 1000 };

static const struct option_row drop_rows[] = {
    {.name = "yes", .letter = 'y', .type = OPTION_FLAG, .help = "do not ask"},
    {.name = "force",
     .letter = 'f',
     .type = OPTION_FLAG,
     .help = "also while members run, which then make it anew if they may"},
    {.name = NULL},
};
static const struct option_group drop_options = {NULL, drop_rows};

/* Whoever heartbeats is a process, whether or not it is in rotation. */
static size_t count_running(const comrade_members *members)
{
    size_t n_running = 0;
    for (size_t i = 0; i < comrade_members_count(members); i++) {
        const comrade_member_data *member = comrade_members_at(members, i);
        bool is_silent = member->now_ms - member->updated_ms >= SILENT_MS;
        n_running += !is_silent && member->state != COMRADE_STATE_STOPPED ? 1 : 0;
    }
    return n_running;
}

static void print_what_goes(const struct cli *cli, size_t n_members, size_t n_running)
{
    fprintf(stderr,
            "%s: all that Comrade has made there is to be removed, of every namespace and kind.\n"
            "In this namespace and kind it knows %zu %s, of which %zu %s.\n",
            comrade_cluster_store(cli->cluster), n_members, n_members == 1 ? "member" : "members",
            n_running, n_running == 1 ? "runs" : "run");
}

static int check_running(struct cli *cli, const struct options *options, size_t n_running)
{
    if (n_running == 0 || options_flag(options, "force")) {
        return EXIT_CODE_DONE;
    }
    return cli_fail(cli, EXIT_CODE_REFUSED,
                    "%zu %s: stop %s first, because a member that runs makes it all anew; to "
                    "remove it all the same: --force",
                    n_running, n_running == 1 ? "member runs" : "members run",
                    n_running == 1 ? "it" : "them");
}

static int check_wanted(struct cli *cli, const struct options *options)
{
    if (options_flag(options, "yes")) {
        return EXIT_CODE_DONE;
    }
    if (!can_confirm()) {
        return cli_fail(cli, EXIT_CODE_USAGE,
                        "there is no terminal to ask at; to remove it all without asking: --yes");
    }
    return confirm("Remove it all?") ? EXIT_CODE_DONE
                                     : cli_fail(cli, EXIT_CODE_FAILED, "nothing was removed");
}

static int run(struct cli *cli, const struct options *options)
{
    comrade_members *members = NULL;
    comrade_error error;
    int code = cli_open(cli, options);
    if (code != EXIT_CODE_DONE) {
        return code;
    }
    if (comrade_client_get_members(cli->client, NULL, cli->timeout_ms, &members, &error) !=
        COMRADE_OK) {
        return cli_error(cli, &error);
    }
    size_t n_running = count_running(members);
    print_what_goes(cli, comrade_members_count(members), n_running);
    comrade_members_free(members);
    code = check_running(cli, options, n_running);
    if (code == EXIT_CODE_DONE) {
        code = check_wanted(cli, options);
    }
    if (code != EXIT_CODE_DONE) {
        return code;
    }
    if (comrade_cluster_drop(cli->cluster, cli->timeout_ms, &error) != COMRADE_OK) {
        return cli_error(cli, &error);
    }
    printf("%s: removed\n", comrade_cluster_store(cli->cluster));
    return output_end(cli);
}

static const char *const examples[] = {
    "comrade store drop",
    "after a trial, when no member runs any more: asks, then leaves nothing",
    NULL,
};
static const struct option_group *const groups[] = {&drop_options, &store_options, NULL};

const struct verb verb_store_drop = {
    .name = "store drop",
    .summary = "Remove all that Comrade has made in the store",
    .description =
        "Of every namespace and kind; what else is in the database stays. Says first what goes,\n"
        "and asks. Refused (exit code 3) while members of this namespace and kind run; those of\n"
        "others are not looked at. Of an SQLite store it says which files to delete,\n"
        "of a Google Cloud Datastore which command removes its entities.",
    .examples = examples,
    .groups = groups,
    .run = run,
};
