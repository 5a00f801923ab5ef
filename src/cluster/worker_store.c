/* What is asked of the store itself: one call to its driver, whose end is the end of it. */
#include "cluster/internal.h"

#include "base/buffer.h"
#include "base/error.h"

enum { FINDINGS_LIMIT = 64 * 1024 };

static void on_finding(void *user, bool is_problem, const char *text)
{
    buffer_append_format(user, "%s: %s\n", is_problem ? "problem" : "ok", text);
}

static comrade_status check(comrade_cluster *cluster, struct call *call, comrade_error *error)
{
    struct buffer findings;
    buffer_init(&findings, FINDINGS_LIMIT);
    comrade_status status = worker_open(cluster, error);
    if (status == COMRADE_OK && cluster->driver->check != NULL) {
        comrade_call bounds = worker_call(cluster, false);
        status =
            cluster->driver->check(cluster->worker.store, &bounds, on_finding, &findings, error);
    }
    if (status == COMRADE_OK) {
        call->outcome.findings = buffer_take(&findings);
        status = call->outcome.findings == NULL ? COMRADE_NO_MEMORY : COMRADE_OK;
    }
    buffer_finish(&findings);
    return status;
}

/* Where there is no owner apart, opening has made all there is. */
static comrade_status set_up(comrade_cluster *cluster, comrade_error *error)
{
    comrade_status status = worker_open(cluster, error);
    if (status == COMRADE_OK && cluster->driver->set_up != NULL) {
        comrade_call bounds = worker_call(cluster, false);
        status = cluster->driver->set_up(cluster->worker.store, &bounds, error);
    }
    return status;
}

/* Whoever needs the store after that opens another one. */
static comrade_status drop(comrade_cluster *cluster, comrade_error *error)
{
    if (cluster->driver->drop == NULL) {
        return comrade_error_set(error, COMRADE_UNSUPPORTED,
                                 "%s: Comrade cannot remove this store; whoever keeps it can",
                                 cluster->shown_url);
    }
    comrade_status status = worker_open(cluster, error);
    if (status == COMRADE_OK) {
        comrade_call bounds = worker_call(cluster, false);
        status = cluster->driver->drop(cluster->worker.store, &bounds, error);
    }
    if (status == COMRADE_OK) {
        cluster->driver->close(cluster->worker.store);
        cluster->worker.store = NULL;
        worker_failed(cluster);
    }
    return status;
}

void worker_call_store(comrade_cluster *cluster, struct call *call)
{
    comrade_error error = {0};
    comrade_status status = call->kind == CALL_CHECK    ? check(cluster, call, &error)
                            : call->kind == CALL_SET_UP ? set_up(cluster, &error)
                                                        : drop(cluster, &error);
    if (status == COMRADE_OK) {
        call_complete(cluster, call);
    } else {
        call_fail(cluster, call, status, &error);
    }
}
