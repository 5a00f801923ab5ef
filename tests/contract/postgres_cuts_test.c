/*
 * The connection is cut at each point of each request of each operation. The status must be one
 * that the database bears out, the next call must work over a new connection, and no second one may
 * stay.
 */
#include "contract/postgres_fault_scene.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const enum cut_point points[] = {CUT_REQUEST_UNSENT, CUT_REQUEST_HALF,  CUT_REQUEST_UNSYNCED,
                                        CUT_REQUEST_SENT,   CUT_ANSWER_UNSENT, CUT_ANSWER_HALF,
                                        CUT_ANSWER_SENT};
static const char *const point_names[] = {"before",
                                          "within",
                                          "before the Sync of",
                                          "behind",
                                          "before the answer of",
                                          "within the answer of",
                                          "behind the answer of"};
enum { N_POINTS = sizeof points / sizeof points[0] };

typedef void judge(struct fault_scene *scene, const struct cut *cut, bool is_last,
                   comrade_status status);

/* One operation with one cut, and then all of them. The comments tell which one a failure is of. */
static void run_cut(struct fault_scene *scene, const struct fault_operation *operation,
                    const struct cut *cut, bool is_last, judge *assert_right)
{
    int n_before = cutting_proxy_counts(scene->proxy).n_cuts;
    comrade_call call = fault_call(FAULT_PATIENCE_MS);
    if (operation->is_open) {
        fault_close(scene);
    }
    cutting_proxy_cut(scene->proxy, cut);
    comrade_status status = operation->run(scene, &call);
    printf("# %s, %s %s %d, %s: %s%s%s\n", operation->name, point_names[cut->at],
           cut->is_login ? "login" : "request", cut->nth, cut->how == CUT_RST ? "reset" : "closed",
           comrade_status_name(status), status == COMRADE_OK ? "" : ": ",
           status == COMRADE_OK ? "" : scene->error.message);
    assert_true(cutting_proxy_await_cuts(scene->proxy, n_before + 1));
    assert_false(comrade_call_is_over(&call)); /* it was noticed at once */
    assert_right(scene, cut, is_last, status);
    fault_assert_works(scene);
}

/* Reset and closed in turn; a write both ways. */
static void cut_at_each_point(struct fault_scene *scene, const struct fault_operation *operation,
                              struct cut cut, bool is_last, judge *assert_right)
{
    int n_ways = operation->run == fault_write ? 2 : 1;
    for (size_t i = 0; i < N_POINTS * (size_t)n_ways; i++) {
        cut.at = points[i % N_POINTS];
        cut.how = i % 2 == 0 ? CUT_RST : CUT_FIN;
        run_cut(scene, operation, &cut, is_last, assert_right);
    }
}

/* --- What is right -----------------------------------------------------------------------------
 */

static void assert_unavailable(struct fault_scene *scene, const struct cut *cut, bool is_last,
                               comrade_status status)
{
    bool is_done = is_last && cut->at == CUT_ANSWER_SENT;
    assert_int_equal(status, is_done ? COMRADE_OK : COMRADE_UNAVAILABLE);
    assert_true(is_done || strstr(scene->error.message, "connection") != NULL);
}

/* What is not so when the server has let go of the connection, will never be. */
static void assert_write_is_as_said(struct fault_scene *scene, const struct cut *cut, bool is_last,
                                    comrade_status status)
{
    fault_await_sessions(scene, 0);
    bool is_applied = fault_is_applied(scene);
    if (is_last && cut->at == CUT_ANSWER_SENT) {
        assert_int_equal(status, COMRADE_OK);
        assert_true(is_applied);
    } else if (is_last) {
        assert_int_equal(status, COMRADE_UNKNOWN);
        assert_true(is_applied || cut->at < CUT_ANSWER_UNSENT);
        assert_false(is_applied && cut->at < CUT_REQUEST_UNSYNCED);
    } else {
        /* After its last byte the next request is sent into the void, and who knows. */
        assert_true(status == COMRADE_UNAVAILABLE ||
                    (status == COMRADE_UNKNOWN && cut->at == CUT_ANSWER_SENT));
        assert_false(is_applied);
    }
}

/* --- The cuts ----------------------------------------------------------------------------------
 */

static void a_cut_in_any_request_is_told_as_it_is_and_heals(void **state)
{
    struct fault_scene *scene = *state;
    fault_assert_works(scene);
    for (size_t i = 0; i < FAULT_OPERATIONS; i++) {
        const struct fault_operation *operation = &fault_operations[i];
        for (int nth = 1; nth <= operation->n_requests; nth++) {
            struct cut cut = {.nth = nth};
            cut_at_each_point(scene, operation, cut, nth == operation->n_requests,
                              operation->run == fault_write ? assert_write_is_as_said
                                                            : assert_unavailable);
        }
    }
}

/* Behind the login's answer comes a request that cannot be sent. */
static void a_cut_in_the_login_of_any_operation_is_an_unavailable_store(void **state)
{
    struct fault_scene *scene = *state;
    fault_assert_works(scene);
    for (size_t i = 0; i < FAULT_OPERATIONS; i++) {
        struct cut cut = {.nth = 1, .is_login = true, .at = points[i % N_POINTS]};
        cutting_proxy_cut_all(scene->proxy, CUT_RST);
        fault_await_sessions(scene, 0);
        run_cut(scene, &fault_operations[i], &cut, false, assert_unavailable);
    }
    cut_at_each_point(scene, &fault_operations[0], (struct cut){.nth = 1, .is_login = true}, false,
                      assert_unavailable);
}

/* Half a schema would be one that nobody can use. */
static void a_cut_while_the_schema_is_made_leaves_all_of_it_or_none(void **state)
{
    struct fault_scene *scene = *state;
    for (size_t i = 0; i < N_POINTS; i++) {
        /* The first asks for the version, the second ends the transaction in which that failed. */
        struct cut cut = {.at = points[i], .how = CUT_RST, .nth = 3};
        comrade_call call = fault_call(FAULT_PATIENCE_MS);
        postgres_server_run(scene->server, scene->direct, "DROP SCHEMA comrade CASCADE");
        cutting_proxy_cut(scene->proxy, &cut);
        comrade_status status = fault_operations[0].run(scene, &call);
        assert_int_equal(status, cut.at == CUT_ANSWER_SENT ? COMRADE_OK : COMRADE_UNAVAILABLE);
        fault_await_sessions(scene, 0);
        long long n_tables =
            postgres_server_number(scene->server, scene->direct,
                                   "SELECT count(*) FROM pg_tables WHERE schemaname = 'comrade'");
        assert_true(n_tables == 0 || n_tables == 6);
        assert_true(n_tables == 6 || cut.at < CUT_ANSWER_UNSENT);
        fault_close(scene);
        fault_open(scene);
        assert_int_equal(contract_put(&postgres_driver, scene->store, "app", "elder", 1, 1),
                         COMRADE_OK);
        fault_assert_works(scene);
        fault_close(scene);
    }
}

/* --- What lies idle ----------------------------------------------------------------------------
 */

static void a_connection_that_died_idle_is_not_noticed_by_any_operation(void **state)
{
    struct fault_scene *scene = *state;
    fault_assert_works(scene);
    for (size_t i = 0; i < FAULT_OPERATIONS; i++) {
        comrade_call call = fault_call(FAULT_PATIENCE_MS);
        if (fault_operations[i].is_open) {
            continue;
        }
        cutting_proxy_cut_all(scene->proxy, i % 2 == 0 ? CUT_RST : CUT_FIN);
        fault_await_sessions(scene, 0);
        assert_int_equal(fault_operations[i].run(scene, &call), COMRADE_OK);
        fault_await_sessions(scene, 1);
    }
}

static void a_watch_whose_connection_died_says_so_at_once(void **state)
{
    struct fault_scene *scene = *state;
    fault_open(scene);
    for (int how = CUT_RST; how <= CUT_FIN; how++) {
        comrade_call call = fault_call(FAULT_PATIENCE_MS);
        int fd = postgres_driver.watch(scene->store, &call, &scene->error);
        assert_true(fd >= 0);
        assert_int_equal(fault_drain(scene), COMRADE_OK);
        cutting_proxy_cut_all(scene->proxy, (enum cut_how)how);
        assert_true(comrade_call_wait(&call, fd, POLLIN) > 0);
        assert_int_equal(fault_drain(scene), COMRADE_UNAVAILABLE);
        assert_non_null(strstr(scene->error.message, "connection was lost"));
        assert_int_equal(fault_drain(scene), COMRADE_UNAVAILABLE);
        fault_assert_works(scene);
    }
}

/* The same descriptor tells of a connection that another operation has found to be dead. */
static void a_watch_ends_when_another_operation_lost_the_connection(void **state)
{
    struct fault_scene *scene = *state;
    fault_open(scene);
    comrade_call call = fault_call(FAULT_PATIENCE_MS);
    int fd = postgres_driver.watch(scene->store, &call, &scene->error);
    cutting_proxy_cut(scene->proxy, &(struct cut){.at = CUT_ANSWER_UNSENT});
    assert_int_equal(fault_operations[1].run(scene, &call), COMRADE_UNAVAILABLE);
    assert_int_equal(fault_operations[1].run(scene, &call), COMRADE_OK);
    assert_true(comrade_call_wait(&call, fd, POLLIN) > 0);
    assert_int_equal(fault_drain(scene), COMRADE_UNAVAILABLE);
}

/* --- Sessions that the server ends, and says so ------------------------------------------------
 */

/* The function can wait for the end by itself from PostgreSQL 14 on. */
static void end_session(struct fault_scene *scene)
{
    static const char sessions[] =
        "FROM pg_stat_activity WHERE usename = 'comrade' AND datname = current_database()";
    char sql[256];
    snprintf(sql, sizeof sql, "SELECT pg_terminate_backend(pid) %s", sessions);
    postgres_server_run(scene->server, scene->direct, sql);
    snprintf(sql, sizeof sql, "SELECT count(*) %s", sessions);
    while (postgres_server_number(scene->server, scene->direct, sql) > 0) {
    }
    cutting_proxy_release(scene->proxy);
}

static void *end_session_between(void *scene)
{
    cutting_proxy_await_cuts(((struct fault_scene *)scene)->proxy, 1);
    end_session(scene);
    return NULL;
}

/* The server has committed, and waits for the end of the request to say so. */
static void *end_session_behind_commit(void *user)
{
    struct fault_scene *scene = user;
    bool is_held = cutting_proxy_await_cuts(scene->proxy, 1);
    for (int i = 0; i < FAULT_PATIENCE_MS && is_held && !fault_is_applied(scene); i++) {
        poll(NULL, 0, 1);
    }
    end_session(scene);
    return NULL;
}

/* Holds the second request of a write where `at` says, while `end` ends its session. */
static comrade_status write_and_end(struct fault_scene *scene, enum cut_point at,
                                    void *(*end)(void *user))
{
    pthread_t thread;
    fault_open(scene);
    comrade_call call = fault_call(FAULT_PATIENCE_MS);
    cutting_proxy_cut(scene->proxy, &(struct cut){.at = at, .how = CUT_HOLD, .nth = 2});
    assert_int_equal(pthread_create(&thread, NULL, end, scene), 0);
    comrade_status status = fault_write(scene, &call);
    pthread_join(thread, NULL);
    return status;
}

static void a_session_ended_between_the_requests_of_a_write_has_written_nothing(void **state)
{
    struct fault_scene *scene = *state;
    assert_int_equal(write_and_end(scene, CUT_REQUEST_UNSENT, end_session_between),
                     COMRADE_UNAVAILABLE);
    assert_non_null(strstr(scene->error.message, "the server is being shut down"));
    assert_false(fault_is_applied(scene));
    fault_assert_works(scene);
}

static void a_session_ended_behind_its_commit_has_written_all(void **state)
{
    struct fault_scene *scene = *state;
    assert_int_equal(write_and_end(scene, CUT_REQUEST_UNSYNCED, end_session_behind_commit),
                     COMRADE_OK);
    assert_true(fault_is_applied(scene));
    fault_assert_works(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_CASE(a_cut_in_any_request_is_told_as_it_is_and_heals),
        FAULT_CASE(a_cut_in_the_login_of_any_operation_is_an_unavailable_store),
        FAULT_CASE(a_cut_while_the_schema_is_made_leaves_all_of_it_or_none),
        FAULT_CASE(a_connection_that_died_idle_is_not_noticed_by_any_operation),
        FAULT_CASE(a_watch_whose_connection_died_says_so_at_once),
        FAULT_CASE(a_watch_ends_when_another_operation_lost_the_connection),
        FAULT_CASE(a_session_ended_between_the_requests_of_a_write_has_written_nothing),
        FAULT_CASE(a_session_ended_behind_its_commit_has_written_all),
    };
    fault_server = postgres_server_start(NULL);
    if (fault_server == NULL) {
        return postgres_server_skip_tests(tests, sizeof tests / sizeof tests[0]);
    }
    int failed = cmocka_run_group_tests_name("postgres_cuts", tests, NULL, NULL);
    postgres_server_stop(fault_server);
    return failed;
}
