/*
 * The contract, through a PgBouncer that lends its connections by the transaction. Nothing is
 * pushed there, so the cases of the watch are left to others.
 */
#include "contract/postgres_logins.h"
#include "lib/postgres_pooler.h"

#include <stdio.h>

static char direct_url[POSTGRES_URL_SIZE], pooled_url[POSTGRES_URL_SIZE];

static void fresh_url(char *url, size_t size)
{
    postgres_server_run(logins_server(), direct_url, "DROP SCHEMA IF EXISTS comrade CASCADE");
    snprintf(url, size, "%s", pooled_url);
}

static void wipe(comrade_store *store, const char *url)
{
    (void)store;
    postgres_server_run(logins_server(), url,
                        "TRUNCATE comrade.cluster, comrade.role, comrade.role_spec, comrade.member,"
                        " comrade.heartbeat");
}

int main(void)
{
    enum { N_CONNECTIONS = 3 }; /* fewer than there are clients in the races */
    static const char *const users[] = {"comrade", NULL};
    struct postgres_pooler *pooler = NULL;
    if (logins_start_server(NULL)) {
        pooler = postgres_pooler_start(logins_server(), "transaction", N_CONNECTIONS, users);
    }
    if (pooler == NULL) {
        size_t n_tests;
        const struct CMUnitTest *tests = contract_tests(&n_tests);
        logins_stop_server();
        return postgres_server_skip_tests(tests, n_tests);
    }
    postgres_server_fresh_database(logins_server(), direct_url);
    postgres_pooler_url(pooler, direct_url, pooled_url);
    comrade_store_driver driver = postgres_driver;
    driver.watch = NULL;
    driver.drain = NULL;
    const struct contract_store store = {"postgres_pooled", &driver, fresh_url, wipe,
                                         .has_own_clock = true};
    int failed = contract_run(&store);
    postgres_pooler_stop(pooler);
    logins_stop_server();
    return failed;
}
