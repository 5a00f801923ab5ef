/*
 * postgres_list_rows URL: the baseline of `comrade list`: a small program on libpq that fetches the
 * same rows in the same order and prints the same columns, without Comrade.
 */
#include <libpq-fe.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    static const char sql[] =
        "SELECT m.id, m.role, m.state, m.metadata, m.host, m.pid, m.created, h.updated, "
        "m.is_alive, m.incarnation, m.zombified_incarnation, m.request_incarnation "
        "FROM comrade.member m JOIN comrade.heartbeat h ON h.cluster = m.cluster AND h.id = m.id "
        "WHERE m.cluster = 1 ORDER BY m.role, m.id";
    PGconn *connection = PQconnectdb(argc == 2 ? argv[1] : "");
    PGresult *rows = PQexec(connection, sql);
    if (PQresultStatus(rows) != PGRES_TUPLES_OK) {
        fprintf(stderr, "postgres_list_rows: %s\n", PQerrorMessage(connection));
        return 1;
    }
    for (int i = 0; i < PQntuples(rows); i++) {
        printf("%-32s %-10s %-10s %-40s %-20s %7s %s %s\n", PQgetvalue(rows, i, 0),
               PQgetvalue(rows, i, 1), PQgetvalue(rows, i, 2), PQgetvalue(rows, i, 3),
               PQgetvalue(rows, i, 4), PQgetvalue(rows, i, 5), PQgetvalue(rows, i, 6),
               PQgetvalue(rows, i, 7));
    }
    PQclear(rows);
    PQfinish(connection);
    return 0;
}
