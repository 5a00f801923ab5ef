/*
 * A server that answers nothing, or too late: nobody says that anything is wrong. Every call ends
 * by its deadline or when it is cancelled, what it says of a write is true, and when the silence is
 * over everything works.
 */
#include "contract/datastore_fault_scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEADLINE_MS = 40, HANG_MS = 5000 };

/* Runs it in the silence, and fails the test if it did not end, or claims that it worked. */
static comrade_status run_unheard(struct fault_scene *scene,
                                  const struct fault_operation *operation, comrade_call *call)
{
    int64_t begin_ms = call->now_ms(call->clock);
    comrade_status status = fault_run(scene, operation, call);
    printf("# %s: %s\n", operation->name, scene->error.message);
    assert_true(call->now_ms(call->clock) - begin_ms < HANG_MS);
    assert_true(comrade_call_is_over(call));
    assert_int_not_equal(status, COMRADE_OK);
    return status;
}

/* On a busy machine the requests before the one that is silent may take as long. */
static void assert_told(struct fault_scene *scene, const struct fault_operation *operation,
                        bool is_commit, comrade_status status)
{
    bool is_unknown = is_commit && status == COMRADE_UNKNOWN;
    assert_true(is_unknown || status == COMRADE_UNAVAILABLE);
    assert_true(!is_unknown || operation->kinds != 0);
    assert_true(strstr(scene->error.message, "did not answer in time") != NULL ||
                strstr(scene->error.message, "no time was left") != NULL);
}

static void every_operation_ends_by_its_deadline_in_any_silence(void **state)
{
    struct fault_scene *scene = *state;
    for (size_t i = 0; i < FAULT_OPERATIONS; i++) {
        const struct fault_operation *operation = &fault_operations[i];
        int n_requests = fault_count_requests(scene, operation);
        for (int nth = 1; nth <= n_requests; nth++) {
            fault_prepare(scene, operation);
            fault_plan(scene, nth, "silence");
            comrade_call call = fault_call(DEADLINE_MS);
            assert_told(scene, operation, nth == n_requests, run_unheard(scene, operation, &call));
            assert_false(fault_is_applied(scene));
            fault_assert_works(scene, operation);
        }
    }
}

/* Its kernel takes connections and requests all the same. */
static void every_operation_ends_by_its_deadline_where_the_server_is_stopped(void **state)
{
    struct fault_scene *scene = *state;
    for (size_t i = 0; i < FAULT_OPERATIONS; i++) {
        const struct fault_operation *operation = &fault_operations[i];
        if (strcmp(operation->name, "second check") == 0) {
            continue; /* asks for nothing */
        }
        for (int n_times = 1; n_times <= 2; n_times++) {
            fault_prepare(scene, operation);
            datastore_server_pause(scene->server);
            comrade_call call = fault_call(DEADLINE_MS);
            comrade_status status = run_unheard(scene, operation, &call);
            datastore_server_resume(scene->server);
            assert_told(scene, operation, false, status);
            assert_false(fault_is_applied(scene));
        }
        fault_assert_works(scene, operation);
    }
}

/* What comes too late may still come. */
static void a_late_answer_is_none(void **state)
{
    struct fault_scene *scene = *state;
    for (size_t i = 0; i < FAULT_OPERATIONS; i++) {
        const struct fault_operation *operation = &fault_operations[i];
        int n_requests = fault_count_requests(scene, operation);
        if (n_requests > 0) {
            fault_prepare(scene, operation);
            fault_plan(scene, n_requests, "delay 0.3");
            comrade_call call = fault_call(DEADLINE_MS);
            comrade_status status = run_unheard(scene, operation, &call);
            assert_told(scene, operation, true, status);
            assert_true(fault_is_applied(scene) == (status == COMRADE_UNKNOWN));
            fault_assert_works(scene, operation);
        }
    }
}

static void every_operation_can_be_cancelled(void **state)
{
    struct fault_scene *scene = *state;
    int fd = eventfd(1, EFD_CLOEXEC);
    for (size_t i = 0; i < FAULT_OPERATIONS; i++) {
        const struct fault_operation *operation = &fault_operations[i];
        int n_requests = fault_count_requests(scene, operation);
        for (int nth = 1; nth <= n_requests; nth++) {
            fault_prepare(scene, operation);
            fault_plan(scene, nth, "silence");
            comrade_call call = fault_call(FAULT_PATIENCE_MS);
            call.cancel_fd = fd;
            call.cancellable_ms = call.now_ms(call.clock) + DEADLINE_MS;
            comrade_status status = run_unheard(scene, operation, &call);
            assert_true(status == COMRADE_CANCELED ||
                        (operation->kinds != 0 && status == COMRADE_UNKNOWN));
            assert_false(fault_is_applied(scene));
            status = run_unheard(scene, operation, &call); /* over before it begins */
            assert_int_equal(status, COMRADE_CANCELED);
            fault_assert_works(scene, operation);
        }
    }
    close(fd);
}

static void closing_waits_for_nobody(void **state)
{
    struct fault_scene *scene = *state;
    fault_open(scene);
    comrade_call call = fault_call(DEADLINE_MS);
    datastore_server_pause(scene->server);
    run_unheard(scene, &fault_operations[1], &call);
    int64_t begin_ms = call.now_ms(call.clock);
    fault_close(scene);
    assert_true(call.now_ms(call.clock) - begin_ms < HANG_MS);
    datastore_server_resume(scene->server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_CASE(every_operation_ends_by_its_deadline_in_any_silence),
        FAULT_CASE(every_operation_ends_by_its_deadline_where_the_server_is_stopped),
        FAULT_CASE(a_late_answer_is_none),
        FAULT_CASE(every_operation_can_be_cancelled),
        FAULT_CASE(closing_waits_for_nobody),
    };
    fault_server = datastore_server_start(NULL);
    datastore_server_tell(fault_server, "set batch_max 3");
    int failed = cmocka_run_group_tests_name("datastore_silence", tests, NULL, NULL);
    datastore_server_stop(fault_server);
    return failed;
}
