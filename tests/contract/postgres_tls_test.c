/* TLS: every sslmode against servers' rules, names and authorities; and certificates of clients. */
#include "contract/postgres_logins.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN_MS = 20000, URL_SIZE = 512 };

static const char *const hba[] = {"hostssl all tls_only 127.0.0.1/32 trust",
                                  "hostnossl all tls_only 127.0.0.1/32 reject",
                                  "hostnossl all plain_only 127.0.0.1/32 trust",
                                  "hostssl all plain_only 127.0.0.1/32 reject",
                                  "hostssl all certified 127.0.0.1/32 cert",
                                  "hostnossl all certified 127.0.0.1/32 reject",
                                  NULL};
static char folder[] = "/tmp/comrade-tls-XXXXXX";
static char database[POSTGRES_URL_SIZE];

/* --- The server --------------------------------------------------------------------------------
 */

static void run(const char *command)
{
    int status = system(command);
    if (status != 0) {
        fail_msg("%s: %d", command, status);
    }
}

/* The key must be the server's own, or it refuses it. */
static void turn_tls_on(void)
{
    char command[1024];
    const char *server = postgres_server_folder(logins_server());
    snprintf(command, sizeof command,
             "cd %s && cp server.crt server.key ca.crt %s/data/ && cd %s/data &&"
             " chown --reference=PG_VERSION server.crt server.key ca.crt && chmod 600 server.key",
             folder, server, server);
    run(command);
    postgres_server_run(logins_server(), NULL, "ALTER SYSTEM SET ssl_ca_file = 'ca.crt'");
    postgres_server_run(logins_server(), NULL, "ALTER SYSTEM SET ssl = 'on'");
    postgres_server_restart(logins_server());
}

static int set_up(void **state)
{
    (void)state;
    char command[1024];
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(command, sizeof command, "%s %s", CERTIFICATES, folder);
    run(command);
    turn_tls_on();
    logins_make_database(database);
    postgres_server_run(logins_server(), NULL,
                        "CREATE ROLE tls_only LOGIN IN ROLE comrade_member;"
                        "CREATE ROLE plain_only LOGIN IN ROLE comrade_member;"
                        "CREATE ROLE certified LOGIN IN ROLE comrade_member;"
                        "CREATE ROLE either LOGIN IN ROLE comrade_member");
    setenv("HOME", folder, 1); /* ~/.postgresql is nobody's */
    return 0;
}

static int remove_file(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(folder, remove_file, 8, FTW_DEPTH | FTW_PHYS);
}

/* --- Trying ------------------------------------------------------------------------------------
 */

enum outcome { PLAIN, ENCRYPTED, REFUSED };

/* What comes of postgres://USER@HOST…?PARAMETERS, by the server's own account. */
static enum outcome try_it(const char *user, const char *host, const char *parameters,
                           comrade_error *error)
{
    char url[URL_SIZE], sql[256];
    comrade_store *store = NULL;
    static int n_tries;
    snprintf(url, sizeof url, "postgres://%s@%s%s?application_name=try%d&%s", user, host,
             strrchr(database, ':'), ++n_tries, parameters);
    comrade_status status = logins_open(url, OPEN_MS, &store, error);
    if (status != COMRADE_OK) {
        assert_true(status == COMRADE_DENIED || status == COMRADE_UNAVAILABLE ||
                    status == COMRADE_INVALID);
        return REFUSED;
    }
    snprintf(sql, sizeof sql,
             "SELECT ssl::int FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
             " WHERE application_name = 'try%d'",
             n_tries);
    enum outcome outcome =
        postgres_server_number(logins_server(), NULL, sql) == 1 ? ENCRYPTED : PLAIN;
    postgres_driver.close(store);
    return outcome;
}

static void assert_outcome(const char *user, const char *host, const char *parameters,
                           enum outcome expected)
{
    comrade_error error = {0};
    enum outcome outcome = try_it(user, host, parameters, &error);
    if (outcome != expected) {
        fail_msg("%s, %s, %s: %d instead of %d: %s", user, host, parameters, outcome, expected,
                 error.message);
    }
}

static void assert_refused(const char *user, const char *host, const char *parameters,
                           const char *word)
{
    comrade_error error = {0};
    enum outcome outcome = try_it(user, host, parameters, &error);
    if (outcome != REFUSED || strstr(error.message, word) == NULL) {
        fail_msg("%s, %s, %s: %d, and no \"%s\" in: %s", user, host, parameters, outcome, word,
                 error.message);
    }
}

/* "sslmode=MODE&sslrootcert=FOLDER/NAME" */
static const char *trusting(const char *mode, const char *authority)
{
    static char parameters[URL_SIZE / 2];
    snprintf(parameters, sizeof parameters, "sslmode=%s&sslrootcert=%s/%s", mode, folder,
             authority);
    return parameters;
}

/* --- Modes -------------------------------------------------------------------------------------
 */

static void a_mode_that_checks_nothing_goes_as_far_as_the_server_lets_it(void **state)
{
    (void)state;
    static const struct {
        const char *parameters;
        enum outcome either, tls_only, plain_only;
    } rows[] = {
        {"sslmode=disable", PLAIN, REFUSED, PLAIN},
        {"sslmode=allow", PLAIN, ENCRYPTED, PLAIN},
        {"sslmode=prefer", ENCRYPTED, ENCRYPTED, PLAIN},
        {"", ENCRYPTED, ENCRYPTED, PLAIN}, /* as prefer */
        {"sslmode=require", ENCRYPTED, ENCRYPTED, REFUSED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_outcome("either", "127.0.0.1", rows[i].parameters, rows[i].either);
        assert_outcome("tls_only", "127.0.0.1", rows[i].parameters, rows[i].tls_only);
        assert_outcome("plain_only", "127.0.0.1", rows[i].parameters, rows[i].plain_only);
        assert_outcome("either", "localhost", rows[i].parameters, rows[i].either);
    }
}

static void verify_ca_wants_the_authority_and_no_name(void **state)
{
    (void)state;
    assert_outcome("either", "127.0.0.1", trusting("verify-ca", "ca.crt"), ENCRYPTED);
    assert_outcome("either", "localhost", trusting("verify-ca", "ca.crt"), ENCRYPTED);
    assert_refused("either", "127.0.0.1", trusting("verify-ca", "other_ca.crt"), "certificate");
    assert_refused("either", "127.0.0.1", trusting("verify-ca", "none.crt"), "none.crt");
    assert_refused("plain_only", "127.0.0.1", trusting("verify-ca", "ca.crt"), "pg_hba.conf");
    /* Where there is an authority, require checks it, too. */
    assert_refused("either", "127.0.0.1", trusting("require", "other_ca.crt"), "certificate");
}

static void verify_full_wants_the_name_as_well(void **state)
{
    (void)state;
    char parameters[URL_SIZE];
    snprintf(parameters, sizeof parameters, "hostaddr=127.0.0.1&%s",
             trusting("verify-full", "ca.crt"));
    assert_outcome("either", "db.example.org", parameters, ENCRYPTED);
    assert_refused("either", "db2.example.org", parameters, "db2.example.org");
    assert_refused("either", "localhost", trusting("verify-full", "ca.crt"), "localhost");
    assert_refused("either", "127.0.0.1", trusting("verify-full", "ca.crt"), "127.0.0.1");
    snprintf(parameters, sizeof parameters, "hostaddr=127.0.0.1&%s",
             trusting("verify-full", "other_ca.crt"));
    assert_refused("either", "db.example.org", parameters, "certificate");
}

/* The environment says it as well; the URL wins. */
static void the_mode_may_stand_in_the_environment(void **state)
{
    (void)state;
    char path[URL_SIZE];
    snprintf(path, sizeof path, "%s/other_ca.crt", folder);
    setenv("PGSSLMODE", "verify-ca", 1);
    setenv("PGSSLROOTCERT", path, 1);
    assert_refused("either", "127.0.0.1", "", "certificate");
    assert_outcome("either", "127.0.0.1", "sslmode=disable", PLAIN);
    unsetenv("PGSSLMODE");
    unsetenv("PGSSLROOTCERT");
}

static void a_server_without_tls_is_not_talked_to_where_it_is_required(void **state)
{
    (void)state;
    postgres_server_run(logins_server(), NULL, "ALTER SYSTEM SET ssl = 'off'");
    postgres_server_restart(logins_server());
    assert_refused("either", "127.0.0.1", "sslmode=require", "SSL");
    assert_outcome("either", "127.0.0.1", "sslmode=prefer", PLAIN);
    postgres_server_run(logins_server(), NULL, "ALTER SYSTEM SET ssl = 'on'");
    postgres_server_restart(logins_server());
    assert_outcome("either", "127.0.0.1", "sslmode=prefer", ENCRYPTED);
}

/* --- Clients -----------------------------------------------------------------------------------
 */

static const char *showing(const char *name)
{
    static char parameters[URL_SIZE];
    snprintf(parameters, sizeof parameters, "sslmode=require&sslcert=%s/%s.crt&sslkey=%s/%s.key",
             folder, name, folder, name);
    return parameters;
}

static void a_certificate_stands_for_a_password(void **state)
{
    (void)state;
    assert_outcome("certified", "127.0.0.1", showing("client"), ENCRYPTED);
    assert_refused("certified", "127.0.0.1", showing("stranger"), "unknown ca");
    assert_refused("certified", "127.0.0.1", showing("none"), "certificate");
    assert_refused("certified", "127.0.0.1", "sslmode=require", "certificate");
    assert_refused("certified", "127.0.0.1", "sslmode=disable", "pg_hba.conf");
}

static void a_key_that_others_can_read_is_not_used(void **state)
{
    (void)state;
    char path[URL_SIZE];
    snprintf(path, sizeof path, "%s/client.key", folder);
    assert_int_equal(chmod(path, 0644), 0);
    assert_refused("certified", "127.0.0.1", showing("client"), "client.key");
    assert_int_equal(chmod(path, 0600), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mode_that_checks_nothing_goes_as_far_as_the_server_lets_it),
        cmocka_unit_test(verify_ca_wants_the_authority_and_no_name),
        cmocka_unit_test(verify_full_wants_the_name_as_well),
        cmocka_unit_test(the_mode_may_stand_in_the_environment),
        cmocka_unit_test(a_certificate_stands_for_a_password),
        cmocka_unit_test(a_key_that_others_can_read_is_not_used),
        cmocka_unit_test(a_server_without_tls_is_not_talked_to_where_it_is_required),
    };
    enum { N_TESTS = sizeof tests / sizeof tests[0] };
    const struct postgres_options options = {.hba = hba};
    if (!logins_start_server(&options)) {
        return postgres_server_skip_tests(tests, N_TESTS);
    }
    char *library = postgres_server_sql(logins_server(), NULL, "SHOW ssl_library");
    bool has_tls = library[0] != '\0';
    free(library);
    if (!has_tls) {
        puts("# this server was built without TLS");
        logins_stop_server();
        return postgres_server_skip_tests(tests, N_TESTS);
    }
    int failed = cmocka_run_group_tests_name("postgres_tls", tests, set_up, tear_down);
    logins_stop_server();
    return failed;
}
