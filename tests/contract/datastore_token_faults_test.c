/*
 * A token that ends or is revoked in the middle of an operation is replaced, whichever of its
 * requests is the one that is refused; one that cannot be replaced denies, and no more is asked.
 */
#include "contract/datastore_fault_scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char credentials[] = "/tmp/comrade-token-XXXXXX";

/* gcloud's user, who gets a token for nothing but a text. The judge needs none. */
static void write_credentials(void)
{
    int fd = mkstemp(credentials);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (file == NULL) {
        perror(credentials);
        exit(1);
    }
    fprintf(file,
            "{\"type\":\"authorized_user\",\"client_id\":\"c\",\"client_secret\":\"hunter2\","
            "\"refresh_token\":\"1//refresh\",\"token_uri\":\"http://127.0.0.1:%d/token\"}",
            datastore_server_port(fault_server));
    fclose(file);
}

static int set_up(void **state)
{
    int failure = fault_set_up(state);
    if (failure == 0) {
        struct fault_scene *scene = *state;
        size_t len = strlen(scene->url);
        snprintf(scene->url + len, sizeof scene->url - len, "&credentials=%s", credentials);
    }
    return failure;
}

static void a_token_that_ends_within_an_operation_is_replaced(void **state)
{
    struct fault_scene *scene = *state;
    for (size_t i = 0; i < FAULT_OPERATIONS; i++) {
        const struct fault_operation *operation = &fault_operations[i];
        int n_requests = fault_count_requests(scene, operation);
        for (int nth = 1; nth <= n_requests; nth++) {
            fault_prepare(scene, operation);
            fault_plan(scene, nth, "status 401");
            datastore_server_reset_counts(scene->server);
            comrade_call call = fault_call(FAULT_PATIENCE_MS);
            if (fault_run(scene, operation, &call) != COMRADE_OK) {
                fail_msg("%s, request %d: %s", operation->name, nth, scene->error.message);
            }
            assert_int_equal(datastore_server_count(scene->server, "calls"), n_requests + 1);
            assert_int_equal(datastore_server_count(scene->server, "token"),
                             operation->is_open ? 2 : 1);
            assert_true(fault_is_applied(scene) == (operation->kinds != 0));
        }
    }
}

static void one_that_cannot_be_replaced_denies(void **state)
{
    struct fault_scene *scene = *state;
    for (size_t i = 0; i < FAULT_OPERATIONS; i++) {
        const struct fault_operation *operation = &fault_operations[i];
        int n_requests = fault_count_requests(scene, operation);
        for (int nth = 1; nth <= n_requests; nth++) {
            fault_prepare(scene, operation);
            fault_plan(scene, nth, "status 401");
            datastore_server_tell(scene->server, "fault * 100000 status 401");
            datastore_server_reset_counts(scene->server);
            comrade_call call = fault_call(FAULT_PATIENCE_MS);
            assert_int_equal(fault_run(scene, operation, &call), COMRADE_DENIED);
            assert_non_null(
                strstr(scene->error.message, "the token was refused, and so was a new"));
            assert_null(strstr(scene->error.message, "hunter2"));
            assert_null(strstr(scene->error.message, "ya29."));
            assert_true(datastore_server_count(scene->server, "calls") <= nth + 3);
            assert_false(fault_is_applied(scene));
            fault_assert_works(scene, operation);
        }
    }
}

/* Really revoked: whatever was given so far is refused from now on. */
static void a_revoked_token_is_replaced_by_every_operation(void **state)
{
    struct fault_scene *scene = *state;
    for (size_t i = 0; i < FAULT_OPERATIONS; i++) {
        const struct fault_operation *operation = &fault_operations[i];
        fault_prepare(scene, operation);
        datastore_server_tell(scene->server, "tokens on");
        datastore_server_tell(scene->server, "tokens revoke");
        comrade_call call = fault_call(FAULT_PATIENCE_MS);
        comrade_status status = fault_run(scene, operation, &call);
        datastore_server_tell(scene->server, "tokens off");
        assert_int_equal(status, COMRADE_OK);
        assert_true(fault_is_applied(scene) == (operation->kinds != 0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_token_that_ends_within_an_operation_is_replaced, set_up,
                                        fault_tear_down),
        cmocka_unit_test_setup_teardown(one_that_cannot_be_replaced_denies, set_up,
                                        fault_tear_down),
        cmocka_unit_test_setup_teardown(a_revoked_token_is_replaced_by_every_operation, set_up,
                                        fault_tear_down),
    };
    static const char *const arguments[] = {"--refresh-token=1//refresh", NULL};
    fault_server = datastore_server_start(arguments);
    datastore_server_tell(fault_server, "set batch_max 3");
    write_credentials();
    int failed = cmocka_run_group_tests_name("datastore_token_faults", tests, NULL, NULL);
    unlink(credentials);
    datastore_server_stop(fault_server);
    return failed;
}
