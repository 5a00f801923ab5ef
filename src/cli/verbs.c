/*
 * The table of the verbs, and how one is run from its words. To add a verb: a file verb_NAME.c, a
 * declaration in verbs.h, and a row here, where the overview shall show it.
 */
#include "cli/verbs.h"

#include "cli/cli.h"
#include "cli/find_verb.h"
#include "cli/help.h"

#include <locale.h>
#include <string.h>

const struct verb *const cli_verbs[] = {
    &verb_run,        &verb_list,        &verb_show,         &verb_watch,       &verb_restart,
    &verb_kill,       &verb_kill_oldest, &verb_rolling_kill, &verb_zombify,     &verb_role_show,
    &verb_role_set,   &verb_clear_stale, &verb_check,        &verb_store_check, &verb_store_init,
    &verb_store_drop, &verb_shell,       &verb_help,         &verb_version,     NULL,
};

static int print_help(struct cli *cli, const struct verb *verb)
{
    struct buffer text;
    buffer_init(&text, HELP_LIMIT_BYTES);
    help_verb(&text, verb, help_columns());
    return help_print(cli, &text);
}

/* 'comrade role --help': all that begins with it. */
static int print_family(struct cli *cli, const char *word)
{
    struct buffer text;
    buffer_init(&text, HELP_LIMIT_BYTES);
    for (size_t i = 0; cli_verbs[i] != NULL; i++) {
        const char *name = cli_verbs[i]->name;
        if (strncmp(name, word, strlen(word)) == 0 && name[strlen(word)] == ' ') {
            buffer_append_text(&text, text.len == 0 ? "" : "\n");
            help_verb(&text, cli_verbs[i], help_columns());
        }
    }
    return help_print(cli, &text);
}

static bool is_help_word(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static int run_verb(struct cli *cli, const struct verb *verb, int n_words, char **words)
{
    struct options options;
    comrade_error error;
    if (options_parse(verb, n_words, words, &options, &error) != COMRADE_OK) {
        int exit_code = cli_error(cli, &error);
        return exit_code == EXIT_CODE_USAGE && verb->usage_exit_code != 0 ? verb->usage_exit_code
                                                                          : exit_code;
    }
    if (!verb->stops_at_operand) {
        /* The widths of characters, for tables; a supervisor has no use for their 60 KB. */
        setlocale(LC_CTYPE, "C.UTF-8");
    }
    int exit_code = options.wants_help ? print_help(cli, verb) : verb->run(cli, &options);
    options_finish(&options);
    return exit_code;
}

int cli_run(struct cli *cli, int n_words, char **words)
{
    int n_used = 0;
    const struct verb *verb = find_verb(n_words, words, &n_used);
    cli->verb = verb == NULL ? NULL : verb->name;
    if (verb != NULL) {
        return run_verb(cli, verb, n_words - n_used, words + n_used);
    }
    if (n_words == 2 && is_verb_family(words[0]) && is_help_word(words[1])) {
        return print_family(cli, words[0]);
    }
    comrade_error error;
    unknown_verb(n_words, words, &error);
    return cli_error(cli, &error);
}
