/* A Datastore server that a test program breaks, and a fresh store on it for each of its cases. */
#ifndef DATASTORE_SCENE_H
#define DATASTORE_SCENE_H

#include "contract/cases.h"
#include "lib/datastore_server.h"
#include "store/datastore/datastore.h"

struct datastore_scene {
    struct datastore_server *server;
    comrade_store *store; /* of one case */
    char url[DATASTORE_URL_SIZE];
};
extern struct datastore_scene datastore_scene;

/* For a case: opens a store that nobody has used; closes it, and heals the server. */
int datastore_scene_set_up(void **state);
int datastore_scene_tear_down(void **state);
/* Another handle, which has kept nothing. */
comrade_store *datastore_scene_another(void);
/* Runs the cases with a server of their own. Returns how many failed. */
int datastore_scene_run(const char *name, const struct CMUnitTest *tests, size_t n_tests);

#define DATASTORE_CASE(name)                                                                       \
    cmocka_unit_test_setup_teardown(name, datastore_scene_set_up, datastore_scene_tear_down)

#endif
