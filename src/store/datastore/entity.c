#include "store/datastore/entity.h"

#include "base/text.h"
#include "store/datastore/internal.h"
#include "store/datastore/value.h"

#include <string.h>

/* --- Reading a member --------------------------------------------------------------------------
 */

/* Anybody may have written it: a time of this era, so that one can be reckoned with it. */
static int64_t read_moment(const json_t *properties, const char *name, int64_t otherwise)
{
    const int64_t last_ms = 253402300799999; /* of the year 9999 */
    int64_t moment_ms = value_read_number(properties, name, otherwise);
    return moment_ms < 0 ? 0 : moment_ms > last_ms ? last_ms : moment_ms;
}

/* Keeps a text that was made. NULL: out of memory. */
static const char *keep(json_t *texts, json_t *text)
{
    return text != NULL && json_array_append_new(texts, text) == 0 ? json_string_value(text) : NULL;
}

/* The original's metadata, or the text that says it more exactly. NULL: out of memory. */
static const char *read_metadata(const json_t *properties, const json_t *own, json_t *texts)
{
    json_t *exact = NULL;
    if (!value_read_long_text(own, "metadata", &exact)) {
        return NULL;
    }
    if (exact != NULL) {
        return keep(texts, exact);
    }
    json_t *metadata = value_read_entity(properties, "metadata");
    if (metadata == NULL) {
        return "{}";
    }
    json_t *object = value_object(metadata);
    char *text = value_dump(object);
    json_decref(object);
    const char *kept = text == NULL ? NULL : keep(texts, json_string(text));
    free(text);
    return kept;
}

static const char *read_details(const json_t *own, json_t *texts)
{
    json_t *details = NULL;
    if (!value_read_long_text(own, "details", &details)) {
        return NULL;
    }
    return details == NULL ? "{}" : keep(texts, details);
}

/* Has a process of the original taken over what was one of ours? It writes a `created` of its own.
 */
static bool is_ours(const json_t *properties, const json_t *own)
{
    return own != NULL &&
           value_read_number(own, "created", 0) == value_read_number(properties, "created", 0);
}

static void read_ours(const json_t *own, comrade_own *to)
{
    to->incarnation = value_read_number(own, "incarnation", 1);
    to->sequence = value_read_number(own, "sequence", 0);
    to->state = stored_state(value_read_text(own, "state", ""));
    to->is_alive = value_read_truth(own, "alive", false);
    to->is_available = value_read_truth(own, "available", false);
    to->pid = value_read_number(own, "pid", 0);
    to->host = value_read_text(own, "host", "");
    to->version = value_read_text(own, "version", "");
}

/* One of the original's begins a life with its `created`, and is up as long as it says `alive`. */
static void read_originals(const json_t *properties, const json_t *own, comrade_own *to)
{
    int64_t before = value_read_number(own, "incarnation", 0);
    to->incarnation = to->created_ms > before ? to->created_ms : before + 1;
    to->is_alive = value_read_truth(properties, "alive", false);
    to->is_available = to->is_alive;
    to->state = to->is_alive ? COMRADE_STATE_UP : COMRADE_STATE_DRAINING;
    to->host = "";
    to->version = "";
}

static void read_request(const json_t *request, comrade_request *to)
{
    *to = (comrade_request){
        .revision = value_read_number(request, "revision", 0),
        .kind = (comrade_request_kind)value_read_number(request, "kind", COMRADE_REQUEST_NONE),
        .incarnation = value_read_number(request, "incarnation", 0),
        .zombified_incarnation = value_read_number(request, "zombifiedIncarnation", 0),
        .requested_ms = value_read_number(request, "requested", 0),
        .request_id = value_read_text(request, "requestId", ""),
        .user = value_read_text(request, "user", ""),
        .host = value_read_text(request, "host", ""),
        .database_user = "",
        .reason = value_read_text(request, "reason", ""),
    };
}

/* What the original has asked, which our request does not say, becomes part of it. */
static void read_originals_request(const json_t *properties, bool is_ours, comrade_record *record)
{
    comrade_request *request = &record->request;
    const comrade_own *own = &record->own;
    int64_t shutdown_ms = read_moment(properties, "shutdownDate", 0);
    bool is_explained = request->kind == COMRADE_REQUEST_KILL &&
                        request->incarnation == own->incarnation &&
                        request->requested_ms == shutdown_ms;
    bool is_zombified = is_ours && own->is_alive && !value_read_truth(properties, "alive", false);
    if (shutdown_ms != 0 && !is_explained) {
        int64_t zombified = request->zombified_incarnation;
        int64_t revision = request->revision;
        read_request(NULL, request);
        request->kind = COMRADE_REQUEST_KILL;
        request->incarnation = own->incarnation;
        request->requested_ms = shutdown_ms;
        request->zombified_incarnation = zombified;
        request->revision = stored_mint(revision + 1, shutdown_ms);
    }
    if (is_zombified && request->zombified_incarnation != own->incarnation) {
        request->zombified_incarnation = own->incarnation;
        request->revision++;
    }
}

static bool is_nameable(const char *name, size_t max_bytes)
{
    return name != NULL && name[0] != '\0' && strlen(name) <= max_bytes;
}

const char *entity_role(const json_t *entity)
{
    const char *id = datastore_key_name(json_object_get(entity, "key"));
    const char *role = value_read_text(json_object_get(entity, "properties"), ENTITY_ROLE, NULL);
    bool is_member =
        is_nameable(id, COMRADE_ID_MAX_BYTES) && is_nameable(role, COMRADE_ROLE_MAX_BYTES);
    return is_member ? role : NULL;
}

enum entity_kind entity_read(const json_t *entity, json_t *texts, comrade_record *record)
{
    const json_t *properties = json_object_get(entity, "properties");
    const json_t *own = value_read_entity(properties, "comradeOwn");
    bool ours = is_ours(properties, own);
    *record = (comrade_record){.id = datastore_key_name(json_object_get(entity, "key")),
                               .role = entity_role(entity)};
    if (record->role == NULL) {
        return ENTITY_NO_MEMBER;
    }
    record->own.created_ms = read_moment(properties, "created", 1);
    record->updated_ms = read_moment(properties, "updated", 0);
    if (ours) {
        read_ours(own, &record->own);
        record->updated_ms = value_read_time(properties, ENTITY_SERVER_UPDATED, record->updated_ms);
    } else {
        read_originals(properties, own, &record->own);
    }
    record->own.metadata = read_metadata(properties, ours ? own : NULL, texts);
    record->own.details = read_details(ours ? own : NULL, texts);
    read_request(value_read_entity(properties, "comradeRequest"), &record->request);
    read_originals_request(properties, ours, record);
    bool is_done = record->own.metadata != NULL && record->own.details != NULL;
    return is_done ? ENTITY_RECORD : ENTITY_NO_MEMORY;
}

/* --- Writing a member --------------------------------------------------------------------------
 */

/* False: out of memory. */
static bool put(json_t *properties, const char *name, json_t *value)
{
    return json_object_set_new(properties, name, value) == 0;
}

/* Is the text what anybody would make of the properties? Else it is kept beside them. */
static bool is_exact(json_t *properties, bool is_whole, const char *text)
{
    json_t *object = is_whole ? value_object(properties) : NULL;
    char *again = value_dump(object);
    bool is_same = again != NULL && strcmp(again, text) == 0;
    free(again);
    json_decref(object);
    return is_same;
}

/* Absent when empty, as the original has it. */
static bool put_metadata(json_t *properties, json_t *own, const char *text)
{
    json_t *object = json_loads(text, 0, NULL);
    bool is_whole = false;
    json_t *metadata = object == NULL ? NULL : value_properties(object, &is_whole);
    bool is_done = metadata != NULL;
    if (is_done && !is_exact(metadata, is_whole, text)) {
        is_done = put(own, "metadata", value_long_text(text));
    }
    json_object_del(properties, "metadata");
    if (json_object_size(metadata) > 0) {
        is_done = put(properties, "metadata", value_entity(json_incref(metadata))) && is_done;
    }
    json_decref(metadata);
    json_decref(object);
    return is_done;
}

static json_t *own_of(const comrade_own *own)
{
    json_t *properties = json_object();
    bool is_done = put(properties, "incarnation", value_number(own->incarnation)) &&
                   put(properties, "sequence", value_number(own->sequence)) &&
                   put(properties, "created", value_number(own->created_ms)) &&
                   put(properties, "state", value_text(comrade_state_name(own->state))) &&
                   put(properties, "alive", value_truth(own->is_alive)) &&
                   put(properties, "available", value_truth(own->is_available)) &&
                   put(properties, "pid", value_number(own->pid)) &&
                   put(properties, "host", value_text(own->host)) &&
                   put(properties, "version", value_text(own->version)) &&
                   (strcmp(own->details, "{}") == 0 ||
                    put(properties, "details", value_long_text(own->details)));
    if (!is_done) {
        json_decref(properties);
        return NULL;
    }
    return properties;
}

static json_t *request_of(const comrade_request *request)
{
    json_t *properties = json_object();
    const struct {
        const char *name;
        const char *text;
    } texts[] = {{"requestId", request->request_id},
                 {"user", request->user},
                 {"host", request->host},
                 {"reason", request->reason}};
    bool is_done =
        put(properties, "revision", value_number(request->revision)) &&
        put(properties, "kind", value_number(request->kind)) &&
        put(properties, "incarnation", value_number(request->incarnation)) &&
        put(properties, "zombifiedIncarnation", value_number(request->zombified_incarnation)) &&
        put(properties, "requested", value_number(request->requested_ms));
    for (size_t i = 0; i < sizeof texts / sizeof texts[0] && is_done; i++) {
        bool is_said = texts[i].text != NULL && texts[i].text[0] != '\0';
        is_done = !is_said || put(properties, texts[i].name, value_text(texts[i].text));
    }
    if (!is_done) {
        json_decref(properties);
        return NULL;
    }
    return properties;
}

/* What the original looks at to know whether it shall leave, and whether others shall call. */
static bool put_orders(json_t *properties, const comrade_record *record, bool is_ours)
{
    const comrade_own *own = &record->own;
    const comrade_request *request = &record->request;
    bool is_zombie = request->zombified_incarnation == own->incarnation;
    bool is_killed =
        request->kind == COMRADE_REQUEST_KILL && request->incarnation == own->incarnation;
    json_object_del(properties, "shutdownDate");
    return (!is_killed || put(properties, "shutdownDate", value_number(request->requested_ms))) &&
           (!(is_ours || is_zombie) ||
            put(properties, "alive", value_indexed(value_truth(own->is_alive && !is_zombie)))) &&
           (request->revision == 0 ||
            put(properties, "comradeRequest", value_entity(request_of(request))));
}

json_t *entity_write_own(const comrade_record *record, const json_t *before)
{
    json_t *properties = before == NULL ? json_object() : json_deep_copy(before);
    json_t *own = own_of(&record->own);
    json_object_del(properties, ENTITY_SERVER_UPDATED); /* `updated` says it, until the next one */
    bool is_done = properties != NULL && own != NULL &&
                   put(properties, ENTITY_ROLE, value_indexed(value_text(record->role))) &&
                   put(properties, "created", value_number(record->own.created_ms)) &&
                   put(properties, ENTITY_UPDATED, value_number(record->updated_ms)) &&
                   put_metadata(properties, own, record->own.metadata) &&
                   put_orders(properties, record, true) &&
                   put(properties, "comradeOwn", value_entity(json_incref(own)));
    json_decref(own);
    if (!is_done) {
        json_decref(properties);
        return NULL;
    }
    return properties;
}

json_t *entity_write_request(const comrade_record *record, const json_t *before)
{
    json_t *properties = json_deep_copy(before);
    bool ours = is_ours(before, value_read_entity(before, "comradeOwn"));
    if (properties == NULL || !put_orders(properties, record, ours)) {
        json_decref(properties);
        return NULL;
    }
    return properties;
}

/* --- Roles -------------------------------------------------------------------------------------
 */

bool stored_role_read(const json_t *properties, const char *name, struct stored_role *role)
{
    *role = (struct stored_role){
        .name = name,
        .revision = value_read_number(properties, "revision", 0),
        .spec_version = value_read_number(properties, "specVersion", 0),
    };
    const char *recent = value_read_text(properties, "recent", "");
    size_t len = strnlen(recent, sizeof role->recent - 1);
    memcpy(role->recent, recent, len);
    return value_read_long_text(properties, "spec", &role->spec);
}

json_t *stored_role_write(const struct stored_role *role)
{
    json_t *properties = json_object();
    bool is_done = put(properties, "revision", value_number(role->revision)) &&
                   put(properties, "specVersion", value_number(role->spec_version)) &&
                   put(properties, "recent", value_text(role->recent)) &&
                   (role->spec == NULL ||
                    put(properties, "spec", value_long_text(json_string_value(role->spec))));
    if (!is_done) {
        json_decref(properties);
        return NULL;
    }
    return properties;
}

const char *stored_role_spec(const struct stored_role *role)
{
    return role->spec == NULL ? "{}" : json_string_value(role->spec);
}

void stored_role_finish(struct stored_role *role)
{
    json_decref(role->spec);
    role->spec = NULL;
}
