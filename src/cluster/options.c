/* Structs of callers who may have been built against another version of the header. */
#include "cluster/internal.h"

#include <string.h>

enum { SIZE_MAX_BYTES = 4096 };

comrade_status options_read(const char *what, const void *from, void *to, size_t to_size,
                            comrade_error *error)
{
    size_t size = 0;
    if (from != NULL) {
        memcpy(&size, from, sizeof size);
    }
    if (size <= sizeof size || size > SIZE_MAX_BYTES) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "the %s are missing or have no valid size; begin with the "
                                 "initialiser of comrade.h",
                                 what);
    }
    const unsigned char *bytes = from;
    for (size_t i = to_size; i < size; i++) {
        if (bytes[i] != 0) {
            return comrade_error_set(error, COMRADE_UNSUPPORTED,
                                     "the %s ask for something that Comrade %s does not know", what,
                                     comrade_version());
        }
    }
    memcpy(to, from, size < to_size ? size : to_size);
    memcpy(to, &to_size, sizeof to_size);
    return COMRADE_OK;
}
