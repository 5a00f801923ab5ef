/*
 * The view comrade.live_members, which others build on, against what the library says of the same
 * records: every combination of state, of being in rotation, of zombification and of age.
 */
#include "contract/postgres_logins.h"
#include "core/health.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The ages keep off the limit by more than a slow test takes from one look to the other. */
static const char fill_sql[] =
    "INSERT INTO comrade.role (cluster, role, revision) SELECT id, 'app', 1 FROM comrade.cluster"
    "  ON CONFLICT DO NOTHING;"
    "CREATE TEMP TABLE cases AS"
    "  SELECT c.id AS cluster, state || ' ' || alive || ' ' || zombie || ' ' || age AS id, state, "
    "alive, zombie, age"
    "  FROM comrade.cluster c, unnest(ARRAY['starting', 'up', 'unhealthy', 'draining', 'stopping',"
    "    'stopped', 'backoff', 'of a later version']) AS state, (VALUES (true), (false)) AS "
    "a(alive),"
    "    unnest(ARRAY[0, 99, 100, 101]) AS zombie,"
    "    unnest(ARRAY[-3600, -30, 0, 30, 90, 7200, 1000000000]) AS age;"
    "INSERT INTO comrade.member (cluster, id, role, incarnation, sequence, state, is_alive,"
    "  is_available, created, pid, host, version, metadata, details, request_revision,"
    "  zombified_incarnation)"
    " SELECT cluster, id, 'app', 100, 1, state, alive, true, 1700000000123, 4711, 'web1', '1.2.3',"
    "  '{\"ip\": \"10.0.0.5\", \"n\": [1, null]}', '{}', 1, zombie FROM cases;"
    "INSERT INTO comrade.heartbeat (cluster, id, updated, incarnation, own_sequence)"
    " SELECT cluster, id, floor(extract(epoch FROM now()))::bigint * 1000 - age * 1000::bigint, "
    "100, 1"
    "  FROM cases";

/* It has the columns that it is documented with, each of the type that programs expect. */
static void the_view_keeps_its_columns(void **state)
{
    (void)state;
    char url[POSTGRES_URL_SIZE];
    logins_make_database(url);
    char *columns = postgres_server_sql(
        logins_server(), url,
        "SELECT string_agg(column_name || ' ' || data_type, ', ' ORDER BY ordinal_position)"
        " FROM information_schema.columns WHERE table_name = 'live_members'");
    assert_string_equal(columns,
                        "namespace text, kind text, role text, id text, host text, pid bigint,"
                        " version text, state text, metadata json,"
                        " created timestamp with time zone, updated timestamp with time zone");
    free(columns);
}

static bool is_live(const comrade_record *record, int64_t now_ms)
{
    return health_is_alive(record) && health_is_healthy(record, now_ms, VERDICT_NONE);
}

static void assert_row_is(const PGresult *rows, int row, const comrade_record *record)
{
    char pid[24], created[24], updated[24];
    snprintf(pid, sizeof pid, "%" PRId64, record->own.pid);
    snprintf(created, sizeof created, "%" PRId64, record->own.created_ms);
    snprintf(updated, sizeof updated, "%" PRId64, record->updated_ms);
    const char *const expected[] = {record->id,
                                    record->role,
                                    record->own.host,
                                    pid,
                                    record->own.version,
                                    comrade_state_name(record->own.state),
                                    record->own.metadata,
                                    created,
                                    updated};
    for (int i = 0; i < (int)(sizeof expected / sizeof expected[0]); i++) {
        assert_string_equal(PQgetvalue(rows, row, i), expected[i]);
    }
}

static void the_view_shows_what_the_library_calls_alive_and_healthy(void **state)
{
    (void)state;
    char url[POSTGRES_URL_SIZE], reader[POSTGRES_URL_SIZE];
    logins_make_database(url);
    memcpy(reader, url, sizeof reader);
    logins_make("looker", "comrade_reader", reader);
    logins_make("service", "comrade_member", url);
    comrade_store *store = contract_must_open(&postgres_driver, url, "space");
    assert_int_equal(contract_put(&postgres_driver, store, "app", "a", 100, 1), COMRADE_OK);
    postgres_server_run(logins_server(), url, fill_sql);
    comrade_snapshot_query query = {.scope = COMRADE_SCOPE_ALL, .limit = 10000};
    struct snapshot snapshot;
    look(&postgres_driver, store, &query, &snapshot);
    assert_int_equal(snapshot.n_records, 8 * 2 * 4 * 7 + 1);

    PGconn *connection = PQconnectdb(reader);
    PGresult *rows = PQexec(connection, "SELECT id, role, host, pid, version, state, metadata,"
                                        " (extract(epoch FROM created) * 1000)::bigint,"
                                        " (extract(epoch FROM updated) * 1000)::bigint"
                                        " FROM comrade.live_members WHERE namespace = 'space' AND"
                                        " kind = 'ComradeServer' ORDER BY id COLLATE \"C\"");
    assert_int_equal(PQresultStatus(rows), PGRES_TUPLES_OK);
    int n = 0;
    for (size_t i = 0; i < snapshot.n_records; i++) {
        const comrade_record *record = &snapshot.records[i];
        if (!is_live(record, snapshot.now_ms)) {
            continue;
        }
        assert_true(n < PQntuples(rows));
        assert_row_is(rows, n++, record);
    }
    assert_int_equal(PQntuples(rows), n);
    assert_int_equal(n, 3 * 3 * 2 + 1); /* states, zombifications, ages; and the registered one */
    PQclear(rows);
    PQfinish(connection);
    snapshot_finish(&snapshot);
    postgres_driver.close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_view_keeps_its_columns),
        cmocka_unit_test(the_view_shows_what_the_library_calls_alive_and_healthy),
    };
    enum { N_TESTS = sizeof tests / sizeof tests[0] };
    if (!logins_start_server(NULL)) {
        return postgres_server_skip_tests(tests, N_TESTS);
    }
    int failed = cmocka_run_group_tests_name("postgres_view", tests, NULL, NULL);
    logins_stop_server();
    return failed;
}
