/* comrade version */
#include "cli/cli.h"
#include "cli/verbs.h"

static int run(struct cli *cli, const struct options *options)
{
    (void)cli;
    (void)options;
    printf("comrade %s\n", comrade_version());
    return EXIT_CODE_DONE;
}

const struct verb verb_version = {
    .name = "version",
    .summary = "Print the version",
    .examples =
        (const char *const[]){"comrade version", "Prints, for example, \"comrade 1.0.0\"", NULL},
    .run = run,
};
