/*
 * Members of two processes, as it were, on a PostgreSQL server, whose heartbeats come only when a
 * test asks for one: so they can be counted.
 */
#ifndef CLUSTER_POSTGRES_PLACES_H
#define CLUSTER_POSTGRES_PLACES_H

#include "lib/postgres_server.h"

#include <comrade/store.h>

#include <stdatomic.h>

enum { PLACES = 2, PLACE_MEMBERS_MAX = 150, PLACE_PATIENCE_MS = 20000, PLACE_STEP_MS = 20 };

struct place {
    comrade_cluster *cluster;
    comrade_client *client;
    comrade_member *members[PLACE_MEMBERS_MAX];
    int events[16]; /* by their kind, since the last beat */
};

/* In the namespace "production": web-0-0, web-0-1, web-1-0 and web-1-1, of which three must stay.
 */
struct places {
    struct postgres_server *server;
    char url[POSTGRES_URL_SIZE];
    struct place place[PLACES];
};

/* Of all clusters of the program. */
extern atomic_int places_n_heartbeats;

/* Starts the server, runs the tests, stops it: what main() returns. Without a server they are
   skipped. */
struct CMUnitTest;
int places_run(const struct CMUnitTest *tests, size_t n_tests);
int places_set_up(void **state);
int places_tear_down(void **state);
#define PLACES_CASE(name) cmocka_unit_test_setup_teardown(name, places_set_up, places_tear_down)

void place_open(struct place *place, const char *url, const char *name_space);
void place_close(struct place *place); /* and frees its members */
/* Makes and starts ROLE-NUMBER-N as the nth member; `place_wait` says when it is registered. */
void place_start_member(struct place *place, const char *role, int number, int n);
void place_dispatch(struct place *place);
/* Until so many events of a kind have come. */
void place_wait(struct place *place, comrade_event_kind kind, int count);

/* One heartbeat of each place. Counts events and heartbeats anew. */
void places_beat(struct places *places);
/* Of which everybody has heard when it returns. */
void places_set_minimum(struct places *places, const char *role, int min_members);

#endif
