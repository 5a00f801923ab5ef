#include "contract/postgres_fault_scene.h"

#include "contract/cases.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SQL_SIZE = 512, LOOK_MS = 2 };

struct postgres_server *fault_server;

int fault_set_up(void **state)
{
    struct fault_scene *scene = calloc(1, sizeof *scene);
    if (scene == NULL) {
        return -1;
    }
    scene->server = fault_server;
    postgres_server_fresh_database(scene->server, scene->direct);
    scene->proxy = cutting_proxy_start(postgres_server_port(scene->server));
    cutting_proxy_url(scene->proxy, scene->direct, scene->url, sizeof scene->url);
    comrade_store *store = contract_must_open(&postgres_driver, scene->direct, "");
    contract_put(&postgres_driver, store, "app", "elder", 1, 1);
    postgres_driver.close(store);
    *state = scene;
    return 0;
}

int fault_tear_down(void **state)
{
    struct fault_scene *scene = *state;
    fault_close(scene);
    cutting_proxy_stop(scene->proxy);
    free(scene);
    return 0;
}

comrade_call fault_call(int64_t ms)
{
    comrade_call call = contract_call();
    call.deadline_ms = call.now_ms(call.clock) + ms;
    return call;
}

/* --- The operations ----------------------------------------------------------------------------
 */

static comrade_status open_store(struct fault_scene *scene, const comrade_call *call)
{
    comrade_store_config config = {.size = sizeof config,
                                   .url = scene->url,
                                   .shown_url = scene->url,
                                   .name_space = "",
                                   .kind = "ComradeServer",
                                   .wall_ms = contract_wall_ms};
    return postgres_driver.open(&config, call, &scene->store, &scene->error);
}

static comrade_status heartbeat(struct fault_scene *scene, const comrade_call *call)
{
    comrade_beat one = {"elder", 1};
    comrade_beat_result result = {.status = COMRADE_INVALID};
    comrade_beat_summary summary;
    comrade_status status =
        postgres_driver.heartbeat(scene->store, call, &one, 1, &result, &summary, &scene->error);
    return status == COMRADE_OK ? result.status : status;
}

comrade_status fault_write(struct fault_scene *scene, const comrade_call *call)
{
    comrade_own own = own_part(1, 1);
    comrade_request request = {.kind = COMRADE_REQUEST_KILL,
                               .incarnation = 1,
                               .request_id = scene->id,
                               .user = "alice",
                               .host = "laptop",
                               .reason = ""};
    comrade_write_result result = {.status = COMRADE_INVALID};
    snprintf(scene->id, sizeof scene->id, "m-%d", ++scene->n_writes);
    comrade_change changes[] = {anything(COMRADE_PUT_OWN, scene->id),
                                anything(COMRADE_PUT_REQUEST, "elder")};
    changes[0].own = &own;
    changes[1].request = &request;
    comrade_write write = {"app", COMRADE_ANYTHING, scene->id, changes, 2};
    comrade_status status =
        postgres_driver.write(scene->store, call, &write, 1, &result, &scene->error);
    return status == COMRADE_OK ? result.status : status;
}

static comrade_status look_at_all(struct fault_scene *scene, const comrade_call *call)
{
    comrade_snapshot_query query = {.scope = COMRADE_SCOPE_ALL, .limit = 10000};
    struct snapshot snapshot;
    comrade_snapshot_sink sink = {snapshot_add_record, snapshot_add_role, &snapshot};
    comrade_snapshot_page page;
    snapshot_init(&snapshot);
    comrade_status status =
        postgres_driver.snapshot(scene->store, call, &query, NULL, &sink, &page, &scene->error);
    assert_true(status != COMRADE_OK || snapshot_find(&snapshot, "elder") != NULL);
    snapshot_finish(&snapshot);
    return status;
}

comrade_status fault_watch(struct fault_scene *scene, const comrade_call *call)
{
    int fd = postgres_driver.watch(scene->store, call, &scene->error);
    return fd >= 0 ? COMRADE_OK : scene->error.status;
}

const struct fault_operation fault_operations[FAULT_OPERATIONS] = {
    {"open", 1, true, open_store},    {"heartbeat", 1, false, heartbeat},
    {"write", 2, false, fault_write}, {"snapshot", 1, false, look_at_all},
    {"watch", 2, false, fault_watch},
};

static void ignore_change(void *user, const char *role, const char *id)
{
    (void)user;
    (void)role;
    (void)id;
}

static void ignore_resync(void *user)
{
    (void)user;
}

comrade_status fault_drain(struct fault_scene *scene)
{
    comrade_watch_sink sink = {ignore_change, ignore_resync, NULL};
    return postgres_driver.drain(scene->store, &sink, &scene->error);
}

void fault_open(struct fault_scene *scene)
{
    comrade_call call = fault_call(FAULT_PATIENCE_MS);
    if (open_store(scene, &call) != COMRADE_OK) {
        fail_msg("%s", scene->error.message);
    }
}

void fault_close(struct fault_scene *scene)
{
    postgres_driver.close(scene->store);
    scene->store = NULL;
}

/* --- What is so --------------------------------------------------------------------------------
 */

bool fault_is_applied(struct fault_scene *scene)
{
    char sql[SQL_SIZE];
    snprintf(
        sql, sizeof sql,
        "SELECT (SELECT count(*) FROM comrade.member WHERE id = '%s')"
        " + (SELECT count(*) FROM comrade.heartbeat WHERE id = '%s')"
        " + (SELECT count(*) FROM comrade.role WHERE '%s' = ANY (string_to_array(recent, ' ')))"
        " + (SELECT count(*) FROM comrade.member m JOIN comrade.heartbeat h USING (id)"
        "  WHERE id = 'elder' AND request_id = '%s'"
        "  AND m.request_revision = h.request_revision)",
        scene->id, scene->id, scene->id, scene->id);
    long long n_parts = postgres_server_number(scene->server, scene->direct, sql);
    assert_true(n_parts == 0 || n_parts == 4);
    return n_parts == 4;
}

void fault_await_sessions(struct fault_scene *scene, long long n)
{
    long long found = -1;
    for (int i = 0; i < FAULT_PATIENCE_MS / LOOK_MS && found != n; i++) {
        poll(NULL, 0, i == 0 ? 0 : LOOK_MS);
        found = postgres_server_number(scene->server, scene->direct,
                                       "SELECT count(*) FROM pg_stat_activity WHERE usename = "
                                       "'comrade' AND datname = current_database()");
    }
    assert_int_equal(found, n);
}

void fault_assert_works(struct fault_scene *scene)
{
    for (size_t i = 0; i < FAULT_OPERATIONS; i++) {
        const struct fault_operation *operation = &fault_operations[i];
        comrade_call call = fault_call(FAULT_PATIENCE_MS);
        if (operation->is_open && scene->store != NULL) {
            continue;
        }
        if (operation->run(scene, &call) != COMRADE_OK) {
            fail_msg("%s does not work: %s", operation->name, scene->error.message);
        }
    }
    assert_true(fault_is_applied(scene));
    assert_int_equal(fault_drain(scene), COMRADE_OK);
    fault_await_sessions(scene, 1);
}
