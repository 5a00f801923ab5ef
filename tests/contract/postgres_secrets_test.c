/* Credentials: where they may come from, and that no error shows one. */
#include "contract/postgres_logins.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN_MS = 20000, URL_SIZE = 512, PATH_SIZE = 128 };

/* The users keeper and Ke%eper log in with a password alone. */
#define SECRET "hunter2"
static const char *const hba[] = {"host all keeper 127.0.0.1/32 scram-sha-256",
                                  "host all barred 127.0.0.1/32 reject", NULL};
static char folder[] = "/tmp/comrade-secrets-XXXXXX";
static char database[POSTGRES_URL_SIZE];

/* What comes behind the user: "@127.0.0.1:PORT/DATABASE". */
static const char *place(void)
{
    return strchr(database, '@');
}

static void write_file(const char *name, const char *text, char path[PATH_SIZE])
{
    snprintf(path, PATH_SIZE, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static void assert_opens(const char *url)
{
    comrade_store *store = NULL;
    comrade_error error = {0};
    if (logins_open(url, OPEN_MS, &store, &error) != COMRADE_OK) {
        fail_msg("%s", error.message);
    }
    postgres_driver.close(store);
}

/* It fails so, with `word` in its error; and nothing of a secret is in it. */
static void assert_refused(const char *url, comrade_status expected, const char *word)
{
    comrade_store *store = NULL;
    comrade_error error = {0};
    comrade_status status = logins_open(url, OPEN_MS, &store, &error);
    if (status != expected || strstr(error.message, word) == NULL) {
        fail_msg("%s: %d, and no \"%s\": %s", url, status, word, error.message);
    }
    static const char *const secrets[] = {SECRET, "hunter", "unter2", "wrong"};
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++) {
        if (strstr(error.message, secrets[i]) != NULL) {
            fail_msg("%s: %s", url, error.message);
        }
    }
}

/* --- Where a password comes from ---------------------------------------------------------------
 */

static void a_password_comes_from_the_url(void **state)
{
    (void)state;
    char url[URL_SIZE];
    snprintf(url, sizeof url, "postgres://keeper:" SECRET "%s", place());
    assert_opens(url);
    snprintf(url, sizeof url, "postgresql://keeper:%%68unter2%s", place());
    assert_opens(url);
    snprintf(url, sizeof url, "postgres://keeper%s?password=" SECRET, place());
    assert_opens(url);
    snprintf(url, sizeof url, "postgres://%s?user=keeper&password=" SECRET, place() + 1);
    assert_opens(url);
}

static void a_password_comes_from_the_environment(void **state)
{
    (void)state;
    char url[URL_SIZE];
    snprintf(url, sizeof url, "postgres://keeper%s", place());
    setenv("PGPASSWORD", SECRET, 1);
    assert_opens(url);
    setenv("PGPASSWORD", "wrong", 1);
    assert_refused(url, COMRADE_DENIED, "check the user, the password");
    unsetenv("PGPASSWORD");
    assert_refused(url, COMRADE_DENIED, "give it in the URL, in PGPASSWORD or in ~/.pgpass");
}

static void a_password_comes_from_the_password_file(void **state)
{
    (void)state;
    char url[URL_SIZE], path[PATH_SIZE];
    write_file("pgpass", "otherhost:*:*:keeper:wrong\n127.0.0.1:*:*:keeper:" SECRET "\n", path);
    snprintf(url, sizeof url, "postgres://keeper%s", place());
    setenv("PGPASSFILE", path, 1);
    assert_opens(url);
    write_file("pgpass", "127.0.0.1:*:*:keeper:wrong\n", path);
    assert_refused(url, COMRADE_DENIED, "password authentication failed");
    unsetenv("PGPASSFILE");
    write_file("pgpass", "127.0.0.1:*:*:keeper:" SECRET "\n", path);
    snprintf(url, sizeof url, "postgres://keeper%s?passfile=%s", place(), path);
    assert_opens(url);
    /* By the name of the host, although its address is what is connected to. */
    write_file("pgpass", "localhost:*:*:keeper:" SECRET "\n", path);
    snprintf(url, sizeof url, "postgres://keeper@localhost%s?passfile=%s", strchr(place(), ':'),
             path);
    assert_opens(url);
}

static void all_of_it_comes_from_a_service(void **state)
{
    (void)state;
    char url[URL_SIZE], path[PATH_SIZE], text[URL_SIZE];
    snprintf(text, sizeof text,
             "[old]\nhost=127.0.0.1\nport=%d\nuser=keeper\npassword=wrong\n"
             "[new]\nhost=127.0.0.1\nport=%d\nuser=keeper\npassword=" SECRET "\ndbname=%s\n",
             postgres_server_port(logins_server()), postgres_server_port(logins_server()),
             strrchr(database, '/') + 1);
    write_file("services", text, path);
    setenv("PGSERVICEFILE", path, 1);
    assert_opens("postgres:///?service=new");
    assert_refused("postgres:///?service=old", COMRADE_DENIED, "password authentication failed");
    assert_refused("postgres:///?service=none", COMRADE_INVALID, "\"none\"");
    setenv("PGSERVICE", "new", 1);
    assert_opens("postgres://");
    unsetenv("PGSERVICE");
    snprintf(url, sizeof url, "postgres:///?service=new&user=comrade&password=");
    assert_opens(url); /* the URL wins */
    unsetenv("PGSERVICEFILE");
}

/* --- What is refused ---------------------------------------------------------------------------
 */

static void a_server_that_refuses_is_understood(void **state)
{
    (void)state;
    char url[URL_SIZE];
    snprintf(url, sizeof url, "postgres://keeper:wrong%s", place());
    assert_refused(url, COMRADE_DENIED, "password authentication failed");
    snprintf(url, sizeof url, "postgres://barred:" SECRET "%s", place());
    assert_refused(url, COMRADE_DENIED, "pg_hba.conf");
    snprintf(url, sizeof url, "postgres://unknown:" SECRET "%s", place());
    assert_refused(url, COMRADE_DENIED, "\"unknown\"");
    snprintf(url, sizeof url, "postgres://comrade:" SECRET "%.*s/nowhere",
             (int)strcspn(place(), "/"), place());
    assert_refused(url, COMRADE_UNAVAILABLE, "createdb");
}

static void what_libpq_cannot_use_is_invalid(void **state)
{
    (void)state;
    static const char *const parameters[][2] = {
        {"sslmod=require", "sslmod"},
        {"sslmode=requir", "requir"},
        {"target_session_attrs=primari", "primari"},
        {"connect_timeout", "missing key/value separator"},
        {"hostaddr=127.0.0.1,127.0.0.2,127.0.0.3", "host"},
        {"ssl_min_protocol_version=TLSv9", "TLSv9"},
        {"port=ten", "ten"},
        {"port=99999", "99999"},
        {"channel_binding=perhaps", "perhaps"},
    };
    char url[URL_SIZE];
    for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++) {
        snprintf(url, sizeof url, "postgres://comrade:" SECRET "%s?%s", place(), parameters[i][0]);
        assert_refused(url, COMRADE_INVALID, parameters[i][1]);
    }
    snprintf(url, sizeof url,
             "postgres://comrade:" SECRET "@127.0.0.1:1,127.0.0.1:2,127.0.0.1/x"
             "?port=1,2");
    assert_refused(url, COMRADE_INVALID, "port");
    assert_refused("postgres:comrade:" SECRET "@127.0.0.1/x", COMRADE_INVALID,
                   "write the store as postgres://");
}

/* What a password should have had escaped, and has not. */
static void no_part_of_a_password_is_shown_however_the_url_is_written(void **state)
{
    (void)state;
    static const char *const passwords[] = {
        SECRET "/x",
        SECRET "/1/x",
        "/" SECRET,
        SECRET "?x",
        SECRET "?a=b",
        "?" SECRET "=1",
        SECRET "#x",
        SECRET "@x",
        "x@" SECRET,
        "x@y@" SECRET,
        SECRET "%",
        SECRET "%zz",
        "%" SECRET,
        SECRET "%00",
        SECRET ":x",
        "1:" SECRET,
        SECRET ",x",
        "1," SECRET,
        "[" SECRET,
        "[" SECRET "]",
        SECRET " x",
        "x " SECRET,
        SECRET "\"x",
        "\"" SECRET,
        "1/\"" SECRET "\"",
        "1/x?" SECRET,
        "1/" SECRET "?a=b",
        "x@[" SECRET "]",
        "x@" SECRET ":1",
        "x@y/" SECRET,
        "x@y?" SECRET "=" SECRET,
        "x@y:" SECRET,
        "%68unter2/x",
        "x@%68unter2",
    };
    char url[URL_SIZE];
    for (size_t i = 0; i < sizeof passwords / sizeof passwords[0]; i++) {
        snprintf(url, sizeof url, "postgres://keeper:%s%s", passwords[i], place());
        comrade_store *store = NULL;
        comrade_error error = {0};
        comrade_status status = logins_open(url, OPEN_MS, &store, &error);
        assert_true(status == COMRADE_INVALID || status == COMRADE_DENIED ||
                    status == COMRADE_UNAVAILABLE);
        if (strstr(error.message, "unter") != NULL) {
            fail_msg("%s: %s", passwords[i], error.message);
        }
    }
}

static void who_has_not_escaped_a_password_is_told_so(void **state)
{
    (void)state;
    static const char *const characters[] = {"/", "@", "%"};
    char url[URL_SIZE];
    for (size_t i = 0; i < sizeof characters / sizeof characters[0]; i++) {
        snprintf(url, sizeof url, "postgres://keeper:" SECRET "%s1%s", characters[i], place());
        assert_refused(url, COMRADE_INVALID, "%2F");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_password_comes_from_the_url),
        cmocka_unit_test(a_password_comes_from_the_environment),
        cmocka_unit_test(a_password_comes_from_the_password_file),
        cmocka_unit_test(all_of_it_comes_from_a_service),
        cmocka_unit_test(a_server_that_refuses_is_understood),
        cmocka_unit_test(what_libpq_cannot_use_is_invalid),
        cmocka_unit_test(no_part_of_a_password_is_shown_however_the_url_is_written),
        cmocka_unit_test(who_has_not_escaped_a_password_is_told_so),
    };
    enum { N_TESTS = sizeof tests / sizeof tests[0] };
    const struct postgres_options options = {.hba = hba};
    if (!logins_start_server(&options)) {
        return postgres_server_skip_tests(tests, N_TESTS);
    }
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    logins_make_database(database);
    postgres_server_run(logins_server(), NULL,
                        "SET password_encryption = 'scram-sha-256';"
                        "CREATE ROLE keeper LOGIN PASSWORD '" SECRET "' IN ROLE comrade_member;"
                        "CREATE ROLE barred LOGIN; GRANT comrade_member TO comrade");
    int failed = cmocka_run_group_tests_name("postgres_secrets", tests, NULL, NULL);
    char path[PATH_SIZE];
    static const char *const files[] = {"pgpass", "services"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
    rmdir(folder);
    logins_stop_server();
    return failed;
}
