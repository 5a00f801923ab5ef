/* Each allocation of the pure machines fails in turn: they say so, and leave nothing behind. */
#include "core/operation.h"
#include "core/spec.h"
#include "core/spec_memory.h"
#include "lib/allocation.h"
#include "unit/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MEMBERS = 40 };

/* Three of four are well; every fourth is stale. */
static comrade_status fill(struct snapshot *snapshot)
{
    comrade_role role = {
        .role = "app", .revision = 7, .spec_version = 5, .spec = "{\"minMembers\":2}"};
    comrade_status status = snapshot_add_role(snapshot, &role);
    for (int i = 0; i < MEMBERS && status == COMRADE_OK; i++) {
        char id[] = "app-00";
        id[4] = (char)('0' + i / 10);
        id[5] = (char)('0' + i % 10);
        comrade_record record = fixture_record(id, 1000 + i);
        if (i % 4 == 0) {
            record.updated_ms = FIXTURE_NOW_MS - INT64_C(2) * 3600 * 1000;
        }
        status = snapshot_add_record(snapshot, &record);
    }
    snapshot->now_ms = FIXTURE_NOW_MS;
    return status;
}

/* Gives an operation what it needs until it needs nothing, or has waited often enough. */
static comrade_status drive(struct operation *operation)
{
    enum need need = operation_start(operation);
    for (int turn = 0; turn < 20; turn++) {
        comrade_write_result results[MEMBERS];
        comrade_status status = COMRADE_OK;
        switch (need) {
        case NEED_SNAPSHOT:
            status = fill(&operation->snapshot);
            need = operation_on_snapshot(operation, status, NULL);
            break;
        case NEED_VERDICTS:
            need = operation_on_verdicts(operation);
            break;
        case NEED_WRITE:
            for (size_t i = 0; i < MEMBERS; i++) {
                results[i] = (comrade_write_result){COMRADE_OK, 8, FIXTURE_NOW_MS};
            }
            need = operation_on_written(operation, COMRADE_OK, results, NULL);
            break;
        case NEED_WAIT:
            need = operation_on_waited(operation);
            break;
        case NEED_NOTHING:
            return operation->status;
        }
    }
    return COMRADE_OK; /* a rolling kill of members that never go */
}

static comrade_status run(void *user)
{
    const enum operation_kind *kind = user;
    const comrade_where where[] = {{"host", "web1"}};
    comrade_query query = COMRADE_QUERY_INIT;
    query.role = "app";
    query.where = where;
    query.n_where = 1;
    comrade_request_options request = COMRADE_REQUEST_OPTIONS_INIT;
    request.reason = "a test";
    request.user = "alice";
    request.is_budgeted = true;
    const comrade_role_minimum minimums[] = {{"app", 1}, {"db", 2}};
    struct operation_options options = {
        .kind = *kind,
        .id = "app-01",
        .role = "app",
        .query = &query,
        .request = &request,
        .host = "laptop",
        .min_members = 3,
        .minimums = minimums,
        .n_minimums = 2,
        .heartbeat_ms = 10000,
        .call_timeout_ms = FIXTURE_CALL_TIMEOUT_MS,
        .env = &env_system,
    };
    struct operation *operation = NULL;
    comrade_status status = operation_new(&options, &operation, NULL);
    if (status == COMRADE_OK) {
        status = drive(operation);
        operation_free(operation);
    }
    return status;
}

static void operations_survive_each_failed_allocation(void **state)
{
    (void)state;
    /* Without set_role, which replaces what cannot be read: a_changed_spec_... is about that. */
    const enum operation_kind kinds[] = {
        OPERATION_LIST,    OPERATION_FETCH,       OPERATION_KILL,     OPERATION_KILL_OLDEST,
        OPERATION_ZOMBIFY, OPERATION_CLEAR_STALE, OPERATION_GET_ROLE,
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        enum operation_kind kind = kinds[i];
        print_message("# operation %d\n", (int)kind);
        for_each_failed_allocation(run, &kind);
    }
}

static comrade_status remember_specs(void *user)
{
    (void)user;
    struct spec_memory memory = {0};
    struct snapshot roles;
    snapshot_init(&roles);
    comrade_status status = fill(&roles);
    if (status == COMRADE_OK && !spec_memory_track(&memory, "app")) {
        status = COMRADE_NO_MEMORY;
    }
    if (status == COMRADE_OK) {
        spec_memory_learn(&memory, &roles);
        /* What there was no memory for is learnt the next time. */
        status = memory.entries[0].version == 5 ? COMRADE_OK : COMRADE_NO_MEMORY;
    }
    spec_memory_finish(&memory);
    snapshot_finish(&roles);
    return status;
}

static void remembered_specs_survive_each_failed_allocation(void **state)
{
    (void)state;
    for_each_failed_allocation(remember_specs, NULL);
}

static comrade_status change_spec(void *user)
{
    (void)user;
    comrade_role role = {.role = "app", .spec = "{\"minMembers\":1,\"other\":[1,2,3]}"};
    char *spec = spec_with_min_members(&role, 3);
    comrade_status status = spec == NULL                    ? COMRADE_NO_MEMORY
                            : strstr(spec, "other") == NULL ? COMRADE_INVALID
                                                            : COMRADE_OK;
    free(spec);
    return status;
}

static void a_changed_spec_survives_each_failed_allocation(void **state)
{
    (void)state;
    for_each_failed_allocation(change_spec, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_survive_each_failed_allocation),
        cmocka_unit_test(remembered_specs_survive_each_failed_allocation),
        cmocka_unit_test(a_changed_spec_survives_each_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
