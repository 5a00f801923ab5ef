/* comrade store init */
#include "cli/output.h"
#include "cli/verbs.h"

#include <stdlib.h>

static const struct option_row init_rows[] = {
    {.name = "print-sql",
     .type = OPTION_FLAG,
     .help = "only print what it would run, for an owner who gives nobody the right to make "
             "tables; no connection is made"},
    {.name = NULL},
};
static const struct option_group init_options = {NULL, init_rows};

static void on_text(void *user, const char *text)
{
    (void)user;
    fputs(text, stdout);
}

/* Without a store's name it would be about the default one, which needs none of this. */
static int print_sql(struct cli *cli, const struct options *options)
{
    if (!options_is_given(options, "store") && !options_is_given(options, "store-file")) {
        return cli_fail(cli, EXIT_CODE_USAGE,
                        "for which store? Say --store postgres://…; nothing of it is connected to");
    }
    comrade_error error;
    char *url = cli_store_url(cli, options);
    if (url == NULL) {
        return EXIT_CODE_USAGE;
    }
    comrade_status status = comrade_store_setup_text(url, on_text, NULL, &error);
    free(url);
    return status == COMRADE_OK ? output_end(cli) : cli_error(cli, &error);
}

static int run(struct cli *cli, const struct options *options)
{
    if (options_flag(options, "print-sql")) {
        return print_sql(cli, options);
    }
    comrade_error error;
    int code = cli_open(cli, options);
    if (code != EXIT_CODE_DONE) {
        return code;
    }
    if (comrade_cluster_set_up(cli->cluster, cli->timeout_ms, &error) != COMRADE_OK) {
        return cli_error(cli, &error);
    }
    printf("%s is ready\n", comrade_cluster_store(cli->cluster));
    return output_end(cli);
}

static const char *const examples[] = {
    "comrade store init --store postgres://admin@db/app",
    "makes the schema, the roles and their rights, as one who may",
    "comrade store init --store postgres://db/app --print-sql | psql app",
    "the same by hand: read it first",
    NULL,
};
static const struct option_group *const groups[] = {&init_options, &store_options, NULL};

const struct verb verb_store_init = {
    .name = "store init",
    .summary = "Make the store ready, or print how its owner does",
    .description =
        "Makes what is not there yet, and leaves what is. A store whose users may make tables\n"
        "needs none of this: the first 'comrade run' makes it. Every other verb leaves a store\n"
        "that does not exist alone, and says that there is none. In Google Cloud Datastore there "
        "is\n"
        "nothing to make: it is only asked whether it lets us in.",
    .examples = examples,
    .groups = groups,
    .makes_store = true,
    .run = run,
};
