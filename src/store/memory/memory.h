/*
 * The store in memory: for tests, the simulation and members of one process. `memory:NAME` is
 * shared by all handles of that name, namespace and kind in the process, and lives as long as one
 * of them is open; its clock is the config's.
 */
#ifndef STORE_MEMORY_H
#define STORE_MEMORY_H

#include <comrade/store.h>

extern const comrade_store_driver memory_driver;

/* For tests; `store` is any open handle. */

/* Empties it, as if the database had been dropped. Watchers hear "resync". */
void memory_wipe(comrade_store *store);

struct memory_backup;
/* A copy of everything. NULL when out of memory. */
struct memory_backup *memory_backup_new(comrade_store *store);
/* Puts the copy in the place of what is there. False when out of memory: then nothing changed. */
bool memory_restore(comrade_store *store, const struct memory_backup *backup);
void memory_backup_free(struct memory_backup *backup);

#endif
