/*
 * Servers that know less than Google's: no masks, no base versions, no transforms, no transactions
 * of a single commit, as older emulators do. They say so, or take no notice of what they do not
 * know. The same suite, in two calls a heartbeat; what they know is found out once an open store.
 */
#include "contract/cases.h"
#include "contract/datastore_fault_scene.h"

#include <stdio.h>
#include <string.h>

enum { SHORT_MS = 100 };

struct older {
    const char *name;
    const char *arguments[11];
    int n_calls; /* of a steady heartbeat */
};

static const struct older all_older[] = {
    {"datastore_older_refusing",
     {"--set", "masks=false", "--set", "base_versions=false", "--set", "transforms=false", "--set",
      "single_use=false", "--set", "unknown_fields=refuse", NULL},
     2},
    {"datastore_older_ignoring",
     {"--set", "masks=false", "--set", "base_versions=false", "--set", "transforms=false", "--set",
      "unknown_fields=ignore", NULL},
     2},
    {"datastore_without_versions",
     {"--set", "base_versions=false", "--set", "unknown_fields=ignore", NULL},
     2},
    {"datastore_without_masks", {"--set", "masks=false", NULL}, 2},
    {"datastore_without_transforms",
     {"--set", "transforms=false", "--set", "unknown_fields=ignore", NULL},
     1},
};
enum { N_OLDER = sizeof all_older / sizeof all_older[0] };

static const struct older *older; /* what fault_server is now */

static const comrade_store_driver *const driver = &datastore_driver;

/* --- The suite ---------------------------------------------------------------------------------
 */

static void fresh_url(char *url, size_t size)
{
    static int n_projects;
    char project[32];
    char fresh[DATASTORE_URL_SIZE];
    snprintf(project, sizeof project, "older-%d", ++n_projects);
    datastore_server_url(fault_server, project, fresh);
    snprintf(url, size, "%s", fresh);
}

static void wipe(comrade_store *store, const char *url)
{
    (void)store;
    (void)url;
    datastore_server_wipe(fault_server);
}

/* --- What it costs -----------------------------------------------------------------------------
 */

static void a_heartbeat_takes_so_many_calls(void **state)
{
    struct fault_scene *scene = *state;
    const struct fault_operation *heartbeat = &fault_operations[2];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fault_count_requests(scene, heartbeat), older->n_calls);
    }
}

static void what_it_knows_is_found_out_once(void **state)
{
    struct fault_scene *scene = *state;
    const struct fault_operation *write = &fault_operations[5];
    const struct fault_operation *first = &fault_operations[1];
    assert_true(fault_count_requests(scene, first) > 2);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fault_count_requests(scene, write), 2);
    }
}

/* --- What a transaction may leave --------------------------------------------------------------
 */

/* Its records stay locked until it is ended, which the next call does: it need not wait a minute.
 */
static void a_transaction_of_which_nobody_heard_holds_nobody_up(void **state)
{
    struct fault_scene *scene = *state;
    static const int operations[] = {2, 5}; /* the heartbeat, and a write */
    for (int i = 0; i < 4 && older->n_calls == 2; i++) {
        const struct fault_operation *operation = &fault_operations[operations[i / 2]];
        fault_prepare(scene, operation);
        fault_plan(scene, 2, i % 2 == 0 ? "silence" : "cut_before");
        comrade_call call = fault_call(SHORT_MS);
        assert_int_not_equal(fault_run(scene, operation, &call), COMRADE_NO_MEMORY);
        datastore_server_tell(scene->server, "faults clear");
        fault_assert_works(scene, &fault_operations[2]);
        assert_int_equal(contract_put(driver, scene->judge, "app", "elder", 1, 2 + i), COMRADE_OK);
    }
}

/* Where every write is a transaction, one that collides all the time is refused in the end, and is
   asked again by whoever asked; these cases want it to be done at once. */
#define NO_TURN "who collides all the time may be refused"
static const struct contract_skip skips[] = {
    {"a_heartbeat_never_erases_a_request", NO_TURN},
    {"of_two_who_saw_the_same_revision_one_conflicts", NO_TURN},
    {NULL, NULL},
};

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_CASE(a_heartbeat_takes_so_many_calls),
        FAULT_CASE(what_it_knows_is_found_out_once),
        FAULT_CASE(a_transaction_of_which_nobody_heard_holds_nobody_up),
    };
    int failed = 0;
    for (size_t i = 0; i < N_OLDER; i++) {
        older = &all_older[i];
        fault_server = datastore_server_start(older->arguments);
        const struct contract_store store = {older->name, &datastore_driver,     fresh_url,
                                             wipe,        .has_own_clock = true, .skips = skips};
        failed += contract_run(&store);
        failed += cmocka_run_group_tests_name(older->name, tests, NULL, NULL);
        datastore_server_stop(fault_server);
    }
    return failed;
}
