/*
 * What the files of the addon share. All of it belongs to one JavaScript environment (the main
 * thread's, or a worker's) and is used on its thread alone; there is nothing global.
 *
 * Lifetimes in three rules:
 *   A cluster lives while something holds it: each JavaScript object that uses it, each call under
 *   way. Then its poll handle is closed, and the rest on a thread of the pool, which may wait.
 *   What is held is released when JavaScript's garbage collector says so, or at the environment's
 *   end, whichever comes first; holding.cluster is NULL from then on.
 *   The process is kept alive by what is active: started members, watches, and calls under way.
 */
#ifndef COMRADE_NODE_ADDON_H
#define COMRADE_NODE_ADDON_H

#include <comrade.h>

#include <node_api.h>
#include <uv.h>

struct addon {
    napi_env env;
    uv_loop_t *loop;
    struct cluster *clusters; /* open ones */
    size_t n_clusters;        /* those, and those that are being closed */
    bool is_ending;
    napi_async_cleanup_hook_handle hook;
};

/* One comrade_cluster, shared by all in this environment that name it by the same key. */
struct cluster {
    struct addon *addon;
    struct cluster *next;
    char *key;
    comrade_cluster *cluster; /* NULL: the process is about to exit */
    uv_poll_t poll;
    uv_work_t closing;
    size_t n_holders;
    size_t n_active;
    struct holding *holdings;
};

/* The first field of what must be released before a cluster can be closed. */
struct holding {
    struct cluster *cluster; /* NULL: released */
    struct holding *next;
    struct holding *previous;
    bool is_active;
    void (*release)(struct holding *holding); /* of the library's object; may free the holding */
};

/* --- cluster.c ---------------------------------------------------------------------------------
 */

void cluster_hold(struct cluster *cluster, struct holding *holding,
                  void (*release)(struct holding *holding));
/* Calls its release(), once. */
void holding_release(struct holding *holding);
/* Does it keep the process alive? */
void holding_set_active(struct holding *holding, bool is_active);
/* A holding that the process is about to leave behind has no object to call any more. */
bool holding_is_usable(const struct holding *holding);
/* Runs one callback as Node does: with its microtasks, and uncaught exceptions as such. */
void addon_call(struct addon *addon, napi_ref function, size_t n_arguments,
                const napi_value *arguments);
/* Releases and closes everything; the hook is removed when all of it is closed. */
void addon_end(napi_async_cleanup_hook_handle hook, void *addon);

/* --- values.c: false or NULL means that a JavaScript exception is pending
 * -------------------------
 */

enum { ARGUMENTS_MAX = 8 };

struct arguments {
    napi_env env;
    struct addon *addon;
    napi_value values[ARGUMENTS_MAX]; /* undefined where there is none */
};

bool arguments_read(napi_env env, napi_callback_info info, struct arguments *arguments);
/* The fields of an object that is an argument, as arguments of their own. */
bool arguments_of_object(const struct arguments *arguments, size_t i, const char *const *names,
                         size_t n_names, struct arguments *fields);
void *argument_external(const struct arguments *arguments, size_t i);
/* A copy to be freed by the caller; NULL for undefined and null. */
bool argument_text(const struct arguments *arguments, size_t i, char **text);
/* `otherwise` for undefined. */
bool argument_number(const struct arguments *arguments, size_t i, int64_t otherwise, int64_t *n);
/* undefined, true or false. */
bool argument_filter(const struct arguments *arguments, size_t i, comrade_filter *filter);
bool argument_is_true(const struct arguments *arguments, size_t i);
void throw_error(napi_env env, const comrade_error *error);
void throw_no_memory(napi_env env);
void throw_released(napi_env env);
/* An Error with a code, or null. */
napi_value error_value(napi_env env, const comrade_error *error);
napi_value text_value(napi_env env, const char *text);
napi_value undefined_value(napi_env env);
/* Takes the object over: it is released by `finalize` when it cannot be made, too. */
napi_value external_value(napi_env env, void *object, napi_finalize finalize);

/* --- members.c ---------------------------------------------------------------------------------
 */

/* Takes the list over; null for NULL. */
napi_value members_value(napi_env env, comrade_members *members);
/* One member, as JSON text. */
napi_value member_text_value(napi_env env, const comrade_member_data *data, bool has_details);

/* --- call.c ------------------------------------------------------------------------------------
 */

/* One call under way. Its function is called with (error, members, minMembers, available). */
struct call;

/* Of the member or client that is the first argument. NULL: thrown. */
struct call *call_new(const struct arguments *arguments, const struct holding *owner,
                      napi_value function);
/* The comrade_done of every call. */
void call_done(void *call, comrade_outcome *outcome);
/* After the submit: one that was refused is told by an exception. */
void call_submitted(struct call *call, comrade_status status, const comrade_error *error);

/* --- query.c -----------------------------------------------------------------------------------
 */

enum { WHERE_MAX = 32 };

struct query {
    comrade_query query;
    char *texts[2 * WHERE_MAX + 1]; /* what the query refers to */
    comrade_where where[WHERE_MAX];
};

/* Of {role, alive, healthy, stale, available, where: [key, value, …]}; finish it in any case. */
bool query_init(struct query *query, const struct arguments *arguments, size_t i);
void query_finish(struct query *query);

struct request {
    comrade_request_options options;
    char *texts[2];
};

/* Of {reason, user, interval, budgeted, prefix}; likewise. */
bool request_init(struct request *request, const struct arguments *arguments, size_t i);
void request_finish(struct request *request);

/* --- client.c ------------------------------------------------------------------------------------
 */

struct client {
    struct holding holding; /* first */
    struct addon *addon;
    comrade_client *client;
    napi_ref on_health_check; /* NULL: the library's own rule */
};

/* NULL: thrown. */
struct client *client_of(const struct arguments *arguments);

/* --- health_check.c ------------------------------------------------------------------------------
 */

/* A comrade_on_health_check; `client` is a struct client. */
void client_check_health(void *client, comrade_health_check *check);

/* --- What JavaScript sees, a function each; lib/binding.js says what their arguments are ---------
 */

napi_value cluster_open(napi_env env, napi_callback_info info);
napi_value cluster_leave_all(napi_env env, napi_callback_info info);
napi_value members_count(napi_env env, napi_callback_info info);
napi_value members_text(napi_env env, napi_callback_info info);
napi_value member_new(napi_env env, napi_callback_info info);
napi_value member_id(napi_env env, napi_callback_info info);
napi_value member_start(napi_env env, napi_callback_info info);
napi_value member_unref(napi_env env, napi_callback_info info);
napi_value member_stop(napi_env env, napi_callback_info info);
napi_value member_report(napi_env env, napi_callback_info info);
napi_value member_update(napi_env env, napi_callback_info info);
napi_value member_fetch(napi_env env, napi_callback_info info);
napi_value client_new(napi_env env, napi_callback_info info);
napi_value client_get_members(napi_env env, napi_callback_info info);
napi_value client_kill(napi_env env, napi_callback_info info);
napi_value client_restart(napi_env env, napi_callback_info info);
napi_value client_kill_oldest(napi_env env, napi_callback_info info);
napi_value client_rolling_kill(napi_env env, napi_callback_info info);
napi_value client_zombify(napi_env env, napi_callback_info info);
napi_value client_clear_stale(napi_env env, napi_callback_info info);
napi_value client_get_role(napi_env env, napi_callback_info info);
napi_value client_set_role(napi_env env, napi_callback_info info);
napi_value health_check_answer(napi_env env, napi_callback_info info);
napi_value watch_start(napi_env env, napi_callback_info info);
napi_value watch_stop(napi_env env, napi_callback_info info);

#endif
