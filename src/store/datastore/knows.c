/*
 * What a server knows is found out on an entity of our own, never assumed: one that took a mask for
 * nothing would replace a record by its heartbeat. An entity is made, changed through a mask, and
 * two changes are tried that must not succeed; then it is looked at, and removed. Six requests,
 * once for each store that is opened to be written to. Where one of them fails nothing has been
 * found out, and it begins anew, on the same entity.
 */
#include "store/datastore/internal.h"
#include "store/datastore/value.h"

#include "base/env.h"

#include <stdlib.h>
#include <string.h>

enum { ATTEMPTS_MAX = 6 };

static const char what[] = "find out what the server can do";

struct probe {
    comrade_store *store;
    const comrade_call *call;
    const char *name;
    bool is_made;
    int64_t version; /* of the entity, as it was made */
    enum api_code code;
    json_t *result; /* of the last mutation that was done */
};

/*
 * What came of it is in the probe. Google says that a commit fails whose base version is not the
 * server's, but not in which word.
 */
static comrade_status commit_once(struct probe *probe, bool is_single, enum api_code wanted,
                                  json_t *mutation, comrade_error *error)
{
    comrade_store *store = probe->store;
    json_t *body =
        is_single ? json_pack("{s:s,s:{s:{}},s:[O]}", "mode", "TRANSACTIONAL",
                              "singleUseTransaction", "readWrite", "mutations", mutation)
                  : json_pack("{s:s,s:[O]}", "mode", "NON_TRANSACTIONAL", "mutations", mutation);
    struct api_request request;
    comrade_status status =
        api_ask(store, probe->call, what, false, "commit", body, &request, error);
    json_decref(probe->result);
    probe->result =
        json_incref(json_array_get(json_object_get(request.answer, "mutationResults"), 0));
    probe->code = request.code;
    if (wanted == API_ABORTED && api_is_failed_precondition(&request)) {
        probe->code = API_ABORTED;
        store->knows.has_other_word = true;
        status = COMRADE_OK;
    }
    if (status == COMRADE_OK && request.code == API_NOT_FOUND) {
        status = datastore_explain(store, probe->call, what, false, &request, error);
    }
    api_finish(&request);
    return status;
}

/*
 * Commits one mutation, which it takes over. Others are not in its way; but a server may say
 * ABORTED for reasons of its own, and that tells nothing, unless it is wanted.
 */
static comrade_status commit(struct probe *probe, bool is_single, enum api_code wanted,
                             json_t *mutation, comrade_error *error)
{
    comrade_status status = mutation == NULL
                                ? datastore_no_memory(probe->store, what, error)
                                : commit_once(probe, is_single, wanted, mutation, error);
    for (unsigned n = 1;
         status == COMRADE_OK && probe->code == API_ABORTED && wanted != API_ABORTED &&
         n < ATTEMPTS_MAX && datastore_pause(probe->call, n);
         n++) {
        status = commit_once(probe, is_single, wanted, mutation, error);
    }
    json_decref(mutation);
    return status;
}

/* The same, where ABORTED can mean nothing about what the server knows. */
static comrade_status commit_plain(struct probe *probe, bool is_single, json_t *mutation,
                                   comrade_error *error)
{
    comrade_status status = commit(probe, is_single, API_OK, mutation, error);
    return status == COMRADE_OK && probe->code == API_ABORTED
               ? comrade_error_set(error, COMRADE_UNAVAILABLE,
                                   "%s: %s: the server said ABORTED again and again, and nothing "
                                   "was done; it is tried again",
                                   probe->store->shown_url, what)
               : status;
}

static json_t *entity(const struct probe *probe, json_t *properties)
{
    return json_pack("{s:o,s:o}", "key", datastore_key(probe->store, DATASTORE_PROBES, probe->name),
                     "properties", properties);
}

/* A mutation with the version that the entity had when it was made. */
static json_t *based(const struct probe *probe, json_t *mutation)
{
    char version[24];
    snprintf(version, sizeof version, "%lld", (long long)probe->version);
    if (json_object_set_new(mutation, "baseVersion", json_string(version)) != 0) {
        json_decref(mutation);
        return NULL;
    }
    return mutation;
}

static json_t *masked(const struct probe *probe, int64_t number)
{
    json_t *mutation = json_pack("{s:o,s:{s:[s]},s:[{s:s,s:s}]}", "update",
                                 entity(probe, json_pack("{s:o}", "changed", value_number(number))),
                                 "propertyMask", "paths", "changed", "propertyTransforms",
                                 "property", "time", "setToServerValue", "REQUEST_TIME");
    return based(probe, mutation);
}

/* Each step: false if the server is found not to know it, or on failure, which is in *status. */
static bool make(struct probe *probe, comrade_status *status, comrade_error *error)
{
    json_t *properties =
        json_pack("{s:o,s:o}", "changed", value_number(1), "kept", value_number(1));
    *status =
        commit_plain(probe, true, json_pack("{s:o}", "upsert", entity(probe, properties)), error);
    probe->is_made = *status == COMRADE_OK && probe->code == API_OK;
    probe->version = api_number(probe->result, "version");
    return probe->is_made && probe->version > 0;
}

static bool change_masked(struct probe *probe, comrade_status *status, comrade_error *error)
{
    *status = commit_plain(probe, false, masked(probe, 2), error);
    return *status == COMRADE_OK && probe->code == API_OK;
}

static bool keeps_servers_value(struct probe *probe, comrade_status *status, comrade_error *error)
{
    *status = commit(probe, false, API_OK, masked(probe, 3), error);
    return *status == COMRADE_OK && probe->code == API_OK &&
           json_is_true(json_object_get(probe->result, "conflictDetected"));
}

static bool fails_whole(struct probe *probe, comrade_status *status, comrade_error *error)
{
    json_t *mutation =
        json_pack("{s:o,s:s}", "delete", datastore_key(probe->store, DATASTORE_PROBES, probe->name),
                  "conflictResolutionStrategy", "FAIL");
    *status = commit(probe, true, API_ABORTED, based(probe, mutation), error);
    return *status == COMRADE_OK && probe->code == API_ABORTED;
}

/* What is left must be what was made, with what was changed through the mask. */
static bool is_as_meant(struct probe *probe, comrade_status *status, bool *has_time,
                        comrade_error *error)
{
    json_t *found = json_array();
    json_t *keys = json_pack("[o]", datastore_key(probe->store, DATASTORE_PROBES, probe->name));
    *status = datastore_look_up(probe->store, probe->call, what, keys, NULL, found, error);
    const json_t *properties =
        json_object_get(json_object_get(json_array_get(found, 0), "entity"), "properties");
    bool is_meant = value_read_number(properties, "kept", 0) == 1 &&
                    value_read_number(properties, "changed", 0) == 2;
    *has_time = value_read_time(properties, "time", 0) != 0;
    json_decref(found);
    return *status == COMRADE_OK && is_meant;
}

comrade_status datastore_need_knows(comrade_store *store, const comrade_call *call,
                                    comrade_error *error)
{
    char *orphan = store->orphan;
    store->orphan = NULL;
    datastore_roll_back(store, call, orphan);
    if (store->knows.is_asked) {
        return COMRADE_OK;
    }
    if (store->knows.probe[0] == '\0') {
        env_uuid(&env_system, store->knows.probe);
    }
    struct probe probe = {.store = store, .call = call, .name = store->knows.probe};
    comrade_status status = COMRADE_OK;
    bool has_time = false;
    bool knows_versions = make(&probe, &status, error) && change_masked(&probe, &status, error) &&
                          keeps_servers_value(&probe, &status, error) &&
                          fails_whole(&probe, &status, error) &&
                          is_as_meant(&probe, &status, &has_time, error);
    if (status == COMRADE_OK && probe.is_made) {
        json_t *key = datastore_key(store, DATASTORE_PROBES, probe.name);
        status = commit_plain(&probe, false, json_pack("{s:o}", "delete", key), error);
    }
    if (status == COMRADE_OK) {
        store->knows.is_asked = true;
        store->knows.versions = knows_versions;
        store->knows.transforms = knows_versions && has_time;
    }
    json_decref(probe.result);
    return status;
}
