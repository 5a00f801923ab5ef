#include "contract/datastore_scene.h"

struct datastore_scene datastore_scene;

comrade_store *datastore_scene_another(void)
{
    return contract_must_open(&datastore_driver, datastore_scene.url, "");
}

int datastore_scene_set_up(void **state)
{
    (void)state;
    datastore_server_fresh_url(datastore_scene.server, datastore_scene.url);
    datastore_scene.store = datastore_scene_another();
    return 0;
}

int datastore_scene_tear_down(void **state)
{
    (void)state;
    datastore_server_tell(datastore_scene.server, "faults clear");
    datastore_server_tell(datastore_scene.server, "thaw");
    datastore_server_tell(datastore_scene.server, "set restless false");
    datastore_driver.close(datastore_scene.store);
    return 0;
}

int datastore_scene_run(const char *name, const struct CMUnitTest *tests, size_t n_tests)
{
    datastore_scene.server = datastore_server_start(NULL);
    int failed = _cmocka_run_group_tests(name, tests, n_tests, NULL, NULL);
    datastore_server_stop(datastore_scene.server);
    return failed;
}
