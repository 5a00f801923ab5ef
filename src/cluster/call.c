/* One call of a user's: submitted, worked on by the worker, completed once. */
#include "cluster/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct call *call_new(enum call_kind kind, comrade_done done, void *user)
{
    struct call *call = calloc(1, sizeof *call);
    if (call != NULL) {
        call->kind = kind;
        call->note.kind = NOTE_CALL;
        call->done = done;
        call->user = user;
        call->outcome.min_members = -1;
    }
    return call;
}

static void forget_report(comrade_report *report)
{
    free((char *)(uintptr_t)report->metadata); /* ours: copied when it was submitted */
    free((char *)(uintptr_t)report->details);
}

void call_free(struct call *call)
{
    if (call == NULL) {
        return;
    }
    operation_free(call->operation);
    check_run_free(call->checks);
    comrade_members_free(call->outcome.members);
    free(call->outcome.findings);
    free(call->write_results);
    forget_report(&call->report);
    free(call);
}

void call_submit(comrade_cluster *cluster, struct call *call)
{
    pthread_mutex_lock(&cluster->lock);
    call->next = NULL;
    if (cluster->submitted_last == NULL) {
        cluster->submitted_first = call;
    } else {
        cluster->submitted_last->next = call;
    }
    cluster->submitted_last = call;
    cluster_signal(cluster->wake_fd);
    pthread_mutex_unlock(&cluster->lock);
}

void call_complete(comrade_cluster *cluster, struct call *call)
{
    pthread_mutex_lock(&cluster->lock);
    bool is_unwanted = call->is_abandoned || (call->client != NULL && call->client->is_freed) ||
                       (!call->is_blocking && call->done == NULL);
    if (!is_unwanted) {
        call->is_done = true;
        if (call->is_blocking) {
            pthread_cond_broadcast(&cluster->call_done);
        } else {
            cluster_push_note(cluster, &call->note);
        }
    }
    pthread_mutex_unlock(&cluster->lock);
    if (is_unwanted) {
        call_free(call);
    }
}

void call_fail(comrade_cluster *cluster, struct call *call, comrade_status status,
               const comrade_error *error)
{
    call->outcome.status = status;
    if (error != NULL && error->message[0] != '\0') {
        call->outcome.error = *error;
        call->outcome.error.status = status;
    } else {
        comrade_error_set(&call->outcome.error, status, "%s: %s", cluster->shown_url,
                          comrade_status_text(status));
    }
    call_complete(cluster, call);
}

bool call_is_abandoned(comrade_cluster *cluster, struct call *call)
{
    pthread_mutex_lock(&cluster->lock);
    bool is_abandoned = call->is_abandoned;
    pthread_mutex_unlock(&cluster->lock);
    return is_abandoned;
}

static struct timespec deadline_after(int64_t timeout_ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += (time_t)(timeout_ms / 1000);
    at.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

static bool is_past(const struct timespec *deadline)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > deadline->tv_sec ||
           (now.tv_sec == deadline->tv_sec && now.tv_nsec >= deadline->tv_nsec);
}

/* Lock held. Health checks of this very call are run here: nobody else will. */
static bool wait_until_done(comrade_cluster *cluster, struct call *call, int64_t timeout_ms)
{
    struct timespec deadline = deadline_after(timeout_ms);
    while (!call->is_done) {
        if (is_past(&deadline)) {
            break; /* many checks, however quick, must not hold the caller */
        }
        struct note *check = check_take_note(cluster, call);
        if (check != NULL) {
            pthread_mutex_unlock(&cluster->lock);
            check_call_back(check);
            pthread_mutex_lock(&cluster->lock);
            continue;
        }
        if (pthread_cond_timedwait(&cluster->call_done, &cluster->lock, &deadline) == ETIMEDOUT) {
            break;
        }
    }
    return call->is_done;
}

comrade_status call_run(comrade_cluster *cluster, struct call *call, int64_t timeout_ms,
                        comrade_outcome *outcome, comrade_error *error)
{
    call->is_blocking = true;
    call_submit(cluster, call);
    pthread_mutex_lock(&cluster->lock);
    bool is_done = wait_until_done(cluster, call, timeout_ms < 0 ? 0 : timeout_ms);
    call->is_abandoned = !is_done;
    if (!is_done) {
        cluster_signal(cluster->wake_fd); /* the worker drops it, and its health checks */
    }
    pthread_mutex_unlock(&cluster->lock);
    if (!is_done) {
        return comrade_error_set(error, COMRADE_TIMED_OUT,
                                 "%s did not answer within %lld ms; what was asked may still be "
                                 "applied",
                                 cluster->shown_url, (long long)timeout_ms);
    }
    comrade_status status = call->outcome.status;
    if (status != COMRADE_OK && error != NULL) {
        *error = call->outcome.error;
    }
    if (status == COMRADE_OK && outcome != NULL) {
        *outcome = call->outcome;
        call->outcome.members = NULL;
        call->outcome.findings = NULL;
    }
    call_free(call);
    return status;
}

/* --- Outcomes --------------------------------------------------------------------------------- */

comrade_status comrade_outcome_status(const comrade_outcome *outcome)
{
    return outcome->status;
}

const comrade_error *comrade_outcome_error(const comrade_outcome *outcome)
{
    return outcome->status == COMRADE_OK ? NULL : &outcome->error;
}

const comrade_members *comrade_outcome_members(const comrade_outcome *outcome)
{
    return outcome->members;
}

comrade_members *comrade_outcome_take_members(comrade_outcome *outcome)
{
    comrade_members *members = outcome->members;
    outcome->members = NULL;
    return members;
}

const char *comrade_outcome_findings(const comrade_outcome *outcome)
{
    return outcome->findings == NULL ? "" : outcome->findings;
}

int comrade_outcome_min_members(const comrade_outcome *outcome)
{
    return outcome->min_members;
}

int comrade_outcome_available(const comrade_outcome *outcome)
{
    return outcome->available;
}
