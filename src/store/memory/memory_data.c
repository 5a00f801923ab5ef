#include "store/memory/memory_data.h"

#include "core/stored.h"

#include <stdlib.h>
#include <string.h>

/* --- Entries and roles ------------------------------------------------------------------------ */

static void entry_free(struct memory_entry *entry)
{
    if (entry != NULL) {
        arena_finish(&entry->arena);
        free(entry);
    }
}

static struct memory_entry *entry_new(const comrade_record *record)
{
    struct memory_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return NULL;
    }
    entry->record = *record;
    comrade_record *copy = &entry->record;
    const char **texts[] = {
        &copy->id,
        &copy->role,
        &copy->own.host,
        &copy->own.version,
        &copy->own.metadata,
        &copy->own.details,
        &copy->request.user,
        &copy->request.host,
        &copy->request.database_user,
        &copy->request.reason,
        &copy->request.request_id,
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        *texts[i] = arena_copy_text(&entry->arena, *texts[i] == NULL ? "" : *texts[i]);
        if (*texts[i] == NULL) {
            entry_free(entry);
            return NULL;
        }
    }
    return entry;
}

void memory_data_finish(struct memory_data *data)
{
    for (size_t i = 0; i < data->n_entries; i++) {
        entry_free(data->entries[i]);
    }
    for (size_t i = 0; i < data->n_roles; i++) {
        free(data->roles[i].role);
        free(data->roles[i].spec);
    }
    free(data->entries);
    free(data->roles);
    *data = (struct memory_data){0};
}

static size_t place_of(const struct memory_data *data, const char *id)
{
    size_t low = 0;
    size_t high = data->n_entries;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(data->entries[middle]->record.id, id) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct memory_entry *memory_data_find(const struct memory_data *data, const char *id)
{
    size_t place = place_of(data, id);
    bool is_there = place < data->n_entries && strcmp(data->entries[place]->record.id, id) == 0;
    return is_there ? data->entries[place] : NULL;
}

struct memory_role *memory_data_find_role(const struct memory_data *data, const char *role)
{
    for (size_t i = 0; i < data->n_roles; i++) {
        if (strcmp(data->roles[i].role, role) == 0) {
            return &data->roles[i];
        }
    }
    return NULL;
}

/* Makes the role if need be, sorted in. NULL when out of memory. */
static struct memory_role *need_role(struct memory_data *data, const char *name)
{
    struct memory_role *found = memory_data_find_role(data, name);
    if (found != NULL) {
        return found;
    }
    struct memory_role made = {.role = strdup(name), .spec = strdup("{}")};
    struct memory_role *roles = realloc(data->roles, (data->n_roles + 1) * sizeof *roles);
    if (roles != NULL) {
        data->roles = roles;
    }
    if (roles == NULL || made.role == NULL || made.spec == NULL) {
        free(made.role);
        free(made.spec);
        return NULL;
    }
    size_t place = data->n_roles;
    while (place > 0 && strcmp(roles[place - 1].role, name) > 0) {
        roles[place] = roles[place - 1];
        place--;
    }
    roles[place] = made;
    data->n_roles++;
    return &roles[place];
}

bool memory_data_copy(const struct memory_data *from, struct memory_data *to)
{
    struct memory_data copy = {.specs_revision = from->specs_revision};
    copy.entries = calloc(from->n_entries + 1, sizeof(struct memory_entry *));
    copy.entries_capacity = from->n_entries + 1;
    copy.roles = calloc(from->n_roles + 1, sizeof *copy.roles);
    bool is_done = copy.entries != NULL && copy.roles != NULL;
    for (size_t i = 0; is_done && i < from->n_entries; i++) {
        copy.entries[i] = entry_new(&from->entries[i]->record);
        is_done = copy.entries[i] != NULL;
        copy.n_entries += is_done ? 1 : 0;
    }
    for (size_t i = 0; is_done && i < from->n_roles; i++) {
        copy.roles[i] = from->roles[i];
        copy.roles[i].role = strdup(from->roles[i].role);
        copy.roles[i].spec = strdup(from->roles[i].spec);
        copy.n_roles++;
        is_done = copy.roles[i].role != NULL && copy.roles[i].spec != NULL;
    }
    if (!is_done) {
        memory_data_finish(&copy);
        return false;
    }
    *to = copy;
    return true;
}

/* --- What a change does ----------------------------------------------------------------------- */

static struct stored stored_of(const struct memory_entry *entry)
{
    struct stored absent = {0};
    if (entry == NULL) {
        return absent;
    }
    const comrade_record *record = &entry->record;
    return (struct stored){.is_there = true,
                           .incarnation = record->own.incarnation,
                           .sequence = record->own.sequence,
                           .request_revision = record->request.revision,
                           .updated_ms = record->updated_ms,
                           .created_ms = record->own.created_ms};
}

/* What would come of the change: OK, or why the whole write does nothing. */
static comrade_status judge(const struct memory_data *data, const comrade_write *write,
                            const comrade_change *change)
{
    if (change->kind == COMRADE_PUT_SPEC) {
        const struct memory_role *role = memory_data_find_role(data, write->role);
        int64_t version = role == NULL ? 0 : role->spec_version;
        return stored_is_expected(change->expect_spec_version, version) ? COMRADE_OK
                                                                        : COMRADE_CONFLICT;
    }
    struct stored stored = stored_of(memory_data_find(data, change->id));
    return stored_judge(change, &stored);
}

/* The record after the change. False: nothing is to be done. */
static bool changed_record(const struct memory_data *data, const comrade_write *write,
                           const comrade_change *change, int64_t now_ms, comrade_record *record)
{
    const struct memory_entry *entry = memory_data_find(data, change->id);
    comrade_record none = {.id = change->id, .role = write->role};
    *record = entry == NULL ? none : entry->record;
    if (change->kind == COMRADE_PUT_REQUEST) {
        int64_t revision = record->request.revision;
        record->request = *change->request;
        record->request.revision = stored_mint(revision, now_ms);
        if (record->request.requested_ms == 0) {
            record->request.requested_ms = now_ms;
        }
        return true;
    }
    struct stored stored = stored_of(entry);
    if (!stored_apply_own(change->own, now_ms, &stored)) {
        return false;
    }
    record->own = *change->own;
    record->own.created_ms = stored.created_ms;
    record->updated_ms = stored.updated_ms;
    record->role = write->role;
    return true;
}

static bool put_entry(struct memory_data *data, struct memory_entry *entry)
{
    size_t place = place_of(data, entry->record.id);
    if (place < data->n_entries && strcmp(data->entries[place]->record.id, entry->record.id) == 0) {
        entry_free(data->entries[place]);
        data->entries[place] = entry;
        return true;
    }
    if (data->n_entries == data->entries_capacity) {
        size_t capacity = data->entries_capacity == 0 ? 8 : data->entries_capacity * 2;
        struct memory_entry **entries =
            realloc(data->entries, capacity * sizeof(struct memory_entry *));
        if (entries == NULL) {
            return false;
        }
        data->entries = entries;
        data->entries_capacity = capacity;
    }
    memmove(&data->entries[place + 1], &data->entries[place],
            (data->n_entries - place) * sizeof(struct memory_entry *));
    data->entries[place] = entry;
    data->n_entries++;
    return true;
}

static void remove_entry(struct memory_data *data, const char *id)
{
    if (memory_data_find(data, id) != NULL) {
        size_t place = place_of(data, id);
        entry_free(data->entries[place]);
        data->n_entries--;
        memmove(&data->entries[place], &data->entries[place + 1],
                (data->n_entries - place) * sizeof(struct memory_entry *));
    }
}

/* The role that the record with this id is leaving; NULL if it is in this one already, or new. */
static struct memory_role *role_left(const struct memory_data *data, const char *id,
                                     const char *role)
{
    const struct memory_entry *entry = memory_data_find(data, id);
    bool is_leaving = entry != NULL && strcmp(entry->record.role, role) != 0;
    return is_leaving ? memory_data_find_role(data, entry->record.role) : NULL;
}

static bool apply(struct memory_data *data, const comrade_write *write,
                  const comrade_change *change, int64_t now_ms)
{
    if (change->kind == COMRADE_DELETE) {
        remove_entry(data, change->id);
        return true;
    }
    if (change->kind == COMRADE_PUT_SPEC) {
        struct memory_role *role = need_role(data, write->role);
        char *spec = strdup(change->spec);
        if (role == NULL || spec == NULL) {
            free(spec);
            return false;
        }
        free(role->spec);
        role->spec = spec;
        role->spec_version = change->spec_version;
        data->specs_revision = stored_mint(data->specs_revision, now_ms);
        return true;
    }
    comrade_record record;
    if (!changed_record(data, write, change, now_ms, &record)) {
        return true;
    }
    struct memory_role *left = role_left(data, record.id, record.role);
    struct memory_entry *entry = entry_new(&record);
    if (entry == NULL || !put_entry(data, entry)) {
        entry_free(entry);
        return false;
    }
    if (left != NULL) { /* who looks at it page by page must see that it is torn */
        left->revision = stored_mint(left->revision, now_ms);
    }
    return true;
}

static void remember_request(struct memory_role *role, const char *request_id)
{
    size_t kept =
        role->n_recent < COMRADE_RECENT_REQUESTS ? role->n_recent : COMRADE_RECENT_REQUESTS - 1;
    memmove(role->recent[1], role->recent[0], kept * sizeof role->recent[0]);
    memset(role->recent[0], 0, sizeof role->recent[0]);
    memcpy(role->recent[0], request_id, strnlen(request_id, COMRADE_REQUEST_ID_BYTES));
    role->n_recent = kept + 1;
}

static bool apply_all(struct memory_data *data, const comrade_write *write, int64_t now_ms)
{
    bool is_applied = need_role(data, write->role) != NULL;
    for (size_t i = 0; is_applied && i < write->n_changes; i++) {
        is_applied = apply(data, write, &write->changes[i], now_ms);
    }
    return is_applied;
}

/* Several changes are made to a copy, which takes the place of the data if all went well. */
static bool apply_whole(struct memory_data *data, const comrade_write *write, int64_t now_ms)
{
    struct memory_data copy;
    if (write->n_changes <= 1) {
        return apply_all(data, write, now_ms);
    }
    if (!memory_data_copy(data, &copy)) {
        return false;
    }
    bool is_applied = apply_all(&copy, write, now_ms);
    memory_data_finish(is_applied ? data : &copy);
    if (is_applied) {
        *data = copy;
    }
    return is_applied;
}

void memory_data_write(struct memory_data *data, const comrade_write *write, int64_t now_ms,
                       comrade_write_result *result)
{
    const struct memory_role *stored = memory_data_find_role(data, write->role);
    *result = (comrade_write_result){.status = COMRADE_OK, .now_ms = now_ms};
    if (!stored_is_expected(write->expect_revision, stored == NULL ? 0 : stored->revision)) {
        result->status = COMRADE_CONFLICT;
        return;
    }
    for (size_t i = 0; i < write->n_changes; i++) {
        result->status = judge(data, write, &write->changes[i]);
        if (result->status != COMRADE_OK) {
            return;
        }
    }
    if (!apply_whole(data, write, now_ms)) {
        result->status = COMRADE_NO_MEMORY;
        return;
    }
    struct memory_role *role = memory_data_find_role(data, write->role);
    role->revision = stored_mint(role->revision, now_ms);
    if (write->request_id != NULL) {
        remember_request(role, write->request_id);
    }
    result->revision = role->revision;
}
