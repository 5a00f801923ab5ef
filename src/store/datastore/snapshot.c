/*
 * Reading members and roles. Every query is strongly consistent, outside of any transaction: one
 * that reads a role's members in a transaction would lock them, and stall their heartbeats.
 *
 * A first page reads its roles before its members, so that no decision is made on members that are
 * older than the revision it will be checked by. A page that goes on reads them after its members,
 * so that a revision which is still the same says that nothing has moved since the first page.
 *
 * Between pages the role and the id lead on: a cursor of the server's has no limit to its length,
 * and ours has.
 */
#include "store/datastore/entity.h"
#include "store/datastore/query.h"

#include <stdlib.h>
#include <string.h>

enum {
    MOVES_MAX = 4,          /* of members from role to role, while they are looked up */
    PAGE_MEMBERS = 1000,    /* a page ends soon after so many: each has its own time */
    CLOCKS_APART_MS = 2000, /* a member's and the server's, and nothing is wrong */
};

struct reading {
    comrade_store *store;
    const comrade_call *call;
    const comrade_snapshot_query *query;
    size_t limit;
    size_t first_id; /* SCOPE_IDS: of the page; and the one behind its last */
    size_t end_id;
    json_t *members; /* entities, in their order; at most `limit`, and one more */
    json_t *roles;   /* name → properties, or null where it was never written */
    json_t *texts;
};

/* Which of the entities that a query finds are of use. */
static bool is_any(const json_t *entity)
{
    return entity != NULL;
}

static bool is_member(const json_t *entity)
{
    return entity_role(entity) != NULL;
}

/* --- Members -----------------------------------------------------------------------------------
 */

static comrade_status read_role_members(struct reading *reading, const char *role,
                                        const char *after, comrade_error *error)
{
    comrade_store *store = reading->store;
    json_t *filter = query_role_filter("EQUAL", role);
    if (after != NULL) {
        filter = query_and(filter, query_id_filter(store, after));
    }
    json_t *query = query_with(query_new(store, DATASTORE_MEMBERS, QUERY_BY_KEY), filter);
    return query_run(store, reading->call, query, reading->limit + 1, is_member, reading->members,
                     error);
}

static comrade_status read_all_members(struct reading *reading, const char *role_after,
                                       comrade_error *error)
{
    comrade_store *store = reading->store;
    json_t *query = query_new(store, DATASTORE_MEMBERS, QUERY_BY_ROLE);
    if (role_after != NULL) {
        query = query_with(query, query_role_filter("GREATER_THAN", role_after));
    }
    return query_run(store, reading->call, query, reading->limit + 1, is_member, reading->members,
                     error);
}

static comrade_status read_members(struct reading *reading, const comrade_cursor *from,
                                   comrade_error *error)
{
    const char *after = from->is_continued ? from->id : NULL;
    if (reading->query->scope == COMRADE_SCOPE_ROLE) {
        return read_role_members(reading, reading->query->role, after, error);
    }
    comrade_status status = COMRADE_OK;
    if (from->is_continued) { /* the rest of its role, and then those behind it */
        status = read_role_members(reading, from->role, after, error);
    }
    if (status == COMRADE_OK && json_array_size(reading->members) <= reading->limit) {
        status = read_all_members(reading, from->is_continued ? from->role : NULL, error);
    }
    return status;
}

/* --- Roles -------------------------------------------------------------------------------------
 */

/* False: out of memory. */
static bool add_role(struct reading *reading, const json_t *entity)
{
    const char *name = datastore_key_name(json_object_get(entity, "key"));
    json_t *properties = json_object_get(entity, "properties");
    return name == NULL || !json_is_object(properties) ||
           json_object_set(reading->roles, name, properties) == 0;
}

static comrade_status read_all_roles(struct reading *reading, comrade_error *error)
{
    comrade_store *store = reading->store;
    json_t *entities = json_array();
    json_t *query = query_new(store, DATASTORE_ROLES, QUERY_BY_KEY);
    comrade_status status = query_run(store, reading->call, query, 0, is_any, entities, error);
    size_t i;
    const json_t *entity;
    bool is_done = true;
    json_array_foreach(entities, i, entity)
    {
        is_done = is_done && add_role(reading, entity);
    }
    json_decref(entities);
    return status == COMRADE_OK && !is_done ? datastore_no_memory(reading->store, "read", error)
                                            : status;
}

/* Adds to `roles` what a lookup found, and to `members` the rest. False: out of memory. */
static bool sort_found(struct reading *reading, const json_t *found)
{
    size_t i;
    const json_t *result;
    bool is_done = true;
    json_array_foreach(found, i, result)
    {
        json_t *entity = json_object_get(result, "entity");
        const json_t *path = json_object_get(json_object_get(entity, "key"), "path");
        const char *kind = api_text(json_array_get(path, 0), "kind");
        bool is_role = strcmp(kind, reading->store->place.kind) != 0;
        is_done = is_done && (is_role ? add_role(reading, entity)
                                      : json_array_append(reading->members, entity) == 0);
    }
    return is_done;
}

static comrade_status look_up(struct reading *reading, json_t *keys, comrade_error *error)
{
    json_t *found = json_array();
    comrade_status status =
        datastore_look_up(reading->store, reading->call, "read", keys, NULL, found, error);
    if (status == COMRADE_OK && !sort_found(reading, found)) {
        status = datastore_no_memory(reading->store, "read", error);
    }
    json_decref(found);
    return status;
}

/* Makes a place for the role of each member, in `roles`: null until it is looked up. */
static bool name_roles(struct reading *reading)
{
    size_t i;
    const json_t *entity;
    bool is_done = true;
    json_array_foreach(reading->members, i, entity)
    {
        const char *role = entity_role(entity);
        if (role != NULL && json_object_get(reading->roles, role) == NULL) {
            is_done = is_done && json_object_set_new(reading->roles, role, json_null()) == 0;
        }
    }
    return is_done;
}

/* Those that have a place in `roles`, and what `keys` name, which it takes over. */
static comrade_status look_roles_up(struct reading *reading, json_t *keys, comrade_error *error)
{
    const char *name;
    json_t *properties;
    bool is_done = keys != NULL;
    json_object_foreach(reading->roles, name, properties)
    {
        is_done = is_done && json_array_append_new(
                                 keys, datastore_key(reading->store, DATASTORE_ROLES, name)) == 0;
    }
    if (!is_done) {
        json_decref(keys);
        return datastore_no_memory(reading->store, "read", error);
    }
    return look_up(reading, keys, error);
}

/* The ids of a page: the next `limit` of those that are asked for. NULL: out of memory. */
static json_t *keys_of_ids(const struct reading *reading)
{
    json_t *keys = json_array();
    bool is_done = true;
    for (size_t i = reading->first_id; i < reading->end_id && is_done; i++) {
        is_done = json_array_append_new(keys, datastore_key(reading->store, DATASTORE_MEMBERS,
                                                            reading->query->ids[i])) == 0;
    }
    if (!is_done) {
        json_decref(keys);
        return NULL;
    }
    return keys;
}

/*
 * By ids: the first lookup tells which roles there are to be looked up, and the second one reads
 * everything, as of one moment.
 */
static comrade_status read_ids(struct reading *reading, const comrade_cursor *from,
                               comrade_error *error)
{
    size_t n_ids = reading->query->n_ids;
    while (from->is_continued && reading->first_id < n_ids &&
           strcmp(reading->query->ids[reading->first_id], from->id) <= 0) {
        reading->first_id++;
    }
    size_t left = n_ids - reading->first_id;
    reading->end_id = reading->first_id + (left < reading->limit ? left : reading->limit);
    comrade_status status = look_up(reading, keys_of_ids(reading), error);
    for (unsigned n = 0; status == COMRADE_OK && n < MOVES_MAX; n++) {
        size_t n_roles = json_object_size(reading->roles);
        if (!name_roles(reading)) {
            return datastore_no_memory(reading->store, "read", error);
        }
        if (json_object_size(reading->roles) == n_roles) {
            break;
        }
        json_array_clear(reading->members);
        status = look_roles_up(reading, keys_of_ids(reading), error);
    }
    return status;
}

static comrade_status read_page(struct reading *reading, const comrade_cursor *from,
                                comrade_error *error)
{
    const comrade_snapshot_query *query = reading->query;
    comrade_status status = COMRADE_OK;
    if (query->scope == COMRADE_SCOPE_ROLE &&
        json_object_set_new(reading->roles, query->role, json_null()) != 0) {
        return datastore_no_memory(reading->store, "read", error);
    }
    if (query->scope == COMRADE_SCOPE_IDS && !query->roles_only) {
        return read_ids(reading, from, error);
    }
    if (!from->is_continued) {
        status = query->scope == COMRADE_SCOPE_ALL ? read_all_roles(reading, error)
                                                   : look_roles_up(reading, json_array(), error);
    }
    if (status != COMRADE_OK || query->roles_only) {
        return status;
    }
    status = read_members(reading, from, error);
    if (status == COMRADE_OK && !name_roles(reading)) {
        status = datastore_no_memory(reading->store, "read", error);
    }
    if (status == COMRADE_OK && from->is_continued) {
        status = look_roles_up(reading, json_array(), error);
    }
    return status;
}

/* --- Telling -----------------------------------------------------------------------------------
 */

static comrade_status tell_role(const comrade_snapshot_sink *sink, const char *name,
                                const json_t *properties)
{
    struct stored_role stored;
    if (!stored_role_read(json_is_object(properties) ? properties : NULL, name, &stored)) {
        return COMRADE_NO_MEMORY;
    }
    char recent[RECENT_TEXT_SIZE];
    const char *ids[COMRADE_RECENT_REQUESTS];
    memcpy(recent, stored.recent, sizeof recent);
    comrade_role role = {.role = name,
                         .revision = stored.revision,
                         .spec_version = stored.spec_version,
                         .spec = stored_role_spec(&stored),
                         .recent_request_ids = ids,
                         .n_recent_request_ids = recent_text_split(recent, ids)};
    comrade_status status = sink->on_role(sink->user, &role);
    stored_role_finish(&stored);
    return status;
}

static comrade_status tell_roles(const struct reading *reading, const comrade_snapshot_sink *sink)
{
    comrade_status status = COMRADE_OK;
    const char *name;
    json_t *properties;
    json_object_foreach(reading->roles, name, properties)
    {
        if (status == COMRADE_OK && strlen(name) <= COMRADE_ROLE_MAX_BYTES) {
            status = tell_role(sink, name, properties);
        }
    }
    return status;
}

static void set_next(const char *id, const char *role, comrade_snapshot_page *page)
{
    page->has_more = true;
    page->next.is_continued = true;
    memset(page->next.id, 0, sizeof page->next.id);
    memset(page->next.role, 0, sizeof page->next.role);
    memcpy(page->next.id, id, strlen(id));
    memcpy(page->next.role, role, strlen(role));
}

/*
 * A time that a member wrote, by its own clock or by its estimate of the server's, may be a little
 * ahead of ours: then it is that late, and its heartbeat is not one from the future, which would be
 * no health.
 */
static int64_t now_by(int64_t updated_ms, int64_t now_ms, int64_t estimate_ms)
{
    bool is_later = updated_ms > now_ms && updated_ms - estimate_ms <= CLOCKS_APART_MS;
    return is_later ? updated_ms : now_ms;
}

static comrade_status tell_members(const struct reading *reading, const comrade_snapshot_sink *sink,
                                   comrade_snapshot_page *page)
{
    comrade_status status = COMRADE_OK;
    const comrade_snapshot_query *query = reading->query;
    bool is_paged = query->scope != COMRADE_SCOPE_IDS;
    size_t n = json_array_size(reading->members);
    int64_t estimate_ms = page->now_ms;
    for (size_t i = 0; i < n && status == COMRADE_OK; i++) {
        bool is_last = is_paged && i + 1 == reading->limit;
        comrade_record record;
        enum entity_kind kind =
            entity_read(json_array_get(reading->members, i), reading->texts, &record);
        if (kind == ENTITY_NO_MEMORY) {
            return COMRADE_NO_MEMORY;
        }
        if (kind == ENTITY_RECORD) {
            page->now_ms = now_by(record.updated_ms, page->now_ms, estimate_ms);
            status = sink->on_record(sink->user, &record);
        }
        if (is_last && i + 1 < n) {
            set_next(record.id, record.role, page);
            break;
        }
    }
    if (!is_paged && reading->end_id < query->n_ids) {
        set_next(query->ids[reading->end_id - 1], "", page);
    }
    return status;
}

comrade_status datastore_snapshot(comrade_store *store, const comrade_call *call,
                                  const comrade_snapshot_query *query, const comrade_cursor *from,
                                  const comrade_snapshot_sink *sink, comrade_snapshot_page *page,
                                  comrade_error *error)
{
    struct reading reading = {.store = store,
                              .call = call,
                              .query = query,
                              .limit = query->limit < PAGE_MEMBERS ? query->limit : PAGE_MEMBERS,
                              .members = json_array(),
                              .roles = json_object(),
                              .texts = json_array()};
    static const comrade_cursor beginning = {0};
    comrade_snapshot_page made = {0};
    comrade_status status =
        reading.members == NULL || reading.roles == NULL || reading.texts == NULL
            ? datastore_no_memory(store, "read", error)
            : read_page(&reading, from == NULL ? &beginning : from, error);
    if (status == COMRADE_OK) {
        made.now_ms = datastore_now_ms(store, call);
        status = tell_roles(&reading, sink);
        if (status == COMRADE_OK && !query->roles_only) {
            status = tell_members(&reading, sink, &made);
        }
        if (status == COMRADE_OK) {
            *page = made;
        } else {
            comrade_error_set(error, status, "%s: read: %s", store->shown_url,
                              comrade_status_text(status));
        }
    }
    json_decref(reading.members);
    json_decref(reading.roles);
    json_decref(reading.texts);
    return status;
}
