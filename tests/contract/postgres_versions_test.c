/*
 * Versions of the schema, and of the programs that use one: made by many at once, used by two
 * versions at a time, raised member by member. The later versions are modules of the build, see
 * later/.
 */
#include "contract/postgres_logins.h"
#include "store/postgres/internal.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What an older program can use beside, and what it cannot. */
static const comrade_store_driver *later, *exclusive;

static const comrade_store_driver *load(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/libcomrade-store-%s.so", LATER_FOLDER, name);
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    comrade_store_entry_function entry = NULL;
    if (module != NULL) {
        *(void **)&entry = dlsym(module, COMRADE_STORE_ENTRY);
    }
    if (entry == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        abort();
    }
    return entry();
}

static long long version_of(const char *url)
{
    return postgres_server_number(logins_server(), url,
                                  "SELECT value FROM comrade.meta WHERE name = 'version'");
}

static void assert_works(const comrade_store_driver *driver, comrade_store *store, const char *id)
{
    assert_int_equal(contract_put(driver, store, "app", id, 100, 1), COMRADE_OK);
    assert_int_equal(contract_put(driver, store, "app", id, 200, 1), COMRADE_OK);
    assert_int_equal(beat(driver, store, id, 200, NULL).status, COMRADE_OK);
    assert_int_equal(put_request(driver, store, "app", id, 200).status, COMRADE_OK);
    struct snapshot snapshot;
    look_at_role(driver, store, "app", &snapshot);
    const comrade_record *record = snapshot_find(&snapshot, id);
    assert_non_null(record);
    assert_int_equal(record->request.kind, COMRADE_REQUEST_KILL);
    snapshot_finish(&snapshot);
}

/* --- Many at once ------------------------------------------------------------------------------
 */

enum { N_AT_ONCE = 100 };

struct opener {
    const comrade_store_driver *driver;
    const char *url;
    pthread_t thread;
    comrade_store *store;
    comrade_error error;
};

static void *open_it(void *argument)
{
    struct opener *opener = argument;
    contract_open(opener->driver, opener->url, "", &opener->store, &opener->error);
    return NULL;
}

/* In two stages: all on an empty database, then all of a later version on what is there. */
static void a_hundred_that_open_at_once_make_and_raise_one_schema(void **state)
{
    (void)state;
    const comrade_store_driver *const drivers[] = {&postgres_driver, later};
    static struct opener openers[N_AT_ONCE];
    char url[POSTGRES_URL_SIZE];
    postgres_server_fresh_database(logins_server(), url);
    for (size_t stage = 0; stage < 2; stage++) {
        for (size_t i = 0; i < N_AT_ONCE; i++) {
            openers[i] = (struct opener){.driver = drivers[stage], .url = url};
            assert_int_equal(pthread_create(&openers[i].thread, NULL, open_it, &openers[i]), 0);
        }
        for (size_t i = 0; i < N_AT_ONCE; i++) {
            pthread_join(openers[i].thread, NULL);
        }
        for (size_t i = 0; i < N_AT_ONCE; i++) {
            if (openers[i].store == NULL) {
                fail_msg("%zu: %s", i, openers[i].error.message);
            }
            char id[32];
            snprintf(id, sizeof id, "m%zu", i);
            assert_int_equal(
                contract_put(drivers[stage], openers[i].store, "app", id, 100 + (int64_t)stage, 1),
                COMRADE_OK);
            drivers[stage]->close(openers[i].store);
        }
        assert_int_equal(version_of(url), POSTGRES_SCHEMA_VERSION + stage);
    }
    assert_int_equal(
        postgres_server_number(logins_server(), url, "SELECT count(*) FROM comrade.live_members"),
        N_AT_ONCE);
}

/* --- Two versions ------------------------------------------------------------------------------
 */

static void an_older_program_goes_on_and_begins_beside_a_newer_one(void **state)
{
    (void)state;
    char url[POSTGRES_URL_SIZE];
    postgres_server_fresh_database(logins_server(), url);
    comrade_store *first = contract_must_open(&postgres_driver, url, "");
    assert_works(&postgres_driver, first, "a");
    comrade_store *newer = contract_must_open(later, url, "");
    assert_int_equal(version_of(url), POSTGRES_SCHEMA_VERSION + 1);
    assert_works(&postgres_driver, first, "b");
    assert_works(later, newer, "c");
    comrade_store *second = contract_must_open(&postgres_driver, url, "");
    assert_works(&postgres_driver, second, "d");
    assert_int_equal(version_of(url), POSTGRES_SCHEMA_VERSION + 1);
    postgres_driver.close(first);
    postgres_driver.close(second);
    later->close(newer);
}

static void what_is_too_new_is_refused(void **state)
{
    (void)state;
    char url[POSTGRES_URL_SIZE];
    comrade_store *store;
    comrade_error error = {0};
    postgres_server_fresh_database(logins_server(), url);
    comrade_store *running = contract_must_open(&postgres_driver, url, "");
    exclusive->close(contract_must_open(exclusive, url, ""));
    assert_int_equal(contract_open(&postgres_driver, url, "", &store, &error),
                     COMRADE_SCHEMA_TOO_NEW);
    assert_non_null(strstr(error.message, "newer Comrade"));
    /* One that ran before is refused when it connects again. */
    postgres_server_run(logins_server(), url,
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()");
    assert_int_equal(contract_count(&postgres_driver, running, &error), -1);
    if (error.status == COMRADE_UNAVAILABLE) {
        assert_int_equal(contract_count(&postgres_driver, running, &error), -1);
    }
    assert_int_equal(error.status, COMRADE_SCHEMA_TOO_NEW);
    postgres_driver.close(running);
}

static void who_may_not_raise_it_is_told_whom_to_ask(void **state)
{
    (void)state;
    char url[POSTGRES_URL_SIZE];
    comrade_store *store;
    comrade_error error = {0};
    logins_make_database(url);
    logins_make("granted", "comrade_member, comrade_admin", url);
    assert_int_equal(contract_open(later, url, "", &store, &error), COMRADE_DENIED);
    assert_non_null(strstr(error.message, "is of an older version"));
    assert_non_null(strstr(error.message, "comrade store init --print-sql | psql"));
    assert_int_equal(version_of(url), POSTGRES_SCHEMA_VERSION);
    store = contract_must_open(&postgres_driver, url, "");
    assert_works(&postgres_driver, store, "a");
    postgres_driver.close(store);
}

/* --- A fleet -----------------------------------------------------------------------------------
 */

enum { N_MEMBERS = 8, ROUNDS_BEFORE = 5 };

struct fleet {
    const char *url;
    atomic_int n_upgraded; /* members from the first one on that are to be of the later version */
    atomic_bool is_over;
    atomic_int n_calls;
};

struct fleet_member {
    struct fleet *fleet;
    int number;
    pthread_t thread;
    int n_rounds[2]; /* of each version */
    char failure[256];
};

static bool take_turn(struct fleet_member *member, const comrade_store_driver *driver,
                      comrade_store *store, int64_t incarnation, int64_t sequence)
{
    char id[32];
    snprintf(id, sizeof id, "m%d", member->number);
    comrade_own own = own_part(incarnation, sequence);
    comrade_change change = anything(COMRADE_PUT_OWN, id);
    change.own = &own;
    comrade_write write = {"app", COMRADE_ANYTHING, NULL, &change, 1};
    comrade_write_result written = {0};
    comrade_beat one = {id, incarnation};
    comrade_beat_result beaten = {0};
    comrade_beat_summary summary;
    comrade_error error = {0};
    comrade_call call = contract_call();
    comrade_status status = driver->write(store, &call, &write, 1, &written, &error);
    if (status == COMRADE_OK) {
        status = driver->heartbeat(store, &call, &one, 1, &beaten, &summary, &error);
    }
    atomic_fetch_add(&member->fleet->n_calls, 1);
    if (status != COMRADE_OK || written.status != COMRADE_OK || beaten.status != COMRADE_OK ||
        contract_count(driver, store, &error) < 1) {
        snprintf(member->failure, sizeof member->failure, "%d %d %d: %.200s", status,
                 written.status, beaten.status, error.message);
        return false;
    }
    return true;
}

static void *run_member(void *argument)
{
    struct fleet_member *member = argument;
    struct fleet *fleet = member->fleet;
    for (int version = 0; version < 2 && !atomic_load(&fleet->is_over); version++) {
        const comrade_store_driver *driver = version == 0 ? &postgres_driver : later;
        comrade_store *store = NULL;
        comrade_error error = {0};
        if (contract_open(driver, fleet->url, "", &store, &error) != COMRADE_OK) {
            snprintf(member->failure, sizeof member->failure, "open: %.200s", error.message);
            return NULL;
        }
        while (!atomic_load(&fleet->is_over) &&
               (version == 1 || atomic_load(&fleet->n_upgraded) <= member->number) &&
               take_turn(member, driver, store, 100 + version, ++member->n_rounds[version])) {
        }
        driver->close(store);
    }
    return NULL;
}

static void start_fleet(struct fleet *fleet, struct fleet_member members[N_MEMBERS])
{
    for (int i = 0; i < N_MEMBERS; i++) {
        members[i] = (struct fleet_member){.fleet = fleet, .number = i};
        assert_int_equal(pthread_create(&members[i].thread, NULL, run_member, &members[i]), 0);
    }
}

static void wait_for_calls(struct fleet *fleet, int n)
{
    int from = atomic_load(&fleet->n_calls);
    for (int waited_ms = 0; atomic_load(&fleet->n_calls) < from + n && waited_ms < 20000;
         waited_ms += 2) {
        let_time_pass(&(struct scene){.factory = &(struct contract_store){.has_own_clock = true}},
                      2);
    }
}

static void a_fleet_is_raised_member_by_member_under_load(void **state)
{
    (void)state;
    char url[POSTGRES_URL_SIZE];
    postgres_server_fresh_database(logins_server(), url);
    struct fleet fleet = {.url = url};
    struct fleet_member members[N_MEMBERS];
    start_fleet(&fleet, members);
    for (int i = 1; i <= N_MEMBERS; i++) {
        wait_for_calls(&fleet, N_MEMBERS * ROUNDS_BEFORE);
        atomic_store(&fleet.n_upgraded, i);
    }
    wait_for_calls(&fleet, N_MEMBERS * ROUNDS_BEFORE);
    atomic_store(&fleet.is_over, true);
    for (int i = 0; i < N_MEMBERS; i++) {
        pthread_join(members[i].thread, NULL);
    }
    for (int i = 0; i < N_MEMBERS; i++) {
        assert_string_equal(members[i].failure, "");
        assert_true(members[i].n_rounds[0] > 0);
        assert_true(members[i].n_rounds[1] > 0);
    }
    assert_true(members[N_MEMBERS - 1].n_rounds[0] > members[0].n_rounds[0]);
    assert_int_equal(version_of(url), POSTGRES_SCHEMA_VERSION + 1);
    assert_int_equal(
        postgres_server_number(logins_server(), url,
                               "SELECT count(*) FROM comrade.live_members m JOIN comrade.member"
                               " USING (id) WHERE incarnation = 101"),
        N_MEMBERS);
}

/* It locks the tables in the order in which everybody else does, so that nobody is in its way. */
static void the_setup_is_run_again_under_load(void **state)
{
    (void)state;
    enum { N_SETUPS = 10 };
    char url[POSTGRES_URL_SIZE];
    logins_make_database(url);
    postgres_server_run(logins_server(), NULL, "GRANT comrade_member TO comrade");
    struct fleet fleet = {.url = url};
    struct fleet_member members[N_MEMBERS];
    start_fleet(&fleet, members);
    for (int i = 0; i < N_SETUPS; i++) {
        wait_for_calls(&fleet, N_MEMBERS);
        logins_run_setup_text(url);
    }
    wait_for_calls(&fleet, N_MEMBERS);
    atomic_store(&fleet.is_over, true);
    for (int i = 0; i < N_MEMBERS; i++) {
        pthread_join(members[i].thread, NULL);
    }
    for (int i = 0; i < N_MEMBERS; i++) {
        assert_string_equal(members[i].failure, "");
    }
    assert_int_equal(postgres_server_number(logins_server(), url,
                                            "SELECT deadlocks FROM pg_stat_database"
                                            " WHERE datname = current_database()"),
                     0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hundred_that_open_at_once_make_and_raise_one_schema),
        cmocka_unit_test(an_older_program_goes_on_and_begins_beside_a_newer_one),
        cmocka_unit_test(what_is_too_new_is_refused),
        cmocka_unit_test(who_may_not_raise_it_is_told_whom_to_ask),
        cmocka_unit_test(the_setup_is_run_again_under_load),
        cmocka_unit_test(a_fleet_is_raised_member_by_member_under_load),
    };
    enum { N_TESTS = sizeof tests / sizeof tests[0] };
    const struct postgres_options options = {.max_connections = N_AT_ONCE + 20};
    if (!logins_start_server(&options)) {
        return postgres_server_skip_tests(tests, N_TESTS);
    }
    later = load("later");
    exclusive = load("exclusive");
    int failed = cmocka_run_group_tests_name("postgres_versions", tests, NULL, NULL);
    logins_stop_server();
    return failed;
}
