/*
 * Prepared statements. To understand one of ours takes the server five times as long as to carry it
 * out, and the same is said again and again: so it is understood once. Not where there is a pooler:
 * the next statement may come to another session, which knows of nothing. Without one, the server's
 * process is the one that was connected to.
 *
 * What has long parameters, such as large arrays, is planned each time: its best plan depends on
 * them.
 */
#include "store/postgres/internal.h"

#include <stdio.h>
#include <string.h>

enum { LONG_PARAMETER_BYTES = 4096 };

static bool is_short(const struct statement *statement)
{
    for (size_t i = 0; i < statement->n_parameters; i++) {
        const char *text = statement->parameters[i];
        if (text != NULL && strnlen(text, LONG_PARAMETER_BYTES) == LONG_PARAMETER_BYTES) {
            return false;
        }
    }
    return true;
}

/* Its place, or the next free one. */
static size_t place_of(const struct prepared *prepared, const char *sql)
{
    size_t place = 0;
    while (place < prepared->n && prepared->sql[place] != sql) {
        place++;
    }
    return place;
}

bool prepared_send(struct prepared *prepared, PGconn *connection, const struct statement *statement,
                   bool *is_prepared_first)
{
    char name[24];
    int n = (int)statement->n_parameters;
    size_t place = place_of(prepared, statement->sql);
    *is_prepared_first = false;
    if (!prepared->is_allowed || place == POSTGRES_PREPARED_MAX || !is_short(statement)) {
        return PQsendQueryParams(connection, statement->sql, n, NULL, statement->parameters, NULL,
                                 NULL, 0) == 1;
    }
    snprintf(name, sizeof name, "s%zu", place);
    if (place == prepared->n) {
        if (PQsendPrepare(connection, name, statement->sql, 0, NULL) != 1) {
            return false;
        }
        prepared->sql[prepared->n++] = statement->sql;
        *is_prepared_first = true;
    }
    return PQsendQueryPrepared(connection, name, n, statement->parameters, NULL, NULL, 0) == 1;
}
