/* Calls under way: each keeps the process alive, and its cluster, until it is done. */
#include "addon.h"

#include <stdlib.h>

struct call {
    struct holding holding; /* first: the two are freed as one */
    struct addon *addon;
    napi_ref function;
    napi_ref owner; /* the member or client must not be collected, and freed, meanwhile */
};

static void call_release(struct holding *holding)
{
    struct call *call = (struct call *)(void *)holding;
    napi_delete_reference(call->addon->env, call->function);
    napi_delete_reference(call->addon->env, call->owner);
    free(call);
}

struct call *call_new(const struct arguments *arguments, const struct holding *owner,
                      napi_value function)
{
    napi_env env = arguments->env;
    struct call *call = calloc(1, sizeof *call);
    if (call == NULL || napi_create_reference(env, function, 1, &call->function) != napi_ok) {
        free(call);
        throw_no_memory(env);
        return NULL;
    }
    if (napi_create_reference(env, arguments->values[0], 1, &call->owner) != napi_ok) {
        napi_delete_reference(env, call->function);
        free(call);
        throw_no_memory(env);
        return NULL;
    }
    call->addon = arguments->addon;
    cluster_hold(owner->cluster, &call->holding, call_release);
    holding_set_active(&call->holding, true);
    return call;
}

void call_submitted(struct call *call, comrade_status status, const comrade_error *error)
{
    if (status != COMRADE_OK) {
        throw_error(call->addon->env, error);
        holding_release(&call->holding);
    }
}

static napi_value number_value(napi_env env, int n)
{
    napi_value value = NULL;
    napi_create_int32(env, n, &value);
    return value;
}

void call_done(void *user, comrade_outcome *outcome)
{
    struct call *call = user;
    struct addon *addon = call->addon;
    napi_env env = addon->env;
    napi_handle_scope scope;
    if (napi_open_handle_scope(env, &scope) != napi_ok) {
        holding_release(&call->holding);
        return;
    }
    napi_value arguments[] = {
        error_value(env, comrade_outcome_error(outcome)),
        members_value(env, comrade_outcome_take_members(outcome)),
        number_value(env, comrade_outcome_min_members(outcome)),
        number_value(env, comrade_outcome_available(outcome)),
    };
    /* The process stays alive until what follows from it has had its turn. */
    addon_call(addon, call->function, sizeof arguments / sizeof arguments[0], arguments);
    holding_release(&call->holding);
    napi_close_handle_scope(env, scope);
}
