/*
 * A kill against a heartbeat of the same member, at the same moment, again and again. How long the
 * one waits for the other is random, around a lead that is moved after each round towards whoever
 * lost it: so that each is first in about half of the rounds, however fast the machine is. Who was
 * first is told by the heartbeat's own answer: it has the revision of the new request, or not yet.
 * The next heartbeat of the same handle must have it.
 *
 * SOAK_AMOUNT says how many rounds (500 without it), SOAK_SEED repeats the waits of another run. A
 * large batch, which a driver may treat in another way, gets a third of the rounds.
 */
#include "base/env.h"
#include "contract/cases.h"
#include "lib/postgres_server.h"
#include "store/postgres/postgres.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    ROUNDS = 500,
    WARM_UP = 50, /* rounds that do not count: the lead is not right yet */
    SPREAD_US = 300,
    FIRST_STEP_US = 500,
    STEP_US = 60,
    LEAD_MAX_US = 20000,
    BETWEEN_US = 20,
    SPIN_US = 80,
    BEATS_MAX = 150,
    LARGE_SHARE = 3,
};

static struct postgres_server *server;

/* What both threads share; the barriers say whose turn it is. */
struct race {
    char url[POSTGRES_URL_SIZE];
    comrade_store *store;
    char ids[BEATS_MAX][24];
    comrade_beat beats[BEATS_MAX]; /* the victim's is the last */
    size_t n_beats;
    pthread_barrier_t begin, end, told;
    int64_t start_us; /* of the round */
    int64_t beat_us;  /* how much later the heartbeat goes */
    bool is_over;
    comrade_status status; /* of both heartbeats */
    comrade_beat_result beaten, next;
};

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* The end is no sleep: that would end when the kernel likes. */
static void wait_for(int64_t moment_us)
{
    int64_t long_us = moment_us - SPIN_US - now_us();
    if (long_us > 0) {
        nanosleep(&(struct timespec){.tv_nsec = long_us * 1000}, NULL);
    }
    while (now_us() < moment_us) {
    }
}

static const char *victim(const struct race *race)
{
    return race->ids[race->n_beats - 1];
}

/* The victim's result. */
static comrade_status beat_all(const struct race *race, comrade_store *store,
                               comrade_beat_result *result)
{
    comrade_beat_result results[BEATS_MAX];
    comrade_beat_summary summary;
    comrade_call call = contract_call();
    comrade_status status = postgres_driver.heartbeat(store, &call, race->beats, race->n_beats,
                                                      results, &summary, NULL);
    if (status == COMRADE_OK) {
        *result = results[race->n_beats - 1];
    }
    return status;
}

static void *beat_in_each_round(void *user)
{
    struct race *race = user;
    comrade_store *store = NULL;
    race->status = contract_open(&postgres_driver, race->url, "", &store, NULL);
    for (pthread_barrier_wait(&race->begin); !race->is_over; pthread_barrier_wait(&race->begin)) {
        if (race->status == COMRADE_OK) {
            wait_for(race->start_us + race->beat_us);
            race->status = beat_all(race, store, &race->beaten);
        }
        pthread_barrier_wait(&race->end);
        if (race->status == COMRADE_OK) {
            race->status = beat_all(race, store, &race->next);
        }
        pthread_barrier_wait(&race->told);
    }
    postgres_driver.close(store);
    return NULL;
}

/* --- One round ---------------------------------------------------------------------------------
 */

static comrade_write_result kill_now(const struct race *race, const char *request_id)
{
    const comrade_request request = {.kind = COMRADE_REQUEST_KILL,
                                     .incarnation = 100,
                                     .request_id = request_id,
                                     .user = "",
                                     .host = "",
                                     .database_user = "",
                                     .reason = ""};
    comrade_change change = anything(COMRADE_PUT_REQUEST, victim(race));
    change.request = &request;
    return write_changes(&postgres_driver, race->store, "app", COMRADE_ANYTHING, request_id,
                         &change, 1);
}

/* The record has the request. Its revision. */
static int64_t kept_revision(const struct race *race, const char *request_id)
{
    const char *const ids[] = {victim(race)};
    const comrade_snapshot_query query = {
        .scope = COMRADE_SCOPE_IDS, .ids = ids, .n_ids = 1, .limit = 1};
    struct snapshot snapshot;
    look(&postgres_driver, race->store, &query, &snapshot);
    assert_int_equal(snapshot.n_records, 1);
    const comrade_request *kept = &snapshot.records[0].request;
    int64_t revision = kept->revision;
    assert_int_equal(kept->kind, COMRADE_REQUEST_KILL);
    assert_string_equal(kept->request_id, request_id);
    snapshot_finish(&snapshot);
    return revision;
}

/* Was the kill first? */
static bool run_round(struct race *race, const char *request_id, int64_t *revision)
{
    int64_t earliest_us = race->beat_us < 0 ? race->beat_us : 0;
    race->start_us = now_us() + BETWEEN_US - earliest_us;
    pthread_barrier_wait(&race->begin);
    wait_for(race->start_us);
    comrade_write_result killed = kill_now(race, request_id);
    pthread_barrier_wait(&race->end);
    pthread_barrier_wait(&race->told);
    assert_int_equal(killed.status, COMRADE_OK);
    assert_int_equal(race->status, COMRADE_OK);
    assert_int_equal(race->beaten.status, COMRADE_OK);
    assert_int_equal(race->next.status, COMRADE_OK);
    int64_t before = *revision;
    *revision = kept_revision(race, request_id);
    assert_true(*revision > before);
    assert_int_equal(race->next.request_revision, *revision);
    bool is_kill_first = race->beaten.request_revision == *revision;
    assert_true(is_kill_first || race->beaten.request_revision == before);
    return is_kill_first;
}

/* --- All of them -------------------------------------------------------------------------------
 */

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

/* SplitMix64. */
static int64_t random_below(uint64_t *seed, int64_t limit)
{
    uint64_t mixed = *seed += 0x9e3779b97f4a7c15;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    return (int64_t)((mixed ^ mixed >> 31) % (uint64_t)limit);
}

static int64_t between(int64_t number, int64_t low, int64_t high)
{
    return number < low ? low : number > high ? high : number;
}

static void begin(struct race *race, pthread_t *thread, size_t n_beats)
{
    *race = (struct race){.n_beats = n_beats};
    postgres_server_fresh_database(server, race->url);
    race->store = contract_must_open(&postgres_driver, race->url, "");
    for (size_t i = 0; i < n_beats; i++) {
        snprintf(race->ids[i], sizeof race->ids[i], "m-%03zu", i);
        race->beats[i] = (comrade_beat){race->ids[i], 100};
        contract_put(&postgres_driver, race->store, "app", race->ids[i], 100, 1);
    }
    pthread_barrier_init(&race->begin, NULL, 2);
    pthread_barrier_init(&race->end, NULL, 2);
    pthread_barrier_init(&race->told, NULL, 2);
    assert_int_equal(pthread_create(thread, NULL, beat_in_each_round, race), 0);
}

static void end(struct race *race, pthread_t thread)
{
    race->is_over = true;
    pthread_barrier_wait(&race->begin);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&race->begin);
    pthread_barrier_destroy(&race->end);
    pthread_barrier_destroy(&race->told);
    postgres_driver.close(race->store);
}

static void run_rounds(size_t n_beats, uint64_t rounds)
{
    struct race race;
    pthread_t thread;
    begin(&race, &thread, n_beats);
    uint64_t seed = number_from("SOAK_SEED", env_random(&env_system) % 1000000000);
    printf("# seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    int64_t began_us = now_us(), lead_us = 0, step_us = FIRST_STEP_US, revision = 0;
    uint64_t n_kill_first = 0;
    bool was_kill_first = false;
    for (uint64_t i = 0; i < WARM_UP + rounds; i++) {
        char request_id[COMRADE_REQUEST_ID_BYTES + 1];
        snprintf(request_id, sizeof request_id, "round-%llu", (unsigned long long)i);
        race.beat_us = lead_us + random_below(&seed, 2 * SPREAD_US) - SPREAD_US;
        if (i % 2 == 1) { /* what the handle remembers of the last heartbeat will not do */
            write_changes(&postgres_driver, race.store, "app", COMRADE_ANYTHING, NULL, NULL, 0);
        }
        bool is_kill_first = run_round(&race, request_id, &revision);
        n_kill_first += is_kill_first && i >= WARM_UP;
        /* In great steps at first, until the other wins. */
        bool is_near = i > 0 && is_kill_first != was_kill_first;
        step_us = is_near ? between(step_us / 2, STEP_US, FIRST_STEP_US) : step_us;
        was_kill_first = is_kill_first;
        lead_us =
            between(lead_us + (is_kill_first ? -step_us : step_us), -LEAD_MAX_US, LEAD_MAX_US);
    }
    end(&race, thread);
    printf("# %zu a heartbeat: %llu rounds in %.1f s: the kill was first in %llu, the heartbeat in "
           "%llu; no request was erased; the kill's lead at the end: %lld us\n",
           n_beats, (unsigned long long)rounds, (double)(now_us() - began_us) / 1e6,
           (unsigned long long)n_kill_first, (unsigned long long)(rounds - n_kill_first),
           (long long)lead_us);
    assert_true(n_kill_first >= rounds / 10);
    assert_true(rounds - n_kill_first >= rounds / 10);
}

static void a_kill_and_a_heartbeat_at_once_are_both_kept(void **state)
{
    (void)state;
    run_rounds(1, number_from("SOAK_AMOUNT", ROUNDS));
}

static void a_kill_and_a_large_heartbeat_at_once_are_both_kept(void **state)
{
    (void)state;
    run_rounds(BEATS_MAX, number_from("SOAK_AMOUNT", ROUNDS) / LARGE_SHARE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kill_and_a_heartbeat_at_once_are_both_kept),
        cmocka_unit_test(a_kill_and_a_large_heartbeat_at_once_are_both_kept),
    };
    server = postgres_server_start(NULL);
    if (server == NULL) {
        return postgres_server_skip_tests(tests, sizeof tests / sizeof tests[0]);
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    postgres_server_stop(server);
    return failed;
}
