/*
 * The crate datastore-emulator, a Datastore that others have written: a server of the test
 * program's own, in memory, on a free loopback port. It is gone when the program ends in whatever
 * way. It is looked for on the PATH, where `./dev test` puts it. Whatever fails, ends the program.
 */
#ifndef TESTS_LIB_DATASTORE_EMULATOR_H
#define TESTS_LIB_DATASTORE_EMULATOR_H

struct datastore_emulator;

/* Takes about 0.1 s. NULL: it is not installed. */
struct datastore_emulator *datastore_emulator_start(void);
/* NULL is fine. */
void datastore_emulator_stop(struct datastore_emulator *emulator);
int datastore_emulator_port(const struct datastore_emulator *emulator);
/* Forgets all entities. */
void datastore_emulator_wipe(const struct datastore_emulator *emulator);

#endif
