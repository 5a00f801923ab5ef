/*
 * Others in the way: a server that says ABORTED, batches of which a member is gone, and requests
 * that are made while heartbeats are written.
 */
#include "contract/cases.h"
#include "contract/datastore_fault_scene.h"
#include "core/stored.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 1000, INTERLEAVINGS = 2000, REQUESTS_MAX = 60, SHORT_MS = 300 };

static const comrade_store_driver *const driver = &datastore_driver;

/* --- Storms ------------------------------------------------------------------------------------
 */

static void a_short_storm_is_waited_out(void **state)
{
    struct fault_scene *scene = *state;
    for (size_t i = 0; i < FAULT_OPERATIONS; i++) {
        const struct fault_operation *operation = &fault_operations[i];
        fault_prepare(scene, operation);
        datastore_server_tell(scene->server, "fault commit 3 status 409");
        comrade_call call = fault_call(FAULT_PATIENCE_MS);
        assert_int_equal(fault_run(scene, operation, &call), COMRADE_OK);
        assert_true(fault_is_applied(scene) == (operation->kinds != 0));
    }
}

/* With time enough, and without. */
static void an_endless_storm_is_an_unavailable_store(void **state)
{
    struct fault_scene *scene = *state;
    static const char *const wanted[] = {"first heartbeat", "heartbeat", "first write",
                                         "write of all", "deletion"};
    for (size_t i = 0; i < FAULT_OPERATIONS; i++) {
        const struct fault_operation *operation = &fault_operations[i];
        bool is_wanted = false;
        for (size_t k = 0; k < sizeof wanted / sizeof wanted[0]; k++) {
            is_wanted = is_wanted || strcmp(operation->name, wanted[k]) == 0;
        }
        for (int n = 0; n < 2 && is_wanted; n++) {
            fault_prepare(scene, operation);
            datastore_server_tell(scene->server, "fault commit 100000 status 409");
            datastore_server_reset_counts(scene->server);
            comrade_call call = fault_call(n == 0 ? FAULT_PATIENCE_MS : SHORT_MS);
            assert_int_equal(fault_run(scene, operation, &call), COMRADE_UNAVAILABLE);
            assert_true(n == 1 || !comrade_call_is_over(&call));
            assert_true(datastore_server_count(scene->server, "calls") <= REQUESTS_MAX);
            printf("# %s: %lld requests: %s\n", operation->name,
                   datastore_server_count(scene->server, "calls"), scene->error.message);
            /* The time may end amid a request, too, and is then the reason. */
            assert_true(n == 1 || strstr(scene->error.message, "again and again") != NULL);
            assert_false(fault_is_applied(scene));
            fault_assert_works(scene, operation);
        }
    }
}

/* --- Batches -----------------------------------------------------------------------------------
 */

static char ids[BATCH][16];
static comrade_beat beats[BATCH];
static comrade_beat_result results[BATCH];

static void put_batch(comrade_store *store)
{
    static comrade_own own;
    static comrade_change changes[BATCH];
    own = own_part(1, 1);
    for (size_t i = 0; i < BATCH; i++) {
        snprintf(ids[i], sizeof ids[i], "b-%04zu", i);
        beats[i] = (comrade_beat){ids[i], 1};
        changes[i] = anything(COMRADE_PUT_OWN, ids[i]);
        changes[i].own = &own;
    }
    for (size_t i = 0; i < BATCH; i += 100) {
        write_changes(driver, store, "batch", COMRADE_ANYTHING, NULL, changes + i, 100);
    }
}

static comrade_status beat_batch(struct fault_scene *scene)
{
    comrade_beat_summary summary;
    comrade_call call = fault_call(FAULT_PATIENCE_MS);
    return driver->heartbeat(scene->store, &call, beats, BATCH, results, &summary, &scene->error);
}

static void read_batch(struct fault_scene *scene, struct snapshot *snapshot)
{
    look_at_role(driver, scene->judge, "batch", snapshot);
}

/* All but that one are refreshed, and told to be. */
static void assert_all_but_one_are_beaten(struct fault_scene *scene, const char *gone)
{
    struct snapshot before;
    struct snapshot after;
    read_batch(scene, &before);
    if (beat_batch(scene) != COMRADE_OK) {
        fail_msg("%s", scene->error.message);
    }
    read_batch(scene, &after);
    assert_int_equal(after.n_records, BATCH - 1);
    for (size_t i = 0; i < BATCH; i++) {
        bool is_gone = strcmp(ids[i], gone) == 0;
        assert_int_equal(results[i].status, is_gone ? COMRADE_GONE : COMRADE_OK);
        assert_true(is_gone || snapshot_find(&after, ids[i])->updated_ms >
                                   snapshot_find(&before, ids[i])->updated_ms);
    }
    snapshot_finish(&before);
    snapshot_finish(&after);
}

static void one_of_a_thousand_that_is_gone_spoils_no_others_heartbeat(void **state)
{
    struct fault_scene *scene = *state;
    static const char *const settings[][2] = {
        {"none", "false"}, {"before", "false"}, {"others", "false"}, {"random", "true"}};
    fault_open(scene);
    put_batch(scene->store);
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        const char *gone = ids[137 + i * 200];
        datastore_server_tell(scene->server, "set partial %s", settings[i][0]);
        datastore_server_tell(scene->server, "set missing_conflicts %s", settings[i][1]);
        assert_int_equal(contract_put(driver, scene->judge, "batch", gone, 1, 2 + (int)i),
                         COMRADE_OK);
        assert_int_equal(beat_batch(scene), COMRADE_OK);
        comrade_change change = anything(COMRADE_DELETE, gone);
        write_one(driver, scene->judge, "batch", &change);
        assert_all_but_one_are_beaten(scene, gone);
        assert_int_equal(contract_put(driver, scene->judge, "batch", gone, 1, 1), COMRADE_OK);
    }
    datastore_server_tell(scene->server, "set partial random");
    datastore_server_tell(scene->server, "set missing_conflicts true");
}

/* --- Heartbeats against requests ---------------------------------------------------------------
 */

struct race {
    struct fault_scene *scene;
    atomic_llong asked;  /* the revision of the last request that was committed */
    atomic_bool is_lost; /* a heartbeat has undone one */
    atomic_bool is_over;
    int n_put;
};

/* Each request is made on the condition that the one before it is still there. */
static void *put_requests(void *user)
{
    struct race *race = user;
    comrade_store *store = race->scene->judge;
    comrade_request request = {.kind = COMRADE_REQUEST_KILL,
                               .incarnation = 1,
                               .request_id = "r",
                               .user = "alice",
                               .host = "laptop",
                               .database_user = "",
                               .reason = ""};
    int64_t before = 0;
    while (race->n_put < INTERLEAVINGS && !atomic_load(&race->is_lost)) {
        comrade_change change = anything(COMRADE_PUT_REQUEST, "elder");
        change.request = &request;
        change.expect_request_revision = before;
        comrade_write write = {"app", COMRADE_ANYTHING, NULL, &change, 1};
        comrade_write_result result = {0};
        comrade_call call = fault_call(FAULT_PATIENCE_MS);
        comrade_status status = driver->write(store, &call, &write, 1, &result, NULL);
        if (status != COMRADE_OK || result.status != COMRADE_OK) {
            atomic_store(&race->is_lost, true);
            break;
        }
        before = stored_mint(before, result.now_ms);
        atomic_store(&race->asked, before);
        race->n_put++;
    }
    atomic_store(&race->is_over, true);
    return NULL;
}

static void no_request_is_lost_to_a_heartbeat(void **state)
{
    struct fault_scene *scene = *state;
    struct race race = {.scene = scene};
    pthread_t thread;
    long n_beats = 0;
    int64_t heard = 0;
    fault_open(scene);
    assert_int_equal(pthread_create(&thread, NULL, put_requests, &race), 0);
    bool is_right = true;
    for (bool is_last = false; !is_last && is_right; n_beats++) {
        is_last = atomic_load(&race.is_over);
        int64_t asked = atomic_load(&race.asked);
        comrade_beat one = {"elder", 1};
        comrade_beat_result result = {0};
        comrade_beat_summary summary;
        comrade_call call = fault_call(FAULT_PATIENCE_MS);
        comrade_status status =
            driver->heartbeat(scene->store, &call, &one, 1, &result, &summary, &scene->error);
        is_right = status == COMRADE_OK && result.status == COMRADE_OK &&
                   result.request_revision >= asked && result.request_revision >= heard;
        heard = result.request_revision;
        poll(NULL, 0, (int)(n_beats % 2)); /* or requests would never get in between */
    }
    atomic_store(&race.is_lost, atomic_load(&race.is_lost) || !is_right);
    pthread_join(thread, NULL);
    printf("# %d requests and %ld heartbeats\n", race.n_put, n_beats);
    assert_true(is_right);
    assert_false(atomic_load(&race.is_lost));
    assert_int_equal(race.n_put, INTERLEAVINGS);
    assert_int_equal(heard, atomic_load(&race.asked));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_CASE(a_short_storm_is_waited_out),
        FAULT_CASE(an_endless_storm_is_an_unavailable_store),
        FAULT_CASE(one_of_a_thousand_that_is_gone_spoils_no_others_heartbeat),
        FAULT_CASE(no_request_is_lost_to_a_heartbeat),
    };
    fault_server = datastore_server_start(NULL);
    int failed = cmocka_run_group_tests_name("datastore_contention", tests, NULL, NULL);
    datastore_server_stop(fault_server);
    return failed;
}
