#include "core/limits.h"

#include "base/json.h"
#include "base/text.h"

#include <comrade/store.h>

#include <string.h>

enum { MIN_MEMBERS_MAX = 1000000 };

static comrade_status check_text(const char *what, const char *value, size_t max_bytes,
                                 comrade_error *error)
{
    size_t n_bytes = strlen(value);
    if (n_bytes > max_bytes) {
        return comrade_error_set(error, COMRADE_TOO_LARGE,
                                 "the %s is %zu bytes long; at most %zu are allowed", what, n_bytes,
                                 max_bytes);
    }
    if (!text_is_utf8(value, n_bytes)) {
        return comrade_error_set(error, COMRADE_INVALID, "the %s is not valid UTF-8", what);
    }
    if (text_has_control(value)) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "the %s has a control character, which is not allowed", what);
    }
    return COMRADE_OK;
}

static comrade_status check_key(const char *what, const char *value, size_t max_bytes,
                                comrade_error *error)
{
    if (value == NULL || value[0] == '\0') {
        return comrade_error_set(error, COMRADE_INVALID, "the %s must not be empty", what);
    }
    comrade_status status = check_text(what, value, max_bytes, error);
    if (status == COMRADE_OK && strchr(value, '/') != NULL) {
        status = comrade_error_set(error, COMRADE_INVALID, "the %s \"%s\" must not contain '/'",
                                   what, value);
    }
    return status;
}

comrade_status limits_check_id(const char *value, comrade_error *error)
{
    return check_key("id", value, COMRADE_ID_MAX_BYTES, error);
}

comrade_status limits_check_role(const char *value, comrade_error *error)
{
    return check_key("role", value, COMRADE_ROLE_MAX_BYTES, error);
}

comrade_status limits_check_name(const char *what, const char *value, comrade_error *error)
{
    return check_text(what, value, COMRADE_NAME_MAX_BYTES, error);
}

comrade_status limits_check_reason(const char *value, comrade_error *error)
{
    return check_text("reason", value, COMRADE_REASON_MAX_BYTES, error);
}

comrade_status limits_check_object(const char *what, const char *value, comrade_error *error)
{
    size_t n_bytes = strlen(value);
    if (n_bytes > COMRADE_METADATA_MAX_BYTES) {
        return comrade_error_set(error, COMRADE_TOO_LARGE,
                                 "the %s is %zu bytes long; at most %d are allowed", what, n_bytes,
                                 COMRADE_METADATA_MAX_BYTES);
    }
    comrade_error why = {0};
    json_t *object = json_object_parse(what, value, n_bytes, &why);
    if (object == NULL) {
        return comrade_error_set(error, why.status, "the %s", why.message);
    }
    json_decref(object);
    return COMRADE_OK;
}

comrade_status limits_check_min_members(int min_members, comrade_error *error)
{
    if (min_members < -1 || min_members > MIN_MEMBERS_MAX) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "minMembers is %d; it must be between 0 and %d (or -1: not set)",
                                 min_members, MIN_MEMBERS_MAX);
    }
    return COMRADE_OK;
}
