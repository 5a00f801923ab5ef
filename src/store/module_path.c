#include "store/module_path.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

/* Of what is in a file of this name, the modules lie in a folder beside it. */
static const char library_name[] = "libcomrade.so";
static const char beside_library[] = "comrade";
/* Of a program as it is installed, and of one as it is built. */
static const char *const beside_program[] = {COMRADE_MODULE_DIR_FROM_PROGRAM, "modules"};

enum { N_BESIDE_PROGRAM = sizeof beside_program / sizeof beside_program[0] };

static bool try_folder(const char *folder, const char *subfolder, const char *scheme,
                       struct buffer *path, bool *is_there)
{
    buffer_clear(path);
    bool is_made =
        buffer_append_format(path, "%s%s/libcomrade-store-%s.so", folder, subfolder, scheme);
    *is_there = is_made && access(buffer_text(path), F_OK) == 0;
    return is_made;
}

/* The folder of the library that this code is in, with a slash behind it, or else the program's.
   False: nobody knows it. */
static bool own_folder(char folder[PATH_MAX], bool *is_library)
{
    Dl_info found;
    const char *slash = NULL;
    *is_library = dladdr(library_name, &found) != 0 && found.dli_fname != NULL &&
                  (slash = strrchr(found.dli_fname, '/')) != NULL &&
                  strncmp(slash + 1, library_name, strlen(library_name)) == 0;
    if (*is_library) {
        size_t len = (size_t)(slash + 1 - found.dli_fname);
        if (len >= PATH_MAX) {
            return false;
        }
        memcpy(folder, found.dli_fname, len);
        folder[len] = '\0';
        return true;
    }
    ssize_t len = readlink("/proc/self/exe", folder, PATH_MAX - 1);
    if (len <= 0) {
        return false;
    }
    folder[len] = '\0';
    char *end = strrchr(folder, '/');
    if (end != NULL) {
        end[1] = '\0';
    }
    return end != NULL;
}

static bool try_beside(const char *scheme, struct buffer *path, bool *is_there)
{
    char folder[PATH_MAX];
    bool is_library;
    bool is_made = true;
    if (!own_folder(folder, &is_library)) {
        return true;
    }
    if (is_library) {
        return try_folder(folder, beside_library, scheme, path, is_there);
    }
    for (size_t i = 0; i < N_BESIDE_PROGRAM && is_made && !*is_there; i++) {
        is_made = try_folder(folder, beside_program[i], scheme, path, is_there);
    }
    return is_made;
}

bool module_path(const char *scheme, struct buffer *path, bool *is_there)
{
    const char *named = secure_getenv("COMRADE_MODULE_PATH");
    const char *first = named == NULL ? COMRADE_MODULE_DIR : named;
    bool is_made = try_folder(first, "", scheme, path, is_there);
    if (is_made && !*is_there && named == NULL && getauxval(AT_SECURE) == 0) {
        is_made = try_beside(scheme, path, is_there);
        if (is_made && !*is_there) {
            is_made = try_folder(first, "", scheme, path, is_there);
        }
    }
    return is_made;
}
