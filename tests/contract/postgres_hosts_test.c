/*
 * Which server is reached: by several hosts and target_session_attrs, over dead ones and silent
 * ones, by a socket, by a service; and under which name.
 */
#include "contract/postgres_logins.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { OPEN_MS = 20000, URL_SIZE = 512 };

static struct postgres_server *standby;
static char database[POSTGRES_URL_SIZE];
static const char *name; /* of the database */

/* --- Places ------------------------------------------------------------------------------------
 */

static int primary_port(void)
{
    return postgres_server_port(logins_server());
}

static int standby_port(void)
{
    return postgres_server_port(standby);
}

/* A port that takes connections and never says anything. `fd` is to be closed. */
static int silent_port(int *fd)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(*fd >= 0);
    assert_int_equal(bind(*fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(*fd, 16), 0);
    assert_int_equal(getsockname(*fd, (struct sockaddr *)&address, &size), 0);
    return ntohs(address.sin_port);
}

/* A port that refuses. */
static int dead_port(void)
{
    int fd;
    int port = silent_port(&fd);
    close(fd);
    return port;
}

static comrade_store *must_open(const char *url, int64_t within_ms)
{
    comrade_store *store = NULL;
    comrade_error error = {0};
    if (logins_open(url, within_ms, &store, &error) != COMRADE_OK) {
        fail_msg("%s: %s", url, error.message);
    }
    return store;
}

/* The port of the server where the program of this name is connected; 0: nowhere. */
static int port_of(const char *application)
{
    char sql[256];
    snprintf(sql, sizeof sql, "SELECT 1 FROM pg_stat_activity WHERE application_name = '%s'",
             application);
    if (postgres_server_number(logins_server(), NULL, sql) == 1) {
        return primary_port();
    }
    return postgres_server_number(standby, NULL, sql) == 1 ? standby_port() : 0;
}

static void assert_reaches(const char *url, int port)
{
    comrade_store *store = must_open(url, OPEN_MS);
    assert_int_equal(port_of("comrade"), port);
    postgres_driver.close(store);
}

/* A closed connection is seen by the server a little later. */
static int wait_until_nobody_is_there(void **state)
{
    (void)state;
    for (int i = 0; i < 5000 && port_of("comrade") != 0; i++) {
        usleep(1000);
    }
    return port_of("comrade");
}

/* --- Several hosts -----------------------------------------------------------------------------
 */

static void the_first_that_answers_is_taken(void **state)
{
    (void)state;
    char url[URL_SIZE];
    snprintf(url, sizeof url, "postgres://comrade@127.0.0.1:%d,127.0.0.1:%d/%s", dead_port(),
             primary_port(), name);
    assert_reaches(url, primary_port());
    snprintf(url, sizeof url, "postgres://comrade@127.0.0.1:%d,127.0.0.1:%d,localhost:%d/%s",
             dead_port(), dead_port(), primary_port(), name);
    assert_int_equal(wait_until_nobody_is_there(NULL), 0);
    assert_reaches(url, primary_port());
}

static void where_none_answers_the_last_one_says_why(void **state)
{
    (void)state;
    char url[URL_SIZE], port[16];
    comrade_store *store = NULL;
    comrade_error error = {0};
    int last = dead_port();
    snprintf(url, sizeof url, "postgres://comrade@127.0.0.1:%d,127.0.0.1:%d/%s", dead_port(), last,
             name);
    snprintf(port, sizeof port, "%d", last);
    assert_int_equal(logins_open(url, OPEN_MS, &store, &error), COMRADE_UNAVAILABLE);
    assert_non_null(strstr(error.message, port));
    assert_non_null(strstr(error.message, "refused"));
}

static void a_silent_host_takes_no_more_than_its_share_of_the_time(void **state)
{
    (void)state;
    char url[URL_SIZE];
    int fd;
    snprintf(url, sizeof url, "postgres://comrade@127.0.0.1:%d,127.0.0.1:%d/%s", silent_port(&fd),
             primary_port(), name);
    postgres_driver.close(must_open(url, 2000));
    close(fd);
}

static void connect_timeout_bounds_each_host(void **state)
{
    (void)state;
    char url[URL_SIZE];
    int fd;
    comrade_store *store = NULL;
    comrade_error error = {0};
    int port = silent_port(&fd);
    comrade_call call = contract_call();
    int64_t from_ms = call.now_ms(call.clock);
    snprintf(url, sizeof url, "postgres://comrade@127.0.0.1:%d/%s?connect_timeout=1", port, name);
    assert_int_equal(logins_open(url, 60000, &store, &error), COMRADE_UNAVAILABLE);
    assert_non_null(strstr(error.message, "no answer in time"));
    assert_true(call.now_ms(call.clock) - from_ms >= 1000);
    assert_true(call.now_ms(call.clock) - from_ms < 30000);
    close(fd);
}

static void what_a_session_must_be_chooses_the_server(void **state)
{
    (void)state;
    static const struct {
        const char *attributes;
        bool is_standby;
    } rows[] = {{"any", true},       {"read-write", false}, {"primary", false},
                {"read-only", true}, {"standby", true},     {"prefer-standby", true}};
    char url[URL_SIZE];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(wait_until_nobody_is_there(NULL), 0);
        snprintf(url, sizeof url,
                 "postgres://comrade@127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d/%s"
                 "?target_session_attrs=%s",
                 dead_port(), standby_port(), primary_port(), name, rows[i].attributes);
        assert_reaches(url, rows[i].is_standby ? standby_port() : primary_port());
        assert_int_equal(wait_until_nobody_is_there(NULL), 0);
        /* In the other order; none of the two is refused for being the first. */
        snprintf(url, sizeof url,
                 "postgres://comrade@127.0.0.1:%d,127.0.0.1:%d/%s?target_session_attrs=%s",
                 primary_port(), standby_port(), name, rows[i].attributes);
        assert_reaches(url, rows[i].is_standby && i > 0 ? standby_port() : primary_port());
    }
}

static void a_standby_is_only_preferred_where_there_is_one(void **state)
{
    (void)state;
    char url[URL_SIZE];
    comrade_store *store = NULL;
    comrade_error error = {0};
    snprintf(url, sizeof url,
             "postgres://comrade@127.0.0.1:%d,127.0.0.1:%d/%s?target_session_attrs=prefer-standby",
             dead_port(), primary_port(), name);
    assert_reaches(url, primary_port());
    snprintf(url, sizeof url,
             "postgres://comrade@127.0.0.1:%d/%s?target_session_attrs=prefer-standby",
             primary_port(), name);
    assert_reaches(url, primary_port());
    snprintf(url, sizeof url, "postgres://comrade@127.0.0.1:%d/%s?target_session_attrs=standby",
             primary_port(), name);
    assert_int_equal(logins_open(url, OPEN_MS, &store, &error), COMRADE_UNAVAILABLE);
    assert_non_null(strstr(error.message, "standby"));
}

static void hosts_may_stand_in_a_service(void **state)
{
    (void)state;
    char path[] = "/tmp/comrade-services-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    dprintf(fd,
            "[cluster]\nhost=127.0.0.1,127.0.0.1,localhost\nport=%d,%d,%d\nuser=comrade\n"
            "dbname=%s\ntarget_session_attrs=read-write\n",
            dead_port(), standby_port(), primary_port(), name);
    setenv("PGSERVICEFILE", path, 1);
    assert_reaches("postgres:///?service=cluster", primary_port());
    unsetenv("PGSERVICEFILE");
    unlink(path);
    close(fd);
}

static void hosts_may_stand_in_the_environment(void **state)
{
    (void)state;
    char port[32];
    snprintf(port, sizeof port, "%d,%d", dead_port(), primary_port());
    setenv("PGHOST", "127.0.0.1,127.0.0.1", 1);
    setenv("PGPORT", port, 1);
    setenv("PGUSER", "comrade", 1);
    setenv("PGDATABASE", name, 1);
    assert_reaches("postgres://", primary_port());
    unsetenv("PGHOST");
    unsetenv("PGPORT");
    unsetenv("PGUSER");
    unsetenv("PGDATABASE");
}

/* --- A standby ---------------------------------------------------------------------------------
 */

static void a_standby_is_read_and_says_why_it_is_not_written(void **state)
{
    (void)state;
    char url[POSTGRES_URL_SIZE];
    comrade_error error = {0};
    comrade_store *primary = contract_must_open(&postgres_driver, database, "");
    assert_int_equal(contract_put(&postgres_driver, primary, "app", "a", 100, 1), COMRADE_OK);
    postgres_server_url(standby, "comrade", name, url);
    comrade_store *store = must_open(url, OPEN_MS);
    for (int i = 0; i < 5000 && contract_count(&postgres_driver, store, &error) != 1; i++) {
        usleep(1000);
    }
    assert_int_equal(contract_count(&postgres_driver, store, &error), 1);
    comrade_own own = own_part(100, 2);
    comrade_change change = anything(COMRADE_PUT_OWN, "a");
    change.own = &own;
    comrade_write write = {"app", COMRADE_ANYTHING, NULL, &change, 1};
    comrade_write_result result;
    comrade_call call = contract_call();
    assert_int_equal(postgres_driver.write(store, &call, &write, 1, &result, &error),
                     COMRADE_UNAVAILABLE);
    assert_non_null(strstr(error.message, "target_session_attrs=read-write"));
    comrade_beat one = {"a", 100};
    comrade_beat_result beaten;
    comrade_beat_summary summary;
    assert_int_equal(postgres_driver.heartbeat(store, &call, &one, 1, &beaten, &summary, &error),
                     COMRADE_UNAVAILABLE);
    assert_non_null(strstr(error.message, "target_session_attrs=read-write"));
    /* Announcements do not reach a standby: it is not watched, and that is said. */
    assert_int_equal(postgres_driver.watch(store, &call, &error), -1);
    assert_non_null(strstr(error.message, "standby"));
    assert_int_equal(contract_count(&postgres_driver, store, &error), 1);
    postgres_driver.close(store);
    postgres_driver.close(primary);
}

/* --- Other ways --------------------------------------------------------------------------------
 */

static void a_socket_in_the_file_system_is_a_host(void **state)
{
    (void)state;
    char url[URL_SIZE];
    snprintf(url, sizeof url, "postgres://comrade@/%s?host=%s/socket&port=%d", name,
             postgres_server_folder(logins_server()), primary_port());
    assert_reaches(url, primary_port());
    comrade_store *store = NULL;
    comrade_error error = {0};
    snprintf(url, sizeof url, "postgres://comrade@/%s?host=/nowhere&port=1", name);
    assert_int_equal(logins_open(url, OPEN_MS, &store, &error), COMRADE_UNAVAILABLE);
    assert_non_null(strstr(error.message, "/nowhere"));
}

static void a_program_is_seen_by_its_name(void **state)
{
    (void)state;
    char url[URL_SIZE];
    comrade_store *first = must_open(database, OPEN_MS);
    snprintf(url, sizeof url, "%s?application_name=billing", database);
    comrade_store *second = must_open(url, OPEN_MS);
    setenv("PGAPPNAME", "from the environment", 1);
    comrade_store *third = must_open(database, OPEN_MS);
    unsetenv("PGAPPNAME");
    assert_int_equal(port_of("comrade"), primary_port());
    assert_int_equal(port_of("billing"), primary_port());
    assert_int_equal(port_of("from the environment"), primary_port());
    postgres_driver.close(first);
    postgres_driver.close(second);
    postgres_driver.close(third);
}

#define CASE_OF(test) cmocka_unit_test_setup(test, wait_until_nobody_is_there)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE_OF(the_first_that_answers_is_taken),
        CASE_OF(where_none_answers_the_last_one_says_why),
        CASE_OF(a_silent_host_takes_no_more_than_its_share_of_the_time),
        CASE_OF(connect_timeout_bounds_each_host),
        CASE_OF(what_a_session_must_be_chooses_the_server),
        CASE_OF(a_standby_is_only_preferred_where_there_is_one),
        CASE_OF(hosts_may_stand_in_a_service),
        CASE_OF(hosts_may_stand_in_the_environment),
        CASE_OF(a_standby_is_read_and_says_why_it_is_not_written),
        CASE_OF(a_socket_in_the_file_system_is_a_host),
        CASE_OF(a_program_is_seen_by_its_name),
    };
    enum { N_TESTS = sizeof tests / sizeof tests[0] };
    if (!logins_start_server(NULL)) {
        return postgres_server_skip_tests(tests, N_TESTS);
    }
    logins_make_database(database);
    name = strrchr(database, '/') + 1;
    postgres_server_run(logins_server(), NULL, "GRANT comrade_member TO comrade");
    const struct postgres_options options = {.standby_of = primary_port()};
    standby = postgres_server_start(&options);
    if (standby == NULL) {
        logins_stop_server();
        return postgres_server_skip_tests(tests, N_TESTS);
    }
    int failed = cmocka_run_group_tests_name("postgres_hosts", tests, NULL, NULL);
    postgres_server_stop(standby);
    logins_stop_server();
    return failed;
}
