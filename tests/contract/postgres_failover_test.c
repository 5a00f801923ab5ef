/*
 * Servers that are restarted, and a standby that takes over: those who run go on running, over one
 * connection, as soon as there is a server that can be written.
 */
#include "contract/postgres_fault_scene.h"

#include "contract/cases.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { URL_SIZE = 512, TRIES = 2000, STEP_MS = 10 };

/* --- Restarts ----------------------------------------------------------------------------------
 */

static void assert_each_says_that_it_is_away(struct fault_scene *scene)
{
    for (size_t i = 0; i < FAULT_OPERATIONS; i++) {
        if (!fault_operations[i].is_open) {
            comrade_call call = fault_call(FAULT_PATIENCE_MS);
            assert_int_equal(fault_operations[i].run(scene, &call), COMRADE_UNAVAILABLE);
            assert_non_null(strstr(scene->error.message, scene->url));
            assert_false(comrade_call_is_over(&call));
        }
    }
    assert_int_equal(fault_drain(scene), COMRADE_UNAVAILABLE);
}

static void a_restarted_server_is_used_again_however_it_went(void **state)
{
    static const enum postgres_down ways[] = {POSTGRES_DOWN_FAST, POSTGRES_DOWN_IMMEDIATE,
                                              POSTGRES_DOWN_KILL};
    struct fault_scene *scene = *state;
    fault_assert_works(scene);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        postgres_server_take_down(scene->server, ways[i]);
        assert_each_says_that_it_is_away(scene);
        postgres_server_bring_up(scene->server);
        fault_assert_works(scene);
    }
}

/* Nobody has to notice that the server was away between two calls. */
static void a_restart_between_two_calls_fails_none(void **state)
{
    struct fault_scene *scene = *state;
    fault_assert_works(scene);
    for (size_t i = 0; i < FAULT_OPERATIONS; i++) {
        comrade_call call = fault_call(FAULT_PATIENCE_MS);
        if (fault_operations[i].is_open) {
            continue;
        }
        postgres_server_take_down(scene->server, POSTGRES_DOWN_FAST);
        postgres_server_bring_up(scene->server);
        assert_int_equal(fault_operations[i].run(scene, &call), COMRADE_OK);
    }
    fault_assert_works(scene);
}

/* --- A failover --------------------------------------------------------------------------------
 */

static void await_copy(const struct postgres_server *primary, const struct postgres_server *standby)
{
    char sql[128];
    char *lsn = postgres_server_sql(primary, NULL, "SELECT pg_current_wal_flush_lsn()");
    snprintf(sql, sizeof sql, "SELECT (pg_last_wal_replay_lsn() >= '%s')::int", lsn);
    free(lsn);
    for (int i = 0; i < TRIES && postgres_server_number(standby, NULL, sql) != 1; i++) {
        poll(NULL, 0, STEP_MS);
    }
    assert_int_equal(postgres_server_number(standby, NULL, sql), 1);
}

static comrade_status put(comrade_store *store, const char *id, comrade_error *error)
{
    comrade_own own = own_part(1, 1);
    comrade_change change = anything(COMRADE_PUT_OWN, id);
    comrade_write write = {"app", COMRADE_ANYTHING, NULL, &change, 1};
    comrade_write_result result = {0};
    comrade_call call = fault_call(FAULT_PATIENCE_MS);
    change.own = &own;
    comrade_status status = postgres_driver.write(store, &call, &write, 1, &result, error);
    return status == COMRADE_OK ? result.status : status;
}

/* One who names both servers, and one who has looked at the standby from the beginning. */
static void a_promoted_standby_is_written_by_those_who_run(void **state)
{
    (void)state;
    comrade_error error = {0};
    char database[POSTGRES_URL_SIZE], beside[POSTGRES_URL_SIZE], both[URL_SIZE];
    struct postgres_server *primary = postgres_server_start(NULL);
    struct postgres_options options = {.standby_of = postgres_server_port(primary)};
    postgres_server_fresh_database(primary, database);
    struct postgres_server *standby = postgres_server_start(&options);
    if (standby == NULL) {
        postgres_server_stop(primary);
        skip();
    }
    const char *name = strrchr(database, '/') + 1;
    postgres_server_url(standby, "comrade", name, beside);
    snprintf(both, sizeof both,
             "postgres://comrade@127.0.0.1:%d,127.0.0.1:%d/%s?target_session_attrs=read-write",
             postgres_server_port(primary), postgres_server_port(standby), name);
    comrade_store *store = contract_must_open(&postgres_driver, both, "");
    assert_int_equal(put(store, "a", &error), COMRADE_OK);
    await_copy(primary, standby);
    comrade_store *reader = contract_must_open(&postgres_driver, beside, "");
    assert_int_equal(contract_count(&postgres_driver, reader, &error), 1);
    assert_int_equal(put(reader, "b", &error), COMRADE_UNAVAILABLE);
    assert_non_null(strstr(error.message, "target_session_attrs=read-write"));

    postgres_server_take_down(primary, POSTGRES_DOWN_KILL);
    assert_int_equal(put(store, "b", &error), COMRADE_UNAVAILABLE);
    assert_int_equal(contract_count(&postgres_driver, reader, &error), 1);
    postgres_server_run(standby, NULL, "SELECT pg_promote()");
    assert_int_equal(put(store, "b", &error), COMRADE_OK);
    assert_int_equal(put(reader, "c", &error), COMRADE_OK);
    assert_int_equal(contract_count(&postgres_driver, store, &error), 3);
    comrade_call call = fault_call(FAULT_PATIENCE_MS);
    assert_true(postgres_driver.watch(store, &call, &error) >= 0);
    assert_int_equal(postgres_server_number(standby, NULL,
                                            "SELECT count(*) FROM pg_stat_activity"
                                            " WHERE usename = 'comrade'"),
                     2);
    postgres_driver.close(store);
    postgres_driver.close(reader);
    postgres_server_stop(standby);
    postgres_server_stop(primary);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_CASE(a_restarted_server_is_used_again_however_it_went),
        FAULT_CASE(a_restart_between_two_calls_fails_none),
        cmocka_unit_test(a_promoted_standby_is_written_by_those_who_run),
    };
    fault_server = postgres_server_start(NULL);
    if (fault_server == NULL) {
        return postgres_server_skip_tests(tests, sizeof tests / sizeof tests[0]);
    }
    int failed = cmocka_run_group_tests_name("postgres_failover", tests, NULL, NULL);
    postgres_server_stop(fault_server);
    return failed;
}
