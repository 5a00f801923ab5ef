/*
 * A growing byte buffer, always NUL-terminated, that never grows past its limit. A failed append
 * leaves the buffer as it was and is remembered, so that a writer may check once at the end.
 */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct buffer {
    char *bytes; /* NULL until the first append */
    size_t len;
    size_t capacity;
    size_t limit;
    bool is_failed; /* an append was refused: out of memory or past the limit */
};

void buffer_init(struct buffer *buf, size_t limit);
void buffer_finish(struct buffer *buf); /* a finished buffer is an empty one */
void buffer_clear(struct buffer *buf);  /* keeps the memory; forgets a failure */
bool buffer_append(struct buffer *buf, const void *bytes, size_t len);
bool buffer_append_text(struct buffer *buf, const char *text);
bool buffer_append_format(struct buffer *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Never NULL. Borrowed until the next change. */
const char *buffer_text(const struct buffer *buf);
/* Transfers the text to the caller, who frees it; NULL if the buffer failed. Empties the buffer. */
char *buffer_take(struct buffer *buf);

#endif
