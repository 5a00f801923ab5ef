/*
 * Where no pooler is between, the server understands each statement once (prepared.c). What becomes
 * of that when the schema is gone that the statements were understood by, or the session is not the
 * one that has prepared them.
 */
#include "contract/cases.h"
#include "contract/contract.h"
#include "lib/postgres_server.h"
#include "store/postgres/internal.h"

#include <stdio.h>

enum { ROUNDS = 8 }; /* the server chooses its last plan with the sixth */

static struct postgres_server *server;
static char database_url[POSTGRES_URL_SIZE];

static void fresh_url(char *url, size_t size)
{
    postgres_server_run(server, database_url, "DROP SCHEMA IF EXISTS comrade CASCADE");
    snprintf(url, size, "%s", database_url);
}

static void wipe(const char *url)
{
    postgres_server_run(server, url, "DROP SCHEMA comrade CASCADE");
}

static void use(comrade_store *store, int64_t sequence)
{
    comrade_beat beat = {"a", 100};
    comrade_beat_result result;
    comrade_beat_summary summary;
    comrade_call call = contract_call();
    assert_int_equal(contract_put(&postgres_driver, store, "app", "a", 100, sequence), COMRADE_OK);
    assert_int_equal(postgres_driver.heartbeat(store, &call, &beat, 1, &result, &summary, NULL),
                     COMRADE_OK);
    assert_int_equal(result.status, COMRADE_OK);
    assert_int_equal(result.own_sequence, sequence);
    assert_int_equal(contract_count(&postgres_driver, store, NULL), 1);
}

static comrade_store *open_fresh(char *url)
{
    fresh_url(url, POSTGRES_URL_SIZE);
    return contract_must_open(&postgres_driver, url, "");
}

static void what_is_said_again_is_prepared_once(void **state)
{
    (void)state;
    char url[POSTGRES_URL_SIZE];
    comrade_store *store = open_fresh(url);
    use(store, 1);
    use(store, 2);
    size_t n = store->prepared.n;
    assert_true(n > 0);
    use(store, 3);
    assert_int_equal(store->prepared.n, n);
    postgres_driver.close(store);
}

/* As behind a pooler that gives its servers' process numbers for its own. */
static void a_session_that_knows_of_nothing_is_not_relied_upon_again(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        char url[POSTGRES_URL_SIZE], sql[64];
        comrade_store *store = open_fresh(url);
        assert_int_equal(contract_put(&postgres_driver, store, "app", "a", 100, 1), COMRADE_OK);
        assert_true(store->prepared.n > 0);
        snprintf(sql, sizeof sql, "PREPARE s%zu AS SELECT 1", store->prepared.n);
        PQclear(PQexec(store->connection, i == 0 ? "DEALLOCATE ALL" : sql));
        use(store, 2);
        use(store, 3);
        assert_true(store->is_pooled);
        assert_int_equal(store->prepared.n, 0);
        postgres_driver.close(store);
    }
}

static void prepared_statements_outlive_the_schema(void **state)
{
    (void)state;
    char url[POSTGRES_URL_SIZE];
    comrade_store *store = open_fresh(url);
    wipe(url); /* before the first of them is prepared … */
    for (int i = 1; i <= ROUNDS; i++) {
        use(store, i);
    }
    wipe(url); /* … and behind the last */
    for (int i = 1; i <= ROUNDS; i++) {
        use(store, i);
    }
    assert_true(store->prepared.n > 0); /* on the same connection */
    postgres_driver.close(store);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_said_again_is_prepared_once),
        cmocka_unit_test(a_session_that_knows_of_nothing_is_not_relied_upon_again),
        cmocka_unit_test(prepared_statements_outlive_the_schema),
    };
    server = postgres_server_start(NULL);
    if (server == NULL) {
        return postgres_server_skip_tests(tests, sizeof tests / sizeof tests[0]);
    }
    postgres_server_fresh_database(server, database_url);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    postgres_server_stop(server);
    return failed;
}
