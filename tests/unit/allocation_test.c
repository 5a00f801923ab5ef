/* The fault mode itself: it must find what it is for. */
#include "lib/allocation.h"

#include "base/buffer.h"
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static comrade_status parse_json(void *user)
{
    (void)user;
    comrade_error error;
    json_t *object = json_object_parse("metadata", "{\"a\":[1,\"x\"]}", 13, &error);
    comrade_status status = object != NULL ? COMRADE_OK : error.status;
    json_decref(object);
    return status;
}

static void json_survives_each_failed_allocation(void **state)
{
    (void)state;
    for_each_failed_allocation(parse_json, NULL);
}

static comrade_status fill_buffer(void *user)
{
    (void)user;
    struct buffer buf;
    buffer_init(&buf, 10000);
    bool is_done = true;
    for (int i = 0; i < 50; i++) {
        is_done = is_done && buffer_append_format(&buf, "%d: some text that takes room\n", i);
    }
    buffer_finish(&buf);
    return is_done ? COMRADE_OK : COMRADE_NO_MEMORY;
}

static void a_buffer_survives_each_failed_allocation(void **state)
{
    (void)state;
    for_each_failed_allocation(fill_buffer, NULL);
}

static void a_leak_and_a_failure_are_noticed(void **state)
{
    (void)state;
    size_t n_leaked = 0;
    allocation_faults_begin(ALLOCATION_FAIL_ONE, 2);
    char *first = strdup("first");
    char *second = malloc(1);
    char *third = calloc(1, 1);
    bool is_hit = allocation_faults_end(&n_leaked);
    bool is_second_alone_refused = first != NULL && second == NULL && third != NULL;
    free(first);
    free(second);
    free(third);
    assert_true(is_hit);
    assert_int_equal(n_leaked, 2);
    assert_true(is_second_alone_refused);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_survives_each_failed_allocation),
        cmocka_unit_test(a_buffer_survives_each_failed_allocation),
        cmocka_unit_test(a_leak_and_a_failure_are_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
