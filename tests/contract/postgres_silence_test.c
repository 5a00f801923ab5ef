/*
 * A server that is stopped, and connections of which one direction or both lead nowhere: nobody
 * says that anything is wrong. Every call ends by its deadline or when it is cancelled, what it
 * says of a write is true, and when the silence is over everything works.
 */
#include "contract/postgres_fault_scene.h"

#include "contract/cases.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEADLINE_MS = 80, HANG_MS = 5000 };

/* --- Silences ----------------------------------------------------------------------------------
 */

struct silence {
    const char *name;
    bool is_stopped; /* the server, by SIGSTOP */
    unsigned held;   /* by the proxy */
};

static const struct silence silences[] = {
    {"a stopped server", true, 0},
    {"requests that do not arrive", false, HOLD_REQUESTS},
    {"answers that do not arrive", false, HOLD_ANSWERS},
    {"a black hole", false, HOLD_REQUESTS | HOLD_ANSWERS},
};
enum { N_SILENCES = sizeof silences / sizeof silences[0] };

static void begin_silence(struct fault_scene *scene, const struct silence *silence)
{
    if (silence->is_stopped) {
        postgres_server_pause(scene->server);
    }
    cutting_proxy_hold(scene->proxy, silence->held);
}

static void end_silence(struct fault_scene *scene, const struct silence *silence)
{
    if (silence->is_stopped) {
        postgres_server_resume(scene->server);
    }
    cutting_proxy_release(scene->proxy);
}

/* Runs it in the silence, and fails the test if it did not end, or claims that it worked. */
static comrade_status run_unheard(struct fault_scene *scene,
                                  const struct fault_operation *operation, comrade_call *call)
{
    int64_t begin_ms = call->now_ms(call->clock);
    comrade_status status = operation->run(scene, call);
    assert_true(call->now_ms(call->clock) - begin_ms < HANG_MS);
    assert_true(comrade_call_is_over(call));
    assert_int_equal(status, COMRADE_UNAVAILABLE);
    return status;
}

/* --- Deadlines ---------------------------------------------------------------------------------
 */

/* Over the connection that was there, and then, where it counts, where another is needed. */
static void fall_silent_for(struct fault_scene *scene, const struct silence *silence,
                            const struct fault_operation *operation)
{
    printf("# %s, %s\n", operation->name, silence->name);
    if (operation->is_open) {
        fault_close(scene);
    }
    begin_silence(scene, silence);
    bool is_long = silence->is_stopped || operation->is_open;
    for (int i = 0; i < (is_long ? 2 : 1); i++) {
        comrade_call call = fault_call(DEADLINE_MS);
        run_unheard(scene, operation, &call);
        assert_non_null(strstr(scene->error.message, "no answer in time"));
    }
    end_silence(scene, silence);
    fault_await_sessions(scene, 0);
    assert_true(operation->run != fault_write || !fault_is_applied(scene));
    fault_assert_works(scene);
}

static void every_operation_ends_by_its_deadline_in_any_silence(void **state)
{
    struct fault_scene *scene = *state;
    fault_assert_works(scene);
    for (size_t i = 0; i < N_SILENCES; i++) {
        for (size_t j = 0; j < FAULT_OPERATIONS; j++) {
            fall_silent_for(scene, &silences[i], &fault_operations[j]);
        }
    }
}

/* More than the sockets on the way take: to send it is to wait. */
static void a_batch_that_cannot_be_sent_ends_by_its_deadline(void **state)
{
    enum { N_BEATS = 60000 };
    static char ids[N_BEATS][COMRADE_ID_MAX_BYTES];
    static comrade_beat beats[N_BEATS];
    static comrade_beat_result results[N_BEATS];
    struct fault_scene *scene = *state;
    comrade_beat_summary summary;
    for (int i = 0; i < N_BEATS; i++) {
        snprintf(ids[i], sizeof ids[i], "%0120d", i);
        beats[i] = (comrade_beat){ids[i], 1};
    }
    fault_assert_works(scene);
    for (size_t i = 0; i < N_SILENCES; i++) {
        begin_silence(scene, &silences[i]);
        comrade_call call = fault_call(DEADLINE_MS);
        int64_t begin_ms = call.now_ms(call.clock);
        assert_int_equal(postgres_driver.heartbeat(scene->store, &call, beats, N_BEATS, results,
                                                   &summary, &scene->error),
                         COMRADE_UNAVAILABLE);
        assert_true(call.now_ms(call.clock) - begin_ms < HANG_MS);
        end_silence(scene, &silences[i]);
        fault_assert_works(scene);
    }
}

/* --- Cancelling --------------------------------------------------------------------------------
 */

static void every_operation_that_waits_can_be_cancelled(void **state)
{
    struct fault_scene *scene = *state;
    int fd = eventfd(1, EFD_CLOEXEC);
    fault_assert_works(scene);
    for (size_t i = 0; i < FAULT_OPERATIONS; i++) {
        const struct silence *silence = &silences[i % N_SILENCES];
        comrade_call call = fault_call(FAULT_PATIENCE_MS);
        call.cancel_fd = fd;
        if (fault_operations[i].is_open) {
            fault_close(scene);
        }
        begin_silence(scene, silence);
        call.cancellable_ms = call.now_ms(call.clock) + DEADLINE_MS;
        run_unheard(scene, &fault_operations[i], &call);
        assert_non_null(strstr(scene->error.message, "cancelled"));
        run_unheard(scene, &fault_operations[i], &call); /* over before it begins */
        end_silence(scene, silence);
        fault_assert_works(scene);
    }
    close(fd);
}

/* A turn that is given to somebody else, and nothing is wrong. */
static void a_cancelled_heartbeat_leaves_a_store_that_works(void **state)
{
    struct fault_scene *scene = *state;
    int fd = eventfd(1, EFD_CLOEXEC);
    fault_assert_works(scene);
    for (int i = 0; i < 20; i++) {
        comrade_call call = fault_call(FAULT_PATIENCE_MS);
        call.cancel_fd = fd;
        call.cancellable_ms = call.now_ms(call.clock) + i % 3;
        comrade_status status = fault_operations[1].run(scene, &call);
        assert_true(status == COMRADE_OK || status == COMRADE_UNAVAILABLE);
    }
    fault_assert_works(scene);
    close(fd);
}

/* --- Closing -----------------------------------------------------------------------------------
 */

static void closing_waits_for_nobody(void **state)
{
    struct fault_scene *scene = *state;
    for (size_t i = 0; i < N_SILENCES; i++) {
        comrade_call call = fault_call(FAULT_PATIENCE_MS);
        fault_assert_works(scene);
        begin_silence(scene, &silences[i]);
        int64_t begin_ms = call.now_ms(call.clock);
        fault_close(scene);
        assert_true(call.now_ms(call.clock) - begin_ms < HANG_MS);
        end_silence(scene, &silences[i]);
        fault_await_sessions(scene, 0);
    }
}

/* --- Writes whose end nobody heard
 * ----------------------------------------------------------------
 */

static int64_t revision(struct fault_scene *scene)
{
    return revision_of(&postgres_driver, scene->store, "app");
}

/* The second request of a write is held, and this side ends the call. On a busy machine the first
   one may take as long: then again. */
static void lose_the_end_of_a_write(struct fault_scene *scene, enum cut_point at)
{
    comrade_status status = COMRADE_UNAVAILABLE;
    for (int i = 0; i < 10 && status == COMRADE_UNAVAILABLE; i++) {
        comrade_call warm_up = fault_call(FAULT_PATIENCE_MS);
        assert_int_equal(fault_operations[1].run(scene, &warm_up), COMRADE_OK);
        comrade_call call = fault_call(2 * DEADLINE_MS);
        cutting_proxy_cut(scene->proxy, &(struct cut){.at = at, .how = CUT_HOLD, .nth = 2});
        status = fault_write(scene, &call);
        cutting_proxy_forget_cuts(scene->proxy);
    }
    assert_int_equal(status, COMRADE_UNKNOWN);
    assert_non_null(strstr(scene->error.message, "no answer in time; it may have been applied"));
}

/* What is not found afterwards must never come; and what holds the role lets go of it in time. */
static void a_write_that_may_still_come_is_settled_by_an_empty_one(void **state)
{
    static const enum cut_point points[] = {CUT_REQUEST_UNSENT, CUT_REQUEST_HALF,
                                            CUT_REQUEST_UNSYNCED, CUT_REQUEST_SENT,
                                            CUT_ANSWER_UNSENT};
    struct fault_scene *scene = *state;
    fault_assert_works(scene);
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        if (points[i] == CUT_REQUEST_HALF && postgres_server_version(scene->server) < 17) {
            continue; /* such a server waits for the rest as long as this machine is alive */
        }
        lose_the_end_of_a_write(scene, points[i]);
        write_changes(&postgres_driver, scene->store, "app", revision(scene), NULL, NULL, 0);
        bool is_applied = fault_is_applied(scene);
        assert_true(is_applied == (points[i] >= CUT_REQUEST_UNSYNCED));
        cutting_proxy_release(scene->proxy);
        fault_await_sessions(scene, 1);
        assert_true(fault_is_applied(scene) == is_applied);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_CASE(every_operation_ends_by_its_deadline_in_any_silence),
        FAULT_CASE(a_batch_that_cannot_be_sent_ends_by_its_deadline),
        FAULT_CASE(every_operation_that_waits_can_be_cancelled),
        FAULT_CASE(a_cancelled_heartbeat_leaves_a_store_that_works),
        FAULT_CASE(closing_waits_for_nobody),
        FAULT_CASE(a_write_that_may_still_come_is_settled_by_an_empty_one),
    };
    fault_server = postgres_server_start(NULL);
    if (fault_server == NULL) {
        return postgres_server_skip_tests(tests, sizeof tests / sizeof tests[0]);
    }
    int failed = cmocka_run_group_tests_name("postgres_silence", tests, NULL, NULL);
    postgres_server_stop(fault_server);
    return failed;
}
