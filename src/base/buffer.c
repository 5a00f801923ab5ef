#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buffer_init(struct buffer *buf, size_t limit)
{
    *buf = (struct buffer){.limit = limit};
}

void buffer_finish(struct buffer *buf)
{
    free(buf->bytes);
    *buf = (struct buffer){.limit = buf->limit};
}

void buffer_clear(struct buffer *buf)
{
    buf->len = 0;
    buf->is_failed = false;
    if (buf->bytes != NULL) {
        buf->bytes[0] = '\0';
    }
}

/* Makes room for `more` bytes and the NUL. */
static bool buffer_reserve(struct buffer *buf, size_t more)
{
    if (more > buf->limit || buf->len > buf->limit - more) {
        buf->is_failed = true;
        return false;
    }
    size_t needed = buf->len + more + 1;
    if (buf->bytes != NULL && needed <= buf->capacity) {
        return true;
    }
    size_t capacity = buf->capacity < 64 ? 64 : buf->capacity;
    while (capacity < needed) {
        capacity += capacity / 2;
    }
    char *bytes = realloc(buf->bytes, capacity);
    if (bytes == NULL) {
        buf->is_failed = true;
        return false;
    }
    buf->bytes = bytes;
    buf->capacity = capacity;
    return true;
}

bool buffer_append(struct buffer *buf, const void *bytes, size_t len)
{
    if (!buffer_reserve(buf, len)) {
        return false;
    }
    if (len > 0) {
        memcpy(buf->bytes + buf->len, bytes, len);
    }
    buf->len += len;
    buf->bytes[buf->len] = '\0';
    return true;
}

bool buffer_append_text(struct buffer *buf, const char *text)
{
    return buffer_append(buf, text, strlen(text));
}

bool buffer_append_format(struct buffer *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    bool is_done = len >= 0 && buffer_reserve(buf, (size_t)len);
    if (is_done) {
        vsnprintf(buf->bytes + buf->len, (size_t)len + 1, format, again);
        buf->len += (size_t)len;
    }
    va_end(again);
    return is_done;
}

const char *buffer_text(const struct buffer *buf)
{
    return buf->bytes == NULL ? "" : buf->bytes;
}

char *buffer_take(struct buffer *buf)
{
    if (buf->is_failed || (buf->bytes == NULL && !buffer_append(buf, "", 0))) {
        return NULL;
    }
    char *text = buf->bytes;
    *buf = (struct buffer){.limit = buf->limit};
    return text;
}
