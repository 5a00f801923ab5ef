/*
 * The queue of notifications, which all databases of a server share, and which a single session
 * fills that listens and ends no transaction. What is asked is committed all the same: the
 * heartbeat tells of it. And the queue is not cleared by itself once that session is gone.
 *
 * It has 8 GB, and less only where it can be set: from PostgreSQL 17 on.
 */
#include "contract/cases.h"
#include "lib/postgres_server.h"
#include "store/postgres/postgres.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION_WITH_A_LIMIT = 17, FILL_MAX = 1000, HEAR_MS = 10000, SILENT_MS = 200 };

static struct postgres_server *server;
static const char *const settings[] = {"max_notify_queue_pages=64", NULL};

static bool is_told;

static void on_change(void *user, const char *role, const char *id)
{
    (void)user;
    (void)role;
    (void)id;
    is_told = true;
}

static void on_resync(void *user)
{
    (void)user;
    is_told = true;
}

static bool hear(comrade_store *store, int fd, int patience_ms)
{
    const comrade_watch_sink sink = {on_change, on_resync, NULL};
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    is_told = false;
    while (!is_told && poll(&ready, 1, patience_ms) > 0) {
        assert_int_equal(postgres_driver.drain(store, &sink, NULL), COMRADE_OK);
    }
    return is_told;
}

static int watch(comrade_store *store, comrade_error *error)
{
    comrade_call call = contract_call();
    return postgres_driver.watch(store, &call, error);
}

/* --- A queue that is full ----------------------------------------------------------------------
 */

static PGconn *connect_to(const char *url)
{
    PGconn *connection = PQconnectdb(url);
    assert_int_equal(PQstatus(connection), CONNECTION_OK);
    return connection;
}

/* Runs SQL; the SQLSTATE if it failed, else "". */
static void run(PGconn *connection, const char *sql, char sql_state[6])
{
    PGresult *result = PQexec(connection, sql);
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    memset(sql_state, '\0', 6);
    if (state != NULL) {
        memcpy(sql_state, state, 5);
    }
    PQclear(result);
}

/* The session that keeps what is in the queue; it is full until that is finished. */
static PGconn *fill_queue(const char *url)
{
    char sql_state[6];
    PGconn *holder = connect_to(url);
    run(holder, "LISTEN elsewhere", sql_state);
    assert_string_equal(sql_state, "");
    run(holder, "BEGIN; SELECT 1", sql_state);
    assert_string_equal(sql_state, "");
    PGconn *filler = connect_to(url);
    for (int i = 0; i < FILL_MAX && sql_state[0] == '\0'; i++) {
        run(filler, "SELECT pg_notify('elsewhere', repeat('x', 7900))", sql_state);
    }
    assert_string_equal(sql_state, "54000");
    PQfinish(filler);
    return holder;
}

static void free_queue(PGconn *holder)
{
    char sql_state[6];
    run(holder, "ROLLBACK; UNLISTEN *", sql_state);
    assert_string_equal(sql_state, "");
    PQfinish(holder);
}

struct queue {
    char url[POSTGRES_URL_SIZE];
    comrade_store *store;
    comrade_store *other;
};

static void make_stores(struct queue *queue)
{
    postgres_server_fresh_database(server, queue->url);
    queue->store = contract_must_open(&postgres_driver, queue->url, "");
    queue->other = contract_must_open(&postgres_driver, queue->url, "");
    contract_put(&postgres_driver, queue->store, "app", "a", 100, 1);
}

static void close_stores(struct queue *queue)
{
    postgres_driver.close(queue->store);
    postgres_driver.close(queue->other);
}

static void need_a_limit(void)
{
    if (postgres_server_version(server) < VERSION_WITH_A_LIMIT) {
        skip();
    }
}

static void a_full_queue_holds_up_no_request(void **state)
{
    struct queue queue;
    (void)state;
    need_a_limit();
    make_stores(&queue);
    int fd = watch(queue.store, NULL);
    assert_true(fd >= 0);
    PGconn *holder = fill_queue(queue.url);
    assert_int_equal(put_request(&postgres_driver, queue.other, "app", "a", 100).status,
                     COMRADE_OK);
    assert_false(hear(queue.store, fd, SILENT_MS));
    assert_true(beat(&postgres_driver, queue.store, "a", 100, NULL).request_revision > 0);
    free_queue(holder);
    close_stores(&queue);
}

static void note_queue(void *user, bool is_problem, const char *text)
{
    bool *is_full = user;
    *is_full |= is_problem && strstr(text, "queue of notifications is") != NULL;
}

static void a_check_says_that_it_is_full(void **state)
{
    struct queue queue;
    bool is_full = false;
    (void)state;
    need_a_limit();
    make_stores(&queue);
    PGconn *holder = fill_queue(queue.url);
    comrade_call call = contract_call();
    assert_int_equal(postgres_driver.check(queue.store, &call, note_queue, &is_full, NULL),
                     COMRADE_OK);
    assert_true(is_full);
    free_queue(holder);
    is_full = false;
    assert_int_equal(postgres_driver.check(queue.store, &call, note_queue, &is_full, NULL),
                     COMRADE_OK);
    assert_false(is_full);
    close_stores(&queue);
}

static void a_queue_that_is_free_again_is_used_again(void **state)
{
    struct queue queue;
    (void)state;
    need_a_limit();
    make_stores(&queue);
    int fd = watch(queue.store, NULL);
    free_queue(fill_queue(queue.url));
    /* Nobody but the first who cannot announce anything notices that it is free. */
    put_request(&postgres_driver, queue.other, "app", "a", 100);
    put_request(&postgres_driver, queue.other, "app", "a", 100);
    assert_true(hear(queue.store, fd, HEAR_MS));
    close_stores(&queue);
}

static void who_begins_to_watch_says_that_it_is_full_and_later_finds_it_free(void **state)
{
    struct queue queue;
    comrade_error error = {0};
    (void)state;
    need_a_limit();
    make_stores(&queue);
    PGconn *holder = fill_queue(queue.url);
    assert_int_equal(watch(queue.store, &error), -1);
    assert_non_null(strstr(error.message, "NOTIFY queue"));
    free_queue(holder);
    int fd = watch(queue.store, &error);
    assert_true(fd >= 0);
    put_request(&postgres_driver, queue.other, "app", "a", 100);
    assert_true(hear(queue.store, fd, HEAR_MS));
    close_stores(&queue);
}

/* --- On every version --------------------------------------------------------------------------
 */

/* A trigger that is put off to the end of the transaction fails the first commit as a full queue
   does. A sequence is not rolled back. */
static const char fail_once_sql[] =
    "CREATE SEQUENCE public.n;"
    "CREATE FUNCTION public.fail_once() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$"
    " BEGIN IF nextval('public.n') = 1 THEN RAISE program_limit_exceeded; END IF; RETURN NULL; END"
    " $$;"
    "CREATE CONSTRAINT TRIGGER fail_once AFTER UPDATE ON comrade.role"
    " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.fail_once()";

static void what_cannot_be_announced_is_committed_without(void **state)
{
    struct queue queue;
    (void)state;
    make_stores(&queue);
    int fd = watch(queue.store, NULL);
    hear(queue.store, fd, SILENT_MS);
    postgres_server_run(server, queue.url, fail_once_sql);
    assert_int_equal(put_request(&postgres_driver, queue.other, "app", "a", 100).status,
                     COMRADE_OK);
    assert_int_equal(postgres_server_number(server, queue.url, "SELECT last_value FROM public.n"),
                     2);
    assert_false(hear(queue.store, fd, SILENT_MS));
    assert_true(beat(&postgres_driver, queue.store, "a", 100, NULL).request_revision > 0);
    put_request(&postgres_driver, queue.other, "app", "a", 100);
    assert_true(hear(queue.store, fd, HEAR_MS));
    close_stores(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_queue_holds_up_no_request),
        cmocka_unit_test(a_check_says_that_it_is_full),
        cmocka_unit_test(a_queue_that_is_free_again_is_used_again),
        cmocka_unit_test(who_begins_to_watch_says_that_it_is_full_and_later_finds_it_free),
        cmocka_unit_test(what_cannot_be_announced_is_committed_without),
    };
    server = postgres_server_start(NULL);
    if (server == NULL) {
        return postgres_server_skip_tests(tests, sizeof tests / sizeof tests[0]);
    }
    if (postgres_server_version(server) >= VERSION_WITH_A_LIMIT) {
        postgres_server_stop(server);
        server = postgres_server_start(&(struct postgres_options){.settings = settings});
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    postgres_server_stop(server);
    return failed;
}
