/*
 * The role specs of a worker: read when they may have changed, remembered, and put back where the
 * store has lost them or holds an older one.
 */
#include "cluster/internal.h"

#include <stdlib.h>

enum { SPECS_EVERY_MS = 60 * 1000 }; /* where the store does not say when they change */

static comrade_status restore_specs(comrade_cluster *cluster, const struct snapshot *roles)
{
    struct spec_memory *specs = &cluster->worker.specs;
    comrade_write *writes = calloc(specs->n_entries, sizeof *writes);
    comrade_change *changes = calloc(specs->n_entries, sizeof *changes);
    comrade_write_result *results = calloc(specs->n_entries, sizeof *results);
    comrade_status status = COMRADE_NO_MEMORY;
    if (writes != NULL && changes != NULL && results != NULL) {
        size_t n = spec_memory_restore(specs, roles, writes, changes);
        comrade_call call = worker_call(cluster, false);
        status =
            n == 0 ? COMRADE_OK
                   : cluster->driver->write(cluster->worker.store, &call, writes, n, results, NULL);
    }
    free(writes);
    free(changes);
    free(results);
    /* Where only administrators may change a spec, the one that is there stays. */
    return status == COMRADE_DENIED ? COMRADE_OK : status;
}

bool worker_keep_specs(comrade_cluster *cluster, int64_t now_ms)
{
    struct worker *worker = &cluster->worker;
    if (!worker->must_read_specs || worker->specs.n_entries == 0 ||
        now_ms < worker->next_member_ms) {
        return false;
    }
    struct snapshot roles;
    snapshot_init(&roles);
    comrade_status status = worker_open(cluster, NULL);
    if (status == COMRADE_OK) {
        comrade_snapshot_query query = {.scope = COMRADE_SCOPE_ALL, .roles_only = true, .limit = 1};
        comrade_snapshot_sink sink = {snapshot_add_record, snapshot_add_role, &roles};
        comrade_snapshot_page page = {0};
        comrade_call call = worker_call(cluster, true);
        status =
            cluster->driver->snapshot(worker->store, &call, &query, &page.next, &sink, &page, NULL);
        status = worker_call_result(&call, status);
    }
    if (status == COMRADE_OK) {
        spec_memory_learn(&worker->specs, &roles);
        status = restore_specs(cluster, &roles);
    }
    if (status == COMRADE_OK) {
        worker->must_read_specs = false;
        worker->next_specs_ms = now_ms + SPECS_EVERY_MS;
    } else if (status != COMRADE_CANCELED) {
        worker_fail_members(cluster, NULL, 0, status, NULL, now_ms);
    }
    snapshot_finish(&roles);
    return true;
}
