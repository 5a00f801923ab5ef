/* Servers that are there and take nobody in: each is an error that says what to do, until they do.
 */
#include "contract/cases.h"
#include "lib/postgres_server.h"
#include "store/postgres/postgres.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { CONNECTIONS = 8, RESERVED = 3, FREE = CONNECTIONS - RESERVED, TRIES_MAX = 500, TRY_MS = 20 };

static struct postgres_server *server;

static void assert_opening_fails(const char *url, const char *says, const char *advises)
{
    comrade_store *store = NULL;
    comrade_error error = {0};
    assert_int_equal(contract_open(&postgres_driver, url, "", &store, &error), COMRADE_UNAVAILABLE);
    assert_null(store);
    if (strstr(error.message, says) == NULL || strstr(error.message, advises) == NULL) {
        fail_msg("this says neither '%s' nor '%s': %s", says, advises, error.message);
    }
}

static void a_database_that_does_not_exist_is_named(void **state)
{
    char url[POSTGRES_URL_SIZE];
    (void)state;
    postgres_server_url(server, "comrade", "nowhere", url);
    assert_opening_fails(url, "\"nowhere\" does not exist", "createdb");
}

/* --- No connection left ------------------------------------------------------------------------
 */

struct crowd {
    char url[POSTGRES_URL_SIZE];
    PGconn *connections[CONNECTIONS];
};

/* All that are free for those who are no superuser, but for so many. */
static void fill(struct crowd *crowd, int n_left)
{
    for (int i = 0; i < FREE - n_left; i++) {
        crowd->connections[i] = PQconnectdb(crowd->url);
        assert_int_equal(PQstatus(crowd->connections[i]), CONNECTION_OK);
    }
}

static void leave(struct crowd *crowd)
{
    for (int i = 0; i < CONNECTIONS; i++) {
        PQfinish(crowd->connections[i]);
        crowd->connections[i] = NULL;
    }
}

/* A session ends a moment after its client has. */
static void await_sessions(const char *url, long long n)
{
    const char *sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'comrade'";
    for (int i = 0; i < TRIES_MAX && postgres_server_number(server, url, sql) > n; i++) {
        poll(NULL, 0, TRY_MS);
    }
    assert_int_equal(postgres_server_number(server, url, sql), n);
}

static comrade_status beat_once(comrade_store *store, comrade_error *error)
{
    const comrade_beat one = {"a", 100};
    comrade_beat_result result;
    comrade_beat_summary summary;
    comrade_call call = contract_call();
    return postgres_driver.heartbeat(store, &call, &one, 1, &result, &summary, error);
}

static void a_server_without_a_connection_left_says_so_and_is_used_later(void **state)
{
    struct crowd crowd = {0};
    (void)state;
    postgres_server_fresh_database(server, crowd.url);
    fill(&crowd, 0);
    assert_opening_fails(crowd.url, "connection", "raise max_connections");
    leave(&crowd);
    await_sessions(crowd.url, 0);
    postgres_driver.close(contract_must_open(&postgres_driver, crowd.url, ""));
    await_sessions(crowd.url, 0);
}

static void who_has_a_connection_keeps_it_in_a_crowd(void **state)
{
    struct crowd crowd = {0};
    comrade_error error = {0};
    (void)state;
    postgres_server_fresh_database(server, crowd.url);
    comrade_store *store = contract_must_open(&postgres_driver, crowd.url, "");
    contract_put(&postgres_driver, store, "app", "a", 100, 1);
    fill(&crowd, 1);
    comrade_call call = contract_call();
    assert_true(postgres_driver.watch(store, &call, &error) >= 0);
    assert_int_equal(beat_once(store, &error), COMRADE_OK);
    contract_put(&postgres_driver, store, "app", "a", 100, 2);
    leave(&crowd);
    postgres_driver.close(store);
    await_sessions(crowd.url, 0);
}

/* Its session is ended, and somebody else takes the place. */
static void who_lost_a_connection_to_a_crowd_has_one_again_when_it_leaves(void **state)
{
    struct crowd crowd = {0};
    comrade_error error = {0};
    (void)state;
    postgres_server_fresh_database(server, crowd.url);
    comrade_store *store = contract_must_open(&postgres_driver, crowd.url, "");
    contract_put(&postgres_driver, store, "app", "a", 100, 1);
    postgres_server_run(server, crowd.url,
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE usename = 'comrade'");
    await_sessions(crowd.url, 0);
    fill(&crowd, 0);
    assert_int_equal(beat_once(store, &error), COMRADE_UNAVAILABLE);
    assert_non_null(strstr(error.message, "raise max_connections"));
    leave(&crowd);
    await_sessions(crowd.url, 0);
    assert_int_equal(beat_once(store, &error), COMRADE_OK);
    postgres_driver.close(store);
    await_sessions(crowd.url, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_database_that_does_not_exist_is_named),
        cmocka_unit_test(a_server_without_a_connection_left_says_so_and_is_used_later),
        cmocka_unit_test(who_has_a_connection_keeps_it_in_a_crowd),
        cmocka_unit_test(who_lost_a_connection_to_a_crowd_has_one_again_when_it_leaves),
    };
    server = postgres_server_start(&(struct postgres_options){
        .max_connections = CONNECTIONS,
        .settings =
            (const char *const[]){"superuser_reserved_connections=3", "max_wal_senders=0", NULL}});
    if (server == NULL) {
        return postgres_server_skip_tests(tests, sizeof tests / sizeof tests[0]);
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    postgres_server_stop(server);
    return failed;
}
