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

int main(void)
{
    emulator = datastore_emulator_start();
    if (emulator == NULL) {
        return skip_all(
            "datastore-emulator is not on the PATH; `./dev test` installs it with cargo");
    }
    const struct contract_store store = {"datastore-emulator", &datastore_driver, fresh_url, wipe,
                                         .has_own_clock = true};
    int failed = contract_run(&store);
    datastore_emulator_stop(emulator);
    return failed;
}
