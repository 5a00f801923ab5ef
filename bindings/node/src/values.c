/* Between JavaScript's values and C's. */
#include "addon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool arguments_read(napi_env env, napi_callback_info info, struct arguments *arguments)
{
    size_t n = ARGUMENTS_MAX;
    void *addon = NULL;
    arguments->env = env;
    if (napi_get_cb_info(env, info, &n, arguments->values, NULL, NULL) != napi_ok ||
        napi_get_instance_data(env, &addon) != napi_ok) {
        return false;
    }
    arguments->addon = addon;
    return true;
}

bool arguments_of_object(const struct arguments *arguments, size_t i, const char *const *names,
                         size_t n_names, struct arguments *fields)
{
    fields->env = arguments->env;
    fields->addon = arguments->addon;
    for (size_t k = 0; k < n_names; k++) {
        if (napi_get_named_property(arguments->env, arguments->values[i], names[k],
                                    &fields->values[k]) != napi_ok) {
            return false;
        }
    }
    return true;
}

static napi_valuetype type_of(const struct arguments *arguments, size_t i)
{
    napi_valuetype type = napi_undefined;
    napi_typeof(arguments->env, arguments->values[i], &type);
    return type;
}

void *argument_external(const struct arguments *arguments, size_t i)
{
    void *object = NULL;
    if (napi_get_value_external(arguments->env, arguments->values[i], &object) != napi_ok) {
        napi_throw_type_error(arguments->env, "INVALID", "comrade: not an object of the addon");
        return NULL;
    }
    return object;
}

bool argument_text(const struct arguments *arguments, size_t i, char **text)
{
    napi_valuetype type = type_of(arguments, i);
    size_t len = 0;
    if (type == napi_undefined || type == napi_null) {
        *text = NULL;
        return true;
    }
    if (napi_get_value_string_utf8(arguments->env, arguments->values[i], NULL, 0, &len) !=
        napi_ok) {
        napi_throw_type_error(arguments->env, "INVALID", "comrade: a string was expected");
        return false;
    }
    char *copy = malloc(len + 1);
    if (copy == NULL) {
        throw_no_memory(arguments->env);
        return false;
    }
    napi_get_value_string_utf8(arguments->env, arguments->values[i], copy, len + 1, &len);
    if (strlen(copy) != len) {
        free(copy);
        napi_throw_type_error(arguments->env, "INVALID",
                              "comrade: a string contains a NUL character");
        return false;
    }
    *text = copy;
    return true;
}

bool argument_number(const struct arguments *arguments, size_t i, int64_t otherwise, int64_t *n)
{
    if (type_of(arguments, i) == napi_undefined) {
        *n = otherwise;
        return true;
    }
    if (napi_get_value_int64(arguments->env, arguments->values[i], n) != napi_ok) {
        napi_throw_type_error(arguments->env, "INVALID", "comrade: a number was expected");
        return false;
    }
    return true;
}

bool argument_is_true(const struct arguments *arguments, size_t i)
{
    bool is_true = false;
    return napi_get_value_bool(arguments->env, arguments->values[i], &is_true) == napi_ok &&
           is_true;
}

bool argument_filter(const struct arguments *arguments, size_t i, comrade_filter *filter)
{
    switch ((int)type_of(arguments, i)) {
    case napi_undefined:
        *filter = COMRADE_ANY;
        return true;
    case napi_boolean:
        *filter = argument_is_true(arguments, i) ? COMRADE_YES : COMRADE_NO;
        return true;
    default:
        napi_throw_type_error(arguments->env, "INVALID", "comrade: a boolean was expected");
        return false;
    }
}

void throw_error(napi_env env, const comrade_error *error)
{
    napi_throw_error(env, comrade_status_name(error->status), error->message);
}

void throw_no_memory(napi_env env)
{
    napi_throw_error(env, comrade_status_name(COMRADE_NO_MEMORY), "comrade: out of memory");
}

void throw_released(napi_env env)
{
    napi_throw_error(env, comrade_status_name(COMRADE_CANCELED),
                     "comrade: the process is about to exit");
}

napi_value text_value(napi_env env, const char *text)
{
    napi_value value = NULL;
    napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);
    return value;
}

napi_value undefined_value(napi_env env)
{
    napi_value value = NULL;
    napi_get_undefined(env, &value);
    return value;
}

napi_value error_value(napi_env env, const comrade_error *error)
{
    napi_value value = NULL;
    if (error == NULL) {
        napi_get_null(env, &value);
        return value;
    }
    napi_create_error(env, text_value(env, comrade_status_name(error->status)),
                      text_value(env, error->message), &value);
    return value;
}

napi_value external_value(napi_env env, void *object, napi_finalize finalize)
{
    napi_value value = NULL;
    if (napi_create_external(env, object, finalize, NULL, &value) != napi_ok) {
        finalize(env, object, NULL);
        throw_no_memory(env);
        return NULL;
    }
    return value;
}
