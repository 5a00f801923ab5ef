/*
 * Operations: what core's machines need is done here, one call to the store at a time.
 * Operations take turns; a snapshot goes page by page, a large write part by part.
 */
#include "cluster/internal.h"

#include <stdlib.h>
#include <string.h>

/*
 * A page holds up heartbeats for as long as it takes: a second, where a cluster is so large.
 * Smaller ones would cost a server more, which sorts and joins for each of them.
 */
enum { PAGE_MEMBERS = 100000, WRITES_A_CALL = 500 };

/* --- The list of those under way -------------------------------------------------------------- */

static void append(struct worker *worker, struct call *call)
{
    call->next = NULL;
    if (worker->calls_last == NULL) {
        worker->calls = call;
    } else {
        worker->calls_last->next = call;
    }
    worker->calls_last = call;
}

/* Unlinks the call behind `before`; NULL: the first. */
static void unlink_call(struct worker *worker, struct call *before, struct call *call)
{
    if (before == NULL) {
        worker->calls = call->next;
    } else {
        before->next = call->next;
    }
    if (worker->calls_last == call) {
        worker->calls_last = before;
    }
}

void worker_add_operation(comrade_cluster *cluster, struct call *call)
{
    append(&cluster->worker, call);
    if (call->kind == CALL_OPERATION) {
        call->need = operation_start(call->operation);
    }
}

static void drop_operations(struct worker *worker, const comrade_client *client, bool all)
{
    struct call *before = NULL;
    for (struct call *call = worker->calls; call != NULL;) {
        struct call *next = call->next;
        if (all || call->client == client) {
            unlink_call(worker, before, call);
            call_free(call);
        } else {
            before = call;
        }
        call = next;
    }
}

void worker_drop_operations(comrade_cluster *cluster)
{
    drop_operations(&cluster->worker, NULL, true);
}

void worker_drop_operations_of(comrade_cluster *cluster, const comrade_client *client)
{
    drop_operations(&cluster->worker, client, false);
}

/* --- One step of one operation ---------------------------------------------------------------- */

/* False: there are more pages to come. */
static bool read_page(comrade_cluster *cluster, struct call *call)
{
    struct operation *operation = call->operation;
    comrade_error error = {0};
    comrade_status status = worker_open(cluster, &error);
    comrade_snapshot_page page = {0};
    if (status == COMRADE_OK) {
        comrade_snapshot_query query = operation->ask;
        query.limit = PAGE_MEMBERS;
        comrade_snapshot_sink sink = {snapshot_add_record, snapshot_add_role, &operation->snapshot};
        comrade_call bounds = worker_call(cluster, false);
        status = cluster->driver->snapshot(cluster->worker.store, &bounds, &query, &call->cursor,
                                           &sink, &page, &error);
        operation->snapshot.now_ms = page.now_ms;
        call->cursor = page.next;
    }
    if (status == COMRADE_OK && page.has_more) {
        return false;
    }
    memset(&call->cursor, 0, sizeof call->cursor);
    call->need = operation_on_snapshot(operation, status, &error);
    return true;
}

static void write_part(comrade_cluster *cluster, struct call *call)
{
    struct operation *operation = call->operation;
    comrade_error error = {0};
    comrade_status status = COMRADE_NO_MEMORY;
    if (call->write_results == NULL) {
        call->write_results = calloc(operation->n_writes, sizeof *call->write_results);
    }
    if (call->write_results != NULL) {
        status = worker_open(cluster, &error);
    }
    if (status == COMRADE_OK) {
        size_t left = operation->n_writes - call->n_written;
        size_t part = left < WRITES_A_CALL ? left : WRITES_A_CALL;
        comrade_call bounds = worker_call(cluster, false);
        status = cluster->driver->write(cluster->worker.store, &bounds,
                                        operation->writes + call->n_written, part,
                                        call->write_results + call->n_written, &error);
        call->n_written += part;
    }
    if (status == COMRADE_OK && call->n_written < operation->n_writes) {
        return;
    }
    call->need = operation_on_written(operation, status, call->write_results, &error);
    free(call->write_results);
    call->write_results = NULL;
    call->n_written = 0;
}

/* True if the call needs nothing more from others for now; the store was called if *has_called. */
static void step(comrade_cluster *cluster, struct call *call, int64_t now_ms, bool *has_called)
{
    switch (call->need) {
    case NEED_SNAPSHOT:
        *has_called = true;
        read_page(cluster, call);
        break;
    case NEED_WRITE:
        *has_called = true;
        write_part(cluster, call);
        break;
    case NEED_WAIT:
        if (now_ms >= call->due_ms) {
            call->need = operation_on_waited(call->operation);
        }
        break;
    case NEED_VERDICTS:
        if (call->checks == NULL) {
            call->checks = check_run_new(cluster, call);
        }
        if (call->checks == NULL) {
            call->operation->status = COMRADE_NO_MEMORY;
            call->need = NEED_NOTHING;
        } else if (check_run_step(call->checks, now_ms)) {
            check_run_take_verdicts(call->checks, call->operation);
            check_run_free(call->checks);
            call->checks = NULL;
            call->need = operation_on_verdicts(call->operation);
        }
        break;
    case NEED_NOTHING:
        break;
    }
}

/* The pause that an operation asks for begins when it asks. */
void worker_advance(comrade_cluster *cluster, struct call *call, int64_t now_ms, bool *has_called)
{
    enum need before = call->need;
    step(cluster, call, now_ms, has_called);
    if (call->need == NEED_WAIT && before != NEED_WAIT) {
        call->due_ms = now_ms + call->operation->wait_ms;
    }
}

static comrade_members *told_members(comrade_cluster *cluster, struct operation *operation)
{
    bool *is_told = calloc(operation->snapshot.n_records + 1, sizeof *is_told);
    if (is_told == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < operation->snapshot.n_records; i++) {
        is_told[i] = operation_tells(operation, i);
    }
    comrade_members *members =
        members_new(&operation->snapshot, is_told, operation->verdicts, cluster->call_timeout_ms);
    free(is_told);
    return members;
}

static void finish(comrade_cluster *cluster, struct call *call)
{
    struct operation *operation = call->operation;
    call->outcome.available = operation->available;
    call->outcome.min_members = operation->spec_min_members;
    if (operation->status == COMRADE_OK) {
        call->outcome.members = told_members(cluster, operation);
        if (call->outcome.members == NULL) {
            operation->status = COMRADE_NO_MEMORY;
        }
    }
    if (operation->status == COMRADE_OK) {
        call_complete(cluster, call);
    } else {
        call_fail(cluster, call, operation->status, &operation->error);
    }
}

/* Is there anything to do for it now? */
bool worker_is_due(const struct call *call, int64_t now_ms)
{
    if (call->kind != CALL_OPERATION) {
        return true;
    }
    switch (call->need) {
    case NEED_WAIT:
        return now_ms >= call->due_ms;
    case NEED_VERDICTS:
    case NEED_SNAPSHOT:
    case NEED_WRITE:
    case NEED_NOTHING:
        return true;
    }
    return true;
}

/* Does what there is to do for it. The call may be gone, or at the end of the list, afterwards. */
static void serve(comrade_cluster *cluster, struct call *before, struct call *call, int64_t now_ms,
                  bool *has_called)
{
    struct worker *worker = &cluster->worker;
    unlink_call(worker, before, call);
    if (call->kind != CALL_OPERATION) {
        *has_called = true;
        worker_call_store(cluster, call);
        return;
    }
    worker_advance(cluster, call, now_ms, has_called);
    if (call->need == NEED_NOTHING) {
        finish(cluster, call);
    } else {
        append(worker, call); /* behind the others, the next time */
    }
}

bool worker_step_operations(comrade_cluster *cluster, int64_t now_ms)
{
    struct worker *worker = &cluster->worker;
    struct call *last = worker->calls_last; /* those served go behind it */
    struct call *before = NULL;
    bool has_called = false;
    for (struct call *call = worker->calls; call != NULL && !has_called;) {
        struct call *next = call == last ? NULL : call->next;
        if (call_is_abandoned(cluster, call)) {
            unlink_call(worker, before, call);
            call_free(call);
        } else if (worker_is_due(call, now_ms)) {
            serve(cluster, before, call, now_ms, &has_called);
        } else {
            before = call;
        }
        call = next;
    }
    return has_called;
}

/* --- When there is something to do -------------------------------------------------------------
 */

static int64_t call_due_ms(const struct call *call)
{
    if (call->kind == CALL_OPERATION && call->need == NEED_WAIT) {
        return call->due_ms;
    }
    if (call->kind == CALL_OPERATION && call->need == NEED_VERDICTS && call->checks != NULL) {
        return check_run_due_ms(call->checks);
    }
    return 0;
}

int64_t worker_operations_due_ms(const comrade_cluster *cluster)
{
    int64_t due_ms = INT64_MAX;
    for (const struct call *call = cluster->worker.calls; call != NULL; call = call->next) {
        int64_t at_ms = call_due_ms(call);
        due_ms = at_ms < due_ms ? at_ms : due_ms;
    }
    for (const comrade_watch *watch = cluster->worker.watches; watch != NULL; watch = watch->next) {
        int64_t at_ms = watch->look != NULL ? call_due_ms(watch->look) : worker_look_due_ms(watch);
        due_ms = at_ms < due_ms ? at_ms : due_ms;
    }
    return due_ms;
}
