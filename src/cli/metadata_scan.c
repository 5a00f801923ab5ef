#include "cli/metadata_scan.h"

#include <string.h>

static const char *skip_space(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

/* `at` is behind the opening quote. The closing quote, or NULL. */
static const char *string_end(const char *at)
{
    for (;;) {
        at += strcspn(at, "\"\\");
        if (at[0] != '\\') {
            return at[0] == '"' ? at : NULL;
        }
        if (at[1] == '\0') {
            return NULL;
        }
        at += 2;
    }
}

/* Behind the array or object that begins at `at`, or NULL. */
static const char *skip_container(const char *at)
{
    size_t depth = 0;
    do {
        at += strcspn(at, "\"[]{}");
        if (at[0] == '\0') {
            return NULL;
        }
        if (at[0] == '"') {
            at = string_end(at + 1);
            if (at == NULL) {
                return NULL;
            }
        } else if (at[0] == '[' || at[0] == '{') {
            depth++;
        } else {
            depth--;
        }
        at++;
    } while (depth > 0);
    return at;
}

/* Fills `value` (len 0 and start NULL for a container) and returns what is behind it, or NULL. */
static const char *read_value(const char *at, struct text_slice *value)
{
    *value = (struct text_slice){0};
    if (at[0] == '[' || at[0] == '{') {
        return skip_container(at);
    }
    if (at[0] == '"') {
        const char *end = string_end(at + 1);
        if (end == NULL) {
            return NULL;
        }
        *value = (struct text_slice){at + 1, (size_t)(end - at - 1)};
        return end + 1;
    }
    *value = (struct text_slice){at, strcspn(at, ",} \t\r\n")};
    return value->len == 0 ? NULL : at + value->len;
}

bool metadata_scan(const char *json, const char *key, struct text_slice *value)
{
    size_t key_len = strlen(key);
    const char *at = skip_space(json);
    if (at[0] != '{') {
        return false;
    }
    for (at = skip_space(at + 1); at[0] == '"'; at = skip_space(at + 1)) {
        struct text_slice name;
        struct text_slice found;
        at = read_value(at, &name);
        at = at == NULL ? NULL : skip_space(at);
        at = at == NULL || at[0] != ':' ? NULL : read_value(skip_space(at + 1), &found);
        if (at == NULL) {
            return false;
        }
        if (name.start != NULL && name.len == key_len && memcmp(name.start, key, key_len) == 0) {
            *value = found;
            return found.start != NULL;
        }
        at = skip_space(at);
        if (at[0] != ',') {
            return false;
        }
    }
    return false;
}
