#include "cli/member_query.h"

#include <stdlib.h>
#include <string.h>

static const char role_help[] = "only members of this role";
static const char where_help[] =
    "only members of which this holds: KEY is id, role, state, host, pid or version,\n"
    "or else a key of the metadata; may be given several times, and then all must hold";

/* To add a filter: a row here, and in pairs[] below if it is a yes or a no. */
#define FILTER_ROWS(is_role_required)                                                              \
    {.name = "role",                                                                               \
     .letter = 'r',                                                                                \
     .type = OPTION_TEXT,                                                                          \
     .argument = "ROLE",                                                                           \
     .help = role_help,                                                                            \
     .is_required = is_role_required,                                                              \
     .is_typed_only = true},                                                                       \
        {.name = "where",                                                                          \
         .letter = 'w',                                                                            \
         .type = OPTION_TEXT,                                                                      \
         .argument = "KEY=VALUE",                                                                  \
         .help = where_help,                                                                       \
         .is_repeatable = true,                                                                    \
         .is_typed_only = true},                                                                   \
        {.name = "alive",                                                                          \
         .type = OPTION_FLAG,                                                                      \
         .is_typed_only = true,                                                                    \
         .help = "only members that are in rotation"},                                             \
        {.name = "dead",                                                                           \
         .type = OPTION_FLAG,                                                                      \
         .is_typed_only = true,                                                                    \
         .help = "only members that are not: starting, leaving, gone or zombified"},               \
        {.name = "healthy",                                                                        \
         .type = OPTION_FLAG,                                                                      \
         .is_typed_only = true,                                                                    \
         .help = "only members with a fresh heartbeat and no failed check"},                       \
        {.name = "unhealthy",                                                                      \
         .type = OPTION_FLAG,                                                                      \
         .is_typed_only = true,                                                                    \
         .help = "only members that are not healthy"},                                             \
        {.name = "stale",                                                                          \
         .type = OPTION_FLAG,                                                                      \
         .is_typed_only = true,                                                                    \
         .help = "only members without a heartbeat for over an hour"},                             \
        {.name = "available",                                                                      \
         .type = OPTION_FLAG,                                                                      \
         .is_typed_only = true,                                                                    \
         .help = "only members that the disruption budget counts"},                                \
    {                                                                                              \
        .name = NULL                                                                               \
    }

static const struct option_row filter_rows[] = {FILTER_ROWS(false)};
static const struct option_row role_filter_rows[] = {FILTER_ROWS(true)};
const struct option_group filter_options = {"Which members", filter_rows};
const struct option_group role_filter_options = {"Which members", role_filter_rows};

/* Filters that cannot both hold of a member. */
static const char *const pairs[][2] = {
    {"alive", "dead"},          {"healthy", "unhealthy"}, {"available", "dead"},
    {"available", "unhealthy"}, {"available", "stale"},   {"healthy", "stale"},
};

static int check_pairs(const struct cli *cli, const struct options *options)
{
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (options_flag(options, pairs[i][0]) && options_flag(options, pairs[i][1])) {
            return cli_fail(cli, EXIT_CODE_USAGE,
                            "--%s and --%s contradict each other: no member can be both",
                            pairs[i][0], pairs[i][1]);
        }
    }
    return 0;
}

static comrade_filter filter_of(const struct options *options, const char *yes, const char *no)
{
    if (options_flag(options, yes)) {
        return COMRADE_YES;
    }
    return no != NULL && options_flag(options, no) ? COMRADE_NO : COMRADE_ANY;
}

static int add_where(struct member_query *query, const struct cli *cli, const char *text)
{
    size_t n_where = query->query.n_where;
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text) {
        return cli_fail(cli, EXIT_CODE_USAGE,
                        "--where \"%s\" is not KEY=VALUE, as in --where host=web1", text);
    }
    if (n_where == QUERY_WHERE_LIMIT) {
        return cli_fail(cli, EXIT_CODE_USAGE, "--where may be given at most %d times",
                        QUERY_WHERE_LIMIT);
    }
    char *copy = strdup(text);
    if (copy == NULL) {
        return cli_fail(cli, EXIT_CODE_FAILED, "out of memory");
    }
    copy[equals - text] = '\0';
    query->texts[n_where] = copy;
    query->where[n_where] = (comrade_where){copy, copy + (equals - text) + 1};
    query->query.n_where++;
    return 0;
}

int member_query_init(struct member_query *query, const struct cli *cli,
                      const struct options *options)
{
    *query = (struct member_query){.query = COMRADE_QUERY_INIT};
    query->query.role = options_text(options, "role");
    query->query.where = query->where;
    query->query.alive = filter_of(options, "alive", "dead");
    query->query.healthy = filter_of(options, "healthy", "unhealthy");
    query->query.stale = filter_of(options, "stale", NULL);
    query->query.available = filter_of(options, "available", NULL);
    int code = check_pairs(cli, options);
    for (size_t i = 0; code == 0 && i < options_count(options, "where"); i++) {
        code = add_where(query, cli, options_list(options, "where", i));
    }
    if (code != 0) {
        member_query_finish(query);
    }
    return code;
}

void member_query_finish(struct member_query *query)
{
    for (size_t i = 0; i < query->query.n_where; i++) {
        free(query->texts[i]);
    }
    query->query.n_where = 0;
}
