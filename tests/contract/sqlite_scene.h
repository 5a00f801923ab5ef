/* A folder of its own for each test of the sqlite store, and what its tests need again and again.
 */
#ifndef CONTRACT_SQLITE_SCENE_H
#define CONTRACT_SQLITE_SCENE_H

#include "contract/contract.h"

enum { SCENE_PATH_SIZE = 160, SCENE_TEXT_SIZE = 4096, SCENE_NOBODY = 65534 };

struct scene {
    char folder[64];
    char path[128];
    char url[SCENE_PATH_SIZE];
    comrade_error error; /* of the last call */
};

int scene_set_up(void **state);
int scene_tear_down(void **state);

/* Each fails the test if it does not work. */
comrade_store *scene_open(struct scene *scene);
void scene_put(comrade_store *store, const char *id);
/* How many members there are; -1: it failed, see scene->error. */
long scene_count(struct scene *scene, comrade_store *store);
/* One write of one own part, as it is: the call's status. */
comrade_status scene_write(struct scene *scene, comrade_store *store, const char *id,
                           const comrade_call *call);
/* By SQLite itself, as its owner might. */
void scene_run_sql(const char *path, const char *sql);
void scene_assert_sound(const char *path);
void scene_write_file(const char *path, const char *text);
void scene_copy_file(const char *from, const char *to);

#define SCENE_CASE(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)

#endif
