/* What members read, write and beat, gathered into one call for many. */
#include "cluster/internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    WRITES_A_CALL = 500,
    READS_A_CALL = 1000,
    BEATS_A_CALL = 10000,
    PUSH_PATIENCE_MS = 1000, /* how long push may lag behind a heartbeat */
    URGENT_RETRY_MIN_MS = 100,
    URGENT_RETRY_MAX_MS = 500,
};

/* Those that leave must not wait for long; the others come back spread over one interval. */
static void retry_later(comrade_cluster *cluster, int64_t now_ms)
{
    bool is_urgent = false;
    for (size_t i = 0; i < cluster->worker.n_members; i++) {
        const struct member *core = &cluster->worker.members[i]->core;
        is_urgent |= member_needs_write(core) && core->phase == MEMBER_REGISTERED &&
                     (core->is_asked || !core->is_alive);
    }
    int64_t low_ms = is_urgent ? URGENT_RETRY_MIN_MS : cluster->heartbeat_ms / 10;
    int64_t high_ms = is_urgent ? URGENT_RETRY_MAX_MS : cluster->heartbeat_ms;
    cluster->worker.next_member_ms = now_ms + env_random_between(cluster->env, low_ms, high_ms);
}

/* The call for these members did not work. False: it was cancelled, and has only made way. */
static bool tell_failed(comrade_cluster *cluster, comrade_member **members, size_t n_members,
                        comrade_status status, const comrade_error *error)
{
    if (status == COMRADE_CANCELED) {
        return false;
    }
    worker_failed(cluster);
    for (size_t i = 0; i < n_members; i++) {
        member_on_failed(&members[i]->core, error);
    }
    return true;
}

void worker_fail_members(comrade_cluster *cluster, comrade_member **members, size_t n_members,
                         comrade_status status, const comrade_error *error, int64_t now_ms)
{
    if (tell_failed(cluster, members, n_members, status, error)) {
        retry_later(cluster, now_ms);
    }
}

/*
 * Heartbeats have a time of their own, so that nothing else that fails holds them up. If they fail
 * again, the watch goes by it: with two times, the earlier counts, and then a store that comes back
 * has half of all workers there in a third of the time.
 */
static void fail_beats(comrade_cluster *cluster, comrade_member **members, size_t n_members,
                       comrade_status status, const comrade_error *error, int64_t now_ms)
{
    struct worker *worker = &cluster->worker;
    if (tell_failed(cluster, members, n_members, status, error)) {
        worker->next_beat_ms = now_ms + env_random_between(cluster->env, cluster->heartbeat_ms / 10,
                                                           cluster->heartbeat_ms);
        if (worker->has_failed_to_beat) {
            worker->watch_pause_ms = worker->next_beat_ms - worker->watch_asked_ms;
        }
        worker->has_failed_to_beat = true;
    }
}

/* Lists the members that need it, at most `limit`, in worker.gathered. Returns how many. */
static size_t gather(comrade_cluster *cluster, bool (*needs)(const struct member *), size_t limit)
{
    struct worker *worker = &cluster->worker;
    size_t n = 0;
    for (size_t i = 0; i < worker->n_members && n < limit; i++) {
        if (needs(&worker->members[i]->core)) {
            worker->gathered[n++] = worker->members[i];
        }
    }
    return n;
}

struct write_batch {
    comrade_write *writes;
    comrade_change *changes;
    comrade_own *owns;
    comrade_write_result *results;
};

static bool write_batch_init(struct write_batch *batch, size_t n)
{
    batch->writes = calloc(n, sizeof *batch->writes);
    batch->changes = calloc(n, sizeof *batch->changes);
    batch->owns = calloc(n, sizeof *batch->owns);
    batch->results = calloc(n, sizeof *batch->results);
    return batch->writes != NULL && batch->changes != NULL && batch->owns != NULL &&
           batch->results != NULL;
}

static void write_batch_finish(struct write_batch *batch)
{
    free(batch->writes);
    free(batch->changes);
    free(batch->owns);
    free(batch->results);
}

static void on_written(comrade_cluster *cluster, comrade_member **members, size_t n_members,
                       const struct write_batch *batch, int64_t now_ms)
{
    struct worker *worker = &cluster->worker;
    for (size_t i = 0; i < n_members; i++) {
        comrade_status status = batch->results[i].status;
        bool was_claiming = members[i]->core.phase == MEMBER_CLAIMING;
        member_on_written(&members[i]->core, batch->owns[i].sequence, &batch->results[i]);
        bool is_refused = status != COMRADE_OK && status != COMRADE_FENCED;
        if (is_refused && !(was_claiming && status == COMRADE_CONFLICT)) {
            retry_later(cluster, now_ms);
        }
    }
    if (worker->next_beat_ms == INT64_MAX) {
        worker->next_beat_ms = now_ms + env_random_between(cluster->env, cluster->heartbeat_ms / 2,
                                                           cluster->heartbeat_ms);
    }
}

bool worker_write_members(comrade_cluster *cluster, int64_t now_ms)
{
    if (now_ms < cluster->worker.next_member_ms) {
        return false;
    }
    size_t n = gather(cluster, member_needs_write, WRITES_A_CALL);
    comrade_member **members = cluster->worker.gathered;
    if (n == 0) {
        return false;
    }
    struct write_batch batch;
    comrade_error error = {COMRADE_NO_MEMORY, "out of memory"};
    comrade_status status = COMRADE_NO_MEMORY;
    if (write_batch_init(&batch, n)) {
        for (size_t i = 0; i < n; i++) {
            member_write(&members[i]->core, now_ms, &batch.writes[i], &batch.changes[i],
                         &batch.owns[i]);
        }
        status = worker_open(cluster, &error);
    }
    if (status == COMRADE_OK) {
        comrade_call call = worker_call(cluster, false);
        status = cluster->driver->write(cluster->worker.store, &call, batch.writes, n,
                                        batch.results, &error);
    }
    if (status == COMRADE_OK) {
        worker_answered(cluster);
        on_written(cluster, members, n, &batch, now_ms);
    } else {
        worker_fail_members(cluster, members, n, status, &error, now_ms);
    }
    write_batch_finish(&batch);
    return true;
}

static void on_read(comrade_cluster *cluster, comrade_member *member,
                    const struct snapshot *snapshot)
{
    const comrade_record *record = snapshot_find(snapshot, member->core.id);
    member_on_read(&member->core, record, snapshot->now_ms,
                   is_owner_gone(cluster, record, snapshot->now_ms));
}

bool worker_read_members(comrade_cluster *cluster, int64_t now_ms)
{
    if (now_ms < cluster->worker.next_member_ms) {
        return false;
    }
    size_t n = gather(cluster, member_needs_read, READS_A_CALL);
    comrade_member **members = cluster->worker.gathered;
    if (n == 0) {
        return false;
    }
    struct snapshot snapshot;
    snapshot_init(&snapshot);
    comrade_error error = {COMRADE_NO_MEMORY, "out of memory"};
    const char **ids = malloc(n * sizeof *ids);
    comrade_status status = ids == NULL ? COMRADE_NO_MEMORY : worker_open(cluster, &error);
    if (status == COMRADE_OK) {
        for (size_t i = 0; i < n; i++) {
            ids[i] = members[i]->core.id;
        }
        comrade_snapshot_query query = {
            .scope = COMRADE_SCOPE_IDS, .ids = ids, .n_ids = n, .limit = n};
        comrade_snapshot_sink sink = {snapshot_add_record, snapshot_add_role, &snapshot};
        comrade_snapshot_page page = {0};
        comrade_call call = worker_call(cluster, false);
        status = cluster->driver->snapshot(cluster->worker.store, &call, &query, &page.next, &sink,
                                           &page, &error);
        snapshot.now_ms = page.now_ms;
    }
    if (status == COMRADE_OK) {
        worker_answered(cluster);
        for (size_t i = 0; i < n; i++) {
            on_read(cluster, members[i], &snapshot);
        }
    } else {
        worker_fail_members(cluster, members, n, status, &error, now_ms);
    }
    snapshot_finish(&snapshot);
    free(ids);
    return true;
}

static void complete_updates(comrade_cluster *cluster, comrade_status status,
                             const comrade_error *error)
{
    cluster->worker.is_beat_asked = false;
    while (cluster->worker.updates != NULL) {
        struct call *call = cluster->worker.updates;
        cluster->worker.updates = call->next;
        if (status == COMRADE_OK) {
            call_complete(cluster, call);
        } else {
            call_fail(cluster, call, status, error);
        }
    }
}

static void on_beaten(comrade_cluster *cluster, comrade_member **members, size_t n_members,
                      const comrade_beat_result *results, const comrade_beat_summary *summary,
                      int64_t now_ms)
{
    struct worker *worker = &cluster->worker;
    /* What came before the watch was opened could not be announced; but whoever hears of it writes
       its own part, and of that a watch that is not deaf tells in time. */
    int64_t announced_by_ms = worker->watch_fd >= 0 ? now_ms + PUSH_PATIENCE_MS : 0;
    worker->has_failed_to_beat = false;
    for (size_t i = 0; i < n_members; i++) {
        member_on_beat(&members[i]->core, &results[i], announced_by_ms);
    }
    if (summary->specs_revision != worker->specs_revision ||
        (summary->specs_revision == 0 && now_ms >= worker->next_specs_ms)) {
        worker->specs_revision = summary->specs_revision;
        worker->must_read_specs = true;
    }
    worker->next_member_ms = 0;
}

/* One call for the beats of at most BEATS_A_CALL members. */
static comrade_status beat(comrade_cluster *cluster, comrade_member **members, size_t n,
                           int64_t now_ms, bool may_make_way, comrade_error *error)
{
    comrade_beat_summary summary = {0};
    comrade_beat *beats = malloc(n * sizeof *beats);
    comrade_beat_result *results = calloc(n, sizeof *results);
    comrade_status status = COMRADE_NO_MEMORY;
    if (beats != NULL && results != NULL) {
        for (size_t i = 0; i < n; i++) {
            beats[i] = (comrade_beat){members[i]->core.id, members[i]->core.incarnation};
        }
        status = worker_open(cluster, error);
    }
    if (status == COMRADE_OK) {
        comrade_call call = worker_call(cluster, may_make_way);
        status = cluster->driver->heartbeat(cluster->worker.store, &call, beats, n, results,
                                            &summary, error);
        status = worker_call_result(&call, status);
    }
    if (status == COMRADE_OK) {
        worker_answered(cluster);
        on_beaten(cluster, members, n, results, &summary, now_ms);
    } else {
        fail_beats(cluster, members, n, status, error, now_ms);
    }
    free(beats);
    free(results);
    return status;
}

bool worker_beat_members(comrade_cluster *cluster, int64_t now_ms)
{
    struct worker *worker = &cluster->worker;
    if (worker_take_return(cluster)) {
        worker->next_beat_ms = now_ms;
    }
    if (!worker->is_beat_asked && now_ms < worker->next_beat_ms) {
        return false;
    }
    if (worker_is_silenced(cluster, now_ms)) {
        worker->next_beat_ms = now_ms + cluster->heartbeat_ms;
        return false;
    }
    size_t n = gather(cluster, member_needs_beat, SIZE_MAX);
    if (n == 0) {
        worker->next_beat_ms = INT64_MAX; /* the next registration starts it again */
        complete_updates(cluster, COMRADE_NOT_FOUND, NULL);
        return false;
    }
    /* However much is asked of the store, one that is overdue makes way no more. */
    bool may_make_way =
        worker->next_beat_ms == INT64_MAX || now_ms - worker->next_beat_ms < cluster->heartbeat_ms;
    comrade_error error = {COMRADE_NO_MEMORY, "out of memory"};
    comrade_status status = COMRADE_OK;
    for (size_t done = 0; done < n && status == COMRADE_OK; done += BEATS_A_CALL) {
        size_t part = n - done < BEATS_A_CALL ? n - done : BEATS_A_CALL;
        status = beat(cluster, worker->gathered + done, part, now_ms, may_make_way, &error);
    }
    if (status == COMRADE_OK) {
        worker->next_beat_ms = now_ms + cluster->heartbeat_ms;
    }
    if (status == COMRADE_CANCELED) {
        worker->is_making_way = true;
    } else {
        complete_updates(cluster, status, &error);
    }
    return true;
}

int64_t worker_members_due_ms(const comrade_cluster *cluster)
{
    const struct worker *worker = &cluster->worker;
    int64_t due_ms = worker->next_beat_ms;
    bool has_need = worker->must_read_specs && worker->specs.n_entries > 0;
    for (size_t i = 0; i < worker->n_members; i++) {
        const struct member *core = &worker->members[i]->core;
        has_need |= member_needs_read(core) || member_needs_write(core);
        int64_t at_ms = member_next_time(core);
        due_ms = at_ms < due_ms ? at_ms : due_ms;
    }
    if (has_need && worker->next_member_ms < due_ms) {
        due_ms = worker->next_member_ms;
    }
    int64_t watch_ms = worker_watch_due_ms(cluster);
    return watch_ms < due_ms ? watch_ms : due_ms;
}
