/* The least that can be loaded: a store that cannot be reached. */
#include <comrade/store.h>

COMRADE_API const comrade_store_driver *comrade_store_entry(void);

static comrade_status fail_to_open(const comrade_store_config *config, const comrade_call *call,
                                   comrade_store **store, comrade_error *error)
{
    (void)store;
    return comrade_error_set(error, COMRADE_UNAVAILABLE, "%s: nobody there%s", config->shown_url,
                             comrade_call_is_over(call) ? ", and too late" : "");
}

const comrade_store_driver *comrade_store_entry(void)
{
    static const comrade_store_driver driver = {
        .abi = COMRADE_STORE_ABI, .scheme = "outsider", .open = fail_to_open};
    return &driver;
}
