/* Push: asked for again where it cannot be had, told of once, and not trusted when it is silent. */
#include "cluster/turns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MINUTE_MS = 60 * 1000 };

/* One member, and one who asks things of it. */
struct place {
    struct turns turns;
    struct turns other;
    comrade_client *client;
    comrade_member *member;
    comrade_watch *watch;
    int n_shutdowns;
    int n_errors;
    int n_changes;
};

static void on_event(void *user, const comrade_event *event)
{
    struct place *place = user;
    place->n_shutdowns += event->kind == COMRADE_EVENT_SHUTDOWN;
    place->n_errors += event->kind == COMRADE_EVENT_ERROR;
}

static void begin(struct place *place, const char *name, bool has_no_push)
{
    *place = (struct place){0};
    assert_int_equal(turns_open(&place->turns, name, NULL), COMRADE_OK);
    assert_int_equal(turns_open(&place->other, name, NULL), COMRADE_OK);
    place->turns.has_no_push = has_no_push;
    comrade_member_options options = COMRADE_MEMBER_OPTIONS_INIT;
    options.role = "app";
    options.id = "app-1";
    options.on_event = on_event;
    options.user = place;
    assert_int_equal(comrade_client_new(place->other.cluster, NULL, &place->client, NULL),
                     COMRADE_OK);
    assert_int_equal(comrade_member_new(place->turns.cluster, &options, &place->member, NULL),
                     COMRADE_OK);
    comrade_member_start(place->member, NULL);
    turns_run(&place->turns, 10);
}

static void end(struct place *place)
{
    comrade_watch_stop(place->watch);
    comrade_member_free(place->member);
    comrade_client_free(place->client);
    comrade_cluster_close(place->turns.cluster);
    comrade_cluster_close(place->other.cluster);
}

/* Committed when it returns. The member's side has not had a turn yet. */
static void kill_member(struct place *place)
{
    place->other.now_ms = place->turns.now_ms;
    assert_int_equal(comrade_client_kill_submit(place->client, "app-1", NULL, NULL, NULL, NULL),
                     COMRADE_OK);
    turns_run(&place->other, 1);
}

static void push_that_cannot_be_had_is_told_once_with_the_reason(void **state)
{
    (void)state;
    struct place place;
    begin(&place, "told", true);
    turns_run(&place.turns, 10 * MINUTE_MS);
    assert_int_equal(place.turns.n_pushes_lost, 1);
    assert_string_equal(place.turns.push_error.message, "notifications do not arrive");
    assert_int_equal(place.turns.n_pushes_back, 0);
    assert_int_equal(place.n_errors, 0); /* the store works */
    end(&place);
}

static void what_cannot_be_had_is_asked_for_ever_less_often(void **state)
{
    (void)state;
    struct place place;
    begin(&place, "less", true);
    turns_run(&place.turns, 10 * MINUTE_MS);
    int n_watches = place.turns.n_watches;
    turns_run(&place.turns, 60 * MINUTE_MS);
    assert_in_range(place.turns.n_watches - n_watches, 55, 125);
    end(&place);
}

/* Asking takes longer than an interval of heartbeats. */
static void asking_for_what_cannot_be_had_starves_no_heartbeat(void **state)
{
    (void)state;
    struct place place;
    begin(&place, "starve", true);
    int n_beats = place.turns.n_beats;
    turns_run(&place.turns, 10 * TURNS_HEARTBEAT_MS);
    assert_true(place.turns.n_beats - n_beats >= 4);
    n_beats = place.turns.n_beats;
    turns_run(&place.turns, 5 * MINUTE_MS);
    assert_true(place.turns.n_beats - n_beats >= 270);
    end(&place);
}

static void without_push_a_request_comes_with_the_heartbeat(void **state)
{
    (void)state;
    struct place place;
    begin(&place, "beat", true);
    turns_run(&place.turns, MINUTE_MS);
    int n_watches = place.turns.n_watches;
    kill_member(&place);
    turns_run(&place.turns, TURNS_HEARTBEAT_MS + 100);
    assert_int_equal(place.n_shutdowns, 1);
    turns_run(&place.turns, 5 * TURNS_HEARTBEAT_MS);
    assert_in_range(place.turns.n_watches - n_watches, 0, 1); /* nothing was to be announced */
    end(&place);
}

static void push_that_is_back_is_told_and_heard(void **state)
{
    (void)state;
    struct place place;
    begin(&place, "back", true);
    turns_run(&place.turns, MINUTE_MS);
    place.turns.has_no_push = false;
    turns_run(&place.turns, 2 * MINUTE_MS);
    assert_int_equal(place.turns.n_pushes_lost, 1);
    assert_int_equal(place.turns.n_pushes_back, 1);
    int n_beats = place.turns.n_beats;
    kill_member(&place);
    turns_run(&place.turns, 1);
    assert_int_equal(place.n_shutdowns, 1);
    assert_int_equal(place.turns.n_beats, n_beats);
    place.turns.has_no_push = true;
    place.turns.is_failing = true;
    turns_run(&place.turns, 10 * TURNS_HEARTBEAT_MS);
    place.turns.is_failing = false;
    turns_run(&place.turns, MINUTE_MS);
    assert_int_equal(place.turns.n_pushes_lost, 2); /* once a time */
    end(&place);
}

static void an_outage_of_the_store_is_none_of_push(void **state)
{
    (void)state;
    struct place place;
    begin(&place, "down", false);
    for (int i = 0; i < 50; i++) {
        turns_run(&place.turns, 10 * TURNS_HEARTBEAT_MS + 7 * i);
        place.turns.is_failing = true;
        turns_run(&place.turns, 10 * TURNS_HEARTBEAT_MS + 11 * i);
        place.turns.is_failing = false;
    }
    turns_run(&place.turns, 3 * TURNS_HEARTBEAT_MS);
    assert_int_equal(place.turns.n_pushes_lost, 0);
    assert_int_equal(place.turns.n_pushes_back, 0);
    kill_member(&place);
    turns_run(&place.turns, 1);
    assert_int_equal(place.n_shutdowns, 1); /* and it is pushed again */
    end(&place);
}

static void on_change(void *user, const comrade_members *members, const comrade_error *error)
{
    struct place *place = user;
    (void)error;
    place->n_changes += members != NULL;
}

static void a_watch_without_push_looks_four_times_in_an_interval(void **state)
{
    (void)state;
    struct place place;
    begin(&place, "look", false);
    place.other.has_no_push = true;
    place.other.now_ms = place.turns.now_ms;
    assert_int_equal(comrade_watch_start(place.client, NULL, on_change, &place, &place.watch, NULL),
                     COMRADE_OK);
    turns_run(&place.other, 10 * TURNS_HEARTBEAT_MS);
    assert_int_equal(place.other.n_pushes_lost, 1);
    assert_int_equal(place.n_changes, 1);
    comrade_report report = COMRADE_REPORT_INIT;
    report.state = COMRADE_STATE_UNHEALTHY;
    assert_int_equal(comrade_member_report_submit(place.member, &report, NULL, NULL, NULL),
                     COMRADE_OK);
    turns_run(&place.turns, 10);
    turns_run(&place.other, TURNS_HEARTBEAT_MS / 4 + 10);
    assert_int_equal(place.n_changes, 2);
    end(&place);
}

static void a_deaf_watch_is_opened_again(void **state)
{
    (void)state;
    struct place place;
    begin(&place, "deaf", false);
    turns_run(&place.turns, 10 * TURNS_HEARTBEAT_MS);
    assert_int_equal(place.turns.n_watches, 1);
    place.turns.is_deaf = true;
    kill_member(&place);
    turns_run(&place.turns, TURNS_HEARTBEAT_MS + 100);
    assert_int_equal(place.n_shutdowns, 1); /* the heartbeat revealed it */
    place.turns.is_deaf = false;
    turns_run(&place.turns, TURNS_HEARTBEAT_MS + 100);
    assert_int_equal(place.turns.n_watches, 2);
    turns_run(&place.turns, 10 * TURNS_HEARTBEAT_MS);
    assert_int_equal(place.turns.n_watches, 2);
    assert_int_equal(place.turns.n_pushes_lost, 0);
    end(&place);
}

static void what_came_before_the_watch_is_not_held_against_it(void **state)
{
    (void)state;
    struct place place;
    begin(&place, "before", false);
    turns_run(&place.turns, 3 * TURNS_HEARTBEAT_MS);
    place.turns.is_failing = true;
    turns_run(&place.turns, 2 * TURNS_HEARTBEAT_MS);
    kill_member(&place);
    place.turns.is_failing = false;
    for (int i = 0; i < 200 && place.n_shutdowns == 0; i++) {
        turns_run(&place.turns, 10);
    }
    assert_int_equal(place.n_shutdowns, 1);
    int n_watches = place.turns.n_watches;
    turns_run(&place.turns, 10 * TURNS_HEARTBEAT_MS);
    assert_int_equal(place.turns.n_watches, n_watches);
    end(&place);
}

static void a_watch_that_hears_is_left_alone(void **state)
{
    (void)state;
    struct place place;
    begin(&place, "hears", false);
    turns_run(&place.turns, 10 * TURNS_HEARTBEAT_MS);
    kill_member(&place);
    turns_run(&place.turns, 10 * TURNS_HEARTBEAT_MS);
    assert_int_equal(place.n_shutdowns, 1);
    assert_int_equal(place.turns.n_watches, 1);
    end(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(push_that_cannot_be_had_is_told_once_with_the_reason),
        cmocka_unit_test(what_cannot_be_had_is_asked_for_ever_less_often),
        cmocka_unit_test(asking_for_what_cannot_be_had_starves_no_heartbeat),
        cmocka_unit_test(without_push_a_request_comes_with_the_heartbeat),
        cmocka_unit_test(push_that_is_back_is_told_and_heard),
        cmocka_unit_test(an_outage_of_the_store_is_none_of_push),
        cmocka_unit_test(a_watch_without_push_looks_four_times_in_an_interval),
        cmocka_unit_test(a_deaf_watch_is_opened_again),
        cmocka_unit_test(what_came_before_the_watch_is_not_held_against_it),
        cmocka_unit_test(a_watch_that_hears_is_left_alone),
    };
    return cmocka_run_group_tests(tests, turns_register, NULL);
}
