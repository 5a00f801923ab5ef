/* Writes: revisions, preconditions, requests and specs. */
#include "contract/cases.h"

#include <stdio.h>
#include <string.h>

/* --- Writes ----------------------------------------------------------------------------------- */

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
    if (scene->factory->has_own_clock) {
        skip();
    }
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
    let_time_pass(scene, 2); /* no store is wiped and filled again within its clock's tick */
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
    let_time_pass(scene, 2);
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

static void a_write_that_does_nothing_bumps_the_revision_all_the_same(void **state)
{
    SCENE(state);
    contract_put(driver, store, "app", "a", 100, 5);
    int64_t first = revision_of(driver, store, "app");
    assert_int_equal(contract_put(driver, store, "app", "a", 100, 5), COMRADE_OK);
    int64_t second = revision_of(driver, store, "app");
    assert_true(second > first);
    comrade_change removal = anything(COMRADE_DELETE, "nobody");
    assert_int_equal(write_one(driver, store, "app", &removal).status, COMRADE_OK);
    assert_true(revision_of(driver, store, "app") > second);
}

static void a_fenced_or_gone_change_takes_the_whole_write_with_it(void **state)
{
    SCENE(state);
    contract_put(driver, store, "app", "a", 100, 1);
    contract_put(driver, store, "app", "b", 100, 1);
    comrade_own newer = own_part(100, 2);
    comrade_own older = own_part(99, 9);
    comrade_request request = {.kind = COMRADE_REQUEST_KILL, .incarnation = 100};
    comrade_change changes[] = {anything(COMRADE_PUT_OWN, "a"), anything(COMRADE_PUT_OWN, "b"),
                                anything(COMRADE_PUT_REQUEST, "nobody")};
    changes[0].own = &newer;
    changes[1].own = &older;
    changes[2].request = &request;
    int64_t revision = revision_of(driver, store, "app");
    assert_int_equal(
        write_changes(driver, store, "app", COMRADE_ANYTHING, "r-1", changes, 2).status,
        COMRADE_FENCED);
    changes[1] = changes[2];
    assert_int_equal(
        write_changes(driver, store, "app", COMRADE_ANYTHING, "r-2", changes, 2).status,
        COMRADE_GONE);
    assert_int_equal(beat(driver, store, "a", 100, NULL).own_sequence, 1);
    assert_int_equal(revision_of(driver, store, "app"), revision);
    struct snapshot snapshot;
    look_at_role(driver, store, "app", &snapshot);
    assert_int_equal(snapshot.roles[0].n_recent_request_ids, 0);
    snapshot_finish(&snapshot);
}

static void requests_and_deletes_compare_what_they_expect(void **state)
{
    SCENE(state);
    contract_put(driver, store, "app", "a", 100, 1);
    comrade_request request = {.kind = COMRADE_REQUEST_KILL, .incarnation = 100};
    comrade_change change = anything(COMRADE_PUT_REQUEST, "a");
    change.request = &request;
    change.expect_incarnation = 101;
    assert_int_equal(write_one(driver, store, "app", &change).status, COMRADE_CONFLICT);
    change.expect_incarnation = 100;
    change.expect_request_revision = 1;
    assert_int_equal(write_one(driver, store, "app", &change).status, COMRADE_CONFLICT);
    change.expect_request_revision = 0; /* none was ever made */
    assert_int_equal(write_one(driver, store, "app", &change).status, COMRADE_OK);
    assert_int_equal(write_one(driver, store, "app", &change).status, COMRADE_CONFLICT);
    comrade_change removal = anything(COMRADE_DELETE, "a");
    removal.expect_incarnation = 99;
    assert_int_equal(write_one(driver, store, "app", &removal).status, COMRADE_CONFLICT);
    removal.expect_incarnation = 100;
    assert_int_equal(write_one(driver, store, "app", &removal).status, COMRADE_OK);
    change.expect_request_revision = COMRADE_ANYTHING;
    assert_int_equal(write_one(driver, store, "app", &change).status, COMRADE_GONE);
}

static void a_request_keeps_the_time_it_is_given(void **state)
{
    SCENE(state);
    contract_put(driver, store, "app", "a", 100, 1);
    comrade_request request = {.kind = COMRADE_REQUEST_KILL,
                               .incarnation = 100,
                               .requested_ms = 12345,
                               .revision = 77}; /* not used */
    comrade_change change = anything(COMRADE_PUT_REQUEST, "a");
    change.request = &request;
    assert_int_equal(write_one(driver, store, "app", &change).status, COMRADE_OK);
    struct snapshot snapshot;
    look_at_role(driver, store, "app", &snapshot);
    assert_int_equal(snapshot.records[0].request.requested_ms, 12345);
    assert_true(snapshot.records[0].request.revision != 77);
    snapshot_finish(&snapshot);
}

static void each_role_remembers_its_own_requests(void **state)
{
    SCENE(state);
    write_changes(driver, store, "app", COMRADE_ANYTHING, "r-app", NULL, 0);
    write_changes(driver, store, "db", COMRADE_ANYTHING, "r-db", NULL, 0);
    struct snapshot snapshot;
    look_at_role(driver, store, "app", &snapshot);
    assert_int_equal(snapshot.roles[0].n_recent_request_ids, 1);
    assert_string_equal(snapshot.roles[0].recent_request_ids[0], "r-app");
    snapshot_finish(&snapshot);
}

static void the_largest_texts_come_back_whole(void **state)
{
    SCENE(state);
    static char id[COMRADE_ID_MAX_BYTES + 1];
    static char role[COMRADE_ROLE_MAX_BYTES + 1];
    static char metadata[COMRADE_METADATA_MAX_BYTES + 1];
    memset(id, 'i', sizeof id - 1);
    memset(role, 'r', sizeof role - 1);
    memset(metadata, 'm', sizeof metadata - 1);
    memcpy(metadata, "{\"m\":\"", sizeof "{\"m\":\"" - 1);
    memcpy(metadata + sizeof metadata - sizeof "\"}", "\"}", sizeof "\"}");
    comrade_own own = own_part(100, 1);
    own.metadata = metadata;
    own.details = metadata;
    comrade_change change = anything(COMRADE_PUT_OWN, id);
    change.own = &own;
    assert_int_equal(write_one(driver, store, role, &change).status, COMRADE_OK);
    contract_put(driver, store, role, "z", 100, 1);
    struct snapshot snapshot;
    comrade_snapshot_query query = {.scope = COMRADE_SCOPE_ALL, .limit = 1};
    look(driver, store, &query, &snapshot); /* the cursor holds the longest of both, too */
    assert_int_equal(snapshot.n_records, 2);
    assert_string_equal(snapshot.records[0].id, id);
    assert_string_equal(snapshot.records[0].role, role);
    assert_string_equal(snapshot.records[0].own.metadata, metadata);
    assert_string_equal(snapshot.records[0].own.details, metadata);
    snapshot_finish(&snapshot);
}

static const struct CMUnitTest cases[] = {
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
    CASE(a_write_that_does_nothing_bumps_the_revision_all_the_same),
    CASE(a_fenced_or_gone_change_takes_the_whole_write_with_it),
    CASE(requests_and_deletes_compare_what_they_expect),
    CASE(a_request_keeps_the_time_it_is_given),
    CASE(each_role_remembers_its_own_requests),
    CASE(the_largest_texts_come_back_whole),
};

CONTRACT_GROUP(contract_writes);
