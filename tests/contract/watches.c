/* What several handles do together: watches, and races for a revision. */
#include "contract/cases.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* --- Watches ---------------------------------------------------------------------------------- */

struct told {
    int n_changes;
    int n_resyncs;
    char role[COMRADE_ROLE_MAX_BYTES + 1];
    char id[COMRADE_ID_MAX_BYTES + 1];
};

static void on_change(void *user, const char *role, const char *id)
{
    struct told *told = user;
    told->n_changes++;
    snprintf(told->role, sizeof told->role, "%s", role);
    snprintf(told->id, sizeof told->id, "%s", id);
}

static void on_resync(void *user)
{
    ((struct told *)user)->n_resyncs++;
}

/* Drains until something was told, for so long. */
static bool hear(const comrade_store_driver *driver, comrade_store *store, int fd,
                 struct told *told, int patience_ms)
{
    comrade_watch_sink sink = {on_change, on_resync, told};
    int before = told->n_changes + told->n_resyncs;
    for (int left_ms = patience_ms; left_ms > 0; left_ms -= 50) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (poll(&ready, 1, 50) > 0) {
            assert_int_equal(driver->drain(store, &sink, NULL), COMRADE_OK);
        }
        if (told->n_changes + told->n_resyncs > before) {
            return true;
        }
    }
    return false;
}

static void a_watch_tells_of_every_write_and_of_no_heartbeat(void **state)
{
    SCENE(state);
    if (driver->watch == NULL) {
        skip();
    }
    comrade_store *other = contract_must_open(driver, scene->url, "");
    contract_put(driver, store, "app", "a", 100, 1);
    comrade_call call = contract_call();
    int fd = driver->watch(store, &call, NULL);
    assert_true(fd >= 0);
    struct told told = {0};
    put_request(driver, other, "app", "a", 100);
    assert_true(hear(driver, store, fd, &told, 10000));
    if (told.n_resyncs == 0) {
        assert_string_equal(told.role, "app");
        assert_string_equal(told.id, "a");
    }
    put_spec(driver, other, "app", 1, 0, "{}");
    assert_true(hear(driver, store, fd, &told, 10000));
    if (told.n_resyncs == 0) {
        assert_string_equal(told.id, "");
    }
    beat(driver, other, "a", 100, NULL);
    assert_false(hear(driver, store, fd, &told, 200));
    driver->close(other);
}

/* --- Together --------------------------------------------------------------------------------- */

enum { WRITERS = 4, ROUNDS = 25 };

struct writer {
    const comrade_store_driver *driver;
    const char *url;
    int n_conflicts;
    int n_applied;
};

/* Adds one to the spec's version, naming the role's revision that was seen. */
static void *count_up(void *user)
{
    struct writer *writer = user;
    comrade_store *store = NULL;
    if (contract_open(writer->driver, writer->url, "", &store, NULL) != COMRADE_OK) {
        return NULL;
    }
    while (writer->n_applied < ROUNDS) {
        struct snapshot snapshot;
        snapshot_init(&snapshot);
        comrade_snapshot_query query = {.scope = COMRADE_SCOPE_ROLE, .role = "app", .limit = 10};
        comrade_snapshot_sink sink = {snapshot_add_record, snapshot_add_role, &snapshot};
        comrade_snapshot_page page = {0};
        comrade_call call = contract_call();
        comrade_status status =
            writer->driver->snapshot(store, &call, &query, &page.next, &sink, &page, NULL);
        comrade_write_result result = {.status = COMRADE_UNAVAILABLE};
        if (status == COMRADE_OK) {
            comrade_change change = anything(COMRADE_PUT_SPEC, NULL);
            change.spec_version = snapshot.roles[0].spec_version + 1;
            comrade_write write = {"app", snapshot.roles[0].revision, NULL, &change, 1};
            status = writer->driver->write(store, &call, &write, 1, &result, NULL);
        }
        snapshot_finish(&snapshot);
        if (status != COMRADE_OK) {
            break;
        }
        writer->n_applied += result.status == COMRADE_OK ? 1 : 0;
        writer->n_conflicts += result.status == COMRADE_CONFLICT ? 1 : 0;
    }
    writer->driver->close(store);
    return NULL;
}

static void of_two_who_saw_the_same_revision_one_conflicts(void **state)
{
    SCENE(state);
    pthread_t threads[WRITERS];
    struct writer writers[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){driver, scene->url, 0, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, &writers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(writers[i].n_applied, ROUNDS);
    }
    struct snapshot snapshot;
    look_at_role(driver, store, "app", &snapshot);
    assert_int_equal(snapshot.roles[0].spec_version, WRITERS * ROUNDS);
    snapshot_finish(&snapshot);
}

static const struct CMUnitTest cases[] = {
    CASE(a_watch_tells_of_every_write_and_of_no_heartbeat),
    CASE(of_two_who_saw_the_same_revision_one_conflicts),
};

CONTRACT_GROUP(contract_watches);
