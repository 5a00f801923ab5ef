#include "contract/datastore_fault_scene.h"

#include "contract/cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALL_KINDS = FAULT_OWN | FAULT_REQUEST | FAULT_SPEC | FAULT_DELETE };

struct datastore_server *fault_server;

static const comrade_store_driver *const driver = &datastore_driver;

static comrade_change request_of(comrade_request *request, const char *id, const char *request_id)
{
    comrade_change change = anything(COMRADE_PUT_REQUEST, id);
    *request = (comrade_request){.kind = COMRADE_REQUEST_KILL,
                                 .incarnation = 1,
                                 .request_id = request_id,
                                 .user = "alice",
                                 .host = "laptop",
                                 .database_user = "",
                                 .reason = ""};
    change.request = request;
    return change;
}

int fault_set_up(void **state)
{
    struct fault_scene *scene = calloc(1, sizeof *scene);
    if (scene == NULL) {
        return -1;
    }
    scene->server = fault_server;
    datastore_server_fresh_url(scene->server, scene->url);
    scene->judge = contract_must_open(driver, scene->url, "");
    contract_put(driver, scene->judge, "app", "elder", 1, 1);
    for (int i = 1; i <= FAULT_MEMBERS; i++) {
        char id[FAULT_ID_SIZE];
        snprintf(id, sizeof id, "m-%d", i);
        contract_put(driver, scene->judge, "app", id, 1, 1);
    }
    comrade_request request;
    comrade_change change = request_of(&request, "m-1", "keep-me");
    write_one(driver, scene->judge, "app", &change);
    put_spec(driver, scene->judge, "app", 1, 0, "{\"minMembers\":1}");
    *state = scene;
    return 0;
}

int fault_tear_down(void **state)
{
    struct fault_scene *scene = *state;
    datastore_server_tell(scene->server, "faults clear");
    fault_close(scene);
    driver->close(scene->judge);
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
    comrade_status status = driver->open(&config, call, &scene->store, &scene->error);
    assert_true((status == COMRADE_OK) == (scene->store != NULL));
    return status;
}

static comrade_status beat_some(struct fault_scene *scene, const comrade_call *call, size_t n)
{
    static const comrade_beat beats[] = {{"elder", 1}, {"m-1", 1}, {"nobody", 1}};
    comrade_beat_result results[3] = {{0}};
    comrade_beat_summary summary = {-1, -1};
    comrade_status status =
        driver->heartbeat(scene->store, call, beats, n, results, &summary, &scene->error);
    if (status == COMRADE_OK) {
        assert_int_equal(results[0].status, COMRADE_OK);
        assert_int_equal(results[1].status, COMRADE_OK);
        assert_true(results[1].request_revision > 0); /* it is told of the request */
        assert_true(n < 3 || results[2].status == COMRADE_GONE);
        assert_true(summary.now_ms > 0);
    } else {
        assert_true(summary.now_ms == -1 && summary.specs_revision == -1);
    }
    return status;
}

static comrade_status heartbeat(struct fault_scene *scene, const comrade_call *call)
{
    return beat_some(scene, call, 2);
}

static comrade_status heartbeat_without_one(struct fault_scene *scene, const comrade_call *call)
{
    return beat_some(scene, call, 3);
}

static comrade_status write_kinds(struct fault_scene *scene, const comrade_call *call)
{
    comrade_own own = own_part(1, 1);
    comrade_request request;
    char spec[64];
    snprintf(spec, sizeof spec, "{\"said\":\"%s\"}", scene->id);
    comrade_change changes[4];
    size_t n = 0;
    if ((scene->kinds & FAULT_OWN) != 0) {
        changes[n] = anything(COMRADE_PUT_OWN, scene->id);
        changes[n++].own = &own;
    }
    if ((scene->kinds & FAULT_REQUEST) != 0) {
        changes[n++] = request_of(&request, "elder", scene->id);
    }
    if ((scene->kinds & FAULT_SPEC) != 0) {
        changes[n] = anything(COMRADE_PUT_SPEC, NULL);
        changes[n].spec = spec;
        changes[n++].spec_version = 1 + scene->n_writes;
    }
    if ((scene->kinds & FAULT_DELETE) != 0) {
        changes[n++] = anything(COMRADE_DELETE, "victim");
    }
    comrade_write write = {"app", COMRADE_ANYTHING, scene->id, changes, n};
    comrade_write_result result = {.status = COMRADE_BUSY};
    comrade_status status = driver->write(scene->store, call, &write, 1, &result, &scene->error);
    if (status == COMRADE_OK) {
        assert_true(result.status != COMRADE_OK || result.revision > 0);
        return result.status;
    }
    return status;
}

static comrade_status read_pages(struct fault_scene *scene, const comrade_call *call,
                                 const comrade_snapshot_query *query, size_t n_expected)
{
    struct snapshot snapshot;
    comrade_snapshot_sink sink = {snapshot_add_record, snapshot_add_role, &snapshot};
    comrade_cursor from = {0};
    comrade_status status = COMRADE_OK;
    bool has_more = true;
    snapshot_init(&snapshot);
    while (status == COMRADE_OK && has_more) {
        comrade_snapshot_page page = {.now_ms = -1};
        status = driver->snapshot(scene->store, call, query, &from, &sink, &page, &scene->error);
        assert_true((status == COMRADE_OK) == (page.now_ms > 0));
        has_more = page.has_more;
        from = page.next;
    }
    if (status == COMRADE_OK) {
        assert_true(snapshot.n_records >= n_expected);
        assert_non_null(snapshot_find(&snapshot, "elder"));
        assert_string_equal(snapshot_find(&snapshot, "m-1")->request.request_id, "keep-me");
        assert_int_equal(snapshot.n_roles, 1);
    }
    snapshot_finish(&snapshot);
    return status;
}

static comrade_status read_role(struct fault_scene *scene, const comrade_call *call)
{
    comrade_snapshot_query query = {.scope = COMRADE_SCOPE_ROLE, .role = "app", .limit = 1000};
    return read_pages(scene, call, &query, FAULT_MEMBERS + 1);
}

static comrade_status read_all(struct fault_scene *scene, const comrade_call *call)
{
    comrade_snapshot_query query = {.scope = COMRADE_SCOPE_ALL, .limit = 1000};
    return read_pages(scene, call, &query, FAULT_MEMBERS + 1);
}

static comrade_status read_page_by_page(struct fault_scene *scene, const comrade_call *call)
{
    comrade_snapshot_query query = {.scope = COMRADE_SCOPE_ALL, .limit = 5};
    return read_pages(scene, call, &query, FAULT_MEMBERS + 1);
}

static comrade_status read_ids(struct fault_scene *scene, const comrade_call *call)
{
    static const char *const ids[] = {"elder", "m-1", "nobody"};
    comrade_snapshot_query query = {
        .scope = COMRADE_SCOPE_IDS, .ids = ids, .n_ids = 3, .limit = 1000};
    return read_pages(scene, call, &query, 2);
}

static void count_finding(void *user, bool is_problem, const char *text)
{
    (void)is_problem;
    assert_true(text[0] != '\0');
    *(int *)user += 1;
}

static comrade_status check(struct fault_scene *scene, const comrade_call *call)
{
    int n_findings = 0;
    comrade_status status =
        driver->check(scene->store, call, count_finding, &n_findings, &scene->error);
    assert_true((status == COMRADE_OK) == (n_findings > 0));
    return status;
}

const struct fault_operation fault_operations[FAULT_OPERATIONS] = {
    {"open", true, false, 0, open_store},
    {"first heartbeat", false, true, 0, heartbeat},
    {"heartbeat", false, false, 0, heartbeat},
    {"heartbeat of one that is gone", false, false, 0, heartbeat_without_one},
    {"first write", false, true, ALL_KINDS, write_kinds},
    {"write of all", false, false, ALL_KINDS, write_kinds},
    {"write of an own part", false, false, FAULT_OWN, write_kinds},
    {"write of a request", false, false, FAULT_REQUEST, write_kinds},
    {"write of a spec", false, false, FAULT_SPEC, write_kinds},
    {"deletion", false, false, FAULT_DELETE, write_kinds},
    {"snapshot of a role", false, false, 0, read_role},
    {"snapshot of all", false, false, 0, read_all},
    {"snapshot of pages", false, false, 0, read_page_by_page},
    {"snapshot of ids", false, false, 0, read_ids},
    {"first snapshot", false, true, 0, read_role},
    {"check", false, true, 0, check},
    {"second check", false, false, 0, check},
};

void fault_open(struct fault_scene *scene)
{
    comrade_call call = fault_call(FAULT_PATIENCE_MS);
    if (open_store(scene, &call) != COMRADE_OK) {
        fail_msg("%s", scene->error.message);
    }
}

void fault_close(struct fault_scene *scene)
{
    driver->close(scene->store);
    scene->store = NULL;
}

/* What it found out and holds already is not asked for again. */
static void warm_up(struct fault_scene *scene)
{
    comrade_call call = fault_call(FAULT_PATIENCE_MS);
    if (heartbeat(scene, &call) != COMRADE_OK) {
        fail_msg("%s", scene->error.message);
    }
}

/* Makes what is to be deleted, and removes what the last one made. */
static void prepare_write(struct fault_scene *scene)
{
    comrade_own own = own_part(2 + scene->n_writes, 1);
    comrade_change changes[] = {anything(COMRADE_PUT_OWN, "victim"),
                                anything(COMRADE_DELETE, scene->id)};
    changes[0].own = &own;
    write_changes(driver, scene->judge, "app", COMRADE_ANYTHING, NULL, changes,
                  scene->n_writes == 0 ? 1 : 2);
    snprintf(scene->id, sizeof scene->id, "w-%d", ++scene->n_writes);
}

void fault_prepare(struct fault_scene *scene, const struct fault_operation *operation)
{
    if (operation->is_open || operation->is_first) {
        fault_close(scene);
    }
    if (!operation->is_open && scene->store == NULL) {
        fault_open(scene);
        if (!operation->is_first) {
            warm_up(scene);
        }
    } else if (operation->run == heartbeat) {
        warm_up(scene);
    }
    scene->kinds = operation->kinds;
    if (operation->kinds != 0) {
        prepare_write(scene);
    }
}

comrade_status fault_run(struct fault_scene *scene, const struct fault_operation *operation,
                         const comrade_call *call)
{
    scene->error = (comrade_error){0};
    comrade_status status = operation->run(scene, call);
    if (status != COMRADE_OK && scene->error.status != status) {
        fail_msg("%s: %s, but the error says %s: %s", operation->name, comrade_status_name(status),
                 comrade_status_name(scene->error.status), scene->error.message);
    }
    return status;
}

int fault_count_requests(struct fault_scene *scene, const struct fault_operation *operation)
{
    comrade_call call = fault_call(FAULT_PATIENCE_MS);
    fault_prepare(scene, operation);
    long long n_before = datastore_server_count(scene->server, "calls");
    if (fault_run(scene, operation, &call) != COMRADE_OK) {
        fail_msg("%s: %s", operation->name, scene->error.message);
    }
    return (int)(datastore_server_count(scene->server, "calls") - n_before);
}

/* Those before it are answered "later", that is, at once. */
void fault_plan(struct fault_scene *scene, int nth, const char *fault)
{
    if (nth > 1) {
        datastore_server_tell(scene->server, "fault * %d delay 0", nth - 1);
    }
    datastore_server_tell(scene->server, "fault * 1 %s", fault);
}

/* --- What is so --------------------------------------------------------------------------------
 */

static bool has_recent(const comrade_role *role, const char *id)
{
    for (size_t i = 0; i < role->n_recent_request_ids; i++) {
        if (strcmp(role->recent_request_ids[i], id) == 0) {
            return true;
        }
    }
    return false;
}

static void assert_nothing_is_lost(const struct snapshot *snapshot, const comrade_role *role)
{
    for (int i = 1; i <= FAULT_MEMBERS; i++) {
        char id[FAULT_ID_SIZE];
        snprintf(id, sizeof id, "m-%d", i);
        const comrade_record *record = snapshot_find(snapshot, id);
        assert_non_null(record);
        assert_string_equal(record->own.host, "web1");
        assert_string_equal(record->request.request_id, i == 1 ? "keep-me" : "");
    }
    assert_non_null(role);
    assert_true(role->spec_version > 0);
    assert_non_null(snapshot_find(snapshot, "elder"));
}

bool fault_is_applied(struct fault_scene *scene)
{
    struct snapshot snapshot;
    char spec[64];
    datastore_server_tell(scene->server, "faults clear");
    look_at_role(driver, scene->judge, "app", &snapshot);
    const comrade_role *role = snapshot_role(&snapshot, "app");
    assert_nothing_is_lost(&snapshot, role);
    snprintf(spec, sizeof spec, "{\"said\":\"%s\"}", scene->id);
    unsigned done = 0;
    done |= snapshot_find(&snapshot, scene->id) != NULL ? FAULT_OWN : 0;
    const char *asked = snapshot_find(&snapshot, "elder")->request.request_id;
    done |= strcmp(asked, scene->id) == 0 ? FAULT_REQUEST : 0;
    done |= strcmp(role->spec, spec) == 0 ? FAULT_SPEC : 0;
    done |= snapshot_find(&snapshot, "victim") == NULL ? FAULT_DELETE : 0;
    bool is_recent = has_recent(role, scene->id);
    snapshot_finish(&snapshot);
    done &= scene->kinds;
    if (scene->kinds != 0 && done != (is_recent ? scene->kinds : 0)) {
        fail_msg("half a write: %x of %x, and the role's part %s", done, scene->kinds,
                 is_recent ? "was" : "was not");
    }
    return scene->kinds != 0 && is_recent;
}

void fault_assert_works(struct fault_scene *scene, const struct fault_operation *operation)
{
    datastore_server_tell(scene->server, "faults clear");
    comrade_call call = fault_call(FAULT_PATIENCE_MS);
    if (operation->is_open && scene->store != NULL) {
        operation = &fault_operations[1];
    }
    if (fault_run(scene, operation, &call) != COMRADE_OK) {
        fail_msg("%s does not work: %s", operation->name, scene->error.message);
    }
    assert_true(operation->kinds == 0 || fault_is_applied(scene));
}
