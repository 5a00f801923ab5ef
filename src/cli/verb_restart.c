/* comrade restart: members leave and come back, one after the other. */
#include "cli/ask.h"
#include "cli/gone_wait.h"
#include "cli/output.h"
#include "cli/verbs.h"

static const struct option_row rows[] = {
    {.name = "force",
     .letter = 'f',
     .type = OPTION_FLAG,
     .help = "also if the role would keep fewer available members than its minimum meanwhile"},
    {.name = "reason",
     .type = OPTION_TEXT,
     .argument = "TEXT",
     .help = "why; recorded, and told to the member"},
    {.name = NULL},
};
static const struct option_group own_options = {NULL, rows};

/* Asks one, and waits for it where another is to follow, or somebody said so. */
static int restart_one(struct cli *cli, const struct options *options, const char *id, bool is_last)
{
    struct ask ask;
    comrade_request_options request = COMRADE_REQUEST_OPTIONS_INIT;
    request.reason = options_text(options, "reason");
    request.is_budgeted = !options_flag(options, "force");
    request.accept_prefix = true;
    int code = EXIT_CODE_DONE;
    if (ask_init(&ask, cli) != COMRADE_OK ||
        ask_wait(
            &ask,
            comrade_client_restart_submit(ask.client, id, &request, ask_done, &ask, &ask.error),
            cli->timeout_ms) != COMRADE_OK) {
        code = cli_error(cli, &ask.error);
        if (ask.status == COMRADE_REFUSED) {
            fputs("to restart it all the same: --force\n", stderr);
        }
    } else {
        code = output_told(cli, options, ask.members, "", back_wait_asked(cli));
    }
    bool must_wait = !is_last || options_flag(options, "wait");
    if (code == EXIT_CODE_DONE && must_wait && comrade_members_count(ask.members) > 0) {
        code = back_wait(cli, options, comrade_members_at(ask.members, 0));
    }
    ask_finish(&ask);
    return code;
}

/* One that does not come back ends it: the next would be one too many. */
static int run_restart(struct cli *cli, const struct options *options)
{
    int code = cli_open(cli, options);
    for (size_t i = 0; i < options->n_operands && code == EXIT_CODE_DONE; i++) {
        code = restart_one(cli, options, options->operands[i], i + 1 == options->n_operands);
    }
    return code;
}

static const char *const examples[] = {
    "comrade restart app-web1-2",
    "unless its role would fall below its minimum meanwhile",
    "comrade restart $(comrade list --role app --where host=web1 --ids)",
    "all of a role on one host, each when the one before is available again",
    NULL,
};
static const struct option_group *const groups[] = {&own_options, &back_wait_options,
                                                    &output_options, &store_options, NULL};

const struct verb verb_restart = {
    .name = "restart",
    .summary = "Ask members to leave and to come back",
    .operands = "ID...",
    .min_operands = 1,
    .max_operands = SIZE_MAX,
    .description =
        "The member leaves the list, drains, stops, and is started again at once by its agent, as\n"
        "the next incarnation of the same id. Several are restarted one after the other, each "
        "when\n"
        "the one before is available again; this command must run until the last one is asked.\n"
        "Refused if the role would keep fewer available members than its minimum meanwhile (see\n"
        "'comrade role'); where nobody set one, even the only member may be restarted. A member\n"
        "that is not under an agent hears of it as an event.",
    .examples = examples,
    .groups = groups,
    .run = run_restart,
};
