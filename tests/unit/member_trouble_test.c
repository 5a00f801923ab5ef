/* A member whose writes are lost or refused. */
#include "core/member.h"
#include "unit/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void make(struct member *member, int64_t pid)
{
    struct member_options options = {
        .id = "app-1",
        .role = "app",
        .host = "web1",
        .metadata = "{}",
        .pid = pid,
        .is_ready = true,
    };
    assert_int_equal(member_init(member, &options, NULL), COMRADE_OK);
    member_start(member);
}

static comrade_own sent(struct member *member)
{
    comrade_write write;
    comrade_change change;
    comrade_own own;
    assert_true(member_needs_write(member));
    member_write(member, 1000, &write, &change, &own);
    return own;
}

static void answer(struct member *member, int64_t sequence, comrade_status status)
{
    comrade_write_result result = {.status = status, .now_ms = FIXTURE_NOW_MS};
    member_on_written(member, sequence, &result);
}

static void an_own_claim_whose_answer_was_lost_is_no_stranger(void **state)
{
    (void)state;
    struct member member;
    make(&member, 0); /* an agent's: its service has no process yet */
    const comrade_error lost = {COMRADE_UNKNOWN, "lost"};
    member_on_read(&member, NULL, FIXTURE_NOW_MS, false);
    comrade_own first = sent(&member);
    member_on_failed(&member, &lost);
    member_on_read(&member, NULL, FIXTURE_NOW_MS + 10, false);
    sent(&member);
    member_on_failed(&member, &lost);
    comrade_record record = fixture_record("app-1", 0); /* the first one was applied, late */
    record.own.incarnation = first.incarnation;
    record.own.pid = 0;
    record.updated_ms = FIXTURE_NOW_MS;
    member_on_read(&member, &record, FIXTURE_NOW_MS + 20, false);
    assert_int_equal(member.phase, MEMBER_CLAIMING);
    record.own.incarnation = FIXTURE_NOW_MS + 100; /* this one is a stranger's */
    answer(&member, sent(&member).sequence, COMRADE_CONFLICT);
    member_on_read(&member, &record, FIXTURE_NOW_MS + 200, false);
    assert_int_equal(member.phase, MEMBER_ENDED);
    assert_int_equal(member.end_status, COMRADE_IN_USE);
    member_finish(&member);
}

static void a_refused_registration_is_said(void **state)
{
    (void)state;
    struct member member;
    make(&member, 4711);
    member_on_read(&member, NULL, FIXTURE_NOW_MS, false);
    answer(&member, sent(&member).sequence, COMRADE_DENIED);
    assert_int_equal(member.events, MEMBER_EVENT_ERROR);
    assert_int_equal(member.error.status, COMRADE_DENIED);
    assert_true(member_needs_read(&member)); /* it is tried again */
    member_finish(&member);
}

static void a_heartbeat_does_not_end_the_trouble_of_a_write(void **state)
{
    (void)state;
    struct member member;
    make(&member, 4711);
    member_on_read(&member, NULL, FIXTURE_NOW_MS, false);
    answer(&member, sent(&member).sequence, COMRADE_OK);
    comrade_report report = COMRADE_REPORT_INIT;
    member_report(&member, &report);
    member.events = 0;
    comrade_beat_result beat = {.status = COMRADE_OK, .own_sequence = 1};
    for (int i = 0; i < 3; i++) {
        answer(&member, sent(&member).sequence, COMRADE_DENIED);
        member_on_beat(&member, &beat, 0);
    }
    assert_int_equal(member.events, MEMBER_EVENT_ERROR);
    answer(&member, sent(&member).sequence, COMRADE_OK);
    assert_int_equal(member.events, MEMBER_EVENT_ERROR | MEMBER_EVENT_RESTORED);
    member_finish(&member);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_own_claim_whose_answer_was_lost_is_no_stranger),
        cmocka_unit_test(a_refused_registration_is_said),
        cmocka_unit_test(a_heartbeat_does_not_end_the_trouble_of_a_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
