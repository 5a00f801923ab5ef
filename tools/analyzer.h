/*
 * Included before every file that clang-tidy looks at, but for the one that defines the function.
 * It tells the analyzer what it cannot see from other files: comrade_error_set() returns the
 * status that it is given, which is an error.
 */
#include <comrade/store.h>

#define comrade_error_set(error, status, ...)                                                      \
    (comrade_error_set((error), (status), __VA_ARGS__), (status))
