/* The cutting proxy cuts where its header says, seen from a client and from the server. */
#include "lib/cutting_proxy.h"
#include "lib/postgres_server.h"

#include <libpq-fe.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct postgres_server *server;

struct scene {
    struct cutting_proxy *proxy;
    char direct[POSTGRES_URL_SIZE];
    char url[POSTGRES_URL_SIZE]; /* through the proxy */
};

static int set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    postgres_server_fresh_database(server, scene->direct);
    postgres_server_run(server, scene->direct,
                        "CREATE TABLE lines (n int); ALTER TABLE lines OWNER TO comrade");
    scene->proxy = cutting_proxy_start(postgres_server_port(server));
    cutting_proxy_url(scene->proxy, scene->direct, scene->url, sizeof scene->url);
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    cutting_proxy_stop(scene->proxy);
    free(scene);
    return 0;
}

static PGconn *must_connect(const struct scene *scene)
{
    PGconn *connection = PQconnectdb(scene->url);
    if (PQstatus(connection) != CONNECTION_OK) {
        fail_msg("%s", PQerrorMessage(connection));
    }
    return connection;
}

/* One extended query. False: the connection was lost before its answer was there. */
static bool insert(PGconn *connection)
{
    PGresult *result =
        PQexecParams(connection, "INSERT INTO lines VALUES (1)", 0, NULL, NULL, NULL, NULL, 0);
    bool is_done = PQresultStatus(result) == PGRES_COMMAND_OK;
    PQclear(result);
    assert_true(is_done || PQstatus(connection) == CONNECTION_BAD);
    return is_done;
}

static long long n_lines(const struct scene *scene)
{
    return postgres_server_number(server, scene->direct, "SELECT count(*) FROM lines");
}

/* Sessions of comrade's on the scene's database, once there are n; the number found otherwise. */
static long long await_sessions(const struct scene *scene, long long n)
{
    long long found = -1;
    for (int i = 0; i < 3000 && found != n; i++) {
        usleep(i == 0 ? 0 : 10000);
        found = postgres_server_number(server, scene->direct,
                                       "SELECT count(*) FROM pg_stat_activity WHERE usename = "
                                       "'comrade' AND datname = current_database()");
    }
    return found;
}

static void counts_are_of_connections_requests_and_turns(void **state)
{
    struct scene *scene = *state;
    PGconn *connection = must_connect(scene);
    struct cutting_counts counts = cutting_proxy_counts(scene->proxy);
    assert_int_equal(counts.n_connections, 1);
    assert_int_equal(counts.n_open, 1);
    assert_int_equal(counts.n_logins, 1);
    assert_int_equal(counts.n_requests, 0);
    cutting_proxy_reset_counts(scene->proxy);
    assert_true(insert(connection));
    PQclear(PQexec(connection, "SELECT 1; SELECT 2"));
    counts = cutting_proxy_counts(scene->proxy);
    assert_int_equal(counts.n_connections, 0);
    assert_int_equal(counts.n_requests, 2);
    assert_int_equal(counts.n_turns, 2);
    PQfinish(connection);
}

static void a_pipeline_is_one_turn(void **state)
{
    struct scene *scene = *state;
    PGconn *connection = must_connect(scene);
    cutting_proxy_reset_counts(scene->proxy);
    assert_int_equal(PQenterPipelineMode(connection), 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(PQsendQueryParams(connection, "INSERT INTO lines VALUES (1)", 0, NULL,
                                           NULL, NULL, NULL, 0),
                         1);
    }
    assert_int_equal(PQpipelineSync(connection), 1);
    for (int n_syncs = 0; n_syncs < 1;) {
        PGresult *result = PQgetResult(connection);
        n_syncs += result != NULL && PQresultStatus(result) == PGRES_PIPELINE_SYNC ? 1 : 0;
        PQclear(result);
    }
    assert_int_equal(cutting_proxy_counts(scene->proxy).n_turns, 1);
    assert_int_equal(cutting_proxy_counts(scene->proxy).n_requests, 1);
    assert_int_equal(n_lines(scene), 3);
    PQfinish(connection);
}

/* At each point, with each way of cutting: what the client heard, and what the server did. */
static void a_cut_is_where_it_was_asked_for(void **state)
{
    static const struct {
        enum cut_point at;
        bool is_heard;
        int n_done; /* -1: a race */
    } rows[] = {{CUT_REQUEST_UNSENT, false, 0}, {CUT_REQUEST_HALF, false, 0},
                {CUT_REQUEST_SENT, false, -1},  {CUT_ANSWER_UNSENT, false, 1},
                {CUT_ANSWER_HALF, false, 1},    {CUT_ANSWER_SENT, true, 1}};
    struct scene *scene = *state;
    int n_cuts = 0;
    for (int i = 0; i < 12; i++) {
        struct cut cut = {.at = rows[i % 6].at, .how = i < 6 ? CUT_RST : CUT_FIN};
        PGconn *connection = must_connect(scene);
        cutting_proxy_cut(scene->proxy, &cut);
        long long n_before = n_lines(scene);
        assert_int_equal(insert(connection), rows[i % 6].is_heard);
        assert_true(cutting_proxy_await_cuts(scene->proxy, ++n_cuts));
        assert_int_equal(await_sessions(scene, 0), 0);
        if (rows[i % 6].n_done >= 0) {
            assert_int_equal(n_lines(scene) - n_before, rows[i % 6].n_done);
        }
        assert_false(insert(connection));
        PQfinish(connection);
    }
}

static void a_cut_waits_for_the_nth_request_with_its_bytes(void **state)
{
    struct scene *scene = *state;
    const struct cut cut = {.at = CUT_REQUEST_UNSENT, .containing = "INTO lines", .nth = 3};
    PGconn *connection = must_connect(scene);
    cutting_proxy_cut(scene->proxy, &cut);
    assert_true(insert(connection));
    PQclear(PQexec(connection, "SELECT 1"));
    assert_true(insert(connection));
    PQclear(PQexec(connection, "SELECT 1"));
    assert_int_equal(PQstatus(connection), CONNECTION_OK);
    assert_false(insert(connection));
    PQfinish(connection);
    connection = must_connect(scene);
    assert_true(insert(connection));
    PQfinish(connection);
}

static void a_login_can_be_cut_and_more_than_once(void **state)
{
    struct scene *scene = *state;
    const struct cut cut = {.at = CUT_ANSWER_UNSENT, .is_login = true, .times = 1};
    cutting_proxy_cut(scene->proxy, &cut);
    for (int i = 0; i < 2; i++) {
        PGconn *connection = PQconnectdb(scene->url);
        assert_int_equal(PQstatus(connection), CONNECTION_BAD);
        PQfinish(connection);
    }
    PQfinish(must_connect(scene));
}

static bool is_silent(PGconn *connection)
{
    struct pollfd one = {.fd = PQsocket(connection), .events = POLLIN};
    return poll(&one, 1, 100) == 0;
}

static void a_held_request_goes_on_when_it_is_released(void **state)
{
    static const enum cut_point points[] = {CUT_REQUEST_UNSENT, CUT_REQUEST_HALF, CUT_REQUEST_SENT,
                                            CUT_ANSWER_UNSENT,  CUT_ANSWER_HALF,  CUT_ANSWER_SENT};
    struct scene *scene = *state;
    PGconn *connection = must_connect(scene);
    for (int i = 0; i < 6; i++) {
        const struct cut cut = {.at = points[i], .how = CUT_HOLD};
        cutting_proxy_cut(scene->proxy, &cut);
        assert_int_equal(PQsendQuery(connection, "INSERT INTO lines VALUES (1)"), 1);
        assert_true(cutting_proxy_await_cuts(scene->proxy, i + 1));
        if (points[i] < CUT_ANSWER_HALF) {
            assert_true(is_silent(connection));
        }
        cutting_proxy_release(scene->proxy);
        PGresult *result = PQgetResult(connection);
        assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
        PQclear(result);
        assert_null(PQgetResult(connection));
        assert_int_equal(n_lines(scene), i + 1);
    }
    PQfinish(connection);
}

static void all_connections_are_held_either_way(void **state)
{
    struct scene *scene = *state;
    PGconn *connection = must_connect(scene);
    cutting_proxy_hold(scene->proxy, HOLD_ANSWERS);
    assert_int_equal(PQsendQuery(connection, "INSERT INTO lines VALUES (1)"), 1);
    for (int i = 0; i < 3000 && n_lines(scene) == 0; i++) {
        usleep(10000);
    }
    assert_int_equal(n_lines(scene), 1);
    assert_true(is_silent(connection));
    cutting_proxy_release(scene->proxy);
    PQclear(PQgetResult(connection));
    assert_null(PQgetResult(connection));

    cutting_proxy_hold(scene->proxy, HOLD_REQUESTS);
    assert_int_equal(PQsendQuery(connection, "INSERT INTO lines VALUES (1)"), 1);
    PGconn *late = PQconnectStart(scene->url);
    assert_int_equal(PQconnectPoll(late), PGRES_POLLING_WRITING);
    assert_true(is_silent(connection));
    assert_int_equal(n_lines(scene), 1);
    cutting_proxy_cut_all(scene->proxy, CUT_RST);
    PQclear(PQgetResult(connection));
    assert_int_equal(PQstatus(connection), CONNECTION_BAD);
    assert_int_equal(await_sessions(scene, 0), 0);
    assert_int_equal(n_lines(scene), 1);
    PQfinish(connection);
    PQfinish(late);
}

static void a_server_that_is_not_told_keeps_its_session(void **state)
{
    struct scene *scene = *state;
    const struct cut cut = {.at = CUT_REQUEST_UNSENT, .keeps_server = true};
    PGconn *connection = must_connect(scene);
    cutting_proxy_cut(scene->proxy, &cut);
    assert_false(insert(connection));
    PQfinish(connection);
    assert_int_equal(await_sessions(scene, 1), 1);
    assert_int_equal(cutting_proxy_counts(scene->proxy).n_open, 0);
    cutting_proxy_cut_all(scene->proxy, CUT_FIN);
    assert_int_equal(await_sessions(scene, 0), 0);
}

static void connections_are_refused_until_they_are_let_in(void **state)
{
    struct scene *scene = *state;
    PGconn *open = must_connect(scene);
    cutting_proxy_refuse(scene->proxy, true);
    PGconn *connection = PQconnectdb(scene->url);
    assert_non_null(strstr(PQerrorMessage(connection), "refused"));
    PQfinish(connection);
    assert_true(insert(open)); /* those of before are not touched */
    cutting_proxy_refuse(scene->proxy, false);
    PQfinish(must_connect(scene));
    PQfinish(open);
}

static void a_large_answer_passes_whole(void **state)
{
    struct scene *scene = *state;
    PGconn *connection = must_connect(scene);
    PGresult *result =
        PQexec(connection, "SELECT repeat('x', 1000) FROM generate_series(1, 20000)");
    assert_int_equal(PQntuples(result), 20000);
    PQclear(result);
    PQfinish(connection);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(counts_are_of_connections_requests_and_turns, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_pipeline_is_one_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cut_is_where_it_was_asked_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cut_waits_for_the_nth_request_with_its_bytes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_login_can_be_cut_and_more_than_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_held_request_goes_on_when_it_is_released, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(all_connections_are_held_either_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_server_that_is_not_told_keeps_its_session, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(connections_are_refused_until_they_are_let_in, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_large_answer_passes_whole, set_up, tear_down),
    };
    server = postgres_server_start(NULL);
    if (server == NULL) {
        return postgres_server_skip_tests(tests, sizeof tests / sizeof tests[0]);
    }
    int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    postgres_server_stop(server);
    return n_failed;
}
