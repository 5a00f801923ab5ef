#include "base/json.h"

#include <comrade/store.h>

#include <stdlib.h>
#include <string.h>

json_t *json_object_parse(const char *what, const char *text, size_t n_bytes, comrade_error *error)
{
    json_error_t at;
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
