#include "contract/contract.h"
#include "lib/postgres_server.h"
#include "store/postgres/postgres.h"

#include <stdio.h>

static struct postgres_server *server;

static char database_url[POSTGRES_URL_SIZE];

/* The database stays, because that is quicker; what was in it goes. */
static void fresh_url(char *url, size_t size)
{
    postgres_server_run(server, database_url, "DROP SCHEMA IF EXISTS comrade CASCADE");
    snprintf(url, size, "%s", database_url);
}

static void wipe(comrade_store *store, const char *url)
{
    (void)store;
    postgres_server_run(
        server, url,
        "DO $$ BEGIN EXECUTE (SELECT 'TRUNCATE ' || string_agg('comrade.' || tablename, ', ')"
        "  FROM pg_tables WHERE schemaname = 'comrade' AND tablename <> 'meta'); END $$");
}

int main(void)
{
    server = postgres_server_start(NULL);
    if (server == NULL) {
        size_t n_tests;
        const struct CMUnitTest *tests = contract_tests(&n_tests);
        return postgres_server_skip_tests(tests, n_tests);
    }
    postgres_server_fresh_database(server, database_url);
    const struct contract_store store = {"postgres", &postgres_driver, fresh_url, wipe,
                                         .has_own_clock = true};
    int failed = contract_run(&store);
    postgres_server_stop(server);
    return failed;
}
