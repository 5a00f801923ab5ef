/* The contract, for a login that owns nothing and is in the groups of members and administrators.
 */
#include "contract/postgres_logins.h"

#include <stdio.h>

static char url_of_login[POSTGRES_URL_SIZE];

/* The database stays, because that is quicker. */
static void fresh_url(char *url, size_t size)
{
    postgres_server_run(logins_server(), url_of_login, "DROP SCHEMA comrade CASCADE");
    logins_run_setup_text(url_of_login);
    snprintf(url, size, "%s", url_of_login);
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
    if (!logins_start_server(NULL)) {
        size_t n_tests;
        const struct CMUnitTest *tests = contract_tests(&n_tests);
        return postgres_server_skip_tests(tests, n_tests);
    }
    logins_make_database(url_of_login);
    logins_make("Granted", "comrade_member, comrade_admin", url_of_login);
    const struct contract_store store = {"postgres_granted", &postgres_driver, fresh_url, wipe,
                                         .has_own_clock = true};
    int failed = contract_run(&store);
    logins_stop_server();
    return failed;
}
