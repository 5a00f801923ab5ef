/* Arrays as PostgreSQL reads them: every text quoted, so that none is taken for NULL. */
#include "store/postgres/internal.h"

#include <inttypes.h>
#include <string.h>

static bool begin_item(struct buffer *array)
{
    return buffer_append(array, array->len == 0 ? "{" : ",", 1);
}

bool array_append_text(struct buffer *array, const char *text)
{
    bool is_done = begin_item(array) && buffer_append(array, "\"", 1);
    while (is_done && *text != '\0') {
        size_t len = strcspn(text, "\"\\");
        is_done = buffer_append(array, text, len);
        text += len;
        if (is_done && *text != '\0') {
            is_done = buffer_append(array, "\\", 1) && buffer_append(array, text++, 1);
        }
    }
    return is_done && buffer_append(array, "\"", 1);
}

bool array_append_number(struct buffer *array, int64_t number)
{
    return begin_item(array) && buffer_append_format(array, "%" PRId64, number);
}

bool array_end(struct buffer *array)
{
    return (array->len > 0 || buffer_append(array, "{", 1)) && buffer_append(array, "}", 1);
}
