/*
 * Each allocation of each operation fails in turn: it is told, nothing leaks, nothing is half done,
 * and what is said to have worked has worked. libcurl's own allocations are not among them.
 */
#include "contract/datastore_fault_scene.h"
#include "lib/allocation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { FAILURES_MAX = 4000 };

static void prepare(struct fault_scene *scene, const struct fault_operation *operation)
{
    fault_prepare(scene, operation);
    if (operation->is_first) {
        fault_close(scene);
    }
}

/* A first operation is judged with the opening and the closing of its store. */
static comrade_status run(struct fault_scene *scene, const struct fault_operation *operation)
{
    comrade_call call = fault_call(FAULT_PATIENCE_MS);
    comrade_status status = COMRADE_OK;
    if (operation->is_first) {
        status = fault_run(scene, &fault_operations[0], &call);
    }
    if (status == COMRADE_OK) {
        status = fault_run(scene, operation, &call);
    }
    if (operation->is_first || operation->is_open) {
        fault_close(scene);
    }
    return status;
}

/* jansson tells some of it as an error of syntax, or loses a letter, and nobody can know. */
static bool is_excused(comrade_status status)
{
    return status == COMRADE_UNAVAILABLE || status == COMRADE_INVALID;
}

/* What was refused is looked at now and then, for it is asked of the server. */
static void judge(struct fault_scene *scene, const struct fault_operation *operation, size_t nth,
                  comrade_status status)
{
    bool is_refused = status != COMRADE_OK && status != COMRADE_UNKNOWN;
    if (operation->kinds == 0 || (is_refused && nth % 8 != 0)) {
        return;
    }
    bool is_applied = fault_is_applied(scene);
    assert_true(status == COMRADE_UNKNOWN || is_applied == (status == COMRADE_OK));
    fault_prepare(scene, operation);
}

/* Returns whether the nth allocation came, that is, whether there may be one more. */
static bool fail_one(struct fault_scene *scene, const struct fault_operation *operation,
                     enum allocation_fault fault, size_t nth)
{
    /* The version of a record that is written for the first time is kept. */
    size_t n_kept = (operation->kinds & FAULT_OWN) != 0 ? 2 : 0;
    size_t n_leaked = 0;
    allocation_faults_begin(fault, nth);
    comrade_status status = run(scene, operation);
    bool is_hit = allocation_faults_end(&n_leaked);
    bool is_right =
        status == COMRADE_OK || (is_hit && (status == COMRADE_NO_MEMORY || is_excused(status) ||
                                            (operation->kinds != 0 && status == COMRADE_UNKNOWN)));
    if (!is_right || n_leaked > n_kept || nth > FAILURES_MAX) {
        fail_msg("%s, allocation %zu%s: %s, %zu leaked: %s", operation->name, nth,
                 fault == ALLOCATION_FAIL_ONE ? "" : " and all later ones",
                 comrade_status_name(status), n_leaked, scene->error.message);
    }
    judge(scene, operation, nth, status);
    return is_hit;
}

/* Where many records are read, each is as the one before it: some of its allocations will do. */
static size_t next_of(size_t nth)
{
    return nth < 400 ? nth + 1 : nth + 7;
}

static void fail_each(struct fault_scene *scene, const char *name, enum allocation_fault fault)
{
    const struct fault_operation *operation = fault_operations;
    while (strcmp(operation->name, name) != 0) {
        operation++;
    }
    /* What is made once and kept is no leak. */
    prepare(scene, operation);
    assert_int_equal(run(scene, operation), COMRADE_OK);
    prepare(scene, operation);
    size_t nth = 1;
    while (fail_one(scene, operation, fault, nth)) {
        nth = next_of(nth);
    }
    printf("# %s: %zu allocations\n", operation->name, nth - 1);
    if (!operation->is_open && !operation->is_first) {
        fault_assert_works(scene, operation);
    }
}

static void any_allocation_may_fail(void **state)
{
    static const char *const names[] = {
        "open",
        "heartbeat",
        "heartbeat of one that is gone",
        "first heartbeat",
        "write of an own part",
        "write of a request",
        "write of a spec",
        "deletion",
        "snapshot of ids",
        "snapshot of all",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        fail_each(*state, names[i], ALLOCATION_FAIL_ONE);
    }
}

static void all_allocations_may_fail_from_any_on(void **state)
{
    static const char *const names[] = {
        "open", "heartbeat", "heartbeat of one that is gone", "write of all", "snapshot of ids",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        fail_each(*state, names[i], ALLOCATION_FAIL_FROM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_CASE(any_allocation_may_fail),
        FAULT_CASE(all_allocations_may_fail_from_any_on),
    };
    fault_server = datastore_server_start(NULL);
    int failed = cmocka_run_group_tests_name("datastore_allocation", tests, NULL, NULL);
    datastore_server_stop(fault_server);
    return failed;
}
