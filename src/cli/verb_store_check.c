/* comrade store check */
#include "cli/output.h"
#include "cli/verbs.h"

#include <stdlib.h>
#include <string.h>

static int run(struct cli *cli, const struct options *options)
{
    char *findings = NULL;
    comrade_error error;
    int code = cli_open(cli, options);
    if (code != EXIT_CODE_DONE) {
        return code;
    }
    if (comrade_cluster_check(cli->cluster, cli->timeout_ms, &findings, &error) != COMRADE_OK) {
        return cli_error(cli, &error);
    }
    printf("%s\n", comrade_cluster_store(cli->cluster));
    for (char *rest = findings; rest != NULL && *rest != '\0';) {
        char *line = strsep(&rest, "\n");
        code = strncmp(line, "problem:", strlen("problem:")) == 0 ? EXIT_CODE_FAILED : code;
        fputs("  ", stdout);
        output_text(stdout, line);
        fputc('\n', stdout);
    }
    free(findings);
    int ended = output_end(cli);
    return ended == EXIT_CODE_DONE ? code : ended;
}

static const char *const examples[] = {
    "comrade store check",
    "before relying on a store, and when something is odd",
    NULL,
};
static const struct option_group *const groups[] = {&store_options, NULL};

const struct verb verb_store_check = {
    .name = "store check",
    .summary = "Say what the store promises, and what it does not",
    .description = "A line each, \"ok: …\" or \"problem: …\". Exit code 1 if there is a problem.",
    .examples = examples,
    .groups = groups,
    .run = run,
};
