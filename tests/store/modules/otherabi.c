/* Built for a version of Comrade that is yet to come. */
#include <comrade/store.h>

COMRADE_API const comrade_store_driver *comrade_store_entry(void);

const comrade_store_driver *comrade_store_entry(void)
{
    static const comrade_store_driver driver = {.abi = COMRADE_STORE_ABI + 1, .scheme = "otherabi"};
    return &driver;
}
