/* Which members a caller means: the filters of a comrade_query, and unique prefixes of ids. */
#ifndef CORE_QUERY_H
#define CORE_QUERY_H

#include "core/health.h"
#include "core/snapshot.h"

/* A private copy of a caller's query. */
struct query {
    char *role; /* NULL: all */
    comrade_filter alive;
    comrade_filter healthy;
    comrade_filter stale;
    comrade_filter available;
    char **where; /* key, value, key, value, … */
    size_t n_where;
};

/* `from` NULL means everything. Errors: INVALID, TOO_LARGE, NO_MEMORY. */
comrade_status query_init(struct query *query, const comrade_query *from, comrade_error *error);
void query_finish(struct query *query);

bool query_matches(const struct query *query, const comrade_record *record, int64_t now_ms,
                   int64_t call_timeout_ms, enum verdict verdict);

/*
 * The index of the id that is `text`, or, if `accept_prefix`, of the only one that begins with it.
 * Errors: NOT_FOUND (proposing the nearest id), AMBIGUOUS (naming some).
 */
comrade_status query_find_text(const char *const *ids, size_t n_ids, const char *text,
                               bool accept_prefix, size_t *index, comrade_error *error);

/* The record that query_find_text() finds. Errors: the same, and NO_MEMORY. */
comrade_status query_find_id(const struct snapshot *snapshot, const char *text, bool accept_prefix,
                             const comrade_record **record, comrade_error *error);

#endif
