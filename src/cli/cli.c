/* What the verbs share: exit codes, errors, and the cluster that the options name. */
#include "cli/cli.h"

#include "base/error.h"
#include "cli/store_place.h"

#include <stdarg.h>
#include <stdlib.h>

const struct option_group store_options = {
    .title = "Store options",
    .rows =
        (const struct option_row[]){
            {.name = "store",
             .letter = 's',
             .type = OPTION_TEXT,
             .argument = "URL",
             .help = "The store: sqlite:PATH, postgres://HOST/DATABASE or datastore://PROJECT. A "
                     "password in it is shown nowhere",
             .is_secret = true},
            {.name = "store-file",
             .type = OPTION_TEXT,
             .argument = "FILE",
             .help = "Read the store's URL from the first line of FILE"},
            {.name = "namespace",
             .type = OPTION_TEXT,
             .argument = "NAME",
             .help = "The namespace of the cluster in the store (default: none)"},
            {.name = "kind",
             .type = OPTION_TEXT,
             .argument = "NAME",
             .help = "The kind of the cluster's records (default: ComradeServer)"},
            {.name = "timeout",
             .type = OPTION_DURATION,
             .argument = "TIME",
             .help = "How long to wait for the store",
             .default_text = "10s",
             .low = 100,
             .high = 3600 * 1000},
            {0},
        },
};

int exit_code_of(comrade_status status)
{
    switch (status) {
    case COMRADE_OK:
        return EXIT_CODE_DONE;
    case COMRADE_INVALID:
    case COMRADE_TOO_LARGE:
        return EXIT_CODE_USAGE;
    case COMRADE_REFUSED:
        return EXIT_CODE_REFUSED;
    case COMRADE_NOT_FOUND:
    case COMRADE_AMBIGUOUS:
    case COMRADE_GONE:
        return EXIT_CODE_NOT_FOUND;
    case COMRADE_UNAVAILABLE:
    case COMRADE_UNKNOWN:
    case COMRADE_DENIED:
    case COMRADE_SCHEMA_TOO_NEW:
    case COMRADE_UNSUPPORTED:
    case COMRADE_TIMED_OUT:
    case COMRADE_BROKEN:
        return EXIT_CODE_UNAVAILABLE;
    case COMRADE_CONFLICT:
    case COMRADE_BUSY:
        return EXIT_CODE_BUSY;
    case COMRADE_FENCED:
    case COMRADE_IN_USE:
    case COMRADE_CANCELED:
    case COMRADE_NO_MEMORY:
    case COMRADE_SYSTEM:
    case COMRADE_STATUS_FORCE_INT:
        break;
    }
    return EXIT_CODE_FAILED;
}

/* The result so far comes first, though it goes to another stream. */
static void print_prefix(const struct cli *cli)
{
    fflush(stdout);
    fprintf(stderr, "%s%s%s%s", cli->program == NULL ? "" : cli->program,
            cli->program == NULL || cli->verb == NULL ? "" : " ",
            cli->verb == NULL ? "" : cli->verb,
            cli->program == NULL && cli->verb == NULL ? "" : ": ");
}

int cli_error(const struct cli *cli, const comrade_error *error)
{
    print_prefix(cli);
    fprintf(stderr, "%s\n", error->message);
    return exit_code_of(error->status);
}

int cli_fail(const struct cli *cli, int exit_code, const char *format, ...)
{
    char message[COMRADE_ERROR_MESSAGE_SIZE];
    comrade_error error; /* escapes what the message repeats of the command line or the store */
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    comrade_error_set(&error, COMRADE_INVALID, "%s", message);
    print_prefix(cli);
    fprintf(stderr, "%s\n", error.message);
    return exit_code;
}

/* --- The cluster ------------------------------------------------------------------------------ */

static bool is_typed(const struct options *options, const char *name)
{
    return options_is_given(options, name) && options_variable(options, name) == NULL;
}

/* The shell's cluster stays the one that it was started with. */
static int refuse_other_cluster(struct cli *cli, const struct options *options)
{
    static const char *const names[] = {"store", "store-file", "namespace", "kind"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (is_typed(options, names[i])) {
            return cli_fail(cli, EXIT_CODE_USAGE,
                            "--%s cannot change inside the shell; start another shell with it",
                            names[i]);
        }
    }
    return EXIT_CODE_DONE;
}

static comrade_status open_client(struct cli *cli, const comrade_cluster_options *options,
                                  comrade_error *error)
{
    comrade_client_options client_options = COMRADE_CLIENT_OPTIONS_INIT;
    comrade_cluster *cluster = NULL;
    comrade_status status = comrade_cluster_open(options, &cluster, error);
    if (status != COMRADE_OK) {
        return status;
    }
    status = comrade_client_new(cluster, &client_options, &cli->client, error);
    if (status != COMRADE_OK) {
        comrade_cluster_close(cluster);
        return status;
    }
    cli->cluster = cluster;
    return COMRADE_OK;
}

int cli_open(struct cli *cli, const struct options *options)
{
    cli->timeout_ms = options_number(options, "timeout", 0);
    if (cli->cluster != NULL) {
        return refuse_other_cluster(cli, options);
    }
    char *url = NULL;
    comrade_error error;
    comrade_status status = store_place_find(options, &url, &error);
    if (status != COMRADE_OK) {
        return cli_error(cli, &error);
    }
    comrade_cluster_options cluster_options = COMRADE_CLUSTER_OPTIONS_INIT;
    cluster_options.store = url;
    cluster_options.name_space = options_text(options, "namespace");
    cluster_options.kind = options_text(options, "kind");
    cluster_options.on_push = cli->on_push;
    cluster_options.must_exist = !options->verb->makes_store;
    status = open_client(cli, &cluster_options, &error);
    free(url);
    return status == COMRADE_OK ? EXIT_CODE_DONE : cli_error(cli, &error);
}

void cli_close(struct cli *cli)
{
    comrade_client_free(cli->client);
    cli->client = NULL;
    if (cli->cluster != NULL) {
        comrade_cluster_close(cli->cluster);
        cli->cluster = NULL;
    }
}
