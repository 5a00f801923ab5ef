/*
 * Is the user's thread alive? With each heartbeat goes a note that only dispatch() can take away;
 * while one lies there for longer than the limit, the members do not heartbeat: their service does
 * not serve either, and others are to see that. The dispatch that takes it starts them again.
 */
#include "cluster/internal.h"

bool worker_is_silenced(comrade_cluster *cluster, int64_t now_ms)
{
    if (cluster->silence_limit_ms == 0) {
        return false;
    }
    pthread_mutex_lock(&cluster->lock);
    bool is_asked = cluster->pulse_note.is_queued;
    bool is_silenced = is_asked && now_ms - cluster->pulse_asked_ms >= cluster->silence_limit_ms;
    if (!is_asked && now_ms >= cluster->worker.next_beat_ms) {
        cluster->pulse_asked_ms = now_ms;
        cluster_push_note(cluster, &cluster->pulse_note);
    }
    cluster->is_silenced = is_silenced;
    pthread_mutex_unlock(&cluster->lock);
    return is_silenced;
}

bool worker_take_return(comrade_cluster *cluster)
{
    pthread_mutex_lock(&cluster->lock);
    bool has_returned = cluster->is_silenced && !cluster->pulse_note.is_queued;
    cluster->is_silenced = cluster->is_silenced && !has_returned;
    pthread_mutex_unlock(&cluster->lock);
    return has_returned;
}

/* Lock held; the note has just been taken. */
void cluster_on_pulse(comrade_cluster *cluster)
{
    if (cluster->is_silenced) {
        cluster_signal(cluster->wake_fd);
    }
}
