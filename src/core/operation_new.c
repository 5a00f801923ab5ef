/* What is asked of an operation, checked and copied; and its end. */
#include "core/operation_internal.h"

#include "core/limits.h"

#include <stdlib.h>
#include <string.h>

enum { ROLL_INTERVAL_MS = 10 * 1000 };

bool operation_set_text(char **text, const char *value)
{
    char *copy = strdup(value);
    if (copy == NULL) {
        return false;
    }
    free(*text);
    *text = copy;
    return true;
}

static comrade_status check_options(const struct operation_options *options, comrade_error *error)
{
    comrade_status status = COMRADE_OK;
    switch (options->kind) {
    case OPERATION_FETCH:
    case OPERATION_KILL:
    case OPERATION_RESTART:
    case OPERATION_ZOMBIFY:
        status = limits_check_id(options->id, error);
        break;
    case OPERATION_KILL_OLDEST:
    case OPERATION_ROLLING_KILL:
        if (options->query == NULL || options->query->role == NULL) {
            status = comrade_error_set(error, COMRADE_INVALID, "You must set a role");
        }
        break;
    case OPERATION_GET_ROLE:
        status = limits_check_role(options->role, error);
        break;
    case OPERATION_SET_ROLE:
        status = limits_check_role(options->role, error);
        if (status == COMRADE_OK) {
            status = limits_check_min_members(options->min_members, error);
        }
        break;
    case OPERATION_LIST:
    case OPERATION_CLEAR_STALE:
        break;
    }
    const comrade_request_options *request = options->request;
    if (status == COMRADE_OK && request != NULL && request->reason != NULL) {
        status = limits_check_reason(request->reason, error);
    }
    if (status == COMRADE_OK && request != NULL && request->user != NULL) {
        status = limits_check_name("user", request->user, error);
    }
    if (status == COMRADE_OK && request != NULL && request->interval_ms < 0) {
        status = comrade_error_set(error, COMRADE_INVALID, "the interval must not be negative");
    }
    return status;
}

static bool copy_minimums(struct operation *operation, const struct operation_options *options)
{
    operation->minimums = calloc(options->n_minimums + 1, sizeof *operation->minimums);
    if (operation->minimums == NULL) {
        return false;
    }
    for (size_t i = 0; i < options->n_minimums; i++) {
        operation->minimums[i].min_members = options->minimums[i].min_members;
        operation->n_minimums++;
        if (!operation_set_text(&operation->minimums[i].role, options->minimums[i].role)) {
            return false;
        }
    }
    return true;
}

static bool copy_texts(struct operation *operation, const struct operation_options *options)
{
    const comrade_request_options none = COMRADE_REQUEST_OPTIONS_INIT;
    const comrade_request_options *request = options->request == NULL ? &none : options->request;
    const char *role = options->role;
    if (role == NULL && options->query != NULL) {
        role = options->query->role;
    }
    operation->is_budgeted = request->is_budgeted;
    operation->accept_prefix = request->accept_prefix;
    operation->interval_ms = request->interval_ms == 0 ? ROLL_INTERVAL_MS : request->interval_ms;
    return operation_set_text(&operation->reason, request->reason ? request->reason : "") &&
           operation_set_text(&operation->user, request->user ? request->user : "") &&
           operation_set_text(&operation->host, options->host ? options->host : "") &&
           (options->id == NULL || operation_set_text(&operation->id, options->id)) &&
           (role == NULL || operation_set_text(&operation->role, role));
}

comrade_status operation_new(const struct operation_options *options, struct operation **operation,
                             comrade_error *error)
{
    comrade_status status = check_options(options, error);
    if (status != COMRADE_OK) {
        return status;
    }
    struct operation *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for a call");
    }
    snapshot_init(&made->snapshot);
    made->kind = options->kind;
    made->min_members = options->min_members;
    made->has_health_check = options->has_health_check;
    made->heartbeat_ms = options->heartbeat_ms;
    made->call_timeout_ms = options->call_timeout_ms;
    made->env = options->env;
    made->spec_min_members = SPEC_UNSET;
    env_uuid(made->env, made->request_id);
    status = query_init(&made->query, options->query, error);
    if (status == COMRADE_OK && (!copy_texts(made, options) || !copy_minimums(made, options))) {
        status = comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for a call");
    }
    if (status != COMRADE_OK) {
        operation_free(made);
        return status;
    }
    *operation = made;
    return COMRADE_OK;
}

void operation_free(struct operation *operation)
{
    if (operation == NULL) {
        return;
    }
    operation_forget_snapshot(operation);
    query_finish(&operation->query);
    for (size_t i = 0; i < operation->n_minimums; i++) {
        free(operation->minimums[i].role);
    }
    for (size_t i = 0; i < operation->n_noted; i++) {
        free(operation->noted[i].id);
        free(operation->noted[i].role);
    }
    free(operation->minimums);
    free(operation->noted);
    free(operation->id);
    free(operation->role);
    free(operation->reason);
    free(operation->user);
    free(operation->host);
    free(operation->spec);
    free(operation->writes);
    free(operation->changes);
    free(operation->results);
    free(operation);
}
