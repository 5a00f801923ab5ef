/* The first half of a batch of writes: what is there of all that they name. */
#include "store/datastore/write.h"

#include <stdlib.h>
#include <string.h>

static int compare(enum held_kind kind, const char *name, const struct held *held)
{
    return kind == held->kind ? strcmp(name, held->name) : (int)kind - (int)held->kind;
}

/* Where it is, or would be. */
static size_t place_of(const struct batch *batch, enum held_kind kind, const char *name)
{
    size_t low = 0;
    size_t high = batch->n_held;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare(kind, name, &batch->held[middle]) > 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct held *batch_held(const struct batch *batch, enum held_kind kind, const char *name)
{
    size_t place = place_of(batch, kind, name);
    bool is_there = place < batch->n_held && compare(kind, name, &batch->held[place]) == 0;
    return is_there ? &batch->held[place] : NULL;
}

/* False: out of memory. */
static bool hold(struct batch *batch, enum held_kind kind, const char *name)
{
    if (batch_held(batch, kind, name) != NULL) {
        return true;
    }
    if (batch->n_held == batch->held_capacity) {
        size_t capacity = batch->held_capacity == 0 ? 8 : batch->held_capacity * 2;
        struct held *held = reallocarray(batch->held, capacity, sizeof *held);
        if (held == NULL) {
            return false;
        }
        batch->held = held;
        batch->held_capacity = capacity;
    }
    size_t place = place_of(batch, kind, name);
    memmove(&batch->held[place + 1], &batch->held[place],
            (batch->n_held - place) * sizeof batch->held[0]);
    batch->held[place] = (struct held){.kind = kind, .name = name, .role = {.name = name}};
    batch->n_held++;
    return true;
}

static bool hold_all(struct batch *batch)
{
    bool is_done = true;
    for (size_t i = 0; i < batch->n_writes && is_done; i++) {
        const comrade_write *write = &batch->writes[i];
        is_done = hold(batch, HELD_ROLE, write->role);
        for (size_t k = 0; k < write->n_changes && is_done; k++) {
            is_done = write->changes[k].kind == COMRADE_PUT_SPEC ||
                      hold(batch, HELD_MEMBER, write->changes[k].id);
        }
    }
    return is_done;
}

static const char *suffix_of(enum held_kind kind)
{
    return kind == HELD_ROLE ? DATASTORE_ROLES : DATASTORE_MEMBERS;
}

static bool take_found(struct batch *batch, const json_t *result)
{
    json_t *entity = json_object_get(result, "entity");
    const json_t *key = json_object_get(entity, "key");
    const char *name = datastore_key_name(key);
    const char *kind = api_text(json_array_get(json_object_get(key, "path"), 0), "kind");
    bool is_member = strcmp(kind, batch->store->place.kind) == 0;
    struct held *held =
        name == NULL ? NULL : batch_held(batch, is_member ? HELD_MEMBER : HELD_ROLE, name);
    if (held == NULL) {
        return true; /* nobody asked for it */
    }
    held->version = api_number(result, "version");
    held->properties = json_incref(json_object_get(entity, "properties"));
    if (!is_member) {
        return stored_role_read(held->properties, held->name, &held->role);
    }
    /* The key's name ends with the answer. */
    if (json_array_append(batch->texts, entity) != 0) {
        return false;
    }
    enum entity_kind read = entity_read(entity, batch->texts, &held->record);
    held->is_member = read == ENTITY_RECORD;
    return read != ENTITY_NO_MEMORY;
}

/* Looks up what is held from `from` on, which is every such that has not been looked up. */
static comrade_status look_up(struct batch *batch, const comrade_call *call, json_t *keys,
                              comrade_error *error)
{
    json_t *found = json_array();
    comrade_status status =
        datastore_look_up(batch->store, call, "write", keys,
                          batch->must_lock ? &batch->transaction : NULL, found, error);
    size_t i;
    const json_t *result;
    bool is_done = true;
    json_array_foreach(found, i, result)
    {
        is_done = is_done && take_found(batch, result);
    }
    json_decref(found);
    return status == COMRADE_OK && !is_done ? datastore_no_memory(batch->store, "write", error)
                                            : status;
}

/* Roles that members leave by these writes: their revisions change, too. */
static comrade_status find_left(struct batch *batch, const comrade_call *call, comrade_error *error)
{
    json_t *keys = json_array();
    bool is_done = keys != NULL;
    for (size_t i = 0; i < batch->n_held && is_done; i++) {
        const struct held *held = &batch->held[i];
        const char *role = held->is_member ? held->record.role : NULL;
        if (role != NULL && batch_held(batch, HELD_ROLE, role) == NULL) {
            is_done = hold(batch, HELD_ROLE, role) &&
                      json_array_append_new(
                          keys, datastore_key(batch->store, DATASTORE_ROLES, role)) == 0;
            i = 0; /* what is held has moved */
        }
    }
    if (!is_done || json_array_size(keys) == 0) {
        json_decref(keys);
        return is_done ? COMRADE_OK : datastore_no_memory(batch->store, "write", error);
    }
    return look_up(batch, call, keys, error);
}

comrade_status batch_find(struct batch *batch, const comrade_call *call, comrade_error *error)
{
    batch->texts = json_array();
    json_t *keys = json_array();
    bool is_done = batch->texts != NULL && keys != NULL && hold_all(batch);
    for (size_t i = 0; i < batch->n_held && is_done; i++) {
        json_t *key =
            datastore_key(batch->store, suffix_of(batch->held[i].kind), batch->held[i].name);
        is_done = json_array_append_new(keys, key) == 0;
    }
    if (!is_done) {
        json_decref(keys);
        return datastore_no_memory(batch->store, "write", error);
    }
    comrade_status status = look_up(batch, call, keys, error);
    if (status == COMRADE_OK) {
        status = find_left(batch, call, error);
    }
    batch->now_ms = datastore_now_ms(batch->store, call);
    return status;
}

void batch_finish(struct batch *batch)
{
    for (size_t i = 0; i < batch->n_held; i++) {
        json_decref(batch->held[i].properties);
        stored_role_finish(&batch->held[i].role);
    }
    free(batch->held);
    json_decref(batch->texts);
    free(batch->transaction);
    batch->held = NULL;
    batch->n_held = batch->held_capacity = 0;
    batch->texts = NULL;
    batch->transaction = NULL;
}
