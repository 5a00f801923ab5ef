/* Who an operation is about, from its first look to its last. */
#include "base/json.h"
#include "core/operation.h"
#include "unit/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct operation *make(enum operation_kind kind, const char *id)
{
    comrade_request_options request = COMRADE_REQUEST_OPTIONS_INIT;
    request.accept_prefix = true;
    request.is_budgeted = true;
    struct operation_options options = {
        .kind = kind,
        .id = id,
        .request = &request,
        .heartbeat_ms = 10000,
        .call_timeout_ms = FIXTURE_CALL_TIMEOUT_MS,
        .env = &env_system,
    };
    struct operation *operation = NULL;
    assert_int_equal(operation_new(&options, &operation, NULL), COMRADE_OK);
    operation_start(operation);
    return operation;
}

static enum need look(struct operation *operation, const comrade_record *records, size_t n,
                      int64_t revision)
{
    fixture_role(&operation->snapshot, revision, "{}");
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(snapshot_add_record(&operation->snapshot, &records[i]), COMRADE_OK);
    }
    return operation_on_snapshot(operation, COMRADE_OK, NULL);
}

static void who_was_found_is_not_exchanged_for_one_whose_id_begins_so(void **state)
{
    (void)state;
    const comrade_record records[] = {fixture_record("app-1", 9000), fixture_record("app-10", 500)};
    struct operation *operation = make(OPERATION_KILL, "app-1");
    assert_int_equal(look(operation, records, 1, 1), NEED_SNAPSHOT); /* of the whole role */
    assert_int_equal(look(operation, records + 1, 1, 2), NEED_NOTHING);
    assert_int_equal(operation->status, COMRADE_NOT_FOUND);
    operation_free(operation);

    operation = make(OPERATION_ZOMBIFY, "app-1");
    assert_int_equal(look(operation, records, 1, 1), NEED_WRITE);
    comrade_write_result conflict = {.status = COMRADE_CONFLICT};
    assert_int_equal(operation_on_written(operation, COMRADE_OK, &conflict, NULL), NEED_WAIT);
    assert_int_equal(operation_on_waited(operation), NEED_SNAPSHOT);
    assert_int_equal(look(operation, records + 1, 1, 2), NEED_NOTHING);
    assert_int_equal(operation->status, COMRADE_NOT_FOUND);
    operation_free(operation);
}

static void one_that_is_not_ready_yet_can_be_zombified(void **state)
{
    (void)state;
    comrade_record record = fixture_record("app-1", 9000);
    record.own.state = COMRADE_STATE_STARTING;
    record.own.is_alive = false;
    struct operation *operation = make(OPERATION_ZOMBIFY, "app-1");
    assert_int_equal(look(operation, &record, 1, 1), NEED_WRITE);
    assert_int_equal(operation->changes[0].request->zombified_incarnation, record.own.incarnation);
    operation_free(operation);
}

static void a_list_is_told_though_somebody_came_between_two_pages(void **state)
{
    (void)state;
    const comrade_record records[] = {fixture_record("app-1", 9000), fixture_record("app-2", 500)};
    struct operation *operation = make(OPERATION_LIST, NULL);
    fixture_role(&operation->snapshot, 1, "{}");
    assert_int_equal(look(operation, records, 2, 2), NEED_NOTHING);
    assert_int_equal(operation->status, COMRADE_OK);
    assert_true(operation_tells(operation, 0) && operation_tells(operation, 1));
    operation_free(operation);

    operation = make(OPERATION_CLEAR_STALE, NULL);
    fixture_role(&operation->snapshot, 1, "{}");
    assert_int_equal(look(operation, records, 2, 2), NEED_WAIT);
    operation_free(operation);
}

/* Whoever may write to the store must not be able to end those who read it. */
static void json_that_is_deep_is_refused_before_it_is_read(void **state)
{
    (void)state;
    char text[4200] = "{\"a\":";
    memset(text + 5, '[', 2040);
    memset(text + 2045, ']', 2040);
    text[4085] = '}';
    comrade_error error = {0};
    assert_null(json_object_parse("metadata", text, strlen(text), &error));
    assert_non_null(strstr(error.message, "nested deeper"));
    const char *brackets =
        "{\"a\":\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}";
    json_t *value = json_object_parse("metadata", brackets, strlen(brackets), &error);
    assert_non_null(value);
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_was_found_is_not_exchanged_for_one_whose_id_begins_so),
        cmocka_unit_test(one_that_is_not_ready_yet_can_be_zombified),
        cmocka_unit_test(a_list_is_told_though_somebody_came_between_two_pages),
        cmocka_unit_test(json_that_is_deep_is_refused_before_it_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
