/*
 * list_rows FILE: the baseline of `comrade list`: a small program on SQLite that reads the same
 * rows in the same order and prints the same columns, without Comrade.
 */
#include <sqlite3.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    static const char sql[] =
        "SELECT m.id, m.role, m.state, m.metadata, m.host, m.pid, m.created, h.updated, "
        "m.is_alive, m.incarnation, m.zombified_incarnation, m.request_incarnation "
        "FROM member m JOIN heartbeat h ON h.key = m.key WHERE m.cluster = 1 "
        "ORDER BY m.role, m.id";
    sqlite3 *database = NULL;
    sqlite3_stmt *rows = NULL;
    if (argc != 2 || sqlite3_open_v2(argv[1], &database, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(database, sql, -1, &rows, NULL) != SQLITE_OK) {
        fprintf(stderr, "list_rows: %s\n", sqlite3_errmsg(database));
        return 1;
    }
    while (sqlite3_step(rows) == SQLITE_ROW) {
        printf(
            "%-32s %-10s %-10s %-40s %-20s %7lld %lld %lld\n",
            (const char *)sqlite3_column_text(rows, 0), (const char *)sqlite3_column_text(rows, 1),
            (const char *)sqlite3_column_text(rows, 2), (const char *)sqlite3_column_text(rows, 3),
            (const char *)sqlite3_column_text(rows, 4), sqlite3_column_int64(rows, 5),
            sqlite3_column_int64(rows, 6), sqlite3_column_int64(rows, 7));
    }
    sqlite3_finalize(rows);
    sqlite3_close(database);
    return 0;
}
