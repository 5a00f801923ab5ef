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
        SCENE_CASE(opening_on_a_full_disk_says_so),
        SCENE_CASE(without_descriptors_opening_says_so),
        SCENE_CASE(a_file_emptied_in_place_loses_nothing_that_is_in_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
