/* Where the store is, as the options or the system's habits say. */
#ifndef CLI_STORE_PLACE_H
#define CLI_STORE_PLACE_H

#include "cli/options.h"

#include "base/buffer.h"

/*
 * The URL of the store, with its secrets; the caller frees it. The folder of the embedded default
 * is made if need be, where the verb makes stores. Errors: INVALID (options that contradict each
 * other, a store file that cannot be read), UNAVAILABLE (there is no store at the default place, or
 * no folder can be made for it), NO_MEMORY.
 */
comrade_status store_place_find(const struct options *options, char **url, comrade_error *error);

/*
 * Appends $XDG_STATE_HOME, or ~/.local/state where that is not set. INVALID: there is neither.
 */
comrade_status user_state_folder(struct buffer *path, comrade_error *error);
/* Makes a folder and those above it, for their owner alone. Errors: UNAVAILABLE, NO_MEMORY. */
comrade_status make_folders(const char *path, comrade_error *error);

#endif
