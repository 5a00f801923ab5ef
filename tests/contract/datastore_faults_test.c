/*
 * What the driver makes of a Datastore that answers an error, or does not answer, at any step: a
 * write that may have been applied is never said not to be.
 */
#include "contract/cases.h"
#include "lib/datastore_server.h"
#include "store/datastore/internal.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static struct datastore_server *server;

static comrade_store *open_fresh(void)
{
    char url[DATASTORE_URL_SIZE];
    datastore_server_fresh_url(server, url);
    return contract_must_open(&datastore_driver, url, "");
}

/* Closes, and forgets the faults that did not come. */
static void close_store(comrade_store *store)
{
    datastore_server_tell(server, "faults clear");
    datastore_driver.close(store);
}

/* --- Writes ------------------------------------------------------------------------------------
 */

/* Writes that bump a role each, 1000 in all: three commits. */
enum { MANY = 1000 };

static comrade_status bump_many(comrade_store *store, size_t n, comrade_error *error)
{
    static char roles[MANY][16];
    static comrade_write writes[MANY];
    static comrade_write_result results[MANY];
    for (size_t i = 0; i < n; i++) {
        snprintf(roles[i], sizeof roles[i], "role-%04zu", i);
        writes[i] = (comrade_write){.role = roles[i], .expect_revision = COMRADE_ANYTHING};
    }
    comrade_call call = contract_call();
    return datastore_driver.write(store, &call, writes, n, results, error);
}

static void an_error_after_the_commit_leaves_it_unknown(void **state)
{
    (void)state;
    static const int codes[] = {500, 503, 504};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        comrade_store *store = open_fresh();
        assert_int_equal(contract_put(&datastore_driver, store, "web", "a", 1, 1), COMRADE_OK);
        int64_t before = revision_of(&datastore_driver, store, "role-0000");
        datastore_server_tell(server, "fault commit 1 status %d after", codes[i]);
        comrade_error error = {0};
        assert_int_equal(bump_many(store, 1, &error), COMRADE_UNKNOWN);
        assert_non_null(strstr(error.message, "it may have been applied"));
        assert_int_not_equal(revision_of(&datastore_driver, store, "role-0000"), before);
        close_store(store);
    }
}

static void an_error_that_says_nothing_was_done_is_believed(void **state)
{
    (void)state;
    static const struct {
        int code;
        comrade_status status;
    } refusals[] = {{429, COMRADE_UNAVAILABLE}, {403, COMRADE_DENIED}, {400, COMRADE_UNAVAILABLE}};
    comrade_store *store = open_fresh();
    assert_int_equal(contract_put(&datastore_driver, store, "web", "a", 1, 1), COMRADE_OK);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        datastore_server_tell(server, "fault commit 1 status %d", refusals[i].code);
        assert_int_equal(bump_many(store, 1, NULL), refusals[i].status);
        assert_int_equal(revision_of(&datastore_driver, store, "role-0000"), 0);
    }
    close_store(store);
}

/* What failed for the later ones says nothing of the first. */
static void a_batch_that_fails_amid_is_unknown(void **state)
{
    (void)state;
    static const char *const faults[] = {"lookup 1 status 403", "commit 1 status 429",
                                         "commit 1 status 403", "commit 1 status 400"};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        comrade_store *store = open_fresh();
        assert_int_equal(contract_put(&datastore_driver, store, "web", "a", 1, 1), COMRADE_OK);
        datastore_server_tell(server, "fault %.*s 1 delay 0", 6, faults[i]);
        datastore_server_tell(server, "fault %s", faults[i]);
        assert_int_equal(bump_many(store, MANY, NULL), COMRADE_UNKNOWN);
        assert_int_not_equal(revision_of(&datastore_driver, store, "role-0000"), 0);
        assert_int_equal(revision_of(&datastore_driver, store, "role-0999"), 0);
        close_store(store);
    }
}

static void a_read_that_is_aborted_is_read_again(void **state)
{
    (void)state;
    comrade_store *store = open_fresh();
    datastore_server_tell(server, "fault lookup 3 status 409");
    assert_int_equal(contract_put(&datastore_driver, store, "web", "a", 1, 1), COMRADE_OK);
    datastore_server_tell(server, "fault lookup 3 status 409");
    assert_true(revision_of(&datastore_driver, store, "web") > 0);
    close_store(store);
}

/* --- What a server does at times ----------------------------------------------------------------
 */

/* How many requests a heartbeat takes. */
static long long beat_once(comrade_store *store, const char *id)
{
    datastore_server_reset_counts(server);
    beat(&datastore_driver, store, id, 1, NULL);
    return datastore_server_count(server, "calls");
}

static void a_collision_of_the_probe_says_nothing_of_the_server(void **state)
{
    (void)state;
    for (int n = 0; n < 6; n++) {
        comrade_store *store = open_fresh();
        for (int passed = 0; passed < n; passed++) {
            datastore_server_tell(server, "fault commit 1 delay 0");
        }
        datastore_server_tell(server, "fault commit 2 status 409");
        assert_int_equal(contract_put(&datastore_driver, store, "web", "a", 1, 1), COMRADE_OK);
        assert_int_equal(beat_once(store, "a"), 1);
        close_store(store);
    }
}

static void a_probe_that_collides_for_ever_is_made_again(void **state)
{
    (void)state;
    comrade_store *store = open_fresh();
    datastore_server_tell(server, "fault commit 6 status 409");
    assert_int_equal(bump_many(store, 1, NULL), COMRADE_UNAVAILABLE);
    assert_int_equal(contract_put(&datastore_driver, store, "web", "a", 1, 1), COMRADE_OK);
    assert_int_equal(beat_once(store, "a"), 1);
    close_store(store);
}

static void reads_in_many_answers_are_whole(void **state)
{
    (void)state;
    comrade_store *store = open_fresh();
    static const char *const ids[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < 4; i++) {
        contract_put(&datastore_driver, store, i < 2 ? "db" : "web", ids[i], 1, 1);
    }
    datastore_server_tell(server, "set lookup_max 1");
    datastore_server_tell(server, "set batch_max 1");
    const comrade_snapshot_query queries[] = {
        {.scope = COMRADE_SCOPE_IDS, .ids = ids, .n_ids = 4, .limit = 100},
        {.scope = COMRADE_SCOPE_IDS, .ids = ids, .n_ids = 4, .limit = 3},
        {.scope = COMRADE_SCOPE_ALL, .limit = 100},
        {.scope = COMRADE_SCOPE_ALL, .limit = 1}};
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        struct snapshot snapshot;
        look(&datastore_driver, store, &queries[i], &snapshot);
        assert_int_equal(snapshot.n_records, 4);
        assert_int_equal(snapshot.n_roles, 2);
        assert_true(snapshot.roles[0].revision > 0 && snapshot.roles[1].revision > 0);
        snapshot_finish(&snapshot);
    }
    comrade_beat beats[] = {{"a", 1}, {"b", 1}, {"c", 1}, {"d", 1}};
    comrade_beat_result results[4];
    comrade_beat_summary summary;
    comrade_call call = contract_call();
    assert_int_equal(datastore_driver.heartbeat(store, &call, beats, 4, results, &summary, NULL),
                     COMRADE_OK);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(results[i].status, COMRADE_OK);
    }
    datastore_server_tell(server, "set lookup_max 1000");
    datastore_server_tell(server, "set batch_max 300");
    close_store(store);
}

static void *put_soon(void *other)
{
    poll(NULL, 0, 100);
    contract_put(&datastore_driver, other, "web", "b", 1, 2);
    return NULL;
}

static void *move_soon(void *other)
{
    poll(NULL, 0, 100);
    contract_put(&datastore_driver, other, "db", "b", 1, 2);
    return NULL;
}

static void a_member_that_moves_while_it_is_read_has_its_role(void **state)
{
    (void)state;
    char url[DATASTORE_URL_SIZE];
    datastore_server_fresh_url(server, url);
    comrade_store *store = contract_must_open(&datastore_driver, url, "");
    comrade_store *other = contract_must_open(&datastore_driver, url, "");
    contract_put(&datastore_driver, other, "web", "b", 1, 1);
    datastore_server_tell(server, "fault lookup 1 delay 0.4");
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, move_soon, other), 0);
    const char *id = "b";
    comrade_snapshot_query query = {.scope = COMRADE_SCOPE_IDS, .ids = &id, .n_ids = 1, .limit = 1};
    struct snapshot snapshot;
    look(&datastore_driver, store, &query, &snapshot);
    pthread_join(thread, NULL);
    assert_int_equal(snapshot.n_records, 1);
    assert_string_equal(snapshot.records[0].role, "db");
    bool is_told = false;
    for (size_t i = 0; i < snapshot.n_roles; i++) {
        is_told = is_told ||
                  (strcmp(snapshot.roles[i].role, "db") == 0 && snapshot.roles[i].revision > 0);
    }
    assert_true(is_told);
    snapshot_finish(&snapshot);
    datastore_driver.close(other);
    close_store(store);
}

/* Google does not say in which word a commit fails by a base version. */
static void a_collision_of_another_name_is_one(void **state)
{
    (void)state;
    datastore_server_tell(server, "set fail_status FAILED_PRECONDITION");
    char url[DATASTORE_URL_SIZE];
    datastore_server_fresh_url(server, url);
    comrade_store *store = contract_must_open(&datastore_driver, url, "");
    assert_int_equal(contract_put(&datastore_driver, store, "web", "a", 1, 1), COMRADE_OK);
    assert_int_equal(beat_once(store, "a"), 1);
    /* Somebody writes between the reading and the commit of the other: it is tried again. */
    comrade_store *other = contract_must_open(&datastore_driver, url, "");
    assert_int_equal(contract_put(&datastore_driver, other, "web", "b", 1, 1), COMRADE_OK);
    datastore_server_tell(server, "fault lookup 1 delay 0.3");
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, put_soon, other), 0);
    datastore_server_reset_counts(server);
    assert_int_equal(contract_put(&datastore_driver, store, "web", "a", 1, 2), COMRADE_OK);
    pthread_join(thread, NULL);
    assert_true(datastore_server_count(server, "commit") >= 3);
    datastore_server_tell(server, "set fail_status ABORTED");
    datastore_driver.close(other);
    close_store(store);
}

/* --- Older servers -----------------------------------------------------------------------------
 */

/* As of the last heartbeat or write, by the server. */
static int64_t updated_of(comrade_store *store, const char *id)
{
    comrade_snapshot_query query = {.scope = COMRADE_SCOPE_IDS, .ids = &id, .n_ids = 1, .limit = 1};
    struct snapshot snapshot;
    look(&datastore_driver, store, &query, &snapshot);
    assert_int_equal(snapshot.n_records, 1);
    int64_t updated_ms = snapshot.records[0].updated_ms;
    snapshot_finish(&snapshot);
    return updated_ms;
}

static void let_time_pass_a_little(void)
{
    poll(NULL, 0, 20);
}

static void a_server_that_is_replaced_by_an_older_one_shows_new_heartbeats(void **state)
{
    (void)state;
    static const char *const ids[] = {"a", "__b__"};
    char url[DATASTORE_URL_SIZE];
    datastore_server_fresh_url(server, url);
    comrade_store *store = contract_must_open(&datastore_driver, url, "");
    contract_put(&datastore_driver, store, "web", ids[0], 1, 1);
    contract_put(&datastore_driver, store, "web", ids[1], 1, 1);
    close_store(store);
    datastore_server_tell(server, "set base_versions false");
    store = contract_must_open(&datastore_driver, url, "");
    for (size_t i = 0; i < 2; i++) {
        int64_t before_ms = updated_of(store, ids[i]);
        let_time_pass_a_little();
        beat(&datastore_driver, store, ids[i], 1, NULL);
        assert_true(updated_of(store, ids[i]) > before_ms);
        before_ms = updated_of(store, ids[i]);
        let_time_pass_a_little();
        contract_put(&datastore_driver, store, "web", ids[i], 2, 1);
        assert_true(updated_of(store, ids[i]) > before_ms);
    }
    datastore_server_tell(server, "set base_versions true");
    close_store(store);
}

/* --- Clocks ------------------------------------------------------------------------------------
 */

/* A member of the original's, whose clock is ahead of the server's. */
static void put_original(comrade_store *store, int64_t updated_ms)
{
    char number[24];
    snprintf(number, sizeof number, "%lld", (long long)updated_ms);
    json_t *body = json_pack("{s:s,s:[{s:{s:o,s:{s:{s:s},s:{s:b},s:{s:s},s:{s:s}}}}]}", "mode",
                             "NON_TRANSACTIONAL", "mutations", "upsert", "key",
                             datastore_key(store, DATASTORE_MEMBERS, "old"), "properties", "role",
                             "stringValue", "web", "alive", "booleanValue", 1, "created",
                             "integerValue", "1", "updated", "integerValue", number);
    comrade_call call = contract_call();
    struct api_request request;
    assert_int_equal(api_ask(store, &call, "test", true, "commit", body, &request, NULL),
                     COMRADE_OK);
    assert_int_equal(request.code, API_OK);
    api_finish(&request);
}

static void a_clock_that_is_a_little_ahead_is_no_future(void **state)
{
    (void)state;
    comrade_store *store = open_fresh();
    static const struct {
        int64_t ahead_ms;
        bool is_future;
    } clocks[] = {{1000, false}, {3600 * 1000, true}};
    for (size_t i = 0; i < sizeof clocks / sizeof clocks[0]; i++) {
        comrade_call call = contract_call();
        put_original(store, datastore_now_ms(store, &call) + clocks[i].ahead_ms);
        struct snapshot snapshot;
        look_at_role(&datastore_driver, store, "web", &snapshot);
        assert_int_equal(snapshot.n_records, 1);
        assert_int_equal(snapshot.records[0].updated_ms > snapshot.now_ms, clocks[i].is_future);
        snapshot_finish(&snapshot);
    }
    close_store(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_after_the_commit_leaves_it_unknown),
        cmocka_unit_test(an_error_that_says_nothing_was_done_is_believed),
        cmocka_unit_test(a_batch_that_fails_amid_is_unknown),
        cmocka_unit_test(a_read_that_is_aborted_is_read_again),
        cmocka_unit_test(a_collision_of_the_probe_says_nothing_of_the_server),
        cmocka_unit_test(a_probe_that_collides_for_ever_is_made_again),
        cmocka_unit_test(reads_in_many_answers_are_whole),
        cmocka_unit_test(a_member_that_moves_while_it_is_read_has_its_role),
        cmocka_unit_test(a_collision_of_another_name_is_one),
        cmocka_unit_test(a_clock_that_is_a_little_ahead_is_no_future),
        cmocka_unit_test(a_server_that_is_replaced_by_an_older_one_shows_new_heartbeats),
    };
    server = datastore_server_start(NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    datastore_server_stop(server);
    return failed;
}
