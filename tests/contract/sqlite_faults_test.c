/*
 * Faults of the machine under the sqlite store: a disk that is full from the beginning, no more
 * descriptors, a file put back after a crash, emptied or overwritten in place. Each is an error
 * that names the file and its cause, or heals.
 */
#include "contract/process.h"
#include "contract/sqlite_scene.h"
#include "store/sqlite/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

/* --- After a crash ---------------------------------------------------------------------------- */

/* Leaves a log with much in it, as a machine that stops does. */
static int write_until_killed(void *user)
{
    struct scene *scene = user;
    comrade_store *store = scene_open(scene);
    for (int i = 0; i < 60; i++) {
        char id[32];
        snprintf(id, sizeof id, "later-%02d", i);
        scene_put(store, id);
    }
    process_tell(0);
    process_is_told();
    sqlite_driver.close(store);
    return 0;
}

static void a_backup_copied_after_a_crash_is_not_mixed_with_the_log_before(void **state)
{
    struct scene *scene = *state;
    char backup[SCENE_PATH_SIZE];
    char sql[SCENE_PATH_SIZE * 2];
    snprintf(backup, sizeof backup, "%s/backup.db", scene->folder);
    comrade_store *store = scene_open(scene);
    scene_put(store, "in-backup");
    snprintf(sql, sizeof sql, "VACUUM INTO '%s'", backup);
    scene_run_sql(scene->path, sql);
    sqlite_driver.close(store);
    struct process *writer = process_start(write_until_killed, scene);
    assert_int_equal(process_hear(writer), 0);
    process_kill(writer);
    assert_int_equal(process_join(writer), 128 + SIGKILL);

    /* The copy may get the inode of the file that was deleted. */
    assert_int_equal(unlink(scene->path), 0);
    scene_copy_file(backup, scene->path);
    store = scene_open(scene);
    assert_int_equal(scene_count(scene, store), 1);
    scene_put(store, "after");
    sqlite_driver.close(store);
    scene_assert_sound(scene->path);
}

/* --- Files beside ----------------------------------------------------------------------------- */

static void unlink_beside(const struct scene *scene, const char *ending)
{
    char path[SCENE_PATH_SIZE];
    snprintf(path, sizeof path, "%s%s", scene->path, ending);
    assert_int_equal(unlink(path), 0);
}

/* Opens it when asked, and counts whenever it is asked again. */
static int open_and_count(void *user)
{
    struct scene *scene = user;
    process_tell(0);
    process_is_told();
    comrade_store *store = scene_open(scene);
    while (process_tell(scene_count(scene, store)) && process_is_told()) {
    }
    sqlite_driver.close(store);
    return 0;
}

/* Who thinks them left over loses what was written last; but all go on, and see the same again. */
static void members_whose_log_was_deleted_come_together_again(void **state)
{
    struct scene *scene = *state;
    /* SQLite must not have the file open when they are forked. */
    struct process *other = process_start(open_and_count, scene);
    struct process *newcomer = process_start(open_and_count, scene);
    assert_int_equal(process_hear(other), 0);
    assert_int_equal(process_hear(newcomer), 0);
    comrade_store *store = scene_open(scene);
    scene_put(store, "a");
    process_ask(other);
    assert_int_equal(process_hear(other), 1);
    unlink_beside(scene, "-wal");
    unlink_beside(scene, "-shm");
    process_ask(newcomer);
    assert_int_equal(process_hear(newcomer), 0); /* all was in the log */
    for (int i = 0; i < 3; i++) {
        scene_count(scene, store);
        process_ask(other);
        process_hear(other);
        process_ask(newcomer);
        process_hear(newcomer);
    }
    scene_put(store, "a");
    scene_put(store, "b");
    long count = scene_count(scene, store);
    assert_int_equal(count, 2);
    process_ask(other);
    process_ask(newcomer);
    assert_int_equal(process_hear(other), count);
    assert_int_equal(process_hear(newcomer), count);
    assert_int_equal(process_join(other), 0);
    assert_int_equal(process_join(newcomer), 0);
    sqlite_driver.close(store);
    scene_assert_sound(scene->path);
}

/* Both would write into one log, not seeing each other's locks. */
static void members_whose_locks_were_deleted_find_each_other_again(void **state)
{
    struct scene *scene = *state;
    struct process *newcomer = process_start(open_and_count, scene);
    assert_int_equal(process_hear(newcomer), 0);
    comrade_store *store = scene_open(scene);
    scene_put(store, "a");
    unlink_beside(scene, "-shm");
    process_ask(newcomer);
    assert_int_equal(process_hear(newcomer), 1);
    scene_put(store, "b");
    process_ask(newcomer);
    assert_int_equal(process_hear(newcomer), 2);
    assert_int_equal(process_join(newcomer), 0);
    assert_int_equal(scene_count(scene, store), 2);
    sqlite_driver.close(store);
    scene_assert_sound(scene->path);
}

/* All who open it must agree on the files beside it, also the first, who makes what it leads to. */
static void a_link_to_a_file_that_is_not_there_yet_is_followed(void **state)
{
    struct scene *scene = *state;
    char target[SCENE_PATH_SIZE];
    char beside_link[SCENE_PATH_SIZE];
    snprintf(target, sizeof target, "%s/target.db", scene->folder);
    snprintf(beside_link, sizeof beside_link, "%s-notify", scene->path);
    assert_int_equal(symlink(target, scene->path), 0);
    comrade_store *first = scene_open(scene);
    comrade_store *second = scene_open(scene);
    comrade_call call = contract_call();
    int fd = sqlite_driver.watch(second, &call, &scene->error);
    scene_put(first, "a");
    assert_true(comrade_call_wait(&call, fd, POLLIN) > 0);
    assert_int_not_equal(access(beside_link, F_OK), 0);
    sqlite_driver.close(first);
    sqlite_driver.close(second);
}

static int put_as_nobody(void *user)
{
    struct scene *scene = user;
    process_tell(0);
    process_is_told();
    if (setgid(SCENE_NOBODY) != 0 || setuid(SCENE_NOBODY) != 0) {
        return 2;
    }
    comrade_store *store = scene_open(scene);
    scene_put(store, "a");
    sqlite_driver.close(store);
    return 0;
}

/* An administrator who looks at a service's file must not keep the service from being heard. */
static void what_root_makes_beside_a_file_belongs_to_the_files_owner(void **state)
{
    struct scene *scene = *state;
    if (geteuid() != 0) {
        skip();
    }
    struct process *process = process_start(put_as_nobody, scene);
    assert_int_equal(process_hear(process), 0);
    sqlite_driver.close(scene_open(scene));
    assert_int_equal(chown(scene->folder, SCENE_NOBODY, SCENE_NOBODY), 0);
    assert_int_equal(chown(scene->path, SCENE_NOBODY, SCENE_NOBODY), 0);
    unlink_beside(scene, "-wal");
    unlink_beside(scene, "-shm");
    comrade_store *store = scene_open(scene);
    comrade_call call = contract_call();
    int fd = sqlite_driver.watch(store, &call, &scene->error);
    process_ask(process);
    assert_int_equal(process_join(process), 0);
    call.deadline_ms -= 15000;
    assert_true(comrade_call_wait(&call, fd, POLLIN) > 0);
    assert_int_equal(scene_count(scene, store), 1);
    sqlite_driver.close(store);
}

static void a_link_laid_beside_the_file_is_not_written(void **state)
{
    struct scene *scene = *state;
    char precious[SCENE_PATH_SIZE];
    char notify[SCENE_PATH_SIZE];
    char found[SCENE_TEXT_SIZE] = {0};
    snprintf(precious, sizeof precious, "%s/precious", scene->folder);
    snprintf(notify, sizeof notify, "%s-notify", scene->path);
    scene_write_file(precious, "precious");
    assert_int_equal(link(precious, notify), 0);
    comrade_store *store = scene_open(scene);
    scene_put(store, "a");
    assert_int_equal(scene_count(scene, store), 1);
    sqlite_driver.close(store);
    int fd = open(precious, O_RDONLY | O_CLOEXEC);
    assert_true(read(fd, found, sizeof found - 1) > 0);
    close(fd);
    assert_string_equal(found, "precious");
}

/* --- Nothing left ----------------------------------------------------------------------------- */

static void opening_on_a_full_disk_says_so(void **state)
{
    struct scene *scene = *state;
    if (geteuid() != 0 || mount("tmpfs", scene->folder, "tmpfs", 0, "size=512k") != 0) {
        skip();
    }
    char filler[SCENE_PATH_SIZE];
    char bytes[SCENE_TEXT_SIZE] = {0};
    snprintf(filler, sizeof filler, "%s/filler", scene->folder);
    int fd = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (write(fd, bytes, sizeof bytes) > 0) {
    }
    close(fd);
    comrade_store *store = NULL;
    assert_int_equal(contract_open(&sqlite_driver, scene->url, "", &store, &scene->error),
                     COMRADE_UNAVAILABLE);
    assert_non_null(strstr(scene->error.message, scene->path));
    assert_non_null(strstr(scene->error.message, "disk is full"));
    assert_int_equal(unlink(filler), 0);
    sqlite_driver.close(scene_open(scene));
}

static void a_read_only_file_system_says_so_and_may_be_listed(void **state)
{
    struct scene *scene = *state;
    if (geteuid() != 0 || mount("tmpfs", scene->folder, "tmpfs", 0, "size=1m") != 0) {
        skip();
    }
    comrade_store *store = scene_open(scene);
    scene_put(store, "a");
    sqlite_driver.close(store);
    assert_int_equal(mount("tmpfs", scene->folder, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=1m"), 0);
    store = scene_open(scene);
    comrade_call call = contract_call();
    assert_int_equal(scene_count(scene, store), 1);
    assert_int_equal(scene_write(scene, store, "b", &call), COMRADE_DENIED);
    sqlite_driver.close(store);
    snprintf(scene->url, sizeof scene->url, "sqlite:%s/new.db", scene->folder);
    assert_int_equal(contract_open(&sqlite_driver, scene->url, "", &store, &scene->error),
                     COMRADE_UNAVAILABLE);
    assert_non_null(strstr(scene->error.message, "/new.db"));
    assert_non_null(strstr(scene->error.message, strerror(EROFS)));
}

static int open_without_descriptors(void *user)
{
    struct scene *scene = user;
    struct rlimit limit = {3, 3};
    comrade_store *store = NULL;
    int fd;
    while ((fd = dup(0)) >= 0 && fd < 64) {
    }
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &limit);
    comrade_status status = contract_open(&sqlite_driver, scene->url, "", &store, &scene->error);
    assert_int_equal(status, COMRADE_UNAVAILABLE);
    assert_non_null(strstr(scene->error.message, scene->path));
    assert_non_null(strstr(scene->error.message, strerror(EMFILE)));
    return 0;
}

static void without_descriptors_opening_says_so(void **state)
{
    assert_int_equal(process_join(process_start(open_without_descriptors, *state)), 0);
}

/* --- In place --------------------------------------------------------------------------------- */

static void assert_broken(struct scene *scene, comrade_store *store)
{
    comrade_call call = contract_call();
    assert_int_equal(scene_write(scene, store, "b", &call), COMRADE_BROKEN);
    assert_non_null(strstr(scene->error.message, scene->path));
    assert_int_equal(scene_count(scene, store), -1);
    assert_int_equal(scene->error.status, COMRADE_BROKEN);
    assert_non_null(strstr(scene->error.message, scene->path));
}

static void garbage_in_the_file_is_said_until_a_good_one_is_put_back(void **state)
{
    struct scene *scene = *state;
    char good[SCENE_PATH_SIZE];
    char garbage[SCENE_TEXT_SIZE * 4];
    snprintf(good, sizeof good, "%s/good.db", scene->folder);
    comrade_store *store = scene_open(scene);
    comrade_store *other = scene_open(scene);
    scene_put(store, "a");
    scene_put(other, "b");
    scene_run_sql(scene->path, "PRAGMA wal_checkpoint(TRUNCATE)");
    scene_copy_file(scene->path, good);
    memset(garbage, 'x', sizeof garbage - 1);
    garbage[sizeof garbage - 1] = '\0';
    scene_write_file(scene->path, garbage);
    assert_broken(scene, store);
    assert_broken(scene, other);
    assert_broken(scene, store);

    assert_int_equal(rename(good, scene->path), 0);
    scene_put(store, "c");
    assert_int_equal(scene_count(scene, other), 3);
    sqlite_driver.close(store);
    sqlite_driver.close(other);
    scene_assert_sound(scene->path);
}

/* What was written last is still in the log, and what members had open goes on. */
static void a_file_emptied_in_place_loses_nothing_that_is_in_the_log(void **state)
{
    struct scene *scene = *state;
    comrade_store *store = scene_open(scene);
    comrade_store *other = scene_open(scene);
    scene_put(store, "a");
    assert_int_equal(truncate(scene->path, 0), 0);
    scene_put(store, "b");
    assert_int_equal(scene_count(scene, other), 2);
    sqlite_driver.close(store);
    sqlite_driver.close(other);
    store = scene_open(scene);
    assert_int_equal(scene_count(scene, store), 2);
    sqlite_driver.close(store);
    scene_assert_sound(scene->path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_CASE(a_backup_copied_after_a_crash_is_not_mixed_with_the_log_before),
        SCENE_CASE(members_whose_log_was_deleted_come_together_again),
        SCENE_CASE(members_whose_locks_were_deleted_find_each_other_again),
        SCENE_CASE(a_link_to_a_file_that_is_not_there_yet_is_followed),
        SCENE_CASE(what_root_makes_beside_a_file_belongs_to_the_files_owner),
        SCENE_CASE(a_link_laid_beside_the_file_is_not_written),
        SCENE_CASE(opening_on_a_full_disk_says_so),
        SCENE_CASE(without_descriptors_opening_says_so),
        SCENE_CASE(a_read_only_file_system_says_so_and_may_be_listed),
        SCENE_CASE(garbage_in_the_file_is_said_until_a_good_one_is_put_back),
        SCENE_CASE(a_file_emptied_in_place_loses_nothing_that_is_in_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
