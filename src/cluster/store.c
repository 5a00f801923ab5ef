/* The public face of what is asked of the store itself, whoever is in it. */
#include "cluster/internal.h"

#include "store/registry.h"
#include "store/url.h"

#include <stdlib.h>

comrade_status comrade_store_setup_text(const char *url,
                                        void (*on_text)(void *user, const char *text), void *user,
                                        comrade_error *error)
{
    const comrade_store_driver *driver = NULL;
    comrade_status status = store_driver_find(url, &driver, error);
    if (status != COMRADE_OK) {
        return status;
    }
    if (driver->setup_text == NULL) {
        char *shown_url = url_redact(url);
        status = comrade_error_set(error, COMRADE_UNSUPPORTED,
                                   "%s: this store needs no setting up; it is made when it is "
                                   "first used",
                                   shown_url == NULL ? driver->scheme : shown_url);
        free(shown_url);
        return status;
    }
    driver->setup_text(on_text, user);
    return COMRADE_OK;
}

static comrade_status submit(comrade_cluster *cluster, enum call_kind kind, comrade_done done,
                             void *user, comrade_error *error)
{
    struct call *call = call_new(kind, done, user);
    if (call == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for a call");
    }
    call_submit(cluster, call);
    return COMRADE_OK;
}

static comrade_status run(comrade_cluster *cluster, enum call_kind kind, int64_t timeout_ms,
                          comrade_outcome *outcome, comrade_error *error)
{
    struct call *call = call_new(kind, NULL, NULL);
    if (call == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for a call");
    }
    return call_run(cluster, call, timeout_ms, outcome, error);
}

comrade_status comrade_cluster_check_submit(comrade_cluster *cluster, comrade_done done, void *user,
                                            comrade_error *error)
{
    return submit(cluster, CALL_CHECK, done, user, error);
}

comrade_status comrade_cluster_check(comrade_cluster *cluster, int64_t timeout_ms, char **findings,
                                     comrade_error *error)
{
    comrade_outcome outcome = {0};
    comrade_status status = run(cluster, CALL_CHECK, timeout_ms, &outcome, error);
    if (status == COMRADE_OK && findings != NULL) {
        *findings = outcome.findings;
    } else if (status == COMRADE_OK) {
        free(outcome.findings);
    }
    return status;
}

comrade_status comrade_cluster_set_up_submit(comrade_cluster *cluster, comrade_done done,
                                             void *user, comrade_error *error)
{
    return submit(cluster, CALL_SET_UP, done, user, error);
}

comrade_status comrade_cluster_set_up(comrade_cluster *cluster, int64_t timeout_ms,
                                      comrade_error *error)
{
    return run(cluster, CALL_SET_UP, timeout_ms, NULL, error);
}

comrade_status comrade_cluster_drop_submit(comrade_cluster *cluster, comrade_done done, void *user,
                                           comrade_error *error)
{
    return submit(cluster, CALL_DROP, done, user, error);
}

comrade_status comrade_cluster_drop(comrade_cluster *cluster, int64_t timeout_ms,
                                    comrade_error *error)
{
    return run(cluster, CALL_DROP, timeout_ms, NULL, error);
}
