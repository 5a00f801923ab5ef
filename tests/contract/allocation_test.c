/* Each allocation of the built-in stores fails in turn: nothing crashes, leaks or is half done. */
#include "contract/sqlite_scene.h"
#include "lib/allocation.h"
#include "store/memory/memory.h"
#include "store/sqlite/sqlite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

enum { FAILURES_MAX = 2000 };

struct subject {
    const comrade_store_driver *driver;
    const char *url;
    comrade_store *store;
};

static comrade_status on_record(void *user, const comrade_record *record)
{
    *(int *)user += record->id[0] == 'a' || record->id[0] == 'b' ? 1 : 100;
    return COMRADE_OK;
}

static comrade_status on_role(void *user, const comrade_role *role)
{
    (void)user;
    (void)role;
    return COMRADE_OK;
}

static void on_change(void *user, const char *role, const char *id)
{
    (void)user;
    (void)role;
    (void)id;
}

static void on_resync(void *user)
{
    (void)user;
}

static comrade_status open_store(struct subject *subject)
{
    comrade_error error = {0};
    comrade_status status =
        contract_open(subject->driver, subject->url, "", &subject->store, &error);
    assert_int_equal(error.status, status); /* the error says what is returned */
    return status;
}

static comrade_change own_of(const char *id, const comrade_own *own)
{
    return (comrade_change){.kind = COMRADE_PUT_OWN,
                            .id = id,
                            .own = own,
                            .expect_incarnation = COMRADE_ANYTHING,
                            .expect_request_revision = COMRADE_ANYTHING,
                            .expect_updated_ms = COMRADE_ANYTHING,
                            .expect_spec_version = COMRADE_ANYTHING};
}

/* Two members and a spec, all or nothing. */
static comrade_status write_three(struct subject *subject)
{
    comrade_own own = {.incarnation = 100,
                       .sequence = 1,
                       .host = "web1",
                       .version = "1",
                       .metadata = "{}",
                       .details = "{}"};
    comrade_change changes[] = {own_of("a", &own), own_of("b", &own), own_of(NULL, NULL)};
    changes[2].kind = COMRADE_PUT_SPEC;
    changes[2].spec = "{\"minMembers\":1}";
    changes[2].spec_version = 1;
    comrade_write write = {"app", COMRADE_ANYTHING, "r-1", changes, 3};
    comrade_write_result result = {0};
    comrade_call call = contract_call();
    comrade_status status = subject->driver->write(subject->store, &call, &write, 1, &result, NULL);
    return status == COMRADE_OK ? result.status : status;
}

static comrade_status beat_twice(struct subject *subject)
{
    const comrade_beat beats[] = {{"a", 100}, {"b", 100}};
    comrade_beat_result results[2];
    comrade_beat_summary summary;
    comrade_status status = COMRADE_OK;
    for (int i = 0; i < 2 && status == COMRADE_OK; i++) {
        comrade_call call = contract_call();
        status =
            subject->driver->heartbeat(subject->store, &call, beats, 2, results, &summary, NULL);
    }
    return status;
}

static comrade_status count(struct subject *subject, int *n_records)
{
    comrade_snapshot_query query = {.scope = COMRADE_SCOPE_ALL, .limit = 10};
    comrade_snapshot_sink sink = {on_record, on_role, n_records};
    comrade_snapshot_page page;
    comrade_call call = contract_call();
    return subject->driver->snapshot(subject->store, &call, &query, NULL, &sink, &page, NULL);
}

static comrade_status watch(struct subject *subject)
{
    comrade_error error = {0};
    comrade_call call = contract_call();
    comrade_watch_sink sink = {on_change, on_resync, NULL};
    if (subject->driver->watch(subject->store, &call, &error) < 0) {
        return error.status;
    }
    return subject->driver->drain(subject->store, &sink, NULL);
}

static comrade_status use_whole(void *user)
{
    struct subject subject = *(struct subject *)user;
    int n_records = 0;
    comrade_status status = open_store(&subject);
    if (status != COMRADE_OK) {
        return status;
    }
    status = watch(&subject);
    if (status == COMRADE_OK) {
        status = write_three(&subject);
    }
    if (status == COMRADE_OK) {
        status = beat_twice(&subject);
    }
    if (status == COMRADE_OK) {
        status = count(&subject, &n_records);
    }
    subject.driver->close(subject.store);
    /* What could not be read must not be told as if it were empty. */
    return status == COMRADE_OK && n_records != 2 ? COMRADE_BROKEN : status;
}

/* What is only remembered to be faster may be left out: OK is as good as NO_MEMORY. */
static void fail_each(comrade_status (*scenario)(void *user), void *user)
{
    static const enum allocation_fault faults[] = {ALLOCATION_FAIL_ONE, ALLOCATION_FAIL_FROM};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        bool is_hit = true;
        for (size_t nth = 1; is_hit; nth++) {
            size_t n_leaked = 0;
            allocation_faults_begin(faults[i], nth);
            comrade_status status = scenario(user);
            is_hit = allocation_faults_end(&n_leaked);
            if (n_leaked != 0 || (status != COMRADE_OK && status != COMRADE_NO_MEMORY) ||
                nth > FAILURES_MAX) {
                fail_msg("allocation %zu: %s, %zu leaked", nth, comrade_status_name(status),
                         n_leaked);
            }
        }
    }
}

static void the_memory_store_bears_each_failed_allocation(void **state)
{
    (void)state;
    struct subject subject = {&memory_driver, "memory:", NULL};
    fail_each(use_whole, &subject);
}

static void the_sqlite_store_bears_each_failed_allocation(void **state)
{
    struct scene *scene = *state;
    struct subject subject = {&sqlite_driver, scene->url, NULL};
    fail_each(use_whole, &subject);
}

/* --- SQLite's own ----------------------------------------------------------------------------- */

/* It is a library of its own, which the linker does not wrap; but it lets itself be told how. */
static sqlite3_mem_methods sqlite_memory;
static size_t n_until_refused; /* 0: nothing is refused */

static bool is_refused(void)
{
    return n_until_refused > 0 && --n_until_refused == 0;
}

static void *refuse_malloc(int size)
{
    return is_refused() ? NULL : sqlite_memory.xMalloc(size);
}

static void *refuse_realloc(void *memory, int size)
{
    return is_refused() ? NULL : sqlite_memory.xRealloc(memory, size);
}

/* Before anything of SQLite's is used. */
static void take_over_sqlite_memory(void)
{
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sqlite_memory);
    sqlite3_mem_methods refusing = sqlite_memory;
    refusing.xMalloc = refuse_malloc;
    refusing.xRealloc = refuse_realloc;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &refusing);
}

static void sqlite_without_memory_is_an_error_and_no_more(void **state)
{
    struct scene *scene = *state;
    struct subject subject = {&sqlite_driver, scene->url, NULL};
    bool is_hit = true;
    for (size_t nth = 1; is_hit; nth++) {
        int n_records = 0;
        n_until_refused = nth;
        comrade_status status = use_whole(&subject);
        is_hit = n_until_refused == 0;
        n_until_refused = 0;
        /* It calls some of it an I/O error; and of a commit nobody knows. */
        assert_true(status == COMRADE_OK || status == COMRADE_NO_MEMORY ||
                    status == COMRADE_UNAVAILABLE || status == COMRADE_UNKNOWN);
        assert_int_equal(open_store(&subject), COMRADE_OK);
        assert_int_equal(count(&subject, &n_records), COMRADE_OK);
        assert_true(n_records == 0 || n_records == 2);
        assert_int_equal(write_three(&subject), COMRADE_OK);
        subject.driver->close(subject.store);
        assert_true(nth < FAILURES_MAX * 10);
    }
    scene_assert_sound(scene->path);
}

/* --- All or nothing --------------------------------------------------------------------------- */

/* The store lives on: what was refused must not be there by half. */
static void a_write_without_memory_is_all_or_nothing(void **state)
{
    (void)state;
    struct subject subject = {&memory_driver, "memory:", NULL};
    comrade_status status = COMRADE_NO_MEMORY;
    for (size_t nth = 1; status == COMRADE_NO_MEMORY; nth++) {
        int n_records = 0;
        assert_int_equal(open_store(&subject), COMRADE_OK);
        allocation_faults_begin(ALLOCATION_FAIL_ONE, nth);
        status = write_three(&subject);
        allocation_faults_end(NULL);
        assert_int_equal(count(&subject, &n_records), COMRADE_OK);
        assert_int_equal(n_records, status == COMRADE_OK ? 2 : 0);
        assert_int_equal(write_three(&subject), COMRADE_OK);
        subject.driver->close(subject.store);
        assert_true(nth < FAILURES_MAX);
    }
    assert_int_equal(status, COMRADE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_memory_store_bears_each_failed_allocation),
        SCENE_CASE(the_sqlite_store_bears_each_failed_allocation),
        SCENE_CASE(sqlite_without_memory_is_an_error_and_no_more),
        cmocka_unit_test(a_write_without_memory_is_all_or_nothing),
    };
    take_over_sqlite_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
