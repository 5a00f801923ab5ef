/* Many processes on one file: opening at once, holding the lock, counting, being killed. */
#include "base/env.h"
#include "contract/process.h"
#include "contract/sqlite_scene.h"
#include "core/snapshot.h"
#include "store/sqlite/sqlite.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

enum { OPENERS = 100, COUNTERS = 3, ROUNDS = 40, KILLS = 15, STOPS = 20 };

/* --- Opening ---------------------------------------------------------------------------------- */

static int open_and_put(void *user)
{
    char id[32];
    process_tell(0);
    process_is_told();
    comrade_store *store = scene_open(user);
    snprintf(id, sizeof id, "m-%d", (int)getpid());
    scene_put(store, id);
    sqlite_driver.close(store);
    return 0;
}

static void a_hundred_may_open_an_empty_path_at_once(void **state)
{
    struct scene *scene = *state;
    struct process *processes[OPENERS];
    for (int i = 0; i < OPENERS; i++) {
        processes[i] = process_start(open_and_put, scene);
    }
    for (int i = 0; i < OPENERS; i++) {
        assert_int_equal(process_hear(processes[i]), 0);
    }
    for (int i = 0; i < OPENERS; i++) {
        process_ask(processes[i]);
    }
    for (int i = 0; i < OPENERS; i++) {
        assert_int_equal(process_join(processes[i]), 0);
    }
    comrade_store *store = scene_open(scene);
    assert_int_equal(scene_count(scene, store), OPENERS);
    sqlite_driver.close(store);
    scene_assert_sound(scene->path);
}

/* --- Waiting ---------------------------------------------------------------------------------- */

/* Holds the write lock from before it says so until it is asked. */
static int hold_the_lock(void *user)
{
    struct scene *scene = user;
    sqlite3 *database = NULL;
    assert_int_equal(sqlite3_open(scene->path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    process_tell(0);
    process_is_told();
    sqlite3_close(database);
    return 0;
}

static int64_t now_ms(void)
{
    return env_monotonic_ms(&env_system);
}

static void a_lock_held_for_too_long_is_unavailable_and_changes_nothing(void **state)
{
    struct scene *scene = *state;
    sqlite_driver.close(scene_open(scene));
    struct process *holder = process_start(hold_the_lock, scene);
    assert_int_equal(process_hear(holder), 0);
    comrade_store *store = scene_open(scene); /* which needs no lock */
    comrade_call call = contract_call();
    int64_t start_ms = now_ms();
    call.deadline_ms = start_ms + 300;
    assert_int_equal(scene_write(scene, store, "a", &call), COMRADE_UNAVAILABLE);
    assert_in_range(now_ms() - start_ms, 300, 5000);
    assert_non_null(strstr(scene->error.message, scene->path));
    assert_non_null(strstr(scene->error.message, "locked"));
    assert_int_equal(scene_count(scene, store), 0); /* readers are not kept out */
    process_ask(holder);
    assert_int_equal(process_join(holder), 0);
    scene_put(store, "a");
    assert_int_equal(scene_count(scene, store), 1);
    sqlite_driver.close(store);
}

static void a_call_that_waits_for_the_lock_can_be_cancelled(void **state)
{
    struct scene *scene = *state;
    sqlite_driver.close(scene_open(scene));
    struct process *holder = process_start(hold_the_lock, scene);
    assert_int_equal(process_hear(holder), 0);
    comrade_store *store = scene_open(scene); /* which needs no lock */
    int cancel_fd = eventfd(1, EFD_CLOEXEC);
    comrade_call call = contract_call();
    int64_t start_ms = now_ms();
    call.cancel_fd = cancel_fd;
    call.cancellable_ms = start_ms + 250;
    comrade_status status = scene_write(scene, store, "a", &call);
    assert_true(status == COMRADE_CANCELED || status == COMRADE_UNAVAILABLE);
    assert_in_range(now_ms() - start_ms, 250, 5000); /* not before, and long before the deadline */
    assert_non_null(strstr(scene->error.message, scene->path));
    process_ask(holder);
    assert_int_equal(process_join(holder), 0);
    assert_int_equal(scene_count(scene, store), 0);
    close(cancel_fd);
    sqlite_driver.close(store);
}

/* Opens, writes and closes without end, so that it can be stopped in any of it. */
static int open_and_write_on(void *user)
{
    struct scene *scene = user;
    if (!process_tell((long)getpid()) || !process_is_told()) {
        return 0;
    }
    for (long n = 0; process_tell(n); n++) {
        comrade_store *store = scene_open(scene);
        scene_put(store, "a");
        sqlite_driver.close(store);
    }
    return 0;
}

static comrade_status open_within(struct scene *scene, int64_t limit_ms, comrade_store **store)
{
    comrade_store_config config = {.size = sizeof config,
                                   .url = scene->url,
                                   .shown_url = scene->url,
                                   .name_space = "",
                                   .kind = "ComradeServer",
                                   .wall_ms = contract_wall_ms};
    comrade_call call = contract_call();
    call.deadline_ms = now_ms() + limit_ms;
    return sqlite_driver.open(&config, &call, store, &scene->error);
}

static void a_process_that_is_stopped_makes_nobody_miss_a_deadline(void **state)
{
    struct scene *scene = *state;
    struct process *process = process_start(open_and_write_on, scene);
    pid_t pid = (pid_t)process_hear(process);
    process_ask(process);
    for (int i = 0; i < STOPS; i++) {
        process_hear(process);
        kill(pid, SIGSTOP);
        int64_t start_ms = now_ms();
        comrade_store *store = NULL;
        comrade_status status = open_within(scene, 50, &store);
        if (status == COMRADE_OK) {
            comrade_call call = contract_call();
            call.deadline_ms = now_ms() + 50;
            status = scene_write(scene, store, "b", &call);
        }
        assert_true(status == COMRADE_OK || status == COMRADE_UNAVAILABLE);
        assert_in_range(now_ms() - start_ms, 0, 5000);
        sqlite_driver.close(store);
        kill(pid, SIGCONT);
    }
    process_kill(process);
    assert_int_equal(process_join(process), 128 + SIGKILL);
    scene_assert_sound(scene->path);
}

/* --- Counting --------------------------------------------------------------------------------- */

static comrade_status read_role(comrade_store *store, int64_t *revision, int64_t *version)
{
    struct snapshot snapshot;
    snapshot_init(&snapshot);
    comrade_snapshot_query query = {
        .scope = COMRADE_SCOPE_ROLE, .role = "app", .roles_only = true, .limit = 1};
    comrade_snapshot_sink sink = {snapshot_add_record, snapshot_add_role, &snapshot};
    comrade_snapshot_page page = {0};
    comrade_call call = contract_call();
    comrade_status status = sqlite_driver.snapshot(store, &call, &query, NULL, &sink, &page, NULL);
    if (status == COMRADE_OK) {
        *revision = snapshot.roles[0].revision;
        *version = snapshot.roles[0].spec_version;
    }
    snapshot_finish(&snapshot);
    return status;
}

/* Adds one to the version of the spec, naming the revision that was seen. */
static comrade_status add_one(comrade_store *store)
{
    int64_t revision = 0;
    int64_t version = 0;
    comrade_write_result result = {0};
    comrade_status status = read_role(store, &revision, &version);
    if (status != COMRADE_OK) {
        return status;
    }
    comrade_change change = {.kind = COMRADE_PUT_SPEC,
                             .spec = "{}",
                             .spec_version = version + 1,
                             .expect_incarnation = COMRADE_ANYTHING,
                             .expect_request_revision = COMRADE_ANYTHING,
                             .expect_updated_ms = COMRADE_ANYTHING,
                             .expect_spec_version = COMRADE_ANYTHING};
    comrade_write write = {"app", revision, NULL, &change, 1};
    comrade_call call = contract_call();
    status = sqlite_driver.write(store, &call, &write, 1, &result, NULL);
    return status == COMRADE_OK ? result.status : status;
}

static int count_up(void *user)
{
    comrade_store *store = scene_open(user);
    for (int n_added = 0; n_added < ROUNDS;) {
        comrade_status status = add_one(store);
        assert_true(status == COMRADE_OK || status == COMRADE_CONFLICT);
        n_added += status == COMRADE_OK ? 1 : 0;
    }
    sqlite_driver.close(store);
    return 0;
}

static void processes_that_count_by_expected_revisions_lose_nothing(void **state)
{
    struct scene *scene = *state;
    struct process *counters[COUNTERS];
    int64_t revision;
    int64_t version;
    for (int i = 0; i < COUNTERS; i++) {
        counters[i] = process_start(count_up, scene);
    }
    for (int i = 0; i < COUNTERS; i++) {
        assert_int_equal(process_join(counters[i]), 0);
    }
    comrade_store *store = scene_open(scene);
    assert_int_equal(read_role(store, &revision, &version), COMRADE_OK);
    assert_int_equal(version, COUNTERS * ROUNDS);
    sqlite_driver.close(store);
}

/* --- Being killed ----------------------------------------------------------------------------- */

/* Tells the version after each write that was acknowledged, until it is killed. */
static int count_aloud(void *user)
{
    comrade_store *store = scene_open(user);
    int64_t revision;
    int64_t version;
    while (add_one(store) == COMRADE_OK && read_role(store, &revision, &version) == COMRADE_OK &&
           process_tell((long)version)) {
    }
    return 0;
}

static void writers_that_are_killed_leave_what_they_acknowledged(void **state)
{
    struct scene *scene = *state;
    long acknowledged = 0;
    for (int i = 0; i < KILLS; i++) {
        struct process *writer = process_start(count_aloud, scene);
        for (int n = 0; n <= i; n++) {
            long told = process_hear(writer);
            assert_true(told > acknowledged);
            acknowledged = told;
        }
        process_kill(writer);
        for (long told = process_hear(writer); told != -1; told = process_hear(writer)) {
            acknowledged = told;
        }
        assert_int_equal(process_join(writer), 128 + SIGKILL);
        scene_assert_sound(scene->path);
        int64_t revision;
        int64_t version;
        comrade_store *store = scene_open(scene);
        assert_int_equal(read_role(store, &revision, &version), COMRADE_OK);
        assert_in_range(version, acknowledged, acknowledged + 1);
        acknowledged = (long)version;
        sqlite_driver.close(store);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_CASE(a_hundred_may_open_an_empty_path_at_once),
        SCENE_CASE(a_lock_held_for_too_long_is_unavailable_and_changes_nothing),
        SCENE_CASE(a_call_that_waits_for_the_lock_can_be_cancelled),
        SCENE_CASE(a_process_that_is_stopped_makes_nobody_miss_a_deadline),
        SCENE_CASE(processes_that_count_by_expected_revisions_lose_nothing),
        SCENE_CASE(writers_that_are_killed_leave_what_they_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
