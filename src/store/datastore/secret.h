/* Text that must not be found in memory when it is needed no more. NULL is fine for both. */
#ifndef DATASTORE_SECRET_H
#define DATASTORE_SECRET_H

#include "base/buffer.h"

#include <stdlib.h>
#include <string.h>

static inline void secret_free(char *text)
{
    if (text != NULL) {
        explicit_bzero(text, strlen(text));
    }
    free(text);
}

static inline void secret_buffer_finish(struct buffer *buf)
{
    if (buf->bytes != NULL) {
        explicit_bzero(buf->bytes, buf->capacity);
    }
    buffer_finish(buf);
}

#endif
