#include "cluster/postgres_places.h"

#include "store/postgres/postgres.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { AN_HOUR_MS = 3600000 };

atomic_int places_n_heartbeats;
static struct postgres_server *server;
static comrade_store_driver counted;

static comrade_status counted_heartbeat(comrade_store *store, const comrade_call *call,
                                        const comrade_beat *beats, size_t n,
                                        comrade_beat_result *results, comrade_beat_summary *summary,
                                        comrade_error *error)
{
    places_n_heartbeats++;
    return postgres_driver.heartbeat(store, call, beats, n, results, summary, error);
}

int places_run(const struct CMUnitTest *tests, size_t n_tests)
{
    counted = postgres_driver;
    counted.heartbeat = counted_heartbeat;
    server = postgres_server_start(NULL);
    if (server == NULL) {
        return postgres_server_skip_tests(tests, n_tests);
    }
    int failed = comrade_store_register(&counted) == COMRADE_OK
                     ? _cmocka_run_group_tests("tests", tests, n_tests, NULL, NULL)
                     : 1;
    postgres_server_stop(server);
    return failed;
}

/* --- A place ---------------------------------------------------------------------------------- */

static void on_event(void *user, const comrade_event *event)
{
    ((struct place *)user)->events[event->kind]++;
}

void place_dispatch(struct place *place)
{
    struct pollfd ready = {.fd = comrade_cluster_fd(place->cluster), .events = POLLIN};
    poll(&ready, 1, PLACE_STEP_MS);
    comrade_cluster_dispatch(place->cluster);
}

void place_wait(struct place *place, comrade_event_kind kind, int count)
{
    for (int left_ms = PLACE_PATIENCE_MS; place->events[kind] < count; left_ms -= PLACE_STEP_MS) {
        assert_true(left_ms > 0);
        place_dispatch(place);
    }
}

void place_start_member(struct place *place, const char *role, int number, int n)
{
    char id[32];
    comrade_error error = {0};
    comrade_member_options options = COMRADE_MEMBER_OPTIONS_INIT;
    snprintf(id, sizeof id, "%s-%d-%d", role, number, n);
    options.role = role;
    options.id = id;
    options.metadata = "{\"port\":80}";
    options.on_event = on_event;
    options.user = place;
    if (comrade_member_new(place->cluster, &options, &place->members[n], &error) != COMRADE_OK ||
        comrade_member_start(place->members[n], &error) != COMRADE_OK) {
        fail_msg("%s", error.message);
    }
}

void place_open(struct place *place, const char *url, const char *name_space)
{
    comrade_cluster_options options = COMRADE_CLUSTER_OPTIONS_INIT;
    options.store = url;
    options.name_space = name_space;
    options.heartbeat_ms = AN_HOUR_MS;
    assert_int_equal(comrade_cluster_open(&options, &place->cluster, NULL), COMRADE_OK);
    assert_int_equal(comrade_client_new(place->cluster, NULL, &place->client, NULL), COMRADE_OK);
}

void place_close(struct place *place)
{
    for (int i = 0; i < PLACE_MEMBERS_MAX; i++) {
        comrade_member_free(place->members[i]);
    }
    comrade_client_free(place->client);
    comrade_cluster_close(place->cluster);
}

/* --- Both ------------------------------------------------------------------------------------- */

void places_beat(struct places *places)
{
    places_n_heartbeats = 0;
    for (int i = 0; i < PLACES; i++) {
        struct place *place = &places->place[i];
        comrade_error error = {0};
        memset(place->events, 0, sizeof place->events);
        if (comrade_member_update(place->members[0], PLACE_PATIENCE_MS, &error) != COMRADE_OK) {
            fail_msg("%s", error.message);
        }
    }
}

void places_set_minimum(struct places *places, const char *role, int min_members)
{
    comrade_error error = {0};
    if (comrade_client_set_role(places->place[0].client, role, min_members, PLACE_PATIENCE_MS,
                                &error) != COMRADE_OK) {
        fail_msg("%s", error.message);
    }
    places_beat(places);
}

int places_set_up(void **state)
{
    struct places *places = calloc(1, sizeof *places);
    assert_non_null(places);
    places->server = server;
    postgres_server_fresh_database(server, places->url);
    for (int i = 0; i < PLACES; i++) {
        struct place *place = &places->place[i];
        place_open(place, places->url, "production");
        place_start_member(place, "web", i, 0);
        place_start_member(place, "web", i, 1);
        place_wait(place, COMRADE_EVENT_REGISTERED, 2);
    }
    places_set_minimum(places, "web", 3);
    *state = places;
    return 0;
}

int places_tear_down(void **state)
{
    struct places *places = *state;
    for (int i = 0; i < PLACES; i++) {
        place_close(&places->place[i]);
    }
    free(places);
    return 0;
}
