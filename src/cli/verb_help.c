/* comrade help [VERB], and the reference that docs/ and the man pages are made from. */
#include "cli/cli.h"
#include "cli/find_verb.h"
#include "cli/help.h"
#include "cli/verbs.h"

static const struct option_group help_options = {
    .title = "Options",
    .rows =
        (const struct option_row[]){
            {.name = "markdown",
             .type = OPTION_FLAG,
             .help = "Print the reference of all verbs as Markdown"},
            {.name = "man",
             .type = OPTION_FLAG,
             .help = "Print a man page: of VERB, or of the program"},
            {0},
        },
};

static int run(struct cli *cli, const struct options *options)
{
    int n_words = (int)options->n_operands, n_used = 0;
    const struct verb *verb = find_verb(n_words, options->operands, &n_used);
    if (n_used < n_words) {
        comrade_error error;
        unknown_verb(n_words, options->operands, &error);
        return cli_error(cli, &error);
    }
    struct buffer text;
    buffer_init(&text, HELP_LIMIT_BYTES);
    if (options_flag(options, "markdown")) {
        help_markdown(&text);
    } else if (options_flag(options, "man")) {
        help_man(&text, verb);
    } else if (verb != NULL) {
        help_verb(&text, verb, help_columns());
    } else {
        help_overview(&text, help_columns());
    }
    return help_print(cli, &text);
}

const struct verb verb_help = {
    .name = "help",
    .summary = "Show what the program or a verb does",
    .operands = "[VERB]",
    .max_operands = 2,
    .examples = (const char *const[]){"comrade help", "Shows all verbs", "comrade help kill",
                                      "Shows the options of kill, with examples",
                                      "comrade help --man kill | man -l -",
                                      "Shows the man page of kill, though none is installed", NULL},
    .groups = (const struct option_group *const[]){&help_options, NULL},
    .run = run,
};
