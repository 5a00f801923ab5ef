/* Paths that cannot be opened: each is an error that names the path and leaves the file alone. */
#include "contract/process.h"
#include "contract/sqlite_scene.h"
#include "store/sqlite/sqlite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void assert_opening_fails(struct scene *scene, comrade_status status, const char *says)
{
    comrade_store *store = NULL;
    comrade_status found = contract_open(&sqlite_driver, scene->url, "", &store, &scene->error);
    if (found == COMRADE_OK) {
        sqlite_driver.close(store);
        fail_msg("opened %s", scene->url);
    }
    if (found != status || strstr(scene->error.message, says) == NULL ||
        strstr(scene->error.message, scene->folder) == NULL) {
        fail_msg("%s: %s", comrade_status_name(found), scene->error.message);
    }
}

static void a_missing_folder_is_named(void **state)
{
    struct scene *scene = *state;
    snprintf(scene->url, sizeof scene->url, "sqlite:%s/none/c.db", scene->folder);
    assert_opening_fails(scene, COMRADE_UNAVAILABLE, "/none does not exist");
}

static void a_folder_is_no_file(void **state)
{
    struct scene *scene = *state;
    assert_int_equal(mkdir(scene->path, 0755), 0);
    assert_opening_fails(scene, COMRADE_INVALID, "directory");
}

static void a_text_file_is_left_alone(void **state)
{
    struct scene *scene = *state;
    char text[SCENE_TEXT_SIZE];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    scene_write_file(scene->path, text);
    assert_opening_fails(scene, COMRADE_BROKEN, "not a SQLite database");

    struct stat found;
    assert_int_equal(stat(scene->path, &found), 0);
    assert_int_equal(found.st_size, sizeof text - 1);
    char beside[SCENE_PATH_SIZE];
    snprintf(beside, sizeof beside, "%s-notify", scene->path);
    assert_int_not_equal(access(beside, F_OK), 0);
}

static void somebody_elses_database_is_left_alone(void **state)
{
    struct scene *scene = *state;
    char copy[SCENE_PATH_SIZE];
    snprintf(copy, sizeof copy, "%s/copy", scene->folder);
    scene_run_sql(scene->path,
                  "CREATE TABLE accounts (name TEXT); INSERT INTO accounts VALUES ('a')");
    scene_copy_file(scene->path, copy);
    assert_opening_fails(scene, COMRADE_BROKEN, "another program's database");

    char command[512];
    snprintf(command, sizeof command, "cmp -s %s %s", scene->path, copy);
    assert_int_equal(system(command), 0);
}

static void a_schema_that_is_too_new_names_both_versions(void **state)
{
    struct scene *scene = *state;
    sqlite_driver.close(scene_open(scene));
    scene_run_sql(scene->path, "PRAGMA user_version = 90; UPDATE meta SET value = 88");
    assert_opening_fails(scene, COMRADE_SCHEMA_TOO_NEW, "version 90");
    assert_non_null(strstr(scene->error.message, "knows 1"));
}

static void a_newer_schema_that_only_adds_is_used(void **state)
{
    struct scene *scene = *state;
    sqlite_driver.close(scene_open(scene));
    scene_run_sql(scene->path, "PRAGMA user_version = 90; ALTER TABLE member ADD COLUMN later TEXT;"
                               "CREATE TABLE later (x)");
    comrade_store *store = scene_open(scene);
    scene_put(store, "a");
    assert_int_equal(scene_count(scene, store), 1);
    sqlite_driver.close(store);
}

static int open_as_nobody(void *user)
{
    struct scene *scene = user;
    if (setuid(SCENE_NOBODY) != 0) {
        return 2;
    }
    assert_opening_fails(scene, COMRADE_DENIED, "write access");
    return 0;
}

static void a_folder_that_may_not_be_written_says_what_is_needed(void **state)
{
    if (geteuid() != 0) {
        skip();
    }
    assert_int_equal(process_join(process_start(open_as_nobody, *state)), 0);
}

static int list_as_nobody(void *user)
{
    struct scene *scene = user;
    if (setuid(SCENE_NOBODY) != 0) {
        return 2;
    }
    comrade_store *store = scene_open(scene);
    assert_int_equal(scene_count(scene, store), 1);
    comrade_call call = contract_call();
    assert_int_equal(scene_write(scene, store, "b", &call), COMRADE_DENIED);
    assert_non_null(strstr(scene->error.message, scene->path));
    sqlite_driver.close(store);
    return 0;
}

static void a_user_who_may_only_read_may_list(void **state)
{
    struct scene *scene = *state;
    if (geteuid() != 0) {
        skip();
    }
    comrade_store *store = scene_open(scene);
    scene_put(store, "a");
    assert_int_equal(process_join(process_start(list_as_nobody, scene)), 0);
    sqlite_driver.close(store);
    assert_int_equal(process_join(process_start(list_as_nobody, scene)), 0);
}

static int write_twice_as_nobody(void *user)
{
    struct scene *scene = user;
    if (setuid(SCENE_NOBODY) != 0) {
        return 2;
    }
    comrade_store *store = scene_open(scene);
    comrade_call call = contract_call();
    assert_int_equal(scene_write(scene, store, "b", &call), COMRADE_DENIED);
    process_tell(0);
    process_is_told();
    call = contract_call();
    assert_int_equal(scene_write(scene, store, "b", &call), COMRADE_OK);
    sqlite_driver.close(store);
    return 0;
}

static void a_user_who_is_given_the_permission_need_not_start_again(void **state)
{
    static const char *const endings[] = {"", "-wal", "-shm", "-notify"};
    struct scene *scene = *state;
    if (geteuid() != 0) {
        skip();
    }
    comrade_store *store = scene_open(scene);
    scene_put(store, "a");
    struct process *process = process_start(write_twice_as_nobody, scene);
    assert_int_equal(process_hear(process), 0);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        char path[SCENE_PATH_SIZE];
        snprintf(path, sizeof path, "%s%s", scene->path, endings[i]);
        assert_int_equal(chmod(path, 0666), 0);
    }
    assert_int_equal(chmod(scene->folder, 0777), 0);
    process_ask(process);
    assert_int_equal(process_join(process), 0);
    assert_int_equal(scene_count(scene, store), 2);
    sqlite_driver.close(store);
}

static void a_relative_path_stays_where_it_was(void **state)
{
    struct scene *scene = *state;
    char before[SCENE_TEXT_SIZE];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(scene->folder), 0);
    comrade_store *store = contract_must_open(&sqlite_driver, "sqlite::memory:", "");
    scene_put(store, "a");
    assert_int_equal(chdir("/"), 0);
    scene_put(store, "b");
    assert_int_equal(scene_count(scene, store), 2);
    sqlite_driver.close(store);
    assert_int_equal(chdir(before), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_CASE(a_missing_folder_is_named),
        SCENE_CASE(a_folder_is_no_file),
        SCENE_CASE(a_text_file_is_left_alone),
        SCENE_CASE(somebody_elses_database_is_left_alone),
        SCENE_CASE(a_schema_that_is_too_new_names_both_versions),
        SCENE_CASE(a_newer_schema_that_only_adds_is_used),
        SCENE_CASE(a_folder_that_may_not_be_written_says_what_is_needed),
        SCENE_CASE(a_user_who_may_only_read_may_list),
        SCENE_CASE(a_user_who_is_given_the_permission_need_not_start_again),
        SCENE_CASE(a_relative_path_stays_where_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
