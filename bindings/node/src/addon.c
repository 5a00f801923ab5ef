/* The module itself: what it exports, and what it has for one environment. */
#include "addon.h"

#include <stdlib.h>

/* To add a function: a row here, and its declaration in addon.h. */
static const struct {
    const char *name;
    napi_callback function;
} functions[] = {
    {"clusterOpen", cluster_open},
    {"leaveAll", cluster_leave_all},
    {"membersCount", members_count},
    {"membersText", members_text},
    {"memberNew", member_new},
    {"memberId", member_id},
    {"memberStart", member_start},
    {"memberUnref", member_unref},
    {"memberStop", member_stop},
    {"memberReport", member_report},
    {"memberUpdate", member_update},
    {"memberFetch", member_fetch},
    {"clientNew", client_new},
    {"clientGetMembers", client_get_members},
    {"clientKill", client_kill},
    {"clientRestart", client_restart},
    {"clientKillOldest", client_kill_oldest},
    {"clientRollingKill", client_rolling_kill},
    {"clientZombify", client_zombify},
    {"clientClearStale", client_clear_stale},
    {"clientGetRole", client_get_role},
    {"clientSetRole", client_set_role},
    {"healthCheckAnswer", health_check_answer},
    {"watchStart", watch_start},
    {"watchStop", watch_stop},
};

enum { N_FUNCTIONS = sizeof functions / sizeof functions[0] };

static bool export_functions(napi_env env, napi_value exports)
{
    for (size_t i = 0; i < N_FUNCTIONS; i++) {
        napi_value function;
        if (napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].function,
                                 NULL, &function) != napi_ok ||
            napi_set_named_property(env, exports, functions[i].name, function) != napi_ok) {
            return false;
        }
    }
    return napi_set_named_property(env, exports, "version", text_value(env, comrade_version())) ==
           napi_ok;
}

/* The addon outlives the clusters: it is freed by the last of them to close, at the end. */
static struct addon *addon_new(napi_env env)
{
    struct addon *addon = calloc(1, sizeof *addon);
    if (addon == NULL) {
        return NULL;
    }
    addon->env = env;
    if (napi_get_uv_event_loop(env, &addon->loop) != napi_ok ||
        napi_add_async_cleanup_hook(env, addon_end, addon, &addon->hook) != napi_ok) {
        free(addon);
        return NULL;
    }
    if (napi_set_instance_data(env, addon, NULL, NULL) != napi_ok) {
        napi_remove_async_cleanup_hook(addon->hook);
        free(addon);
        return NULL;
    }
    return addon;
}

/* The macro defines it, too, and Node's headers do not declare it. */
NAPI_MODULE_EXPORT int32_t node_api_module_get_api_version_v1(void);

NAPI_MODULE_INIT()
{
    if (addon_new(env) == NULL || !export_functions(env, exports)) {
        napi_throw_error(env, "NO_MEMORY", "comrade: the addon cannot be set up");
        return NULL;
    }
    return exports;
}
