#include "store/module_path.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

/* Of what is in a file whose name begins so, the modules lie in a folder beside it. To add one, for
   a library that has this code inside: a row. */
static const struct {
    const char *file;
    const char *folder;
} beside_library[] = {
    {"libcomrade.so", "comrade"}, {"comrade.node", "modules"}, /* Node's addon */
};
/* Of a program as it is installed, and of one as it is built. */
static const char *const beside_program[] = {COMRADE_MODULE_DIR_FROM_PROGRAM, "modules"};

enum {
    N_BESIDE_LIBRARY = sizeof beside_library / sizeof beside_library[0],
    N_BESIDE_PROGRAM = sizeof beside_program / sizeof beside_program[0],
};

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

/* Where the modules of a library of this name are; NULL: it is none. */
static const char *folder_beside(const char *file)
{
    for (size_t i = 0; i < N_BESIDE_LIBRARY; i++) {
        if (strncmp(file, beside_library[i].file, strlen(beside_library[i].file)) == 0) {
            return beside_library[i].folder;
        }
    }
    return NULL;
}

/* The folder of the library that this code is in, with a slash behind it, or else the program's.
   False: nobody knows it. */
static bool own_folder(char folder[PATH_MAX], const char **beside)
{
    Dl_info found;
    const char *slash = NULL;
    *beside = dladdr(beside_library, &found) != 0 && found.dli_fname != NULL &&
                      (slash = strrchr(found.dli_fname, '/')) != NULL
                  ? folder_beside(slash + 1)
                  : NULL;
    if (*beside != NULL) {
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
    const char *beside;
    bool is_made = true;
    if (!own_folder(folder, &beside)) {
        return true;
    }
    if (beside != NULL) {
        return try_folder(search, folder, beside);
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
    const char *folder = named == NULL ? COMRADE_MODULE_DIR : named;
    /* One that was built without a fixed folder has them beside it alone. */
    bool is_made = folder[0] == '\0' || try_folder(&search, folder, "");
    if (is_made && !search.is_there && named == NULL && getauxval(AT_SECURE) == 0) {
        is_made = try_beside(&search);
    }
    *is_there = search.is_there;
    return is_made;
}
