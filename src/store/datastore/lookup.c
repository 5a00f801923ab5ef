/* Keys, and the reading of what they name. A single lookup shows one moment of all that it reads.
 */
#include "store/datastore/internal.h"

#include "base/env.h"

#include <stdlib.h>
#include <string.h>

enum { PAUSE_MS = 10, PAUSE_DOUBLINGS = 5, DEFERRALS_MAX = 100 };

json_t *datastore_partition(const comrade_store *store)
{
    const struct place *place = &store->place;
    json_t *partition = json_pack("{s:s}", "projectId", place->project);
    if (partition != NULL && place->database[0] != '\0') {
        json_object_set_new(partition, "databaseId", json_string(place->database));
    }
    if (partition != NULL && place->name_space[0] != '\0') {
        json_object_set_new(partition, "namespaceId", json_string(place->name_space));
    }
    return partition;
}

json_t *datastore_key(const comrade_store *store, const char *suffix, const char *name)
{
    return json_pack("{s:o,s:[{s:s+,s:o}]}", "partitionId", datastore_partition(store), "path",
                     "kind", store->place.kind, suffix, "name", datastore_name(name));
}

/* __…__, and any number of blanks behind it. */
static bool is_like_reserved(const char *name, size_t len)
{
    while (len > 0 && name[len - 1] == ' ') {
        len--;
    }
    return len >= 4 && memcmp(name, "__", 2) == 0 && memcmp(name + len - 2, "__", 2) == 0;
}

json_t *datastore_name(const char *name)
{
    return is_like_reserved(name, strlen(name)) ? json_sprintf("%s ", name) : json_string(name);
}

void datastore_restore_name(json_t *result)
{
    json_t *entity = json_object_get(result, "entity");
    json_t *path = json_object_get(json_object_get(entity, "key"), "path");
    json_t *last = json_array_get(path, 0);
    const char *name = datastore_key_name(json_object_get(entity, "key"));
    size_t len = name == NULL ? 0 : strlen(name);
    if (len > 0 && name[len - 1] == ' ' && is_like_reserved(name, len)) {
        json_object_set_new(last, "name", json_stringn(name, len - 1));
    }
}

const char *datastore_key_name(const json_t *key)
{
    const json_t *path = json_object_get(key, "path");
    return json_array_size(path) != 1
               ? NULL
               : json_string_value(json_object_get(json_array_get(path, 0), "name"));
}

/* The next keys, as many as one request takes. */
static json_t *next_keys(json_t *keys)
{
    json_t *some = json_array();
    for (size_t n = 0; n < DATASTORE_KEYS_MAX && json_array_size(keys) > 0; n++) {
        size_t last = json_array_size(keys) - 1;
        json_array_append(some, json_array_get(keys, last));
        json_array_remove(keys, last);
    }
    return some;
}

static json_t *read_options(bool must_begin, const char *transaction)
{
    if (transaction != NULL) {
        return json_pack("{s:s}", "transaction", transaction);
    }
    return must_begin ? json_pack("{s:{s:{}}}", "newTransaction", "readWrite")
                      : json_pack("{s:s}", "readConsistency", "STRONG");
}

static void take_found(json_t *results, json_t *found)
{
    size_t i;
    json_t *result;
    json_array_foreach(results, i, result)
    {
        datastore_restore_name(result);
        json_array_append(found, result);
    }
}

static comrade_status look_up_some(comrade_store *store, const comrade_call *call, const char *what,
                                   json_t *keys, char **transaction, json_t *found,
                                   comrade_error *error)
{
    const char *name = transaction == NULL ? NULL : *transaction;
    json_t *body = json_pack("{s:o,s:o}", "keys", next_keys(keys), "readOptions",
                             read_options(transaction != NULL && name == NULL, name));
    if (body != NULL && store->place.database[0] != '\0') {
        json_object_set_new(body, "databaseId", json_string(store->place.database));
    }
    struct api_request request;
    comrade_status status = api_ask(store, call, what, false, "lookup", body, &request, error);
    if (status == COMRADE_OK && request.code != API_OK) {
        status = datastore_explain(store, call, what, false, &request, error);
    }
    bool is_done = true;
    if (status == COMRADE_OK) {
        take_found(json_object_get(request.answer, "found"), found);
        json_array_extend(keys, json_object_get(request.answer, "deferred"));
        const char *begun = api_text(request.answer, "transaction");
        if (transaction != NULL && name == NULL && begun[0] != '\0') {
            *transaction = strdup(begun);
            is_done = *transaction != NULL;
        }
    }
    api_finish(&request);
    return is_done ? status : datastore_no_memory(store, what, error);
}

comrade_status datastore_look_up(comrade_store *store, const comrade_call *call, const char *what,
                                 json_t *keys, char **transaction, json_t *found,
                                 comrade_error *error)
{
    comrade_status status =
        keys == NULL || found == NULL ? datastore_no_memory(store, what, error) : COMRADE_OK;
    size_t limit = json_array_size(keys) / DATASTORE_KEYS_MAX + DEFERRALS_MAX;
    for (size_t n = 0; json_array_size(keys) > 0 && status == COMRADE_OK; n++) {
        status = n == limit ? comrade_error_set(error, COMRADE_UNAVAILABLE,
                                                "%s: %s: the server puts it off again and again",
                                                store->shown_url, what)
                            : look_up_some(store, call, what, keys, transaction, found, error);
    }
    json_decref(keys);
    return status;
}

void datastore_roll_back(comrade_store *store, const comrade_call *call, char *transaction)
{
    if (transaction == NULL) {
        return;
    }
    json_t *body = json_pack("{s:s}", "transaction", transaction);
    if (body != NULL && store->place.database[0] != '\0') {
        json_object_set_new(body, "databaseId", json_string(store->place.database));
    }
    struct api_request request;
    comrade_status status =
        api_ask(store, call, "end a transaction", false, "rollback", body, &request, NULL);
    bool is_reached = status == COMRADE_OK || request.http_status != 0;
    api_finish(&request);
    char *ended = is_reached ? transaction : store->orphan;
    store->orphan = is_reached ? store->orphan : transaction;
    free(ended);
}

bool datastore_pause(const comrade_call *call, unsigned attempt)
{
    unsigned doublings = attempt < PAUSE_DOUBLINGS ? attempt : PAUSE_DOUBLINGS;
    int64_t longest_ms = (int64_t)PAUSE_MS << doublings;
    comrade_call pause = *call;
    pause.deadline_ms =
        call->now_ms(call->clock) + env_random_between(&env_system, longest_ms / 2, longest_ms);
    if (pause.deadline_ms < call->deadline_ms) {
        comrade_call_wait(&pause, -1, 0);
        return !comrade_call_is_over(call);
    }
    return false;
}
