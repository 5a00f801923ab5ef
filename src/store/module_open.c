/*
 * Loads modules, also into programs that have an OpenSSL of their own inside and export it, as
 * Node.js does (and nghttp2, zlib and more). What a program exports comes first for everybody, and
 * versions are no help, since its symbols have none and so fit any: libpq and libcurl, and libssl
 * and libcrypto themselves, would all run on the program's, of whatever release that is. A module
 * is therefore bound deeply there: to what it was linked with, before what the program has.
 *
 * That goes for malloc() too. Where something else than the C library allocates (a sanitizer, a
 * preloaded jemalloc), blocks that the C library itself hands out would be freed by the wrong one,
 * so that nothing is bound deeply there. It works as long as the two OpenSSLs are alike.
 */
#include "store/module_open.h"

#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Not in a shared library of that name, as libraries and programs should have it. */
static bool program_has_openssl(void)
{
    Dl_info found;
    void *symbol = dlsym(RTLD_DEFAULT, "SSL_CTX_new");
    return symbol != NULL && dladdr(symbol, &found) != 0 &&
           strstr(found.dli_fname, "libssl.so") == NULL;
}

/* An address in a program may be that of its stub for a function that another object has. */
static bool is_stub(void *symbol)
{
    Dl_info found;
    void *entry = NULL;
    return dladdr1(symbol, &found, &entry, RTLD_DL_SYMENT) != 0 && entry != NULL &&
           ((const ElfW(Sym) *)entry)->st_shndx == SHN_UNDEF;
}

/* Whether an object, of those that come before the C library, has a malloc() of its own. */
static bool replaces_malloc(const struct link_map *object, void *malloc_of_libc)
{
    const char *name = object->l_name[0] == '\0' ? NULL : object->l_name; /* NULL: the program */
    void *handle = dlopen(name, RTLD_LAZY | RTLD_NOLOAD);
    if (handle == NULL) {
        return false; /* the kernel's vdso, which is no file */
    }
    void *symbol = dlsym(handle, "malloc");
    dlclose(handle);
    return symbol != NULL && symbol != malloc_of_libc && !is_stub(symbol);
}

/* The first objects of the chain are those that were there when the program began, and stay. */
static bool libc_allocates(void)
{
    struct link_map *last = NULL;
    struct link_map *object = NULL;
    void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    void *program = dlopen(NULL, RTLD_LAZY);
    bool is_known = libc != NULL && program != NULL && dlinfo(libc, RTLD_DI_LINKMAP, &last) == 0 &&
                    dlinfo(program, RTLD_DI_LINKMAP, &object) == 0;
    void *malloc_of_libc = is_known ? dlsym(libc, "malloc") : NULL;
    while (is_known && object != NULL && object != last) {
        is_known = !replaces_malloc(object, malloc_of_libc);
        object = object->l_next;
    }
    if (program != NULL) {
        dlclose(program);
    }
    if (libc != NULL) {
        dlclose(libc);
    }
    return is_known;
}

void *module_open(const char *path)
{
    int flags = RTLD_NOW | RTLD_LOCAL;
    if (program_has_openssl() && libc_allocates()) {
        flags |= RTLD_DEEPBIND;
    }
    return dlopen(path, flags);
}
