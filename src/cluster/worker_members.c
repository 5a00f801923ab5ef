/* The members of a worker: who is here, what their users report, and what they are told. */
#include "cluster/internal.h"

#include <stdlib.h>
#include <string.h>

/* How long a freed member may try to write what it had said. */
enum { RELEASED_KEPT_MS = 60 * 1000 };

/* --- Who is here ------------------------------------------------------------------------------ */

static size_t place_of(const struct worker *worker, const char *id)
{
    size_t low = 0;
    size_t high = worker->n_members;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(worker->members[middle]->core.id, id) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

comrade_member *worker_find_member(comrade_cluster *cluster, const char *id)
{
    struct worker *worker = &cluster->worker;
    size_t place = place_of(worker, id);
    bool is_there = place < worker->n_members && strcmp(worker->members[place]->core.id, id) == 0;
    return is_there ? worker->members[place] : NULL;
}

static bool make_room(struct worker *worker)
{
    if (worker->n_members < worker->members_capacity) {
        return true;
    }
    size_t capacity = worker->members_capacity == 0 ? 1 : worker->members_capacity * 2;
    comrade_member **members = realloc(worker->members, capacity * sizeof *members);
    if (members == NULL) {
        return false;
    }
    worker->members = members;
    comrade_member **gathered = realloc(worker->gathered, capacity * sizeof *gathered);
    if (gathered == NULL) {
        return false;
    }
    worker->gathered = gathered;
    worker->members_capacity = capacity;
    return true;
}

static void refuse(comrade_member *member, comrade_status status, const char *why)
{
    comrade_error_set(&member->core.error, status, "id \"%s\" cannot be started: %s",
                      member->core.id, why);
    member->core.events |= MEMBER_EVENT_IN_USE;
    member_end(&member->core, status);
}

static void tell(comrade_cluster *cluster, comrade_member *member);
static void member_free_now(comrade_member *member);

static void remove_member(comrade_cluster *cluster, comrade_member *member)
{
    struct worker *worker = &cluster->worker;
    size_t place = place_of(worker, member->core.id);
    if (place < worker->n_members && worker->members[place] == member) {
        worker->n_members--;
        memmove(&worker->members[place], &worker->members[place + 1],
                (worker->n_members - place) * sizeof *worker->members);
    }
}

/*
 * One that has ended, or that nobody wants any more, does not keep its id from the next; one that
 * has been stopped and is not written yet has been overtaken by it.
 */
static void make_way(comrade_cluster *cluster, comrade_member *member)
{
    if (member == NULL) {
        return;
    }
    if (member->core.is_stopping) {
        member_end(&member->core, COMRADE_CANCELED);
    }
    if (member->is_released) {
        remove_member(cluster, member);
        member_free_now(member);
    } else if (member->core.phase == MEMBER_ENDED) {
        remove_member(cluster, member);
        tell(cluster, member);
    }
}

void worker_add_member(comrade_cluster *cluster, comrade_member *member)
{
    struct worker *worker = &cluster->worker;
    make_way(cluster, worker_find_member(cluster, member->core.id));
    if (worker_find_member(cluster, member->core.id) != NULL) {
        refuse(member, COMRADE_IN_USE, "it is already started in this process");
    } else if (!make_room(worker) || !spec_memory_track(&worker->specs, member->core.role)) {
        refuse(member, COMRADE_NO_MEMORY, "out of memory");
    }
    if (member->core.phase == MEMBER_ENDED) {
        tell(cluster, member);
        return;
    }
    size_t place = place_of(worker, member->core.id);
    memmove(&worker->members[place + 1], &worker->members[place],
            (worker->n_members - place) * sizeof *worker->members);
    worker->members[place] = member;
    worker->n_members++;
    worker->must_read_specs = true;
    member_start(&member->core);
}

/* --- Telling the user ------------------------------------------------------------------------- */

static void complete_reports(comrade_cluster *cluster, comrade_member *member)
{
    struct member *core = &member->core;
    for (struct call **at = &member->waiting; *at != NULL;) {
        struct call *call = *at;
        bool is_committed = core->committed_sequence >= call->sequence;
        if (!is_committed && core->phase != MEMBER_ENDED) {
            at = &call->next;
            continue;
        }
        *at = call->next;
        if (is_committed) {
            call_complete(cluster, call);
        } else {
            call_fail(cluster, call, core->end_status, NULL);
        }
    }
}

static void tell(comrade_cluster *cluster, comrade_member *member)
{
    unsigned events = member->core.events;
    if (events & MEMBER_EVENT_REGISTERED) {
        atomic_store(&member->incarnation, member->core.incarnation);
    }
    if (events != 0) {
        pthread_mutex_lock(&cluster->lock);
        /* Bits have no order: what was overtaken before anybody heard of it is not told. */
        if (events & (MEMBER_EVENT_ERROR | MEMBER_EVENT_LOST)) {
            member->pending &= ~(unsigned)MEMBER_EVENT_RESTORED;
        }
        if (events & MEMBER_EVENT_REGISTERED) {
            member->pending &= ~(unsigned)MEMBER_EVENT_ERROR;
        }
        if (events & MEMBER_EVENT_SHUTDOWN) {
            member->pending &= ~(unsigned)MEMBER_EVENT_RESTART;
        }
        member->pending |= events;
        if (member->core.events & (MEMBER_EVENT_ERROR | MEMBER_EVENT_IN_USE)) {
            member->error = member->core.error;
        }
        member->core.events = 0;
        if (!member->is_freed) {
            cluster_push_note(cluster, &member->note);
        }
        pthread_mutex_unlock(&cluster->lock);
    }
    if (member->waiting != NULL) {
        complete_reports(cluster, member);
    }
}

void worker_tell_members(comrade_cluster *cluster, int64_t now_ms)
{
    struct worker *worker = &cluster->worker;
    for (size_t i = 0; i < worker->n_members;) {
        comrade_member *member = worker->members[i];
        member_on_time(&member->core, now_ms);
        if (member_take_unannounced(&member->core, now_ms)) {
            worker_doubt_watch(cluster);
        }
        tell(cluster, member);
        bool is_over = member->core.phase == MEMBER_ENDED || now_ms >= member->keep_until_ms;
        if (member->is_released && is_over) {
            make_way(cluster, member); /* the next one is in its place */
        } else {
            i++;
        }
    }
}

void worker_on_report(comrade_cluster *cluster, struct call *call)
{
    comrade_member *member = call->member;
    call->sequence = member_report(&member->core, &call->report);
    if (call->sequence == 0) {
        call_fail(cluster, call, COMRADE_NO_MEMORY, NULL);
        return;
    }
    call->next = member->waiting;
    member->waiting = call;
    cluster->worker.next_member_ms = 0; /* what is new is tried at once, outage or not */
    if (member->core.phase == MEMBER_ENDED) {
        complete_reports(cluster, member);
    }
}

static void member_free_now(comrade_member *member)
{
    while (member->waiting != NULL) {
        struct call *call = member->waiting;
        member->waiting = call->next;
        call_fail(member->cluster, call, COMRADE_CANCELED, NULL);
    }
    member_finish(&member->core);
    free(member);
}

void worker_release_member(comrade_cluster *cluster, comrade_member *member)
{
    member_stop(&member->core);
    member->is_released = true;
    member->keep_until_ms = env_monotonic_ms(cluster->env) + RELEASED_KEPT_MS;
    if (member->core.phase == MEMBER_ENDED) {
        remove_member(cluster, member);
        member_free_now(member);
    }
}

void worker_drop_members(comrade_cluster *cluster)
{
    struct worker *worker = &cluster->worker;
    for (size_t i = 0; i < worker->n_members; i++) {
        if (worker->members[i]->is_released) {
            member_free_now(worker->members[i]);
        }
    }
    worker->n_members = 0;
    free(worker->members);
    free(worker->gathered);
}
