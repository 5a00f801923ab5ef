/* What is done to a database by accident, and by two at the same moment. */
#include "contract/cases.h"
#include "lib/postgres_server.h"
#include "store/postgres/postgres.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { N_STORES = 20, N_ROUNDS = 6, N_CLAIMS = 100 };

static struct postgres_server *server;

struct accident {
    char url[POSTGRES_URL_SIZE];
    comrade_store *store;
};

static int set_up(void **state)
{
    struct accident *accident = calloc(1, sizeof *accident);
    if (accident == NULL) {
        return -1;
    }
    postgres_server_fresh_database(server, accident->url);
    accident->store = contract_must_open(&postgres_driver, accident->url, "");
    *state = accident;
    return 0;
}

static int tear_down(void **state)
{
    struct accident *accident = *state;
    postgres_driver.close(accident->store);
    free(accident);
    return 0;
}

/* --- Many at once -------------------------------------------------------------------------------
 */

struct caller {
    comrade_store *store;
    pthread_barrier_t *start;
    const char *role; /* of a claim; NULL: a heartbeat */
    int64_t incarnation;
    char id[32];
    comrade_status status;
    comrade_status result;
};

static void claim(struct caller *caller, const comrade_call *call)
{
    comrade_own own = own_part(caller->incarnation, 1);
    comrade_change change = anything(COMRADE_PUT_OWN, caller->id);
    change.own = &own;
    change.expect_incarnation = 0;
    comrade_write write = {caller->role, COMRADE_ANYTHING, NULL, &change, 1};
    comrade_write_result result = {.status = COMRADE_UNKNOWN};
    caller->status = postgres_driver.write(caller->store, call, &write, 1, &result, NULL);
    caller->result = result.status;
}

static void heartbeat(struct caller *caller, const comrade_call *call)
{
    comrade_beat one = {caller->id, 1};
    comrade_beat_result result = {.status = COMRADE_UNKNOWN};
    comrade_beat_summary summary;
    caller->status =
        postgres_driver.heartbeat(caller->store, call, &one, 1, &result, &summary, NULL);
    caller->result = result.status;
}

static void *call_once(void *user)
{
    struct caller *caller = user;
    pthread_barrier_wait(caller->start);
    comrade_call call = contract_call();
    if (caller->role != NULL) {
        claim(caller, &call);
    } else {
        heartbeat(caller, &call);
    }
    return NULL;
}

static void call_together(struct caller *callers, unsigned n)
{
    pthread_t threads[N_STORES];
    pthread_barrier_t start;
    assert_int_equal(pthread_barrier_init(&start, NULL, n), 0);
    for (unsigned i = 0; i < n; i++) {
        callers[i].start = &start;
        assert_int_equal(pthread_create(&threads[i], NULL, call_once, &callers[i]), 0);
    }
    for (unsigned i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_barrier_destroy(&start);
}

static void of_two_who_claim_an_id_under_two_roles_one_gets_it(void **state)
{
    struct accident *accident = *state;
    struct caller callers[2] = {
        {.store = accident->store, .role = "a", .incarnation = 100},
        {.store = contract_must_open(&postgres_driver, accident->url, ""),
         .role = "b",
         .incarnation = 200},
    };
    for (int i = 0; i < N_CLAIMS; i++) {
        snprintf(callers[0].id, sizeof callers[0].id, "x%d", i);
        snprintf(callers[1].id, sizeof callers[1].id, "x%d", i);
        call_together(callers, 2);
        assert_int_equal(callers[0].status, COMRADE_OK);
        assert_int_equal(callers[1].status, COMRADE_OK);
        bool is_first = callers[0].result == COMRADE_OK;
        assert_int_equal(callers[is_first ? 1 : 0].result, COMRADE_CONFLICT);
        assert_int_equal(callers[is_first ? 0 : 1].result, COMRADE_OK);
        comrade_beat_result told =
            beat(&postgres_driver, accident->store, callers[0].id, is_first ? 100 : 200, NULL);
        assert_int_equal(told.status, COMRADE_OK);
    }
    postgres_driver.close(callers[1].store);
}

static void after_a_dropped_schema_all_are_served_at_once(void **state)
{
    struct accident *accident = *state;
    static struct caller callers[N_STORES];
    for (int i = 0; i < N_STORES; i++) {
        callers[i] =
            (struct caller){.store = contract_must_open(&postgres_driver, accident->url, "")};
        snprintf(callers[i].id, sizeof callers[i].id, "m%d", i);
    }
    for (int round = 0; round < N_ROUNDS; round++) {
        postgres_server_run(server, accident->url, "DROP SCHEMA comrade CASCADE");
        call_together(callers, N_STORES);
        for (int i = 0; i < N_STORES; i++) {
            assert_int_equal(callers[i].status, COMRADE_OK);
            assert_int_equal(callers[i].result, COMRADE_GONE);
        }
    }
    for (int i = 0; i < N_STORES; i++) {
        postgres_driver.close(callers[i].store);
    }
}

/* --- Parts of it --------------------------------------------------------------------------------
 */

static void the_members_are_not_emptied_without_their_heartbeats(void **state)
{
    struct accident *accident = *state;
    free(postgres_server_sql_fails(server, accident->url, "TRUNCATE comrade.member"));
}

static void a_lost_heartbeat_is_written_again_with_what_was_asked(void **state)
{
    struct accident *accident = *state;
    contract_put(&postgres_driver, accident->store, "app", "a", 100, 7);
    put_request(&postgres_driver, accident->store, "app", "a", 100);
    int64_t asked = beat(&postgres_driver, accident->store, "a", 100, NULL).request_revision;
    postgres_server_run(server, accident->url, "TRUNCATE comrade.heartbeat");
    assert_int_equal(beat(&postgres_driver, accident->store, "a", 100, NULL).status, COMRADE_GONE);
    /* An earlier life is fenced all the same, and the same own part is written again. */
    assert_int_equal(contract_put(&postgres_driver, accident->store, "app", "a", 99, 1),
                     COMRADE_FENCED);
    assert_int_equal(contract_put(&postgres_driver, accident->store, "app", "a", 100, 7),
                     COMRADE_OK);
    comrade_beat_result told = beat(&postgres_driver, accident->store, "a", 100, NULL);
    assert_int_equal(told.status, COMRADE_OK);
    assert_int_equal(told.own_sequence, 7);
    assert_int_equal(told.request_revision, asked);
}

static void a_member_moves_from_a_role_whose_row_is_lost(void **state)
{
    struct accident *accident = *state;
    contract_put(&postgres_driver, accident->store, "old", "a", 100, 1);
    postgres_server_run(server, accident->url, "TRUNCATE comrade.role");
    assert_int_equal(contract_put(&postgres_driver, accident->store, "new", "a", 100, 2),
                     COMRADE_OK);
}

static void a_schema_that_forgot_its_version_is_kept_and_used(void **state)
{
    struct accident *accident = *state;
    contract_put(&postgres_driver, accident->store, "app", "a", 100, 1);
    postgres_server_run(server, accident->url, "TRUNCATE comrade.meta");
    comrade_store *another = contract_must_open(&postgres_driver, accident->url, "");
    assert_int_equal(beat(&postgres_driver, another, "a", 100, NULL).status, COMRADE_OK);
    postgres_driver.close(another);
    assert_int_equal(
        postgres_server_number(server, accident->url,
                               "SELECT value FROM comrade.meta WHERE name = 'version'"),
        1);
}

int main(void)
{
#define ACCIDENT(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ACCIDENT(of_two_who_claim_an_id_under_two_roles_one_gets_it),
        ACCIDENT(after_a_dropped_schema_all_are_served_at_once),
        ACCIDENT(the_members_are_not_emptied_without_their_heartbeats),
        ACCIDENT(a_lost_heartbeat_is_written_again_with_what_was_asked),
        ACCIDENT(a_member_moves_from_a_role_whose_row_is_lost),
        ACCIDENT(a_schema_that_forgot_its_version_is_kept_and_used),
    };
    server = postgres_server_start(NULL);
    if (server == NULL) {
        return postgres_server_skip_tests(tests, sizeof tests / sizeof tests[0]);
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    postgres_server_stop(server);
    return failed;
}
