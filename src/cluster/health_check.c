/*
 * A client's own health checks, run over one snapshot: so many at once, each with its time-out, on
 * the dispatching thread (or the blocked one), never on the worker's. A check outlives its run when
 * it is answered late; then nobody hears the answer.
 */
#include "cluster/internal.h"

#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_MS = 2000, LIMIT = 32 };

struct comrade_health_check {
    struct note note;
    comrade_cluster *cluster;
    struct snapshot record; /* a copy of the one that is checked */
    comrade_member_data data;
    comrade_on_health_check on_health_check;
    void *user;
    /* Guarded by the lock. */
    struct check_run *run; /* NULL: nobody listens any more */
    size_t index;
    int64_t started_ms; /* monotonic; 0: not called back yet */
    bool is_called;
};

struct check_run {
    comrade_cluster *cluster;
    const struct call *call;
    const struct snapshot *snapshot;
    const comrade_client *client;
    size_t n_started;
    size_t n_settled; /* all before this one are */
    /* Guarded by the lock. */
    size_t n_running;
    size_t n_done;
    enum verdict *verdicts;
    struct comrade_health_check **running; /* one a record; NULL: none, or done */
};

struct check_run *check_run_new(comrade_cluster *cluster, struct call *call)
{
    size_t n = call->operation->snapshot.n_records;
    struct check_run *run = calloc(1, sizeof *run);
    if (run == NULL) {
        return NULL;
    }
    run->cluster = cluster;
    run->call = call;
    run->client = call->client;
    run->snapshot = &call->operation->snapshot;
    run->verdicts = calloc(n + 1, sizeof *run->verdicts);
    run->running = calloc(n + 1, sizeof(struct comrade_health_check *));
    if (run->verdicts == NULL || run->running == NULL) {
        check_run_free(run);
        return NULL;
    }
    return run;
}

static void check_free(struct comrade_health_check *check)
{
    comrade_cluster *cluster = check->cluster;
    snapshot_finish(&check->record);
    free(check);
    cluster_unref(cluster);
}

/* Lock held. A check that was never called back is freed; one that was, is its user's to answer. */
static void let_go(struct check_run *run, size_t i)
{
    struct comrade_health_check *check = run->running[i];
    run->running[i] = NULL;
    if (check == NULL) {
        return;
    }
    check->run = NULL;
    if (check->note.is_queued) {
        cluster_remove_note(run->cluster, &check->note);
        check_free(check);
    }
}

void check_run_free(struct check_run *run)
{
    if (run == NULL) {
        return;
    }
    pthread_mutex_lock(&run->cluster->lock);
    for (size_t i = 0; run->running != NULL && i < run->n_started; i++) {
        let_go(run, i);
    }
    pthread_mutex_unlock(&run->cluster->lock);
    free(run->verdicts);
    free(run->running);
    free(run);
}

static struct comrade_health_check *check_new(struct check_run *run, size_t i)
{
    struct comrade_health_check *check = calloc(1, sizeof *check);
    if (check == NULL) {
        return NULL;
    }
    check->cluster = run->cluster;
    atomic_fetch_add(&run->cluster->n_references, 1);
    snapshot_init(&check->record);
    if (snapshot_add_record(&check->record, &run->snapshot->records[i]) != COMRADE_OK) {
        check_free(check);
        return NULL;
    }
    check->note.kind = NOTE_CHECK;
    check->on_health_check = run->client->on_health_check;
    check->user = run->client->health_check_user;
    check->run = run;
    check->index = i;
    member_data_fill(&check->data, &check->record.records[0], &check->record.arena,
                     run->snapshot->now_ms, run->cluster->call_timeout_ms, VERDICT_NONE);
    return check;
}

static void settle(struct check_run *run, size_t i, enum verdict verdict)
{
    run->verdicts[i] = verdict;
    run->n_done++;
}

/* Lock held. */
static void start_next(struct check_run *run)
{
    size_t i = run->n_started++;
    if (run->snapshot->records[i].own.state == COMRADE_STATE_STOPPED) {
        settle(run, i, VERDICT_UNHEALTHY); /* there is nobody to ask */
        return;
    }
    struct comrade_health_check *check = check_new(run, i);
    if (check == NULL) {
        settle(run, i, VERDICT_UNHEALTHY);
        return;
    }
    run->running[i] = check;
    run->n_running++;
    cluster_push_note(run->cluster, &check->note);
}

static int64_t timeout_ms(const struct check_run *run)
{
    int64_t timeout = run->client->health_check_timeout_ms;
    return timeout == 0 ? TIMEOUT_MS : timeout;
}

bool check_run_step(struct check_run *run, int64_t now_ms)
{
    size_t n = run->snapshot->n_records;
    size_t limit = run->client->health_check_limit == 0 ? LIMIT : run->client->health_check_limit;
    pthread_mutex_lock(&run->cluster->lock);
    while (run->n_settled < run->n_started && run->running[run->n_settled] == NULL) {
        run->n_settled++;
    }
    for (size_t i = run->n_settled; i < run->n_started; i++) {
        struct comrade_health_check *check = run->running[i];
        if (check != NULL && check->is_called && now_ms - check->started_ms >= timeout_ms(run)) {
            let_go(run, i);
            run->n_running--;
            settle(run, i, VERDICT_UNHEALTHY);
        }
    }
    while (!run->client->is_freed && run->n_started < n && run->n_running < limit) {
        start_next(run);
    }
    bool is_done = run->n_done == n;
    if (!is_done) {
        pthread_cond_broadcast(&run->cluster->call_done); /* a blocked caller runs them itself */
    }
    pthread_mutex_unlock(&run->cluster->lock);
    return is_done;
}

int64_t check_run_due_ms(const struct check_run *run)
{
    int64_t due_ms = INT64_MAX;
    pthread_mutex_lock(&run->cluster->lock);
    for (size_t i = run->n_settled; i < run->n_started; i++) {
        const struct comrade_health_check *check = run->running[i];
        if (check != NULL && check->is_called && check->started_ms + timeout_ms(run) < due_ms) {
            due_ms = check->started_ms + timeout_ms(run);
        }
    }
    if (run->n_done == run->snapshot->n_records) {
        due_ms = 0;
    }
    pthread_mutex_unlock(&run->cluster->lock);
    return due_ms;
}

void check_run_take_verdicts(struct check_run *run, struct operation *operation)
{
    free(operation->verdicts);
    operation->verdicts = run->verdicts;
    run->verdicts = NULL;
}

struct note *check_take_note(comrade_cluster *cluster, const struct call *call)
{
    for (struct note *note = cluster->notes_first; note != NULL; note = note->next) {
        if (note->kind == NOTE_CHECK) {
            struct comrade_health_check *check = (struct comrade_health_check *)(void *)note;
            if (check->run != NULL && check->run->call == call) {
                cluster_remove_note(cluster, note);
                return note;
            }
        }
    }
    return NULL;
}

void check_drop_note(struct note *note, const comrade_client *client)
{
    struct comrade_health_check *check = (struct comrade_health_check *)(void *)note;
    struct check_run *run = check->run;
    if (run != NULL && run->client == client) {
        let_go(run, check->index); /* and frees it: it is queued */
        run->n_running--;
    }
}

void check_call_back(struct note *note)
{
    struct comrade_health_check *check = (struct comrade_health_check *)(void *)note;
    comrade_cluster *cluster = check->cluster;
    pthread_mutex_lock(&cluster->lock);
    check->is_called = true;
    check->started_ms = env_monotonic_ms(cluster->env);
    comrade_on_health_check on_health_check = check->on_health_check;
    void *user = check->user;
    cluster_signal(cluster->wake_fd); /* the worker minds the time-out */
    pthread_mutex_unlock(&cluster->lock);
    on_health_check(user, check);
}

const comrade_member_data *comrade_health_check_member(const comrade_health_check *check)
{
    return &check->data;
}

void comrade_health_check_answer(comrade_health_check *check, bool is_healthy)
{
    if (check == NULL) {
        return;
    }
    comrade_cluster *cluster = check->cluster;
    pthread_mutex_lock(&cluster->lock);
    struct check_run *run = check->run;
    if (run != NULL) {
        run->running[check->index] = NULL;
        run->n_running--;
        settle(run, check->index, is_healthy ? VERDICT_HEALTHY : VERDICT_UNHEALTHY);
        cluster_signal(cluster->wake_fd);
    }
    pthread_mutex_unlock(&cluster->lock);
    check_free(check);
}
