/* Where the store is, as the options or the system's habits say. */
#ifndef CLI_STORE_PLACE_H
#define CLI_STORE_PLACE_H

#include "cli/options.h"

/*
 * The URL of the store, with its secrets; the caller frees it. The folder of the embedded default
 * is made if need be. Errors: INVALID (options that contradict each other, a store file that cannot
 * be read), UNAVAILABLE (no folder for the default), NO_MEMORY.
 */
comrade_status store_place_find(const struct options *options, char **url, comrade_error *error);

#endif
