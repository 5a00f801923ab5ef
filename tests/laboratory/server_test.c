/* The server of the tests does what its header says. */
#include "lib/postgres_server.h"

#include <libpq-fe.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct postgres_server *server;

static void a_fresh_database_is_empty_and_belongs_to_comrade(void **state)
{
    char url[POSTGRES_URL_SIZE];
    char other[POSTGRES_URL_SIZE];
    (void)state;
    postgres_server_fresh_database(server, url);
    postgres_server_fresh_database(server, other);
    assert_string_not_equal(url, other);
    PGconn *connection = PQconnectdb(url);
    assert_int_equal(PQstatus(connection), CONNECTION_OK);
    PGresult *result = PQexec(connection, "CREATE SCHEMA comrade");
    assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
    PQclear(result);
    PQfinish(connection);
    static const char count[] = "SELECT count(*) FROM pg_namespace WHERE nspname = 'comrade'";
    assert_int_equal(postgres_server_number(server, url, count), 1);
    assert_int_equal(postgres_server_number(server, other, count), 0);
}

static void what_was_committed_survives_each_end(void **state)
{
    char url[POSTGRES_URL_SIZE];
    (void)state;
    postgres_server_fresh_database(server, url);
    postgres_server_run(server, url, "CREATE TABLE ends (n int)");
    const enum postgres_down downs[] = {POSTGRES_DOWN_FAST, POSTGRES_DOWN_IMMEDIATE,
                                        POSTGRES_DOWN_KILL};
    int port = postgres_server_port(server);
    for (int i = 0; i < 3; i++) {
        PGconn *connection = PQconnectdb(url);
        postgres_server_run(server, url, "INSERT INTO ends VALUES (1)");
        postgres_server_take_down(server, downs[i]);
        assert_int_equal(PQping(url), PQPING_NO_RESPONSE);
        PQclear(PQexec(connection, "SELECT 1"));
        assert_int_equal(PQstatus(connection), CONNECTION_BAD);
        PQfinish(connection);
        postgres_server_bring_up(server);
        assert_int_equal(postgres_server_number(server, url, "SELECT count(*) FROM ends"), i + 1);
    }
    assert_int_equal(postgres_server_port(server), port);
}

static void a_paused_server_answers_nothing_until_it_is_resumed(void **state)
{
    char url[POSTGRES_URL_SIZE];
    (void)state;
    postgres_server_url(server, "comrade", "postgres", url);
    PGconn *connection = PQconnectdb(url);
    assert_int_equal(PQstatus(connection), CONNECTION_OK);
    postgres_server_pause(server);
    assert_int_equal(PQsendQuery(connection, "SELECT 1"), 1);
    usleep(50000);
    assert_int_equal(PQconsumeInput(connection), 1);
    assert_int_equal(PQisBusy(connection), 1);
    postgres_server_resume(server);
    PGresult *result = PQgetResult(connection);
    assert_int_equal(PQresultStatus(result), PGRES_TUPLES_OK);
    PQclear(result);
    PQfinish(connection);
}

static void a_paused_server_can_be_killed(void **state)
{
    (void)state;
    postgres_server_pause(server);
    postgres_server_kill(server);
    assert_int_equal(postgres_server_number(server, NULL, "SELECT 7"), 7);
}

static void settings_rules_and_connections_are_as_asked(void **state)
{
    static const char *const settings[] = {"work_mem=7MB", "log_line_prefix=it's %m", NULL};
    static const char *const hba[] = {"host all comrade 127.0.0.1/32 reject", NULL};
    const struct postgres_options options = {
        .max_connections = 7, .settings = settings, .hba = hba};
    char url[POSTGRES_URL_SIZE];
    (void)state;
    struct postgres_server *other = postgres_server_start(&options);
    assert_non_null(other);
    assert_int_not_equal(postgres_server_port(other), postgres_server_port(server));
    char *text = postgres_server_sql(other, NULL,
                                     "SELECT current_setting('work_mem') || ' ' ||"
                                     " current_setting('log_line_prefix') || ' ' ||"
                                     " current_setting('max_connections')");
    assert_string_equal(text, "7MB it's %m 7");
    free(text);
    postgres_server_url(other, "comrade", "postgres", url);
    PGconn *connection = PQconnectdb(url);
    assert_non_null(strstr(PQerrorMessage(connection), "rejects"));
    PQfinish(connection);
    postgres_server_stop(other);
}

static void a_standby_reads_what_the_first_wrote_and_writes_nothing(void **state)
{
    char url[POSTGRES_URL_SIZE];
    (void)state;
    postgres_server_fresh_database(server, url);
    postgres_server_run(server, url, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (5)");
    const struct postgres_options options = {.standby_of = postgres_server_port(server)};
    struct postgres_server *standby = postgres_server_start(&options);
    if (standby == NULL) {
        skip();
    }
    assert_int_equal(postgres_server_number(standby, url, "SELECT n FROM kept"), 5);
    char *text = postgres_server_sql_fails(standby, url, "INSERT INTO kept VALUES (6)");
    assert_non_null(strstr(text, "read-only"));
    free(text);
    postgres_server_stop(standby);
}

/* Starts a server, tells its postmaster's pid and its folder, and is killed. */
static void be_killed(int fd)
{
    char text[512];
    struct postgres_server *own = postgres_server_start(NULL);
    char *pid = postgres_server_sql(
        own, NULL, "SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1)");
    snprintf(text, sizeof text, "%s %s", pid, postgres_server_folder(own));
    assert_true(write(fd, text, strlen(text) + 1) > 0);
    kill(getpid(), SIGKILL);
}

static void a_program_that_is_killed_leaves_no_server_and_no_folder(void **state)
{
    int fds[2];
    char text[512] = "";
    char folder[256];
    int postmaster = 0;
    struct stat found;
    (void)state;
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        be_killed(fds[1]);
    }
    assert_true(read(fds[0], text, sizeof text) > 0);
    waitpid(child, NULL, 0);
    assert_int_equal(sscanf(text, "%d %255s", &postmaster, folder), 2);
    int n_looks = 0;
    for (; n_looks < 6000 && (kill(postmaster, 0) == 0 || stat(folder, &found) == 0); n_looks++) {
        usleep(10000);
    }
    assert_true(n_looks < 6000);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_database_is_empty_and_belongs_to_comrade),
        cmocka_unit_test(what_was_committed_survives_each_end),
        cmocka_unit_test(a_paused_server_answers_nothing_until_it_is_resumed),
        cmocka_unit_test(a_paused_server_can_be_killed),
        cmocka_unit_test(settings_rules_and_connections_are_as_asked),
        cmocka_unit_test(a_standby_reads_what_the_first_wrote_and_writes_nothing),
        cmocka_unit_test(a_program_that_is_killed_leaves_no_server_and_no_folder),
    };
    server = postgres_server_start(NULL);
    if (server == NULL) {
        return postgres_server_skip_tests(tests, sizeof tests / sizeof tests[0]);
    }
    int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    postgres_server_stop(server);
    return n_failed;
}
