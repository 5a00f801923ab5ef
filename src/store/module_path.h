/* Where modules lie. */
#ifndef STORE_MODULE_PATH_H
#define STORE_MODULE_PATH_H

#include "base/buffer.h"

/*
 * The file of a scheme's module. It is looked for in COMRADE_MODULE_PATH, where that is set, and
 * nowhere else; or in the folder that was fixed when this was built; or as far from the program, or
 * from the shared library, as that folder was meant to be, so that a tree that was installed
 * elsewhere, or moved, is whole. One who runs with rights that its user has not is believed about
 * neither. `folders` tells a reader where it was looked for: "/usr/lib/comrade, /opt/lib/comrade".
 * Both buffers are empty before. False: out of memory.
 */
bool module_path(const char *scheme, struct buffer *path, struct buffer *folders, bool *is_there);

#endif
