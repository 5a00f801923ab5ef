/* The public face of a watch. */
#include "cluster/internal.h"

#include <stdlib.h>

comrade_status comrade_watch_start(comrade_client *client, const comrade_query *query,
                                   comrade_on_change on_change, void *user, comrade_watch **watch,
                                   comrade_error *error)
{
    comrade_query copy = COMRADE_QUERY_INIT;
    comrade_status status =
        query == NULL ? COMRADE_OK
                      : options_read("conditions of the query", query, &copy, sizeof copy, error);
    if (status == COMRADE_OK && on_change == NULL) {
        status = comrade_error_set(error, COMRADE_INVALID, "a watch needs somebody to tell");
    }
    if (status != COMRADE_OK) {
        return status;
    }
    comrade_watch *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for a watch");
    }
    status = query_init(&made->query, &copy, error);
    if (status != COMRADE_OK) {
        free(made);
        return status;
    }
    made->cluster = client->cluster;
    made->client = client;
    made->on_change = on_change;
    made->user = user;
    made->is_dirty = true;
    made->note.kind = NOTE_WATCH;
    made->start.kind = CALL_WATCH_START;
    made->start.watch = made;
    made->release.kind = CALL_WATCH_FREE;
    made->release.watch = made;
    *watch = made;
    call_submit(client->cluster, &made->start);
    return COMRADE_OK;
}

void comrade_watch_stop(comrade_watch *watch)
{
    if (watch == NULL) {
        return;
    }
    comrade_cluster *cluster = watch->cluster;
    pthread_mutex_lock(&cluster->lock);
    watch->is_freed = true; /* nothing is told from here on */
    cluster_remove_note(cluster, &watch->note);
    pthread_mutex_unlock(&cluster->lock);
    call_submit(cluster, &watch->release);
}
