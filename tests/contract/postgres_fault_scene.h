/*
 * For the tests of what can happen to a PostgreSQL server, or on the way to it: a database of its
 * own for each test, the cutting proxy before it, and each operation of the driver as a row of one
 * table, so that a fault can be tried on all of them.
 */
#ifndef CONTRACT_POSTGRES_FAULT_SCENE_H
#define CONTRACT_POSTGRES_FAULT_SCENE_H

#include "contract/contract.h"
#include "lib/cutting_proxy.h"
#include "lib/postgres_server.h"
#include "store/postgres/postgres.h"

enum { FAULT_PATIENCE_MS = 20000, FAULT_ID_SIZE = 32 };

struct fault_scene {
    struct postgres_server *server;
    struct cutting_proxy *proxy;
    char direct[POSTGRES_URL_SIZE];
    char url[POSTGRES_URL_SIZE]; /* through the proxy */
    comrade_store *store;        /* NULL: none is open */
    comrade_error error;         /* of the last call */
    int n_writes;
    char id[FAULT_ID_SIZE]; /* of the last write: its member, and its request's id */
};

/* What main() starts, for all tests of a program. */
extern struct postgres_server *fault_server;

/* The database has a member, "elder". No store is open. */
int fault_set_up(void **state);
int fault_tear_down(void **state);
#define FAULT_CASE(name) cmocka_unit_test_setup_teardown(name, fault_set_up, fault_tear_down)

/* Must end so many milliseconds from now, and cannot be cancelled. */
comrade_call fault_call(int64_t ms);

/* --- The operations, each on scene->store ------------------------------------------------------
 */

struct fault_operation {
    const char *name;
    int n_requests; /* to the server, when the schema is there and known; `open` logs in, too */
    bool is_open;   /* wants that no store is open, and opens one where it succeeds */
    comrade_status (*run)(struct fault_scene *scene, const comrade_call *call);
};

/* open, heartbeat, write, snapshot, watch. Drain asks the server nothing. */
enum { FAULT_OPERATIONS = 5 };
extern const struct fault_operation fault_operations[FAULT_OPERATIONS];

void fault_open(struct fault_scene *scene);  /* or fails the test */
void fault_close(struct fault_scene *scene); /* if it is open */
/* One write that registers a member nobody has seen, and asks the elder to leave. */
comrade_status fault_write(struct fault_scene *scene, const comrade_call *call);
comrade_status fault_watch(struct fault_scene *scene, const comrade_call *call);
comrade_status fault_drain(struct fault_scene *scene);

/* --- What is so, as the server itself says it --------------------------------------------------
 */

/* Does the last write stand? A part of it would fail the test. */
bool fault_is_applied(struct fault_scene *scene);
/* Waits until so many of our sessions are at the server, or fails the test. */
void fault_await_sessions(struct fault_scene *scene, long long n);
/* Every operation works, and over one connection. A store is open afterwards. */
void fault_assert_works(struct fault_scene *scene);

#endif
