/* Members: started ones keep the process alive, and their function. */
#include "addon.h"

#include <stdlib.h>

struct member {
    struct holding holding; /* first */
    struct addon *addon;
    comrade_member *member;
    napi_ref on_event; /* from the start to the stop; NULL: nobody listens */
};

/* --- Events -------------------------------------------------------------------------------------
 */

/* To add one: a row here, and what lib/member.js makes of it. */
static const char *const event_names[] = {
    [COMRADE_EVENT_REGISTERED] = "registered", [COMRADE_EVENT_SHUTDOWN] = "shutdown",
    [COMRADE_EVENT_ERROR] = "error",           [COMRADE_EVENT_LOST] = "lost",
    [COMRADE_EVENT_RESTORED] = "restored",     [COMRADE_EVENT_FENCED] = "fenced",
    [COMRADE_EVENT_IN_USE] = "inUse",          [COMRADE_EVENT_ZOMBIFIED] = "zombified",
    [COMRADE_EVENT_RESTART] = "restart",
};

enum { N_EVENT_NAMES = sizeof event_names / sizeof event_names[0] };

/* Calls on_event(name, error or null, text of the member's data or undefined). */
static void on_event(void *user, const comrade_event *event)
{
    struct member *member = user;
    napi_env env = member->addon->env;
    napi_handle_scope scope;
    if ((size_t)event->kind >= N_EVENT_NAMES || member->on_event == NULL ||
        napi_open_handle_scope(env, &scope) != napi_ok) {
        return;
    }
    napi_value arguments[] = {
        text_value(env, event_names[event->kind]),
        error_value(env, event->error),
        event->data == NULL ? undefined_value(env) : member_text_value(env, event->data, true),
    };
    addon_call(member->addon, member->on_event, sizeof arguments / sizeof arguments[0], arguments);
    napi_close_handle_scope(env, scope);
}

/* --- Lifetime ------------------------------------------------------------------------------------
 */

static void forget_function(struct member *member)
{
    if (member->on_event != NULL) {
        napi_delete_reference(member->addon->env, member->on_event);
        member->on_event = NULL;
    }
}

static void release(struct holding *holding)
{
    struct member *member = (struct member *)(void *)holding;
    comrade_member_free(member->member);
    member->member = NULL;
    forget_function(member);
}

static void finalize(napi_env env, void *data, void *hint)
{
    struct member *member = data;
    (void)env;
    (void)hint;
    holding_release(&member->holding);
    free(member);
}

static struct member *member_of(const struct arguments *arguments)
{
    struct member *member = argument_external(arguments, 0);
    if (member != NULL && !holding_is_usable(&member->holding)) {
        throw_released(arguments->env);
        return NULL;
    }
    return member;
}

static struct member *read_member(napi_env env, napi_callback_info info,
                                  struct arguments *arguments)
{
    return arguments_read(env, info, arguments) ? member_of(arguments) : NULL;
}

/* NULL: thrown. */
static struct member *make(struct addon *addon, struct cluster *cluster,
                           comrade_member_options *options)
{
    struct member *member = calloc(1, sizeof *member);
    comrade_error error = {.status = COMRADE_NO_MEMORY, .message = "out of memory for a member"};
    if (member != NULL) {
        options->on_event = on_event;
        options->user = member;
        options->takeover = COMRADE_TAKEOVER_ALWAYS;
        member->addon = addon;
    }
    if (member == NULL ||
        comrade_member_new(cluster->cluster, options, &member->member, &error) != COMRADE_OK) {
        throw_error(addon->env, &error);
        free(member);
        return NULL;
    }
    cluster_hold(cluster, &member->holding, release);
    return member;
}

/* (cluster, role, id, metadata text) */
napi_value member_new(napi_env env, napi_callback_info info)
{
    struct arguments arguments;
    char *texts[3] = {NULL, NULL, NULL};
    struct holding *holding;
    struct member *member = NULL;
    if (!arguments_read(env, info, &arguments) ||
        (holding = argument_external(&arguments, 0)) == NULL) {
        return NULL;
    }
    if (!holding_is_usable(holding)) {
        throw_released(env);
        return NULL;
    }
    if (argument_text(&arguments, 1, &texts[0]) && argument_text(&arguments, 2, &texts[1]) &&
        argument_text(&arguments, 3, &texts[2])) {
        comrade_member_options options = COMRADE_MEMBER_OPTIONS_INIT;
        options.role = texts[0];
        options.id = texts[1];
        options.metadata = texts[2];
        member = make(arguments.addon, holding->cluster, &options);
    }
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        free(texts[i]);
    }
    return member == NULL ? NULL : external_value(env, member, finalize);
}

/* (member) */
napi_value member_id(napi_env env, napi_callback_info info)
{
    struct arguments arguments;
    struct member *member = read_member(env, info, &arguments);
    return member == NULL ? NULL : text_value(env, comrade_member_id(member->member));
}

/* (member, function) */
napi_value member_start(napi_env env, napi_callback_info info)
{
    struct arguments arguments;
    struct member *member = read_member(env, info, &arguments);
    comrade_error error;
    if (member == NULL || member->on_event != NULL) {
        return NULL;
    }
    if (napi_create_reference(env, arguments.values[1], 1, &member->on_event) != napi_ok) {
        throw_no_memory(env);
    } else if (comrade_member_start(member->member, &error) != COMRADE_OK) {
        forget_function(member);
        throw_error(env, &error);
    } else {
        holding_set_active(&member->holding, true);
    }
    return NULL;
}

/* (member): it goes on, and keeps the process alive no more. */
napi_value member_unref(napi_env env, napi_callback_info info)
{
    struct arguments arguments;
    struct member *member = read_member(env, info, &arguments);
    if (member != NULL) {
        holding_set_active(&member->holding, false);
    }
    return NULL;
}

/* (member): nothing is told any more. It may be called in whatever state. */
napi_value member_stop(napi_env env, napi_callback_info info)
{
    struct arguments arguments;
    struct member *member;
    if (arguments_read(env, info, &arguments) &&
        (member = argument_external(&arguments, 0)) != NULL &&
        holding_is_usable(&member->holding)) {
        comrade_member_stop(member->member);
        holding_set_active(&member->holding, false);
        forget_function(member);
    }
    return NULL;
}

/* --- Calls
 * ------------------------------------------------------------------------------------------- */

/* (member, alive, metadata text, function) */
napi_value member_report(napi_env env, napi_callback_info info)
{
    struct arguments arguments;
    struct member *member = read_member(env, info, &arguments);
    comrade_report report = COMRADE_REPORT_INIT;
    comrade_error error;
    char *metadata = NULL;
    struct call *call;
    if (member == NULL || !argument_text(&arguments, 2, &metadata)) {
        return NULL;
    }
    report.is_alive = argument_is_true(&arguments, 1);
    report.is_available = report.is_alive;
    report.state = report.is_alive ? COMRADE_STATE_UP : COMRADE_STATE_DRAINING;
    report.metadata = metadata;
    if ((call = call_new(&arguments, &member->holding, arguments.values[3])) != NULL) {
        call_submitted(
            call, comrade_member_report_submit(member->member, &report, call_done, call, &error),
            &error);
    }
    free(metadata);
    return NULL;
}

/* (member, function) */
napi_value member_update(napi_env env, napi_callback_info info)
{
    struct arguments arguments;
    struct member *member = read_member(env, info, &arguments);
    comrade_error error;
    struct call *call;
    if (member != NULL &&
        (call = call_new(&arguments, &member->holding, arguments.values[1])) != NULL) {
        call_submitted(call, comrade_member_update_submit(member->member, call_done, call, &error),
                       &error);
    }
    return NULL;
}

/* (member, function) */
napi_value member_fetch(napi_env env, napi_callback_info info)
{
    struct arguments arguments;
    struct member *member = read_member(env, info, &arguments);
    comrade_error error;
    struct call *call;
    if (member != NULL &&
        (call = call_new(&arguments, &member->holding, arguments.values[1])) != NULL) {
        call_submitted(call, comrade_member_fetch_submit(member->member, call_done, call, &error),
                       &error);
    }
    return NULL;
}
