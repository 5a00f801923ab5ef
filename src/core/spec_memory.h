/*
 * The role specs that members remember, so that a wiped or restored store gets back what was wanted
 * of their roles: the greatest version ever seen is the one that holds.
 */
#ifndef CORE_SPEC_MEMORY_H
#define CORE_SPEC_MEMORY_H

#include "core/snapshot.h"

struct spec_entry {
    char *role;
    int64_t version; /* 0: none was ever seen */
    char *spec;
};

struct spec_memory {
    struct spec_entry *entries;
    size_t n_entries;
};

void spec_memory_finish(struct spec_memory *memory);
/* Remembers a role from now on. False when out of memory. */
bool spec_memory_track(struct spec_memory *memory, const char *role);
/* Learns from a snapshot of roles. What there is no memory for is learnt the next time. */
void spec_memory_learn(struct spec_memory *memory, const struct snapshot *roles);
/*
 * The writes that give back what the snapshot lacks: `writes` and `changes` have room for
 * n_entries. Texts are borrowed from the memory. Returns how many.
 */
size_t spec_memory_restore(const struct spec_memory *memory, const struct snapshot *roles,
                           comrade_write *writes, comrade_change *changes);

#endif
