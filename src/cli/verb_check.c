/* comrade check: one line and an exit code, as Nagios plugins have them. */
#include "cli/ask.h"
#include "cli/output.h"
#include "cli/verbs.h"

enum check_code { CHECK_OK = 0, CHECK_CRITICAL = 2, CHECK_UNKNOWN = 3, MIN_MAX = 1000000 };

static const struct option_row check_rows[] = {
    {.name = "role",
     .letter = 'r',
     .type = OPTION_TEXT,
     .argument = "ROLE",
     .help = "the role to check",
     .is_required = true,
     .is_typed_only = true},
    {.name = "min",
     .letter = 'm',
     .type = OPTION_NUMBER,
     .argument = "N",
     .help = "how many members must be available; without it the role's own minimum, or 1",
     .low = 0,
     .high = MIN_MAX},
    {.name = NULL},
};
static const struct option_group check_options = {NULL, check_rows};

static int print_verdict(const char *role, int available, int64_t minimum)
{
    bool is_ok = available >= minimum;
    printf("%s - ", is_ok ? "OK" : "CRITICAL");
    output_text(stdout, role);
    printf(": %d available, %lld wanted | available=%d;;%lld:\n", available, (long long)minimum,
           available, (long long)minimum);
    return is_ok ? CHECK_OK : CHECK_CRITICAL;
}

/* What cannot be found out is one line on stdout, too: that is what such tools show. */
static int print_unknown(const char *role, const comrade_error *error)
{
    fputs("UNKNOWN - ", stdout);
    output_text(stdout, role);
    printf(": %s\n", error->message);
    return CHECK_UNKNOWN;
}

static int run(struct cli *cli, const struct options *options)
{
    const char *role = options_text(options, "role");
    struct ask ask;
    if (cli_open(cli, options) != EXIT_CODE_DONE) {
        puts("UNKNOWN - the store cannot be used; stderr says why");
        return CHECK_UNKNOWN;
    }
    int code;
    if (ask_init(&ask, cli) != COMRADE_OK ||
        ask_wait(&ask, comrade_client_get_role_submit(ask.client, role, ask_done, &ask, &ask.error),
                 cli->timeout_ms) != COMRADE_OK) {
        code = print_unknown(role, &ask.error);
    } else {
        int64_t minimum = ask.min_members < 0 ? 1 : ask.min_members;
        minimum = options_number(options, "min", minimum);
        code = print_verdict(role, ask.available, minimum);
    }
    ask_finish(&ask);
    return output_end(cli) == EXIT_CODE_DONE ? code : CHECK_UNKNOWN;
}

static const char *const examples[] = {
    "comrade check --role app --min 2",
    "OK and exit code 0, or CRITICAL and 2",
    NULL,
};
static const struct option_group *const groups[] = {&check_options, &store_options, NULL};

const struct verb verb_check = {
    .name = "check",
    .summary = "Say whether a role has enough members, for Nagios or cron",
    .description =
        "One line, and the exit codes of Nagios plugins: 0 OK, 2 CRITICAL, 3 UNKNOWN (the store\n"
        "could not be asked, or the call was wrong). Counted is what the disruption budget counts.",
    .examples = examples,
    .groups = groups,
    .run = run,
    .usage_exit_code = CHECK_UNKNOWN,
};
