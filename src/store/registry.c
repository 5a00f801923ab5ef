/*
 * The table of drivers, and the loading of modules. A module stays loaded: its library's threads
 * and exit handlers could not survive it. Its file's name is made of the scheme, which has letters,
 * digits, '+', '-' and '.' only, so that no URL can name a file elsewhere.
 */
#include "store/registry.h"

#include "base/buffer.h"
#include "base/text.h"
#include "store/memory/memory.h"
#include "store/module_open.h"
#include "store/module_path.h"
#include "store/sqlite/sqlite.h"
#include "store/url.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { REGISTERED_MAX = 16, SCHEME_MAX_BYTES = 31, PATH_LIMIT = 4096 };
enum { FOLDERS_LIMIT = 4 * PATH_LIMIT };

/* To add a scheme that has a module of its own: a word here, and in the text below. */
static const char *const with_driver[] = {"memory", "sqlite", "postgres", "datastore"};
static const char with_driver_text[] = "memory:, sqlite:PATH, postgres://… and datastore://PROJECT";
/* What people try, since others have it. A stranger's module for it is loaded all the same. */
static const char *const without_driver[] = {"redis", "etcd"};

enum { N_WITH_DRIVER = sizeof with_driver / sizeof with_driver[0] };
enum { N_WITHOUT_DRIVER = sizeof without_driver / sizeof without_driver[0] };

/* Grows only; what was found once is never moved or removed. */
static const comrade_store_driver *registered[REGISTERED_MAX];
static size_t n_registered;
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;

static const comrade_store_driver *find_known(const char *scheme)
{
    const comrade_store_driver *builtins[] = {&memory_driver, &sqlite_driver};
    for (size_t i = 0; i < sizeof builtins / sizeof builtins[0]; i++) {
        if (strcmp(builtins[i]->scheme, scheme) == 0) {
            return builtins[i];
        }
    }
    for (size_t i = 0; i < n_registered; i++) {
        if (strcmp(registered[i]->scheme, scheme) == 0) {
            return registered[i];
        }
    }
    return NULL;
}

static comrade_status add(const comrade_store_driver *driver, comrade_error *error)
{
    if (driver->abi != COMRADE_STORE_ABI) {
        return comrade_error_set(error, COMRADE_UNSUPPORTED,
                                 "the driver for %s: was built for another version of Comrade "
                                 "(its ABI is %u, this one's %u); install the one that fits",
                                 driver->scheme, driver->abi, COMRADE_STORE_ABI);
    }
    if (n_registered == REGISTERED_MAX) {
        return comrade_error_set(error, COMRADE_TOO_LARGE, "at most %d drivers can be registered",
                                 REGISTERED_MAX);
    }
    registered[n_registered++] = driver;
    return COMRADE_OK;
}

comrade_status comrade_store_register(const comrade_store_driver *driver)
{
    pthread_mutex_lock(&registry_lock);
    bool is_known = find_known(driver->scheme) != NULL;
    comrade_status status = is_known ? COMRADE_CONFLICT : add(driver, NULL);
    pthread_mutex_unlock(&registry_lock);
    return status;
}

static bool is_one_of(const char *const *schemes, size_t n_schemes, const char *scheme)
{
    for (size_t i = 0; i < n_schemes; i++) {
        if (strcmp(schemes[i], scheme) == 0) {
            return true;
        }
    }
    return false;
}

/* Says which package has the module, that there is none, or which scheme was probably meant. */
static comrade_status no_module(const char *scheme, const char *folders, comrade_error *error)
{
    if (is_one_of(with_driver, N_WITH_DRIVER, scheme)) {
        return comrade_error_set(error, COMRADE_UNSUPPORTED,
                                 "the driver for %s: is not installed; install the package "
                                 "comrade-store-%s (there is no libcomrade-store-%s.so in %s)",
                                 scheme, scheme, scheme, folders);
    }
    if (is_one_of(without_driver, N_WITHOUT_DRIVER, scheme)) {
        return comrade_error_set(error, COMRADE_UNSUPPORTED,
                                 "Comrade %s has no driver for %s: yet, and there is no "
                                 "libcomrade-store-%s.so in %s; its stores are %s",
                                 comrade_version(), scheme, scheme, folders, with_driver_text);
    }
    const char *nearest = text_nearest(scheme, with_driver, N_WITH_DRIVER);
    return comrade_error_set(error, COMRADE_INVALID,
                             "unknown store \"%s:\"%s%s%s; known are %s (there is no "
                             "libcomrade-store-%s.so in %s)",
                             scheme, nearest == NULL ? "" : " (did you mean \"",
                             nearest == NULL ? "" : nearest, nearest == NULL ? "" : ":\"?)",
                             with_driver_text, scheme, folders);
}

/* What the module's file has to offer, if it fits. */
static comrade_status read_module(void *module, const char *path, const char *scheme,
                                  const comrade_store_driver **driver, comrade_error *error)
{
    comrade_store_entry_function entry = NULL;
    void *symbol = dlsym(module, COMRADE_STORE_ENTRY);
    memcpy(&entry, &symbol, sizeof entry); /* ISO C has no cast from object to function */
    const comrade_store_driver *found = entry == NULL ? NULL : entry();
    if (found == NULL || found->scheme == NULL || strcmp(found->scheme, scheme) != 0) {
        return comrade_error_set(error, COMRADE_UNSUPPORTED,
                                 "%s is not a driver of Comrade's for %s:", path, scheme);
    }
    comrade_status status = add(found, error);
    if (status == COMRADE_OK) {
        *driver = found;
    }
    return status;
}

static comrade_status load_module(const char *scheme, const comrade_store_driver **driver,
                                  comrade_error *error)
{
    struct buffer path, folders;
    buffer_init(&path, PATH_LIMIT);
    buffer_init(&folders, FOLDERS_LIMIT);
    comrade_status status;
    bool is_there;
    void *module = NULL;
    if (!module_path(scheme, &path, &folders, &is_there)) {
        status = comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for a driver's path");
    } else if (!is_there) {
        status = no_module(scheme, buffer_text(&folders), error);
    } else if ((module = module_open(buffer_text(&path))) == NULL) {
        status = comrade_error_set(error, COMRADE_UNSUPPORTED,
                                   "the driver for %s: cannot be loaded: %s", scheme, dlerror());
    } else {
        status = read_module(module, buffer_text(&path), scheme, driver, error);
    }
    if (status != COMRADE_OK && module != NULL) {
        dlclose(module);
    }
    buffer_finish(&path);
    buffer_finish(&folders);
    return status;
}

comrade_status store_driver_find(const char *url, const comrade_store_driver **driver,
                                 comrade_error *error)
{
    char scheme[SCHEME_MAX_BYTES + 1];
    if (!url_scheme(url, scheme, sizeof scheme)) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "the store's URL has no scheme; known are %s", with_driver_text);
    }
    pthread_mutex_lock(&registry_lock);
    const comrade_store_driver *known = find_known(scheme);
    comrade_status status = COMRADE_OK;
    if (known != NULL) {
        *driver = known;
    } else {
        status = load_module(scheme, driver, error);
    }
    pthread_mutex_unlock(&registry_lock);
    return status;
}
