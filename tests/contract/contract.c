/* What the cases use, and the suite that they make up. */
#include "contract/cases.h"

#include "base/env.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { DEADLINE_MS = 20000, CASES_MAX = 128 };

/* --- Helpers ---------------------------------------------------------------------------------- */

int64_t contract_clock_offset_ms;

int64_t contract_wall_ms(void *clock)
{
    (void)clock;
    return env_wall_ms(&env_system) + contract_clock_offset_ms;
}

static int64_t monotonic_ms(void *clock)
{
    (void)clock;
    return env_monotonic_ms(&env_system);
}

comrade_call contract_call(void)
{
    return (comrade_call){.deadline_ms = monotonic_ms(NULL) + DEADLINE_MS,
                          .cancellable_ms = INT64_MAX,
                          .cancel_fd = -1,
                          .now_ms = monotonic_ms};
}

comrade_status contract_open(const comrade_store_driver *driver, const char *url,
                             const char *name_space, comrade_store **store, comrade_error *error)
{
    comrade_store_config config = {.size = sizeof config,
                                   .url = url,
                                   .shown_url = url,
                                   .name_space = name_space,
                                   .kind = "ComradeServer",
                                   .wall_ms = contract_wall_ms};
    comrade_call call = contract_call();
    return driver->open(&config, &call, store, error);
}

comrade_store *contract_must_open(const comrade_store_driver *driver, const char *url,
                                  const char *name_space)
{
    comrade_store *store = NULL;
    comrade_error error = {0};
    if (contract_open(driver, url, name_space, &store, &error) != COMRADE_OK) {
        fail_msg("%s: %s", url, error.message);
    }
    return store;
}

comrade_change anything(comrade_change_kind kind, const char *id)
{
    return (comrade_change){.kind = kind,
                            .id = id,
                            .spec = "{}",
                            .expect_incarnation = COMRADE_ANYTHING,
                            .expect_request_revision = COMRADE_ANYTHING,
                            .expect_updated_ms = COMRADE_ANYTHING,
                            .expect_spec_version = COMRADE_ANYTHING};
}

comrade_own own_part(int64_t incarnation, int64_t sequence)
{
    return (comrade_own){.incarnation = incarnation,
                         .sequence = sequence,
                         .state = COMRADE_STATE_UP,
                         .is_alive = true,
                         .is_available = true,
                         .pid = 4711,
                         .host = "web1",
                         .version = "1.2.3",
                         .metadata = "{\"ip\":\"10.0.0.5\"}",
                         .details = "{\"restarts\":1}"};
}

comrade_write_result write_changes(const comrade_store_driver *driver, comrade_store *store,
                                   const char *role, int64_t expect_revision,
                                   const char *request_id, const comrade_change *changes, size_t n)
{
    comrade_write write = {role, expect_revision, request_id, changes, n};
    comrade_write_result result = {0};
    comrade_error error = {0};
    comrade_call call = contract_call();
    if (driver->write(store, &call, &write, 1, &result, &error) != COMRADE_OK) {
        fail_msg("%s", error.message);
    }
    return result;
}

comrade_write_result write_one(const comrade_store_driver *driver, comrade_store *store,
                               const char *role, const comrade_change *change)
{
    return write_changes(driver, store, role, COMRADE_ANYTHING, NULL, change, 1);
}

comrade_status contract_put(const comrade_store_driver *driver, comrade_store *store,
                            const char *role, const char *id, int64_t incarnation, int64_t sequence)
{
    comrade_own own = own_part(incarnation, sequence);
    comrade_change change = anything(COMRADE_PUT_OWN, id);
    change.own = &own;
    return write_one(driver, store, role, &change).status;
}

comrade_write_result put_request(const comrade_store_driver *driver, comrade_store *store,
                                 const char *role, const char *id, int64_t incarnation)
{
    comrade_request request = {.kind = COMRADE_REQUEST_KILL,
                               .incarnation = incarnation,
                               .zombified_incarnation = incarnation - 1,
                               .request_id = "0b8fbd4e-0000-4000-8000-000000000001",
                               .user = "alice",
                               .host = "laptop",
                               .database_user = "",
                               .reason = "too old"};
    comrade_change change = anything(COMRADE_PUT_REQUEST, id);
    change.request = &request;
    return write_one(driver, store, role, &change);
}

comrade_write_result put_spec(const comrade_store_driver *driver, comrade_store *store,
                              const char *role, int64_t version, int64_t expected, const char *spec)
{
    comrade_change change = anything(COMRADE_PUT_SPEC, NULL);
    change.spec = spec;
    change.spec_version = version;
    change.expect_spec_version = expected;
    return write_one(driver, store, role, &change);
}

void look(const comrade_store_driver *driver, comrade_store *store,
          const comrade_snapshot_query *query, struct snapshot *snapshot)
{
    comrade_snapshot_sink sink = {snapshot_add_record, snapshot_add_role, snapshot};
    comrade_snapshot_page page = {0};
    comrade_error error = {0};
    snapshot_init(snapshot);
    do {
        comrade_cursor from = page.next;
        comrade_call call = contract_call();
        if (driver->snapshot(store, &call, query, &from, &sink, &page, &error) != COMRADE_OK) {
            fail_msg("%s", error.message);
        }
        snapshot->now_ms = page.now_ms;
    } while (page.has_more);
}

void look_at_role(const comrade_store_driver *driver, comrade_store *store, const char *role,
                  struct snapshot *snapshot)
{
    comrade_snapshot_query query = {.scope = COMRADE_SCOPE_ROLE, .role = role, .limit = 1000};
    look(driver, store, &query, snapshot);
}

long contract_count(const comrade_store_driver *driver, comrade_store *store, comrade_error *error)
{
    comrade_snapshot_query query = {.scope = COMRADE_SCOPE_ALL, .limit = 1000000};
    struct snapshot snapshot;
    snapshot_init(&snapshot);
    comrade_snapshot_sink sink = {snapshot_add_record, snapshot_add_role, &snapshot};
    comrade_snapshot_page page;
    comrade_call call = contract_call();
    comrade_status status = driver->snapshot(store, &call, &query, NULL, &sink, &page, error);
    long count = status == COMRADE_OK ? (long)snapshot.n_records : -1;
    snapshot_finish(&snapshot);
    return count;
}

comrade_beat_result beat(const comrade_store_driver *driver, comrade_store *store, const char *id,
                         int64_t incarnation, comrade_beat_summary *summary)
{
    comrade_beat one = {id, incarnation};
    comrade_beat_result result = {0};
    comrade_beat_summary unused;
    comrade_error error = {0};
    comrade_call call = contract_call();
    if (driver->heartbeat(store, &call, &one, 1, &result, summary == NULL ? &unused : summary,
                          &error) != COMRADE_OK) {
        fail_msg("%s", error.message);
    }
    return result;
}

static const struct contract_store *under_test;

void let_time_pass(const struct scene *scene, int64_t ms)
{
    if (scene->factory->has_own_clock) {
        poll(NULL, 0, (int)ms);
    } else {
        contract_clock_offset_ms += ms;
    }
}

int contract_set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    if (scene == NULL) {
        return -1;
    }
    contract_clock_offset_ms = 0;
    scene->factory = under_test;
    scene->driver = under_test->driver;
    under_test->fresh_url(scene->url, sizeof scene->url);
    scene->store = contract_must_open(scene->driver, scene->url, "");
    *state = scene;
    return 0;
}

int contract_tear_down(void **state)
{
    struct scene *scene = *state;
    scene->driver->close(scene->store);
    free(scene);
    return 0;
}

int64_t revision_of(const comrade_store_driver *driver, comrade_store *store, const char *role)
{
    struct snapshot snapshot;
    look_at_role(driver, store, role, &snapshot);
    int64_t revision = snapshot.roles[0].revision;
    snapshot_finish(&snapshot);
    return revision;
}

/* --- The suite -------------------------------------------------------------------------------- */

static struct CMUnitTest *all_tests(size_t *n_tests)
{
    const struct contract_group *const groups[] = {&contract_members, &contract_writes,
                                                   &contract_snapshots, &contract_watches,
                                                   &contract_races};
    static struct CMUnitTest tests[CASES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        for (size_t j = 0; j < groups[i]->n_cases && n < CASES_MAX; j++) {
            tests[n++] = groups[i]->cases[j];
        }
    }
    *n_tests = n;
    return tests;
}

const struct CMUnitTest *contract_tests(size_t *n_tests)
{
    return all_tests(n_tests);
}

static void skip_case(void **state)
{
    (void)state;
    skip();
}

/* A name that is no case's would hide that a case is skipped no more. */
static void skip_by_name(struct CMUnitTest *tests, size_t n_tests,
                         const struct contract_skip *skipped)
{
    for (size_t i = 0; i < n_tests; i++) {
        if (strcmp(tests[i].name, skipped->name) == 0) {
            printf("# %s is skipped: %s\n", skipped->name, skipped->reason);
            tests[i].test_func = skip_case;
            tests[i].setup_func = NULL;
            tests[i].teardown_func = NULL;
            return;
        }
    }
    fprintf(stderr, "there is no case %s to be skipped\n", skipped->name);
    abort();
}

int contract_run(const struct contract_store *store)
{
    size_t n_tests;
    struct CMUnitTest *tests = all_tests(&n_tests);
    under_test = store;
    for (const struct contract_skip *one = store->skips; one != NULL && one->name != NULL; one++) {
        skip_by_name(tests, n_tests, one);
    }
    return _cmocka_run_group_tests(store->name, tests, n_tests, NULL, NULL);
}
