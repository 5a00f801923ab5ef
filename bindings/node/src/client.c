/* Clients, and what they ask. Each call's last argument is the function that is told what came. */
#include "addon.h"

#include <stdlib.h>

enum { ROLES_MAX = 1024 };

/* --- Lifetime
 * -------------------------------------------------------------------------------------- */

static void release(struct holding *holding)
{
    struct client *client = (struct client *)(void *)holding;
    comrade_client_free(client->client);
    client->client = NULL;
    if (client->on_health_check != NULL) {
        napi_delete_reference(client->addon->env, client->on_health_check);
        client->on_health_check = NULL;
    }
}

static void finalize(napi_env env, void *data, void *hint)
{
    struct client *client = data;
    (void)env;
    (void)hint;
    holding_release(&client->holding);
    free(client);
}

struct client *client_of(const struct arguments *arguments)
{
    struct client *client = argument_external(arguments, 0);
    if (client != NULL && !holding_is_usable(&client->holding)) {
        throw_released(arguments->env);
        return NULL;
    }
    return client;
}

static void free_roles(comrade_role_minimum *roles, size_t n_roles)
{
    for (size_t i = 0; i < n_roles; i++) {
        free((void *)(uintptr_t)roles[i].role);
    }
    free(roles);
}

static bool read_role(const struct arguments *arguments, uint32_t i, comrade_role_minimum *role)
{
    struct arguments pair = {.env = arguments->env};
    int64_t minimum;
    char *name = NULL;
    if (napi_get_element(arguments->env, arguments->values[1], i, &pair.values[0]) != napi_ok ||
        napi_get_element(arguments->env, arguments->values[1], i + 1, &pair.values[1]) != napi_ok ||
        !argument_number(&pair, 1, 0, &minimum) || !argument_text(&pair, 0, &name)) {
        return false;
    }
    *role = (comrade_role_minimum){.role = name, .min_members = (int)minimum};
    return true;
}

/* Of an array: a role, its minimum, the next role, and so on. */
static bool read_roles(const struct arguments *arguments, comrade_role_minimum **roles,
                       size_t *n_roles)
{
    uint32_t n = 0;
    napi_get_array_length(arguments->env, arguments->values[1], &n);
    comrade_role_minimum *made = calloc(n / 2 + 1, sizeof *made);
    if (n / 2 > ROLES_MAX || made == NULL) {
        free(made);
        napi_throw_error(arguments->env, comrade_status_name(COMRADE_TOO_LARGE),
                         "comrade: too many roles");
        return false;
    }
    for (uint32_t i = 0; i < n / 2; i++) {
        if (!read_role(arguments, 2 * i, &made[i])) {
            free_roles(made, i);
            return false;
        }
    }
    *roles = made;
    *n_roles = n / 2;
    return true;
}

/* NULL: thrown. */
static struct client *make(const struct arguments *arguments, struct cluster *cluster,
                           comrade_client_options *options)
{
    struct client *client = calloc(1, sizeof *client);
    comrade_error error = {.status = COMRADE_NO_MEMORY, .message = "out of memory for a client"};
    napi_valuetype type = napi_undefined;
    if (client == NULL) {
        throw_error(arguments->env, &error);
        return NULL;
    }
    client->addon = arguments->addon;
    napi_typeof(arguments->env, arguments->values[2], &type);
    if (type == napi_function && napi_create_reference(arguments->env, arguments->values[2], 1,
                                                       &client->on_health_check) == napi_ok) {
        options->on_health_check = client_check_health;
        options->health_check_user = client;
    }
    if (comrade_client_new(cluster->cluster, options, &client->client, &error) != COMRADE_OK) {
        throw_error(arguments->env, &error);
        release(&client->holding);
        free(client);
        return NULL;
    }
    cluster_hold(cluster, &client->holding, release);
    return client;
}

/* (cluster, roles, function or null, the checks' timeout, the checks' limit) */
napi_value client_new(napi_env env, napi_callback_info info)
{
    struct arguments arguments;
    comrade_client_options options = COMRADE_CLIENT_OPTIONS_INIT;
    struct holding *holding;
    int64_t limit;
    comrade_role_minimum *roles = NULL;
    if (!arguments_read(env, info, &arguments) ||
        (holding = argument_external(&arguments, 0)) == NULL ||
        !argument_number(&arguments, 3, 0, &options.health_check_timeout_ms) ||
        !argument_number(&arguments, 4, 0, &limit) ||
        !read_roles(&arguments, &roles, &options.n_roles)) {
        return NULL;
    }
    struct client *client = NULL;
    options.roles = roles;
    options.health_check_limit = (size_t)limit;
    if (holding_is_usable(holding)) {
        client = make(&arguments, holding->cluster, &options);
    } else {
        throw_released(env);
    }
    free_roles(roles, options.n_roles);
    return client == NULL ? NULL : external_value(env, client, finalize);
}

/* --- Calls
 * ----------------------------------------------------------------------------------------- */

static struct client *read_client(napi_env env, napi_callback_info info,
                                  struct arguments *arguments)
{
    return arguments_read(env, info, arguments) ? client_of(arguments) : NULL;
}

/* (client, query, function) */
napi_value client_get_members(napi_env env, napi_callback_info info)
{
    struct arguments arguments;
    struct client *client = read_client(env, info, &arguments);
    struct query query;
    struct call *call;
    comrade_error error;
    if (client == NULL) {
        return NULL;
    }
    if (query_init(&query, &arguments, 1) &&
        (call = call_new(&arguments, &client->holding, arguments.values[2])) != NULL) {
        call_submitted(call,
                       comrade_client_get_members_submit(client->client, &query.query, call_done,
                                                         call, &error),
                       &error);
    }
    query_finish(&query);
    return NULL;
}

typedef comrade_status ask_by_id(comrade_client *client, const char *id,
                                 const comrade_request_options *options, comrade_done done,
                                 void *user, comrade_error *error);

/* (client, id, request, function) */
static napi_value ask_one(napi_env env, napi_callback_info info, ask_by_id *ask)
{
    struct arguments arguments;
    struct client *client = read_client(env, info, &arguments);
    struct request request;
    char *id = NULL;
    struct call *call;
    comrade_error error;
    if (client == NULL) {
        return NULL;
    }
    if (request_init(&request, &arguments, 2) && argument_text(&arguments, 1, &id) &&
        (call = call_new(&arguments, &client->holding, arguments.values[3])) != NULL) {
        call_submitted(call, ask(client->client, id, &request.options, call_done, call, &error),
                       &error);
    }
    request_finish(&request);
    free(id);
    return NULL;
}

napi_value client_kill(napi_env env, napi_callback_info info)
{
    return ask_one(env, info, comrade_client_kill_submit);
}

napi_value client_restart(napi_env env, napi_callback_info info)
{
    return ask_one(env, info, comrade_client_restart_submit);
}

napi_value client_zombify(napi_env env, napi_callback_info info)
{
    return ask_one(env, info, comrade_client_zombify_submit);
}

typedef comrade_status ask_by_query(comrade_client *client, const comrade_query *query,
                                    const comrade_request_options *options, comrade_done done,
                                    void *user, comrade_error *error);

/* (client, query, request, function) */
static napi_value ask_some(napi_env env, napi_callback_info info, ask_by_query *ask)
{
    struct arguments arguments;
    struct client *client = read_client(env, info, &arguments);
    struct query query;
    struct request request = {.options = COMRADE_REQUEST_OPTIONS_INIT};
    struct call *call;
    comrade_error error;
    if (client == NULL) {
        return NULL;
    }
    if (query_init(&query, &arguments, 1) && request_init(&request, &arguments, 2) &&
        (call = call_new(&arguments, &client->holding, arguments.values[3])) != NULL) {
        call_submitted(call,
                       ask(client->client, &query.query, &request.options, call_done, call, &error),
                       &error);
    }
    query_finish(&query);
    request_finish(&request);
    return NULL;
}

napi_value client_kill_oldest(napi_env env, napi_callback_info info)
{
    return ask_some(env, info, comrade_client_kill_oldest_submit);
}

napi_value client_rolling_kill(napi_env env, napi_callback_info info)
{
    return ask_some(env, info, comrade_client_rolling_kill_submit);
}

/* (client, function) */
napi_value client_clear_stale(napi_env env, napi_callback_info info)
{
    struct arguments arguments;
    struct client *client = read_client(env, info, &arguments);
    struct call *call;
    comrade_error error;
    if (client != NULL &&
        (call = call_new(&arguments, &client->holding, arguments.values[1])) != NULL) {
        call_submitted(call,
                       comrade_client_clear_stale_submit(client->client, call_done, call, &error),
                       &error);
    }
    return NULL;
}

/* (client, role, function) */
napi_value client_get_role(napi_env env, napi_callback_info info)
{
    struct arguments arguments;
    struct client *client = read_client(env, info, &arguments);
    char *role = NULL;
    struct call *call;
    comrade_error error;
    if (client != NULL && argument_text(&arguments, 1, &role) &&
        (call = call_new(&arguments, &client->holding, arguments.values[2])) != NULL) {
        call_submitted(
            call, comrade_client_get_role_submit(client->client, role, call_done, call, &error),
            &error);
    }
    free(role);
    return NULL;
}

/* (client, role, minimum, function) */
napi_value client_set_role(napi_env env, napi_callback_info info)
{
    struct arguments arguments;
    struct client *client = read_client(env, info, &arguments);
    char *role = NULL;
    int64_t minimum;
    struct call *call;
    comrade_error error;
    if (client != NULL && argument_text(&arguments, 1, &role) &&
        argument_number(&arguments, 2, -1, &minimum) &&
        (call = call_new(&arguments, &client->holding, arguments.values[3])) != NULL) {
        call_submitted(call,
                       comrade_client_set_role_submit(client->client, role, (int)minimum, call_done,
                                                      call, &error),
                       &error);
    }
    free(role);
    return NULL;
}
