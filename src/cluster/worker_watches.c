/* The watches of a worker: each looks at its role again when something was heard of it. */
#include "cluster/internal.h"

#include <stdlib.h>
#include <string.h>

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
    if (!watch->is_freed && !watch->client->is_freed) {
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

/* One half of the time at most is spent on a watch, however large its set is. */
static void end_look(comrade_cluster *cluster, comrade_watch *watch)
{
    struct operation *operation = watch->look->operation;
    comrade_status status = operation->status;
    comrade_members *now = NULL;
    if (status == COMRADE_OK) {
        worker_answered(cluster);
        now = matching(cluster, watch, operation);
        status = now == NULL ? COMRADE_NO_MEMORY : COMRADE_OK;
    } else {
        worker_failed(cluster);
    }
    int64_t now_ms = env_monotonic_ms(cluster->env);
    watch->rests_until_ms = now_ms + (now_ms - watch->look_began_ms) + 1;
    if (status != COMRADE_OK) {
        watch->next_look_ms = now_ms + cluster->heartbeat_ms / 10 + 1;
        watch->rests_until_ms = watch->next_look_ms;
        if (!watch->is_troubled) {
            watch->is_troubled = true;
            if (operation->error.status == COMRADE_OK) {
                comrade_error_set(&operation->error, status, "%s: %s", cluster->shown_url,
                                  comrade_status_text(status));
            }
            tell_watch(cluster, watch, NULL, &operation->error);
        }
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

int64_t worker_look_due_ms(const comrade_watch *watch)
{
    int64_t due_ms = watch->is_dirty ? 0 : watch->next_look_ms;
    return due_ms > watch->rests_until_ms ? due_ms : watch->rests_until_ms;
}

/*
 * Without push (behind a pooler, or until a connection that was lost is listened to) a change is
 * seen when it is looked for: by default within 2.5 s, half of a drain, so that whoever is told of
 * who leaves can still do something about it.
 */
static int64_t look_interval_ms(const comrade_cluster *cluster)
{
    return cluster->worker.watch_fd >= 0 ? cluster->heartbeat_ms : cluster->heartbeat_ms / 4;
}

bool worker_step_watches(comrade_cluster *cluster, int64_t now_ms)
{
    bool has_called = false;
    for (comrade_watch *watch = cluster->worker.watches; watch != NULL && !has_called;
         watch = watch->next) {
        if (watch->look == NULL && now_ms >= worker_look_due_ms(watch)) {
            watch->look = look_new(cluster, watch);
            watch->is_dirty = false;
            watch->look_began_ms = now_ms;
            watch->next_look_ms = now_ms + look_interval_ms(cluster);
        }
        if (watch->look == NULL || !worker_is_due(watch->look, now_ms)) {
            continue;
        }
        worker_advance(cluster, watch->look, now_ms, &has_called);
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

/* Its client is gone: it says nothing any more, and waits to be stopped. */
void worker_remove_watches_of(comrade_cluster *cluster, const comrade_client *client)
{
    for (comrade_watch **at = &cluster->worker.watches; *at != NULL;) {
        comrade_watch *watch = *at;
        if (watch->client != client) {
            at = &watch->next;
            continue;
        }
        *at = watch->next;
        call_free(watch->look);
        watch->look = NULL;
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
