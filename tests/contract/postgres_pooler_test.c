/* Behind PgBouncer, in each of its modes: what works, what is said, and what is left in the pool.
 */
#include "contract/postgres_logins.h"
#include "lib/postgres_pooler.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPEN_MS = 20000 };

static char database[POSTGRES_URL_SIZE];
static const char *const users[] = {"comrade", "postgres", NULL};

struct behind {
    struct postgres_pooler *pooler;
    char url[POSTGRES_URL_SIZE];
};

/* A pool of a single connection: whatever is left on it, the next client gets. */
static int set_up(void **state, const char *mode, int n_connections)
{
    struct behind *behind = calloc(1, sizeof *behind);
    if (behind == NULL) {
        return -1;
    }
    behind->pooler = postgres_pooler_start(logins_server(), mode, n_connections, users);
    postgres_server_fresh_database(logins_server(), database);
    postgres_pooler_url(behind->pooler, database, behind->url);
    *state = behind;
    return 0;
}

static int set_up_transactions(void **state)
{
    return set_up(state, "transaction", 1);
}

static int set_up_sessions(void **state)
{
    return set_up(state, "session", 3);
}

static int set_up_statements(void **state)
{
    return set_up(state, "statement", 1);
}

static int tear_down(void **state)
{
    struct behind *behind = *state;
    postgres_pooler_stop(behind->pooler);
    free(behind);
    return 0;
}

#define BEHIND(state)                                                                              \
    const struct behind *behind = *(state);                                                        \
    comrade_error error = {0}

/* All operations but the watch, twice over, by clients that share what connection there is. */
static void assert_all_works(comrade_store *const *stores, size_t n_stores)
{
    for (size_t i = 0; i < 2 * n_stores; i++) {
        comrade_store *store = stores[i % n_stores];
        char id[32];
        snprintf(id, sizeof id, "m%zu", i);
        assert_int_equal(contract_put(&postgres_driver, store, "app", id, 100, 1), COMRADE_OK);
        assert_int_equal(beat(&postgres_driver, store, id, 100, NULL).status, COMRADE_OK);
        assert_int_equal(beat(&postgres_driver, store, "none", 100, NULL).status, COMRADE_GONE);
        assert_int_equal(put_request(&postgres_driver, store, "app", id, 100).status, COMRADE_OK);
        assert_int_equal(
            put_spec(&postgres_driver, store, "app", (int64_t)i + 1, (int64_t)i, "{}").status,
            COMRADE_OK);
        assert_int_equal(contract_count(&postgres_driver, store, NULL), (long)i + 1);
    }
    comrade_change removal = anything(COMRADE_DELETE, "m0");
    assert_int_equal(write_one(&postgres_driver, stores[0], "app", &removal).status, COMRADE_OK);
}

/* What a client finds set on the connection that it is lent, beside what a new one would have. */
static char *session_state(const char *url)
{
    PGconn *connection = PQconnectdb(url);
    PGresult *rows = PQexec(
        connection,
        "SELECT current_setting('statement_timeout') || ' ' ||"
        " current_setting('idle_in_transaction_session_timeout') || ' ' ||"
        " current_setting('synchronous_commit') || ' ' || current_setting('search_path') || ' ' ||"
        " current_setting('default_transaction_isolation') || ' ' ||"
        " (SELECT count(*) FROM pg_listening_channels()) || ' ' ||"
        " (SELECT count(*) FROM pg_prepared_statements) || ' ' ||"
        " (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory')");
    assert_int_equal(PQresultStatus(rows), PGRES_TUPLES_OK);
    char *text = strdup(PQgetvalue(rows, 0, 0));
    assert_non_null(text);
    PQclear(rows);
    PQfinish(connection);
    return text;
}

/* --- Transaction pooling -----------------------------------------------------------------------
 */

static void sharing_by_transactions_all_works_but_push(void **state)
{
    BEHIND(state);
    comrade_store *stores[3];
    for (size_t i = 0; i < 3; i++) {
        stores[i] = contract_must_open(&postgres_driver, behind->url, "");
    }
    comrade_call call = contract_call();
    assert_int_equal(postgres_driver.watch(stores[0], &call, &error), -1);
    assert_non_null(strstr(error.message, "notifications do not arrive"));
    assert_non_null(strstr(error.message, "session pooling"));
    assert_all_works(stores, 3);
    for (size_t i = 0; i < 3; i++) {
        postgres_driver.close(stores[i]);
    }
}

static void nothing_that_was_set_stays_in_the_pool(void **state)
{
    BEHIND(state);
    comrade_store *store = contract_must_open(&postgres_driver, behind->url, "");
    assert_all_works(&store, 1);
    comrade_call call = contract_call();
    postgres_driver.watch(store, &call, &error);
    comrade_own own = own_part(100, 1); /* a write that fails, too */
    comrade_change change = anything(COMRADE_PUT_OWN, "bad");
    own.metadata = "[]";
    change.own = &own;
    assert_int_equal(write_one(&postgres_driver, store, "app", &change).status, COMRADE_INVALID);
    char *fresh = session_state(database);
    char *lent = session_state(behind->url);
    assert_string_equal(lent, fresh);
    free(fresh);
    free(lent);
    postgres_driver.close(store);
}

/* --- Session pooling ---------------------------------------------------------------------------
 */

static void note_change(void *user, const char *role, const char *id)
{
    assert_string_equal(role, "app");
    assert_string_equal(id, "a");
    ++*(int *)user;
}

static void note_resync(void *user)
{
    (void)user;
}

static void sharing_by_sessions_all_works(void **state)
{
    BEHIND(state);
    comrade_store *watching = contract_must_open(&postgres_driver, behind->url, "");
    comrade_store *writing = contract_must_open(&postgres_driver, behind->url, "");
    comrade_call call = contract_call();
    int fd = postgres_driver.watch(watching, &call, &error);
    if (fd < 0) {
        fail_msg("%s", error.message);
    }
    assert_int_equal(contract_put(&postgres_driver, writing, "app", "a", 100, 1), COMRADE_OK);
    int n_changes = 0;
    const comrade_watch_sink sink = {note_change, note_resync, &n_changes};
    for (int i = 0; i < 100 && n_changes == 0; i++) {
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        poll(&readable, 1, 200);
        assert_int_equal(postgres_driver.drain(watching, &sink, &error), COMRADE_OK);
    }
    assert_int_equal(n_changes, 1);
    postgres_driver.close(watching);
    postgres_driver.close(writing);
}

/* --- Statement pooling -------------------------------------------------------------------------
 */

static void assert_names_the_mode(comrade_status status, const comrade_error *error)
{
    assert_int_equal(status, COMRADE_INVALID);
    assert_non_null(strstr(error->message, "statement pooling"));
    assert_non_null(strstr(error->message, "needs transaction pooling"));
}

/* What is a transaction by itself gets through, where there is a schema. */
static void sharing_by_statements_is_refused_with_a_reason(void **state)
{
    BEHIND(state);
    comrade_store *store = NULL;
    assert_names_the_mode(logins_open(behind->url, OPEN_MS, &store, &error), &error);
    logins_run_setup_text(database);
    postgres_server_run(logins_server(), NULL, "GRANT comrade_member TO comrade");
    store = contract_must_open(&postgres_driver, behind->url, "");
    comrade_own own = own_part(100, 1);
    comrade_change change = anything(COMRADE_PUT_OWN, "a");
    change.own = &own;
    comrade_write write = {"app", COMRADE_ANYTHING, NULL, &change, 1};
    comrade_write_result result;
    comrade_call call = contract_call();
    assert_names_the_mode(postgres_driver.write(store, &call, &write, 1, &result, &error), &error);
    assert_int_equal(contract_count(&postgres_driver, store, &error), 0);
    postgres_driver.close(store);
}

/* --- The pooler itself -------------------------------------------------------------------------
 */

static void a_login_that_the_pooler_does_not_know_is_denied(void **state)
{
    BEHIND(state);
    char url[POSTGRES_URL_SIZE];
    comrade_store *store = NULL;
    snprintf(url, sizeof url, "postgres://stranger%s", strchr(behind->url, '@'));
    assert_int_equal(logins_open(url, OPEN_MS, &store, &error), COMRADE_DENIED);
    assert_non_null(strstr(error.message, "pooler"));
}

#define CASE_OF(test, set_up_it) cmocka_unit_test_setup_teardown(test, set_up_it, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE_OF(sharing_by_transactions_all_works_but_push, set_up_transactions),
        CASE_OF(nothing_that_was_set_stays_in_the_pool, set_up_transactions),
        CASE_OF(sharing_by_sessions_all_works, set_up_sessions),
        CASE_OF(sharing_by_statements_is_refused_with_a_reason, set_up_statements),
        CASE_OF(a_login_that_the_pooler_does_not_know_is_denied, set_up_transactions),
    };
    enum { N_TESTS = sizeof tests / sizeof tests[0] };
    if (!logins_start_server(NULL)) {
        return postgres_server_skip_tests(tests, N_TESTS);
    }
    struct postgres_pooler *probe = postgres_pooler_start(logins_server(), "session", 1, users);
    if (probe == NULL) {
        puts("# PgBouncer is not installed");
        logins_stop_server();
        return postgres_server_skip_tests(tests, N_TESTS);
    }
    postgres_pooler_stop(probe);
    int failed = cmocka_run_group_tests_name("postgres_pooler", tests, NULL, NULL);
    logins_stop_server();
    return failed;
}
