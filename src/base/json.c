#include "base/json.h"

#include <comrade/store.h>

#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 64 };

/*
 * jansson recurses, to a depth that does not fit on the stack of a small thread, when it reads,
 * writes and frees. What is no JSON is counted somehow, and refused by it.
 */
static bool is_too_deep(const char *text, size_t n_bytes)
{
    int depth = 0;
    bool is_in_string = false;
    for (size_t i = 0; i < n_bytes; i++) {
        if (is_in_string && text[i] == '\\') {
            i++;
        } else if (text[i] == '"') {
            is_in_string = !is_in_string;
        } else if (!is_in_string && (text[i] == '{' || text[i] == '[') && ++depth > DEPTH_MAX) {
            return true;
        } else if (!is_in_string && (text[i] == '}' || text[i] == ']')) {
            depth--;
        }
    }
    return false;
}

json_t *json_object_parse(const char *what, const char *text, size_t n_bytes, comrade_error *error)
{
    if (is_too_deep(text, n_bytes)) {
        comrade_error_set(error, COMRADE_INVALID, "%s is nested deeper than %d levels", what,
                          DEPTH_MAX);
        return NULL;
    }
    json_error_t at = {0}; /* jansson leaves its code unset where it has no memory to begin */
    json_t *value = json_loadb(text, n_bytes, JSON_REJECT_DUPLICATES, &at);
    if (value == NULL) {
        /* jansson says nothing at all where it ran out of memory before it read a byte. */
        bool is_memory = json_error_code(&at) == json_error_out_of_memory || at.text[0] == '\0';
        comrade_error_set(error, is_memory ? COMRADE_NO_MEMORY : COMRADE_INVALID,
                          "%s is not valid JSON: %s (line %d, column %d)", what, at.text, at.line,
                          at.column);
        return NULL;
    }
    if (!json_is_object(value)) {
        json_decref(value);
        comrade_error_set(error, COMRADE_INVALID,
                          "%s must be a JSON object, such as {\"ip\":\"10.0.0.5\"}", what);
        return NULL;
    }
    return value;
}

char *json_to_plain_text(const json_t *value)
{
    if (json_is_string(value)) {
        return strdup(json_string_value(value));
    }
    return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
}
