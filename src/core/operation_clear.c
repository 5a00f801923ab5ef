/*
 * Deleting the records of members that are long gone. After an outage of the store every member
 * looks stale, so what is found is looked at again after one heartbeat interval during which the
 * store has answered all the time, and each delete names the heartbeat that was seen: a member that
 * came back in between survives.
 */
#include "core/operation_internal.h"

#include <stdlib.h>
#include <string.h>

enum { PROBES = 5 };

static bool is_clearable(const struct operation *operation, const comrade_record *record)
{
    int64_t now_ms = operation->snapshot.now_ms;
    return health_is_stale(record, now_ms) &&
           !health_is_healthy(record, now_ms, operation_verdict(operation, record));
}

/* One write a record: a role's records stand or fall alone. */
static enum need delete_silent(struct operation *operation)
{
    free(operation->writes);
    free(operation->changes);
    operation->n_writes = 0;
    operation->writes = calloc(operation->n_noted + 1, sizeof *operation->writes);
    operation->changes = calloc(operation->n_noted + 1, sizeof *operation->changes);
    if (operation->writes == NULL || operation->changes == NULL) {
        return operation_end_without_memory(operation);
    }
    for (size_t i = 0; i < operation->snapshot.n_records; i++) {
        const comrade_record *record = &operation->snapshot.records[i];
        const struct operation_noted *noted = operation_find_noted(operation, record);
        if (noted == NULL || noted->updated_ms != record->updated_ms ||
            !is_clearable(operation, record)) {
            continue;
        }
        operation->changes[operation->n_writes] = (comrade_change){
            .kind = COMRADE_DELETE,
            .id = noted->id,
            .expect_incarnation = noted->incarnation,
            .expect_request_revision = COMRADE_ANYTHING,
            .expect_updated_ms = noted->updated_ms,
            .expect_spec_version = COMRADE_ANYTHING,
        };
        operation->writes[operation->n_writes] = (comrade_write){
            .role = noted->role,
            .expect_revision = COMRADE_ANYTHING,
            .changes = &operation->changes[operation->n_writes],
            .n_changes = 1,
        };
        operation->n_writes++;
    }
    return operation->n_writes == 0 ? operation_end(operation, COMRADE_OK) : NEED_WRITE;
}

enum need decide_clear_stale(struct operation *operation)
{
    if (!operation->has_noted) {
        operation->has_noted = true;
        operation->results = calloc(operation->snapshot.n_records + 1, sizeof *operation->results);
        if (operation->results == NULL) {
            return operation_end_without_memory(operation);
        }
        for (size_t i = 0; i < operation->snapshot.n_records; i++) {
            const comrade_record *record = &operation->snapshot.records[i];
            if (is_clearable(operation, record) && !operation_note(operation, record)) {
                return operation_end_without_memory(operation);
            }
        }
    }
    if (operation->n_noted == 0) {
        return operation_end(operation, COMRADE_OK);
    }
    if (operation->n_probes < PROBES) {
        operation->n_probes++;
        return operation_wait(operation, operation->heartbeat_ms / PROBES + 1);
    }
    return delete_silent(operation);
}

enum need applied_clear_stale(struct operation *operation, const comrade_write_result *results)
{
    for (size_t i = 0; i < operation->n_writes; i++) {
        if (results[i].status == COMRADE_OK) {
            operation->results[operation->n_results++] = operation->changes[i].id;
        }
    }
    return operation_end(operation, COMRADE_OK);
}
