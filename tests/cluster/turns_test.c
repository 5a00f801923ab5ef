/* The order of the worker's turns: whoever makes noise, nobody starves, and nothing spins. */
#include "cluster/turns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SECONDS = 20 };

struct place {
    struct turns turns;
    comrade_client *client;
    comrade_member *member;
    int n_errors;
    int n_lists;
    int n_reports;
    int n_changes;
    bool is_over;
};

static void on_event(void *user, const comrade_event *event)
{
    struct place *place = user;
    place->n_errors += event->kind == COMRADE_EVENT_ERROR;
}

static void begin(struct place *place, const char *name)
{
    *place = (struct place){0};
    assert_int_equal(turns_open(&place->turns, name, NULL), COMRADE_OK);
    comrade_member_options options = COMRADE_MEMBER_OPTIONS_INIT;
    options.role = "app";
    options.id = "app-1";
    options.on_event = on_event;
    options.user = place;
    assert_int_equal(comrade_client_new(place->turns.cluster, NULL, &place->client, NULL),
                     COMRADE_OK);
    assert_int_equal(comrade_member_new(place->turns.cluster, &options, &place->member, NULL),
                     COMRADE_OK);
    comrade_member_start(place->member, NULL);
    turns_run(&place->turns, 10);
}

static void end(struct place *place)
{
    place->is_over = true;
    comrade_member_free(place->member);
    comrade_client_free(place->client);
    comrade_cluster_close(place->turns.cluster);
}

/* --- Noise: each is asked again as soon as it is answered, and costs the store 5 ms ------------
 */

static void list_again(void *user, comrade_outcome *outcome)
{
    struct place *place = user;
    (void)outcome;
    place->n_lists++;
    place->turns.now_ms += 5;
    if (!place->is_over) {
        comrade_client_get_members_submit(place->client, NULL, list_again, place, NULL);
    }
}

static void report_again(void *user, comrade_outcome *outcome)
{
    struct place *place = user;
    const comrade_report report = COMRADE_REPORT_INIT;
    (void)outcome;
    place->n_reports++;
    place->turns.now_ms += 5;
    if (!place->is_over) {
        comrade_member_report_submit(place->member, &report, report_again, place, NULL);
    }
}

static void on_change(void *user, const comrade_members *members, const comrade_error *error)
{
    struct place *place = user;
    (void)members;
    (void)error;
    place->n_changes++;
}

static void reports_starve_neither_heartbeats_nor_lists(void **state)
{
    (void)state;
    struct place place;
    begin(&place, "noise");
    for (int i = 0; i < 3; i++) {
        report_again(&place, NULL);
    }
    list_again(&place, NULL);
    int n_beats = place.turns.n_beats;
    turns_run(&place.turns, SECONDS * 1000);
    assert_true(place.turns.n_beats - n_beats >= SECONDS - 2);
    assert_true(place.n_lists > 50);
    assert_true(place.n_reports > 50);
    end(&place);
}

static void lists_do_not_starve_a_watch(void **state)
{
    (void)state;
    struct place place;
    begin(&place, "lists");
    comrade_watch *watch = NULL;
    for (int i = 0; i < 3; i++) {
        list_again(&place, NULL);
    }
    assert_int_equal(comrade_watch_start(place.client, NULL, on_change, &place, &watch, NULL),
                     COMRADE_OK);
    turns_run(&place.turns, 1000);
    assert_int_equal(place.n_changes, 1);
    comrade_watch_stop(watch);
    end(&place);
}

static void submit_one(struct turns *turns)
{
    struct place *place = (struct place *)(void *)turns; /* its first */
    comrade_client_get_members_submit(place->client, NULL, NULL, NULL, NULL);
}

/* Each heartbeat takes 400 ms, and during each of them something is submitted. */
static void a_slow_heartbeat_makes_way_but_not_for_ever(void **state)
{
    (void)state;
    struct place place;
    begin(&place, "slow");
    place.turns.beat_takes_ms = 400;
    place.turns.on_beat = submit_one;
    int n_beats = place.turns.n_beats;
    int n_snapshots = place.turns.n_snapshots;
    turns_run(&place.turns, SECONDS * 1000);
    assert_true(place.turns.n_beats - n_beats >= SECONDS / 4);
    assert_true(place.turns.n_snapshots - n_snapshots >= SECONDS);
    assert_int_equal(place.n_errors, 0); /* making way is no outage */
    end(&place);
}

static void a_store_that_is_down_is_not_hammered(void **state)
{
    (void)state;
    struct place place;
    begin(&place, "down");
    comrade_watch *watch = NULL;
    assert_int_equal(comrade_watch_start(place.client, NULL, on_change, &place, &watch, NULL),
                     COMRADE_OK);
    turns_run(&place.turns, 10);
    assert_int_equal(place.n_changes, 1);
    place.turns.is_failing = true;
    int n_snapshots = place.turns.n_snapshots;
    turns_run(&place.turns, SECONDS * 1000);
    assert_true(place.turns.n_snapshots - n_snapshots < SECONDS * 30);
    assert_int_equal(place.n_changes, 2); /* the trouble, once */
    assert_int_equal(place.n_errors, 1);
    place.turns.is_failing = false;
    turns_run(&place.turns, 2 * TURNS_HEARTBEAT_MS);
    assert_int_equal(place.n_changes, 3); /* and its end */
    comrade_watch_stop(watch);
    end(&place);
}

/* When it comes back, many do at once: heartbeats tell them whether there is anything to read. */
static void a_store_that_comes_back_is_asked_for_heartbeats_alone(void **state)
{
    (void)state;
    struct place place;
    begin(&place, "back");
    turns_run(&place.turns, 2 * TURNS_HEARTBEAT_MS);
    place.turns.is_failing = true;
    turns_run(&place.turns, SECONDS * 1000);
    assert_int_equal(place.n_errors, 1);
    place.turns.is_failing = false;
    int n_beats = place.turns.n_beats;
    int n_snapshots = place.turns.n_snapshots;
    turns_run(&place.turns, SECONDS * 1000);
    assert_int_equal(place.turns.n_snapshots, n_snapshots);
    assert_in_range(place.turns.n_beats - n_beats, SECONDS - 1, SECONDS + 1);
    end(&place);
}

static void count_done(void *user, comrade_outcome *outcome)
{
    int *n_done = user;
    *n_done += comrade_outcome_status(outcome) == COMRADE_OK;
}

/* A wipe, and a login that may not put the spec back: that is no failure of the store. */
static void a_spec_that_others_must_put_back_stops_nothing(void **state)
{
    (void)state;
    struct place place;
    int n_done = 0;
    begin(&place, "denied");
    assert_int_equal(
        comrade_client_set_role_submit(place.client, "app", 3, count_done, &n_done, NULL),
        COMRADE_OK);
    turns_run(&place.turns, 2 * TURNS_HEARTBEAT_MS);
    assert_int_equal(n_done, 1);
    place.turns.denies_specs = true;
    comrade_cluster_drop_submit(place.turns.cluster, count_done, &n_done, NULL);
    turns_run(&place.turns, 2 * TURNS_HEARTBEAT_MS);
    assert_int_equal(n_done, 2);
    int n_beats = place.turns.n_beats;
    int n_watches = place.turns.n_watches;
    turns_run(&place.turns, SECONDS * 1000);
    assert_int_equal(place.n_errors, 0);
    assert_int_equal(place.turns.n_watches, n_watches);
    assert_in_range(place.turns.n_beats - n_beats, SECONDS - 1, SECONDS + 1);
    end(&place);
}

/* A heartbeat and the watch at the same moments: on the average a little over half an interval. */
static void a_store_that_is_down_is_tried_at_one_time_not_two(void **state)
{
    (void)state;
    struct place place;
    begin(&place, "tries");
    turns_run(&place.turns, 2 * TURNS_HEARTBEAT_MS);
    place.turns.is_failing = true;
    turns_run(&place.turns, 100 * TURNS_HEARTBEAT_MS);
    assert_in_range(place.turns.n_failing_moments, 150, 210);
    end(&place);
}

static void many_calls_are_all_answered(void **state)
{
    (void)state;
    struct place place;
    begin(&place, "many");
    place.is_over = true; /* each is asked once */
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(
            comrade_client_get_members_submit(place.client, NULL, list_again, &place, NULL),
            COMRADE_OK);
    }
    for (int i = 0; i < 40 && place.n_lists < 10000; i++) {
        turns_run(&place.turns, 10000);
    }
    assert_int_equal(place.n_lists, 10000);
    end(&place);
}

static void a_user_who_is_stuck_is_not_refreshed_until_he_returns(void **state)
{
    (void)state;
    struct place place;
    begin(&place, "stuck");
    place.turns.cluster->silence_limit_ms = 3000;
    turns_run(&place.turns, 5000);
    int n_beats = place.turns.n_beats;
    assert_true(n_beats >= 4);

    place.turns.is_user_stuck = true;
    turns_run(&place.turns, 20000);
    assert_in_range(place.turns.n_beats - n_beats, 2, 5);

    n_beats = place.turns.n_beats;
    place.turns.is_user_stuck = false;
    comrade_cluster_dispatch(place.turns.cluster);
    turns_run(&place.turns, 10);
    assert_int_equal(place.turns.n_beats, n_beats + 1);
    turns_run(&place.turns, 5000);
    assert_true(place.turns.n_beats >= n_beats + 5);
    end(&place);
}

static void expect_canceled(void *user, comrade_outcome *outcome)
{
    struct place *place = user;
    assert_int_equal(comrade_outcome_status(outcome), COMRADE_CANCELED);
    place->n_reports++;
}

static void one_that_was_stopped_and_is_not_written_makes_way_for_the_next(void **state)
{
    (void)state;
    struct place place;
    begin(&place, "again");
    const comrade_report report = COMRADE_REPORT_INIT;
    place.turns.is_failing = true;
    comrade_member_report_submit(place.member, &report, expect_canceled, &place, NULL);
    comrade_member_stop(place.member);
    turns_run(&place.turns, 100);
    assert_int_equal(place.n_reports, 0); /* it is still to be written */

    comrade_member_options options = COMRADE_MEMBER_OPTIONS_INIT;
    comrade_member *next = NULL;
    options.role = "app";
    options.id = "app-1";
    options.takeover = COMRADE_TAKEOVER_ALWAYS;
    assert_int_equal(comrade_member_new(place.turns.cluster, &options, &next, NULL), COMRADE_OK);
    comrade_member_start(next, NULL);
    turns_run(&place.turns, 100);
    assert_int_equal(place.n_reports, 1);
    place.turns.is_failing = false;
    turns_run(&place.turns, 3000);
    assert_true(comrade_member_incarnation(next) > 0);
    comrade_member_free(next);
    end(&place);
}

static void without_a_limit_a_silent_user_is_refreshed(void **state)
{
    (void)state;
    struct place place;
    begin(&place, "silent");
    place.turns.is_user_stuck = true;
    int n_beats = place.turns.n_beats;
    turns_run(&place.turns, SECONDS * 1000);
    assert_true(place.turns.n_beats - n_beats >= SECONDS - 1);
    end(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reports_starve_neither_heartbeats_nor_lists),
        cmocka_unit_test(lists_do_not_starve_a_watch),
        cmocka_unit_test(a_slow_heartbeat_makes_way_but_not_for_ever),
        cmocka_unit_test(a_store_that_is_down_is_not_hammered),
        cmocka_unit_test(a_store_that_comes_back_is_asked_for_heartbeats_alone),
        cmocka_unit_test(a_spec_that_others_must_put_back_stops_nothing),
        cmocka_unit_test(a_store_that_is_down_is_tried_at_one_time_not_two),
        cmocka_unit_test(many_calls_are_all_answered),
        cmocka_unit_test(a_user_who_is_stuck_is_not_refreshed_until_he_returns),
        cmocka_unit_test(one_that_was_stopped_and_is_not_written_makes_way_for_the_next),
        cmocka_unit_test(without_a_limit_a_silent_user_is_refreshed),
    };
    return cmocka_run_group_tests(tests, turns_register, NULL);
}
