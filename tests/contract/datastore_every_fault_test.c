/*
 * Each fault in each request of each operation. The call ends, its status is one that the server's
 * entities bear out, nothing else is lost, and the next call works.
 */
#include "contract/datastore_fault_scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct fault {
    const char *plan; /* see tests/lib/datastore_faults.py */
    bool is_done;     /* the server does what it was asked to */
    bool is_told;     /* and says, or says not; else nobody knows */
    comrade_status status;
    bool is_overcome; /* may be tried again at once, and then works */
    const char *says;
};

static const struct fault faults[] = {
    {"status 429 quota", false, true, COMRADE_UNAVAILABLE, false,
     "the server said 429 RESOURCE_EXHAUSTED: Quota exceeded"},
    {"status 403", false, true, COMRADE_DENIED, false, "the server said 403 PERMISSION_DENIED"},
    {"status 403 disabled", false, true, COMRADE_DENIED, false,
     "gcloud services enable datastore.googleapis.com"},
    {"status 401", false, true, COMRADE_DENIED, false, "the server said 401 UNAUTHENTICATED"},
    /* It may be the server's word for a collision, which the probe asks for. */
    {"status 400", false, true, COMRADE_UNAVAILABLE, true, "the server said 400 FAILED_"},
    {"status 404", false, true, COMRADE_UNAVAILABLE, true, "gcloud firestore databases create"},
    {"status 409", false, true, COMRADE_UNAVAILABLE, true, "the server said 409 ABORTED"},
    {"status 500", false, false, COMRADE_UNAVAILABLE, false, "the server said 500 INTERNAL"},
    {"status 503", false, false, COMRADE_UNAVAILABLE, false, "the server said 503 UNAVAILABLE"},
    {"status 504", false, false, COMRADE_UNAVAILABLE, false, "the server said 504 DEADLINE"},
    {"status 500 after", true, false, COMRADE_UNAVAILABLE, false, "the server said 500 INTERNAL"},
    {"status 503 after", true, false, COMRADE_UNAVAILABLE, false, "the server said 503"},
    {"cut_before", false, false, COMRADE_UNAVAILABLE, true, ""},
    {"cut_after", true, false, COMRADE_UNAVAILABLE, true, ""},
    {"half", true, false, COMRADE_UNAVAILABLE, false, ""},
    {"delay 0.01", true, true, COMRADE_OK, true, ""},
};

/* Only the commit of a write is one that may have been done. */
static void assert_right(struct fault_scene *scene, const struct fault_operation *operation,
                         const struct fault *fault, bool is_commit, comrade_status status)
{
    bool is_applied = fault_is_applied(scene);
    if (status == COMRADE_OK) {
        assert_true(fault->is_overcome);
        assert_true(is_applied == (operation->kinds != 0));
        return;
    }
    bool is_unknown = is_commit && !fault->is_told;
    assert_int_equal(status, is_unknown ? COMRADE_UNKNOWN : fault->status);
    assert_true(is_applied == (is_commit && fault->is_done));
    assert_true(strncmp(scene->error.message, scene->url, strlen(scene->url)) == 0);
    if (strstr(scene->error.message, fault->says) == NULL) {
        fail_msg("\"%s\" is not said by: %s", fault->says, scene->error.message);
    }
    assert_true(!is_unknown || strstr(scene->error.message, "may have been applied") != NULL);
}

static void try_fault(struct fault_scene *scene, const struct fault_operation *operation, int nth,
                      int n_requests, const struct fault *fault)
{
    comrade_call call = fault_call(FAULT_PATIENCE_MS);
    fault_prepare(scene, operation);
    fault_plan(scene, nth, fault->plan);
    comrade_status status = fault_run(scene, operation, &call);
    printf("# %s, request %d of %d, %s: %s%s%s\n", operation->name, nth, n_requests, fault->plan,
           comrade_status_name(status), status == COMRADE_OK ? "" : ": ",
           status == COMRADE_OK ? "" : scene->error.message);
    assert_false(comrade_call_is_over(&call)); /* it was noticed at once */
    bool is_commit = operation->kinds != 0 && nth == n_requests;
    assert_right(scene, operation, fault, is_commit, status);
    fault_assert_works(scene, operation);
    /* What the server knows was not taken for less, for all time. */
    assert_true(!operation->is_first || fault_count_requests(scene, &fault_operations[2]) == 1);
}

static void try_each_request(struct fault_scene *scene, const struct fault_operation *operation)
{
    int n_requests = fault_count_requests(scene, operation);
    assert_true(n_requests > 0 || strcmp(operation->name, "second check") == 0);
    for (int nth = 1; nth <= n_requests; nth++) {
        for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
            try_fault(scene, operation, nth, n_requests, &faults[i]);
        }
    }
}

static void any_fault_in_any_request_is_told_as_it_is_and_heals(void **state)
{
    struct fault_scene *scene = *state;
    for (size_t i = 0; i < FAULT_OPERATIONS; i++) {
        try_each_request(scene, &fault_operations[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_CASE(any_fault_in_any_request_is_told_as_it_is_and_heals),
    };
    fault_server = datastore_server_start(NULL);
    datastore_server_tell(fault_server, "set batch_max 3");
    int failed = cmocka_run_group_tests_name("datastore_every_fault", tests, NULL, NULL);
    datastore_server_stop(fault_server);
    return failed;
}
