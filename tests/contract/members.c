/* A member's own part, and its heartbeats. */
#include "contract/cases.h"

#include <stdio.h>
#include <string.h>

/* How far off a moment may be that a driver estimates, of a server whose clock it cannot ask. */
enum { ESTIMATE_MS = 100 };

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
    /* A driver may estimate its server's time: by half of a request's way, which has no limit. */
    int64_t error_ms = scene->factory->has_own_clock ? ESTIMATE_MS : 0;
    int64_t earliest_ms = before_ms - error_ms;
    int64_t latest_ms = snapshot.now_ms + error_ms;
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
    assert_in_range(record->own.created_ms, earliest_ms, latest_ms);
    assert_in_range(record->updated_ms, earliest_ms, latest_ms);
    assert_int_equal(record->request.kind, COMRADE_REQUEST_KILL);
    assert_int_equal(record->request.incarnation, 100);
    assert_int_equal(record->request.zombified_incarnation, 99);
    assert_in_range(record->request.requested_ms, earliest_ms, latest_ms);
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
    int64_t updated_ms = snapshot.records[0].updated_ms;
    snapshot_finish(&snapshot);
    let_time_pass(scene, 50);
    contract_put(driver, store, "app", "a", 100, 2);
    look_at_role(driver, store, "app", &snapshot);
    assert_int_equal(snapshot.records[0].own.created_ms, created_ms);
    assert_int_equal(snapshot.records[0].updated_ms, updated_ms); /* no heartbeat */
    snapshot_finish(&snapshot);
    contract_put(driver, store, "app", "a", 101, 1);
    look_at_role(driver, store, "app", &snapshot);
    assert_true(snapshot.records[0].own.created_ms >= created_ms + 50);
    assert_true(snapshot.records[0].updated_ms >= created_ms + 50);
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
    look_at_role(driver, store, "app", &snapshot);
    int64_t revision = snapshot.roles[0].revision;
    snapshot_finish(&snapshot);
    contract_put(driver, store, "db", "a", 101, 1);
    look_at_role(driver, store, "app", &snapshot);
    assert_int_equal(snapshot.n_records, 0);
    assert_true(snapshot.roles[0].revision > revision);
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
    look_at_role(driver, store, "app", &snapshot);
    int64_t before_ms = snapshot.records[0].updated_ms;
    snapshot_finish(&snapshot);
    let_time_pass(scene, 50);
    comrade_beat_summary summary;
    comrade_beat_result result = beat(driver, store, "a", 100, &summary);
    assert_int_equal(result.status, COMRADE_OK);
    assert_int_equal(result.own_sequence, 7);
    look_at_role(driver, store, "app", &snapshot);
    assert_int_equal(result.request_revision, snapshot.records[0].request.revision);
    assert_int_equal(snapshot.records[0].updated_ms, summary.now_ms);
    assert_true(summary.now_ms >= before_ms + 50);
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

/* A driver may save itself what large batches cost while nothing is written; not longer. */
static void a_large_batch_notices_what_others_wrote_in_between(void **state)
{
    SCENE(state);
    enum { N = 150, ASKED = 7, CHANGED = 70, TAKEN_OVER = 77, REMOVED = 140 };
    static char ids[N][16];
    comrade_beat beats[N];
    comrade_beat_result results[N];
    comrade_beat_summary summary;
    comrade_store *other = contract_must_open(driver, scene->url, "");
    for (int i = 0; i < N; i++) {
        snprintf(ids[i], sizeof ids[i], "m-%04d", i);
        beats[i] = (comrade_beat){ids[i], 100};
        contract_put(driver, store, "app", ids[i], 100, 1);
    }
    comrade_change removal = anything(COMRADE_DELETE, ids[REMOVED]);
    int64_t last_ms = 0;
    for (int round = 0; round < 9; round++) {
        switch (round) { /* between any two of them a batch has nothing new to tell */
        case 2:
            put_request(driver, other, "app", ids[ASKED], 100);
            break;
        case 4:
            contract_put(driver, other, "app", ids[CHANGED], 100, 9);
            break;
        case 6:
            contract_put(driver, other, "app", ids[TAKEN_OVER], 200, 1);
            break;
        case 8:
            write_one(driver, other, "app", &removal);
            break;
        default:
            break;
        }
        let_time_pass(scene, 2 * ESTIMATE_MS);
        comrade_call call = contract_call();
        assert_int_equal(driver->heartbeat(store, &call, beats, N, results, &summary, NULL),
                         COMRADE_OK);
        struct snapshot snapshot;
        look_at_role(driver, store, "app", &snapshot);
        for (int i = 0; i < N; i++) {
            bool is_lost = (i == TAKEN_OVER && round >= 6) || (i == REMOVED && round >= 8);
            const comrade_record *record = snapshot_find(&snapshot, ids[i]);
            assert_true((results[i].status == COMRADE_OK) == !is_lost);
            bool is_fresh = record != NULL && record->updated_ms > last_ms &&
                            record->updated_ms <= summary.now_ms;
            assert_true(is_lost || is_fresh);
            assert_false(is_lost && record != NULL && record->updated_ms == summary.now_ms);
            if (!is_lost) {
                assert_int_equal(results[i].own_sequence, i == CHANGED && round >= 4 ? 9 : 1);
                assert_true((results[i].request_revision > 0) == (i == ASKED && round >= 2));
            }
        }
        snapshot_finish(&snapshot);
        last_ms = summary.now_ms;
    }
    driver->close(other);
}

static void a_member_that_moves_bumps_the_role_it_leaves(void **state)
{
    SCENE(state);
    contract_put(driver, store, "app", "a", 100, 1);
    contract_put(driver, store, "app", "b", 100, 1);
    int64_t seen = revision_of(driver, store, "app");
    contract_put(driver, store, "db", "a", 101, 1);
    assert_true(revision_of(driver, store, "app") > seen);
    /* Who has counted two members in the role must not act on it any more. */
    assert_int_equal(write_changes(driver, store, "app", seen, NULL, NULL, 0).status,
                     COMRADE_CONFLICT);
}

static void a_member_that_moves_keeps_its_request_and_has_one_record(void **state)
{
    SCENE(state);
    contract_put(driver, store, "app", "a", 100, 1);
    put_request(driver, store, "app", "a", 100);
    contract_put(driver, store, "db", "a", 100, 2);
    struct snapshot snapshot;
    look_at_role(driver, store, "db", &snapshot);
    assert_int_equal(snapshot.records[0].request.kind, COMRADE_REQUEST_KILL);
    snapshot_finish(&snapshot);
    assert_int_equal(contract_count(driver, store, NULL), 1);
}

static void a_member_that_was_deleted_comes_back_without_its_request(void **state)
{
    SCENE(state);
    contract_put(driver, store, "app", "a", 100, 3);
    put_request(driver, store, "app", "a", 100);
    comrade_change removal = anything(COMRADE_DELETE, "a");
    assert_int_equal(write_one(driver, store, "app", &removal).status, COMRADE_OK);
    assert_int_equal(contract_put(driver, store, "app", "a", 50, 1), COMRADE_OK);
    comrade_beat_result result = beat(driver, store, "a", 50, NULL);
    assert_int_equal(result.status, COMRADE_OK);
    assert_int_equal(result.own_sequence, 1);
    assert_int_equal(result.request_revision, 0);
    struct snapshot snapshot;
    look_at_role(driver, store, "app", &snapshot);
    assert_int_equal(snapshot.records[0].request.kind, COMRADE_REQUEST_NONE);
    assert_string_equal(snapshot.records[0].request.reason, "");
    snapshot_finish(&snapshot);
}

static void a_batch_of_no_heartbeats_tells_the_clock(void **state)
{
    SCENE(state);
    comrade_beat_summary summary = {0};
    comrade_beat_result unused;
    comrade_beat nobody = {"", 0};
    comrade_call call = contract_call();
    int64_t before_ms = contract_wall_ms(NULL);
    assert_int_equal(driver->heartbeat(store, &call, &nobody, 0, &unused, &summary, NULL),
                     COMRADE_OK);
    /* The clock of one that is asked over a network is estimated. */
    assert_in_range(summary.now_ms, before_ms - ESTIMATE_MS, contract_wall_ms(NULL) + ESTIMATE_MS);
}

/* The batch grows, shrinks and changes its members: what is remembered of one must not stick. */
static void batches_may_change_from_one_to_the_next(void **state)
{
    SCENE(state);
    static const char *const ids[] = {"a", "b", "c"};
    comrade_beat_summary summary;
    comrade_beat_result results[3];
    for (int i = 0; i < 3; i++) {
        contract_put(driver, store, "app", ids[i], 100 + i, 1 + i);
    }
    for (int round = 0; round < 12; round++) {
        comrade_beat beats[3];
        size_t n = 0;
        for (int i = 0; i < 3; i++) {
            if (((round + 1) >> i & 1) != 0) {
                beats[n++] = (comrade_beat){ids[i], 100 + i};
            }
        }
        let_time_pass(scene, 2 * ESTIMATE_MS);
        comrade_call call = contract_call();
        assert_int_equal(driver->heartbeat(store, &call, beats, n, results, &summary, NULL),
                         COMRADE_OK);
        struct snapshot snapshot;
        look_at_role(driver, store, "app", &snapshot);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(results[i].status, COMRADE_OK);
            assert_int_equal(results[i].own_sequence, beats[i].incarnation - 99);
            assert_int_equal(snapshot_find(&snapshot, beats[i].id)->updated_ms, summary.now_ms);
        }
        for (int i = 0; i < 3; i++) {
            bool is_beaten = ((round + 1) >> i & 1) != 0;
            assert_true(is_beaten == (snapshot.records[i].updated_ms == summary.now_ms));
        }
        snapshot_finish(&snapshot);
    }
}

static const struct CMUnitTest cases[] = {
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
    CASE(a_large_batch_notices_what_others_wrote_in_between),
    CASE(a_member_that_moves_bumps_the_role_it_leaves),
    CASE(a_member_that_moves_keeps_its_request_and_has_one_record),
    CASE(a_member_that_was_deleted_comes_back_without_its_request),
    CASE(a_batch_of_no_heartbeats_tells_the_clock),
    CASE(batches_may_change_from_one_to_the_next),
};

CONTRACT_GROUP(contract_members);
