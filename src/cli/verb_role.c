/* comrade role show, and role set. */
#include "base/text.h"
#include "cli/ask.h"
#include "cli/member_json.h"
#include "cli/member_table.h"
#include "cli/output.h"
#include "cli/verbs.h"

#include <string.h>

enum { MIN_MEMBERS_MAX = 1000000, LINE_LIMIT = 4096 };

static const struct option_row json_rows[] = {
    {.name = "json", .type = OPTION_FLAG, .help = "one JSON object"},
    {.name = NULL},
};
static const struct option_group json_options = {"Output", json_rows};

static int print_json(struct cli *cli, const char *role, const struct ask *ask)
{
    struct buffer line;
    buffer_init(&line, LINE_LIMIT);
    buffer_append_text(&line, "{\"role\":");
    member_json_append_string(&line, role);
    if (ask->min_members < 0) {
        buffer_append_text(&line, ",\"minMembers\":null");
    } else {
        buffer_append_format(&line, ",\"minMembers\":%d", ask->min_members);
    }
    buffer_append_format(&line, ",\"available\":%d,\"members\":%zu}\n", ask->available,
                         comrade_members_count(ask->members));
    fputs(buffer_text(&line), stdout);
    buffer_finish(&line);
    return output_end(cli);
}

static int print_people(struct cli *cli, const char *role, const struct ask *ask)
{
    struct table table;
    fputs("role       ", stdout);
    output_text(stdout, role);
    if (ask->min_members < 0) {
        fputs("\nminimum    not set: 1 for kill-oldest and rolling-kill, 0 for kill", stdout);
    } else {
        printf("\nminimum    %d", ask->min_members);
    }
    printf("\navailable  %d\n\n", ask->available);
    table_init(&table, member_columns);
    for (size_t i = 0; i < comrade_members_count(ask->members); i++) {
        const comrade_member_data *member = comrade_members_at(ask->members, i);
        if (member->state != COMRADE_STATE_STOPPED) {
            member_table_add(&table, member);
        }
    }
    if (table.n_cells > 0) {
        table_print(&table, stdout);
    }
    table_finish(&table);
    return output_end(cli);
}

static int run_show(struct cli *cli, const struct options *options)
{
    struct ask ask;
    const char *role = options->operands[0];
    int code = cli_open(cli, options);
    if (code != EXIT_CODE_DONE) {
        return code;
    }
    if (ask_init(&ask, cli) != COMRADE_OK ||
        ask_wait(&ask, comrade_client_get_role_submit(ask.client, role, ask_done, &ask, &ask.error),
                 cli->timeout_ms) != COMRADE_OK) {
        code = cli_error(cli, &ask.error);
    } else if (comrade_members_count(ask.members) == 0 && ask.min_members < 0) {
        code = cli_fail(cli, EXIT_CODE_NOT_FOUND, "there is no role \"%s\"", role);
    } else {
        code = options_flag(options, "json") ? print_json(cli, role, &ask)
                                             : print_people(cli, role, &ask);
    }
    ask_finish(&ask);
    return code;
}

static const char *const show_examples[] = {"comrade role show app", "its minimum, and who counts",
                                            NULL};
static const struct option_group *const show_groups[] = {&json_options, &store_options, NULL};

const struct verb verb_role_show = {
    .name = "role show",
    .summary = "Show a role's minimum and its members",
    .operands = "ROLE",
    .min_operands = 1,
    .max_operands = 1,
    .examples = show_examples,
    .groups = show_groups,
    .run = run_show,
};

/* --- role set --------------------------------------------------------------------------------- */

static const struct option_row set_rows[] = {
    {.name = "min",
     .letter = 'm',
     .type = OPTION_TEXT,
     .argument = "N",
     .help = "how many available members no budgeted request may take away; \"none\" says nothing\n"
             "again",
     .is_required = true},
    {.name = NULL},
};
static const struct option_group set_options = {NULL, set_rows};

static int run_set(struct cli *cli, const struct options *options)
{
    const char *role = options->operands[0];
    const char *text = options_text(options, "min");
    int64_t min_members = -1;
    comrade_error error;
    if (strcmp(text, "none") != 0 && !text_to_number(text, 0, MIN_MEMBERS_MAX, &min_members)) {
        return cli_fail(cli, EXIT_CODE_USAGE,
                        "--min \"%s\" is neither a number from 0 to %d nor \"none\"", text,
                        MIN_MEMBERS_MAX);
    }
    int code = cli_open(cli, options);
    if (code != EXIT_CODE_DONE) {
        return code;
    }
    if (comrade_client_set_role(cli->client, role, (int)min_members, cli->timeout_ms, &error) !=
        COMRADE_OK) {
        return cli_error(cli, &error);
    }
    fputs("the minimum of role ", stdout);
    output_text(stdout, role);
    if (min_members < 0) {
        fputs(" is no longer set\n", stdout);
    } else {
        printf(" is %lld, for everybody\n", (long long)min_members);
    }
    return output_end(cli);
}

static const char *const set_examples[] = {
    "comrade role set app --min 2",
    "no kill may leave fewer than two available members",
    "comrade role set crawler --min 0",
    "it is fine if there is none for a while",
    NULL,
};
static const struct option_group *const set_groups[] = {&set_options, &store_options, NULL};

const struct verb verb_role_set = {
    .name = "role set",
    .summary = "Set how many members of a role must remain",
    .operands = "ROLE",
    .min_operands = 1,
    .max_operands = 1,
    .description =
        "Holds at once and for everybody. A program's own minMembers can only raise it. Members\n"
        "remember it, and put it back if the store is wiped.",
    .examples = set_examples,
    .groups = set_groups,
    .run = run_set,
};
