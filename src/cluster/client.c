/* The public face of a client: checks what is asked, and submits it to the worker. */
#include "cluster/internal.h"

#include "core/limits.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHECK_LIMIT_MAX = 10000, CHECK_TIMEOUT_MAX_MS = 3600 * 1000 };

static comrade_status no_memory(comrade_error *error)
{
    return comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for a call");
}

static comrade_status check_options(const comrade_client_options *options, comrade_error *error)
{
    if (options->n_roles > 0 && options->roles == NULL) {
        return comrade_error_set(error, COMRADE_INVALID, "the minimums of the client are missing");
    }
    for (size_t i = 0; i < options->n_roles; i++) {
        comrade_status status = limits_check_role(options->roles[i].role, error);
        if (status == COMRADE_OK) {
            status = limits_check_min_members(options->roles[i].min_members, error);
        }
        if (status != COMRADE_OK) {
            return status;
        }
    }
    if (options->health_check_timeout_ms < 0 ||
        options->health_check_timeout_ms > CHECK_TIMEOUT_MAX_MS) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "the time-out of a health check must be between 1 and %d ms",
                                 CHECK_TIMEOUT_MAX_MS);
    }
    if (options->health_check_limit > CHECK_LIMIT_MAX) {
        return comrade_error_set(error, COMRADE_INVALID, "at most %d health checks may run at once",
                                 CHECK_LIMIT_MAX);
    }
    return COMRADE_OK;
}

static void client_free_now(comrade_client *client)
{
    for (size_t i = 0; i < client->n_minimums; i++) {
        free((char *)(uintptr_t)client->minimums[i].role); /* ours: copied by new */
    }
    free(client->minimums);
    free(client);
}

comrade_status comrade_client_new(comrade_cluster *cluster, const comrade_client_options *options,
                                  comrade_client **client, comrade_error *error)
{
    comrade_client_options copy = COMRADE_CLIENT_OPTIONS_INIT;
    comrade_status status =
        options == NULL ? COMRADE_OK
                        : options_read("options of the client", options, &copy, sizeof copy, error);
    options = &copy;
    if (status == COMRADE_OK) {
        status = check_options(options, error);
    }
    if (status != COMRADE_OK) {
        return status;
    }
    comrade_client *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return no_memory(error);
    }
    made->cluster = cluster;
    made->on_health_check = options->on_health_check;
    made->health_check_user = options->health_check_user;
    made->health_check_timeout_ms = options->health_check_timeout_ms;
    made->health_check_limit = options->health_check_limit;
    made->release.kind = CALL_CLIENT_FREE;
    made->release.client = made;
    made->minimums = calloc(options->n_roles + 1, sizeof *made->minimums);
    for (size_t i = 0; made->minimums != NULL && i < options->n_roles; i++) {
        made->minimums[i].min_members = options->roles[i].min_members;
        made->minimums[i].role = strdup(options->roles[i].role);
        made->n_minimums++;
        if (made->minimums[i].role == NULL) {
            client_free_now(made);
            return no_memory(error);
        }
    }
    if (made->minimums == NULL) {
        client_free_now(made);
        return no_memory(error);
    }
    *client = made;
    return COMRADE_OK;
}

/* Lock held. What waits to be dispatched for this client must not be. */
static void drop_note(comrade_client *client, struct note *note)
{
    struct call *call = (struct call *)(void *)note; /* of its kind alone */
    switch (note->kind) {
    case NOTE_CALL:
        if (call->client == client) {
            cluster_remove_note(client->cluster, note);
            call_free(call);
        }
        break;
    case NOTE_CHECK:
        check_drop_note(note, client);
        break;
    case NOTE_MEMBER:
    case NOTE_WATCH:
    case NOTE_PUSH:
    case NOTE_PULSE:
        break;
    }
}

void comrade_client_free(comrade_client *client)
{
    if (client == NULL) {
        return;
    }
    comrade_cluster *cluster = client->cluster;
    pthread_mutex_lock(&cluster->lock);
    for (struct note *note = cluster->notes_first; note != NULL;) {
        struct note *next = note->next;
        drop_note(client, note);
        note = next;
    }
    client->is_freed = true;
    pthread_mutex_unlock(&cluster->lock);
    call_submit(cluster, &client->release);
}

void worker_free_client(comrade_cluster *cluster, comrade_client *client)
{
    worker_drop_operations_of(cluster, client);
    worker_remove_watches_of(cluster, client);
    client_free_now(client);
}

/* --- Calls ------------------------------------------------------------------------------------ */

static const char *user_name(char *buf, size_t size)
{
    struct passwd entry;
    struct passwd *found = NULL;
    char texts[1024];
    if (getpwuid_r(geteuid(), &entry, texts, sizeof texts, &found) == 0 && found != NULL &&
        strlen(found->pw_name) < size) {
        snprintf(buf, size, "%s", found->pw_name);
    } else {
        snprintf(buf, size, "uid %ld", (long)geteuid());
    }
    return buf;
}

static comrade_status operation_call(comrade_client *client, const struct operation_options *asked,
                                     struct call **call, comrade_error *error)
{
    comrade_cluster *cluster = client->cluster;
    struct operation_options options = *asked;
    char name[COMRADE_NAME_MAX_BYTES + 1];
    comrade_request_options request = COMRADE_REQUEST_OPTIONS_INIT;
    comrade_query query = COMRADE_QUERY_INIT;
    comrade_status status = COMRADE_OK;
    if (asked->request != NULL) {
        status =
            options_read("options of the request", asked->request, &request, sizeof request, error);
    }
    if (status == COMRADE_OK && asked->query != NULL) {
        status = options_read("conditions of the query", asked->query, &query, sizeof query, error);
    }
    if (status != COMRADE_OK) {
        return status;
    }
    options.query = asked->query == NULL ? NULL : &query;
    if (request.user == NULL) {
        request.user = user_name(name, sizeof name);
    }
    options.request = &request;
    options.host = cluster->host;
    options.minimums = client->minimums;
    options.n_minimums = client->n_minimums;
    options.has_health_check = client->on_health_check != NULL;
    options.heartbeat_ms = cluster->heartbeat_ms;
    options.call_timeout_ms = cluster->call_timeout_ms;
    options.env = cluster->env;
    struct call *made = call_new(CALL_OPERATION, NULL, NULL);
    if (made == NULL) {
        return no_memory(error);
    }
    status = operation_new(&options, &made->operation, error);
    if (status != COMRADE_OK) {
        call_free(made);
        return status;
    }
    made->client = client;
    *call = made;
    return COMRADE_OK;
}

static comrade_status submit(comrade_client *client, struct operation_options options,
                             comrade_done done, void *user, comrade_error *error)
{
    struct call *call;
    comrade_status status = operation_call(client, &options, &call, error);
    if (status == COMRADE_OK) {
        call->done = done;
        call->user = user;
        call_submit(client->cluster, call);
    }
    return status;
}

static comrade_status run(comrade_client *client, struct operation_options options,
                          int64_t timeout_ms, comrade_outcome *outcome, comrade_error *error)
{
    struct call *call;
    comrade_status status = operation_call(client, &options, &call, error);
    return status == COMRADE_OK ? call_run(client->cluster, call, timeout_ms, outcome, error)
                                : status;
}

/* Runs, and hands the members to the caller, who may not want them. */
static comrade_status run_for_members(comrade_client *client, struct operation_options options,
                                      int64_t timeout_ms, comrade_members **members,
                                      comrade_error *error)
{
    comrade_outcome outcome;
    comrade_status status = run(client, options, timeout_ms, &outcome, error);
    if (status == COMRADE_OK && members != NULL) {
        *members = outcome.members;
    } else if (status == COMRADE_OK) {
        comrade_members_free(outcome.members);
    }
    return status;
}

#define LIST ((struct operation_options){.kind = OPERATION_LIST, .query = query})
#define KILL ((struct operation_options){.kind = OPERATION_KILL, .id = id, .request = options})
#define RESTART                                                                                    \
    ((struct operation_options){.kind = OPERATION_RESTART, .id = id, .request = options})
#define ZOMBIFY                                                                                    \
    ((struct operation_options){.kind = OPERATION_ZOMBIFY, .id = id, .request = options})
#define KILL_OLDEST                                                                                \
    ((struct operation_options){.kind = OPERATION_KILL_OLDEST, .query = query, .request = options})
#define ROLLING_KILL                                                                               \
    ((struct operation_options){.kind = OPERATION_ROLLING_KILL, .query = query, .request = options})
#define CLEAR_STALE ((struct operation_options){.kind = OPERATION_CLEAR_STALE})
#define GET_ROLE ((struct operation_options){.kind = OPERATION_GET_ROLE, .role = role})
#define SET_ROLE                                                                                   \
    ((struct operation_options){                                                                   \
        .kind = OPERATION_SET_ROLE, .role = role, .min_members = min_members})

comrade_status comrade_client_get_members_submit(comrade_client *client, const comrade_query *query,
                                                 comrade_done done, void *user,
                                                 comrade_error *error)
{
    return submit(client, LIST, done, user, error);
}

comrade_status comrade_client_get_members(comrade_client *client, const comrade_query *query,
                                          int64_t timeout_ms, comrade_members **members,
                                          comrade_error *error)
{
    return run_for_members(client, LIST, timeout_ms, members, error);
}

comrade_status comrade_client_kill_submit(comrade_client *client, const char *id,
                                          const comrade_request_options *options, comrade_done done,
                                          void *user, comrade_error *error)
{
    return submit(client, KILL, done, user, error);
}

comrade_status comrade_client_kill(comrade_client *client, const char *id,
                                   const comrade_request_options *options, int64_t timeout_ms,
                                   comrade_error *error)
{
    return run_for_members(client, KILL, timeout_ms, NULL, error);
}

comrade_status comrade_client_restart_submit(comrade_client *client, const char *id,
                                             const comrade_request_options *options,
                                             comrade_done done, void *user, comrade_error *error)
{
    return submit(client, RESTART, done, user, error);
}

comrade_status comrade_client_restart(comrade_client *client, const char *id,
                                      const comrade_request_options *options, int64_t timeout_ms,
                                      comrade_error *error)
{
    return run_for_members(client, RESTART, timeout_ms, NULL, error);
}

comrade_status comrade_client_zombify_submit(comrade_client *client, const char *id,
                                             const comrade_request_options *options,
                                             comrade_done done, void *user, comrade_error *error)
{
    return submit(client, ZOMBIFY, done, user, error);
}

comrade_status comrade_client_zombify(comrade_client *client, const char *id,
                                      const comrade_request_options *options, int64_t timeout_ms,
                                      comrade_error *error)
{
    return run_for_members(client, ZOMBIFY, timeout_ms, NULL, error);
}

comrade_status comrade_client_kill_oldest_submit(comrade_client *client, const comrade_query *query,
                                                 const comrade_request_options *options,
                                                 comrade_done done, void *user,
                                                 comrade_error *error)
{
    return submit(client, KILL_OLDEST, done, user, error);
}

comrade_status comrade_client_kill_oldest(comrade_client *client, const comrade_query *query,
                                          const comrade_request_options *options,
                                          int64_t timeout_ms, comrade_members **members,
                                          comrade_error *error)
{
    return run_for_members(client, KILL_OLDEST, timeout_ms, members, error);
}

comrade_status comrade_client_rolling_kill_submit(comrade_client *client,
                                                  const comrade_query *query,
                                                  const comrade_request_options *options,
                                                  comrade_done done, void *user,
                                                  comrade_error *error)
{
    return submit(client, ROLLING_KILL, done, user, error);
}

comrade_status comrade_client_rolling_kill(comrade_client *client, const comrade_query *query,
                                           const comrade_request_options *options,
                                           int64_t timeout_ms, comrade_members **members,
                                           comrade_error *error)
{
    return run_for_members(client, ROLLING_KILL, timeout_ms, members, error);
}

comrade_status comrade_client_clear_stale_submit(comrade_client *client, comrade_done done,
                                                 void *user, comrade_error *error)
{
    return submit(client, CLEAR_STALE, done, user, error);
}

comrade_status comrade_client_clear_stale(comrade_client *client, int64_t timeout_ms,
                                          comrade_members **members, comrade_error *error)
{
    return run_for_members(client, CLEAR_STALE, timeout_ms, members, error);
}

comrade_status comrade_client_create_member(comrade_client *client,
                                            const comrade_member_options *options,
                                            comrade_member **member, comrade_error *error)
{
    return comrade_member_new(client->cluster, options, member, error);
}

comrade_status comrade_client_get_role_submit(comrade_client *client, const char *role,
                                              comrade_done done, void *user, comrade_error *error)
{
    return submit(client, GET_ROLE, done, user, error);
}

comrade_status comrade_client_get_role(comrade_client *client, const char *role, int64_t timeout_ms,
                                       int *min_members, int *available, comrade_error *error)
{
    comrade_outcome outcome;
    comrade_status status = run(client, GET_ROLE, timeout_ms, &outcome, error);
    if (status == COMRADE_OK) {
        comrade_members_free(outcome.members);
        if (min_members != NULL) {
            *min_members = outcome.min_members;
        }
        if (available != NULL) {
            *available = outcome.available;
        }
    }
    return status;
}

comrade_status comrade_client_set_role_submit(comrade_client *client, const char *role,
                                              int min_members, comrade_done done, void *user,
                                              comrade_error *error)
{
    return submit(client, SET_ROLE, done, user, error);
}

comrade_status comrade_client_set_role(comrade_client *client, const char *role, int min_members,
                                       int64_t timeout_ms, comrade_error *error)
{
    return run_for_members(client, SET_ROLE, timeout_ms, NULL, error);
}
