/* The table of operations, opening and closing, and the one symbol of the module. */
#include "store/postgres/internal.h"

#include <stdlib.h>
#include <string.h>

static void close_store(comrade_store *store)
{
    if (store == NULL) {
        return;
    }
    store->is_listening = false;
    PQfinish(store->connection); /* says goodbye, and does not wait for an answer */
    postgres_unwatch(store);
    postgres_forget_beats(store);
    free(store->url);
    free(store->shown_url);
    free(store->name_space);
    free(store->kind);
    free(store);
}

/* libpq takes anything else for the name of a database. */
static bool is_url(const char *url)
{
    return strncmp(url, "postgres://", strlen("postgres://")) == 0 ||
           strncmp(url, "postgresql://", strlen("postgresql://")) == 0;
}

static comrade_status check_url(const comrade_store_config *config, comrade_error *error)
{
    return is_url(config->url)
               ? COMRADE_OK
               : comrade_error_set(
                     error, COMRADE_INVALID,
                     "%s: write the store as postgres://USER@HOST:PORT/DATABASE; what is "
                     "left out comes from PGHOST, PGUSER and so on, and "
                     "postgres:///?service=NAME names a service",
                     config->shown_url);
}

static comrade_status open_store(const comrade_store_config *config, const comrade_call *call,
                                 comrade_store **store, comrade_error *error)
{
    comrade_status status = check_url(config, error);
    if (status != COMRADE_OK) {
        return status;
    }
    comrade_store *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "%s: open: out of memory",
                                 config->shown_url);
    }
    made->watch_fd = -1;
    made->signal_fd = -1;
    made->must_exist = config->must_exist;
    made->url = strdup(config->url);
    made->shown_url = strdup(config->shown_url);
    made->name_space = strdup(config->name_space);
    made->kind = strdup(config->kind);
    if (made->url == NULL || made->shown_url == NULL || made->name_space == NULL ||
        made->kind == NULL) {
        status = comrade_error_set(error, COMRADE_NO_MEMORY, "%s: open: out of memory",
                                   config->shown_url);
    } else {
        status = postgres_use(made, call, error);
    }
    if (status == COMRADE_OK) {
        *store = made;
    } else {
        close_store(made);
    }
    return status;
}

const comrade_store_driver postgres_driver = {
    .abi = COMRADE_STORE_ABI,
    .scheme = "postgres",
    .open = open_store,
    .close = close_store,
    .heartbeat = postgres_heartbeat,
    .write = postgres_write,
    .snapshot = postgres_snapshot,
    .watch = postgres_watch,
    .drain = postgres_drain,
    .check = postgres_check,
    .setup_text = postgres_setup_text,
    .set_up = postgres_set_up,
    .drop = postgres_remove,
    .check_url = check_url,
};

COMRADE_API const comrade_store_driver *comrade_store_entry(void);

const comrade_store_driver *comrade_store_entry(void)
{
    return &postgres_driver;
}
