/* The memory store's handles, watches and operations, over memory_data. */
#include "store/memory/memory.h"

#include "store/memory/memory_data.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { CHANGES_KEPT = 256 };

struct shared {
    struct shared *next;
    char *name; /* URL, namespace and kind */
    struct memory_data data;
    comrade_store *handles;
};

struct change {
    char role[COMRADE_ROLE_MAX_BYTES + 1];
    char id[COMRADE_ID_MAX_BYTES + 1];
};

struct comrade_store {
    struct shared *shared;
    comrade_store *next; /* another handle of the same store */
    int64_t (*wall_ms)(void *clock);
    void *clock;
    int watch_fd; /* -1: not watched */
    struct change *changes;
    size_t n_changes;
    bool must_resync;
};

struct memory_backup {
    struct memory_data data;
};

/* Guards every memory store: they are small, and for one process. */
static pthread_mutex_t memory_lock = PTHREAD_MUTEX_INITIALIZER;
static struct shared *all_shared;

/* --- Handles ---------------------------------------------------------------------------------- */

static struct shared *need_shared(const comrade_store_config *config)
{
    char *name;
    if (asprintf(&name, "%s\n%s\n%s", config->url, config->name_space, config->kind) < 0) {
        return NULL;
    }
    bool is_private = strcmp(config->url, "memory:") == 0;
    for (struct shared *at = all_shared; at != NULL && !is_private; at = at->next) {
        if (strcmp(at->name, name) == 0) {
            free(name);
            return at;
        }
    }
    struct shared *made = calloc(1, sizeof *made);
    if (made == NULL) {
        free(name);
        return NULL;
    }
    made->name = name;
    made->next = all_shared;
    all_shared = made;
    return made;
}

static comrade_status memory_open(const comrade_store_config *config, const comrade_call *call,
                                  comrade_store **store, comrade_error *error)
{
    (void)call;
    comrade_store *made = calloc(1, sizeof *made);
    pthread_mutex_lock(&memory_lock);
    struct shared *shared = made == NULL ? NULL : need_shared(config);
    if (shared != NULL) {
        /* Whole before others see it: they announce to all handles at once. */
        made->wall_ms = config->wall_ms;
        made->clock = config->clock;
        made->watch_fd = -1;
        made->shared = shared;
        made->next = shared->handles;
        shared->handles = made;
    }
    pthread_mutex_unlock(&memory_lock);
    if (shared == NULL) {
        free(made);
        return comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for %s",
                                 config->shown_url);
    }
    *store = made;
    return COMRADE_OK;
}

static void free_shared(struct shared *shared)
{
    struct shared **at = &all_shared;
    while (*at != shared) {
        at = &(*at)->next;
    }
    *at = shared->next;
    memory_data_finish(&shared->data);
    free(shared->name);
    free(shared);
}

static void memory_close(comrade_store *store)
{
    if (store == NULL) {
        return;
    }
    pthread_mutex_lock(&memory_lock);
    comrade_store **at = &store->shared->handles;
    while (*at != store) {
        at = &(*at)->next;
    }
    *at = store->next;
    if (store->shared->handles == NULL) {
        free_shared(store->shared);
    }
    pthread_mutex_unlock(&memory_lock);
    if (store->watch_fd >= 0) {
        close(store->watch_fd);
    }
    free(store->changes);
    free(store);
}

/* --- Watches ---------------------------------------------------------------------------------- */

/* Lock held. An id of NULL means resync. */
static void announce(struct shared *shared, const char *role, const char *id)
{
    for (comrade_store *at = shared->handles; at != NULL; at = at->next) {
        if (at->watch_fd < 0) {
            continue;
        }
        if (id == NULL || at->n_changes == CHANGES_KEPT) {
            at->must_resync = true;
        } else {
            struct change *change = &at->changes[at->n_changes++];
            snprintf(change->role, sizeof change->role, "%s", role);
            snprintf(change->id, sizeof change->id, "%s", id);
        }
        uint64_t one = 1;
        ssize_t n = write(at->watch_fd, &one, sizeof one);
        (void)n; /* a full eventfd is readable */
    }
}

static int memory_watch(comrade_store *store, const comrade_call *call, comrade_error *error)
{
    (void)call;
    pthread_mutex_lock(&memory_lock);
    if (store->changes == NULL) {
        store->changes = calloc(CHANGES_KEPT, sizeof *store->changes);
    }
    if (store->changes != NULL && store->watch_fd < 0) {
        store->watch_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    bool has_memory = store->changes != NULL;
    int fd = has_memory ? store->watch_fd : -1;
    pthread_mutex_unlock(&memory_lock);
    if (fd < 0) {
        comrade_error_set(error, has_memory ? COMRADE_UNAVAILABLE : COMRADE_NO_MEMORY,
                          "memory: cannot be watched: %s",
                          has_memory ? "no descriptor is left" : "out of memory");
    }
    return fd;
}

static comrade_status memory_drain(comrade_store *store, const comrade_watch_sink *sink,
                                   comrade_error *error)
{
    (void)error;
    struct change change;
    bool has_more = true;
    uint64_t count;
    ssize_t n = read(store->watch_fd, &count, sizeof count);
    (void)n; /* nothing to read is fine */
    while (has_more) {
        pthread_mutex_lock(&memory_lock);
        bool must_resync = store->must_resync;
        store->must_resync = false;
        has_more = store->n_changes > 0 && !must_resync;
        if (has_more) {
            change = store->changes[0];
            store->n_changes--;
            memmove(store->changes, store->changes + 1, store->n_changes * sizeof change);
        } else {
            store->n_changes = 0;
        }
        pthread_mutex_unlock(&memory_lock);
        if (must_resync) {
            sink->on_resync(sink->user);
        } else if (has_more) {
            sink->on_change(sink->user, change.role, change.id);
        }
    }
    return COMRADE_OK;
}

/* --- Operations ------------------------------------------------------------------------------- */

static int64_t now_of(const comrade_store *store)
{
    return store->wall_ms(store->clock);
}

static comrade_status memory_heartbeat(comrade_store *store, const comrade_call *call,
                                       const comrade_beat *beats, size_t n_beats,
                                       comrade_beat_result *results, comrade_beat_summary *summary,
                                       comrade_error *error)
{
    (void)call;
    (void)error;
    pthread_mutex_lock(&memory_lock);
    struct memory_data *data = &store->shared->data;
    summary->now_ms = now_of(store);
    summary->specs_revision = data->specs_revision == 0 ? 1 : data->specs_revision;
    for (size_t i = 0; i < n_beats; i++) {
        struct memory_entry *entry = memory_data_find(data, beats[i].id);
        results[i] = (comrade_beat_result){.status = COMRADE_OK};
        if (entry == NULL || entry->record.own.incarnation < beats[i].incarnation) {
            results[i].status = COMRADE_GONE;
        } else if (entry->record.own.incarnation > beats[i].incarnation) {
            results[i].status = COMRADE_FENCED;
        } else {
            entry->record.updated_ms = summary->now_ms;
            results[i].own_sequence = entry->record.own.sequence;
            results[i].request_revision = entry->record.request.revision;
        }
    }
    pthread_mutex_unlock(&memory_lock);
    return COMRADE_OK;
}

static comrade_status memory_write(comrade_store *store, const comrade_call *call,
                                   const comrade_write *writes, size_t n_writes,
                                   comrade_write_result *results, comrade_error *error)
{
    (void)call;
    (void)error;
    pthread_mutex_lock(&memory_lock);
    for (size_t i = 0; i < n_writes; i++) {
        memory_data_write(&store->shared->data, &writes[i], now_of(store), &results[i]);
        for (size_t j = 0; results[i].status == COMRADE_OK && j < writes[i].n_changes; j++) {
            const char *id = writes[i].changes[j].id;
            announce(store->shared, writes[i].role, id == NULL ? "" : id);
        }
    }
    pthread_mutex_unlock(&memory_lock);
    return COMRADE_OK;
}

static comrade_status tell_role(const struct memory_role *stored, const char *name,
                                const comrade_snapshot_sink *sink)
{
    const char *recent[COMRADE_RECENT_REQUESTS];
    comrade_role role = {.role = name, .spec = "{}", .recent_request_ids = recent};
    if (stored != NULL) {
        role.spec = stored->spec;
        role.revision = stored->revision;
        role.spec_version = stored->spec_version;
        role.n_recent_request_ids = stored->n_recent;
        for (size_t i = 0; i < stored->n_recent; i++) {
            recent[i] = stored->recent[i];
        }
    }
    return sink->on_role(sink->user, &role);
}

static int compare_records(const void *a, const void *b)
{
    const comrade_record *x = *(const comrade_record *const *)a;
    const comrade_record *y = *(const comrade_record *const *)b;
    int order = strcmp(x->role, y->role);
    return order != 0 ? order : strcmp(x->id, y->id);
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_asked(const comrade_snapshot_query *query, const comrade_record *record)
{
    switch (query->scope) {
    case COMRADE_SCOPE_ALL:
        return true;
    case COMRADE_SCOPE_ROLE:
        return strcmp(record->role, query->role) == 0;
    case COMRADE_SCOPE_IDS:
        return query->n_ids > 0 && bsearch(&record->id, query->ids, query->n_ids,
                                           sizeof *query->ids, compare_ids) != NULL;
    }
    return false;
}

static bool is_behind(const comrade_cursor *from, const comrade_record *record)
{
    int order = strcmp(record->role, from->role);
    return !from->is_continued || order > 0 || (order == 0 && strcmp(record->id, from->id) > 0);
}

/* The records asked for behind the cursor, sorted; the caller frees the list. */
static const comrade_record **select_records(const struct memory_data *data,
                                             const comrade_snapshot_query *query,
                                             const comrade_cursor *from, size_t *n_selected)
{
    const comrade_record **selected = malloc((data->n_entries + 1) * sizeof *selected);
    if (selected == NULL) {
        return NULL;
    }
    *n_selected = 0;
    for (size_t i = 0; !query->roles_only && i < data->n_entries; i++) {
        const comrade_record *record = &data->entries[i]->record;
        if (is_asked(query, record) && is_behind(from, record)) {
            selected[(*n_selected)++] = record;
        }
    }
    qsort(selected, *n_selected, sizeof *selected, compare_records);
    return selected;
}

static comrade_status tell_roles(const struct memory_data *data,
                                 const comrade_snapshot_query *query,
                                 const comrade_record **records, size_t n_records,
                                 const comrade_snapshot_sink *sink)
{
    comrade_status status = COMRADE_OK;
    switch (query->scope) {
    case COMRADE_SCOPE_ROLE:
        return tell_role(memory_data_find_role(data, query->role), query->role, sink);
    case COMRADE_SCOPE_ALL:
        for (size_t i = 0; i < data->n_roles && status == COMRADE_OK; i++) {
            status = tell_role(&data->roles[i], data->roles[i].role, sink);
        }
        return status;
    case COMRADE_SCOPE_IDS:
        for (size_t i = 0; i < n_records && status == COMRADE_OK; i++) {
            const char *role = records[i]->role;
            if (i == 0 || strcmp(role, records[i - 1]->role) != 0) {
                status = tell_role(memory_data_find_role(data, role), role, sink);
            }
        }
        return status;
    }
    return status;
}

static comrade_status memory_snapshot(comrade_store *store, const comrade_call *call,
                                      const comrade_snapshot_query *query,
                                      const comrade_cursor *from, const comrade_snapshot_sink *sink,
                                      comrade_snapshot_page *page, comrade_error *error)
{
    (void)call;
    size_t n_records = 0;
    pthread_mutex_lock(&memory_lock);
    const struct memory_data *data = &store->shared->data;
    const comrade_cursor beginning = {.is_continued = false};
    const comrade_record **records =
        select_records(data, query, from == NULL ? &beginning : from, &n_records);
    comrade_status status =
        records == NULL ? comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for members")
                        : tell_roles(data, query, records, n_records, sink);
    size_t n_told = n_records < query->limit ? n_records : query->limit;
    for (size_t i = 0; i < n_told && status == COMRADE_OK; i++) {
        status = sink->on_record(sink->user, records[i]);
    }
    if (status == COMRADE_OK) {
        memset(page, 0, sizeof *page);
        page->now_ms = now_of(store);
        page->has_more = n_told < n_records;
        if (page->has_more && n_told > 0) {
            page->next.is_continued = true;
            snprintf(page->next.id, sizeof page->next.id, "%s", records[n_told - 1]->id);
            snprintf(page->next.role, sizeof page->next.role, "%s", records[n_told - 1]->role);
        }
    }
    pthread_mutex_unlock(&memory_lock);
    free(records);
    return status;
}

/* Lock held. */
static void wipe(struct shared *shared)
{
    memory_data_finish(&shared->data);
    announce(shared, NULL, NULL);
}

static comrade_status memory_drop(comrade_store *store, const comrade_call *call,
                                  comrade_error *error)
{
    (void)call;
    (void)error;
    size_t url_len = strcspn(store->shared->name, "\n");
    pthread_mutex_lock(&memory_lock);
    for (struct shared *at = all_shared; at != NULL; at = at->next) {
        bool is_same = strncmp(at->name, store->shared->name, url_len + 1) == 0;
        bool is_private = strncmp(at->name, "memory:\n", url_len + 1) == 0;
        if (is_same && (!is_private || at == store->shared)) {
            wipe(at);
        }
    }
    pthread_mutex_unlock(&memory_lock);
    return COMRADE_OK;
}

const comrade_store_driver memory_driver = {
    .abi = COMRADE_STORE_ABI,
    .scheme = "memory",
    .open = memory_open,
    .close = memory_close,
    .heartbeat = memory_heartbeat,
    .write = memory_write,
    .snapshot = memory_snapshot,
    .watch = memory_watch,
    .drain = memory_drain,
    .drop = memory_drop,
};

/* --- For tests -------------------------------------------------------------------------------- */

void memory_wipe(comrade_store *store)
{
    pthread_mutex_lock(&memory_lock);
    wipe(store->shared);
    pthread_mutex_unlock(&memory_lock);
}

struct memory_backup *memory_backup_new(comrade_store *store)
{
    struct memory_backup *backup = calloc(1, sizeof *backup);
    pthread_mutex_lock(&memory_lock);
    bool is_done = backup != NULL && memory_data_copy(&store->shared->data, &backup->data);
    pthread_mutex_unlock(&memory_lock);
    if (!is_done) {
        free(backup);
        return NULL;
    }
    return backup;
}

bool memory_restore(comrade_store *store, const struct memory_backup *backup)
{
    struct memory_data copy;
    if (!memory_data_copy(&backup->data, &copy)) {
        return false;
    }
    pthread_mutex_lock(&memory_lock);
    memory_data_finish(&store->shared->data);
    store->shared->data = copy;
    announce(store->shared, NULL, NULL);
    pthread_mutex_unlock(&memory_lock);
    return true;
}

void memory_backup_free(struct memory_backup *backup)
{
    if (backup != NULL) {
        memory_data_finish(&backup->data);
        free(backup);
    }
}
