/* The names of statuses and states, and how an error's message is made. */
#include "base/text.h"

#include <comrade/store.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define QUOTE_TEXT(x) #x
#define QUOTE(x) QUOTE_TEXT(x)

const char *comrade_version(void)
{
    return QUOTE(COMRADE_VERSION_MAJOR) "." QUOTE(COMRADE_VERSION_MINOR) "." QUOTE(
        COMRADE_VERSION_PATCH);
}

const char *comrade_status_name(comrade_status status)
{
    switch (status) {
#define CASE(name, value, text, retry)                                                             \
    case COMRADE_##name:                                                                           \
        return #name;
        COMRADE_STATUS_MAP(CASE)
#undef CASE
    case COMRADE_STATUS_FORCE_INT:
        break;
    }
    return "STATUS?";
}

const char *comrade_status_text(comrade_status status)
{
    switch (status) {
#define CASE(name, value, text, retry)                                                             \
    case COMRADE_##name:                                                                           \
        return text;
        COMRADE_STATUS_MAP(CASE)
#undef CASE
    case COMRADE_STATUS_FORCE_INT:
        break;
    }
    return "unknown status";
}

bool comrade_status_is_retryable(comrade_status status)
{
    switch (status) {
#define CASE(name, value, text, retry)                                                             \
    case COMRADE_##name:                                                                           \
        return retry;
        COMRADE_STATUS_MAP(CASE)
#undef CASE
    case COMRADE_STATUS_FORCE_INT:
        break;
    }
    return false;
}

const char *comrade_state_name(comrade_state state)
{
    switch (state) {
#define CASE(name, text)                                                                           \
    case COMRADE_STATE_##name:                                                                     \
        return text;
        COMRADE_STATE_MAP(CASE)
#undef CASE
    }
    return "state?";
}

comrade_status comrade_error_set(comrade_error *error, comrade_status status, const char *format,
                                 ...)
{
    if (error == NULL) {
        return status;
    }
    char raw[COMRADE_ERROR_MESSAGE_SIZE * 2];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    size_t n_bytes = len < 0 ? 0 : (size_t)len < sizeof raw ? (size_t)len : sizeof raw - 1;

    /* Escapes one character at a time, so that the cut never falls inside one. Needs no memory. */
    size_t out = 0;
    for (size_t i = 0; i < n_bytes;) {
        size_t char_len = text_utf8_len(raw + i, n_bytes - i);
        char one[5] = {0};
        memcpy(one, raw + i, char_len == 0 ? 1 : char_len);
        char escaped[16];
        bool is_plain = char_len > 0 && !text_has_control(one);
        size_t escaped_len = is_plain ? char_len : 4;
        if (is_plain) {
            memcpy(escaped, one, char_len);
        } else {
            snprintf(escaped, sizeof escaped, "\\x%02x", (unsigned char)one[0]);
        }
        if (out + escaped_len >= sizeof error->message) {
            break;
        }
        memcpy(error->message + out, escaped, escaped_len);
        out += escaped_len;
        i += is_plain ? char_len : 1;
    }
    error->message[out] = '\0';
    error->status = status;
    return status;
}
