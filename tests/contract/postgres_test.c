#include "contract/contract.h"
#include "lib/postgres_server.h"
#include "store/postgres/postgres.h"

#include <stdio.h>
#include <stdlib.h>

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
    postgres_server_run(server, url,
                        "TRUNCATE comrade.cluster, comrade.role, comrade.role_spec, comrade.member,"
                        " comrade.heartbeat");
}

int main(void)
{
    server = postgres_server_start(NULL);
    if (server == NULL) {
        puts("ok 1 # SKIP no PostgreSQL server is installed");
        return 0;
    }
    postgres_server_fresh_database(server, database_url);
    const struct contract_store store = {"postgres", &postgres_driver, fresh_url, wipe,
                                         .has_own_clock = true};
    int failed = contract_run(&store);
    postgres_server_stop(server);
    return failed;
}
