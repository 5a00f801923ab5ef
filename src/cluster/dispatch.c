/*
 * The queue of notes that dispatch() empties, and the callbacks that it runs. Each is run without
 * the lock; what it may read of an object that it frees itself is kept until it has returned.
 */
#include "cluster/internal.h"

#include <unistd.h>

/* --- The queue -------------------------------------------------------------------------------- */

void cluster_push_note(comrade_cluster *cluster, struct note *note)
{
    if (note->is_queued) {
        return;
    }
    note->is_queued = true;
    note->next = NULL;
    note->previous = cluster->notes_last;
    if (cluster->notes_last == NULL) {
        cluster->notes_first = note;
        cluster_signal(cluster->ready_fd);
    } else {
        cluster->notes_last->next = note;
    }
    cluster->notes_last = note;
    cluster->n_notes++;
}

void cluster_remove_note(comrade_cluster *cluster, struct note *note)
{
    if (!note->is_queued) {
        return;
    }
    if (note->previous == NULL) {
        cluster->notes_first = note->next;
    } else {
        note->previous->next = note->next;
    }
    if (note->next == NULL) {
        cluster->notes_last = note->previous;
    } else {
        note->next->previous = note->previous;
    }
    note->is_queued = false;
    cluster->n_notes--;
    if (cluster->notes_first == NULL) {
        uint64_t count;
        ssize_t n = read(cluster->ready_fd, &count, sizeof count);
        (void)n;
    }
}

/* --- Callbacks -------------------------------------------------------------------------------- */

static comrade_event_kind event_kind(unsigned bit)
{
    switch ((enum member_event)bit) {
    case MEMBER_EVENT_REGISTERED:
        return COMRADE_EVENT_REGISTERED;
    case MEMBER_EVENT_SHUTDOWN:
        return COMRADE_EVENT_SHUTDOWN;
    case MEMBER_EVENT_ERROR:
        return COMRADE_EVENT_ERROR;
    case MEMBER_EVENT_LOST:
        return COMRADE_EVENT_LOST;
    case MEMBER_EVENT_RESTORED:
        return COMRADE_EVENT_RESTORED;
    case MEMBER_EVENT_FENCED:
        return COMRADE_EVENT_FENCED;
    case MEMBER_EVENT_IN_USE:
        return COMRADE_EVENT_IN_USE;
    case MEMBER_EVENT_ZOMBIFIED:
        return COMRADE_EVENT_ZOMBIFIED;
    case MEMBER_EVENT_RESTART:
        return COMRADE_EVENT_RESTART;
    }
    return COMRADE_EVENT_ERROR;
}

/* Who asked and why: read once, before the event was raised, and never changed since. */
static void fill_asked(comrade_member *member, bool is_restart, comrade_member_data *data,
                       struct arena *arena)
{
    const struct snapshot *asked = is_restart ? &member->core.restart : &member->core.shutdown;
    comrade_record unknown = {
        .id = member->core.id,
        .role = member->core.role,
        .own = {.incarnation = atomic_load(&member->incarnation),
                .state = COMRADE_STATE_DRAINING,
                .host = "",
                .version = "",
                .metadata = "{}",
                .details = "{}"},
        .request = {.kind = is_restart ? COMRADE_REQUEST_RESTART : COMRADE_REQUEST_KILL,
                    .incarnation = atomic_load(&member->incarnation),
                    .request_id = "",
                    .user = "",
                    .host = "",
                    .database_user = "",
                    .reason = ""},
    };
    /* There was no memory to keep the record: then it is told without who and why. */
    const comrade_record *record = asked->n_records > 0 ? &asked->records[0] : &unknown;
    member_data_fill(data, record, arena, asked->now_ms, member->cluster->call_timeout_ms,
                     VERDICT_NONE);
}

static void tell_event(comrade_member *member, unsigned bit, const comrade_error *error)
{
    comrade_event event = {.size = sizeof event, .kind = event_kind(bit), .member = member};
    comrade_member_data data;
    struct arena arena;
    arena_init(&arena);
    if (bit == MEMBER_EVENT_SHUTDOWN || bit == MEMBER_EVENT_RESTART) {
        fill_asked(member, bit == MEMBER_EVENT_RESTART, &data, &arena);
        event.data = &data;
    }
    if (bit == MEMBER_EVENT_ERROR || bit == MEMBER_EVENT_IN_USE) {
        event.error = error;
    }
    member->on_event(member->user, &event);
    arena_finish(&arena);
}

/* Lock held on entry, released on return. A member that its own callback frees lives until then. */
static void dispatch_member(comrade_cluster *cluster, comrade_member *member)
{
    unsigned bit = member->pending & -member->pending;
    member->pending &= ~bit;
    if (member->pending != 0) {
        cluster_push_note(cluster, &member->note);
    }
    comrade_error error = member->error;
    member->n_tellings++;
    pthread_mutex_unlock(&cluster->lock);
    if (bit != 0 && member->on_event != NULL) {
        tell_event(member, bit, &error);
    }
    pthread_mutex_lock(&cluster->lock);
    member->n_tellings--;
    bool must_release = member->is_freed && member->n_tellings == 0;
    pthread_mutex_unlock(&cluster->lock);
    if (must_release) {
        call_submit(cluster, &member->release);
    }
}

static void dispatch_watch(comrade_cluster *cluster, comrade_watch *watch)
{
    comrade_members *members = watch->pending;
    comrade_error error = watch->error;
    bool has_error = watch->has_pending_error;
    watch->pending = NULL;
    watch->has_pending_error = false;
    comrade_on_change on_change = watch->on_change;
    void *user = watch->user;
    pthread_mutex_unlock(&cluster->lock);
    if (members != NULL) {
        on_change(user, members, NULL);
        comrade_members_free(members);
    } else if (has_error) {
        on_change(user, NULL, &error);
    }
}

static void dispatch_push(comrade_cluster *cluster)
{
    comrade_error error = cluster->push_error;
    bool is_missing = cluster->is_push_missing;
    cluster->was_push_missing = is_missing;
    pthread_mutex_unlock(&cluster->lock);
    cluster->on_push(cluster->push_user, is_missing ? &error : NULL);
}

static void dispatch_call(comrade_cluster *cluster, struct call *call)
{
    pthread_mutex_unlock(&cluster->lock);
    if (call->done != NULL) {
        call->done(call->user, &call->outcome);
    }
    call_free(call);
}

#define OWNER(type, note) ((type *)(void *)((char *)(note)-offsetof(type, note)))

/* What is queued by these callbacks is left for the next time: the caller's loop has other work. */
size_t comrade_cluster_dispatch(comrade_cluster *cluster)
{
    size_t n_run = 0;
    pthread_mutex_lock(&cluster->lock);
    size_t n_waiting = cluster->n_notes;
    while (n_run < n_waiting && cluster->notes_first != NULL) {
        struct note *note = cluster->notes_first;
        cluster_remove_note(cluster, note);
        n_run++;
        switch (note->kind) {
        case NOTE_CALL:
            dispatch_call(cluster, OWNER(struct call, note));
            break;
        case NOTE_MEMBER:
            dispatch_member(cluster, OWNER(comrade_member, note));
            break;
        case NOTE_WATCH:
            dispatch_watch(cluster, OWNER(comrade_watch, note));
            break;
        case NOTE_CHECK:
            pthread_mutex_unlock(&cluster->lock);
            check_call_back(note);
            break;
        case NOTE_PUSH:
            dispatch_push(cluster);
            break;
        case NOTE_PULSE:
            cluster_on_pulse(cluster);
            pthread_mutex_unlock(&cluster->lock);
            break;
        }
        pthread_mutex_lock(&cluster->lock);
    }
    pthread_mutex_unlock(&cluster->lock);
    return n_run;
}
