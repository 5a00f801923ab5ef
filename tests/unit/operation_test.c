/* What a client asks for, decided over snapshots: no store, no clock. */
#include "core/budget.h"
#include "core/operation.h"
#include "core/spec.h"
#include "unit/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct operation *make(enum operation_kind kind, const char *id, const char *role,
                              bool is_budgeted)
{
    comrade_query query = COMRADE_QUERY_INIT;
    query.role = role;
    comrade_request_options request = COMRADE_REQUEST_OPTIONS_INIT;
    request.is_budgeted = is_budgeted;
    struct operation_options options = {
        .kind = kind,
        .id = id,
        .role = role,
        .query = &query,
        .request = &request,
        .host = "laptop",
        .min_members = 2,
        .heartbeat_ms = 10000,
        .call_timeout_ms = FIXTURE_CALL_TIMEOUT_MS,
        .env = &env_system,
    };
    struct operation *operation = NULL;
    assert_int_equal(operation_new(&options, &operation, NULL), COMRADE_OK);
    return operation;
}

static void give(struct operation *operation, const comrade_record *records, size_t n,
                 int64_t revision, const char *spec)
{
    fixture_role(&operation->snapshot, revision, spec);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(snapshot_add_record(&operation->snapshot, &records[i]), COMRADE_OK);
    }
}

static enum need look(struct operation *operation, const comrade_record *records, size_t n,
                      int64_t revision, const char *spec)
{
    give(operation, records, n, revision, spec);
    return operation_on_snapshot(operation, COMRADE_OK, NULL);
}

static enum need answer(struct operation *operation, comrade_status status)
{
    comrade_write_result result = {.status = status, .revision = 99, .now_ms = FIXTURE_NOW_MS};
    return operation_on_written(operation, COMRADE_OK, &result, NULL);
}

static void kill_oldest_names_the_revision_it_saw(void **state)
{
    (void)state;
    const comrade_record records[] = {fixture_record("a", 5000), fixture_record("b", 9000),
                                      fixture_record("c", 7000)};
    struct operation *operation = make(OPERATION_KILL_OLDEST, NULL, "app", false);
    assert_int_equal(operation_start(operation), NEED_SNAPSHOT);
    assert_int_equal(look(operation, records, 3, 41, "{\"minMembers\":2}"), NEED_WRITE);
    assert_int_equal(operation->writes[0].expect_revision, 41);
    assert_string_equal(operation->changes[0].id, "b");
    assert_int_equal(operation->changes[0].expect_incarnation, records[1].own.incarnation);
    assert_int_equal(operation->changes[0].request->kind, COMRADE_REQUEST_KILL);
    assert_int_equal(answer(operation, COMRADE_OK), NEED_NOTHING);
    assert_int_equal(operation->status, COMRADE_OK);
    operation_free(operation);
}

static void equal_ages_are_decided_by_id(void **state)
{
    (void)state;
    const comrade_record records[] = {fixture_record("b", 5000), fixture_record("c", 5000),
                                      fixture_record("a", 5000)};
    struct operation *operation = make(OPERATION_KILL_OLDEST, NULL, "app", false);
    operation_start(operation);
    assert_int_equal(look(operation, records, 3, 1, "{}"), NEED_WRITE);
    assert_string_equal(operation->changes[0].id, "a");
    operation_free(operation);
}

static void the_crashed_are_not_counted(void **state)
{
    (void)state;
    const comrade_record records[] = {fixture_record("a", 9000), fixture_crashed("b", 5000),
                                      fixture_crashed("c", 5000)};
    struct operation *operation = make(OPERATION_KILL_OLDEST, NULL, "app", false);
    operation_start(operation);
    assert_int_equal(look(operation, records, 3, 1, "{\"minMembers\":1}"), NEED_NOTHING);
    assert_int_equal(operation->status, COMRADE_REFUSED);
    assert_int_equal(operation->available, 1);
    operation_free(operation);
}

static void a_silent_member_is_no_victim(void **state)
{
    (void)state;
    const comrade_record records[] = {fixture_crashed("a", 9000), fixture_record("b", 5000),
                                      fixture_record("c", 4000)};
    struct operation *operation = make(OPERATION_KILL_OLDEST, NULL, "app", false);
    operation_start(operation);
    assert_int_equal(look(operation, records, 3, 1, "{}"), NEED_WRITE);
    assert_string_equal(operation->changes[0].id, "b");
    operation_free(operation);
    operation = make(OPERATION_KILL_OLDEST, NULL, "app", false);
    operation_start(operation);
    assert_int_equal(look(operation, records, 1, 1, "{}"), NEED_NOTHING);
    assert_int_equal(operation->status, COMRADE_NOT_FOUND);
    assert_non_null(strstr(operation->error.message, "heartbeats"));
    operation_free(operation);
}

static void without_a_minimum_kill_oldest_keeps_one(void **state)
{
    (void)state;
    const comrade_record records[] = {fixture_record("a", 9000)};
    struct operation *operation = make(OPERATION_KILL_OLDEST, NULL, "app", false);
    operation_start(operation);
    assert_int_equal(look(operation, records, 1, 1, "{}"), NEED_NOTHING);
    assert_int_equal(operation->status, COMRADE_REFUSED);
    operation_free(operation);
    operation = make(OPERATION_KILL_OLDEST, NULL, "app", false);
    operation_start(operation);
    assert_int_equal(look(operation, records, 1, 1, "{\"minMembers\":0}"), NEED_WRITE);
    operation_free(operation);
}

static void a_member_that_is_asked_already_does_not_count(void **state)
{
    (void)state;
    comrade_record records[] = {fixture_record("a", 9000), fixture_record("b", 5000),
                                fixture_record("c", 4000)};
    records[0].request.kind = COMRADE_REQUEST_KILL;
    records[0].request.incarnation = records[0].own.incarnation;
    records[0].request.revision = 7;
    struct operation *operation = make(OPERATION_KILL_OLDEST, NULL, "app", false);
    operation_start(operation);
    assert_int_equal(look(operation, records, 3, 1, "{\"minMembers\":2}"), NEED_NOTHING);
    assert_int_equal(operation->status, COMRADE_REFUSED);
    operation_free(operation);
}

static void a_request_for_an_earlier_incarnation_means_nothing(void **state)
{
    (void)state;
    comrade_record records[] = {fixture_record("a", 9000), fixture_record("b", 5000)};
    records[0].request.kind = COMRADE_REQUEST_KILL;
    records[0].request.incarnation = records[0].own.incarnation - 1;
    struct operation *operation = make(OPERATION_KILL_OLDEST, NULL, "app", false);
    operation_start(operation);
    assert_int_equal(look(operation, records, 2, 1, "{\"minMembers\":1}"), NEED_WRITE);
    assert_string_equal(operation->changes[0].id, "a");
    operation_free(operation);
}

static void a_heartbeat_from_the_future_is_not_fresh(void **state)
{
    (void)state;
    comrade_record records[] = {fixture_record("a", 9000), fixture_record("b", 5000)};
    records[1].updated_ms = FIXTURE_NOW_MS + 3600 * 1000;
    struct operation *operation = make(OPERATION_KILL_OLDEST, NULL, "app", false);
    operation_start(operation);
    assert_int_equal(look(operation, records, 2, 1, "{\"minMembers\":1}"), NEED_NOTHING);
    assert_int_equal(operation->status, COMRADE_REFUSED);
    operation_free(operation);
}

static void the_budget_trusts_a_heartbeat_two_deadlines_less(void **state)
{
    (void)state;
    comrade_record record = fixture_record("a", 9000);
    record.updated_ms = FIXTURE_NOW_MS - (60 * 1000 - 2 * FIXTURE_CALL_TIMEOUT_MS);
    assert_true(health_is_healthy(&record, FIXTURE_NOW_MS, VERDICT_NONE));
    assert_false(
        health_is_available(&record, FIXTURE_NOW_MS, FIXTURE_CALL_TIMEOUT_MS, VERDICT_NONE));
    record.updated_ms++;
    assert_true(
        health_is_available(&record, FIXTURE_NOW_MS, FIXTURE_CALL_TIMEOUT_MS, VERDICT_NONE));
    assert_false(
        health_is_available(&record, FIXTURE_NOW_MS, FIXTURE_CALL_TIMEOUT_MS, VERDICT_UNHEALTHY));
}

static void a_second_kill_leaves_the_first_request_as_it_is(void **state)
{
    (void)state;
    comrade_record record = fixture_record("a", 9000);
    record.request.kind = COMRADE_REQUEST_KILL;
    record.request.incarnation = record.own.incarnation;
    record.request.requested_ms = FIXTURE_NOW_MS - 500;
    struct operation *operation = make(OPERATION_KILL, "a", NULL, false);
    operation_start(operation);
    assert_int_equal(look(operation, &record, 1, 1, "{}"), NEED_NOTHING);
    assert_int_equal(operation->status, COMRADE_OK);
    assert_int_equal(operation->n_writes, 0);
    operation_free(operation);
}

static void killing_one_that_has_left_is_an_error(void **state)
{
    (void)state;
    comrade_record record = fixture_record("a", 9000);
    record.request.kind = COMRADE_REQUEST_KILL;
    record.request.incarnation = record.own.incarnation;
    record.own.state = COMRADE_STATE_STOPPED;
    struct operation *operation = make(OPERATION_KILL, "a", NULL, false);
    operation_start(operation);
    assert_int_equal(look(operation, &record, 1, 1, "{}"), NEED_NOTHING);
    assert_int_equal(operation->status, COMRADE_NOT_FOUND);
    operation_free(operation);
}

static void killing_an_unknown_id_is_an_error(void **state)
{
    (void)state;
    struct operation *operation = make(OPERATION_KILL, "nobody", NULL, false);
    operation_start(operation);
    assert_int_equal(look(operation, NULL, 0, 1, "{}"), NEED_NOTHING);
    assert_int_equal(operation->status, COMRADE_NOT_FOUND);
    operation_free(operation);
}

static void a_budgeted_kill_looks_at_the_whole_role(void **state)
{
    (void)state;
    const comrade_record records[] = {fixture_record("a", 9000), fixture_record("b", 5000)};
    struct operation *operation = make(OPERATION_KILL, "a", NULL, true);
    operation_start(operation);
    assert_int_equal(look(operation, records, 1, 1, "{\"minMembers\":2}"), NEED_SNAPSHOT);
    assert_int_equal(operation->ask.scope, COMRADE_SCOPE_ROLE);
    assert_int_equal(look(operation, records, 2, 1, "{\"minMembers\":2}"), NEED_NOTHING);
    assert_int_equal(operation->status, COMRADE_REFUSED);
    operation_free(operation);
}

static void a_prefix_must_be_unique(void **state)
{
    (void)state;
    const comrade_record records[] = {fixture_record("app-1", 9000), fixture_record("app-12", 500)};
    struct snapshot snapshot;
    snapshot_init(&snapshot);
    fixture_role(&snapshot, 1, "{}");
    snapshot_add_record(&snapshot, &records[0]);
    snapshot_add_record(&snapshot, &records[1]);
    const comrade_record *found = NULL;
    comrade_error error;
    assert_int_equal(query_find_id(&snapshot, "app-1", true, &found, &error), COMRADE_OK);
    assert_string_equal(found->id, "app-1"); /* an exact id is never ambiguous */
    assert_int_equal(query_find_id(&snapshot, "app", true, &found, &error), COMRADE_AMBIGUOUS);
    assert_non_null(strstr(error.message, "app-12"));
    assert_int_equal(query_find_id(&snapshot, "ap-1", true, &found, &error), COMRADE_NOT_FOUND);
    assert_non_null(strstr(error.message, "did you mean \"app-1\""));
    snapshot_finish(&snapshot);
}

static void a_conflict_is_looked_at_again_and_ends_busy(void **state)
{
    (void)state;
    const comrade_record records[] = {fixture_record("a", 9000), fixture_record("b", 5000)};
    struct operation *operation = make(OPERATION_KILL_OLDEST, NULL, "app", false);
    enum need need = operation_start(operation);
    int n_looks = 0;
    while (need != NEED_NOTHING) {
        assert_int_equal(need, NEED_SNAPSHOT);
        assert_true(++n_looks < 100);
        assert_int_equal(look(operation, records, 2, n_looks, "{}"), NEED_WRITE);
        need = answer(operation, COMRADE_CONFLICT);
        if (need == NEED_WAIT) {
            need = operation_on_waited(operation);
        }
    }
    assert_int_equal(operation->status, COMRADE_BUSY);
    assert_int_equal(n_looks, 21);
    operation_free(operation);
}

static void lose_the_answer(struct operation *operation)
{
    assert_int_equal(operation_on_written(operation, COMRADE_UNKNOWN, NULL, NULL), NEED_WAIT);
    assert_int_equal(operation_on_waited(operation), NEED_SNAPSHOT);
}

static void a_lost_answer_is_found_by_its_request_id(void **state)
{
    (void)state;
    const comrade_record records[] = {fixture_record("a", 9000), fixture_record("b", 5000)};
    struct operation *operation = make(OPERATION_KILL_OLDEST, NULL, "app", false);
    operation_start(operation);
    look(operation, records, 2, 1, "{}");
    lose_the_answer(operation);
    const char *recent[] = {"another", operation->request_id};
    comrade_role role = {.role = "app",
                         .revision = 2,
                         .spec = "{}",
                         .recent_request_ids = recent,
                         .n_recent_request_ids = 2};
    snapshot_add_role(&operation->snapshot, &role);
    assert_int_equal(operation_on_snapshot(operation, COMRADE_OK, NULL), NEED_NOTHING);
    assert_int_equal(operation->status, COMRADE_OK);
    operation_free(operation);
}

static void a_lost_answer_is_made_final_before_it_is_tried_again(void **state)
{
    (void)state;
    const comrade_record records[] = {fixture_record("a", 9000), fixture_record("b", 5000)};
    struct operation *operation = make(OPERATION_KILL_OLDEST, NULL, "app", false);
    operation_start(operation);
    look(operation, records, 2, 1, "{}");
    lose_the_answer(operation);
    assert_int_equal(look(operation, records, 2, 1, "{}"), NEED_WRITE);
    assert_int_equal(operation->writes[0].n_changes, 0);
    assert_int_equal(operation->writes[0].expect_revision, 1);
    assert_int_equal(answer(operation, COMRADE_OK), NEED_SNAPSHOT);
    assert_int_equal(look(operation, records, 2, 2, "{}"), NEED_WRITE);
    assert_int_equal(operation->writes[0].n_changes, 1);
    assert_int_equal(operation->writes[0].expect_revision, 2);
    operation_free(operation);
}

static void a_client_minimum_can_raise_but_not_lower(void **state)
{
    (void)state;
    const comrade_record records[] = {fixture_record("a", 9000), fixture_record("b", 5000)};
    struct snapshot snapshot;
    snapshot_init(&snapshot);
    fixture_role(&snapshot, 1, "{\"minMembers\":2}");
    snapshot_add_record(&snapshot, &records[0]);
    snapshot_add_record(&snapshot, &records[1]);
    const struct {
        int client;
        int expected;
    } cases[] = {{SPEC_UNSET, 2}, {0, 2}, {3, 3}};
    for (size_t i = 0; i < 3; i++) {
        struct budget budget =
            budget_measure(&snapshot, "app", NULL, cases[i].client, 1, FIXTURE_CALL_TIMEOUT_MS);
        assert_int_equal(budget.minimum, cases[i].expected);
        assert_int_equal(budget.available, 2);
    }
    snapshot_finish(&snapshot);
}

static void clear_stale_waits_one_interval_and_names_what_it_saw(void **state)
{
    (void)state;
    comrade_record records[] = {fixture_record("a", 9000), fixture_record("b", 5000),
                                fixture_record("c", 5000)};
    records[1].updated_ms = FIXTURE_NOW_MS - 2 * 3600 * 1000;
    records[2].updated_ms = FIXTURE_NOW_MS - 2 * 3600 * 1000;
    struct operation *operation = make(OPERATION_CLEAR_STALE, NULL, NULL, false);
    enum need need = operation_start(operation);
    int64_t waited_ms = 0;
    while (need == NEED_SNAPSHOT) {
        if (waited_ms > 9000) {
            records[2].updated_ms = FIXTURE_NOW_MS - 10; /* it came back meanwhile */
        }
        need = look(operation, records, 3, 1, "{}");
        if (need == NEED_WAIT) {
            waited_ms += operation->wait_ms;
            need = operation_on_waited(operation);
        }
    }
    assert_true(waited_ms >= 10000);
    assert_int_equal(need, NEED_WRITE);
    assert_int_equal(operation->n_writes, 1);
    assert_string_equal(operation->changes[0].id, "b");
    assert_int_equal(operation->changes[0].expect_updated_ms, records[1].updated_ms);
    assert_int_equal(answer(operation, COMRADE_OK), NEED_NOTHING);
    assert_true(operation_tells(operation, 1));
    assert_false(operation_tells(operation, 2));
    operation_free(operation);
}

static void a_rolling_kill_goes_on_when_the_store_fails_midway(void **state)
{
    (void)state;
    comrade_record records[] = {fixture_record("a", 9000), fixture_record("b", 5000),
                                fixture_record("c", 4000)};
    struct operation *operation = make(OPERATION_ROLLING_KILL, NULL, "app", false);
    operation_start(operation);
    assert_int_equal(look(operation, records, 3, 1, "{}"), NEED_WRITE);
    assert_string_equal(operation->changes[0].id, "a");
    assert_int_equal(answer(operation, COMRADE_OK), NEED_WAIT);
    assert_int_equal(operation->wait_ms, 10000);
    operation_on_waited(operation);
    comrade_error down = {COMRADE_UNAVAILABLE, "down"};
    assert_int_equal(operation_on_snapshot(operation, COMRADE_UNAVAILABLE, &down), NEED_WAIT);
    assert_int_equal(operation_on_waited(operation), NEED_SNAPSHOT);
    records[0].request.kind = COMRADE_REQUEST_KILL;
    records[0].request.incarnation = records[0].own.incarnation;
    comrade_record newcomer = fixture_record("d", 10);
    const comrade_record later[] = {records[0], records[1], newcomer};
    assert_int_equal(look(operation, later, 3, 2, "{}"), NEED_WRITE);
    assert_string_equal(operation->changes[0].id, "b");
    assert_int_equal(answer(operation, COMRADE_OK), NEED_WAIT);
    operation_on_waited(operation);
    assert_int_equal(look(operation, &newcomer, 1, 3, "{}"), NEED_NOTHING);
    assert_int_equal(operation->status, COMRADE_OK); /* the newcomer was never meant */
    operation_free(operation);
}

static void a_rolling_kill_fails_with_the_store_before_it_has_noted_anybody(void **state)
{
    (void)state;
    comrade_error missing = {COMRADE_UNAVAILABLE, "there is no store"};
    struct operation *operation = make(OPERATION_ROLLING_KILL, NULL, "app", false);
    operation_start(operation);
    assert_int_equal(operation_on_snapshot(operation, COMRADE_UNAVAILABLE, &missing), NEED_NOTHING);
    assert_int_equal(operation->status, COMRADE_UNAVAILABLE);
    assert_string_equal(operation->error.message, "there is no store");
    operation_free(operation);
}

static void a_rolling_kill_waits_while_the_budget_refuses(void **state)
{
    (void)state;
    const comrade_record records[] = {fixture_record("a", 9000), fixture_record("b", 5000)};
    struct operation *operation = make(OPERATION_ROLLING_KILL, NULL, "app", false);
    operation_start(operation);
    assert_int_equal(look(operation, records, 2, 1, "{\"minMembers\":2}"), NEED_WAIT);
    assert_int_equal(operation_on_waited(operation), NEED_SNAPSHOT);
    operation_free(operation);
}

static void kill_oldest_without_a_role_says_so(void **state)
{
    (void)state;
    struct operation_options options = {.kind = OPERATION_KILL_OLDEST, .env = &env_system};
    struct operation *operation = NULL;
    comrade_error error;
    assert_int_equal(operation_new(&options, &operation, &error), COMRADE_INVALID);
    assert_string_equal(error.message, "You must set a role");
    assert_null(operation);
}

static void an_unreadable_spec_refuses_every_budgeted_kill(void **state)
{
    (void)state;
    const comrade_record records[] = {fixture_record("a", 9000), fixture_record("b", 5000)};
    const enum operation_kind kinds[] = {OPERATION_KILL_OLDEST, OPERATION_GET_ROLE};
    for (size_t i = 0; i < 2; i++) {
        struct operation *operation = make(kinds[i], NULL, "app", false);
        operation_start(operation);
        assert_int_equal(look(operation, records, 2, 1, "{\"minMembers\":"), NEED_NOTHING);
        assert_int_equal(operation->status, COMRADE_BROKEN);
        assert_non_null(strstr(operation->error.message, "comrade role set"));
        operation_free(operation);
    }
    struct operation *operation = make(OPERATION_SET_ROLE, NULL, "app", false);
    operation_start(operation);
    assert_int_equal(look(operation, records, 2, 1, "{\"minMembers\":"), NEED_WRITE);
    assert_string_equal(operation->changes[0].spec, "{\"minMembers\":2}");
    operation_free(operation);
}

static void a_spec_keeps_what_it_does_not_know(void **state)
{
    (void)state;
    comrade_role role = {.role = "app", .spec_version = 5, .spec = "{\"release\":\"7\"}"};
    char *spec = spec_with_min_members(&role, 3);
    assert_string_equal(spec, "{\"minMembers\":3,\"release\":\"7\"}");
    free(spec);
    assert_int_equal(spec_next_version(&role, 3), 6);
    assert_int_equal(spec_next_version(&role, 30), 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kill_oldest_names_the_revision_it_saw),
        cmocka_unit_test(equal_ages_are_decided_by_id),
        cmocka_unit_test(the_crashed_are_not_counted),
        cmocka_unit_test(a_silent_member_is_no_victim),
        cmocka_unit_test(without_a_minimum_kill_oldest_keeps_one),
        cmocka_unit_test(a_member_that_is_asked_already_does_not_count),
        cmocka_unit_test(a_request_for_an_earlier_incarnation_means_nothing),
        cmocka_unit_test(a_heartbeat_from_the_future_is_not_fresh),
        cmocka_unit_test(the_budget_trusts_a_heartbeat_two_deadlines_less),
        cmocka_unit_test(a_second_kill_leaves_the_first_request_as_it_is),
        cmocka_unit_test(killing_one_that_has_left_is_an_error),
        cmocka_unit_test(killing_an_unknown_id_is_an_error),
        cmocka_unit_test(a_budgeted_kill_looks_at_the_whole_role),
        cmocka_unit_test(a_prefix_must_be_unique),
        cmocka_unit_test(a_conflict_is_looked_at_again_and_ends_busy),
        cmocka_unit_test(a_lost_answer_is_found_by_its_request_id),
        cmocka_unit_test(a_lost_answer_is_made_final_before_it_is_tried_again),
        cmocka_unit_test(a_client_minimum_can_raise_but_not_lower),
        cmocka_unit_test(clear_stale_waits_one_interval_and_names_what_it_saw),
        cmocka_unit_test(a_rolling_kill_goes_on_when_the_store_fails_midway),
        cmocka_unit_test(a_rolling_kill_fails_with_the_store_before_it_has_noted_anybody),
        cmocka_unit_test(a_rolling_kill_waits_while_the_budget_refuses),
        cmocka_unit_test(kill_oldest_without_a_role_says_so),
        cmocka_unit_test(an_unreadable_spec_refuses_every_budgeted_kill),
        cmocka_unit_test(a_spec_keeps_what_it_does_not_know),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
