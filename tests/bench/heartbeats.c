/*
 * heartbeats FILE N ROUNDS: heartbeats of N members of one worker, through the store's heartbeat
 * operation, against a batched update in C on the same file: one transaction of a prepared update
 * by key. In turn, same durability. Prints both medians in µs a batch.
 */
#include "measure.h"
#include "store/sqlite/sqlite.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DEADLINE_MS = 600000 };

static void stop(const char *what)
{
    fprintf(stderr, "heartbeats: %s\n", what);
    exit(1);
}

/* The ids, sorted, with their incarnations and keys. */
static size_t read_members(sqlite3 *database, comrade_beat *beats, int64_t *keys, size_t n)
{
    sqlite3_stmt *rows = NULL;
    size_t n_read = 0;
    sqlite3_prepare_v2(database, "SELECT id, incarnation, key FROM member ORDER BY id", -1, &rows,
                       NULL);
    while (n_read < n && sqlite3_step(rows) == SQLITE_ROW) {
        beats[n_read].id = strdup((const char *)sqlite3_column_text(rows, 0));
        beats[n_read].incarnation = sqlite3_column_int64(rows, 1);
        keys[n_read++] = sqlite3_column_int64(rows, 2);
    }
    sqlite3_finalize(rows);
    return n_read;
}

static double raw_batch(sqlite3 *database, sqlite3_stmt *update, const int64_t *keys, size_t n)
{
    double start = now_us();
    sqlite3_exec(database, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    for (size_t i = 0; i < n; i++) {
        sqlite3_bind_int64(update, 1, wall_ms(NULL));
        sqlite3_bind_int64(update, 2, keys[i]);
        if (sqlite3_step(update) != SQLITE_DONE) {
            stop(sqlite3_errmsg(database));
        }
        sqlite3_reset(update);
    }
    if (sqlite3_exec(database, "COMMIT", NULL, NULL, NULL) != SQLITE_OK) {
        stop(sqlite3_errmsg(database));
    }
    return now_us() - start;
}

static double our_batch(comrade_store *store, const comrade_beat *beats, size_t n,
                        comrade_beat_result *results)
{
    comrade_error error = {0};
    comrade_beat_summary summary;
    comrade_call call = {
        .deadline_ms = monotonic_ms(NULL) + DEADLINE_MS, .cancel_fd = -1, .now_ms = monotonic_ms};
    double start = now_us();
    if (sqlite_driver.heartbeat(store, &call, beats, n, results, &summary, &error) != COMRADE_OK) {
        stop(error.message);
    }
    return now_us() - start;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        stop("usage: heartbeats FILE N ROUNDS");
    }
    size_t n = strtoul(argv[2], NULL, 10);
    size_t n_rounds = strtoul(argv[3], NULL, 10);
    comrade_beat *beats = calloc(n, sizeof *beats);
    int64_t *keys = calloc(n, sizeof *keys);
    comrade_beat_result *results = calloc(n, sizeof *results);
    double *ours = calloc(n_rounds, sizeof *ours);
    double *raw = calloc(n_rounds, sizeof *raw);
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
    sqlite3_stmt *update = NULL;
    if (sqlite_driver.open(&config, &call, &store, &error) != COMRADE_OK) {
        stop(error.message);
    }
    if (sqlite3_open(argv[1], &database) != SQLITE_OK ||
        sqlite3_exec(database, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(database, "UPDATE heartbeat SET updated = ?1 WHERE key = ?2", -1,
                           &update, NULL) != SQLITE_OK) {
        stop(sqlite3_errmsg(database));
    }
    if (read_members(database, beats, keys, n) != n) {
        stop("the file has not so many members");
    }
    for (size_t i = 0; i < n_rounds; i++) {
        ours[i] = our_batch(store, beats, n, results);
        raw[i] = raw_batch(database, update, keys, n);
    }
    for (size_t i = 0; i < n; i++) {
        if (results[i].status != COMRADE_OK) {
            stop("a heartbeat was not applied");
        }
    }
    printf("%.0f %.0f\n", median(ours, n_rounds), median(raw, n_rounds));
    sqlite3_finalize(update);
    sqlite3_close(database);
    sqlite_driver.close(store);
    return 0;
}
