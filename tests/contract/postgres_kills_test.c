/*
 * The whole server is killed again and again, at random moments, while two stores register members,
 * beat for them, and ask things of them and of each other's. A trigger notes every request in the
 * transaction that writes it: so afterwards the database itself can be asked which of them it has
 * ever had. What was acknowledged must be there, and what was said to be UNAVAILABLE must not.
 *
 * SOAK_AMOUNT says how many kills (12 without it), SOAK_SEED repeats the moments of another run.
 */
#include "base/buffer.h"
#include "base/env.h"
#include "contract/cases.h"
#include "lib/postgres_server.h"
#include "store/postgres/postgres.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    KILLS = 12,
    WORKERS = 2,
    MEMBERS = 8, /* a worker's */
    INCARNATION = 100,
    DEADLINE_MS = 5000,
    BETWEEN_KILLS_MS = 200,
    REQUESTS_MAX = 2000000,
    SQL_LIMIT = 64 * 1024 * 1024
};

static struct postgres_server *server;

struct outcomes {
    long n_ok, n_unavailable, n_unknown, n_other;
};

/* One store, its members, and what it was told. Its own thread's until that is joined. */
struct worker {
    int number;
    uint64_t seed;
    const char *url;
    atomic_bool *is_over;
    comrade_store *store;
    int64_t sequences[MEMBERS]; /* the last that was said of each … */
    int64_t written[MEMBERS];   /* … and the last that was acknowledged */
    long n_requests;
    struct buffer acknowledged, refused; /* request ids, as arrays of texts */
    struct outcomes beats, registrations, requests;
    long n_lost; /* registrations that were acknowledged, and not there later */
    comrade_error error;
};

/* SplitMix64. */
static int64_t random_below(uint64_t *seed, int64_t limit)
{
    uint64_t mixed = *seed += 0x9e3779b97f4a7c15;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    return (int64_t)((mixed ^ mixed >> 31) % (uint64_t)limit);
}

static comrade_call bounded_call(void)
{
    comrade_call call = contract_call();
    call.deadline_ms = call.now_ms(call.clock) + DEADLINE_MS;
    return call;
}

static void count(struct outcomes *outcomes, comrade_status status)
{
    outcomes->n_ok += status == COMRADE_OK;
    outcomes->n_unavailable += status == COMRADE_UNAVAILABLE;
    outcomes->n_unknown += status == COMRADE_UNKNOWN;
    outcomes->n_other += status != COMRADE_OK && status != COMRADE_UNAVAILABLE &&
                         status != COMRADE_UNKNOWN && status != COMRADE_GONE;
}

static void name_member(char id[16], int worker, int member)
{
    snprintf(id, 16, "m-%d-%02d", worker, member);
}

/* --- What a worker does ------------------------------------------------------------------------
 */

static comrade_status write_one_change(struct worker *worker, const char *request_id,
                                       const comrade_change *change, struct outcomes *outcomes)
{
    comrade_write write = {"app", COMRADE_ANYTHING, request_id, change, 1};
    comrade_write_result result = {0};
    comrade_call call = bounded_call();
    comrade_status status =
        postgres_driver.write(worker->store, &call, &write, 1, &result, &worker->error);
    status = status == COMRADE_OK ? result.status : status;
    count(outcomes, status);
    return status;
}

static comrade_status say_own(struct worker *worker, int member)
{
    char id[16];
    comrade_own own = own_part(INCARNATION, worker->sequences[member]);
    name_member(id, worker->number, member);
    comrade_change change = anything(COMRADE_PUT_OWN, id);
    change.own = &own;
    comrade_status status = write_one_change(worker, NULL, &change, &worker->registrations);
    if (status == COMRADE_OK) {
        worker->written[member] = own.sequence;
    }
    return status;
}

/* A heartbeat of all, and then again what the store does not have of them. */
static comrade_status beat_all(struct worker *worker)
{
    char ids[MEMBERS][16];
    comrade_beat beats[MEMBERS];
    comrade_beat_result results[MEMBERS];
    comrade_beat_summary summary;
    comrade_call call = bounded_call();
    for (int i = 0; i < MEMBERS; i++) {
        name_member(ids[i], worker->number, i);
        beats[i] = (comrade_beat){ids[i], INCARNATION};
    }
    comrade_status status = postgres_driver.heartbeat(worker->store, &call, beats, MEMBERS, results,
                                                      &summary, &worker->error);
    count(&worker->beats, status);
    for (int i = 0; i < MEMBERS && status == COMRADE_OK; i++) {
        int64_t stored = results[i].status == COMRADE_OK ? results[i].own_sequence : 0;
        worker->n_lost += stored < worker->written[i];
        if (stored < worker->sequences[i]) {
            status = say_own(worker, i);
        }
    }
    return status;
}

static void note(struct buffer *array, const char *request_id)
{
    buffer_append_format(array, "%s%s", array->len == 0 ? "{" : ",", request_id);
}

static comrade_status ask_one(struct worker *worker)
{
    char id[16], request_id[COMRADE_REQUEST_ID_BYTES + 1];
    name_member(id, (int)random_below(&worker->seed, WORKERS),
                (int)random_below(&worker->seed, MEMBERS));
    snprintf(request_id, sizeof request_id, "r-%d-%ld", worker->number, worker->n_requests++);
    const comrade_request request = {.kind = COMRADE_REQUEST_KILL,
                                     .incarnation = INCARNATION,
                                     .request_id = request_id,
                                     .user = "",
                                     .host = "",
                                     .database_user = "",
                                     .reason = ""};
    comrade_change change = anything(COMRADE_PUT_REQUEST, id);
    change.request = &request;
    comrade_status status = write_one_change(worker, request_id, &change, &worker->requests);
    if (status == COMRADE_OK) {
        note(&worker->acknowledged, request_id);
    } else if (status != COMRADE_UNKNOWN) {
        note(&worker->refused, request_id);
    }
    return status;
}

static comrade_status do_something(struct worker *worker)
{
    int64_t choice = random_below(&worker->seed, 4);
    if (choice == 0) {
        return beat_all(worker);
    }
    if (choice == 1) {
        int member = (int)random_below(&worker->seed, MEMBERS);
        worker->sequences[member]++;
        return say_own(worker, member);
    }
    return ask_one(worker);
}

static void *work(void *user)
{
    struct worker *worker = user;
    while (!atomic_load(worker->is_over) && worker->n_requests < REQUESTS_MAX) {
        if (do_something(worker) == COMRADE_UNAVAILABLE) {
            poll(NULL, 0, 1);
        }
    }
    return NULL;
}

static void begin_work(struct worker *worker, int number, const char *url, uint64_t seed,
                       atomic_bool *is_over)
{
    *worker = (struct worker){.number = number, .url = url, .is_over = is_over};
    worker->seed = seed + (uint64_t)number;
    buffer_init(&worker->acknowledged, SQL_LIMIT);
    buffer_init(&worker->refused, SQL_LIMIT);
    worker->store = contract_must_open(&postgres_driver, url, "");
    for (int i = 0; i < MEMBERS; i++) {
        worker->sequences[i] = 1;
        assert_int_equal(say_own(worker, i), COMRADE_OK);
    }
}

/* --- What the database has ---------------------------------------------------------------------
 */

static const char history_sql[] =
    "CREATE TABLE history (request_id text PRIMARY KEY);"
    "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
    " 'BEGIN INSERT INTO public.history VALUES (NEW.request_id); RETURN NEW; END';"
    "CREATE TRIGGER note AFTER UPDATE OF request_revision ON comrade.member"
    " FOR EACH ROW EXECUTE FUNCTION note()";

/* How many of the ids the database has, or has not, ever had. */
static long long count_ids(const char *url, struct buffer *ids, const char *is_there)
{
    struct buffer sql;
    buffer_init(&sql, SQL_LIMIT * 2);
    buffer_append_text(ids, ids->len == 0 ? "{}" : "}");
    buffer_append_format(&sql, "SELECT count(*) FROM unnest('%s'::text[]) AS asked(id) WHERE",
                         buffer_text(ids));
    buffer_append_format(&sql, " %s (SELECT FROM history WHERE request_id = asked.id)", is_there);
    assert_false(sql.is_failed || ids->is_failed);
    long long n = postgres_server_number(server, url, buffer_text(&sql));
    buffer_finish(&sql);
    return n;
}

static void assert_whole(struct worker *worker)
{
    assert_int_equal(beat_all(worker), COMRADE_OK);
    for (int i = 0; i < MEMBERS; i++) {
        char sql[512], id[16];
        name_member(id, worker->number, i);
        snprintf(sql, sizeof sql,
                 "SELECT count(*) FROM comrade.member m JOIN comrade.heartbeat h USING (id)"
                 " WHERE id = '%s' AND m.sequence = %lld AND h.own_sequence = m.sequence"
                 " AND m.incarnation = %d AND h.incarnation = m.incarnation"
                 " AND h.request_revision = m.request_revision AND m.is_alive AND m.host = 'web1'",
                 id, (long long)worker->sequences[i], INCARNATION);
        assert_int_equal(postgres_server_number(server, worker->url, sql), 1);
    }
}

static void tell(const char *what, const struct outcomes *outcomes)
{
    printf("# %s: %ld done, %ld unavailable, %ld unknown\n", what, outcomes->n_ok,
           outcomes->n_unavailable, outcomes->n_unknown);
}

static void judge(struct worker *worker)
{
    tell("heartbeats", &worker->beats);
    tell("registrations", &worker->registrations);
    tell("requests", &worker->requests);
    if (worker->requests.n_other + worker->registrations.n_other + worker->beats.n_other > 0) {
        fail_msg("%s", worker->error.message);
    }
    assert_int_equal(worker->n_lost, 0);
    assert_int_equal(count_ids(worker->url, &worker->acknowledged, "NOT EXISTS"), 0);
    assert_int_equal(count_ids(worker->url, &worker->refused, "EXISTS"), 0);
    /* Else the kills were of somebody else. */
    assert_true(worker->requests.n_ok > 0);
    assert_true(worker->requests.n_unavailable > 0);
    assert_whole(worker);
    buffer_finish(&worker->acknowledged);
    buffer_finish(&worker->refused);
    postgres_driver.close(worker->store);
}

/* --- The kills ---------------------------------------------------------------------------------
 */

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void what_was_acknowledged_outlives_a_kill_and_what_was_refused_is_not_there(void **state)
{
    (void)state;
    char url[POSTGRES_URL_SIZE];
    struct worker workers[WORKERS];
    pthread_t threads[WORKERS];
    atomic_bool is_over = false;
    uint64_t n_kills = number_from("SOAK_AMOUNT", KILLS);
    uint64_t seed = number_from("SOAK_SEED", env_random(&env_system) % 1000000000);
    printf("# seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    postgres_server_fresh_database(server, url);
    for (int i = 0; i < WORKERS; i++) {
        begin_work(&workers[i], i, url, seed, &is_over);
    }
    postgres_server_run(server, url, history_sql);
    for (int i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (uint64_t i = 0; i < n_kills; i++) {
        poll(NULL, 0, (int)random_below(&seed, BETWEEN_KILLS_MS));
        postgres_server_kill(server);
    }
    atomic_store(&is_over, true);
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("# %llu kills\n", (unsigned long long)n_kills);
    for (int i = 0; i < WORKERS; i++) {
        judge(&workers[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_acknowledged_outlives_a_kill_and_what_was_refused_is_not_there),
    };
    server = postgres_server_start(NULL);
    if (server == NULL) {
        return postgres_server_skip_tests(tests, 1);
    }
    int failed = cmocka_run_group_tests_name("postgres_kills", tests, NULL, NULL);
    postgres_server_stop(server);
    return failed;
}
