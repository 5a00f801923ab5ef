/* The memory store, which cannot push as long as there is no file of the name that the URL gives.
 */
#include "store/memory/memory.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

COMRADE_API const comrade_store_driver *comrade_store_entry(void);

static char path[256];

static comrade_status open_store(const comrade_store_config *config, const comrade_call *call,
                                 comrade_store **store, comrade_error *error)
{
    snprintf(path, sizeof path, "%s", strchr(config->url, ':') + 1);
    return memory_driver.open(config, call, store, error);
}

static int watch(comrade_store *store, const comrade_call *call, comrade_error *error)
{
    if (access(path, F_OK) == 0) {
        return memory_driver.watch(store, call, error);
    }
    comrade_error_set(error, COMRADE_UNAVAILABLE, "there is no %s", path);
    return -1;
}

const comrade_store_driver *comrade_store_entry(void)
{
    static comrade_store_driver driver;
    driver = memory_driver;
    driver.scheme = "pushless";
    driver.open = open_store;
    driver.watch = watch;
    return &driver;
}
