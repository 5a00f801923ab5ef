/*
 * What the verbs share: where they print, and how they reach the store. A verb gets a struct cli,
 * prints its result to stdout and its errors through cli_error(), and returns an exit code.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "cli/options.h"

#include <stdio.h>

/* The exit codes of every verb but `run` (see agent/exit_codes.h) and `check` (as Nagios has it).
 */
enum exit_code {
    EXIT_CODE_DONE = 0,
    EXIT_CODE_FAILED = 1,
    EXIT_CODE_USAGE = 2,
    EXIT_CODE_REFUSED = 3,     /* by the disruption budget, or because members run */
    EXIT_CODE_NOT_FOUND = 4,   /* no such member, or more than one */
    EXIT_CODE_UNAVAILABLE = 5, /* the store */
    EXIT_CODE_BUSY = 6,        /* too many conflicts: try again */
};

/* Which exit code a status ends in. Decided here and nowhere else. */
int exit_code_of(comrade_status status);

struct cli {
    const char *program;      /* "comrade", or NULL inside the shell */
    const char *verb;         /* for errors: "comrade kill: …" */
    bool is_shell;            /* one cluster serves all commands; a verb does not close it */
    comrade_cluster *cluster; /* NULL until cli_open() */
    comrade_client *client;
    int64_t timeout_ms;
    comrade_on_push on_push; /* set before cli_open() by a verb that wants to hear of it; or NULL */
};

/* Every verb of the program, sorted as the overview shows them, ending with NULL. */
extern const struct verb *const cli_verbs[];

/* --store, --store-file, --namespace, --kind, --timeout: the group of every verb that needs the
 * store. */
extern const struct option_group store_options;

/*
 * Opens the cluster that the options name, and a client; inside the shell only the first time. The
 * store must exist, unless the verb makes stores.
 * On failure an error has been printed, and the exit code is returned; else 0.
 */
int cli_open(struct cli *cli, const struct options *options);
/* Closes what cli_open() opened. Outside the shell main() calls it after each verb. */
void cli_close(struct cli *cli);
/*
 * The store's URL that the options name, with its secrets, or the embedded default (whose folder is
 * made if need be, where the verb makes stores). The caller frees it; NULL: an error was printed.
 */
char *cli_store_url(struct cli *cli, const struct options *options);

/* Prints "comrade VERB: message" to stderr and returns the exit code of the error's status. */
int cli_error(const struct cli *cli, const comrade_error *error);
/* The same for a message that the verb makes itself. */
int cli_fail(const struct cli *cli, int exit_code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Runs one verb from its words (words[0] is the verb). The shell and main() both use it. */
int cli_run(struct cli *cli, int n_words, char **words);

#endif
