#include "agent/details.h"

#include "base/buffer.h"
#include "base/json.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

/* UTF-8 as it is, line breaks and all; other bytes as \xHH. JSON escapes control characters. */
static bool append_readable(struct buffer *buf, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t char_len = text_utf8_len(bytes + i, len - i);
        bool is_text = char_len > 0 && bytes[i] != '\0';
        bool is_appended = is_text ? buffer_append(buf, bytes + i, char_len)
                                   : buffer_append_format(buf, "\\x%02x", (unsigned char)bytes[i]);
        if (!is_appended) {
            return false;
        }
        i += is_text ? char_len : 1;
    }
    return true;
}

static json_t *readable_string(const char *bytes, size_t len)
{
    struct buffer buf;
    json_t *string = NULL;
    buffer_init(&buf, len * 4 + 1);
    if (append_readable(&buf, bytes, len)) {
        string = json_stringn(buffer_text(&buf), buf.len);
    }
    buffer_finish(&buf);
    return string;
}

/* A tail that was cut begins with its first whole line, or at least its first whole character. */
static size_t tail_start(const char *tail, size_t len)
{
    const char *line = memchr(tail, '\n', len);
    if (line != NULL && (size_t)(line + 1 - tail) < len) {
        return (size_t)(line + 1 - tail);
    }
    size_t start = 0;
    while (start < len && start < 4 && ((unsigned char)tail[start] & 0xc0) == 0x80) {
        start++;
    }
    return start;
}

static bool set(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

static bool set_text(json_t *object, const char *key, const char *text)
{
    return text == NULL || text[0] == '\0' || set(object, key, readable_string(text, strlen(text)));
}

static bool set_exit(json_t *object, const struct details *details, size_t start)
{
    json_t *gone = json_object();
    bool is_set =
        set(gone, "code", details->code >= 0 ? json_integer(details->code) : json_null()) &&
        (details->signal == 0 || set(gone, "signal", json_integer(details->signal))) &&
        set(gone, "at", json_integer(details->at_ms)) &&
        (details->tail == NULL ||
         set(gone, "stderr", readable_string(details->tail + start, details->tail_len - start)));
    if (!is_set) {
        json_decref(gone);
        return false;
    }
    return set(object, "exit", gone);
}

static char *dump_from(const struct details *details, size_t start)
{
    json_t *object = json_object();
    char *text = NULL;
    if (set(object, "restarts", json_integer(details->n_restarts)) &&
        (details->next_retry_ms < 0 ||
         set(object, "next_retry_ms", json_integer(details->next_retry_ms))) &&
        set_text(object, "check", details->check) && set_text(object, "error", details->error) &&
        (!details->has_exit || set_exit(object, details, start))) {
        text = json_dumps(object, JSON_COMPACT);
    }
    json_decref(object);
    return text;
}

char *details_text(const struct details *details)
{
    size_t start = 0;
    if (details->tail != NULL && details->is_tail_cut) {
        start = tail_start(details->tail, details->tail_len);
    }
    for (;;) {
        char *text = dump_from(details, start);
        size_t left = details->tail != NULL ? details->tail_len - start : 0;
        if (text == NULL || strlen(text) <= DETAILS_MAX_BYTES || left == 0) {
            return text;
        }
        free(text);
        /* Escaping made it too long: give up the older quarter, until it fits. */
        start += left / 4 + 1;
        start += tail_start(details->tail + start, details->tail_len - start);
    }
}
