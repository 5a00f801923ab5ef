/*
 * comrade list. All members that match are read, also those that are not shown, so that the footer
 * can say how many there are.
 */
#include "base/buffer.h"
#include "base/text.h"
#include "cli/member_json.h"
#include "cli/member_query.h"
#include "cli/member_table.h"
#include "cli/output.h"
#include "cli/verbs.h"

#include <string.h>
#include <unistd.h>

/* What is printed for scripts goes out in pieces of this size. */
enum { PIECE_BYTES = 64 * 1024, PIECE_LIMIT = 1024 * 1024 };

static const struct option_row list_rows[] = {
    {.name = "all",
     .letter = 'a',
     .type = OPTION_FLAG,
     .help = "also members that are starting, leaving, gone or zombified"},
    {.name = NULL},
};
static const struct option_group list_options = {NULL, list_rows};

/* Whoever asks for the dead, the unhealthy or the stale wants to see them. */
static bool wants_all(const struct options *options)
{
    return options_flag(options, "all") || options_flag(options, "dead") ||
           options_flag(options, "unhealthy") || options_flag(options, "stale");
}

static bool is_shown(const comrade_member_data *member, bool is_all)
{
    return is_all || member->is_alive;
}

static int print_lines(struct cli *cli, const comrade_members *members, bool is_all, bool has_json)
{
    struct buffer piece;
    buffer_init(&piece, PIECE_LIMIT);
    for (size_t i = 0; i < comrade_members_count(members); i++) {
        const comrade_member_data *member = comrade_members_at(members, i);
        if (!is_shown(member, is_all)) {
            continue;
        }
        if (has_json) {
            member_json_append(&piece, member);
        } else {
            text_append_escaped(&piece, member->id, strlen(member->id));
        }
        buffer_append(&piece, "\n", 1);
        if (piece.len >= PIECE_BYTES && !piece.is_failed) {
            fwrite(piece.bytes, 1, piece.len, stdout);
            buffer_clear(&piece);
        }
    }
    bool is_failed = piece.is_failed;
    fwrite(buffer_text(&piece), 1, piece.len, stdout);
    buffer_finish(&piece);
    return is_failed ? cli_fail(cli, EXIT_CODE_FAILED, "out of memory") : output_end(cli);
}

/* To people who look at a terminal, and to nobody else. */
static void print_footer(size_t n_hidden, bool has_asked)
{
    if (isatty(STDOUT_FILENO) != 1 || isatty(STDERR_FILENO) != 1) {
        return;
    }
    if (has_asked) {
        fputs("* asked to leave: comrade show ID says by whom and why\n", stderr);
    }
    if (n_hidden > 0) {
        fprintf(stderr, "%zu more %s starting, leaving, gone or zombified: --all shows %s\n",
                n_hidden, n_hidden == 1 ? "is" : "are", n_hidden == 1 ? "it" : "them");
    }
}

/* `n_hidden` matched and are not shown. The role's name was checked when it became a query. */
static void print_nobody(const struct cli *cli, const comrade_query *query, size_t n_hidden)
{
    bool is_narrowed = query->n_where > 0 || query->alive != COMRADE_ANY ||
                       query->healthy != COMRADE_ANY || query->stale != COMRADE_ANY ||
                       query->available != COMRADE_ANY;
    const char *role = query->role;
    const char *store = comrade_cluster_store(cli->cluster);
    if (role == NULL && !is_narrowed && n_hidden == 0) {
        fprintf(stderr, "no members in %s\n", store);
        return;
    }
    fprintf(stderr, "no member%s%s%s%s%s in %s", role == NULL ? "" : " of role \"",
            role == NULL ? "" : role, role == NULL ? "" : "\"", is_narrowed ? " that matches" : "",
            n_hidden > 0 ? " is alive" : "", store);
    if (n_hidden > 0) {
        fprintf(stderr, "; --all shows %zu that %s not", n_hidden, n_hidden == 1 ? "is" : "are");
    }
    fputc('\n', stderr);
}

static int print_table(struct cli *cli, const comrade_members *members, const comrade_query *query,
                       bool is_all)
{
    struct table table;
    size_t n_hidden = 0;
    bool has_asked = false;
    table_init(&table, member_columns);
    for (size_t i = 0; i < comrade_members_count(members); i++) {
        const comrade_member_data *member = comrade_members_at(members, i);
        if (!is_shown(member, is_all)) {
            n_hidden++;
            continue;
        }
        has_asked |= member->request != COMRADE_REQUEST_NONE;
        member_table_add(&table, member);
    }
    int code = EXIT_CODE_DONE;
    if (table.n_cells == 0 && !table.is_failed) {
        print_nobody(cli, query, n_hidden);
        n_hidden = 0;
    } else if (!table_print(&table, stdout)) {
        code = cli_fail(cli, EXIT_CODE_FAILED, "out of memory");
    }
    code = code == EXIT_CODE_DONE ? output_end(cli) : code;
    table_finish(&table);
    print_footer(n_hidden, has_asked);
    return code;
}

static int run(struct cli *cli, const struct options *options)
{
    struct member_query query;
    comrade_members *members = NULL;
    comrade_error error;
    int code = member_query_init(&query, cli, options);
    if (code != 0) {
        return code;
    }
    code = cli_open(cli, options);
    if (code == 0 && comrade_client_get_members(cli->client, &query.query, cli->timeout_ms,
                                                &members, &error) != COMRADE_OK) {
        code = cli_error(cli, &error);
    }
    if (code == 0 && (options_flag(options, "json") || options_flag(options, "ids"))) {
        code = print_lines(cli, members, wants_all(options), options_flag(options, "json"));
    } else if (code == 0) {
        code = print_table(cli, members, &query.query, wants_all(options));
    }
    comrade_members_free(members);
    member_query_finish(&query);
    return code;
}

static const char *const aliases[] = {"ls", NULL};
static const char *const examples[] = {
    "comrade list --role app",
    "the members of a role that are in rotation",
    "comrade list --all --where host=web1",
    "whatever runs, or ran, on a host",
    "comrade list --role app --healthy --json | jq -r '\"\\(.metadata.ip):\\(.metadata.port)\"'",
    "addresses for a script",
    "comrade list --stale --ids",
    "members without a heartbeat for over an hour",
    NULL,
};
static const struct option_group *const groups[] = {&list_options, &filter_options, &output_options,
                                                    &store_options, NULL};

const struct verb verb_list = {
    .name = "list",
    .aliases = aliases,
    .summary = "List the members",
    .description =
        "Shows the members that are alive, which means in rotation: started and ready, not\n"
        "leaving, and not zombified. --all, --dead, --unhealthy and --stale show others, too.\n"
        "\n"
        "HEALTH is ok (a fresh heartbeat and no failed check), no, or stale (silent for over an\n"
        "hour). ADDRESS is ip and port of the metadata. AGE is the time since the member was\n"
        "created, HEARTBEAT that since its last sign of life. A * behind the state: the member\n"
        "was asked to leave.",
    .examples = examples,
    .groups = groups,
    .run = run,
};
