/*
 * A client's own health checks. Each is handed to JavaScript as an object to be answered; one that
 * is never answered is freed with that object, long after the library has given up on it.
 */
#include "addon.h"

#include <stdlib.h>

struct check {
    comrade_health_check *check; /* NULL: answered */
};

static void answer(struct check *check, bool is_healthy)
{
    comrade_health_check *asked = check->check;
    check->check = NULL;
    comrade_health_check_answer(asked, is_healthy);
}

static void finalize(napi_env env, void *data, void *hint)
{
    (void)env;
    (void)hint;
    answer(data, false);
    free(data);
}

/* Calls on_health_check(check, text of the member's data). */
void client_check_health(void *user, comrade_health_check *asked)
{
    struct client *client = user;
    napi_env env = client->addon->env;
    struct check *check = malloc(sizeof *check);
    napi_handle_scope scope;
    if (check == NULL || napi_open_handle_scope(env, &scope) != napi_ok) {
        free(check);
        comrade_health_check_answer(asked, false);
        return;
    }
    check->check = asked;
    /* The text first: the check is over when there cannot be an object for it. */
    napi_value text = member_text_value(env, comrade_health_check_member(asked), false);
    napi_value arguments[] = {external_value(env, check, finalize), text};
    addon_call(client->addon, client->on_health_check, 2, arguments);
    napi_close_handle_scope(env, scope);
}

/* (check, is healthy): the first answer counts. */
napi_value health_check_answer(napi_env env, napi_callback_info info)
{
    struct arguments arguments;
    struct check *check;
    if (arguments_read(env, info, &arguments) &&
        (check = argument_external(&arguments, 0)) != NULL) {
        answer(check, argument_is_true(&arguments, 1));
    }
    return NULL;
}
