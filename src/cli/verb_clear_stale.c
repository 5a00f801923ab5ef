/* comrade clear-stale */
#include "cli/ask.h"
#include "cli/output.h"
#include "cli/verbs.h"

#include <unistd.h>

/* It watches for one heartbeat interval before it deletes. */
enum { WATCH_MS = 15 * 1000 };

static int run(struct cli *cli, const struct options *options)
{
    struct ask ask;
    int code = cli_open(cli, options);
    if (code != EXIT_CODE_DONE) {
        return code;
    }
    if (isatty(STDERR_FILENO) == 1) {
        fputs("looking for members without a heartbeat for over an hour; those found are watched "
              "for 10 s more\n",
              stderr);
    }
    if (ask_init(&ask, cli) != COMRADE_OK ||
        ask_wait(&ask, comrade_client_clear_stale_submit(ask.client, ask_done, &ask, &ask.error),
                 cli->timeout_ms + WATCH_MS) != COMRADE_OK) {
        code = cli_error(cli, &ask.error);
    } else {
        code = output_told(cli, options, ask.members, "", " was deleted\n");
        if (comrade_members_count(ask.members) == 0) {
            fputs("nothing to delete\n", stderr);
        }
    }
    ask_finish(&ask);
    return code;
}

static const char *const examples[] = {
    "comrade clear-stale",
    "run it now and then, so that lists stay short",
    NULL,
};
static const struct option_group *const groups[] = {&output_options, &store_options, NULL};

const struct verb verb_clear_stale = {
    .name = "clear-stale",
    .summary = "Delete the records of members that are long gone",
    .description =
        "Deletes members that had no heartbeat for over an hour and are not healthy. After an\n"
        "outage of the store everybody looks like that, so they are watched for one heartbeat\n"
        "interval more; whoever comes back in that time, or while it is being deleted, stays.",
    .examples = examples,
    .groups = groups,
    .run = run,
};
