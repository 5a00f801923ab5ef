/* What several handles do at the same time, each on a thread of its own. */
#include "contract/cases.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

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

/* --- Heartbeats and requests ------------------------------------------------------------------ */

enum { TURNS = 60, TURNS_MAX = 100000 };

/* The other thread. */
struct heart {
    const comrade_store_driver *driver;
    const char *url;
    atomic_bool is_over;
    atomic_int n_turns;
    int n_wrong;
};

/* Until both have had enough turns; a thread that cannot take any is found out by TURNS_MAX. */
static bool goes_on(const struct heart *heart, int n_turns)
{
    return n_turns < TURNS_MAX && (n_turns < TURNS || heart->n_turns < TURNS);
}

static void *beat_on(void *user)
{
    struct heart *heart = user;
    comrade_store *store = NULL;
    int64_t last_revision = 0;
    if (contract_open(heart->driver, heart->url, "", &store, NULL) != COMRADE_OK) {
        heart->n_wrong++;
        return NULL;
    }
    for (int64_t sequence = 2; !heart->is_over; sequence++) {
        comrade_beat one = {"a", 100};
        comrade_beat_result result = {0};
        comrade_beat_summary summary;
        comrade_call call = contract_call();
        comrade_status status =
            heart->driver->heartbeat(store, &call, &one, 1, &result, &summary, NULL);
        bool is_right = status == COMRADE_OK && result.status == COMRADE_OK &&
                        result.request_revision >= last_revision;
        last_revision = result.request_revision;
        heart->n_wrong += is_right ? 0 : 1;
        heart->n_turns++;
        if (sequence % 4 == 0) {
            contract_put(heart->driver, store, "app", "a", 100, sequence);
        }
    }
    heart->driver->close(store);
    return NULL;
}

/* Whatever the interleaving: after each request the next heartbeat tells of it. */
static void a_heartbeat_never_erases_a_request(void **state)
{
    SCENE(state);
    contract_put(driver, store, "app", "a", 100, 1);
    struct heart heart = {.driver = driver, .url = scene->url};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, beat_on, &heart), 0);
    int64_t last_revision = 0;
    int n_lost = 0;
    for (int i = 0; goes_on(&heart, i); i++) {
        put_request(driver, store, "app", "a", 100);
        int64_t revision = beat(driver, store, "a", 100, NULL).request_revision;
        n_lost += revision > last_revision ? 0 : 1;
        last_revision = revision;
    }
    heart.is_over = true;
    pthread_join(thread, NULL);
    assert_int_equal(n_lost, 0);
    assert_int_equal(heart.n_wrong, 0);
    assert_true(heart.n_turns >= TURNS);
    struct snapshot snapshot;
    look_at_role(driver, store, "app", &snapshot);
    assert_int_equal(snapshot.records[0].request.kind, COMRADE_REQUEST_KILL);
    assert_int_equal(snapshot.records[0].request.revision, last_revision);
    snapshot_finish(&snapshot);
}

/* --- Consistent views ------------------------------------------------------------------------- */

/* Writes both members with the same sequence, in one write, again and again. */
static void *write_pairs(void *user)
{
    struct heart *heart = user;
    comrade_store *store = NULL;
    if (contract_open(heart->driver, heart->url, "", &store, NULL) != COMRADE_OK) {
        heart->n_wrong++;
        return NULL;
    }
    for (int64_t sequence = 2; !heart->is_over; sequence++) {
        comrade_own own = own_part(100, sequence);
        comrade_change pair[] = {anything(COMRADE_PUT_OWN, "a"), anything(COMRADE_PUT_OWN, "b")};
        pair[0].own = &own;
        pair[1].own = &own;
        comrade_write write = {"app", COMRADE_ANYTHING, NULL, pair, 2};
        comrade_write_result result = {0};
        comrade_call call = contract_call();
        comrade_status status = heart->driver->write(store, &call, &write, 1, &result, NULL);
        heart->n_wrong += status == COMRADE_OK && result.status == COMRADE_OK ? 0 : 1;
        heart->n_turns++;
    }
    heart->driver->close(store);
    return NULL;
}

/* A record to a page: what no tear was seen in is of one moment. */
static void what_is_not_torn_is_of_one_moment(void **state)
{
    SCENE(state);
    contract_put(driver, store, "app", "a", 100, 1);
    contract_put(driver, store, "app", "b", 100, 1);
    struct heart heart = {.driver = driver, .url = scene->url};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, write_pairs, &heart), 0);
    int n_mixed = 0;
    for (int i = 0; goes_on(&heart, i); i++) {
        struct snapshot snapshot;
        comrade_snapshot_query query = {
            .scope = COMRADE_SCOPE_ROLE, .role = "app", .limit = i % 2 == 0 ? 1 : 10};
        look(driver, store, &query, &snapshot);
        bool is_mixed = snapshot.n_records != 2 ||
                        snapshot.records[0].own.sequence != snapshot.records[1].own.sequence;
        n_mixed += is_mixed && !snapshot.is_torn ? 1 : 0;
        snapshot_finish(&snapshot);
    }
    heart.is_over = true;
    pthread_join(thread, NULL);
    assert_int_equal(n_mixed, 0);
    assert_int_equal(heart.n_wrong, 0);
    assert_true(heart.n_turns >= TURNS);
}

static const struct CMUnitTest cases[] = {
    CASE(of_two_who_saw_the_same_revision_one_conflicts),
    CASE(a_heartbeat_never_erases_a_request),
    CASE(what_is_not_torn_is_of_one_moment),
};

CONTRACT_GROUP(contract_races);
