/* A store whose owner has rights of his own, and that cannot be reached: what needs no connection
   works all the same. */
#include <comrade/store.h>

COMRADE_API const comrade_store_driver *comrade_store_entry(void);

static comrade_status fail_to_open(const comrade_store_config *config, const comrade_call *call,
                                   comrade_store **store, comrade_error *error)
{
    (void)call;
    (void)store;
    return comrade_error_set(error, COMRADE_UNAVAILABLE, "%s: nobody there", config->shown_url);
}

static void close_nothing(comrade_store *store)
{
    (void)store;
}

static void setup_text(void (*on_text)(void *user, const char *text), void *user)
{
    on_text(user, "CREATE SCHEMA comrade;\n");
    on_text(user, "-- and what else there is\n");
}

const comrade_store_driver *comrade_store_entry(void)
{
    static const comrade_store_driver driver = {.abi = COMRADE_STORE_ABI,
                                                .scheme = "owned",
                                                .open = fail_to_open,
                                                .close = close_nothing,
                                                .setup_text = setup_text};
    return &driver;
}
