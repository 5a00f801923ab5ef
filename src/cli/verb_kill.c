/* comrade kill, and zombify: what is asked of members by their ids. */
#include "cli/ask.h"
#include "cli/gone_wait.h"
#include "cli/output.h"
#include "cli/verbs.h"

static const struct option_row kill_rows[] = {
    {.name = "force",
     .letter = 'f',
     .type = OPTION_FLAG,
     .help = "also if the role would keep fewer available members than its minimum"},
    {.name = "reason",
     .type = OPTION_TEXT,
     .argument = "TEXT",
     .help = "why; recorded, and told to the member"},
    {.name = NULL},
};
static const struct option_group kill_options = {NULL, kill_rows};

typedef comrade_status (*submit_function)(comrade_client *client, const char *id,
                                          const comrade_request_options *options, comrade_done done,
                                          void *user, comrade_error *error);

/* Asks one member. Returns the exit code. */
static int ask_one(struct cli *cli, const struct options *options, submit_function submit,
                   const char *id)
{
    struct ask ask;
    comrade_request_options request = COMRADE_REQUEST_OPTIONS_INIT;
    bool is_kill = submit == comrade_client_kill_submit;
    request.reason = options_text(options, "reason");
    request.is_budgeted = is_kill && !options_flag(options, "force");
    request.accept_prefix = true;
    int code = EXIT_CODE_DONE;
    if (ask_init(&ask, cli) != COMRADE_OK ||
        ask_wait(&ask, submit(ask.client, id, &request, ask_done, &ask, &ask.error),
                 cli->timeout_ms) != COMRADE_OK) {
        code = cli_error(cli, &ask.error);
        if (ask.status == COMRADE_REFUSED) {
            fputs("to kill it all the same: --force\n", stderr);
        }
    } else {
        code = output_told(cli, options, ask.members, "",
                           is_kill ? gone_wait_asked(cli) : " was taken off the list\n");
    }
    if (code == EXIT_CODE_DONE && is_kill) {
        code = gone_wait(cli, options, ask.members);
    }
    ask_finish(&ask);
    return code;
}

/* Goes on after a failure, unless it is the store's; the exit code is the first that is not 0. */
static int ask_each(struct cli *cli, const struct options *options, submit_function submit)
{
    int code = cli_open(cli, options);
    if (code != EXIT_CODE_DONE) {
        return code;
    }
    for (size_t i = 0; i < options->n_operands && code != EXIT_CODE_UNAVAILABLE; i++) {
        int one = ask_one(cli, options, submit, options->operands[i]);
        code = code == EXIT_CODE_DONE ? one : code;
    }
    return code;
}

static int run_kill(struct cli *cli, const struct options *options)
{
    return ask_each(cli, options, comrade_client_kill_submit);
}

static const char *const kill_examples[] = {
    "comrade kill app-web1-2",
    "unless its role would fall below its minimum",
    "comrade kill app-web1 --wait --reason 'old kernel'",
    "a unique prefix will do; follows it until it is gone",
    "comrade kill --force $(comrade list --role app --where host=web1 --ids)",
    "whatever the minimum",
    NULL,
};
static const struct option_group *const kill_groups[] = {&kill_options, &wait_options,
                                                         &output_options, &store_options, NULL};

const struct verb verb_kill = {
    .name = "kill",
    .summary = "Ask members to leave",
    .operands = "ID...",
    .min_operands = 1,
    .max_operands = SIZE_MAX,
    .description =
        "The member leaves the list, drains, stops, and stays away. Asking twice changes nothing.\n"
        "It hears so at once, or, where the store pushes nothing (Google Cloud Datastore), with "
        "its\n"
        "next heartbeat.\n"
        "Refused if its role would keep fewer available members than its minimum (see 'comrade\n"
        "role'); where nobody set one, any member may be killed.",
    .examples = kill_examples,
    .groups = kill_groups,
    .run = run_kill,
};

static int run_zombify(struct cli *cli, const struct options *options)
{
    return ask_each(cli, options, comrade_client_zombify_submit);
}

static const struct option_row zombify_rows[] = {
    {.name = "reason", .type = OPTION_TEXT, .argument = "TEXT", .help = "why; recorded"},
    {.name = NULL},
};
static const struct option_group zombify_own_options = {NULL, zombify_rows};
static const char *const zombify_aliases[] = {"cordon", NULL};
static const char *const zombify_examples[] = {
    "comrade zombify app-web1-2",
    "to look at it in peace: it goes on running, and gets no new requests",
    NULL,
};
static const struct option_group *const zombify_groups[] = {&zombify_own_options, &output_options,
                                                            &store_options, NULL};

const struct verb verb_zombify = {
    .name = "zombify",
    .aliases = zombify_aliases,
    .summary = "Take members off the list without asking them to leave",
    .operands = "ID...",
    .min_operands = 1,
    .max_operands = SIZE_MAX,
    .description =
        "Whoever looks for members that are alive finds it no more; the process goes on, until it\n"
        "is killed or ends by itself. No minimum guards this.",
    .examples = zombify_examples,
    .groups = zombify_groups,
    .run = run_zombify,
};
