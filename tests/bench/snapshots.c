/*
 * snapshots FILE PAGE ROUNDS: reads all members through the store's snapshot operation, in pages,
 * against a loop of one statement in C over the same rows and columns. Prints both medians in µs.
 */
#include "base/env.h"
#include "store/sqlite/sqlite.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DEADLINE_MS = 600000 };

static const char all_members[] =
    "SELECT m.id, m.role, m.incarnation, m.sequence, m.state, m.is_alive, m.is_available, "
    "m.created, m.pid, m.host, m.version, m.metadata, m.details, m.request_revision, "
    "m.request_kind, m.request_incarnation, m.zombified_incarnation, m.requested, m.request_id, "
    "m.request_user, m.request_host, m.request_reason, h.updated "
    "FROM member m JOIN heartbeat h ON h.key = m.key WHERE m.cluster = 1 ORDER BY m.role, m.id";

static int64_t monotonic_ms(void *clock)
{
    (void)clock;
    return env_monotonic_ms(&env_system);
}

static int64_t wall_ms(void *clock)
{
    (void)clock;
    return env_wall_ms(&env_system);
}

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare);
    return values[n / 2];
}

static void stop(const char *what)
{
    fprintf(stderr, "snapshots: %s\n", what);
    exit(1);
}

/* Both readers touch each text, so that none is left unread. */
static comrade_status on_record(void *user, const comrade_record *record)
{
    *(size_t *)user += strlen(record->id) + strlen(record->own.metadata);
    return COMRADE_OK;
}

static comrade_status on_role(void *user, const comrade_role *role)
{
    (void)user;
    (void)role;
    return COMRADE_OK;
}

static double our_round(comrade_store *store, size_t limit, size_t *n_bytes)
{
    comrade_snapshot_query query = {.scope = COMRADE_SCOPE_ALL, .limit = limit};
    comrade_snapshot_sink sink = {on_record, on_role, n_bytes};
    comrade_snapshot_page page = {.has_more = true};
    comrade_error error = {0};
    double start = now_us();
    while (page.has_more) {
        comrade_call call = {.deadline_ms = monotonic_ms(NULL) + DEADLINE_MS,
                             .cancel_fd = -1,
                             .now_ms = monotonic_ms};
        comrade_cursor from = page.next;
        if (sqlite_driver.snapshot(store, &call, &query, &from, &sink, &page, &error) !=
            COMRADE_OK) {
            stop(error.message);
        }
    }
    return now_us() - start;
}

static double raw_round(sqlite3_stmt *rows, size_t *n_bytes)
{
    double start = now_us();
    while (sqlite3_step(rows) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(rows); i++) {
            if (sqlite3_column_type(rows, i) == SQLITE_TEXT) {
                const char *text = (const char *)sqlite3_column_text(rows, i);
                *n_bytes += i == 0 || i == 11 ? strlen(text) : 0;
            } else {
                sqlite3_column_int64(rows, i);
            }
        }
    }
    sqlite3_reset(rows);
    return now_us() - start;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        stop("usage: snapshots FILE PAGE ROUNDS");
    }
    size_t limit = strtoul(argv[2], NULL, 10);
    size_t n_rounds = strtoul(argv[3], NULL, 10);
    double *ours = calloc(n_rounds, sizeof *ours);
    double *raw = calloc(n_rounds, sizeof *raw);
    size_t n_ours = 0;
    size_t n_raw = 0;
    char url[4096];
    snprintf(url, sizeof url, "sqlite:%s", argv[1]);
    comrade_store_config config = {.size = sizeof config,
                                   .url = url,
                                   .shown_url = url,
                                   .name_space = "",
                                   .kind = "ComradeServer",
                                   .wall_ms = wall_ms};
    comrade_call call = {
        .deadline_ms = monotonic_ms(NULL) + DEADLINE_MS, .cancel_fd = -1, .now_ms = monotonic_ms};
    comrade_store *store = NULL;
    comrade_error error = {0};
    sqlite3 *database = NULL;
    sqlite3_stmt *rows = NULL;
    if (ours == NULL || raw == NULL ||
        sqlite_driver.open(&config, &call, &store, &error) != COMRADE_OK) {
        stop(error.message);
    }
    if (sqlite3_open(argv[1], &database) != SQLITE_OK ||
        sqlite3_prepare_v2(database, all_members, -1, &rows, NULL) != SQLITE_OK) {
        stop(sqlite3_errmsg(database));
    }
    for (size_t i = 0; i < n_rounds; i++) {
        ours[i] = our_round(store, limit, &n_ours);
        raw[i] = raw_round(rows, &n_raw);
    }
    if (n_ours != n_raw) {
        stop("the two have not read the same");
    }
    printf("%.0f %.0f\n", median(ours, n_rounds), median(raw, n_rounds));
    sqlite3_finalize(rows);
    sqlite3_close(database);
    sqlite_driver.close(store);
    free(ours);
    free(raw);
    return 0;
}
