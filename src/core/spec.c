#include "core/spec.h"

#include "base/json.h"

#include <limits.h>
#include <string.h>

static json_t *spec_parse(const comrade_role *role, comrade_error *error)
{
    const char *text = role == NULL || role->spec == NULL ? "{}" : role->spec;
    return json_object_parse("role spec", text, strlen(text), error);
}

int spec_min_members(const comrade_role *role)
{
    int min_members = SPEC_UNSET;
    json_t *spec = spec_parse(role, NULL);
    if (spec == NULL) {
        return SPEC_UNREADABLE;
    }
    const json_t *value = json_object_get(spec, "minMembers");
    if (json_is_integer(value)) {
        json_int_t number = json_integer_value(value);
        if (number >= 0 && number <= INT_MAX) {
            min_members = (int)number;
        }
    }
    json_decref(spec);
    return min_members;
}

char *spec_with_min_members(const comrade_role *role, int min_members)
{
    char *text = NULL;
    comrade_error error = {COMRADE_OK, ""};
    json_t *spec = spec_parse(role, &error);
    if (spec == NULL && error.status != COMRADE_NO_MEMORY) {
        spec = json_object(); /* what cannot be read is replaced */
    }
    if (spec == NULL) {
        return NULL;
    }
    if (min_members == SPEC_UNSET) {
        json_object_del(spec, "minMembers");
    } else if (json_object_set_new(spec, "minMembers", json_integer(min_members)) != 0) {
        goto out;
    }
    text = json_dumps(spec, JSON_COMPACT | JSON_SORT_KEYS);
out:
    json_decref(spec);
    return text;
}

int64_t spec_next_version(const comrade_role *role, int64_t now_ms)
{
    int64_t stored = role == NULL ? 0 : role->spec_version;
    return stored >= now_ms ? stored + 1 : now_ms;
}
