/*
 * The whole suite on stores that listen: those have the server understand each statement once
 * (prepared.c). And what becomes of that when the schema that the statements were understood by is
 * gone.
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

static void wipe(comrade_store *store, const char *url)
{
    (void)store;
    postgres_server_run(server, url, "DROP SCHEMA comrade CASCADE");
}

static comrade_status open_listening(const comrade_store_config *config, const comrade_call *call,
                                     comrade_store **store, comrade_error *error)
{
    comrade_status status = postgres_driver.open(config, call, store, error);
    if (status == COMRADE_OK && postgres_driver.watch(*store, call, error) < 0) {
        postgres_driver.close(*store);
        status = COMRADE_UNAVAILABLE;
    }
    return status;
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

static void only_what_listens_prepares(void **state)
{
    (void)state;
    char url[POSTGRES_URL_SIZE];
    fresh_url(url, sizeof url);
    comrade_store *store = contract_must_open(&postgres_driver, url, "");
    use(store, 1);
    assert_int_equal(store->prepared.n, 0);
    comrade_call call = contract_call();
    assert_true(postgres_driver.watch(store, &call, NULL) >= 0);
    use(store, 2);
    size_t n = store->prepared.n;
    assert_true(n > 0);
    use(store, 3);
    assert_int_equal(store->prepared.n, n);
    postgres_driver.close(store);
}

static void prepared_statements_outlive_the_schema(void **state)
{
    (void)state;
    char url[POSTGRES_URL_SIZE];
    fresh_url(url, sizeof url);
    comrade_store *store = contract_must_open(&postgres_driver, url, "");
    comrade_call call = contract_call();
    assert_true(postgres_driver.watch(store, &call, NULL) >= 0);
    wipe(store, url); /* before the first of them is prepared … */
    for (int i = 1; i <= ROUNDS; i++) {
        use(store, i);
    }
    wipe(store, url); /* … and behind the last */
    for (int i = 1; i <= ROUNDS; i++) {
        use(store, i);
    }
    assert_true(store->prepared.n > 0); /* on the same connection */
    postgres_driver.close(store);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_listens_prepares),
        cmocka_unit_test(prepared_statements_outlive_the_schema),
    };
    server = postgres_server_start(NULL);
    if (server == NULL) {
        return postgres_server_skip_tests(tests, sizeof tests / sizeof tests[0]);
    }
    postgres_server_fresh_database(server, database_url);
    comrade_store_driver driver = postgres_driver;
    driver.open = open_listening;
    const struct contract_store store = {"postgres, listening", &driver, fresh_url, wipe,
                                         .has_own_clock = true};
    int failed = cmocka_run_group_tests(tests, NULL, NULL) + contract_run(&store);
    postgres_server_stop(server);
    return failed;
}
