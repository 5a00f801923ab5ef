/* Watches: what is told, to whom, and what is not. */
#include "contract/cases.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

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

static comrade_store *watch(struct scene *scene, int *fd)
{
    comrade_store *other = contract_must_open(scene->driver, scene->url, "");
    comrade_call call = contract_call();
    *fd = scene->driver->watch(scene->store, &call, NULL);
    assert_true(*fd >= 0);
    return other;
}

/* Nothing may be missed, however much is written at once: all are told, or that all must be read.
 */
static void a_flood_of_writes_is_told_whole_or_as_a_resync(void **state)
{
    SCENE(state);
    enum { N = 3000 };
    static char ids[N][16];
    static comrade_change changes[N];
    if (driver->watch == NULL) {
        skip();
    }
    int fd;
    comrade_store *other = watch(scene, &fd);
    comrade_own own = own_part(100, 1);
    for (int i = 0; i < N; i++) {
        snprintf(ids[i], sizeof ids[i], "m-%05d", i);
        changes[i] = anything(COMRADE_PUT_OWN, ids[i]);
        changes[i].own = &own;
    }
    assert_int_equal(write_changes(driver, other, "app", COMRADE_ANYTHING, NULL, changes, N).status,
                     COMRADE_OK);
    struct told told = {0};
    while (told.n_resyncs == 0 && told.n_changes < N) {
        assert_true(hear(driver, store, fd, &told, 10000));
    }
    /* The watch goes on afterwards. */
    while (hear(driver, store, fd, &told, 100)) {
    }
    told = (struct told){0};
    contract_put(driver, other, "app", "last", 100, 1);
    assert_true(hear(driver, store, fd, &told, 10000));
    driver->close(other);
}

static void each_kind_of_change_is_told(void **state)
{
    SCENE(state);
    if (driver->watch == NULL) {
        skip();
    }
    int fd;
    comrade_store *other = watch(scene, &fd);
    struct told told = {0};
    contract_put(driver, other, "app", "a", 100, 1);
    assert_true(hear(driver, store, fd, &told, 10000));
    contract_put(driver, other, "app", "a", 100, 2);
    assert_true(hear(driver, store, fd, &told, 10000));
    comrade_change removal = anything(COMRADE_DELETE, "a");
    write_one(driver, other, "app", &removal);
    assert_true(hear(driver, store, fd, &told, 10000));
    contract_put(driver, store, "app", "b", 100, 1); /* by the watching handle itself */
    assert_true(hear(driver, store, fd, &told, 10000));
    driver->close(other);
}

static void what_was_not_applied_is_not_told(void **state)
{
    SCENE(state);
    if (driver->watch == NULL) {
        skip();
    }
    contract_put(driver, store, "app", "a", 100, 1);
    int fd;
    comrade_store *other = watch(scene, &fd);
    struct told told = {0};
    while (hear(driver, store, fd, &told, 100)) { /* what came before */
    }
    assert_int_equal(contract_put(driver, other, "app", "a", 99, 1), COMRADE_FENCED);
    assert_int_equal(put_request(driver, other, "app", "nobody", 1).status, COMRADE_GONE);
    assert_false(hear(driver, store, fd, &told, 200));
    driver->close(other);
}

static void another_namespace_is_not_told_of(void **state)
{
    SCENE(state);
    if (driver->watch == NULL) {
        skip();
    }
    int fd;
    comrade_store *other = watch(scene, &fd);
    comrade_store *staging = contract_must_open(driver, scene->url, "staging");
    struct told told = {0};
    contract_put(driver, staging, "app", "a", 100, 1);
    assert_false(hear(driver, store, fd, &told, 200));
    contract_put(driver, other, "app", "b", 100, 1);
    assert_true(hear(driver, store, fd, &told, 10000));
    assert_string_equal(told.n_resyncs > 0 ? "b" : told.id, "b");
    driver->close(staging);
    driver->close(other);
}

static const struct CMUnitTest cases[] = {
    CASE(a_watch_tells_of_every_write_and_of_no_heartbeat),
    CASE(each_kind_of_change_is_told),
    CASE(a_flood_of_writes_is_told_whole_or_as_a_resync),
    CASE(what_was_not_applied_is_not_told),
    CASE(another_namespace_is_not_told_of),
};

CONTRACT_GROUP(contract_watches);
