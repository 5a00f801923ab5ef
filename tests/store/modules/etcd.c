/* A stranger's driver for a scheme that Comrade knows by name and has none for. */
#include <comrade/store.h>

COMRADE_API const comrade_store_driver *comrade_store_entry(void);

const comrade_store_driver *comrade_store_entry(void)
{
    static const comrade_store_driver driver = {.abi = COMRADE_STORE_ABI, .scheme = "etcd"};
    return &driver;
}
