/*
 * What the original, comrade@0.0.3, did wrong, a test each. Those that are told elsewhere:
 * namespaces and createMember in cluster_test.c, who counts as living and minimums in
 * tests/unit/operation_test.c, clocks and wiped records in tests/sim.
 */
#include "cluster/internal.h"
#include "store/memory/memory.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PATIENCE_MS = 20000, MANY = 100000 };

/* --- A store that counts its calls ------------------------------------------------------------ */

static atomic_int n_heartbeats, n_writes, n_snapshots;
static atomic_bool is_down;

static comrade_status counted_heartbeat(comrade_store *store, const comrade_call *call,
                                        const comrade_beat *beats, size_t n,
                                        comrade_beat_result *results, comrade_beat_summary *summary,
                                        comrade_error *error)
{
    n_heartbeats++;
    return is_down ? comrade_error_set(error, COMRADE_UNAVAILABLE, "count: is down")
                   : memory_driver.heartbeat(store, call, beats, n, results, summary, error);
}

static comrade_status counted_write(comrade_store *store, const comrade_call *call,
                                    const comrade_write *writes, size_t n,
                                    comrade_write_result *results, comrade_error *error)
{
    n_writes++;
    return is_down ? comrade_error_set(error, COMRADE_UNAVAILABLE, "count: is down")
                   : memory_driver.write(store, call, writes, n, results, error);
}

static comrade_status counted_snapshot(comrade_store *store, const comrade_call *call,
                                       const comrade_snapshot_query *query,
                                       const comrade_cursor *from,
                                       const comrade_snapshot_sink *sink,
                                       comrade_snapshot_page *page, comrade_error *error)
{
    n_snapshots++;
    return is_down ? comrade_error_set(error, COMRADE_UNAVAILABLE, "count: is down")
                   : memory_driver.snapshot(store, call, query, from, sink, page, error);
}

static comrade_store_driver counted;

static int register_counted(void **state)
{
    (void)state;
    counted = memory_driver;
    counted.scheme = "count";
    counted.heartbeat = counted_heartbeat;
    counted.write = counted_write;
    counted.snapshot = counted_snapshot;
    return comrade_store_register(&counted) == COMRADE_OK ? 0 : -1;
}

/* --- Helpers ---------------------------------------------------------------------------------- */

struct scene {
    comrade_cluster *cluster;
    comrade_client *client;
    int events[16];
};

static void on_event(void *user, const comrade_event *event)
{
    ((struct scene *)user)->events[event->kind]++;
}

static void open_scene(struct scene *scene, const char *store, const char *kind)
{
    comrade_cluster_options options = COMRADE_CLUSTER_OPTIONS_INIT;
    memset(scene, 0, sizeof *scene);
    options.store = store;
    options.kind = kind;
    options.heartbeat_ms = 200;
    assert_int_equal(comrade_cluster_open(&options, &scene->cluster, NULL), COMRADE_OK);
    assert_int_equal(comrade_client_new(scene->cluster, NULL, &scene->client, NULL), COMRADE_OK);
}

static void close_scene(struct scene *scene)
{
    comrade_client_free(scene->client);
    comrade_cluster_close(scene->cluster);
}

static void wait_for(struct scene *scene, comrade_event_kind kind, int count)
{
    for (int left_ms = PATIENCE_MS; scene->events[kind] < count; left_ms -= 20) {
        assert_true(left_ms > 0);
        struct pollfd ready = {.fd = comrade_cluster_fd(scene->cluster), .events = POLLIN};
        poll(&ready, 1, 20);
        comrade_cluster_dispatch(scene->cluster);
    }
}

static comrade_member *start(struct scene *scene, const char *id)
{
    comrade_member_options options = COMRADE_MEMBER_OPTIONS_INIT;
    options.role = "app";
    options.id = id;
    options.on_event = on_event;
    options.user = scene;
    comrade_member *member = NULL;
    int before = scene->events[COMRADE_EVENT_REGISTERED];
    assert_int_equal(comrade_member_new(scene->cluster, &options, &member, NULL), COMRADE_OK);
    comrade_member_start(member, NULL);
    wait_for(scene, COMRADE_EVENT_REGISTERED, before + 1);
    return member;
}

static comrade_member_data fetch(comrade_member *member)
{
    comrade_members *members = NULL;
    assert_int_equal(comrade_member_fetch(member, PATIENCE_MS, &members, NULL), COMRADE_OK);
    comrade_member_data data = *comrade_members_at(members, 0);
    comrade_members_free(members);
    return data; /* its numbers; the texts are gone */
}

/* --- The regressions -------------------------------------------------------------------------- */

static void a_heartbeat_is_one_round_trip(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, "count:one", NULL);
    comrade_member *member = start(&scene, "app-1");
    for (int i = 0; i < 20; i++) { /* what follows the registration has been read by then */
        assert_int_equal(comrade_member_update(member, PATIENCE_MS, NULL), COMRADE_OK);
    }
    int writes = n_writes;
    int snapshots = n_snapshots;
    int heartbeats = n_heartbeats;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(comrade_member_update(member, PATIENCE_MS, NULL), COMRADE_OK);
    }
    /* Something may still follow from the registration, but nothing with each heartbeat. */
    assert_true(n_writes < writes + 5);
    assert_true(n_snapshots < snapshots + 5);
    assert_true(n_heartbeats >= heartbeats + 20);
    comrade_member_free(member);
    close_scene(&scene);
}

static void zombify_works_on_a_custom_kind(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, "memory:kind", "Custom");
    comrade_member *member = start(&scene, "app-1");
    assert_int_equal(comrade_client_zombify(scene.client, "app-1", NULL, PATIENCE_MS, NULL),
                     COMRADE_OK);
    assert_false(fetch(member).is_alive);
    assert_int_equal(comrade_client_zombify(scene.client, "app-9", NULL, PATIENCE_MS, NULL),
                     COMRADE_NOT_FOUND);
    comrade_member_free(member);
    close_scene(&scene);
}

static void a_second_kill_does_not_move_the_shutdown_date(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, "memory:second", NULL);
    comrade_member *member = start(&scene, "app-1");
    assert_int_equal(comrade_client_kill(scene.client, "app-1", NULL, PATIENCE_MS, NULL),
                     COMRADE_OK);
    int64_t first_ms = fetch(member).shutdown_ms;
    assert_true(first_ms > 0);
    wait_for(&scene, COMRADE_EVENT_SHUTDOWN, 1);
    assert_int_equal(comrade_client_kill(scene.client, "app-1", NULL, PATIENCE_MS, NULL),
                     COMRADE_OK);
    assert_int_equal(fetch(member).shutdown_ms, first_ms);
    comrade_member_free(member);
    close_scene(&scene);
}

static void a_long_drain_keeps_its_heartbeat(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, "count:drain", NULL);
    comrade_member *member = start(&scene, "app-1");
    assert_int_equal(comrade_client_kill(scene.client, "app-1", NULL, PATIENCE_MS, NULL),
                     COMRADE_OK);
    wait_for(&scene, COMRADE_EVENT_SHUTDOWN, 1);
    int heartbeats = n_heartbeats;
    for (int left_ms = PATIENCE_MS; n_heartbeats < heartbeats + 3; left_ms -= 10) {
        assert_true(left_ms > 0);
        poll(NULL, 0, 10);
    }
    comrade_member_data data = fetch(member);
    assert_false(data.is_alive);
    assert_true(data.is_healthy);
    comrade_member_free(member);
    close_scene(&scene);
}

static void a_store_that_fails_is_told_once_and_heartbeats_go_on(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, "count:fails", NULL);
    comrade_member *member = start(&scene, "app-1");
    is_down = true;
    wait_for(&scene, COMRADE_EVENT_ERROR, 1);
    int heartbeats = n_heartbeats;
    for (int left_ms = PATIENCE_MS; n_heartbeats < heartbeats + 3; left_ms -= 10) {
        assert_true(left_ms > 0);
        poll(NULL, 0, 10);
        comrade_cluster_dispatch(scene.cluster);
    }
    assert_int_equal(scene.events[COMRADE_EVENT_ERROR], 1);
    is_down = false;
    wait_for(&scene, COMRADE_EVENT_RESTORED, 1);
    assert_int_equal(scene.events[COMRADE_EVENT_SHUTDOWN], 0);
    comrade_member_free(member);
    close_scene(&scene);
}

static void a_deleted_record_is_written_again_whole(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, "memory:deleted", NULL);
    comrade_member *member = start(&scene, "app-1");
    comrade_member_data before = fetch(member);
    comrade_store_config config = {.size = sizeof config,
                                   .url = "memory:deleted",
                                   .name_space = "",
                                   .kind = "ComradeServer",
                                   .wall_ms = env_system.wall_ms};
    comrade_store *store = NULL;
    assert_int_equal(memory_driver.open(&config, NULL, &store, NULL), COMRADE_OK);
    memory_wipe(store);
    wait_for(&scene, COMRADE_EVENT_LOST, 1);
    wait_for(&scene, COMRADE_EVENT_RESTORED, 1);
    comrade_members *members = NULL;
    comrade_query query = COMRADE_QUERY_INIT;
    query.role = "app"; /* with its role, which the original lost */
    assert_int_equal(comrade_client_get_members(scene.client, &query, PATIENCE_MS, &members, NULL),
                     COMRADE_OK);
    assert_int_equal(comrade_members_count(members), 1);
    const comrade_member_data *after = comrade_members_at(members, 0);
    assert_int_equal(after->incarnation, before.incarnation);
    assert_int_equal(after->created_ms, before.created_ms);
    assert_true(after->is_alive && after->is_available);
    comrade_members_free(members);
    memory_driver.close(store);
    comrade_member_free(member);
    close_scene(&scene);
}

struct race {
    int n_done;
    int n_killed;
    int n_refused;
};

static void on_raced(void *user, comrade_outcome *outcome)
{
    struct race *race = user;
    race->n_done++;
    race->n_killed += comrade_outcome_status(outcome) == COMRADE_OK ? 1 : 0;
    race->n_refused += comrade_outcome_status(outcome) == COMRADE_REFUSED ? 1 : 0;
}

/* Ten callers, each with a thread and a connection of its own, and members of nearly one age. */
static void concurrent_callers_do_not_go_below_the_minimum(void **state)
{
    (void)state;
    enum { CALLERS = 10, MEMBERS = 4, MINIMUM = 2 };
    struct scene scene;
    struct scene callers[CALLERS];
    comrade_member *members[MEMBERS];
    struct race race = {0};
    open_scene(&scene, "memory:race", NULL);
    for (int i = 0; i < MEMBERS; i++) {
        const char *const ids[] = {"app-1", "app-2", "app-3", "app-4"};
        members[i] = start(&scene, ids[i]);
    }
    assert_int_equal(comrade_client_set_role(scene.client, "app", MINIMUM, PATIENCE_MS, NULL),
                     COMRADE_OK);
    comrade_query query = COMRADE_QUERY_INIT;
    query.role = "app";
    for (int i = 0; i < CALLERS; i++) {
        open_scene(&callers[i], "memory:race", NULL);
    }
    for (int i = 0; i < CALLERS; i++) {
        assert_int_equal(comrade_client_kill_oldest_submit(callers[i].client, &query, NULL,
                                                           on_raced, &race, NULL),
                         COMRADE_OK);
    }
    for (int left_ms = PATIENCE_MS; race.n_done < CALLERS; left_ms -= 5) {
        assert_true(left_ms > 0);
        poll(NULL, 0, 5);
        for (int i = 0; i < CALLERS; i++) {
            comrade_cluster_dispatch(callers[i].cluster);
        }
    }
    assert_int_equal(race.n_killed, MEMBERS - MINIMUM);
    assert_int_equal(race.n_refused, CALLERS - (MEMBERS - MINIMUM));
    for (int i = 0; i < CALLERS; i++) {
        close_scene(&callers[i]);
    }
    for (int i = 0; i < MEMBERS; i++) {
        comrade_member_free(members[i]);
    }
    close_scene(&scene);
}

static void a_hundred_thousand_members_are_listed(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, "memory:many", NULL);
    comrade_store_config config = {.size = sizeof config,
                                   .url = "memory:many",
                                   .name_space = "",
                                   .kind = "ComradeServer",
                                   .wall_ms = env_system.wall_ms};
    comrade_store *store = NULL;
    assert_int_equal(memory_driver.open(&config, NULL, &store, NULL), COMRADE_OK);
    comrade_own own = {.incarnation = 1,
                       .sequence = 1,
                       .state = COMRADE_STATE_UP,
                       .is_alive = true,
                       .is_available = true,
                       .host = "web1",
                       .version = "1",
                       .metadata = "{}",
                       .details = "{}"};
    for (int i = 0; i < MANY; i++) {
        char id[32];
        snprintf(id, sizeof id, "app-%06d", i);
        comrade_change change = {.kind = COMRADE_PUT_OWN,
                                 .id = id,
                                 .own = &own,
                                 .expect_incarnation = COMRADE_ANYTHING,
                                 .expect_request_revision = COMRADE_ANYTHING,
                                 .expect_updated_ms = COMRADE_ANYTHING,
                                 .expect_spec_version = COMRADE_ANYTHING};
        comrade_write write = {
            .role = "app", .expect_revision = COMRADE_ANYTHING, .changes = &change, .n_changes = 1};
        comrade_write_result result;
        assert_int_equal(memory_driver.write(store, NULL, &write, 1, &result, NULL), COMRADE_OK);
    }
    comrade_query healthy = COMRADE_QUERY_INIT;
    healthy.healthy = COMRADE_YES;
    comrade_members *members = NULL;
    assert_int_equal(comrade_client_get_members(scene.client, &healthy, 60000, &members, NULL),
                     COMRADE_OK);
    assert_int_equal(comrade_members_count(members), MANY);
    comrade_members_free(members);
    memory_driver.close(store);
    close_scene(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_heartbeat_is_one_round_trip),
        cmocka_unit_test(zombify_works_on_a_custom_kind),
        cmocka_unit_test(a_second_kill_does_not_move_the_shutdown_date),
        cmocka_unit_test(a_long_drain_keeps_its_heartbeat),
        cmocka_unit_test(a_store_that_fails_is_told_once_and_heartbeats_go_on),
        cmocka_unit_test(a_deleted_record_is_written_again_whole),
        cmocka_unit_test(concurrent_callers_do_not_go_below_the_minimum),
        cmocka_unit_test(a_hundred_thousand_members_are_listed),
    };
    return cmocka_run_group_tests(tests, register_counted, NULL);
}
