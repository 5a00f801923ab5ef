/* The data of one cluster in memory, and how a write changes it. No locks, no descriptors. */
#ifndef STORE_MEMORY_DATA_H
#define STORE_MEMORY_DATA_H

#include "base/arena.h"

#include <comrade/store.h>

/* A record with its texts. Never changed, only replaced; its heartbeat apart. */
struct memory_entry {
    struct arena arena;
    comrade_record record;
};

struct memory_role {
    char *role;
    char *spec;
    int64_t revision;
    int64_t spec_version;
    char recent[COMRADE_RECENT_REQUESTS][COMRADE_REQUEST_ID_BYTES + 1]; /* newest first */
    size_t n_recent;
};

struct memory_data {
    struct memory_entry **entries; /* sorted by id */
    size_t n_entries;
    size_t entries_capacity;
    struct memory_role *roles; /* sorted by role */
    size_t n_roles;
    int64_t specs_revision;
};

void memory_data_finish(struct memory_data *data);
bool memory_data_copy(const struct memory_data *from, struct memory_data *to);
struct memory_entry *memory_data_find(const struct memory_data *data, const char *id);
struct memory_role *memory_data_find_role(const struct memory_data *data, const char *role);
/* All or nothing; see comrade_write. */
void memory_data_write(struct memory_data *data, const comrade_write *write, int64_t now_ms,
                       comrade_write_result *result);

#endif
