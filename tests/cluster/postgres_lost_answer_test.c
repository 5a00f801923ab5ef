/*
 * A request whose answer was lost: whoever asked learns what became of it all the same, and the
 * member hears it once.
 */
#include "cluster/postgres_places.h"
#include "lib/cutting_proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const enum cut_point points[] = {
    CUT_REQUEST_UNSENT, CUT_REQUEST_HALF, CUT_REQUEST_UNSYNCED, CUT_REQUEST_SENT,
    CUT_ANSWER_UNSENT,  CUT_ANSWER_HALF,  CUT_ANSWER_SENT,
};
enum { N_POINTS = sizeof points / sizeof points[0], N_HOWS = 2 };

/* Members that no minimum guards, one a point and way. */
static void start_victims(struct place *place)
{
    int n_before = place->events[COMRADE_EVENT_REGISTERED];
    for (int i = 0; i < N_POINTS * N_HOWS; i++) {
        place_start_member(place, "job", 0, 2 + i);
    }
    place_wait(place, COMRADE_EVENT_REGISTERED, n_before + N_POINTS * N_HOWS);
    place->events[COMRADE_EVENT_SHUTDOWN] = 0;
}

static void a_kill_whose_answer_was_lost_is_found_out_and_heard_once(void **state)
{
    struct places *places = *state;
    struct cutting_proxy *proxy = cutting_proxy_start(postgres_server_port(places->server));
    struct place far = {0};
    char url[POSTGRES_URL_SIZE];
    cutting_proxy_url(proxy, places->url, url, sizeof url);
    place_open(&far, url, "production");
    start_victims(&places->place[0]);
    for (int i = 0; i < N_POINTS * N_HOWS; i++) {
        char id[16];
        comrade_error error = {0};
        struct cut cut = {.at = points[i % N_POINTS],
                          .how = i < N_POINTS ? CUT_RST : CUT_FIN,
                          .containing = "\"zombified\":"}; /* in the rows, prepared or not */
        snprintf(id, sizeof id, "job-0-%d", 2 + i);
        cutting_proxy_cut(proxy, &cut);
        comrade_status status =
            comrade_client_kill(far.client, id, NULL, PLACE_PATIENCE_MS, &error);
        if (status != COMRADE_OK) {
            fail_msg("%s: %s", id, error.message);
        }
        assert_true(cutting_proxy_await_cuts(proxy, i + 1));
        place_wait(&places->place[0], COMRADE_EVENT_SHUTDOWN, i + 1);
    }
    places_beat(places);
    for (int i = 0; i < 5; i++) {
        place_dispatch(&places->place[0]);
    }
    assert_int_equal(places->place[0].events[COMRADE_EVENT_SHUTDOWN], 0);
    assert_int_equal(postgres_server_number(places->server, places->url,
                                            "SELECT count(*) FROM comrade.member WHERE role = 'job'"
                                            " AND request_kind = 1"),
                     N_POINTS * N_HOWS);
    place_close(&far);
    cutting_proxy_stop(proxy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACES_CASE(a_kill_whose_answer_was_lost_is_found_out_and_heard_once),
    };
    return places_run(tests, sizeof tests / sizeof tests[0]);
}
