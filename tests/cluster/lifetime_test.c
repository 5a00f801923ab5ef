/* Objects that are freed, stopped and answered in every order; options of other versions. */
#include "cluster/turns.h"
#include "lib/allocation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct heard {
    struct turns *turns;
    bool frees_itself;
    int counts[16];
    char last[64]; /* the kinds in their order, as letters from 'a' */
    char reason[64];
};

static void on_event(void *user, const comrade_event *event)
{
    struct heard *heard = user;
    heard->last[strlen(heard->last)] = (char)('a' + event->kind);
    heard->counts[event->kind]++;
    if (event->kind == COMRADE_EVENT_SHUTDOWN) {
        if (heard->frees_itself) {
            comrade_member_free(event->member);
            worker_turn(heard->turns->cluster); /* as the thread may, at any moment */
            worker_turn(heard->turns->cluster);
        }
        snprintf(heard->reason, sizeof heard->reason, "%s", event->data->request_reason);
    }
}

static comrade_member *make(struct turns *turns, const char *id, struct heard *heard)
{
    comrade_member_options options = COMRADE_MEMBER_OPTIONS_INIT;
    options.role = "app";
    options.id = id;
    options.on_event = heard == NULL ? NULL : on_event;
    options.user = heard;
    comrade_member *member = NULL;
    assert_int_equal(comrade_member_new(turns->cluster, &options, &member, NULL), COMRADE_OK);
    return member;
}

static comrade_member *start(struct turns *turns, const char *id, struct heard *heard)
{
    comrade_member *member = make(turns, id, heard);
    assert_int_equal(comrade_member_start(member, NULL), COMRADE_OK);
    turns_run(turns, 10);
    return member;
}

struct outcome {
    int n_calls;
    comrade_status status;
    size_t n_alive;
};

static void on_done(void *user, comrade_outcome *outcome)
{
    struct outcome *came = user;
    came->n_calls++;
    came->status = comrade_outcome_status(outcome);
    came->n_alive = comrade_members_count(comrade_outcome_members(outcome));
}

static size_t count_alive(struct turns *turns)
{
    comrade_client *client = NULL;
    comrade_query query = COMRADE_QUERY_INIT;
    query.alive = COMRADE_YES;
    struct outcome came = {0};
    assert_int_equal(comrade_client_new(turns->cluster, NULL, &client, NULL), COMRADE_OK);
    assert_int_equal(comrade_client_get_members_submit(client, &query, on_done, &came, NULL),
                     COMRADE_OK);
    turns_run(turns, 10);
    assert_int_equal(came.n_calls, 1);
    comrade_client_free(client);
    return came.n_alive;
}

/* --- Members ---------------------------------------------------------------------------------- */

static void a_callback_that_frees_its_member_keeps_what_it_was_told(void **state)
{
    (void)state;
    struct turns turns;
    assert_int_equal(turns_open(&turns, "callback", NULL), COMRADE_OK);
    struct heard heard = {.turns = &turns, .frees_itself = true};
    start(&turns, "app-1", &heard);
    comrade_client *client = NULL;
    assert_int_equal(comrade_client_new(turns.cluster, NULL, &client, NULL), COMRADE_OK);
    comrade_request_options request = COMRADE_REQUEST_OPTIONS_INIT;
    request.reason = "a reason that is long enough to be seen when it is gone";
    assert_int_equal(comrade_client_kill_submit(client, "app-1", &request, NULL, NULL, NULL),
                     COMRADE_OK);
    turns_run(&turns, 5000);
    assert_int_equal(heard.counts[COMRADE_EVENT_SHUTDOWN], 1);
    assert_string_equal(heard.reason, request.reason);
    comrade_client_free(client);
    comrade_cluster_close(turns.cluster);
}

static void what_was_said_before_free_is_still_written(void **state)
{
    (void)state;
    struct turns turns;
    assert_int_equal(turns_open(&turns, "said", NULL), COMRADE_OK);
    comrade_member *member = start(&turns, "app-1", NULL);
    assert_int_equal(count_alive(&turns), 1);
    assert_int_equal(comrade_member_report_dead_submit(member, NULL, NULL, NULL), COMRADE_OK);
    comrade_member_free(member);
    turns_run(&turns, 10);
    assert_int_equal(count_alive(&turns), 0);

    /* However long the store is away, nothing is kept for ever, nor past the close. */
    member = start(&turns, "app-2", NULL);
    turns.is_failing = true;
    assert_int_equal(comrade_member_report_dead_submit(member, NULL, NULL, NULL), COMRADE_OK);
    comrade_member_free(member);
    turns_run(&turns, 70 * 1000);
    assert_int_equal(turns.cluster->worker.n_members, 0);
    turns.is_failing = false;
    member = start(&turns, "app-3", NULL);
    turns.is_failing = true;
    assert_int_equal(comrade_member_report_dead_submit(member, NULL, NULL, NULL), COMRADE_OK);
    comrade_member_free(member);
    turns_run(&turns, 10);
    comrade_cluster_close(turns.cluster);
}

static void an_id_is_free_again_when_its_member_has_stopped(void **state)
{
    (void)state;
    struct turns turns;
    assert_int_equal(turns_open(&turns, "again", NULL), COMRADE_OK);
    struct heard first_heard = {0};
    struct heard second_heard = {0};
    struct heard third_heard = {0};
    comrade_member *first = start(&turns, "app-1", &first_heard);
    comrade_member *second = start(&turns, "app-1", &second_heard);
    assert_int_equal(second_heard.counts[COMRADE_EVENT_IN_USE], 1);
    assert_int_equal(comrade_member_incarnation(second), 0);
    comrade_member_stop(first);
    comrade_member *third = start(&turns, "app-1", &third_heard);
    assert_int_equal(third_heard.counts[COMRADE_EVENT_IN_USE], 0);
    assert_int_equal(third_heard.counts[COMRADE_EVENT_REGISTERED], 1);
    struct outcome came = {0};
    const comrade_report report = COMRADE_REPORT_INIT;
    assert_int_equal(comrade_member_report_submit(first, &report, on_done, &came, NULL),
                     COMRADE_OK);
    turns_run(&turns, 10);
    assert_int_equal(came.status, COMRADE_CANCELED);
    assert_int_equal(comrade_member_update_submit(first, on_done, &came, NULL), COMRADE_OK);
    turns_run(&turns, 10);
    assert_int_equal(came.n_calls, 2);
    assert_int_equal(came.status, COMRADE_CANCELED);
    comrade_member_free(first);
    comrade_member_free(second);
    comrade_member_free(third);
    comrade_cluster_close(turns.cluster);
}

static void every_order_of_start_stop_and_free_is_one(void **state)
{
    (void)state;
    struct turns turns;
    assert_int_equal(turns_open(&turns, "order", NULL), COMRADE_OK);
    struct heard heard = {0};
    comrade_member_free(make(&turns, "app-1", &heard));
    comrade_member *member = make(&turns, "app-2", &heard);
    comrade_member_stop(member);
    comrade_member_start(member, NULL);
    comrade_member_start(member, NULL);
    turns_run(&turns, 3000);
    assert_string_equal(heard.last, ""); /* it has been stopped for good */
    comrade_member_free(member);
    member = make(&turns, "app-3", &heard);
    comrade_member_start(member, NULL);
    comrade_member_start(member, NULL);
    comrade_member_stop(member);
    comrade_member_stop(member);
    comrade_member_free(member);
    turns_run(&turns, 3000);
    assert_string_equal(heard.last, "");
    comrade_cluster_close(turns.cluster);
}

/* An outage that begins and ends before anybody listens must not be told as one that goes on. */
static void events_that_were_overtaken_are_not_told(void **state)
{
    (void)state;
    struct turns turns;
    assert_int_equal(turns_open(&turns, "overtaken", NULL), COMRADE_OK);
    struct heard heard = {0};
    turns.is_failing = true;
    comrade_member *member = make(&turns, "app-1", &heard);
    comrade_member_start(member, NULL);
    turns_run(&turns, 0);
    member->pending = MEMBER_EVENT_ERROR; /* said, and not yet dispatched */
    turns.is_failing = false;
    memset(heard.last, 0, sizeof heard.last);
    while (member->core.phase != MEMBER_REGISTERED) {
        turns.now_ms += 100;
        worker_turn(turns.cluster);
    }
    turns_run(&turns, 10);
    assert_string_equal(heard.last, "a"); /* registered, and nothing else */
    comrade_member_free(member);
    comrade_cluster_close(turns.cluster);
}

/* --- Clients ---------------------------------------------------------------------------------- */

struct checks {
    int n_calls;
    comrade_health_check *last;
};

static void on_health_check(void *user, comrade_health_check *check)
{
    struct checks *checks = user;
    checks->n_calls++;
    checks->last = check;
}

static comrade_client *make_checking(struct turns *turns, struct checks *checks)
{
    comrade_client_options options = COMRADE_CLIENT_OPTIONS_INIT;
    options.on_health_check = on_health_check;
    options.health_check_user = checks;
    comrade_client *client = NULL;
    assert_int_equal(comrade_client_new(turns->cluster, &options, &client, NULL), COMRADE_OK);
    return client;
}

static void a_freed_client_is_not_called_back(void **state)
{
    (void)state;
    struct turns turns;
    assert_int_equal(turns_open(&turns, "freed", NULL), COMRADE_OK);
    comrade_member *member = start(&turns, "app-1", NULL);
    struct checks checks = {0};
    struct outcome came = {0};
    comrade_client *client = make_checking(&turns, &checks);
    assert_int_equal(comrade_client_get_members_submit(client, NULL, on_done, &came, NULL),
                     COMRADE_OK);
    while (turns.cluster->n_notes == 0) {
        worker_turn(turns.cluster);
    }
    comrade_client_free(client); /* its health check waits to be called back */
    assert_int_equal(comrade_cluster_dispatch(turns.cluster), 0);
    turns_run(&turns, 10000);
    assert_int_equal(checks.n_calls + came.n_calls, 0);
    comrade_member_free(member);
    comrade_cluster_close(turns.cluster);
}

static void a_health_check_may_be_answered_after_the_close(void **state)
{
    (void)state;
    struct turns turns;
    assert_int_equal(turns_open(&turns, "late", NULL), COMRADE_OK);
    comrade_member *member = start(&turns, "app-1", NULL);
    struct checks checks = {0};
    comrade_client *client = make_checking(&turns, &checks);
    assert_int_equal(comrade_client_get_members_submit(client, NULL, NULL, NULL, NULL), COMRADE_OK);
    turns_run(&turns, 10);
    assert_int_equal(checks.n_calls, 1);
    comrade_member_free(member);
    comrade_client_free(client);
    comrade_cluster_close(turns.cluster);
    assert_string_equal(comrade_health_check_member(checks.last)->id, "app-1");
    comrade_health_check_answer(checks.last, true);
}

static void on_change(void *user, const comrade_members *members, const comrade_error *error)
{
    (void)members;
    (void)error;
    ++*(int *)user;
}

static void a_watch_outlives_its_client_in_silence(void **state)
{
    (void)state;
    struct turns turns;
    assert_int_equal(turns_open(&turns, "silence", NULL), COMRADE_OK);
    comrade_client *client = NULL;
    comrade_watch *watch = NULL;
    int n_changes = 0;
    assert_int_equal(comrade_client_new(turns.cluster, NULL, &client, NULL), COMRADE_OK);
    assert_int_equal(comrade_watch_start(client, NULL, on_change, &n_changes, &watch, NULL),
                     COMRADE_OK);
    turns_run(&turns, 10);
    assert_int_equal(n_changes, 1);
    comrade_client_free(client);
    comrade_member *member = start(&turns, "app-1", NULL);
    turns_run(&turns, 5000);
    assert_int_equal(n_changes, 1);
    comrade_watch_stop(watch);
    comrade_member_free(member);
    comrade_cluster_close(turns.cluster);
}

static comrade_client *repeating;

static void repeat(void *user, comrade_outcome *outcome)
{
    struct turns *turns = user;
    (void)outcome;
    assert_int_equal(comrade_client_get_members_submit(repeating, NULL, repeat, turns, NULL),
                     COMRADE_OK);
    for (int i = 0; i < 3; i++) {
        worker_turn(turns->cluster); /* it is answered before the callback returns */
    }
}

static void dispatch_comes_back_however_fast_the_store_is(void **state)
{
    (void)state;
    struct turns turns;
    assert_int_equal(turns_open(&turns, "fast", NULL), COMRADE_OK);
    assert_int_equal(comrade_client_new(turns.cluster, NULL, &repeating, NULL), COMRADE_OK);
    assert_int_equal(comrade_client_get_members_submit(repeating, NULL, repeat, &turns, NULL),
                     COMRADE_OK);
    turns_run(&turns, 0);
    assert_int_equal(turns.cluster->n_notes, 1);
    assert_int_equal(comrade_cluster_dispatch(turns.cluster), 1);
    comrade_client_free(repeating);
    comrade_cluster_close(turns.cluster);
}

/* --- Options of other versions ---------------------------------------------------------------- */

static void options_of_other_versions_are_told_apart(void **state)
{
    (void)state;
    struct turns turns;
    comrade_error error = {0};
    assert_int_equal(turns_open(&turns, "versions", NULL), COMRADE_OK);
    comrade_member *member = NULL;
    struct {
        comrade_member_options known;
        int64_t unknown;
    } options = {.known = COMRADE_MEMBER_OPTIONS_INIT};
    options.known.role = "app";
    options.known.metadata = "no JSON at all";
    options.known.size = 0;
    assert_int_equal(comrade_member_new(turns.cluster, &options.known, &member, &error),
                     COMRADE_INVALID);
    assert_non_null(strstr(error.message, "no valid size"));
    assert_int_equal(comrade_member_new(turns.cluster, NULL, &member, NULL), COMRADE_INVALID);
    options.known.size = offsetof(comrade_member_options, metadata); /* an older caller's */
    assert_int_equal(comrade_member_new(turns.cluster, &options.known, &member, NULL), COMRADE_OK);
    comrade_member_free(member);
    options.known.metadata = NULL;
    options.known.size = sizeof options; /* a newer caller's, who does not use what is new */
    assert_int_equal(comrade_member_new(turns.cluster, &options.known, &member, NULL), COMRADE_OK);
    comrade_report report = COMRADE_REPORT_INIT;
    report.size = 0;
    assert_int_equal(comrade_member_report_submit(member, &report, NULL, NULL, NULL),
                     COMRADE_INVALID);
    report = (comrade_report)COMRADE_REPORT_INIT;
    report.state = (comrade_state)99;
    assert_int_equal(comrade_member_report_submit(member, &report, NULL, NULL, NULL),
                     COMRADE_INVALID);
    comrade_member_free(member);
    options.unknown = 1;
    assert_int_equal(comrade_member_new(turns.cluster, &options.known, &member, &error),
                     COMRADE_UNSUPPORTED);
    comrade_query query = COMRADE_QUERY_INIT;
    query.size = 0;
    comrade_client *client = NULL;
    comrade_watch *watch = NULL;
    assert_int_equal(comrade_client_new(turns.cluster, NULL, &client, NULL), COMRADE_OK);
    assert_int_equal(comrade_client_get_members_submit(client, &query, NULL, NULL, NULL),
                     COMRADE_INVALID);
    assert_int_equal(comrade_watch_start(client, &query, on_change, NULL, &watch, NULL),
                     COMRADE_INVALID);
    assert_int_equal(comrade_watch_start(client, NULL, NULL, NULL, &watch, NULL), COMRADE_INVALID);
    comrade_client_free(client);
    comrade_cluster_close(turns.cluster);
}

/* --- Memory ----------------------------------------------------------------------------------- */

static comrade_status make_all(void *user)
{
    struct turns turns;
    comrade_member *member = NULL;
    comrade_client *client = NULL;
    comrade_watch *watch = NULL;
    int n_changes = 0;
    (void)user;
    comrade_status status = turns_open(&turns, "memory", NULL);
    if (status != COMRADE_OK) {
        return status;
    }
    const comrade_role_minimum minimums[] = {{"app", 1}, {"db", 2}};
    comrade_client_options client_options = COMRADE_CLIENT_OPTIONS_INIT;
    client_options.roles = minimums;
    client_options.n_roles = 2;
    comrade_member_options options = COMRADE_MEMBER_OPTIONS_INIT;
    options.role = "app";
    options.metadata = "{\"port\":80}";
    const comrade_report report = COMRADE_REPORT_INIT;
    const comrade_where where[] = {{"port", "80"}};
    comrade_query query = COMRADE_QUERY_INIT;
    query.role = "app";
    query.where = where;
    query.n_where = 1;
    status = comrade_member_new(turns.cluster, &options, &member, NULL);
    if (status == COMRADE_OK) {
        status = comrade_client_new(turns.cluster, &client_options, &client, NULL);
    }
    if (status == COMRADE_OK) {
        status = comrade_watch_start(client, &query, on_change, &n_changes, &watch, NULL);
    }
    if (status == COMRADE_OK) {
        status = comrade_member_report_submit(member, &report, NULL, NULL, NULL);
    }
    if (status == COMRADE_OK) {
        status = comrade_member_fetch_submit(member, NULL, NULL, NULL);
    }
    if (status == COMRADE_OK) {
        status = comrade_client_kill_oldest_submit(client, &query, NULL, NULL, NULL, NULL);
    }
    comrade_watch_stop(watch);
    comrade_member_free(member);
    comrade_client_free(client);
    comrade_cluster_close(turns.cluster);
    return status;
}

static void everything_public_survives_each_failed_allocation(void **state)
{
    (void)state;
    for_each_failed_allocation(make_all, NULL);
}

/* With no memory at all for seconds: it says so, does not spin, and is back when there is some. */
static void a_member_goes_on_after_memory_ran_out(void **state)
{
    (void)state;
    struct turns turns;
    assert_int_equal(turns_open(&turns, "out", NULL), COMRADE_OK);
    struct heard heard = {0};
    comrade_member *member = start(&turns, "app-1", &heard);
    int64_t began_ms = turns.now_ms;
    allocation_faults_begin(ALLOCATION_FAIL_FROM, 1);
    turns_run(&turns, 5 * TURNS_HEARTBEAT_MS);
    assert_true(allocation_faults_end(NULL));
    assert_int_equal(turns.now_ms, began_ms + 5 * TURNS_HEARTBEAT_MS);
    assert_int_equal(heard.counts[COMRADE_EVENT_ERROR], 1);
    int n_beats = turns.n_beats;
    turns_run(&turns, 10 * TURNS_HEARTBEAT_MS);
    assert_true(turns.n_beats >= n_beats + 8);
    assert_string_equal(heard.last, "ace"); /* registered, error, restored */
    comrade_member_free(member);
    comrade_cluster_close(turns.cluster);
}

static void a_shutdown_without_memory_is_told_without_its_reason(void **state)
{
    (void)state;
    struct turns turns;
    assert_int_equal(turns_open(&turns, "reasonless", NULL), COMRADE_OK);
    struct heard heard = {0};
    comrade_member *member = start(&turns, "app-1", &heard);
    member->core.is_asked = true;
    member->core.events = MEMBER_EVENT_SHUTDOWN; /* as after a failed snapshot_add_record */
    turns_run(&turns, 10);
    assert_int_equal(heard.counts[COMRADE_EVENT_SHUTDOWN], 1);
    assert_string_equal(heard.reason, "");
    comrade_member_free(member);
    comrade_cluster_close(turns.cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_callback_that_frees_its_member_keeps_what_it_was_told),
        cmocka_unit_test(what_was_said_before_free_is_still_written),
        cmocka_unit_test(an_id_is_free_again_when_its_member_has_stopped),
        cmocka_unit_test(every_order_of_start_stop_and_free_is_one),
        cmocka_unit_test(events_that_were_overtaken_are_not_told),
        cmocka_unit_test(a_freed_client_is_not_called_back),
        cmocka_unit_test(a_health_check_may_be_answered_after_the_close),
        cmocka_unit_test(a_watch_outlives_its_client_in_silence),
        cmocka_unit_test(dispatch_comes_back_however_fast_the_store_is),
        cmocka_unit_test(options_of_other_versions_are_told_apart),
        cmocka_unit_test(everything_public_survives_each_failed_allocation),
        cmocka_unit_test(a_member_goes_on_after_memory_ran_out),
        cmocka_unit_test(a_shutdown_without_memory_is_told_without_its_reason),
    };
    return cmocka_run_group_tests(tests, turns_register, NULL);
}
