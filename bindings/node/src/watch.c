/* Watches: an open one keeps the process alive, and its function. */
#include "addon.h"

#include <stdlib.h>

struct watch {
    struct holding holding; /* first */
    struct addon *addon;
    comrade_watch *watch;
    napi_ref on_change;
};

static void on_change(void *user, const comrade_members *members, const comrade_error *error)
{
    struct watch *watch = user;
    napi_env env = watch->addon->env;
    napi_handle_scope scope;
    if (napi_open_handle_scope(env, &scope) != napi_ok) {
        return;
    }
    napi_value arguments[] = {
        error_value(env, error),
        members_value(env, comrade_members_share(members)),
    };
    addon_call(watch->addon, watch->on_change, 2, arguments);
    napi_close_handle_scope(env, scope);
}

static void release(struct holding *holding)
{
    struct watch *watch = (struct watch *)(void *)holding;
    comrade_watch_stop(watch->watch);
    watch->watch = NULL;
    napi_delete_reference(watch->addon->env, watch->on_change);
    watch->on_change = NULL;
}

static void finalize(napi_env env, void *data, void *hint)
{
    struct watch *watch = data;
    (void)env;
    (void)hint;
    holding_release(&watch->holding);
    free(watch);
}

static struct watch *make(struct client *client, const comrade_query *query, napi_value function)
{
    struct watch *watch = calloc(1, sizeof *watch);
    comrade_error error = {.status = COMRADE_NO_MEMORY, .message = "out of memory for a watch"};
    napi_env env = client->addon->env;
    if (watch == NULL || napi_create_reference(env, function, 1, &watch->on_change) != napi_ok) {
        throw_error(env, &error);
        free(watch);
        return NULL;
    }
    watch->addon = client->addon;
    if (comrade_watch_start(client->client, query, on_change, watch, &watch->watch, &error) !=
        COMRADE_OK) {
        throw_error(env, &error);
        napi_delete_reference(env, watch->on_change);
        free(watch);
        return NULL;
    }
    cluster_hold(client->holding.cluster, &watch->holding, release);
    holding_set_active(&watch->holding, true);
    return watch;
}

/* (client, query, function) */
napi_value watch_start(napi_env env, napi_callback_info info)
{
    struct arguments arguments;
    struct client *client;
    struct query query;
    struct watch *watch = NULL;
    if (!arguments_read(env, info, &arguments) || (client = client_of(&arguments)) == NULL) {
        return NULL;
    }
    if (query_init(&query, &arguments, 1)) {
        watch = make(client, &query.query, arguments.values[2]);
    }
    query_finish(&query);
    return watch == NULL ? NULL : external_value(env, watch, finalize);
}

/* (watch): nothing is told any more. It may be stopped again. */
napi_value watch_stop(napi_env env, napi_callback_info info)
{
    struct arguments arguments;
    struct watch *watch;
    if (arguments_read(env, info, &arguments) &&
        (watch = argument_external(&arguments, 0)) != NULL) {
        holding_release(&watch->holding);
    }
    return NULL;
}
