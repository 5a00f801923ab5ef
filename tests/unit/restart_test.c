/* A restart that was asked for: decided by the budget, told once, and done by the lifecycle. */
#include "core/lifecycle.h"
#include "core/member.h"
#include "core/operation.h"
#include "unit/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- Asking ------------------------------------------------------------------------------------
 */

static struct operation *make(enum operation_kind kind, bool is_budgeted)
{
    comrade_request_options request = COMRADE_REQUEST_OPTIONS_INIT;
    request.is_budgeted = is_budgeted;
    struct operation_options options = {.kind = kind,
                                        .id = "a",
                                        .request = &request,
                                        .host = "laptop",
                                        .heartbeat_ms = 10000,
                                        .call_timeout_ms = FIXTURE_CALL_TIMEOUT_MS,
                                        .env = &env_system};
    struct operation *operation = NULL;
    assert_int_equal(operation_new(&options, &operation, NULL), COMRADE_OK);
    assert_int_equal(operation_start(operation), NEED_SNAPSHOT);
    return operation;
}

static enum need look(struct operation *operation, const comrade_record *records, size_t n,
                      const char *spec)
{
    fixture_role(&operation->snapshot, 41, spec);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(snapshot_add_record(&operation->snapshot, &records[i]), COMRADE_OK);
    }
    return operation_on_snapshot(operation, COMRADE_OK, NULL);
}

static void asked_for(comrade_record *record, comrade_request_kind kind)
{
    record->request.kind = kind;
    record->request.incarnation = record->own.incarnation;
    record->request.revision = 5;
}

static void a_restart_is_asked_of_this_life(void **state)
{
    (void)state;
    comrade_record record = fixture_record("a", 9000);
    struct operation *operation = make(OPERATION_RESTART, false);
    assert_int_equal(look(operation, &record, 1, "{\"minMembers\":1}"), NEED_WRITE);
    assert_int_equal(operation->changes[0].request->kind, COMRADE_REQUEST_RESTART);
    assert_int_equal(operation->changes[0].request->incarnation, record.own.incarnation);
    assert_int_equal(operation->writes[0].expect_revision, COMRADE_ANYTHING);
    operation_free(operation);
}

static void a_budgeted_restart_keeps_the_minimum(void **state)
{
    (void)state;
    const comrade_record records[] = {fixture_record("a", 5000), fixture_record("b", 9000)};
    struct operation *operation = make(OPERATION_RESTART, true);
    assert_int_equal(look(operation, records, 1, "{\"minMembers\":2}"), NEED_SNAPSHOT);
    assert_int_equal(look(operation, records, 2, "{\"minMembers\":2}"), NEED_NOTHING);
    assert_int_equal(operation->status, COMRADE_REFUSED);
    assert_non_null(strstr(operation->error.message, "not restarted: \"a\" would leave"));
    operation_free(operation);
}

static void where_nobody_set_a_minimum_even_the_only_member_is_restarted(void **state)
{
    (void)state;
    comrade_record record = fixture_record("a", 5000);
    struct operation *operation = make(OPERATION_RESTART, true);
    assert_int_equal(look(operation, &record, 1, "{}"), NEED_SNAPSHOT);
    assert_int_equal(look(operation, &record, 1, "{}"), NEED_WRITE);
    assert_int_equal(operation->writes[0].expect_revision, 41);
    operation_free(operation);
}

static void who_was_asked_to_leave_is_not_asked_to_come_back(void **state)
{
    (void)state;
    comrade_record record = fixture_record("a", 5000);
    asked_for(&record, COMRADE_REQUEST_KILL);
    struct operation *operation = make(OPERATION_RESTART, false);
    assert_int_equal(look(operation, &record, 1, "{}"), NEED_NOTHING);
    assert_int_equal(operation->status, COMRADE_OK);
    assert_int_equal(operation->n_writes, 0);
    operation_free(operation);
}

static void who_was_to_come_back_may_be_told_to_stay_away(void **state)
{
    (void)state;
    comrade_record record = fixture_record("a", 5000);
    asked_for(&record, COMRADE_REQUEST_RESTART);
    struct operation *operation = make(OPERATION_KILL, false);
    assert_int_equal(look(operation, &record, 1, "{}"), NEED_WRITE);
    assert_int_equal(operation->changes[0].request->kind, COMRADE_REQUEST_KILL);
    operation_free(operation);
}

/* --- Hearing of it -----------------------------------------------------------------------------
 */

struct world {
    struct member member;
    comrade_record record;
};

static void write_answered(struct world *world)
{
    comrade_write write;
    comrade_change change;
    comrade_own own;
    member_write(&world->member, 1000, &write, &change, &own);
    world->record.own.incarnation = own.incarnation;
    world->record.own.sequence = own.sequence;
    world->record.own.is_alive = own.is_alive;
    comrade_write_result result = {.status = COMRADE_OK, .revision = 7, .now_ms = FIXTURE_NOW_MS};
    member_on_written(&world->member, own.sequence, &result);
}

static void make_registered(struct world *world)
{
    struct member_options options = {
        .id = "a", .role = "app", .host = "web1", .metadata = "{}", .pid = 4711, .is_ready = true};
    *world = (struct world){.record = fixture_record("a", 0)};
    assert_int_equal(member_init(&world->member, &options, NULL), COMRADE_OK);
    member_start(&world->member);
    member_on_read(&world->member, NULL, FIXTURE_NOW_MS, false);
    write_answered(world);
    world->member.events = 0;
}

static void ask(struct world *world, comrade_request_kind kind)
{
    asked_for(&world->record, kind);
    world->record.request.revision = kind == COMRADE_REQUEST_KILL ? 6 : 5;
    member_on_read(&world->member, &world->record, FIXTURE_NOW_MS, false);
}

static void a_restart_is_told_when_it_is_off_the_list(void **state)
{
    (void)state;
    struct world world;
    make_registered(&world);
    ask(&world, COMRADE_REQUEST_RESTART);
    assert_int_equal(world.member.events, 0);
    write_answered(&world);
    assert_false(world.record.own.is_alive);
    assert_int_equal(world.member.events, MEMBER_EVENT_RESTART);
    assert_int_equal(world.member.restart.n_records, 1);
    world.member.events = 0;
    ask(&world, COMRADE_REQUEST_RESTART);
    assert_int_equal(world.member.events, 0);
    member_finish(&world.member);
}

static void a_kill_after_it_is_told_too_and_at_once(void **state)
{
    (void)state;
    struct world world;
    make_registered(&world);
    ask(&world, COMRADE_REQUEST_RESTART);
    write_answered(&world);
    world.member.events = 0;
    ask(&world, COMRADE_REQUEST_KILL);
    assert_int_equal(world.member.events, MEMBER_EVENT_SHUTDOWN);
    assert_int_equal(world.member.shutdown.n_records, 1);
    world.member.events = 0;
    ask(&world, COMRADE_REQUEST_RESTART);
    assert_int_equal(world.member.events, 0);
    member_finish(&world.member);
}

static void a_kill_before_it_was_told_takes_its_place(void **state)
{
    (void)state;
    struct world world;
    make_registered(&world);
    ask(&world, COMRADE_REQUEST_RESTART);
    ask(&world, COMRADE_REQUEST_KILL);
    write_answered(&world);
    assert_int_equal(world.member.events, MEMBER_EVENT_SHUTDOWN);
    member_finish(&world.member);
}

/* --- Doing it ----------------------------------------------------------------------------------
 */

static const struct lifecycle_row *step(struct lifecycle *lifecycle, enum lifecycle_event event)
{
    struct lifecycle_input input = {event, 1000, 25, false};
    return lifecycle_step(lifecycle, &input);
}

static struct lifecycle lifecycle_up(void)
{
    struct lifecycle lifecycle;
    lifecycle_init(&lifecycle, &(struct lifecycle_options)LIFECYCLE_OPTIONS_INIT);
    step(&lifecycle, LIFECYCLE_EVENT_START);
    step(&lifecycle, LIFECYCLE_EVENT_READY);
    return lifecycle;
}

static void assert_starts_anew(const struct lifecycle *lifecycle, const struct lifecycle_row *row)
{
    unsigned wanted = LIFECYCLE_RENEW | LIFECYCLE_REPORT | LIFECYCLE_SPAWN;
    assert_int_equal(lifecycle->state, LIFECYCLE_STARTING);
    assert_int_equal(row->actions & wanted, wanted);
}

static void it_drains_stops_and_starts_without_a_delay(void **state)
{
    (void)state;
    struct lifecycle lifecycle = lifecycle_up();
    step(&lifecycle, LIFECYCLE_EVENT_RESTART);
    assert_int_equal(lifecycle.state, LIFECYCLE_DRAINING);
    step(&lifecycle, LIFECYCLE_EVENT_TIMER);
    assert_int_equal(lifecycle.state, LIFECYCLE_STOPPING);
    step(&lifecycle, LIFECYCLE_EVENT_EXITED);
    assert_starts_anew(&lifecycle, step(&lifecycle, LIFECYCLE_EVENT_TREE_GONE));

    /* Once: the next exit is its own. */
    step(&lifecycle, LIFECYCLE_EVENT_READY);
    step(&lifecycle, LIFECYCLE_EVENT_EXITED);
    step(&lifecycle, LIFECYCLE_EVENT_TREE_GONE);
    assert_int_equal(lifecycle.state, LIFECYCLE_STOPPED);
}

static void whoever_leaves_meanwhile_stays_away(void **state)
{
    (void)state;
    static const enum lifecycle_event events[] = {LIFECYCLE_EVENT_LEAVE, LIFECYCLE_EVENT_EVICT,
                                                  LIFECYCLE_EVENT_KILL};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        struct lifecycle lifecycle = lifecycle_up();
        step(&lifecycle, LIFECYCLE_EVENT_RESTART);
        step(&lifecycle, events[i]);
        if (lifecycle.state == LIFECYCLE_DRAINING) {
            step(&lifecycle, LIFECYCLE_EVENT_TIMER);
        }
        step(&lifecycle, LIFECYCLE_EVENT_EXITED);
        assert_int_equal(step(&lifecycle, LIFECYCLE_EVENT_TREE_GONE)->next, LIFECYCLE_STOPPED);
    }
}

static void one_that_waits_to_be_started_is_started_at_once(void **state)
{
    (void)state;
    struct lifecycle lifecycle = lifecycle_up();
    struct lifecycle_input crash = {LIFECYCLE_EVENT_EXITED, 1000, 25, true};
    lifecycle_step(&lifecycle, &crash);
    step(&lifecycle, LIFECYCLE_EVENT_TREE_GONE);
    assert_int_equal(lifecycle.state, LIFECYCLE_BACKOFF);
    assert_starts_anew(&lifecycle, step(&lifecycle, LIFECYCLE_EVENT_RESTART));
}

static void one_that_is_starting_is_stopped_first_and_that_is_no_failure(void **state)
{
    (void)state;
    struct lifecycle lifecycle;
    lifecycle_init(&lifecycle, &(struct lifecycle_options)LIFECYCLE_OPTIONS_INIT);
    step(&lifecycle, LIFECYCLE_EVENT_START);
    step(&lifecycle, LIFECYCLE_EVENT_RESTART);
    assert_int_equal(lifecycle.state, LIFECYCLE_STOPPING);
    assert_false(lifecycle.has_timed_out);
    step(&lifecycle, LIFECYCLE_EVENT_EXITED);
    assert_starts_anew(&lifecycle, step(&lifecycle, LIFECYCLE_EVENT_TREE_GONE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restart_is_asked_of_this_life),
        cmocka_unit_test(a_budgeted_restart_keeps_the_minimum),
        cmocka_unit_test(where_nobody_set_a_minimum_even_the_only_member_is_restarted),
        cmocka_unit_test(who_was_asked_to_leave_is_not_asked_to_come_back),
        cmocka_unit_test(who_was_to_come_back_may_be_told_to_stay_away),
        cmocka_unit_test(a_restart_is_told_when_it_is_off_the_list),
        cmocka_unit_test(a_kill_after_it_is_told_too_and_at_once),
        cmocka_unit_test(a_kill_before_it_was_told_takes_its_place),
        cmocka_unit_test(it_drains_stops_and_starts_without_a_delay),
        cmocka_unit_test(whoever_leaves_meanwhile_stays_away),
        cmocka_unit_test(one_that_waits_to_be_started_is_started_at_once),
        cmocka_unit_test(one_that_is_starting_is_stopped_first_and_that_is_no_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
