/*
 * Operations and watches: what core's machines need is done here, one call to the store at a time.
 * Operations take turns; a snapshot goes page by page, a large write part by part.
 */
#include "cluster/internal.h"

#include "base/buffer.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE_MEMBERS = 5000, WRITES_A_CALL = 500, FINDINGS_LIMIT = 64 * 1024 };

/* --- The list of those under way -------------------------------------------------------------- */

static void append(struct call **list, struct call *call)
{
    call->next = NULL;
    while (*list != NULL) {
        list = &(*list)->next;
    }
    *list = call;
}

void worker_add_operation(comrade_cluster *cluster, struct call *call)
{
    append(&cluster->worker.calls, call);
    if (call->kind == CALL_OPERATION) {
        call->need = operation_start(call->operation);
    }
}

void worker_drop_operations(comrade_cluster *cluster)
{
    while (cluster->worker.calls != NULL) {
        struct call *call = cluster->worker.calls;
        cluster->worker.calls = call->next;
        call_free(call);
    }
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
static void advance(comrade_cluster *cluster, struct call *call, int64_t now_ms, bool *has_called)
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

static void on_finding(void *user, bool is_problem, const char *text)
{
    buffer_append_format(user, "%s: %s\n", is_problem ? "problem" : "ok", text);
}

static void check_store(comrade_cluster *cluster, struct call *call)
{
    struct buffer findings;
    buffer_init(&findings, FINDINGS_LIMIT);
    comrade_error error = {0};
    comrade_status status = worker_open(cluster, &error);
    if (status == COMRADE_OK && cluster->driver->check != NULL) {
        comrade_call bounds = worker_call(cluster, false);
        status =
            cluster->driver->check(cluster->worker.store, &bounds, on_finding, &findings, &error);
    }
    if (status == COMRADE_OK) {
        call->outcome.findings = buffer_take(&findings);
        call_complete(cluster, call);
    } else {
        call_fail(cluster, call, status, &error);
    }
    buffer_finish(&findings);
}

/* Is there anything to do for it now? */
static bool is_due(const struct call *call, int64_t now_ms)
{
    if (call->kind == CALL_CHECK) {
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

bool worker_step_operations(comrade_cluster *cluster, int64_t now_ms)
{
    struct call *list = cluster->worker.calls;
    struct call *rest = NULL;
    bool has_called = false;
    cluster->worker.calls = NULL;
    while (list != NULL) {
        struct call *call = list;
        list = call->next;
        if (call_is_abandoned(cluster, call)) {
            call_free(call);
        } else if (has_called || !is_due(call, now_ms)) {
            append(&rest, call);
        } else if (call->kind == CALL_CHECK) {
            has_called = true;
            check_store(cluster, call);
        } else {
            advance(cluster, call, now_ms, &has_called);
            if (call->need == NEED_NOTHING) {
                finish(cluster, call);
            } else {
                append(&cluster->worker.calls, call); /* behind the others, the next time */
            }
        }
    }
    struct call *served = cluster->worker.calls;
    cluster->worker.calls = rest;
    struct call **end = &cluster->worker.calls;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = served;
    return has_called;
}

/* --- Watches ---------------------------------------------------------------------------------- */

void worker_watches_on_change(comrade_cluster *cluster, const char *role)
{
    for (comrade_watch *watch = cluster->worker.watches; watch != NULL; watch = watch->next) {
        watch->is_dirty |=
            role == NULL || watch->query.role == NULL || strcmp(watch->query.role, role) == 0;
    }
}

static struct call *look_new(comrade_cluster *cluster, const comrade_watch *watch)
{
    comrade_query role_only = COMRADE_QUERY_INIT;
    role_only.role = watch->query.role;
    struct operation_options options = {
        .kind = OPERATION_LIST,
        .query = &role_only,
        .has_health_check = watch->client->on_health_check != NULL,
        .heartbeat_ms = cluster->heartbeat_ms,
        .call_timeout_ms = cluster->call_timeout_ms,
        .env = cluster->env,
    };
    struct call *call = call_new(CALL_OPERATION, NULL, NULL);
    if (call == NULL || operation_new(&options, &call->operation, NULL) != COMRADE_OK) {
        call_free(call);
        return NULL;
    }
    call->client = watch->client;
    call->need = operation_start(call->operation);
    return call;
}

static void tell_watch(comrade_cluster *cluster, comrade_watch *watch, comrade_members *members,
                       const comrade_error *error)
{
    pthread_mutex_lock(&cluster->lock);
    comrade_members_free(watch->pending);
    watch->pending = members_share(members);
    watch->has_pending_error = error != NULL;
    if (error != NULL) {
        watch->error = *error;
    }
    if (!watch->is_freed) {
        cluster_push_note(cluster, &watch->note);
    }
    pthread_mutex_unlock(&cluster->lock);
}

static comrade_members *matching(comrade_cluster *cluster, const comrade_watch *watch,
                                 struct operation *operation)
{
    struct snapshot *snapshot = &operation->snapshot;
    bool *is_told = calloc(snapshot->n_records + 1, sizeof *is_told);
    if (is_told == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < snapshot->n_records; i++) {
        enum verdict verdict = operation->verdicts == NULL ? VERDICT_NONE : operation->verdicts[i];
        is_told[i] = query_matches(&watch->query, &snapshot->records[i], snapshot->now_ms,
                                   cluster->call_timeout_ms, verdict);
    }
    comrade_members *members =
        members_new(snapshot, is_told, operation->verdicts, cluster->call_timeout_ms);
    free(is_told);
    return members;
}

static void end_look(comrade_cluster *cluster, comrade_watch *watch)
{
    struct operation *operation = watch->look->operation;
    comrade_members *now = NULL;
    if (operation->status == COMRADE_OK) {
        now = matching(cluster, watch, operation);
    }
    if (operation->status != COMRADE_OK) {
        worker_failed(cluster);
        if (!watch->is_troubled) {
            watch->is_troubled = true;
            tell_watch(cluster, watch, NULL, &operation->error);
        }
    } else if (now == NULL) {
        watch->is_dirty = true; /* no memory: with the next look */
    } else if (watch->is_troubled || watch->last == NULL || !members_equal(watch->last, now)) {
        watch->is_troubled = false;
        tell_watch(cluster, watch, now, NULL);
        comrade_members_free(watch->last);
        watch->last = members_share(now);
    }
    comrade_members_free(now);
    call_free(watch->look);
    watch->look = NULL;
}

bool worker_step_watches(comrade_cluster *cluster, int64_t now_ms)
{
    bool has_called = false;
    for (comrade_watch *watch = cluster->worker.watches; watch != NULL && !has_called;
         watch = watch->next) {
        if (watch->look == NULL && (watch->is_dirty || now_ms >= watch->next_look_ms)) {
            watch->look = look_new(cluster, watch);
            watch->is_dirty = false;
            watch->next_look_ms = now_ms + (watch->is_troubled ? cluster->heartbeat_ms / 10 + 1
                                                               : cluster->heartbeat_ms);
        }
        if (watch->look == NULL || !is_due(watch->look, now_ms)) {
            continue;
        }
        advance(cluster, watch->look, now_ms, &has_called);
        if (watch->look->need == NEED_NOTHING) {
            end_look(cluster, watch);
        }
    }
    return has_called;
}

void worker_remove_watch(comrade_cluster *cluster, comrade_watch *watch)
{
    for (comrade_watch **at = &cluster->worker.watches; *at != NULL; at = &(*at)->next) {
        if (*at == watch) {
            *at = watch->next;
            return;
        }
    }
}

void watch_free_now(comrade_watch *watch)
{
    call_free(watch->look);
    comrade_members_free(watch->last);
    comrade_members_free(watch->pending);
    query_finish(&watch->query);
    free(watch);
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
        int64_t at_ms = watch->look != NULL ? call_due_ms(watch->look)
                        : watch->is_dirty   ? 0
                                            : watch->next_look_ms;
        due_ms = at_ms < due_ms ? at_ms : due_ms;
    }
    return due_ms;
}
