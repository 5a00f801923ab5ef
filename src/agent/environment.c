#include "agent/environment.h"

#include "agent/env_file.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_name(const char *item, const char *name, size_t name_len)
{
    return strncmp(item, name, name_len) == 0 && item[name_len] == '=';
}

static bool variables_grow(struct variables *variables)
{
    if (variables->n + 1 < variables->capacity) {
        return true;
    }
    if (variables->n >= VARIABLES_LIMIT) {
        return false;
    }
    size_t capacity = variables->capacity == 0 ? 64 : variables->capacity * 2;
    char **items = reallocarray(variables->items, capacity, sizeof *items);
    if (items == NULL) {
        return false;
    }
    variables->items = items;
    variables->capacity = capacity;
    return true;
}

bool variables_set(struct variables *variables, const char *name, size_t name_len,
                   const char *value)
{
    size_t size = name_len + 1 + strlen(value) + 1;
    char *item = malloc(size);
    if (item == NULL || !variables_grow(variables)) {
        free(item);
        return false;
    }
    snprintf(item, size, "%.*s=%s", (int)name_len, name, value);
    for (size_t i = 0; i < variables->n; i++) {
        if (has_name(variables->items[i], name, name_len)) {
            free(variables->items[i]);
            variables->items[i] = item;
            return true;
        }
    }
    variables->items[variables->n++] = item;
    variables->items[variables->n] = NULL;
    return true;
}

void variables_finish(struct variables *variables)
{
    for (size_t i = 0; i < variables->n; i++) {
        free(variables->items[i]);
    }
    free(variables->items);
    *variables = (struct variables){NULL, 0, 0};
}

static bool is_for_the_agent(const char *item)
{
    static const char *const prefixes[] = {
        "COMRADE_",       "LISTEN_FDS=",   "LISTEN_FDNAMES=", "LISTEN_PID=",
        "NOTIFY_SOCKET=", "WATCHDOG_PID=", "WATCHDOG_USEC="};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        if (strncmp(item, prefixes[i], strlen(prefixes[i])) == 0) {
            return true;
        }
    }
    return false;
}

static bool set_all(struct variables *variables, const char *const *items)
{
    for (size_t i = 0; items[i] != NULL; i++) {
        const char *equals = strchr(items[i], '=');
        if (equals != NULL && equals != items[i] && !is_for_the_agent(items[i]) &&
            !variables_set(variables, items[i], (size_t)(equals - items[i]), equals + 1)) {
            return false;
        }
    }
    return true;
}

static bool set_text(struct variables *variables, const char *name, const char *value)
{
    return value == NULL || variables_set(variables, name, strlen(name), value);
}

static bool set_own(struct variables *variables, const struct environment_options *options)
{
    char port[16];
    snprintf(port, sizeof port, "%d", options->port);
    bool passes = options->passes_store;
    return set_text(variables, "COMRADE_ID", options->id) &&
           set_text(variables, "COMRADE_ROLE", options->role) &&
           set_text(variables, "PORT", options->port != 0 ? port : NULL) &&
           set_text(variables, "NOTIFY_SOCKET", options->notify_socket) &&
           set_text(variables, "COMRADE_STORE", passes ? options->store : NULL) &&
           set_text(variables, "COMRADE_NAMESPACE", passes ? options->name_space : NULL) &&
           set_text(variables, "COMRADE_KIND", passes ? options->kind : NULL) &&
           /* Where the store's driver is, if that is not where it is installed. */
           set_text(variables, "COMRADE_MODULE_PATH",
                    passes ? secure_getenv("COMRADE_MODULE_PATH") : NULL);
}

comrade_status environment_build(const struct environment_options *options,
                                 struct variables *variables, comrade_error *error)
{
    struct variables built = {NULL, 0, 0};
    struct variables file = {NULL, 0, 0};
    comrade_status status = COMRADE_OK;
    if (options->env_file != NULL) {
        status = env_file_read(options->env_file, &file, error);
    }
    if (status == COMRADE_OK &&
        (!set_all(&built, options->inherited) ||
         (file.n > 0 && !set_all(&built, (const char *const *)file.items)) ||
         !set_own(&built, options))) {
        bool is_full = built.n >= VARIABLES_LIMIT;
        status = comrade_error_set(error, is_full ? COMRADE_TOO_LARGE : COMRADE_NO_MEMORY,
                                   "cannot make the environment of the service: %s",
                                   is_full ? "too many variables" : "out of memory");
    }
    variables_finish(&file);
    if (status != COMRADE_OK) {
        variables_finish(&built);
        return status;
    }
    *variables = built;
    return COMRADE_OK;
}
