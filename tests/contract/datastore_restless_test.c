/*
 * Records that others change between each reading and the commit that follows it: who takes no lock
 * never gets through. What must be done is done all the same, after a few attempts.
 */
#include "contract/datastore_scene.h"

/* A member with a request, of which our handle has kept nothing that is still so. */
static void have_a_member_that_others_change(void)
{
    contract_put(&datastore_driver, datastore_scene.store, "app", "a", 100, 1);
    comrade_store *other = datastore_scene_another();
    put_request(&datastore_driver, other, "app", "a", 100);
    datastore_driver.close(other);
    datastore_server_tell(datastore_scene.server, "set restless true");
}

static void a_heartbeat_gets_through(void **state)
{
    (void)state;
    have_a_member_that_others_change();
    struct snapshot before;
    struct snapshot after;
    look_at_role(&datastore_driver, datastore_scene.store, "app", &before);
    comrade_beat_result result = beat(&datastore_driver, datastore_scene.store, "a", 100, NULL);
    assert_int_equal(result.status, COMRADE_OK);
    assert_true(result.request_revision > 0);
    datastore_server_tell(datastore_scene.server, "set restless false");
    look_at_role(&datastore_driver, datastore_scene.store, "app", &after);
    assert_true(after.records[0].updated_ms > before.records[0].updated_ms);
    assert_int_equal(after.records[0].request.revision, result.request_revision);
    snapshot_finish(&before);
    snapshot_finish(&after);
    /* And goes on as if nothing had been. */
    beat(&datastore_driver, datastore_scene.store, "a", 100, NULL);
    datastore_server_reset_counts(datastore_scene.server);
    beat(&datastore_driver, datastore_scene.store, "a", 100, NULL);
    assert_int_equal(datastore_server_count(datastore_scene.server, "calls"), 1);
}

static void a_write_gets_through(void **state)
{
    (void)state;
    have_a_member_that_others_change();
    comrade_write_result result =
        put_request(&datastore_driver, datastore_scene.store, "app", "a", 100);
    assert_int_equal(result.status, COMRADE_OK);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        DATASTORE_CASE(a_heartbeat_gets_through),
        DATASTORE_CASE(a_write_gets_through),
    };
    return datastore_scene_run("restless", tests, sizeof tests / sizeof tests[0]);
}
