/* The public face of a member: checks what is given, and submits it to the worker. */
#include "cluster/internal.h"

#include "core/limits.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Calls that are part of the member: submitting them cannot fail. */
static void prepare(struct call *call, enum call_kind kind, comrade_member *member)
{
    call->kind = kind;
    call->member = member;
}

static comrade_status check_options(const comrade_member_options *options, const char *id,
                                    const char *host, const char *metadata, comrade_error *error)
{
    comrade_status status = limits_check_role(options->role, error);
    if (status == COMRADE_OK) {
        status = limits_check_id(id, error);
    }
    if (status == COMRADE_OK) {
        status = limits_check_name("host", host, error);
    }
    if (status == COMRADE_OK) {
        status = limits_check_object("metadata", metadata, error);
    }
    if (status == COMRADE_OK && options->pid < 0) {
        status = comrade_error_set(error, COMRADE_INVALID, "the pid must not be negative");
    }
    return status;
}

comrade_status comrade_member_new(comrade_cluster *cluster, const comrade_member_options *options,
                                  comrade_member **member, comrade_error *error)
{
    comrade_member_options copy = COMRADE_MEMBER_OPTIONS_INIT;
    comrade_status status =
        options_read("options of the member", options, &copy, sizeof copy, error);
    if (status != COMRADE_OK) {
        return status;
    }
    options = &copy;
    char uuid[UUID_SIZE];
    env_uuid(cluster->env, uuid);
    const char *id = options->id == NULL ? uuid : options->id;
    const char *host = options->host == NULL ? cluster->host : options->host;
    const char *metadata = options->metadata == NULL ? "{}" : options->metadata;
    status = check_options(options, id, host, metadata, error);
    if (status != COMRADE_OK) {
        return status;
    }
    comrade_member *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for member \"%s\"", id);
    }
    struct member_options core = {
        .id = id,
        .role = options->role,
        .host = host,
        .metadata = metadata,
        /* An agent's service has no process yet; a member of its own is this process. */
        .pid = options->pid != 0 || !options->is_ready ? options->pid : getpid(),
        .is_ready = options->is_ready,
        .takeover = options->takeover,
    };
    status = member_init(&made->core, &core, error);
    if (status != COMRADE_OK) {
        free(made);
        return status;
    }
    made->cluster = cluster;
    made->on_event = options->on_event;
    made->user = options->user;
    made->note.kind = NOTE_MEMBER;
    prepare(&made->start, CALL_MEMBER_START, made);
    prepare(&made->stop, CALL_MEMBER_STOP, made);
    prepare(&made->release, CALL_MEMBER_FREE, made);
    *member = made;
    return COMRADE_OK;
}

void comrade_member_free(comrade_member *member)
{
    if (member == NULL) {
        return;
    }
    comrade_cluster *cluster = member->cluster;
    pthread_mutex_lock(&cluster->lock);
    cluster_remove_note(cluster, &member->note);
    member->is_freed = true;
    bool is_telling = member->n_tellings > 0; /* then the release follows the callback */
    pthread_mutex_unlock(&cluster->lock);
    if (!is_telling) {
        call_submit(cluster, &member->release);
    }
}

const char *comrade_member_id(const comrade_member *member)
{
    return member->core.id;
}

const char *comrade_member_role(const comrade_member *member)
{
    return member->core.role;
}

int64_t comrade_member_incarnation(const comrade_member *member)
{
    return atomic_load(&member->incarnation);
}

comrade_status comrade_member_start(comrade_member *member, comrade_error *error)
{
    (void)error;
    pthread_mutex_lock(&member->cluster->lock);
    bool is_first = !member->is_started;
    member->is_started = true;
    pthread_mutex_unlock(&member->cluster->lock);
    if (is_first) {
        call_submit(member->cluster, &member->start);
    }
    return COMRADE_OK;
}

void comrade_member_stop(comrade_member *member)
{
    pthread_mutex_lock(&member->cluster->lock);
    bool is_first = !member->is_stopped;
    member->is_stopped = true;
    pthread_mutex_unlock(&member->cluster->lock);
    if (is_first) {
        call_submit(member->cluster, &member->stop);
    }
}

/* --- Calls with completion -------------------------------------------------------------------- */

static comrade_status no_memory(comrade_error *error)
{
    return comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for a call");
}

static comrade_status report_call(comrade_member *member, const comrade_report *report,
                                  struct call **call, comrade_error *error)
{
    comrade_report copy = COMRADE_REPORT_INIT;
    comrade_status status =
        options_read("contents of the report", report, &copy, sizeof copy, error);
    if (status != COMRADE_OK) {
        return status;
    }
    report = &copy;
    if ((int)report->state < 0 || report->state > COMRADE_STATE_BACKOFF) {
        return comrade_error_set(error, COMRADE_INVALID, "there is no state %d",
                                 (int)report->state);
    }
    if (report->metadata != NULL) {
        status = limits_check_object("metadata", report->metadata, error);
    }
    if (status == COMRADE_OK && report->details != NULL) {
        status = limits_check_object("details", report->details, error);
    }
    if (status != COMRADE_OK) {
        return status;
    }
    struct call *made = call_new(CALL_REPORT, NULL, NULL);
    if (made == NULL) {
        return no_memory(error);
    }
    made->member = member;
    made->report = *report;
    made->report.metadata = report->metadata == NULL ? NULL : strdup(report->metadata);
    made->report.details = report->details == NULL ? NULL : strdup(report->details);
    if ((report->metadata != NULL && made->report.metadata == NULL) ||
        (report->details != NULL && made->report.details == NULL)) {
        call_free(made);
        return no_memory(error);
    }
    *call = made;
    return COMRADE_OK;
}

static comrade_status submit(comrade_cluster *cluster, struct call *call, comrade_done done,
                             void *user)
{
    call->done = done;
    call->user = user;
    call_submit(cluster, call);
    return COMRADE_OK;
}

comrade_status comrade_member_report_submit(comrade_member *member, const comrade_report *report,
                                            comrade_done done, void *user, comrade_error *error)
{
    struct call *call;
    comrade_status status = report_call(member, report, &call, error);
    return status != COMRADE_OK ? status : submit(member->cluster, call, done, user);
}

comrade_status comrade_member_report(comrade_member *member, const comrade_report *report,
                                     int64_t timeout_ms, comrade_error *error)
{
    struct call *call;
    comrade_status status = report_call(member, report, &call, error);
    return status != COMRADE_OK ? status : call_run(member->cluster, call, timeout_ms, NULL, error);
}

static const comrade_report dead = {
    .size = sizeof dead,
    .state = COMRADE_STATE_DRAINING,
    .is_alive = false,
    .is_available = false,
    .pid = -1,
};

comrade_status comrade_member_report_dead_submit(comrade_member *member, comrade_done done,
                                                 void *user, comrade_error *error)
{
    return comrade_member_report_submit(member, &dead, done, user, error);
}

comrade_status comrade_member_report_dead(comrade_member *member, int64_t timeout_ms,
                                          comrade_error *error)
{
    return comrade_member_report(member, &dead, timeout_ms, error);
}

static comrade_status fetch_call(comrade_member *member, struct call **call, comrade_error *error)
{
    struct operation_options options = {
        .kind = OPERATION_FETCH,
        .id = member->core.id,
        .heartbeat_ms = member->cluster->heartbeat_ms,
        .call_timeout_ms = member->cluster->call_timeout_ms,
        .env = member->cluster->env,
    };
    struct call *made = call_new(CALL_OPERATION, NULL, NULL);
    if (made == NULL) {
        return no_memory(error);
    }
    comrade_status status = operation_new(&options, &made->operation, error);
    if (status != COMRADE_OK) {
        call_free(made);
        return status;
    }
    *call = made;
    return COMRADE_OK;
}

comrade_status comrade_member_fetch_submit(comrade_member *member, comrade_done done, void *user,
                                           comrade_error *error)
{
    struct call *call;
    comrade_status status = fetch_call(member, &call, error);
    return status != COMRADE_OK ? status : submit(member->cluster, call, done, user);
}

comrade_status comrade_member_fetch(comrade_member *member, int64_t timeout_ms,
                                    comrade_members **members, comrade_error *error)
{
    struct call *call;
    comrade_outcome outcome;
    comrade_status status = fetch_call(member, &call, error);
    if (status == COMRADE_OK) {
        status = call_run(member->cluster, call, timeout_ms, &outcome, error);
    }
    if (status == COMRADE_OK && members != NULL) {
        *members = outcome.members;
    } else if (status == COMRADE_OK) {
        comrade_members_free(outcome.members);
    }
    return status;
}

comrade_status comrade_member_update_submit(comrade_member *member, comrade_done done, void *user,
                                            comrade_error *error)
{
    struct call *call = call_new(CALL_UPDATE, done, user);
    if (call == NULL) {
        return no_memory(error);
    }
    call->member = member;
    call_submit(member->cluster, call);
    return COMRADE_OK;
}

comrade_status comrade_member_update(comrade_member *member, int64_t timeout_ms,
                                     comrade_error *error)
{
    struct call *call = call_new(CALL_UPDATE, NULL, NULL);
    if (call == NULL) {
        return no_memory(error);
    }
    call->member = member;
    return call_run(member->cluster, call, timeout_ms, NULL, error);
}
