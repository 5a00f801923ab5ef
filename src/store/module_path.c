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

/* What a look-up fills. */
struct search {
    const char *scheme;
    struct buffer *path;
    struct buffer *folders;
    bool is_there;
};

/* Length of what is left of a folder, which ends with a slash, one level up. */
static size_t parent_len(const char *folder, size_t len)
{
    do {
        len -= len > 1 ? 1 : 0;
    } while (len > 1 && folder[len - 1] != '/');
    return len;
}

/* A name that climbs is shortened, so that one folder has one name. False: out of memory. */
static bool try_folder(struct search *search, const char *folder, const char *subfolder)
{
    size_t len = strlen(folder);
    for (; strncmp(subfolder, "../", 3) == 0; subfolder += 3) {
        len = parent_len(folder, len);
    }
    buffer_clear(search->path);
    if (!buffer_append_format(search->path, "%.*s%s", (int)len, folder, subfolder)) {
        return false;
    }
    const char *name = buffer_text(search->path);
    bool is_first = search->folders->len == 0;
    if (!is_first && strcmp(buffer_text(search->folders), name) == 0) {
        return true;
    }
    bool is_made = buffer_append_format(search->folders, "%s%s", is_first ? "" : ", ", name) &&
                   buffer_append_format(search->path, "/libcomrade-store-%s.so", search->scheme);
    search->is_there = is_made && access(buffer_text(search->path), F_OK) == 0;
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

static bool try_beside(struct search *search)
{
    char folder[PATH_MAX];
    bool is_library;
    bool is_made = true;
    if (!own_folder(folder, &is_library)) {
        return true;
    }
    if (is_library) {
        return try_folder(search, folder, beside_library);
    }
    for (size_t i = 0; i < N_BESIDE_PROGRAM && is_made && !search->is_there; i++) {
        is_made = try_folder(search, folder, beside_program[i]);
    }
    return is_made;
}

bool module_path(const char *scheme, struct buffer *path, struct buffer *folders, bool *is_there)
{
    struct search search = {.scheme = scheme, .path = path, .folders = folders};
    const char *named = secure_getenv("COMRADE_MODULE_PATH");
    bool is_made = try_folder(&search, named == NULL ? COMRADE_MODULE_DIR : named, "");
    if (is_made && !search.is_there && named == NULL && getauxval(AT_SECURE) == 0) {
        is_made = try_beside(&search);
    }
    *is_there = search.is_there;
    return is_made;
}
