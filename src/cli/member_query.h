/* Which members a verb is about: option rows that several verbs share, and the query they make. */
#ifndef CLI_MEMBER_QUERY_H
#define CLI_MEMBER_QUERY_H

#include "cli/cli.h"

/* --role --where --alive --dead --healthy --unhealthy --stale --available */
extern const struct option_group filter_options;
/* The same with --role required, for what a disruption budget guards. */
extern const struct option_group role_filter_options;

enum { QUERY_WHERE_LIMIT = 32 };

struct member_query {
    comrade_query query; /* borrows from what follows, and from the options */
    comrade_where where[QUERY_WHERE_LIMIT];
    char *texts[QUERY_WHERE_LIMIT]; /* owned: "key\0value" */
};

/*
 * Fills the query from the options, which must outlive it. Returns 0, or an exit code after
 * printing what was wrong (a --where without '=', options that contradict each other).
 */
int member_query_init(struct member_query *query, const struct cli *cli,
                      const struct options *options);
void member_query_finish(struct member_query *query);

#endif
