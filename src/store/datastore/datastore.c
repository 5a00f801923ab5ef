/* The table of operations, opening and closing, and the one symbol of the module. */
#include "store/datastore/internal.h"

#include <stdlib.h>
#include <string.h>

static void close_store(comrade_store *store)
{
    if (store == NULL) {
        return;
    }
    http_free(store->http);
    credentials_free(store->credentials);
    kept_finish(&store->kept);
    free(store->orphan);
    place_finish(&store->place);
    free(store->shown_url);
    free(store);
}

/* Is anybody there, are we let in, is there such a project and database? What time is it there? */
static comrade_status knock(comrade_store *store, const comrade_call *call, comrade_error *error)
{
    json_t *found = json_array();
    json_t *keys = json_pack("[o]", datastore_key(store, DATASTORE_ROLES, "comrade"));
    comrade_status status = datastore_look_up(store, call, "open", keys, NULL, found, error);
    json_decref(found);
    return status;
}

static comrade_status fill(const comrade_store_config *config, comrade_store *store,
                           comrade_error *error)
{
    comrade_status status =
        place_read(config, getenv("DATASTORE_EMULATOR_HOST"), &store->place, error);
    if (status != COMRADE_OK) {
        return status;
    }
    store->wall_ms = config->wall_ms;
    store->wall_clock = config->clock;
    store->shown_url = strdup(config->shown_url);
    store->http = http_new();
    if (store->shown_url == NULL || store->http == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "%s: open: out of memory",
                                 config->shown_url);
    }
    return store->place.is_emulator ? COMRADE_OK
                                    : credentials_new(store->place.credentials, store->shown_url,
                                                      &store->credentials, error);
}

static comrade_status open_store(const comrade_store_config *config, const comrade_call *call,
                                 comrade_store **store, comrade_error *error)
{
    comrade_store *made = calloc(1, sizeof *made);
    comrade_status status = made == NULL
                                ? comrade_error_set(error, COMRADE_NO_MEMORY,
                                                    "%s: open: out of memory", config->shown_url)
                                : fill(config, made, error);
    if (status == COMRADE_OK) {
        status = knock(made, call, error);
    }
    if (status == COMRADE_OK) {
        *store = made;
    } else {
        close_store(made);
    }
    return status;
}

static comrade_status check_url(const comrade_store_config *config, comrade_error *error)
{
    struct place place = {0};
    comrade_status status = place_read(config, getenv("DATASTORE_EMULATOR_HOST"), &place, error);
    place_finish(&place);
    return status;
}

/* Nobody can tell in which namespaces it was used, and the members of the original are there, too.
 */
static comrade_status refuse_to_drop(comrade_store *store, const comrade_call *call,
                                     comrade_error *error)
{
    (void)call;
    const struct place *place = &store->place;
    const char *database = place->database[0] == '\0' ? "(default)" : place->database;
    return comrade_error_set(error, COMRADE_UNSUPPORTED,
                             "%s: remove the entities by hand, when nobody runs with them any "
                             "more: gcloud firestore bulk-delete --project='%s' --database='%s' "
                             "--namespace-ids='%s' --collection-ids='%s,%s" DATASTORE_ROLES
                             ",%s" DATASTORE_PROBES "'; it deletes the members of comrade 0.0.3 "
                             "as well",
                             store->shown_url, place->project, database, place->name_space,
                             place->kind, place->kind, place->kind);
}

const comrade_store_driver datastore_driver = {
    .abi = COMRADE_STORE_ABI,
    .scheme = "datastore",
    .open = open_store,
    .close = close_store,
    .heartbeat = datastore_heartbeat,
    .write = datastore_write,
    .snapshot = datastore_snapshot,
    .check = datastore_check,
    .set_up = datastore_need_knows, /* nothing is made; it is found out whether we may write */
    .drop = refuse_to_drop,
    .check_url = check_url,
};

COMRADE_API const comrade_store_driver *comrade_store_entry(void);

const comrade_store_driver *comrade_store_entry(void)
{
    return &datastore_driver;
}
