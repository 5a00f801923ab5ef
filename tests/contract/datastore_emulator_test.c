/* The suite on a Datastore that others have written. It judges our own test server, too. */
#include "contract/contract.h"
#include "lib/datastore_emulator.h"
#include "store/datastore/datastore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct datastore_emulator *emulator;

static void fresh_url(char *url, size_t size)
{
    static int n_projects;
    snprintf(url, size, "datastore://fresh-%d?endpoint=http://127.0.0.1:%d", ++n_projects,
             datastore_emulator_port(emulator));
}

/* All by their names, with the reason. */
static int skip_all(const char *reason)
{
    size_t n_tests;
    const struct CMUnitTest *tests = contract_tests(&n_tests);
    printf("1..%zu\n", n_tests);
    for (size_t i = 0; i < n_tests; i++) {
        printf("ok %zu - %s # SKIP %s\n", i + 1, tests[i].name, reason);
    }
    return 0;
}

static void wipe(comrade_store *store, const char *url)
{
    (void)store;
    (void)url;
    datastore_emulator_wipe(emulator);
}

/*
 * It holds no locks: who writes without a rest has the transactions of another aborted, and again
 * each time that he tries once more. Google's server makes one of them wait.
 */
#define NO_LOCKS "without locks one of two writers may lose every time; nothing was done then"
/* Nor does it set times on the condition of a version, so that ours are estimates of its clock. */
#define NO_TIMES "a time that is an estimate may be told some milliseconds off"
static const struct contract_skip skips[] = {
    {"a_heartbeat_refreshes_by_the_stores_clock_and_tells_the_heads", NO_TIMES},
    {"batches_may_change_from_one_to_the_next", NO_TIMES},
    {"a_delete_needs_the_heartbeat_that_was_seen", NO_TIMES},
    {"of_two_who_saw_the_same_revision_one_conflicts", NO_LOCKS},
    {"a_heartbeat_never_erases_a_request", NO_LOCKS},
    {NULL, NULL},
};

int main(void)
{
    emulator = datastore_emulator_start();
    if (emulator == NULL) {
        return skip_all(
            "datastore-emulator is not on the PATH; `./dev test` installs it with cargo");
    }
    const struct contract_store store = {"datastore-emulator",  &datastore_driver, fresh_url, wipe,
                                         .has_own_clock = true, .skips = skips};
    int failed = contract_run(&store);
    datastore_emulator_stop(emulator);
    return failed;
}
