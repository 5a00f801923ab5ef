#include "core/spec_memory.h"

#include <stdlib.h>
#include <string.h>

void spec_memory_finish(struct spec_memory *memory)
{
    for (size_t i = 0; i < memory->n_entries; i++) {
        free(memory->entries[i].role);
        free(memory->entries[i].spec);
    }
    free(memory->entries);
    *memory = (struct spec_memory){0};
}

bool spec_memory_track(struct spec_memory *memory, const char *role)
{
    for (size_t i = 0; i < memory->n_entries; i++) {
        if (strcmp(memory->entries[i].role, role) == 0) {
            return true;
        }
    }
    struct spec_entry *entries =
        realloc(memory->entries, (memory->n_entries + 1) * sizeof *entries);
    if (entries == NULL) {
        return false;
    }
    memory->entries = entries;
    char *copy = strdup(role);
    if (copy == NULL) {
        return false;
    }
    entries[memory->n_entries++] = (struct spec_entry){.role = copy};
    return true;
}

void spec_memory_learn(struct spec_memory *memory, const struct snapshot *roles)
{
    for (size_t i = 0; i < memory->n_entries; i++) {
        struct spec_entry *entry = &memory->entries[i];
        const comrade_role *role = snapshot_role(roles, entry->role);
        if (role == NULL || role->spec_version <= entry->version) {
            continue;
        }
        char *spec = strdup(role->spec);
        if (spec != NULL) {
            free(entry->spec);
            entry->spec = spec;
            entry->version = role->spec_version;
        }
    }
}

size_t spec_memory_restore(const struct spec_memory *memory, const struct snapshot *roles,
                           comrade_write *writes, comrade_change *changes)
{
    size_t n_writes = 0;
    for (size_t i = 0; i < memory->n_entries; i++) {
        const struct spec_entry *entry = &memory->entries[i];
        const comrade_role *role = snapshot_role(roles, entry->role);
        int64_t stored = role == NULL ? 0 : role->spec_version;
        if (stored >= entry->version) {
            continue;
        }
        changes[n_writes] = (comrade_change){
            .kind = COMRADE_PUT_SPEC,
            .spec = entry->spec,
            .spec_version = entry->version,
            .expect_incarnation = COMRADE_ANYTHING,
            .expect_request_revision = COMRADE_ANYTHING,
            .expect_updated_ms = COMRADE_ANYTHING,
            .expect_spec_version = stored,
        };
        writes[n_writes] = (comrade_write){
            .role = entry->role,
            .expect_revision = COMRADE_ANYTHING,
            .changes = &changes[n_writes],
            .n_changes = 1,
        };
        n_writes++;
    }
    return n_writes;
}
