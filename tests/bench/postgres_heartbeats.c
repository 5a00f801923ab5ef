/*
 * postgres_heartbeats URL N ROUNDS: heartbeats of N members of one worker, through the store's
 * heartbeat operation, beside the baselines in the same database: a batched update of a table of
 * (id, time), which commits without waiting for the disk as heartbeats do, in turn with it; and
 * updates of one row of it each, on one connection, which commit as a user's would by default.
 *
 * Prints "NAME OURS RAW" lines: the medians in µs a batch, WAL bytes a heartbeat (median of the
 * batches, and the mean with a checkpoint before every 30th), the share of heap-only updates in
 * percent; and "one US": the median of an update of one row.
 */
#include "measure.h"
#include "store/registry.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DEADLINE_MS = 600000, CHECKPOINT_EVERY = 30, ONE_ROW_ROUNDS = 500 };

static double mean(const double *values, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += values[i];
    }
    return sum / (double)n;
}

_Noreturn static void stop(const char *what)
{
    fprintf(stderr, "postgres_heartbeats: %s\n", what);
    exit(1);
}

static PGresult *query(PGconn *connection, const char *sql, int n, const char *const *parameters)
{
    PGresult *result = PQexecParams(connection, sql, n, NULL, parameters, NULL, NULL, 0);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        stop(PQerrorMessage(connection));
    }
    return result;
}

static void run(PGconn *connection, const char *sql)
{
    PQclear(query(connection, sql, 0, NULL));
}

static double number(PGconn *connection, const char *sql)
{
    PGresult *result = query(connection, sql, 0, NULL);
    double value = strtod(PQgetvalue(result, 0, 0), NULL);
    PQclear(result);
    return value;
}

static double wal_bytes(PGconn *connection)
{
    return number(connection, "SELECT pg_current_wal_insert_lsn() - '0/0'");
}

static double hot_percent(PGconn *connection, const char *table)
{
    char sql[256];
    snprintf(sql, sizeof sql,
             "SELECT 100.0 * n_tup_hot_upd / greatest(n_tup_upd, 1) FROM pg_stat_user_tables"
             " WHERE schemaname || '.' || relname = '%s'",
             table);
    return number(connection, sql);
}

/* The ids as an array, and a beat each. */
static char *read_members(PGconn *connection, comrade_beat *beats, size_t n)
{
    PGresult *rows =
        query(connection, "SELECT id, incarnation FROM comrade.member ORDER BY id", 0, NULL);
    char *ids = calloc(n + 1, COMRADE_ID_MAX_BYTES + 3);
    size_t len = 0;
    if (ids == NULL || (size_t)PQntuples(rows) != n) {
        stop("the store has not so many members");
    }
    for (size_t i = 0; i < n; i++) {
        beats[i].id = strdup(PQgetvalue(rows, (int)i, 0));
        beats[i].incarnation = strtoll(PQgetvalue(rows, (int)i, 1), NULL, 10);
        len += (size_t)snprintf(ids + len, COMRADE_ID_MAX_BYTES + 4, "%c\"%s\"", i == 0 ? '{' : ',',
                                beats[i].id);
    }
    ids[len] = '}'; /* the rest is zero */
    PQclear(rows);
    return ids;
}

static void raw_batch(PGconn *connection, const char *ids)
{
    char now[32];
    snprintf(now, sizeof now, "%lld", (long long)wall_ms(NULL));
    const char *parameters[] = {ids, now};
    PGresult *result = query(connection,
                             "UPDATE raw r SET updated = $2::bigint"
                             " FROM unnest($1::text[]) AS b(id) WHERE r.id = b.id",
                             2, parameters);
    PQclear(result);
}

static void one_row(PGconn *connection, const char *id)
{
    char now[32];
    snprintf(now, sizeof now, "%lld", (long long)wall_ms(NULL));
    const char *parameters[] = {now, id};
    PQclear(PQexecPrepared(connection, "one", 2, parameters, NULL, NULL, 0));
}

static void our_batch(const comrade_store_driver *driver, comrade_store *store,
                      const comrade_beat *beats, size_t n, comrade_beat_result *results)
{
    comrade_error error = {0};
    comrade_beat_summary summary;
    comrade_call call = {
        .deadline_ms = monotonic_ms(NULL) + DEADLINE_MS, .cancel_fd = -1, .now_ms = monotonic_ms};
    if (driver->heartbeat(store, &call, beats, n, results, &summary, &error) != COMRADE_OK) {
        stop(error.message);
    }
    for (size_t i = 0; i < n; i++) {
        if (results[i].status != COMRADE_OK) {
            stop("a heartbeat was not applied");
        }
    }
}

/* --- The rounds --------------------------------------------------------------------------------
 */

struct bench {
    const comrade_store_driver *driver;
    comrade_store *store;
    PGconn *connection; /* of the baselines */
    PGconn *observer;
    comrade_beat *beats;
    comrade_beat_result *results;
    size_t n;
    char *ids;
};

struct figures {
    double *us;
    double *wal;
};

static void begin(struct bench *bench, const char *url, size_t n)
{
    comrade_store_config config = {.size = sizeof config,
                                   .url = url,
                                   .shown_url = url,
                                   .name_space = "",
                                   .kind = "ComradeServer",
                                   .wall_ms = wall_ms};
    comrade_call call = {
        .deadline_ms = monotonic_ms(NULL) + DEADLINE_MS, .cancel_fd = -1, .now_ms = monotonic_ms};
    comrade_error error = {0};
    *bench = (struct bench){.connection = PQconnectdb(url),
                            .observer = PQconnectdb(url),
                            .beats = calloc(n, sizeof *bench->beats),
                            .results = calloc(n, sizeof *bench->results),
                            .n = n};
    if (PQstatus(bench->connection) != CONNECTION_OK ||
        PQstatus(bench->observer) != CONNECTION_OK) {
        stop(PQerrorMessage(bench->connection));
    }
    if (store_driver_find(url, &bench->driver, &error) != COMRADE_OK ||
        bench->driver->open(&config, &call, &bench->store, &error) != COMRADE_OK) {
        stop(error.message);
    }
    bench->ids = read_members(bench->connection, bench->beats, n);
    const char *parameters[] = {bench->ids};
    run(bench->connection, "CREATE TABLE raw (id text PRIMARY KEY, updated bigint NOT NULL)"
                           " WITH (fillfactor = 45)");
    PQclear(query(bench->connection, "INSERT INTO raw SELECT id, 0 FROM unnest($1::text[]) AS id",
                  1, parameters));
    run(bench->connection, "ANALYZE raw");
    run(bench->connection, "ANALYZE comrade.heartbeat");
    run(bench->connection, "SET synchronous_commit = off");
}

static void one_batch(struct bench *bench, bool is_ours, struct figures *figures, size_t round)
{
    double wal = wal_bytes(bench->observer);
    double start = now_us();
    if (is_ours) {
        our_batch(bench->driver, bench->store, bench->beats, bench->n, bench->results);
    } else {
        raw_batch(bench->connection, bench->ids);
    }
    figures->us[round] = now_us() - start;
    figures->wal[round] = (wal_bytes(bench->observer) - wal) / (double)bench->n;
}

static double one_row_us(struct bench *bench)
{
    static double us[ONE_ROW_ROUNDS];
    run(bench->connection, "RESET synchronous_commit");
    PQclear(PQprepare(bench->connection, "one", "UPDATE raw SET updated = $1::bigint WHERE id = $2",
                      2, NULL));
    for (size_t i = 0; i < ONE_ROW_ROUNDS; i++) {
        double start = now_us();
        one_row(bench->connection, bench->beats[i * 17 % bench->n].id);
        us[i] = now_us() - start;
    }
    return median(us, ONE_ROW_ROUNDS);
}

static void print_hot(struct bench *bench)
{
    struct timespec pause = {2, 0};
    bench->driver->close(bench->store); /* what is counted is told when a session ends */
    PQfinish(bench->connection);
    nanosleep(&pause, NULL);
    printf("hot %.2f %.2f\n", hot_percent(bench->observer, "comrade.heartbeat"),
           hot_percent(bench->observer, "public.raw"));
    PQfinish(bench->observer);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        stop("usage: postgres_heartbeats URL N ROUNDS");
    }
    size_t n_rounds = strtoul(argv[3], NULL, 10);
    struct figures ours = {calloc(n_rounds, sizeof(double)), calloc(n_rounds, sizeof(double))};
    struct figures raw = {calloc(n_rounds, sizeof(double)), calloc(n_rounds, sizeof(double))};
    struct bench bench;
    begin(&bench, argv[1], strtoul(argv[2], NULL, 10));
    for (size_t i = 0; i < n_rounds; i++) {
        if (i % CHECKPOINT_EVERY == 0) {
            run(bench.observer, "CHECKPOINT");
        }
        one_batch(&bench, true, &ours, i);
        one_batch(&bench, false, &raw, i);
    }
    printf("wal_mean %.1f %.1f\n", mean(ours.wal, n_rounds), mean(raw.wal, n_rounds));
    printf("wal %.1f %.1f\n", median(ours.wal, n_rounds), median(raw.wal, n_rounds));
    printf("us %.0f %.0f\n", median(ours.us, n_rounds), median(raw.us, n_rounds));
    printf("one %.0f\n", one_row_us(&bench));
    print_hot(&bench);
    return 0;
}
