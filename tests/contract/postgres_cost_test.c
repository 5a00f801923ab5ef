/* What a worker costs the server: connections and round trips, counted on the way, and no index. */
#include "contract/cases.h"
#include "contract/postgres_fault_scene.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum { N_MEMBERS = 300, ID_SIZE = 16, PROOF_LIMIT_MS = 5000 };

static int turns_since_reset(struct fault_scene *scene)
{
    return cutting_proxy_counts(scene->proxy).n_turns;
}

static void one_connection_says_everything_listening_included(void **state)
{
    struct fault_scene *scene = *state;
    fault_open(scene);
    comrade_call call = fault_call(FAULT_PATIENCE_MS);
    assert_int_equal(fault_watch(scene, &call), COMRADE_OK);
    for (int i = 0; i < 3; i++) {
        call = fault_call(FAULT_PATIENCE_MS);
        assert_int_equal(fault_write(scene, &call), COMRADE_OK);
        beat(&postgres_driver, scene->store, "elder", 1, NULL);
        struct snapshot snapshot;
        look_at_role(&postgres_driver, scene->store, "app", &snapshot);
        snapshot_finish(&snapshot);
        assert_int_equal(fault_drain(scene), COMRADE_OK);
    }
    fault_await_sessions(scene, 1);
    struct cutting_counts counts = cutting_proxy_counts(scene->proxy);
    assert_int_equal(counts.n_open, 1);
    assert_int_equal(counts.n_connections, 1);
}

/* Registers them, and lists their heartbeats, sorted. */
static void make_members(struct fault_scene *scene, char ids[][ID_SIZE], comrade_beat *beats)
{
    for (int i = 0; i < N_MEMBERS; i++) {
        snprintf(ids[i], ID_SIZE, "m%04d", i);
        beats[i] = (comrade_beat){ids[i], 1};
        assert_int_equal(contract_put(&postgres_driver, scene->store, "app", ids[i], 1, 1),
                         COMRADE_OK);
    }
}

/* In full, and again when nothing has changed. */
static void a_batch_of_heartbeats_is_one_round_trip(void **state)
{
    struct fault_scene *scene = *state;
    static char ids[N_MEMBERS][ID_SIZE];
    static comrade_beat beats[N_MEMBERS];
    static comrade_beat_result results[N_MEMBERS];
    comrade_beat_summary summary;
    fault_open(scene);
    make_members(scene, ids, beats);
    for (int i = 0; i < 3; i++) {
        cutting_proxy_reset_counts(scene->proxy);
        comrade_call call = fault_call(FAULT_PATIENCE_MS);
        assert_int_equal(postgres_driver.heartbeat(scene->store, &call, beats, N_MEMBERS, results,
                                                   &summary, NULL),
                         COMRADE_OK);
        assert_int_equal(turns_since_reset(scene), 1);
    }
}

static void a_write_is_two_round_trips_and_a_page_one(void **state)
{
    struct fault_scene *scene = *state;
    fault_open(scene);
    cutting_proxy_reset_counts(scene->proxy);
    comrade_call call = fault_call(FAULT_PATIENCE_MS);
    assert_int_equal(fault_write(scene, &call), COMRADE_OK);
    assert_int_equal(turns_since_reset(scene), 2);
    cutting_proxy_reset_counts(scene->proxy);
    struct snapshot snapshot;
    look_at_role(&postgres_driver, scene->store, "app", &snapshot);
    snapshot_finish(&snapshot);
    assert_int_equal(turns_since_reset(scene), 1);
}

/* An index on what a heartbeat writes would move every row that is refreshed. */
static void no_index_covers_what_a_heartbeat_writes(void **state)
{
    struct fault_scene *scene = *state;
    fault_open(scene);
    assert_int_equal(
        postgres_server_number(scene->server, scene->direct,
                               "SELECT count(*) FROM pg_index i JOIN pg_attribute a"
                               " ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)"
                               " WHERE i.indrelid = 'comrade.heartbeat'::regclass AND a.attname "
                               "NOT IN ('cluster', 'id')"),
        0);
    enum { N_BEATS = 200 };
    for (int i = 0; i < N_BEATS; i++) {
        beat(&postgres_driver, scene->store, "elder", 1, NULL);
    }
    /* A session tells what it has done at the latest when it ends. */
    fault_close(scene);
    long long n_updates = 0;
    for (int waited_ms = 0; n_updates < N_BEATS && waited_ms < PROOF_LIMIT_MS; waited_ms += 20) {
        poll(NULL, 0, 20);
        n_updates = postgres_server_number(scene->server, scene->direct,
                                           "SELECT n_tup_upd FROM pg_stat_all_tables"
                                           " WHERE relid = 'comrade.heartbeat'::regclass");
    }
    assert_true(n_updates >= N_BEATS);
    assert_int_equal(postgres_server_number(scene->server, scene->direct,
                                            "SELECT n_tup_upd - n_tup_hot_upd FROM"
                                            " pg_stat_all_tables"
                                            " WHERE relid = 'comrade.heartbeat'::regclass"),
                     0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_CASE(one_connection_says_everything_listening_included),
        FAULT_CASE(a_batch_of_heartbeats_is_one_round_trip),
        FAULT_CASE(a_write_is_two_round_trips_and_a_page_one),
        FAULT_CASE(no_index_covers_what_a_heartbeat_writes),
    };
    fault_server = postgres_server_start(NULL);
    if (fault_server == NULL) {
        return postgres_server_skip_tests(tests, sizeof tests / sizeof tests[0]);
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    postgres_server_stop(fault_server);
    return failed;
}
