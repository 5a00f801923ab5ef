/* Each rule of the lifecycle, and that the table decides everything. Time is stepped by hand. */
#include "core/lifecycle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

struct process {
    struct lifecycle lifecycle;
    int64_t now_ms;
    const struct lifecycle_row *row;
};

static void step(struct process *process, enum lifecycle_event event)
{
    struct lifecycle_input input = {event, process->now_ms, 25, false};
    process->row = lifecycle_step(&process->lifecycle, &input);
}

static void crash(struct process *process)
{
    struct lifecycle_input input = {LIFECYCLE_EVENT_EXITED, process->now_ms, 25, true};
    process->row = lifecycle_step(&process->lifecycle, &input);
}

static void wait_for_timer(struct process *process)
{
    assert_true(process->lifecycle.deadline_ms != LIFECYCLE_NO_DEADLINE);
    process->now_ms = process->lifecycle.deadline_ms;
    step(process, LIFECYCLE_EVENT_TIMER);
}

static struct process process_with(const struct lifecycle_options *options)
{
    struct process process = {.now_ms = 1000};
    lifecycle_init(&process.lifecycle, options);
    return process;
}

static struct process process_new(void)
{
    return process_with(&(struct lifecycle_options)LIFECYCLE_OPTIONS_INIT);
}

static struct process process_up(void)
{
    struct process process = process_new();
    step(&process, LIFECYCLE_EVENT_START);
    step(&process, LIFECYCLE_EVENT_READY);
    return process;
}

#define assert_state(process, expected)                                                            \
    assert_string_equal(lifecycle_state_name((process).lifecycle.state),                           \
                        lifecycle_state_name(LIFECYCLE_##expected))
#define assert_does(process, action) assert_true(((process).row->actions & (action)) != 0)
#define assert_does_not(process, action) assert_true(((process).row->actions & (action)) == 0)

static void assert_view(const struct process *process, comrade_state state, bool is_alive,
                        bool is_available)
{
    struct lifecycle_view view = lifecycle_view(&process->lifecycle);
    assert_int_equal(view.state, state);
    assert_int_equal(view.is_alive, is_alive);
    assert_int_equal(view.is_available, is_available);
}

/* --- The table ---------------------------------------------------------------------------------*/

static void every_state_decides_every_event(void **state)
{
    (void)state;
    for (int at = 0; at < LIFECYCLE_STATES; at++) {
        for (int event = 0; event < LIFECYCLE_EVENTS; event++) {
            int n_unguarded = 0;
            const struct lifecycle_row *row;
            for (size_t i = 0; (row = lifecycle_row_at(i)) != NULL; i++) {
                if ((int)row->state != at || (row->events & LIFECYCLE_BIT(event)) == 0) {
                    continue;
                }
                /* A row behind one that always holds could never be followed. */
                assert_int_equal(n_unguarded, 0);
                n_unguarded += row->guard == LIFECYCLE_IF_ANY;
            }
            if (n_unguarded != 1) {
                fail_msg("%s does not decide %s", lifecycle_state_name(at),
                         lifecycle_event_name(event));
            }
        }
    }
}

static void every_row_gives_a_reason_and_is_known_by_name(void **state)
{
    (void)state;
    const struct lifecycle_row *row;
    for (size_t i = 0; (row = lifecycle_row_at(i)) != NULL; i++) {
        assert_non_null(row->reason);
        assert_true(row->reason[0] != '\0');
        assert_string_not_equal(lifecycle_guard_text(row->guard), "guard?");
        assert_string_not_equal(lifecycle_timer_text(row->timer), "timer?");
    }
}

/* A random walk: whatever comes in whatever order, a state that waits is able to end its wait. */
static void no_order_of_events_gets_stuck(void **state)
{
    (void)state;
    unsigned seed = 4711;
    for (int walk = 0; walk < 2000; walk++) {
        struct process process = process_new();
        process.lifecycle.options.restarts_unhealthy = walk % 2 == 0;
        process.lifecycle.options.restart = (enum lifecycle_restart)(walk % 3);
        bool kills = false;
        for (int i = 0; i < 60; i++) {
            process.now_ms += rand_r(&seed) % 20000;
            step(&process, (enum lifecycle_event)(rand_r(&seed) % LIFECYCLE_EVENTS));
            enum lifecycle_state at = process.lifecycle.state;
            kills = at == process.row->state && kills;
            kills = kills || (process.row->actions & LIFECYCLE_KILL_TREE) != 0;
            bool waits = at == LIFECYCLE_STARTING || at == LIFECYCLE_WITHDRAWING ||
                         at == LIFECYCLE_DRAINING || at == LIFECYCLE_BACKOFF;
            bool ends = at == LIFECYCLE_STOPPING || at == LIFECYCLE_CLEARING;
            bool has_timer = process.lifecycle.deadline_ms != LIFECYCLE_NO_DEADLINE;
            assert_true(!waits || has_timer);
            assert_true(!ends || has_timer || kills);
            assert_true(!process.lifecycle.is_available || at == LIFECYCLE_UP);
        }
    }
}

/* --- Starting ---------------------------------------------------------------------------------*/

static void a_start_spawns_and_lists_nothing(void **state)
{
    (void)state;
    struct process process = process_new();
    step(&process, LIFECYCLE_EVENT_START);
    assert_state(process, STARTING);
    assert_does(process, LIFECYCLE_SPAWN);
    assert_view(&process, COMRADE_STATE_STARTING, false, false);
}

static void ready_is_listed_at_once_and_counted_later(void **state)
{
    (void)state;
    struct process process = process_up();
    assert_state(process, UP);
    assert_does(process, LIFECYCLE_REPORT);
    assert_view(&process, COMRADE_STATE_UP, true, false);
    assert_int_equal(process.lifecycle.deadline_ms, process.now_ms + 10000);
    wait_for_timer(&process);
    assert_does(process, LIFECYCLE_REPORT);
    assert_view(&process, COMRADE_STATE_UP, true, true);
}

static void not_ready_in_time_is_a_failed_start(void **state)
{
    (void)state;
    struct process process = process_new();
    step(&process, LIFECYCLE_EVENT_START);
    assert_int_equal(process.lifecycle.deadline_ms, process.now_ms + 60000);
    wait_for_timer(&process);
    assert_state(process, STOPPING);
    assert_does(process, LIFECYCLE_TERM_GROUP);
    step(&process, LIFECYCLE_EVENT_EXITED); /* Even with code 0. */
    step(&process, LIFECYCLE_EVENT_TREE_GONE);
    assert_state(process, BACKOFF);
    assert_true(process.lifecycle.has_timed_out);
}

static void a_command_that_never_worked_ends_the_agent(void **state)
{
    (void)state;
    struct process process = process_new();
    step(&process, LIFECYCLE_EVENT_START);
    step(&process, LIFECYCLE_EVENT_SPAWN_FAILED);
    assert_state(process, STOPPED);
    assert_does(process, LIFECYCLE_EXIT);
}

static void a_command_that_worked_before_is_tried_again(void **state)
{
    (void)state;
    struct process process = process_up();
    crash(&process);
    step(&process, LIFECYCLE_EVENT_TREE_GONE);
    wait_for_timer(&process);
    assert_state(process, STARTING);
    step(&process, LIFECYCLE_EVENT_SPAWN_FAILED);
    assert_state(process, BACKOFF);
}

static void checks_before_it_is_ready_do_not_count(void **state)
{
    (void)state;
    struct process process = process_new();
    step(&process, LIFECYCLE_EVENT_START);
    for (int i = 0; i < 10; i++) {
        step(&process, LIFECYCLE_EVENT_CHECK_FAILED);
    }
    assert_state(process, STARTING);
    step(&process, LIFECYCLE_EVENT_READY);
    step(&process, LIFECYCLE_EVENT_CHECK_FAILED);
    assert_state(process, UP);
}

/* --- Health -----------------------------------------------------------------------------------*/

static void three_failed_checks_in_a_row_make_it_unhealthy(void **state)
{
    (void)state;
    struct process process = process_up();
    wait_for_timer(&process);
    step(&process, LIFECYCLE_EVENT_CHECK_FAILED);
    step(&process, LIFECYCLE_EVENT_CHECK_FAILED);
    step(&process, LIFECYCLE_EVENT_CHECK_PASSED);
    step(&process, LIFECYCLE_EVENT_CHECK_FAILED);
    step(&process, LIFECYCLE_EVENT_CHECK_FAILED);
    assert_view(&process, COMRADE_STATE_UP, true, true);
    step(&process, LIFECYCLE_EVENT_CHECK_FAILED);
    assert_view(&process, COMRADE_STATE_UNHEALTHY, true, false);
    assert_does(process, LIFECYCLE_REPORT);
}

static void two_passed_checks_in_a_row_bring_it_up_again(void **state)
{
    (void)state;
    struct process process = process_up();
    for (int i = 0; i < 3; i++) {
        step(&process, LIFECYCLE_EVENT_CHECK_FAILED);
    }
    step(&process, LIFECYCLE_EVENT_CHECK_PASSED);
    step(&process, LIFECYCLE_EVENT_CHECK_FAILED);
    step(&process, LIFECYCLE_EVENT_CHECK_PASSED);
    assert_state(process, UNHEALTHY);
    step(&process, LIFECYCLE_EVENT_CHECK_PASSED);
    assert_view(&process, COMRADE_STATE_UP, true, false);
    wait_for_timer(&process);
    assert_view(&process, COMRADE_STATE_UP, true, true);
}

static void a_failed_check_delays_being_counted(void **state)
{
    (void)state;
    struct process process = process_up();
    process.now_ms += 9000;
    step(&process, LIFECYCLE_EVENT_CHECK_FAILED);
    assert_int_equal(process.lifecycle.deadline_ms, process.now_ms + 10000);
    assert_view(&process, COMRADE_STATE_UP, true, false);
}

static void an_unhealthy_process_is_restarted_only_if_wanted(void **state)
{
    (void)state;
    struct lifecycle_options options = LIFECYCLE_OPTIONS_INIT;
    options.restarts_unhealthy = true;
    struct process process = process_with(&options);
    step(&process, LIFECYCLE_EVENT_START);
    step(&process, LIFECYCLE_EVENT_READY);
    for (int i = 0; i < 3; i++) {
        step(&process, LIFECYCLE_EVENT_CHECK_FAILED);
    }
    assert_state(process, WITHDRAWING);
    assert_view(&process, COMRADE_STATE_DRAINING, false, false);
    step(&process, LIFECYCLE_EVENT_COMMITTED);
    wait_for_timer(&process);
    step(&process, LIFECYCLE_EVENT_EXITED);
    step(&process, LIFECYCLE_EVENT_TREE_GONE);
    assert_state(process, BACKOFF);
}

/* --- Restarts ---------------------------------------------------------------------------------*/

static void an_exit_is_off_the_list_at_once_and_its_leftovers_are_killed(void **state)
{
    (void)state;
    struct process process = process_up();
    crash(&process);
    assert_state(process, CLEARING);
    assert_does(process, LIFECYCLE_REPORT);
    assert_does(process, LIFECYCLE_KILL_TREE);
    assert_view(&process, COMRADE_STATE_BACKOFF, false, false);
}

static int64_t delay_after_exit(struct process *process, int64_t up_ms)
{
    process->now_ms += up_ms;
    crash(process);
    step(process, LIFECYCLE_EVENT_TREE_GONE);
    assert_state(*process, BACKOFF);
    int64_t delay_ms = process->lifecycle.deadline_ms - process->now_ms;
    wait_for_timer(process);
    assert_state(*process, STARTING);
    assert_does(*process, LIFECYCLE_SPAWN);
    step(process, LIFECYCLE_EVENT_READY);
    return delay_ms;
}

static void the_first_exit_after_ten_healthy_seconds_restarts_at_once(void **state)
{
    (void)state;
    struct process process = process_up();
    assert_int_equal(delay_after_exit(&process, 10000), 0);
    assert_int_equal(delay_after_exit(&process, 10000), 1000);
    assert_int_equal(delay_after_exit(&process, 10000), 2000);
}

static void restarts_back_off_to_a_minute(void **state)
{
    (void)state;
    struct process process = process_up();
    const int64_t expected_ms[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    for (size_t i = 0; i < sizeof expected_ms / sizeof expected_ms[0]; i++) {
        assert_int_equal(delay_after_exit(&process, 100), expected_ms[i]);
    }
}

static void five_minutes_up_forget_the_failures(void **state)
{
    (void)state;
    struct process process = process_up();
    for (int i = 0; i < 5; i++) {
        delay_after_exit(&process, 100);
    }
    assert_int_equal(delay_after_exit(&process, 300000), 0);
    assert_int_equal(delay_after_exit(&process, 100), 1000);
}

static void delays_are_jittered_by_a_quarter(void **state)
{
    (void)state;
    for (uint64_t random = 0; random < 200; random++) {
        struct process process = process_up();
        crash(&process);
        struct lifecycle_input input = {LIFECYCLE_EVENT_TREE_GONE, process.now_ms, random, false};
        lifecycle_step(&process.lifecycle, &input);
        assert_in_range(process.lifecycle.deadline_ms - process.now_ms, 750, 1250);
    }
}

static enum lifecycle_state state_after_exit(enum lifecycle_restart restart, bool is_failure)
{
    struct lifecycle_options options = LIFECYCLE_OPTIONS_INIT;
    options.restart = restart;
    struct process process = process_with(&options);
    step(&process, LIFECYCLE_EVENT_START);
    step(&process, LIFECYCLE_EVENT_READY);
    if (is_failure) {
        crash(&process);
    } else {
        step(&process, LIFECYCLE_EVENT_EXITED);
    }
    step(&process, LIFECYCLE_EVENT_TREE_GONE);
    return process.lifecycle.state;
}

static void the_restart_policy_is_followed(void **state)
{
    (void)state;
    assert_int_equal(state_after_exit(LIFECYCLE_NEVER, false), LIFECYCLE_STOPPED);
    assert_int_equal(state_after_exit(LIFECYCLE_NEVER, true), LIFECYCLE_STOPPED);
    assert_int_equal(state_after_exit(LIFECYCLE_ON_FAILURE, false), LIFECYCLE_STOPPED);
    assert_int_equal(state_after_exit(LIFECYCLE_ON_FAILURE, true), LIFECYCLE_BACKOFF);
    assert_int_equal(state_after_exit(LIFECYCLE_ALWAYS, false), LIFECYCLE_BACKOFF);
    assert_int_equal(state_after_exit(LIFECYCLE_ALWAYS, true), LIFECYCLE_BACKOFF);
}

/* --- Leaving ----------------------------------------------------------------------------------*/

static void it_is_gone_from_the_list_before_it_is_told_to_stop(void **state)
{
    (void)state;
    struct process process = process_up();
    step(&process, LIFECYCLE_EVENT_LEAVE);
    assert_view(&process, COMRADE_STATE_DRAINING, false, false);
    assert_does(process, LIFECYCLE_REPORT);
    assert_does_not(process, LIFECYCLE_TERM_GROUP);
    process.now_ms += 300;
    step(&process, LIFECYCLE_EVENT_COMMITTED);
    assert_state(process, DRAINING);
    assert_int_equal(process.lifecycle.deadline_ms, process.now_ms + 5000);
    wait_for_timer(&process);
    assert_state(process, STOPPING);
    assert_does(process, LIFECYCLE_TERM_GROUP);
}

static void a_silent_store_is_waited_for_five_seconds(void **state)
{
    (void)state;
    struct process process = process_up();
    step(&process, LIFECYCLE_EVENT_LEAVE);
    assert_int_equal(process.lifecycle.deadline_ms, process.now_ms + 5000);
    wait_for_timer(&process);
    assert_state(process, DRAINING);
}

static void a_kill_request_goes_straight_to_the_drain_delay(void **state)
{
    (void)state;
    struct process process = process_up();
    step(&process, LIFECYCLE_EVENT_EVICT);
    assert_state(process, DRAINING);
    assert_does(process, LIFECYCLE_REPORT);
}

static void what_is_not_listed_stops_without_a_drain_delay(void **state)
{
    (void)state;
    const enum lifecycle_event events[] = {LIFECYCLE_EVENT_LEAVE, LIFECYCLE_EVENT_EVICT};
    for (int i = 0; i < 2; i++) {
        struct process process = process_new();
        step(&process, LIFECYCLE_EVENT_START);
        step(&process, events[i]);
        assert_state(process, STOPPING);
        process = process_up();
        crash(&process);
        step(&process, LIFECYCLE_EVENT_TREE_GONE);
        step(&process, events[i]);
        assert_state(process, STOPPED);
        process = process_up();
        crash(&process);
        step(&process, events[i]);
        assert_state(process, CLEARING);
        step(&process, LIFECYCLE_EVENT_TREE_GONE);
        assert_state(process, STOPPED);
        process = process_new();
        step(&process, events[i]);
        assert_does(process, LIFECYCLE_EXIT);
    }
}

static void stopping_ends_when_no_descendant_is_left(void **state)
{
    (void)state;
    struct process process = process_up();
    step(&process, LIFECYCLE_EVENT_EVICT);
    wait_for_timer(&process);
    int64_t deadline_ms = process.lifecycle.deadline_ms;
    assert_int_equal(deadline_ms, process.now_ms + 30000);
    process.now_ms += 100;
    crash(&process);
    assert_state(process, STOPPING);
    assert_does(process, LIFECYCLE_TERM_TREE);
    assert_int_equal(process.lifecycle.deadline_ms, deadline_ms);
    step(&process, LIFECYCLE_EVENT_TREE_GONE);
    assert_state(process, STOPPED);
    assert_does(process, LIFECYCLE_EXIT);
}

static void what_does_not_stop_is_killed(void **state)
{
    (void)state;
    struct process process = process_up();
    step(&process, LIFECYCLE_EVENT_EVICT);
    wait_for_timer(&process);
    wait_for_timer(&process);
    assert_state(process, STOPPING);
    assert_does(process, LIFECYCLE_KILL_TREE);
}

static void a_process_may_leave_by_itself_while_it_drains(void **state)
{
    (void)state;
    struct process process = process_up();
    step(&process, LIFECYCLE_EVENT_EVICT);
    step(&process, LIFECYCLE_EVENT_EXITED);
    assert_state(process, STOPPING);
    assert_does(process, LIFECYCLE_TERM_TREE);
    step(&process, LIFECYCLE_EVENT_TREE_GONE);
    assert_state(process, STOPPED);
}

static void the_second_sigterm_skips_the_waits_and_the_third_kills(void **state)
{
    (void)state;
    struct process process = process_up();
    step(&process, LIFECYCLE_EVENT_LEAVE);
    step(&process, LIFECYCLE_EVENT_HURRY);
    assert_state(process, STOPPING);
    assert_does(process, LIFECYCLE_TERM_GROUP);
    step(&process, LIFECYCLE_EVENT_KILL);
    assert_does(process, LIFECYCLE_KILL_TREE);
    process = process_up();
    step(&process, LIFECYCLE_EVENT_EVICT);
    step(&process, LIFECYCLE_EVENT_HURRY);
    assert_state(process, STOPPING);
}

static void a_failed_start_that_is_asked_to_leave_is_not_started_again(void **state)
{
    (void)state;
    struct process process = process_new();
    step(&process, LIFECYCLE_EVENT_START);
    wait_for_timer(&process);
    step(&process, LIFECYCLE_EVENT_LEAVE);
    crash(&process);
    step(&process, LIFECYCLE_EVENT_TREE_GONE);
    assert_state(process, STOPPED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_decides_every_event),
        cmocka_unit_test(every_row_gives_a_reason_and_is_known_by_name),
        cmocka_unit_test(no_order_of_events_gets_stuck),
        cmocka_unit_test(a_start_spawns_and_lists_nothing),
        cmocka_unit_test(ready_is_listed_at_once_and_counted_later),
        cmocka_unit_test(not_ready_in_time_is_a_failed_start),
        cmocka_unit_test(a_command_that_never_worked_ends_the_agent),
        cmocka_unit_test(a_command_that_worked_before_is_tried_again),
        cmocka_unit_test(checks_before_it_is_ready_do_not_count),
        cmocka_unit_test(three_failed_checks_in_a_row_make_it_unhealthy),
        cmocka_unit_test(two_passed_checks_in_a_row_bring_it_up_again),
        cmocka_unit_test(a_failed_check_delays_being_counted),
        cmocka_unit_test(an_unhealthy_process_is_restarted_only_if_wanted),
        cmocka_unit_test(an_exit_is_off_the_list_at_once_and_its_leftovers_are_killed),
        cmocka_unit_test(the_first_exit_after_ten_healthy_seconds_restarts_at_once),
        cmocka_unit_test(restarts_back_off_to_a_minute),
        cmocka_unit_test(five_minutes_up_forget_the_failures),
        cmocka_unit_test(delays_are_jittered_by_a_quarter),
        cmocka_unit_test(the_restart_policy_is_followed),
        cmocka_unit_test(it_is_gone_from_the_list_before_it_is_told_to_stop),
        cmocka_unit_test(a_silent_store_is_waited_for_five_seconds),
        cmocka_unit_test(a_kill_request_goes_straight_to_the_drain_delay),
        cmocka_unit_test(what_is_not_listed_stops_without_a_drain_delay),
        cmocka_unit_test(stopping_ends_when_no_descendant_is_left),
        cmocka_unit_test(what_does_not_stop_is_killed),
        cmocka_unit_test(a_process_may_leave_by_itself_while_it_drains),
        cmocka_unit_test(the_second_sigterm_skips_the_waits_and_the_third_kills),
        cmocka_unit_test(a_failed_start_that_is_asked_to_leave_is_not_started_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
