/*
 * How a request comes to its member: pushed, without a heartbeat; or, if nobody announced it or the
 * announcement was lost, with the next one.
 */
#include "cluster/postgres_places.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void a_kill_is_heard_without_a_heartbeat(void **state)
{
    struct places *places = *state;
    comrade_error error = {0};
    places_beat(places);
    for (int i = 0; i < PLACES; i++) {
        char id[16];
        snprintf(id, sizeof id, "web-%d-0", i);
        if (comrade_client_kill(places->place[1 - i].client, id, NULL, PLACE_PATIENCE_MS, &error) !=
            COMRADE_OK) {
            fail_msg("%s", error.message);
        }
        place_wait(&places->place[i], COMRADE_EVENT_SHUTDOWN, 1);
    }
    assert_int_equal(places_n_heartbeats, PLACES);
}

/* As kill writes it, but nothing is announced. */
static const char silent_kill_sql[] =
    "UPDATE comrade.role SET revision = revision + 1 WHERE role = 'web';"
    "UPDATE comrade.member SET request_revision = 4711, request_kind = 1,"
    " request_incarnation = incarnation, request_id = 'silent',"
    " requested = extract(epoch FROM now()) * 1000 WHERE id = 'web-1-1';"
    "UPDATE comrade.heartbeat SET request_revision = 4711 WHERE id = 'web-1-1'";

static void a_kill_that_nobody_announced_is_heard_with_the_next_heartbeat(void **state)
{
    struct places *places = *state;
    struct place *place = &places->place[1];
    postgres_server_run(places->server, places->url, silent_kill_sql);
    places_beat(places);
    place_wait(place, COMRADE_EVENT_SHUTDOWN, 1);
    assert_int_equal(places_n_heartbeats, PLACES);
    assert_int_equal(place->events[COMRADE_EVENT_SHUTDOWN], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACES_CASE(a_kill_is_heard_without_a_heartbeat),
        PLACES_CASE(a_kill_that_nobody_announced_is_heard_with_the_next_heartbeat),
    };
    return places_run(tests, sizeof tests / sizeof tests[0]);
}
