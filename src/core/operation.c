/*
 * The flow that all operations share. What is decided over a snapshot is in operation_requests.c
 * (kills, zombify, role specs) and operation_clear.c.
 */
#include "core/operation_internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    CONFLICTS_MAX = 20,
    LOST_MAX = 20,
    PAUSE_FIRST_MS = 2,
    PAUSE_MAX_MS = 250,
    ROLL_RETRY_MS = 1000,
};

/*
 * To add an operation: a row here, its kind in operation.h, and its decision.
 *   looks_at   what the first snapshot is of
 *   decide     over each snapshot
 *   applied    after its write was applied
 *   persists   once it has noted its members, goes on through failures of the store
 *   judges     its decision takes a client's own health check into account
 */
static const struct {
    enum need (*looks_at)(struct operation *operation);
    enum need (*decide)(struct operation *operation);
    enum need (*applied)(struct operation *operation);
    bool persists;
    bool judges;
} rows[] = {
    [OPERATION_LIST] = {operation_look_at_role, decide_list, NULL, false, true},
    [OPERATION_FETCH] = {operation_look_at_id, decide_fetch, NULL, false, false},
    [OPERATION_KILL] = {operation_look_at_id, decide_leave, applied_one, false, true},
    [OPERATION_RESTART] = {operation_look_at_id, decide_leave, applied_one, false, true},
    [OPERATION_KILL_OLDEST] = {operation_look_at_role, decide_kill_oldest, applied_one, false,
                               true},
    [OPERATION_ROLLING_KILL] = {operation_look_at_role, decide_rolling_kill, applied_rolling_kill,
                                true, true},
    [OPERATION_ZOMBIFY] = {operation_look_at_id, decide_zombify, applied_one, false, false},
    [OPERATION_CLEAR_STALE] = {operation_look_at_all, decide_clear_stale, NULL, false, true},
    [OPERATION_GET_ROLE] = {operation_look_at_role, decide_get_role, NULL, false, true},
    [OPERATION_SET_ROLE] = {operation_look_at_role, decide_set_role, applied_one, false, false},
};

/* --- What it can need ------------------------------------------------------------------------- */

void operation_forget_snapshot(struct operation *operation)
{
    snapshot_finish(&operation->snapshot);
    free(operation->verdicts);
    operation->verdicts = NULL;
}

static enum need look(struct operation *operation, comrade_scope scope)
{
    operation_forget_snapshot(operation);
    operation->ask = (comrade_snapshot_query){.scope = scope};
    switch (scope) {
    case COMRADE_SCOPE_ALL:
        break;
    case COMRADE_SCOPE_ROLE:
        operation->ask.role = operation->role;
        break;
    case COMRADE_SCOPE_IDS:
        operation->ask_ids[0] = operation->id;
        operation->ask.ids = operation->ask_ids;
        operation->ask.n_ids = 1;
        break;
    }
    return NEED_SNAPSHOT;
}

enum need operation_look_at_role(struct operation *operation)
{
    return look(operation, operation->role == NULL ? COMRADE_SCOPE_ALL : COMRADE_SCOPE_ROLE);
}

enum need operation_look_at_id(struct operation *operation)
{
    return look(operation, COMRADE_SCOPE_IDS);
}

enum need operation_look_at_all(struct operation *operation)
{
    return look(operation, COMRADE_SCOPE_ALL);
}

enum need operation_wait(struct operation *operation, int64_t wait_ms)
{
    operation->wait_ms = wait_ms;
    return NEED_WAIT;
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum need operation_end(struct operation *operation, comrade_status status)
{
    if (operation->results != NULL) {
        qsort(operation->results, operation->n_results, sizeof *operation->results, compare_ids);
    }
    operation->status = status;
    return NEED_NOTHING;
}

enum need operation_end_without_memory(struct operation *operation)
{
    return operation_end(operation,
                         comrade_error_set(&operation->error, COMRADE_NO_MEMORY, "out of memory"));
}

enum need operation_write(struct operation *operation, const comrade_change *change,
                          int64_t expect_revision)
{
    free(operation->writes);
    free(operation->changes);
    operation->writes = calloc(1, sizeof *operation->writes);
    operation->changes = calloc(1, sizeof *operation->changes);
    operation->n_writes = 0;
    if (operation->writes == NULL || operation->changes == NULL) {
        return operation_end_without_memory(operation);
    }
    operation->n_writes = 1;
    operation->writes[0] = (comrade_write){
        .role = operation->role,
        .expect_revision = expect_revision,
        .request_id = operation->is_finalising ? NULL : operation->request_id,
        .changes = operation->changes,
    };
    if (change != NULL) {
        operation->changes[0] = *change;
        operation->writes[0].n_changes = 1;
    }
    return NEED_WRITE;
}

/* --- The flow --------------------------------------------------------------------------------- */

enum need operation_start(struct operation *operation)
{
    return rows[operation->kind].looks_at(operation);
}

static enum need look_again(struct operation *operation)
{
    /* Where the role is known, it is all that matters; else begin as at first. */
    return operation->role != NULL ? operation_look_at_role(operation)
                                   : rows[operation->kind].looks_at(operation);
}

static enum need fail(struct operation *operation, comrade_status status,
                      const comrade_error *error)
{
    if (error != NULL) {
        operation->error = *error;
    } else {
        comrade_error_set(&operation->error, status, "%s", comrade_status_text(status));
    }
    operation->error.status = status;
    return operation_end(operation, status);
}

/* The store did not answer while it is being found out what came of a lost write. */
static enum need settle_later(struct operation *operation)
{
    if (operation->n_lost++ >= LOST_MAX) {
        comrade_error_set(&operation->error, COMRADE_UNKNOWN,
                          "the store's answer was lost, and it could not be asked again; the "
                          "request may have been applied");
        return operation_end(operation, COMRADE_UNKNOWN);
    }
    return operation_wait(operation, env_random_between(operation->env, 1, PAUSE_MAX_MS));
}

/* Full jitter: those who collide must not meet again. */
static enum need pause_after_conflict(struct operation *operation)
{
    if (operation->is_settling) {
        return settle_later(operation);
    }
    if (operation->n_conflicts++ >= CONFLICTS_MAX) {
        comrade_error_set(&operation->error, COMRADE_BUSY,
                          "gave up after %d conflicts with others who change role \"%s\"; nothing "
                          "was applied, try again",
                          CONFLICTS_MAX, operation->role == NULL ? "" : operation->role);
        return operation_end(operation, COMRADE_BUSY);
    }
    int64_t longest_ms = PAUSE_FIRST_MS;
    for (int i = 1; i < operation->n_conflicts && longest_ms < PAUSE_MAX_MS; i++) {
        longest_ms *= 2;
    }
    return operation_wait(operation, env_random_between(operation->env, 0, longest_ms));
}

static enum need settle(struct operation *operation)
{
    const comrade_role *role = snapshot_role(&operation->snapshot, operation->role);
    for (size_t i = 0; role != NULL && i < role->n_recent_request_ids; i++) {
        if (strcmp(role->recent_request_ids[i], operation->request_id) == 0) {
            operation->is_settling = false;
            return rows[operation->kind].applied(operation);
        }
    }
    operation->is_finalising = true;
    return operation_write(operation, NULL, role == NULL ? 0 : role->revision);
}

static enum need decide(struct operation *operation)
{
    return operation->is_settling ? settle(operation) : rows[operation->kind].decide(operation);
}

enum need operation_on_snapshot(struct operation *operation, comrade_status status,
                                const comrade_error *error)
{
    if (status != COMRADE_OK && operation->is_settling) {
        return settle_later(operation);
    }
    if (status != COMRADE_OK && rows[operation->kind].persists && operation->has_noted &&
        comrade_status_is_retryable(status)) {
        return operation_wait(operation, ROLL_RETRY_MS);
    }
    if (status != COMRADE_OK) {
        return fail(operation, status, error);
    }
    /* A list decides nothing: in a large cluster somebody always comes or goes between two pages.
     */
    if (operation->snapshot.is_torn && operation->kind != OPERATION_LIST) {
        return pause_after_conflict(operation);
    }
    if (operation->has_health_check && rows[operation->kind].judges && !operation->is_settling) {
        return NEED_VERDICTS;
    }
    return decide(operation);
}

enum need operation_on_verdicts(struct operation *operation)
{
    return decide(operation);
}

static enum need written(struct operation *operation, const comrade_write_result *results)
{
    if (operation->kind == OPERATION_CLEAR_STALE) {
        return applied_clear_stale(operation, results);
    }
    bool was_finalising = operation->is_finalising;
    operation->is_finalising = false;
    switch (results[0].status) {
    case COMRADE_OK:
        if (was_finalising) {
            operation->is_settling = false; /* it was not applied, and never will be */
            return look_again(operation);
        }
        return rows[operation->kind].applied(operation);
    case COMRADE_CONFLICT:
    case COMRADE_GONE:
    case COMRADE_FENCED:
        return pause_after_conflict(operation);
    default: /* a driver's verdict on this write alone: it is the caller's answer */
        return fail(operation, results[0].status, NULL);
    }
}

enum need operation_on_written(struct operation *operation, comrade_status status,
                               const comrade_write_result *results, const comrade_error *error)
{
    if (status == COMRADE_OK) {
        return written(operation, results);
    }
    bool was_finalising = operation->is_finalising;
    operation->is_finalising = false;
    if (operation->kind == OPERATION_CLEAR_STALE) {
        return fail(operation, status, error);
    }
    if (status == COMRADE_UNKNOWN || was_finalising) {
        operation->is_settling = true;
        return settle_later(operation);
    }
    if (rows[operation->kind].persists && comrade_status_is_retryable(status)) {
        return operation_wait(operation, ROLL_RETRY_MS);
    }
    return fail(operation, status, error);
}

enum need operation_on_waited(struct operation *operation)
{
    return look_again(operation);
}

/* --- Helpers ---------------------------------------------------------------------------------- */

enum verdict operation_verdict(const struct operation *operation, const comrade_record *record)
{
    if (operation->verdicts == NULL) {
        return VERDICT_NONE;
    }
    return operation->verdicts[record - operation->snapshot.records];
}

bool operation_note(struct operation *operation, const comrade_record *record)
{
    struct operation_noted *noted =
        realloc(operation->noted, (operation->n_noted + 1) * sizeof *noted);
    if (noted == NULL) {
        return false;
    }
    operation->noted = noted;
    noted[operation->n_noted] = (struct operation_noted){
        .incarnation = record->own.incarnation,
        .updated_ms = record->updated_ms,
    };
    operation->n_noted++;
    struct operation_noted *last = &noted[operation->n_noted - 1];
    return operation_set_text(&last->id, record->id) &&
           operation_set_text(&last->role, record->role);
}

static int compare_noted(const void *key, const void *item)
{
    const comrade_record *record = key;
    const struct operation_noted *noted = item;
    int order = strcmp(record->role, noted->role);
    return order != 0 ? order : strcmp(record->id, noted->id);
}

/* They were noted in the order of a snapshot: by role, then id. */
const struct operation_noted *operation_find_noted(const struct operation *operation,
                                                   const comrade_record *record)
{
    return operation->n_noted == 0 ? NULL
                                   : bsearch(record, operation->noted, operation->n_noted,
                                             sizeof *operation->noted, compare_noted);
}

bool operation_tells(const struct operation *operation, size_t i_record)
{
    const comrade_record *record = &operation->snapshot.records[i_record];
    if (operation->results != NULL) {
        return bsearch(&record->id, operation->results, operation->n_results,
                       sizeof *operation->results, compare_ids) != NULL;
    }
    return query_matches(&operation->query, record, operation->snapshot.now_ms,
                         operation->call_timeout_ms, operation_verdict(operation, record));
}
