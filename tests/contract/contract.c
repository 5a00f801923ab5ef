#include "contract/contract.h"

#include "base/env.h"
#include "core/snapshot.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { DEADLINE_MS = 20000 };

/* --- Helpers ---------------------------------------------------------------------------------- */

int64_t contract_clock_offset_ms;

int64_t contract_wall_ms(void *clock)
{
    (void)clock;
    return env_wall_ms(&env_system) + contract_clock_offset_ms;
}

static int64_t monotonic_ms(void *clock)
{
    (void)clock;
    return env_monotonic_ms(&env_system);
}

comrade_call contract_call(void)
{
    return (comrade_call){.deadline_ms = monotonic_ms(NULL) + DEADLINE_MS,
                          .cancellable_ms = INT64_MAX,
                          .cancel_fd = -1,
                          .now_ms = monotonic_ms};
}

comrade_status contract_open(const comrade_store_driver *driver, const char *url,
                             const char *name_space, comrade_store **store, comrade_error *error)
{
    comrade_store_config config = {.size = sizeof config,
                                   .url = url,
                                   .shown_url = url,
                                   .name_space = name_space,
                                   .kind = "ComradeServer",
                                   .wall_ms = contract_wall_ms};
    comrade_call call = contract_call();
    return driver->open(&config, &call, store, error);
}

comrade_store *contract_must_open(const comrade_store_driver *driver, const char *url,
                                  const char *name_space)
{
    comrade_store *store = NULL;
    comrade_error error = {0};
    if (contract_open(driver, url, name_space, &store, &error) != COMRADE_OK) {
        fail_msg("%s: %s", url, error.message);
    }
    return store;
}

static comrade_change anything(comrade_change_kind kind, const char *id)
{
    return (comrade_change){.kind = kind,
                            .id = id,
                            .spec = "{}",
                            .expect_incarnation = COMRADE_ANYTHING,
                            .expect_request_revision = COMRADE_ANYTHING,
                            .expect_updated_ms = COMRADE_ANYTHING,
                            .expect_spec_version = COMRADE_ANYTHING};
}

static comrade_own own_part(int64_t incarnation, int64_t sequence)
{
    return (comrade_own){.incarnation = incarnation,
                         .sequence = sequence,
                         .state = COMRADE_STATE_UP,
                         .is_alive = true,
                         .is_available = true,
                         .pid = 4711,
                         .host = "web1",
                         .version = "1.2.3",
                         .metadata = "{\"ip\":\"10.0.0.5\"}",
                         .details = "{\"restarts\":1}"};
}

static comrade_write_result write_changes(const comrade_store_driver *driver, comrade_store *store,
                                          const char *role, int64_t expect_revision,
                                          const char *request_id, const comrade_change *changes,
                                          size_t n)
{
    comrade_write write = {role, expect_revision, request_id, changes, n};
    comrade_write_result result = {0};
    comrade_error error = {0};
    comrade_call call = contract_call();
    if (driver->write(store, &call, &write, 1, &result, &error) != COMRADE_OK) {
        fail_msg("%s", error.message);
    }
    return result;
}

static comrade_write_result write_one(const comrade_store_driver *driver, comrade_store *store,
                                      const char *role, const comrade_change *change)
{
    return write_changes(driver, store, role, COMRADE_ANYTHING, NULL, change, 1);
}

comrade_status contract_put(const comrade_store_driver *driver, comrade_store *store,
                            const char *role, const char *id, int64_t incarnation, int64_t sequence)
{
    comrade_own own = own_part(incarnation, sequence);
    comrade_change change = anything(COMRADE_PUT_OWN, id);
    change.own = &own;
    return write_one(driver, store, role, &change).status;
}

static comrade_write_result put_request(const comrade_store_driver *driver, comrade_store *store,
                                        const char *role, const char *id, int64_t incarnation)
{
    comrade_request request = {.kind = COMRADE_REQUEST_KILL,
                               .incarnation = incarnation,
                               .zombified_incarnation = incarnation - 1,
                               .request_id = "0b8fbd4e-0000-4000-8000-000000000001",
                               .user = "alice",
                               .host = "laptop",
                               .database_user = "",
                               .reason = "too old"};
    comrade_change change = anything(COMRADE_PUT_REQUEST, id);
    change.request = &request;
    return write_one(driver, store, role, &change);
}

static comrade_write_result put_spec(const comrade_store_driver *driver, comrade_store *store,
                                     const char *role, int64_t version, int64_t expected,
                                     const char *spec)
{
    comrade_change change = anything(COMRADE_PUT_SPEC, NULL);
    change.spec = spec;
    change.spec_version = version;
    change.expect_spec_version = expected;
    return write_one(driver, store, role, &change);
}

static void look(const comrade_store_driver *driver, comrade_store *store,
                 const comrade_snapshot_query *query, struct snapshot *snapshot)
{
    comrade_snapshot_sink sink = {snapshot_add_record, snapshot_add_role, snapshot};
    comrade_snapshot_page page = {0};
    comrade_error error = {0};
    snapshot_init(snapshot);
    do {
        comrade_cursor from = page.next;
        comrade_call call = contract_call();
        if (driver->snapshot(store, &call, query, &from, &sink, &page, &error) != COMRADE_OK) {
            fail_msg("%s", error.message);
        }
        snapshot->now_ms = page.now_ms;
    } while (page.has_more);
}

static void look_at_role(const comrade_store_driver *driver, comrade_store *store, const char *role,
                         struct snapshot *snapshot)
{
    comrade_snapshot_query query = {.scope = COMRADE_SCOPE_ROLE, .role = role, .limit = 1000};
    look(driver, store, &query, snapshot);
}

long contract_count(const comrade_store_driver *driver, comrade_store *store, comrade_error *error)
{
    comrade_snapshot_query query = {.scope = COMRADE_SCOPE_ALL, .limit = 1000000};
    struct snapshot snapshot;
    snapshot_init(&snapshot);
    comrade_snapshot_sink sink = {snapshot_add_record, snapshot_add_role, &snapshot};
    comrade_snapshot_page page;
    comrade_call call = contract_call();
    comrade_status status = driver->snapshot(store, &call, &query, NULL, &sink, &page, error);
    long count = status == COMRADE_OK ? (long)snapshot.n_records : -1;
    snapshot_finish(&snapshot);
    return count;
}

static comrade_beat_result beat(const comrade_store_driver *driver, comrade_store *store,
                                const char *id, int64_t incarnation, comrade_beat_summary *summary)
{
    comrade_beat one = {id, incarnation};
    comrade_beat_result result = {0};
    comrade_beat_summary unused;
    comrade_error error = {0};
    comrade_call call = contract_call();
    if (driver->heartbeat(store, &call, &one, 1, &result, summary == NULL ? &unused : summary,
                          &error) != COMRADE_OK) {
        fail_msg("%s", error.message);
    }
    return result;
}

/* What a case works on: a fresh store with one handle. */
struct scene {
    const struct contract_store *factory;
    const comrade_store_driver *driver;
    char url[512];
    comrade_store *store;
};

static const struct contract_store *under_test;

static int set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    if (scene == NULL) {
        return -1;
    }
    contract_clock_offset_ms = 0;
    scene->factory = under_test;
    scene->driver = under_test->driver;
    under_test->fresh_url(scene->url, sizeof scene->url);
    scene->store = contract_must_open(scene->driver, scene->url, "");
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    scene->driver->close(scene->store);
    free(scene);
    return 0;
}

#define SCENE(state)                                                                               \
    struct scene *scene = *(state);                                                                \
    const comrade_store_driver *driver = scene->driver;                                            \
    comrade_store *store = scene->store

/* --- The own part ----------------------------------------------------------------------------- */

static void a_record_comes_back_as_it_was_written(void **state)
{
    SCENE(state);
    int64_t before_ms = contract_wall_ms(NULL);
    assert_int_equal(contract_put(driver, store, "app", "app-1", 100, 1), COMRADE_OK);
    put_request(driver, store, "app", "app-1", 100);
    struct snapshot snapshot;
    look_at_role(driver, store, "app", &snapshot);
    assert_int_equal(snapshot.n_records, 1);
    const comrade_record *record = &snapshot.records[0];
    assert_string_equal(record->id, "app-1");
    assert_string_equal(record->role, "app");
    assert_int_equal(record->own.incarnation, 100);
    assert_int_equal(record->own.sequence, 1);
    assert_int_equal(record->own.state, COMRADE_STATE_UP);
    assert_true(record->own.is_alive && record->own.is_available);
    assert_int_equal(record->own.pid, 4711);
    assert_string_equal(record->own.host, "web1");
    assert_string_equal(record->own.version, "1.2.3");
    assert_string_equal(record->own.metadata, "{\"ip\":\"10.0.0.5\"}");
    assert_string_equal(record->own.details, "{\"restarts\":1}");
    assert_in_range(record->own.created_ms, before_ms, snapshot.now_ms);
    assert_in_range(record->updated_ms, before_ms, snapshot.now_ms);
    assert_int_equal(record->request.kind, COMRADE_REQUEST_KILL);
    assert_int_equal(record->request.incarnation, 100);
    assert_int_equal(record->request.zombified_incarnation, 99);
    assert_in_range(record->request.requested_ms, before_ms, snapshot.now_ms);
    assert_string_equal(record->request.user, "alice");
    assert_string_equal(record->request.host, "laptop");
    assert_string_equal(record->request.reason, "too old");
    assert_true(record->request.revision > 0);
    snapshot_finish(&snapshot);
}

static void an_own_part_is_applied_only_forwards(void **state)
{
    SCENE(state);
    struct snapshot snapshot;
    assert_int_equal(contract_put(driver, store, "app", "a", 100, 5), COMRADE_OK);
    assert_int_equal(contract_put(driver, store, "app", "a", 100, 5), COMRADE_OK);
    assert_int_equal(contract_put(driver, store, "app", "a", 100, 4), COMRADE_OK);
    look_at_role(driver, store, "app", &snapshot);
    assert_int_equal(snapshot.records[0].own.sequence, 5);
    snapshot_finish(&snapshot);
    assert_int_equal(contract_put(driver, store, "app", "a", 99, 50), COMRADE_FENCED);
    assert_int_equal(contract_put(driver, store, "app", "a", 101, 1), COMRADE_OK);
    look_at_role(driver, store, "app", &snapshot);
    assert_int_equal(snapshot.records[0].own.incarnation, 101);
    assert_int_equal(snapshot.records[0].own.sequence, 1);
    snapshot_finish(&snapshot);
}

static void created_is_kept_within_one_life_and_new_with_the_next(void **state)
{
    SCENE(state);
    struct snapshot snapshot;
    contract_put(driver, store, "app", "a", 100, 1);
    look_at_role(driver, store, "app", &snapshot);
    int64_t created_ms = snapshot.records[0].own.created_ms;
    snapshot_finish(&snapshot);
    contract_clock_offset_ms = 5000;
    contract_put(driver, store, "app", "a", 100, 2);
    look_at_role(driver, store, "app", &snapshot);
    assert_int_equal(snapshot.records[0].own.created_ms, created_ms);
    assert_true(snapshot.records[0].updated_ms < created_ms + 5000); /* no heartbeat */
    snapshot_finish(&snapshot);
    contract_put(driver, store, "app", "a", 101, 1);
    look_at_role(driver, store, "app", &snapshot);
    assert_true(snapshot.records[0].own.created_ms >= created_ms + 5000);
    assert_true(snapshot.records[0].updated_ms >= created_ms + 5000);
    snapshot_finish(&snapshot);
    comrade_own own = own_part(102, 1);
    own.created_ms = 12345;
    comrade_change change = anything(COMRADE_PUT_OWN, "a");
    change.own = &own;
    write_one(driver, store, "app", &change);
    look_at_role(driver, store, "app", &snapshot);
    assert_int_equal(snapshot.records[0].own.created_ms, 12345);
    snapshot_finish(&snapshot);
}

static void an_own_part_leaves_the_request_and_a_request_the_own_part(void **state)
{
    SCENE(state);
    struct snapshot snapshot;
    contract_put(driver, store, "app", "a", 100, 1);
    put_request(driver, store, "app", "a", 100);
    contract_put(driver, store, "app", "a", 100, 2);
    look_at_role(driver, store, "app", &snapshot);
    assert_int_equal(snapshot.records[0].request.kind, COMRADE_REQUEST_KILL);
    assert_string_equal(snapshot.records[0].request.reason, "too old");
    assert_int_equal(snapshot.records[0].own.sequence, 2);
    snapshot_finish(&snapshot);
}

static void a_member_may_move_to_another_role(void **state)
{
    SCENE(state);
    struct snapshot snapshot;
    contract_put(driver, store, "app", "a", 100, 1);
    contract_put(driver, store, "db", "a", 101, 1);
    look_at_role(driver, store, "app", &snapshot);
    assert_int_equal(snapshot.n_records, 0);
    snapshot_finish(&snapshot);
    look_at_role(driver, store, "db", &snapshot);
    assert_int_equal(snapshot.n_records, 1);
    snapshot_finish(&snapshot);
}

/* --- Heartbeats ------------------------------------------------------------------------------- */

static void a_heartbeat_refreshes_by_the_stores_clock_and_tells_the_heads(void **state)
{
    SCENE(state);
    struct snapshot snapshot;
    contract_put(driver, store, "app", "a", 100, 7);
    int64_t revision = put_request(driver, store, "app", "a", 100).revision;
    assert_true(revision > 0);
    contract_clock_offset_ms = 60000;
    comrade_beat_summary summary;
    comrade_beat_result result = beat(driver, store, "a", 100, &summary);
    assert_int_equal(result.status, COMRADE_OK);
    assert_int_equal(result.own_sequence, 7);
    look_at_role(driver, store, "app", &snapshot);
    assert_int_equal(result.request_revision, snapshot.records[0].request.revision);
    assert_int_equal(snapshot.records[0].updated_ms, summary.now_ms);
    snapshot_finish(&snapshot);
}

static void a_heartbeat_erases_no_request_and_bumps_no_revision(void **state)
{
    SCENE(state);
    struct snapshot before;
    struct snapshot after;
    contract_put(driver, store, "app", "a", 100, 1);
    put_request(driver, store, "app", "a", 100);
    look_at_role(driver, store, "app", &before);
    beat(driver, store, "a", 100, NULL);
    beat(driver, store, "a", 100, NULL);
    look_at_role(driver, store, "app", &after);
    assert_int_equal(after.records[0].request.kind, COMRADE_REQUEST_KILL);
    assert_int_equal(after.records[0].request.revision, before.records[0].request.revision);
    assert_int_equal(after.roles[0].revision, before.roles[0].revision);
    /* Somebody who has not seen it before is told of it by the heads, too. */
    comrade_store *other = contract_must_open(driver, scene->url, "");
    assert_int_equal(beat(driver, other, "a", 100, NULL).request_revision,
                     before.records[0].request.revision);
    driver->close(other);
    snapshot_finish(&before);
    snapshot_finish(&after);
}

static void a_heartbeat_says_gone_or_fenced(void **state)
{
    SCENE(state);
    contract_put(driver, store, "app", "a", 100, 1);
    assert_int_equal(beat(driver, store, "nobody", 100, NULL).status, COMRADE_GONE);
    assert_int_equal(beat(driver, store, "a", 101, NULL).status, COMRADE_GONE);
    assert_int_equal(beat(driver, store, "a", 99, NULL).status, COMRADE_FENCED);
    assert_int_equal(beat(driver, store, "a", 100, NULL).status, COMRADE_OK);
    contract_put(driver, store, "app", "a", 102, 1);
    assert_int_equal(beat(driver, store, "a", 100, NULL).status, COMRADE_FENCED);
    assert_int_equal(beat(driver, store, "a", 102, NULL).status, COMRADE_OK);
}

/* What a driver remembers from the batch before must not outlive a change by another handle. */
static void heartbeats_notice_what_others_wrote_in_between(void **state)
{
    SCENE(state);
    comrade_store *other = contract_must_open(driver, scene->url, "");
    contract_put(driver, store, "app", "a", 100, 1);
    assert_int_equal(beat(driver, store, "a", 100, NULL).request_revision, 0);
    assert_int_equal(beat(driver, store, "a", 100, NULL).request_revision, 0);
    put_request(driver, other, "app", "a", 100);
    assert_true(beat(driver, store, "a", 100, NULL).request_revision > 0);
    contract_put(driver, other, "app", "a", 100, 9);
    assert_int_equal(beat(driver, store, "a", 100, NULL).own_sequence, 9);
    comrade_change removal = anything(COMRADE_DELETE, "a");
    write_one(driver, other, "app", &removal);
    assert_int_equal(beat(driver, store, "a", 100, NULL).status, COMRADE_GONE);
    contract_put(driver, other, "app", "b", 100, 1); /* it may get the place of the deleted one */
    assert_int_equal(beat(driver, store, "a", 100, NULL).status, COMRADE_GONE);
    driver->close(other);
}

static void a_large_batch_is_judged_one_by_one(void **state)
{
    SCENE(state);
    enum { N = 300 };
    static char ids[N][16];
    comrade_beat beats[N];
    comrade_beat_result results[N];
    comrade_beat_summary summary;
    comrade_error error = {0};
    for (int i = 0; i < N; i++) {
        snprintf(ids[i], sizeof ids[i], "m-%04d", i);
        beats[i] = (comrade_beat){ids[i], 100};
        if (i % 3 != 0) {
            contract_put(driver, store, "app", ids[i], i % 3 == 1 ? 100 : 200, i + 1);
        }
    }
    comrade_call call = contract_call();
    assert_int_equal(driver->heartbeat(store, &call, beats, N, results, &summary, &error),
                     COMRADE_OK);
    for (int i = 0; i < N; i++) {
        const comrade_status expected[] = {COMRADE_GONE, COMRADE_OK, COMRADE_FENCED};
        assert_int_equal(results[i].status, expected[i % 3]);
        if (i % 3 == 1) {
            assert_int_equal(results[i].own_sequence, i + 1);
        }
    }
}

/* --- Writes ----------------------------------------------------------------------------------- */

static int64_t revision_of(const comrade_store_driver *driver, comrade_store *store,
                           const char *role)
{
    struct snapshot snapshot;
    look_at_role(driver, store, role, &snapshot);
    int64_t revision = snapshot.roles[0].revision;
    snapshot_finish(&snapshot);
    return revision;
}

static void every_applied_write_bumps_its_roles_revision(void **state)
{
    SCENE(state);
    assert_int_equal(revision_of(driver, store, "app"), 0);
    int64_t before_us = contract_wall_ms(NULL) * 1000;
    contract_put(driver, store, "app", "a", 100, 1);
    int64_t first = revision_of(driver, store, "app");
    assert_true(first >= before_us);
    contract_put(driver, store, "db", "b", 100, 1);
    assert_int_equal(revision_of(driver, store, "app"), first);
    comrade_write_result result =
        write_changes(driver, store, "app", COMRADE_ANYTHING, NULL, NULL, 0);
    assert_int_equal(result.status, COMRADE_OK);
    assert_true(result.revision > first);
    assert_int_equal(revision_of(driver, store, "app"), result.revision);
}

static void a_revision_is_never_repeated_not_even_when_the_clock_goes_back(void **state)
{
    SCENE(state);
    contract_clock_offset_ms = 3600 * 1000;
    contract_put(driver, store, "app", "a", 100, 1);
    int64_t first = revision_of(driver, store, "app");
    contract_clock_offset_ms = 0;
    contract_put(driver, store, "app", "a", 100, 2);
    assert_true(revision_of(driver, store, "app") > first);
}

static void after_a_wipe_revisions_are_new(void **state)
{
    SCENE(state);
    contract_put(driver, store, "app", "a", 100, 1);
    int64_t first = revision_of(driver, store, "app");
    scene->factory->wipe(store, scene->url);
    contract_clock_offset_ms = 1; /* no store is wiped and filled again within its clock's tick */
    assert_int_equal(revision_of(driver, store, "app"), 0);
    assert_int_equal(beat(driver, store, "a", 100, NULL).status, COMRADE_GONE);
    contract_put(driver, store, "app", "a", 100, 1);
    assert_true(revision_of(driver, store, "app") > first);
    assert_int_equal(beat(driver, store, "a", 100, NULL).status, COMRADE_OK);
}

static void a_write_that_expects_another_revision_is_a_conflict(void **state)
{
    SCENE(state);
    contract_put(driver, store, "app", "a", 100, 1);
    int64_t revision = revision_of(driver, store, "app");
    comrade_own own = own_part(100, 2);
    comrade_change change = anything(COMRADE_PUT_OWN, "a");
    change.own = &own;
    assert_int_equal(write_changes(driver, store, "app", revision - 1, NULL, &change, 1).status,
                     COMRADE_CONFLICT);
    assert_int_equal(write_changes(driver, store, "app", 0, NULL, &change, 1).status,
                     COMRADE_CONFLICT);
    assert_int_equal(write_changes(driver, store, "new", revision, NULL, NULL, 0).status,
                     COMRADE_CONFLICT);
    assert_int_equal(write_changes(driver, store, "new", 0, NULL, NULL, 0).status, COMRADE_OK);
    assert_int_equal(beat(driver, store, "a", 100, NULL).own_sequence, 1);
    assert_int_equal(write_changes(driver, store, "app", revision, NULL, &change, 1).status,
                     COMRADE_OK);
    assert_int_equal(beat(driver, store, "a", 100, NULL).own_sequence, 2);
}

static void each_precondition_is_compared(void **state)
{
    SCENE(state);
    contract_put(driver, store, "app", "a", 100, 1);
    put_request(driver, store, "app", "a", 100);
    struct snapshot snapshot;
    look_at_role(driver, store, "app", &snapshot);
    const comrade_record *record = &snapshot.records[0];
    comrade_own own = own_part(100, 2);
    comrade_change wrong[3];
    for (int i = 0; i < 3; i++) {
        wrong[i] = anything(COMRADE_PUT_OWN, "a");
        wrong[i].own = &own;
    }
    wrong[0].expect_incarnation = 0; /* absent */
    wrong[1].expect_request_revision = record->request.revision + 1;
    wrong[2].expect_updated_ms = record->updated_ms - 1;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(write_one(driver, store, "app", &wrong[i]).status, COMRADE_CONFLICT);
    }
    comrade_change right = wrong[0];
    right.expect_incarnation = 100;
    right.expect_request_revision = record->request.revision;
    right.expect_updated_ms = record->updated_ms;
    assert_int_equal(write_one(driver, store, "app", &right).status, COMRADE_OK);
    comrade_change absent = anything(COMRADE_PUT_OWN, "b");
    absent.own = &own;
    absent.expect_incarnation = 0;
    assert_int_equal(write_one(driver, store, "app", &absent).status, COMRADE_OK);
    assert_int_equal(write_one(driver, store, "app", &absent).status, COMRADE_CONFLICT);
    snapshot_finish(&snapshot);
}

static void a_request_to_nobody_is_gone_and_revisions_of_requests_grow(void **state)
{
    SCENE(state);
    assert_int_equal(put_request(driver, store, "app", "nobody", 1).status, COMRADE_GONE);
    contract_put(driver, store, "app", "a", 100, 1);
    put_request(driver, store, "app", "a", 100);
    int64_t first = beat(driver, store, "a", 100, NULL).request_revision;
    put_request(driver, store, "app", "a", 100);
    assert_true(beat(driver, store, "a", 100, NULL).request_revision > first);
}

static void a_write_is_all_or_nothing(void **state)
{
    SCENE(state);
    contract_put(driver, store, "app", "a", 100, 1);
    comrade_own own = own_part(100, 2);
    comrade_change changes[] = {anything(COMRADE_PUT_OWN, "a"), anything(COMRADE_PUT_OWN, "b")};
    changes[0].own = &own;
    changes[1].own = &own;
    changes[1].expect_incarnation = 55;
    int64_t revision = revision_of(driver, store, "app");
    assert_int_equal(write_changes(driver, store, "app", COMRADE_ANYTHING, NULL, changes, 2).status,
                     COMRADE_CONFLICT);
    assert_int_equal(beat(driver, store, "a", 100, NULL).own_sequence, 1);
    assert_int_equal(revision_of(driver, store, "app"), revision);
    changes[1].expect_incarnation = 0;
    assert_int_equal(write_changes(driver, store, "app", COMRADE_ANYTHING, NULL, changes, 2).status,
                     COMRADE_OK);
    assert_int_equal(beat(driver, store, "a", 100, NULL).own_sequence, 2);
    assert_int_equal(beat(driver, store, "b", 100, NULL).own_sequence, 2);
}

static void in_a_batch_each_write_stands_or_falls_alone(void **state)
{
    SCENE(state);
    comrade_own own = own_part(100, 1);
    comrade_change changes[3];
    comrade_write writes[3];
    comrade_write_result results[3];
    const char *const ids[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        changes[i] = anything(COMRADE_PUT_OWN, ids[i]);
        changes[i].own = &own;
        changes[i].expect_incarnation = i == 1 ? 77 : 0;
        writes[i] = (comrade_write){"app", COMRADE_ANYTHING, NULL, &changes[i], 1};
    }
    comrade_call call = contract_call();
    assert_int_equal(driver->write(store, &call, writes, 3, results, NULL), COMRADE_OK);
    assert_int_equal(results[0].status, COMRADE_OK);
    assert_int_equal(results[1].status, COMRADE_CONFLICT);
    assert_int_equal(results[2].status, COMRADE_OK);
    assert_int_equal(contract_count(driver, store, NULL), 2);
}

static void a_role_remembers_its_last_sixteen_requests(void **state)
{
    SCENE(state);
    char id[COMRADE_REQUEST_ID_BYTES + 1];
    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof id, "0b8fbd4e-0000-4000-8000-%012d", i);
        write_changes(driver, store, "app", COMRADE_ANYTHING, id, NULL, 0);
    }
    struct snapshot snapshot;
    look_at_role(driver, store, "app", &snapshot);
    assert_int_equal(snapshot.roles[0].n_recent_request_ids, COMRADE_RECENT_REQUESTS);
    for (int i = 0; i < COMRADE_RECENT_REQUESTS; i++) {
        snprintf(id, sizeof id, "0b8fbd4e-0000-4000-8000-%012d", 19 - i);
        assert_string_equal(snapshot.roles[0].recent_request_ids[i], id);
    }
    snapshot_finish(&snapshot);
    assert_int_equal(write_changes(driver, store, "app", 1, "not-applied", NULL, 0).status,
                     COMRADE_CONFLICT);
    look_at_role(driver, store, "app", &snapshot);
    assert_string_equal(snapshot.roles[0].recent_request_ids[0],
                        "0b8fbd4e-0000-4000-8000-000000000019");
    snapshot_finish(&snapshot);
}

static void a_delete_needs_the_heartbeat_that_was_seen(void **state)
{
    SCENE(state);
    contract_put(driver, store, "app", "a", 100, 1);
    struct snapshot snapshot;
    look_at_role(driver, store, "app", &snapshot);
    int64_t seen_ms = snapshot.records[0].updated_ms;
    snapshot_finish(&snapshot);
    contract_clock_offset_ms = 1000;
    beat(driver, store, "a", 100, NULL); /* it came back */
    comrade_change removal = anything(COMRADE_DELETE, "a");
    removal.expect_updated_ms = seen_ms;
    assert_int_equal(write_one(driver, store, "app", &removal).status, COMRADE_CONFLICT);
    assert_int_equal(contract_count(driver, store, NULL), 1);
    look_at_role(driver, store, "app", &snapshot);
    removal.expect_updated_ms = snapshot.records[0].updated_ms;
    snapshot_finish(&snapshot);
    assert_int_equal(write_one(driver, store, "app", &removal).status, COMRADE_OK);
    assert_int_equal(contract_count(driver, store, NULL), 0);
    assert_int_equal(write_one(driver, store, "app", &removal).status, COMRADE_OK);
}

/* --- Role specs ------------------------------------------------------------------------------- */

static void a_spec_is_replaced_only_at_the_version_seen(void **state)
{
    SCENE(state);
    assert_int_equal(put_spec(driver, store, "app", 5, 0, "{\"minMembers\":2}").status, COMRADE_OK);
    assert_int_equal(put_spec(driver, store, "app", 6, 0, "{}").status, COMRADE_CONFLICT);
    assert_int_equal(put_spec(driver, store, "app", 6, 4, "{}").status, COMRADE_CONFLICT);
    struct snapshot snapshot;
    look_at_role(driver, store, "app", &snapshot);
    assert_int_equal(snapshot.roles[0].spec_version, 5);
    assert_string_equal(snapshot.roles[0].spec, "{\"minMembers\":2}");
    snapshot_finish(&snapshot);
    assert_int_equal(put_spec(driver, store, "app", 9, 5, "{\"a\":1}").status, COMRADE_OK);
    contract_put(driver, store, "app", "a", 100, 1); /* leaves the spec as it is */
    look_at_role(driver, store, "app", &snapshot);
    assert_int_equal(snapshot.roles[0].spec_version, 9);
    assert_string_equal(snapshot.roles[0].spec, "{\"a\":1}");
    snapshot_finish(&snapshot);
}

static void a_heartbeat_tells_that_a_spec_has_changed(void **state)
{
    SCENE(state);
    comrade_beat_summary first;
    comrade_beat_summary second;
    contract_put(driver, store, "app", "a", 100, 1);
    beat(driver, store, "a", 100, &first);
    if (first.specs_revision == 0) {
        skip(); /* this store does not say */
    }
    contract_put(driver, store, "app", "a", 100, 2);
    put_request(driver, store, "app", "a", 100);
    beat(driver, store, "a", 100, &second);
    assert_int_equal(second.specs_revision, first.specs_revision);
    put_spec(driver, store, "db", 1, 0, "{}");
    beat(driver, store, "a", 100, &second);
    assert_true(second.specs_revision != first.specs_revision);
}

/* --- Snapshots -------------------------------------------------------------------------------- */

static void pages_follow_the_order_of_bytes_and_lose_nothing(void **state)
{
    SCENE(state);
    const char *const roles[] = {"Z", "a", "b\xc3\xa9", "c"};
    char id[32];
    for (int i = 0; i < 60; i++) {
        snprintf(id, sizeof id, "%c-%d", "aB_%~'\""[i % 7], i * 37 % 60);
        contract_put(driver, store, roles[i % 4], id, 100, 1);
    }
    struct snapshot whole;
    struct snapshot paged;
    comrade_snapshot_query query = {.scope = COMRADE_SCOPE_ALL, .limit = 1000};
    look(driver, store, &query, &whole);
    query.limit = 7;
    look(driver, store, &query, &paged);
    assert_int_equal(whole.n_records, 60);
    assert_int_equal(paged.n_records, 60);
    assert_int_equal(paged.n_roles, 4);
    for (size_t i = 0; i < 60; i++) {
        assert_string_equal(whole.records[i].id, paged.records[i].id);
        if (i > 0) {
            int order = strcmp(whole.records[i - 1].role, whole.records[i].role);
            assert_true(order < 0 ||
                        (order == 0 && strcmp(whole.records[i - 1].id, whole.records[i].id) < 0));
        }
    }
    snapshot_finish(&whole);
    snapshot_finish(&paged);
    comrade_snapshot_query role = {.scope = COMRADE_SCOPE_ROLE, .role = "a", .limit = 4};
    look(driver, store, &role, &paged);
    assert_int_equal(paged.n_records, 15);
    assert_false(paged.is_torn);
    snapshot_finish(&paged);
}

static void a_write_between_two_pages_is_seen_as_a_tear(void **state)
{
    SCENE(state);
    contract_put(driver, store, "app", "a", 100, 1);
    contract_put(driver, store, "app", "b", 100, 1);
    struct snapshot snapshot;
    snapshot_init(&snapshot);
    comrade_snapshot_query query = {.scope = COMRADE_SCOPE_ROLE, .role = "app", .limit = 1};
    comrade_snapshot_sink sink = {snapshot_add_record, snapshot_add_role, &snapshot};
    comrade_snapshot_page page = {0};
    comrade_call call = contract_call();
    driver->snapshot(store, &call, &query, &page.next, &sink, &page, NULL);
    assert_true(page.has_more);
    beat(driver, store, "a", 100, NULL); /* a heartbeat tears nothing */
    comrade_cursor from = page.next;
    driver->snapshot(store, &call, &query, &from, &sink, &page, NULL);
    assert_false(snapshot.is_torn);
    contract_put(driver, store, "app", "c", 100, 1);
    driver->snapshot(store, &call, &query, &from, &sink, &page, NULL);
    assert_true(snapshot.is_torn);
    snapshot_finish(&snapshot);
}

static void scopes_and_roles_tell_what_they_must(void **state)
{
    SCENE(state);
    contract_put(driver, store, "app", "a", 100, 1);
    contract_put(driver, store, "db", "b", 100, 1);
    put_spec(driver, store, "empty", 1, 0, "{}");
    struct snapshot snapshot;
    comrade_snapshot_query all = {.scope = COMRADE_SCOPE_ALL, .roles_only = true, .limit = 10};
    look(driver, store, &all, &snapshot);
    assert_int_equal(snapshot.n_records, 0);
    assert_int_equal(snapshot.n_roles, 3); /* also the one without members */
    snapshot_finish(&snapshot);
    look_at_role(driver, store, "never", &snapshot);
    assert_int_equal(snapshot.n_roles, 1);
    assert_int_equal(snapshot.roles[0].revision, 0);
    assert_string_equal(snapshot.roles[0].spec, "{}");
    snapshot_finish(&snapshot);
    const char *const ids[] = {"a", "b", "nobody"};
    comrade_snapshot_query some = {.scope = COMRADE_SCOPE_IDS, .ids = ids, .n_ids = 3, .limit = 10};
    look(driver, store, &some, &snapshot);
    assert_int_equal(snapshot.n_records, 2);
    assert_int_equal(snapshot.n_roles, 2);
    assert_non_null(snapshot_find(&snapshot, "a"));
    assert_true(snapshot_role(&snapshot, "db")->revision > 0);
    snapshot_finish(&snapshot);
}

static void strange_texts_come_back_as_they_are(void **state)
{
    SCENE(state);
    static const char *const ids[] = {
        "'; DROP TABLE member; --", "%s%n", "a\"b", "\xf0\x9f\x8e\x89", "_%", "a b", "\\"};
    struct snapshot snapshot;
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        assert_int_equal(contract_put(driver, store, ids[i], ids[i], 100, 1), COMRADE_OK);
        assert_int_equal(beat(driver, store, ids[i], 100, NULL).status, COMRADE_OK);
        look_at_role(driver, store, ids[i], &snapshot);
        assert_int_equal(snapshot.n_records, 1);
        assert_string_equal(snapshot.records[0].id, ids[i]);
        snapshot_finish(&snapshot);
    }
}

static void namespaces_do_not_see_each_other(void **state)
{
    SCENE(state);
    comrade_store *staging = contract_must_open(driver, scene->url, "staging");
    contract_put(driver, store, "app", "a", 100, 1);
    put_spec(driver, store, "app", 3, 0, "{}");
    assert_int_equal(contract_count(driver, staging, NULL), 0);
    assert_int_equal(revision_of(driver, staging, "app"), 0);
    assert_int_equal(beat(driver, staging, "a", 100, NULL).status, COMRADE_GONE);
    assert_int_equal(contract_put(driver, staging, "app", "a", 50, 1), COMRADE_OK);
    assert_int_equal(beat(driver, store, "a", 100, NULL).status, COMRADE_OK);
    driver->close(staging);
}

/* --- Watches ---------------------------------------------------------------------------------- */

struct told {
    int n_changes;
    int n_resyncs;
    char role[COMRADE_ROLE_MAX_BYTES + 1];
    char id[COMRADE_ID_MAX_BYTES + 1];
};

static void on_change(void *user, const char *role, const char *id)
{
    struct told *told = user;
    told->n_changes++;
    snprintf(told->role, sizeof told->role, "%s", role);
    snprintf(told->id, sizeof told->id, "%s", id);
}

static void on_resync(void *user)
{
    ((struct told *)user)->n_resyncs++;
}

/* Drains until something was told, for so long. */
static bool hear(const comrade_store_driver *driver, comrade_store *store, int fd,
                 struct told *told, int patience_ms)
{
    comrade_watch_sink sink = {on_change, on_resync, told};
    int before = told->n_changes + told->n_resyncs;
    for (int left_ms = patience_ms; left_ms > 0; left_ms -= 50) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (poll(&ready, 1, 50) > 0) {
            assert_int_equal(driver->drain(store, &sink, NULL), COMRADE_OK);
        }
        if (told->n_changes + told->n_resyncs > before) {
            return true;
        }
    }
    return false;
}

static void a_watch_tells_of_every_write_and_of_no_heartbeat(void **state)
{
    SCENE(state);
    if (driver->watch == NULL) {
        skip();
    }
    comrade_store *other = contract_must_open(driver, scene->url, "");
    contract_put(driver, store, "app", "a", 100, 1);
    comrade_call call = contract_call();
    int fd = driver->watch(store, &call, NULL);
    assert_true(fd >= 0);
    struct told told = {0};
    put_request(driver, other, "app", "a", 100);
    assert_true(hear(driver, store, fd, &told, 10000));
    if (told.n_resyncs == 0) {
        assert_string_equal(told.role, "app");
        assert_string_equal(told.id, "a");
    }
    put_spec(driver, other, "app", 1, 0, "{}");
    assert_true(hear(driver, store, fd, &told, 10000));
    if (told.n_resyncs == 0) {
        assert_string_equal(told.id, "");
    }
    beat(driver, other, "a", 100, NULL);
    assert_false(hear(driver, store, fd, &told, 200));
    driver->close(other);
}

/* --- Together --------------------------------------------------------------------------------- */

enum { WRITERS = 4, ROUNDS = 25 };

struct writer {
    const comrade_store_driver *driver;
    const char *url;
    int n_conflicts;
    int n_applied;
};

/* Adds one to the spec's version, naming the role's revision that was seen. */
static void *count_up(void *user)
{
    struct writer *writer = user;
    comrade_store *store = NULL;
    if (contract_open(writer->driver, writer->url, "", &store, NULL) != COMRADE_OK) {
        return NULL;
    }
    while (writer->n_applied < ROUNDS) {
        struct snapshot snapshot;
        snapshot_init(&snapshot);
        comrade_snapshot_query query = {.scope = COMRADE_SCOPE_ROLE, .role = "app", .limit = 10};
        comrade_snapshot_sink sink = {snapshot_add_record, snapshot_add_role, &snapshot};
        comrade_snapshot_page page = {0};
        comrade_call call = contract_call();
        comrade_status status =
            writer->driver->snapshot(store, &call, &query, &page.next, &sink, &page, NULL);
        comrade_write_result result = {.status = COMRADE_UNAVAILABLE};
        if (status == COMRADE_OK) {
            comrade_change change = anything(COMRADE_PUT_SPEC, NULL);
            change.spec_version = snapshot.roles[0].spec_version + 1;
            comrade_write write = {"app", snapshot.roles[0].revision, NULL, &change, 1};
            status = writer->driver->write(store, &call, &write, 1, &result, NULL);
        }
        snapshot_finish(&snapshot);
        if (status != COMRADE_OK) {
            break;
        }
        writer->n_applied += result.status == COMRADE_OK ? 1 : 0;
        writer->n_conflicts += result.status == COMRADE_CONFLICT ? 1 : 0;
    }
    writer->driver->close(store);
    return NULL;
}

static void of_two_who_saw_the_same_revision_one_conflicts(void **state)
{
    SCENE(state);
    pthread_t threads[WRITERS];
    struct writer writers[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){driver, scene->url, 0, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, &writers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(writers[i].n_applied, ROUNDS);
    }
    struct snapshot snapshot;
    look_at_role(driver, store, "app", &snapshot);
    assert_int_equal(snapshot.roles[0].spec_version, WRITERS * ROUNDS);
    snapshot_finish(&snapshot);
}

/* To add a case: its function above, and a row here. */
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int contract_run(const struct contract_store *store)
{
    const struct CMUnitTest tests[] = {
        CASE(a_record_comes_back_as_it_was_written),
        CASE(an_own_part_is_applied_only_forwards),
        CASE(created_is_kept_within_one_life_and_new_with_the_next),
        CASE(an_own_part_leaves_the_request_and_a_request_the_own_part),
        CASE(a_member_may_move_to_another_role),
        CASE(a_heartbeat_refreshes_by_the_stores_clock_and_tells_the_heads),
        CASE(a_heartbeat_erases_no_request_and_bumps_no_revision),
        CASE(a_heartbeat_says_gone_or_fenced),
        CASE(heartbeats_notice_what_others_wrote_in_between),
        CASE(a_large_batch_is_judged_one_by_one),
        CASE(every_applied_write_bumps_its_roles_revision),
        CASE(a_revision_is_never_repeated_not_even_when_the_clock_goes_back),
        CASE(after_a_wipe_revisions_are_new),
        CASE(a_write_that_expects_another_revision_is_a_conflict),
        CASE(each_precondition_is_compared),
        CASE(a_request_to_nobody_is_gone_and_revisions_of_requests_grow),
        CASE(a_write_is_all_or_nothing),
        CASE(in_a_batch_each_write_stands_or_falls_alone),
        CASE(a_role_remembers_its_last_sixteen_requests),
        CASE(a_delete_needs_the_heartbeat_that_was_seen),
        CASE(a_spec_is_replaced_only_at_the_version_seen),
        CASE(a_heartbeat_tells_that_a_spec_has_changed),
        CASE(pages_follow_the_order_of_bytes_and_lose_nothing),
        CASE(a_write_between_two_pages_is_seen_as_a_tear),
        CASE(scopes_and_roles_tell_what_they_must),
        CASE(strange_texts_come_back_as_they_are),
        CASE(namespaces_do_not_see_each_other),
        CASE(a_watch_tells_of_every_write_and_of_no_heartbeat),
        CASE(of_two_who_saw_the_same_revision_one_conflicts),
    };
    under_test = store;
    return cmocka_run_group_tests_name(store->name, tests, NULL, NULL);
}
