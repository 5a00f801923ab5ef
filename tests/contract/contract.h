/*
 * One suite that every store must pass: the sentences of <comrade/store.h>, a case each. A store's
 * test file says how to make a fresh, empty one, and runs contract_run().
 */
#ifndef CONTRACT_H
#define CONTRACT_H

#include <comrade/store.h>

/* A case that a server cannot pass, and why it cannot. */
struct contract_skip {
    const char *name;
    const char *reason;
};

struct contract_store {
    const char *name;
    const comrade_store_driver *driver;
    /* Writes the URL of a store that nobody has used yet. */
    void (*fresh_url)(char *url, size_t size);
    /* Empties the store under its open handles, as an accident would. */
    void (*wipe)(comrade_store *store, const char *url);
    /* Its clock is a server's: time cannot be stepped, only waited for. */
    bool has_own_clock;
    /* Ends with one that has no name. NULL: none. */
    const struct contract_skip *skips;
};

/* Returns the number of failed cases. */
int contract_run(const struct contract_store *store);
/* All cases by name, for where there is no server to run them on. */
struct CMUnitTest;
const struct CMUnitTest *contract_tests(size_t *n_tests);

/* --- For the tests of one store, too -----------------------------------------------------------
 */

/* The clock that the stores are given: the machine's, plus an offset that a test may set. */
int64_t contract_wall_ms(void *clock);
extern int64_t contract_clock_offset_ms;

/* A call with a deadline of 20 s that cannot be cancelled. */
comrade_call contract_call(void);
comrade_status contract_open(const comrade_store_driver *driver, const char *url,
                             const char *name_space, comrade_store **store, comrade_error *error);
/* Opens or fails the test. */
comrade_store *contract_must_open(const comrade_store_driver *driver, const char *url,
                                  const char *name_space);
/* Writes one own part with no expectations; returns the result's status. */
comrade_status contract_put(const comrade_store_driver *driver, comrade_store *store,
                            const char *role, const char *id, int64_t incarnation,
                            int64_t sequence);
/* How many members a snapshot of everything has; -1 if it failed. */
long contract_count(const comrade_store_driver *driver, comrade_store *store, comrade_error *error);

#endif
