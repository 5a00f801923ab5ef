/* The member as a machine: what it writes, what it hears, and what it does when the store fails. */
#include "core/member.h"
#include "lib/allocation.h"
#include "unit/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* One member, and the store's record of it. */
struct world {
    struct member member;
    comrade_record record;
    bool has_record;
    int64_t monotonic_ms;
};

static void make(struct world *world, comrade_takeover takeover)
{
    struct member_options options = {
        .id = "app-1",
        .role = "app",
        .host = "web1",
        .metadata = "{\"port\":8080}",
        .pid = 4711,
        .is_ready = true,
        .takeover = takeover,
    };
    *world = (struct world){.record = fixture_record("app-1", 0), .monotonic_ms = 1000};
    assert_int_equal(member_init(&world->member, &options, NULL), COMRADE_OK);
    member_start(&world->member);
}

static void see(struct world *world)
{
    member_on_read(&world->member, world->has_record ? &world->record : NULL, FIXTURE_NOW_MS,
                   false);
}

/* The member writes and the store takes it. Returns its sequence, for the answer. */
static int64_t write_unanswered(struct world *world)
{
    comrade_write write;
    comrade_change change;
    comrade_own own;
    assert_true(member_needs_write(&world->member));
    member_write(&world->member, world->monotonic_ms, &write, &change, &own);
    assert_int_equal(write.n_changes, 1);
    world->has_record = true;
    world->record.own = own;
    world->record.own.host = "web1";
    world->record.own.version = "1.0.0";
    world->record.own.metadata = strcmp(own.metadata, "{\"port\":8080}") == 0 ? "first" : "other";
    world->record.own.details = "{}";
    world->record.updated_ms = FIXTURE_NOW_MS;
    return own.sequence;
}

static void answer(struct world *world, int64_t sequence, comrade_status status)
{
    comrade_write_result result = {.status = status, .revision = 7, .now_ms = FIXTURE_NOW_MS};
    member_on_written(&world->member, sequence, &result);
}

static void write_answered(struct world *world)
{
    answer(world, write_unanswered(world), COMRADE_OK);
}

static void beat(struct world *world, comrade_status status)
{
    comrade_beat_result result = {.status = status,
                                  .own_sequence = world->record.own.sequence,
                                  .request_revision = world->record.request.revision};
    member_on_beat(&world->member, &result, world->monotonic_ms + 1000);
}

static void make_registered(struct world *world)
{
    make(world, COMRADE_TAKEOVER_DEAD);
    see(world);
    write_answered(world);
    assert_int_equal(world->member.events, MEMBER_EVENT_REGISTERED);
    world->member.events = 0;
}

static void ask_to_leave(struct world *world)
{
    world->record.request.kind = COMRADE_REQUEST_KILL;
    world->record.request.incarnation = world->record.own.incarnation;
    world->record.request.revision++;
    world->record.request.request_id = "r1";
}

/* --- Registering ------------------------------------------------------------------------------ */

static void the_incarnation_is_later_than_the_stored_one_and_the_clock(void **state)
{
    (void)state;
    struct world world;
    make(&world, COMRADE_TAKEOVER_DEAD);
    see(&world);
    assert_int_equal(world.member.incarnation, FIXTURE_NOW_MS);
    member_finish(&world.member);

    make(&world, COMRADE_TAKEOVER_ALWAYS);
    world.has_record = true;
    world.record.own.incarnation = FIXTURE_NOW_MS + 3600 * 1000; /* by a clock that was ahead */
    see(&world);
    assert_int_equal(world.member.incarnation, FIXTURE_NOW_MS + 3600 * 1000 + 1);
    member_finish(&world.member);
}

static void assert_takes(comrade_takeover takeover, const comrade_record *record,
                         bool is_owner_gone, bool is_taken)
{
    struct world world;
    make(&world, takeover);
    member_on_read(&world.member, record, FIXTURE_NOW_MS, is_owner_gone);
    assert_int_equal(world.member.events, is_taken ? 0 : MEMBER_EVENT_IN_USE);
    assert_int_equal(member_needs_write(&world.member), is_taken);
    member_finish(&world.member);
}

static void only_a_dead_owner_loses_its_id(void **state)
{
    (void)state;
    comrade_record running = fixture_record("app-1", 1000);
    running.own.pid = 99;
    comrade_record elsewhere = running;
    elsewhere.own.host = "web2";
    comrade_record without_process = running;
    without_process.own.pid = 0;
    comrade_record silent = fixture_crashed("app-1", 1000);
    comrade_record stopped = running;
    stopped.own.state = COMRADE_STATE_STOPPED;
    assert_takes(COMRADE_TAKEOVER_DEAD, &running, false, false);
    assert_takes(COMRADE_TAKEOVER_DEAD, &running, true, true);
    assert_takes(COMRADE_TAKEOVER_DEAD, &silent, false, true);
    assert_takes(COMRADE_TAKEOVER_DEAD, &stopped, false, true);
    assert_takes(COMRADE_TAKEOVER_SAME_HOST, &running, true, true);
    assert_takes(COMRADE_TAKEOVER_SAME_HOST, &running, false, false); /* not under our lock */
    assert_takes(COMRADE_TAKEOVER_SAME_HOST, &without_process, false, true);
    assert_takes(COMRADE_TAKEOVER_SAME_HOST, &elsewhere, false, false);
    assert_takes(COMRADE_TAKEOVER_ALWAYS, &elsewhere, false, true);
}

static void who_was_faster_is_looked_at_again(void **state)
{
    (void)state;
    struct world world;
    make(&world, COMRADE_TAKEOVER_DEAD);
    see(&world);
    answer(&world, write_unanswered(&world), COMRADE_CONFLICT);
    assert_true(member_needs_read(&world.member));
    assert_int_equal(world.member.events, 0);
    member_finish(&world.member);
}

/* --- Being asked to leave --------------------------------------------------------------------- */

static void a_heartbeat_that_reveals_a_request_has_it_read(void **state)
{
    (void)state;
    struct world world;
    make_registered(&world);
    beat(&world, COMRADE_OK);
    assert_false(member_needs_read(&world.member));
    ask_to_leave(&world);
    beat(&world, COMRADE_OK);
    assert_true(member_needs_read(&world.member));
    member_finish(&world.member);
}

static void a_request_that_no_push_announces_within_a_second_is_noticed(void **state)
{
    (void)state;
    struct world world;
    make_registered(&world);
    ask_to_leave(&world);
    beat(&world, COMRADE_OK);
    see(&world);
    assert_false(member_take_unannounced(&world.member, world.monotonic_ms));
    assert_int_equal(member_next_time(&world.member), world.monotonic_ms + 1000);
    assert_false(member_take_unannounced(&world.member, world.monotonic_ms + 999));
    assert_true(member_take_unannounced(&world.member, world.monotonic_ms + 1000));
    assert_false(member_take_unannounced(&world.member, world.monotonic_ms + 1000)); /* once */
    member_finish(&world.member);
}

static void a_request_that_push_announces_is_none_that_it_missed(void **state)
{
    (void)state;
    struct world world;
    make_registered(&world);
    ask_to_leave(&world);
    beat(&world, COMRADE_OK);
    member_on_change(&world.member); /* a little later than the heartbeat */
    assert_false(member_take_unannounced(&world.member, world.monotonic_ms + 5000));
    see(&world);
    world.record.request.revision++;
    member_on_change(&world.member); /* a little earlier */
    beat(&world, COMRADE_OK);
    assert_false(member_take_unannounced(&world.member, world.monotonic_ms + 5000));
    member_finish(&world.member);
}

static void shutdown_is_told_once_alive_false_is_committed(void **state)
{
    (void)state;
    struct world world;
    make_registered(&world);
    ask_to_leave(&world);
    see(&world);
    assert_int_equal(world.member.events, 0);
    int64_t sequence = write_unanswered(&world);
    assert_false(world.record.own.is_alive);
    assert_int_equal(world.member.events, 0);
    answer(&world, sequence, COMRADE_OK);
    assert_int_equal(world.member.events, MEMBER_EVENT_SHUTDOWN);
    assert_true(member_needs_beat(&world.member)); /* it drains, and is seen to */
    member_finish(&world.member);
}

static void shutdown_is_told_once_for_an_incarnation(void **state)
{
    (void)state;
    struct world world;
    make_registered(&world);
    ask_to_leave(&world);
    see(&world);
    write_answered(&world);
    world.member.events = 0;
    see(&world);
    ask_to_leave(&world); /* again, as nobody should */
    beat(&world, COMRADE_OK);
    see(&world);
    comrade_report report = COMRADE_REPORT_INIT;
    report.state = COMRADE_STATE_STOPPING;
    member_report(&world.member, &report);
    write_answered(&world);
    member_on_time(&world.member, world.monotonic_ms + 60000);
    assert_int_equal(world.member.events, 0);
    member_finish(&world.member);
}

static void a_store_that_does_not_answer_delays_shutdown_by_five_seconds(void **state)
{
    (void)state;
    struct world world;
    make_registered(&world);
    ask_to_leave(&world);
    see(&world);
    assert_int_equal(member_next_time(&world.member), INT64_MAX);
    write_unanswered(&world);
    assert_int_equal(member_next_time(&world.member), world.monotonic_ms + 5000);
    member_on_time(&world.member, world.monotonic_ms + 4999);
    assert_int_equal(world.member.events, 0);
    member_on_time(&world.member, world.monotonic_ms + 5000);
    assert_int_equal(world.member.events, MEMBER_EVENT_SHUTDOWN);
    member_finish(&world.member);
}

static void a_request_for_an_earlier_incarnation_is_not_heard(void **state)
{
    (void)state;
    struct world world;
    make_registered(&world);
    ask_to_leave(&world);
    world.record.request.incarnation--;
    see(&world);
    assert_false(member_needs_write(&world.member));
    assert_int_equal(world.member.events, 0);
    member_finish(&world.member);
}

static void no_report_brings_back_who_was_asked_to_leave(void **state)
{
    (void)state;
    struct world world;
    make_registered(&world);
    ask_to_leave(&world);
    see(&world);
    write_answered(&world);
    comrade_report report = COMRADE_REPORT_INIT;
    member_report(&world.member, &report);
    write_answered(&world);
    assert_false(world.record.own.is_alive);
    assert_false(world.record.own.is_available);
    assert_int_equal(world.record.own.state, COMRADE_STATE_DRAINING);
    member_finish(&world.member);
}

/* --- Failures of the store -------------------------------------------------------------------- */

static void a_deleted_record_is_written_again_whole(void **state)
{
    (void)state;
    struct world world;
    make_registered(&world);
    world.has_record = false;
    beat(&world, COMRADE_GONE);
    assert_int_equal(world.member.events, MEMBER_EVENT_LOST);
    write_answered(&world);
    assert_int_equal(world.member.events, MEMBER_EVENT_LOST | MEMBER_EVENT_RESTORED);
    assert_int_equal(world.record.own.incarnation, world.member.incarnation);
    assert_int_equal(world.record.own.created_ms, FIXTURE_NOW_MS);
    assert_string_equal(world.record.own.metadata, "first");
    assert_true(world.record.own.is_alive);
    member_finish(&world.member);
}

static void an_old_backup_is_put_right(void **state)
{
    (void)state;
    struct world world;
    make_registered(&world);
    comrade_own backup = world.record.own;
    comrade_report report = COMRADE_REPORT_INIT;
    report.metadata = "{}";
    member_report(&world.member, &report);
    write_answered(&world);
    world.record.own = backup;
    beat(&world, COMRADE_OK);
    assert_int_equal(world.member.events, MEMBER_EVENT_LOST);
    write_answered(&world);
    assert_true(world.record.own.sequence > backup.sequence);
    assert_string_equal(world.record.own.metadata, "other");
    member_finish(&world.member);
}

static void the_fenced_do_not_fight(void **state)
{
    (void)state;
    struct world world;
    make_registered(&world);
    beat(&world, COMRADE_FENCED);
    assert_int_equal(world.member.events, MEMBER_EVENT_FENCED);
    assert_false(member_needs_write(&world.member));
    assert_false(member_needs_read(&world.member));
    assert_false(member_needs_beat(&world.member));
    member_finish(&world.member);

    make_registered(&world);
    world.record.own.incarnation++;
    see(&world);
    assert_int_equal(world.member.events, MEMBER_EVENT_FENCED);
    assert_false(member_needs_beat(&world.member));
    member_finish(&world.member);
}

static void an_outage_is_said_once_and_its_end_too(void **state)
{
    (void)state;
    struct world world;
    make_registered(&world);
    comrade_error down = {COMRADE_UNAVAILABLE, "down"};
    member_on_failed(&world.member, &down);
    assert_int_equal(world.member.events, MEMBER_EVENT_ERROR);
    world.member.events = 0;
    member_on_failed(&world.member, &down);
    assert_int_equal(world.member.events, 0);
    beat(&world, COMRADE_OK);
    assert_int_equal(world.member.events, MEMBER_EVENT_RESTORED);
    member_finish(&world.member);
}

static void stop_still_writes_what_was_said(void **state)
{
    (void)state;
    struct world world;
    make_registered(&world);
    comrade_report report = COMRADE_REPORT_INIT;
    report.state = COMRADE_STATE_STOPPED;
    report.is_alive = false;
    member_report(&world.member, &report);
    member_stop(&world.member);
    assert_false(member_needs_beat(&world.member));
    write_answered(&world);
    assert_int_equal(world.record.own.state, COMRADE_STATE_STOPPED);
    assert_int_equal(world.member.phase, MEMBER_ENDED);
    member_finish(&world.member);
}

static comrade_status make_and_report(void *user)
{
    (void)user;
    struct member_options options = {
        .id = "app-1", .role = "app", .host = "web1", .metadata = "{}", .is_ready = true};
    struct member member;
    comrade_status status = member_init(&member, &options, NULL);
    if (status != COMRADE_OK) {
        return status;
    }
    comrade_report report = COMRADE_REPORT_INIT;
    report.metadata = "{\"a\":1}";
    report.details = "{\"b\":2}";
    int64_t sequence = member_report(&member, &report);
    bool is_unchanged = strcmp(member.metadata, "{}") == 0 && strcmp(member.details, "{}") == 0;
    if (sequence == 0) {
        status = is_unchanged ? COMRADE_NO_MEMORY : COMRADE_BROKEN;
    }
    member_finish(&member);
    return status;
}

static void a_member_survives_each_failed_allocation(void **state)
{
    (void)state;
    for_each_failed_allocation(make_and_report, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_incarnation_is_later_than_the_stored_one_and_the_clock),
        cmocka_unit_test(only_a_dead_owner_loses_its_id),
        cmocka_unit_test(who_was_faster_is_looked_at_again),
        cmocka_unit_test(a_heartbeat_that_reveals_a_request_has_it_read),
        cmocka_unit_test(a_request_that_no_push_announces_within_a_second_is_noticed),
        cmocka_unit_test(a_request_that_push_announces_is_none_that_it_missed),
        cmocka_unit_test(shutdown_is_told_once_alive_false_is_committed),
        cmocka_unit_test(shutdown_is_told_once_for_an_incarnation),
        cmocka_unit_test(a_store_that_does_not_answer_delays_shutdown_by_five_seconds),
        cmocka_unit_test(a_request_for_an_earlier_incarnation_is_not_heard),
        cmocka_unit_test(no_report_brings_back_who_was_asked_to_leave),
        cmocka_unit_test(a_deleted_record_is_written_again_whole),
        cmocka_unit_test(an_old_backup_is_put_right),
        cmocka_unit_test(the_fenced_do_not_fight),
        cmocka_unit_test(an_outage_is_said_once_and_its_end_too),
        cmocka_unit_test(stop_still_writes_what_was_said),
        cmocka_unit_test(a_member_survives_each_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
