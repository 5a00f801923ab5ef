/*
 * What may happen to the file of the sqlite store under running members: the disk is full, the file
 * replaced, deleted, restored or damaged. Each is an error that names it, or heals.
 */
#include "contract/process.h"
#include "contract/sqlite_scene.h"
#include "store/sqlite/sqlite.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

/* What `.restore` of the sqlite3 program does: puts a copy into the file that is open elsewhere. */
static void restore_into(const char *path, const char *backup)
{
    sqlite3 *to = NULL;
    sqlite3 *from = NULL;
    assert_int_equal(sqlite3_open(path, &to), SQLITE_OK);
    assert_int_equal(sqlite3_open(backup, &from), SQLITE_OK);
    sqlite3_backup *copying = sqlite3_backup_init(to, "main", from, "main");
    assert_non_null(copying);
    assert_int_equal(sqlite3_backup_step(copying, -1), SQLITE_DONE);
    assert_int_equal(sqlite3_backup_finish(copying), SQLITE_OK);
    sqlite3_close(from);
    sqlite3_close(to);
}

static void assert_damaged(struct scene *scene)
{
    comrade_store *store = NULL;
    assert_int_equal(contract_open(&sqlite_driver, scene->url, "", &store, &scene->error),
                     COMRADE_BROKEN);
    assert_non_null(strstr(scene->error.message, scene->path));
}

/* --- What happens under running members --------------------------------------------------------
 */

static void a_full_disk_applies_nothing_and_passes(void **state)
{
    struct scene *scene = *state;
    if (geteuid() != 0 || mount("tmpfs", scene->folder, "tmpfs", 0, "size=512k") != 0) {
        skip();
    }
    comrade_store *store = scene_open(scene);
    scene_put(store, "a");
    char filler[SCENE_PATH_SIZE];
    char bytes[SCENE_TEXT_SIZE] = {0};
    snprintf(filler, sizeof filler, "%s/filler", scene->folder);
    int fd = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (write(fd, bytes, sizeof bytes) > 0) {
    }
    close(fd);

    comrade_call call = contract_call();
    assert_int_equal(scene_write(scene, store, "b", &call), COMRADE_UNAVAILABLE);
    assert_non_null(strstr(scene->error.message, "the disk is full"));
    assert_non_null(strstr(scene->error.message, scene->path));
    assert_int_equal(scene_count(scene, store), 1);

    unlink(filler);
    scene_put(store, "b");
    assert_int_equal(scene_count(scene, store), 2);
    sqlite_driver.close(store);
    assert_int_equal(umount(scene->folder), 0);
}

/* Another process that has the store open all the while; it counts when it is told to. */
static int count_when_told(void *user)
{
    struct scene *scene = user;
    comrade_store *store = scene_open(scene);
    long n = scene_count(scene, store);
    while (process_tell(n) && process_is_told()) {
        n = scene_count(scene, store);
    }
    sqlite_driver.close(store);
    return 0;
}

/* Writes much into the log behind the backup, so that it would be there to be mixed up. */
static void make_backup(comrade_store *store, const char *path, const char *backup)
{
    char sql[512];
    scene_put(store, "in-backup");
    snprintf(sql, sizeof sql, "VACUUM INTO '%s'", backup);
    scene_run_sql(path, sql);
    for (int i = 0; i < 60; i++) {
        char id[32];
        snprintf(id, sizeof id, "later-%02d", i);
        scene_put(store, id);
    }
}

static void a_backup_moved_into_place_is_what_everybody_sees(void **state)
{
    struct scene *scene = *state;
    char backup[SCENE_PATH_SIZE];
    snprintf(backup, sizeof backup, "%s/backup.db", scene->folder);
    struct process *other = process_start(count_when_told, scene);
    assert_int_equal(process_hear(other), 0);
    comrade_store *store = scene_open(scene);
    make_backup(store, scene->path, backup);
    process_ask(other);
    assert_int_equal(process_hear(other), 61);

    assert_int_equal(rename(backup, scene->path), 0);
    struct process *newcomer = process_start(count_when_told, scene);
    assert_int_equal(process_hear(newcomer), 1);
    assert_int_equal(scene_count(scene, store), 1);
    scene_put(store, "after");
    process_ask(other);
    assert_int_equal(process_hear(other), 2);
    process_ask(newcomer);
    assert_int_equal(process_hear(newcomer), 2);
    assert_int_equal(process_join(other), 0);
    assert_int_equal(process_join(newcomer), 0);
    scene_put(store, "after all");
    assert_int_equal(scene_count(scene, store), 3);
    sqlite_driver.close(store);
    scene_assert_sound(scene->path);
}

static void a_deleted_file_is_made_again_for_everybody(void **state)
{
    struct scene *scene = *state;
    struct process *other = process_start(count_when_told, scene);
    assert_int_equal(process_hear(other), 0);
    comrade_store *store = scene_open(scene);
    scene_put(store, "a");
    process_ask(other);
    assert_int_equal(process_hear(other), 1);
    assert_int_equal(unlink(scene->path), 0);
    process_ask(other);
    assert_int_equal(process_hear(other), 0);
    scene_put(store, "b");
    scene_put(store, "c");
    process_ask(other);
    assert_int_equal(process_hear(other), 2);
    assert_int_equal(process_join(other), 0);
    sqlite_driver.close(store);
    scene_assert_sound(scene->path);
}

static void a_backup_restored_through_sqlite_loses_no_namespace(void **state)
{
    struct scene *scene = *state;
    char backup[SCENE_PATH_SIZE];
    char sql[512];
    snprintf(backup, sizeof backup, "%s/backup.db", scene->folder);
    comrade_store *first = scene_open(scene);
    scene_put(first, "a");
    snprintf(sql, sizeof sql, "VACUUM INTO '%s'", backup);
    scene_run_sql(scene->path, sql);
    comrade_store *second = contract_must_open(&sqlite_driver, scene->url, "second");
    scene_put(second, "b");
    restore_into(scene->path, backup);
    comrade_store *third = contract_must_open(&sqlite_driver, scene->url, "third");
    scene_put(third, "c");

    assert_int_equal(scene_count(scene, second),
                     -1); /* noticed, and opened again by the next call */
    assert_int_equal(scene->error.status, COMRADE_UNAVAILABLE);
    scene_put(second, "b2");
    assert_int_equal(scene_count(scene, third), 1);
    sqlite_driver.close(first);
    sqlite_driver.close(second);
    sqlite_driver.close(third);
}

static void a_damaged_file_is_named_and_a_good_one_is_taken_again(void **state)
{
    struct scene *scene = *state;
    char backup[SCENE_PATH_SIZE];
    snprintf(backup, sizeof backup, "%s/backup.db", scene->folder);
    comrade_store *store = scene_open(scene);
    make_backup(store, scene->path, backup);
    sqlite_driver.close(store);
    char garbage[SCENE_TEXT_SIZE];
    memset(garbage, 0x5a, sizeof garbage);
    int fd = open(scene->path, O_WRONLY | O_CLOEXEC);
    struct stat found;
    assert_int_equal(fstat(fd, &found), 0);
    for (off_t at = SCENE_TEXT_SIZE; at < found.st_size;
         at += SCENE_TEXT_SIZE) { /* all but the first page */
        assert_int_equal(pwrite(fd, garbage, sizeof garbage, at), sizeof garbage);
    }
    close(fd);
    assert_damaged(scene);
    assert_int_equal(rename(backup, scene->path), 0);
    store = scene_open(scene);
    assert_int_equal(scene_count(scene, store), 1);
    sqlite_driver.close(store);
}

static void a_file_overwritten_in_place_heals_when_a_copy_is_moved_over_it(void **state)
{
    struct scene *scene = *state;
    char backup[SCENE_PATH_SIZE];
    char copy[SCENE_PATH_SIZE];
    snprintf(backup, sizeof backup, "%s/backup.db", scene->folder);
    snprintf(copy, sizeof copy, "%s/copy.db", scene->folder);
    comrade_store *store = scene_open(scene);
    make_backup(store, scene->path, backup);
    scene_copy_file(backup, copy);
    char garbage[SCENE_TEXT_SIZE * 4];
    memset(garbage, 'x', sizeof garbage - 1);
    garbage[sizeof garbage - 1] = '\0';
    scene_write_file(scene->path, garbage);
    scene_count(scene, store); /* whatever it says: it must not crash */
    assert_int_equal(rename(copy, scene->path), 0);
    assert_int_equal(scene_count(scene, store), 1);
    scene_put(store, "after");
    assert_int_equal(scene_count(scene, store), 2);
    sqlite_driver.close(store);
    scene_assert_sound(scene->path);
}

/* --- Watching ----------------------------------------------------------------------------------
 */

struct heard {
    int n_changes;
    int n_resyncs;
};

static void on_change(void *user, const char *role, const char *id)
{
    (void)role;
    (void)id;
    ((struct heard *)user)->n_changes++;
}

static void on_resync(void *user)
{
    ((struct heard *)user)->n_resyncs++;
}

static comrade_status drain(struct scene *scene, comrade_store *store, struct heard *heard)
{
    comrade_watch_sink sink = {on_change, on_resync, heard};
    *heard = (struct heard){0};
    return sqlite_driver.drain(store, &sink, &scene->error);
}

static void who_watches_hears_that_the_file_is_another(void **state)
{
    struct scene *scene = *state;
    struct heard heard;
    comrade_store *store = scene_open(scene);
    comrade_store *other = scene_open(scene);
    scene_put(store, "a");
    comrade_call call = contract_call();
    int fd = sqlite_driver.watch(store, &call, &scene->error);
    assert_true(fd >= 0);
    assert_int_equal(drain(scene, store, &heard), COMRADE_OK);
    assert_int_equal(unlink(scene->path), 0);
    scene_put(other, "b");
    assert_true(comrade_call_wait(&call, fd, POLLIN) > 0);
    assert_int_equal(drain(scene, store, &heard), COMRADE_OK);
    assert_int_equal(heard.n_resyncs, 1);
    assert_int_equal(scene_count(scene, store), 1);
    sqlite_driver.close(store);
    sqlite_driver.close(other);
}

static void a_watch_whose_file_was_deleted_says_so(void **state)
{
    struct scene *scene = *state;
    struct heard heard;
    char notify[SCENE_PATH_SIZE];
    snprintf(notify, sizeof notify, "%s-notify", scene->path);
    comrade_store *store = scene_open(scene);
    comrade_call call = contract_call();
    int fd = sqlite_driver.watch(store, &call, &scene->error);
    assert_int_equal(unlink(notify), 0);
    assert_true(comrade_call_wait(&call, fd, POLLIN) > 0);
    assert_int_equal(drain(scene, store, &heard), COMRADE_UNAVAILABLE);
    fd = sqlite_driver.watch(store, &call, &scene->error);
    scene_put(store, "a");
    assert_true(comrade_call_wait(&call, fd, POLLIN) > 0);
    assert_int_equal(drain(scene, store, &heard), COMRADE_OK);
    assert_int_equal(heard.n_changes, 1);
    sqlite_driver.close(store);
}

static void without_a_file_to_watch_a_timer_makes_it_look(void **state)
{
    struct scene *scene = *state;
    struct heard heard;
    char notify[SCENE_PATH_SIZE];
    snprintf(notify, sizeof notify, "%s-notify", scene->path);
    assert_int_equal(mkdir(notify, 0755), 0);
    comrade_store *store = scene_open(scene);
    comrade_call call = contract_call();
    int fd = sqlite_driver.watch(store, &call, &scene->error);
    assert_true(fd >= 0);
    scene_put(store, "a");
    assert_true(comrade_call_wait(&call, fd, POLLIN) > 0);
    assert_int_equal(drain(scene, store, &heard), COMRADE_OK);
    assert_int_equal(heard.n_changes, 1);
    assert_int_equal(heard.n_resyncs, 0);
    sqlite_driver.close(store);
}

static void who_falls_too_far_behind_is_told_to_look_at_everything(void **state)
{
    struct scene *scene = *state;
    struct heard heard;
    comrade_store *store = scene_open(scene);
    comrade_call call = contract_call();
    assert_true(sqlite_driver.watch(store, &call, &scene->error) >= 0);
    for (int i = 0; i < 1100; i++) {
        assert_int_equal(contract_put(&sqlite_driver, store, "app", "a", 1, i + 1), COMRADE_OK);
    }
    assert_int_equal(drain(scene, store, &heard), COMRADE_OK);
    assert_int_equal(heard.n_resyncs, 1);
    scene_put(store, "b");
    assert_int_equal(drain(scene, store, &heard), COMRADE_OK);
    assert_int_equal(heard.n_resyncs, 0);
    assert_int_equal(heard.n_changes, 1);
    sqlite_driver.close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_CASE(a_full_disk_applies_nothing_and_passes),
        SCENE_CASE(a_backup_moved_into_place_is_what_everybody_sees),
        SCENE_CASE(a_deleted_file_is_made_again_for_everybody),
        SCENE_CASE(a_backup_restored_through_sqlite_loses_no_namespace),
        SCENE_CASE(a_damaged_file_is_named_and_a_good_one_is_taken_again),
        SCENE_CASE(who_watches_hears_that_the_file_is_another),
        SCENE_CASE(a_watch_whose_file_was_deleted_says_so),
        SCENE_CASE(a_file_overwritten_in_place_heals_when_a_copy_is_moved_over_it),
        SCENE_CASE(without_a_file_to_watch_a_timer_makes_it_look),
        SCENE_CASE(who_falls_too_far_behind_is_told_to_look_at_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
