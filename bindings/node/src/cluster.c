/*
 * Clusters: one for all who name the same, watched by the event loop through the descriptor that is
 * readable while the library has something to tell.
 */
#include "addon.h"

#include <stdlib.h>
#include <string.h>

/* --- Holding -----------------------------------------------------------------------------------
 */

static void cluster_close(struct cluster *cluster);

static void let_go(struct cluster *cluster)
{
    cluster->n_holders--;
    if (cluster->n_holders == 0 && !cluster->addon->is_ending) {
        cluster_close(cluster);
    }
}

void cluster_hold(struct cluster *cluster, struct holding *holding,
                  void (*release)(struct holding *holding))
{
    *holding = (struct holding){.cluster = cluster, .next = cluster->holdings, .release = release};
    if (holding->next != NULL) {
        holding->next->previous = holding;
    }
    cluster->holdings = holding;
    cluster->n_holders++;
}

void holding_release(struct holding *holding)
{
    struct cluster *cluster = holding->cluster;
    if (cluster == NULL) {
        return;
    }
    holding_set_active(holding, false);
    if (holding->previous == NULL) {
        cluster->holdings = holding->next;
    } else {
        holding->previous->next = holding->next;
    }
    if (holding->next != NULL) {
        holding->next->previous = holding->previous;
    }
    holding->cluster = NULL;
    holding->release(holding); /* which may free it */
    let_go(cluster);
}

bool holding_is_usable(const struct holding *holding)
{
    return holding->cluster != NULL && holding->cluster->cluster != NULL;
}

void holding_set_active(struct holding *holding, bool is_active)
{
    struct cluster *cluster = holding->cluster;
    if (cluster == NULL || holding->is_active == is_active) {
        return;
    }
    holding->is_active = is_active;
    cluster->n_active += is_active ? 1 : (size_t)-1;
    if (cluster->n_active > 0) {
        uv_ref((uv_handle_t *)&cluster->poll);
    } else {
        uv_unref((uv_handle_t *)&cluster->poll);
    }
}

/* --- Callbacks ----------------------------------------------------------------------------------
 */

void addon_call(struct addon *addon, napi_ref function, size_t n_arguments,
                const napi_value *arguments)
{
    napi_env env = addon->env;
    napi_value called;
    napi_value receiver;
    bool is_pending = false;
    if (function == NULL || napi_get_reference_value(env, function, &called) != napi_ok ||
        called == NULL || napi_get_global(env, &receiver) != napi_ok) {
        return;
    }
    napi_make_callback(env, NULL, receiver, called, n_arguments, arguments, NULL);
    if (napi_is_exception_pending(env, &is_pending) == napi_ok && is_pending) {
        napi_value exception;
        napi_get_and_clear_last_exception(env, &exception);
        napi_fatal_exception(env, exception);
    }
}

/* A callback may release whatever there is, so that the cluster is held meanwhile. */
static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct cluster *cluster = poll->data;
    (void)status; /* a descriptor that failed has nothing to tell either */
    (void)events;
    cluster->n_holders++;
    if (cluster->cluster != NULL) {
        napi_handle_scope scope;
        if (napi_open_handle_scope(cluster->addon->env, &scope) == napi_ok) {
            comrade_cluster_dispatch(cluster->cluster);
            napi_close_handle_scope(cluster->addon->env, scope);
        }
    }
    let_go(cluster);
}

/* --- Closing ------------------------------------------------------------------------------------
 */

static void unlink_cluster(struct cluster *cluster)
{
    for (struct cluster **at = &cluster->addon->clusters; *at != NULL; at = &(*at)->next) {
        if (*at == cluster) {
            *at = cluster->next;
            return;
        }
    }
}

static void cluster_free(struct cluster *cluster)
{
    free(cluster->key);
    free(cluster);
}

static void addon_end_if_empty(struct addon *addon)
{
    if (addon->is_ending && addon->n_clusters == 0) {
        napi_remove_async_cleanup_hook(addon->hook);
        free(addon);
    }
}

/* It ends a thread, which may take what cancelling a call takes. */
static void close_on_pool(uv_work_t *work)
{
    comrade_cluster_close(((struct cluster *)work->data)->cluster);
}

static void on_closed(uv_work_t *work, int status)
{
    struct cluster *cluster = work->data;
    struct addon *addon = cluster->addon;
    (void)status;
    addon->n_clusters--;
    cluster_free(cluster);
    addon_end_if_empty(addon);
}

static void on_poll_closed(uv_handle_t *poll)
{
    struct cluster *cluster = poll->data;
    cluster->closing.data = cluster;
    if (uv_queue_work(cluster->addon->loop, &cluster->closing, close_on_pool, on_closed) != 0) {
        close_on_pool(&cluster->closing);
        on_closed(&cluster->closing, 0);
    }
}

static void cluster_close(struct cluster *cluster)
{
    unlink_cluster(cluster);
    uv_close((uv_handle_t *)&cluster->poll, on_poll_closed);
}

void addon_end(napi_async_cleanup_hook_handle hook, void *data)
{
    struct addon *addon = data;
    addon->hook = hook;
    addon->is_ending = true;
    while (addon->clusters != NULL) {
        struct cluster *cluster = addon->clusters;
        while (cluster->holdings != NULL) {
            holding_release(cluster->holdings);
        }
        cluster_close(cluster);
    }
    addon_end_if_empty(addon);
}

/*
 * The process exits, and with it goes what the libraries under us keep in static memory: no thread
 * of ours may use it any more. A worker's exit is not the process's. The rest is left to the end of
 * the environment, if it comes to that: this may be called from inside one of our callbacks.
 */
napi_value cluster_leave_all(napi_env env, napi_callback_info info)
{
    struct arguments arguments;
    if (!arguments_read(env, info, &arguments) || arguments.addon->loop != uv_default_loop()) {
        return NULL;
    }
    for (struct cluster *at = arguments.addon->clusters; at != NULL; at = at->next) {
        at->n_holders++;
        while (at->holdings != NULL) {
            holding_release(at->holdings);
        }
        uv_poll_stop(&at->poll);
        comrade_cluster_close(at->cluster);
        at->cluster = NULL;
    }
    return NULL;
}

/* --- Opening ------------------------------------------------------------------------------------
 */

/* What JavaScript holds: no object of the library's, only the cluster. */
static void release_nothing(struct holding *holding)
{
    (void)holding;
}

static void finalize_holding(napi_env env, void *data, void *hint)
{
    (void)env;
    (void)hint;
    holding_release(data);
    free(data);
}

static napi_value holding_value(struct addon *addon, struct cluster *cluster)
{
    struct holding *holding = calloc(1, sizeof *holding);
    if (holding == NULL) {
        throw_no_memory(addon->env);
        return NULL;
    }
    cluster_hold(cluster, holding, release_nothing);
    return external_value(addon->env, holding, finalize_holding);
}

static struct cluster *find(struct addon *addon, const char *key)
{
    struct cluster *at = addon->clusters;
    while (at != NULL && (at->cluster == NULL || strcmp(at->key, key) != 0)) {
        at = at->next;
    }
    return at;
}

static bool start_polling(struct addon *addon, struct cluster *cluster)
{
    if (uv_poll_init(addon->loop, &cluster->poll, comrade_cluster_fd(cluster->cluster)) != 0) {
        return false;
    }
    cluster->poll.data = cluster;
    uv_poll_start(&cluster->poll, UV_READABLE, on_ready);
    uv_unref((uv_handle_t *)&cluster->poll);
    return true;
}

/* Takes the key over. NULL: thrown. */
static struct cluster *open_new(struct addon *addon, char *key,
                                const comrade_cluster_options *options)
{
    struct cluster *cluster = calloc(1, sizeof *cluster);
    comrade_error error = {.status = COMRADE_NO_MEMORY, .message = "out of memory for a cluster"};
    if (cluster == NULL || comrade_cluster_open(options, &cluster->cluster, &error) != COMRADE_OK ||
        !start_polling(addon, cluster)) {
        throw_error(addon->env, &error);
        if (cluster != NULL) {
            comrade_cluster_close(cluster->cluster);
        }
        free(cluster);
        free(key);
        return NULL;
    }
    cluster->addon = addon;
    cluster->key = key;
    cluster->next = addon->clusters;
    addon->clusters = cluster;
    addon->n_clusters++;
    return cluster;
}

/* (key, store, namespace, kind, heartbeat, callTimeout, blockedLimit) */
napi_value cluster_open(napi_env env, napi_callback_info info)
{
    struct arguments arguments;
    comrade_cluster_options options = COMRADE_CLUSTER_OPTIONS_INIT;
    char *key = NULL;
    char *texts[3] = {NULL, NULL, NULL};
    napi_value result = NULL;
    if (!arguments_read(env, info, &arguments) || !argument_text(&arguments, 0, &key) ||
        !argument_text(&arguments, 1, &texts[0]) || !argument_text(&arguments, 2, &texts[1]) ||
        !argument_text(&arguments, 3, &texts[2]) ||
        !argument_number(&arguments, 4, 0, &options.heartbeat_ms) ||
        !argument_number(&arguments, 5, 0, &options.call_timeout_ms) ||
        !argument_number(&arguments, 6, 0, &options.silence_limit_ms)) {
        goto out;
    }
    struct cluster *cluster = find(arguments.addon, key);
    if (cluster == NULL) {
        options.store = texts[0];
        options.name_space = texts[1];
        options.kind = texts[2];
        cluster = open_new(arguments.addon, key, &options);
        key = NULL;
    }
    result = cluster == NULL ? NULL : holding_value(arguments.addon, cluster);
out:
    free(key);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        free(texts[i]);
    }
    return result;
}
