#include "contract/sqlite_scene.h"

#include "store/sqlite/sqlite.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

int scene_set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    if (scene == NULL) {
        return -1;
    }
    snprintf(scene->folder, sizeof scene->folder, "/tmp/comrade-files-XXXXXX");
    if (mkdtemp(scene->folder) == NULL || chmod(scene->folder, 0755) != 0) {
        free(scene);
        return -1;
    }
    snprintf(scene->path, sizeof scene->path, "%s/c.db", scene->folder);
    snprintf(scene->url, sizeof scene->url, "sqlite:%s", scene->path);
    *state = scene;
    return 0;
}

static int remove_one(const char *path, const struct stat *found, int kind, struct FTW *place)
{
    (void)found;
    (void)kind;
    (void)place;
    return remove(path);
}

int scene_tear_down(void **state)
{
    struct scene *scene = *state;
    umount2(scene->folder, MNT_DETACH); /* a test that failed may have left its disk there */
    nftw(scene->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(scene);
    return 0;
}

comrade_store *scene_open(struct scene *scene)
{
    return contract_must_open(&sqlite_driver, scene->url, "");
}

long scene_count(struct scene *scene, comrade_store *store)
{
    return contract_count(&sqlite_driver, store, &scene->error);
}

void scene_put(comrade_store *store, const char *id)
{
    assert_int_equal(contract_put(&sqlite_driver, store, "app", id, 1, 1), COMRADE_OK);
}

comrade_status scene_write(struct scene *scene, comrade_store *store, const char *id,
                           const comrade_call *call)
{
    comrade_own own = {.incarnation = 1,
                       .sequence = 1,
                       .host = "web1",
                       .version = "1",
                       .metadata = "{}",
                       .details = "{}"};
    comrade_change change = {.kind = COMRADE_PUT_OWN,
                             .id = id,
                             .own = &own,
                             .expect_incarnation = COMRADE_ANYTHING,
                             .expect_request_revision = COMRADE_ANYTHING,
                             .expect_updated_ms = COMRADE_ANYTHING};
    comrade_write write = {"app", COMRADE_ANYTHING, NULL, &change, 1};
    comrade_write_result result = {0};
    comrade_status status = sqlite_driver.write(store, call, &write, 1, &result, &scene->error);
    return status == COMRADE_OK ? result.status : status;
}

void scene_run_sql(const char *path, const char *sql)
{
    sqlite3 *database = NULL;
    char *said = NULL;
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    if (sqlite3_exec(database, sql, NULL, NULL, &said) != SQLITE_OK) {
        fail_msg("%s: %s", sql, said);
    }
    sqlite3_close(database);
}

void scene_assert_sound(const char *path)
{
    sqlite3 *database = NULL;
    sqlite3_stmt *check = NULL;
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(database, "PRAGMA integrity_check", -1, &check, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(check), SQLITE_ROW);
    assert_string_equal(sqlite3_column_text(check, 0), "ok");
    sqlite3_finalize(check);
    sqlite3_close(database);
}

void scene_write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

void scene_copy_file(const char *from, const char *to)
{
    char bytes[SCENE_TEXT_SIZE];
    FILE *in = fopen(from, "r");
    FILE *out = fopen(to, "w");
    assert_non_null(in);
    assert_non_null(out);
    size_t n;
    while ((n = fread(bytes, 1, sizeof bytes, in)) > 0) {
        assert_int_equal(fwrite(bytes, 1, n, out), n);
    }
    fclose(in);
    fclose(out);
}
