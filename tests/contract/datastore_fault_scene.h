/*
 * For the tests of what can happen to a Datastore, or on the way to it: a project of its own for
 * each test, each operation of the driver as a row of one table, so that a fault can be tried on
 * each request of all of them, and a second handle that no fault reaches, to see what is so.
 */
#ifndef CONTRACT_DATASTORE_FAULT_SCENE_H
#define CONTRACT_DATASTORE_FAULT_SCENE_H

#include "contract/contract.h"
#include "lib/datastore_server.h"
#include "store/datastore/datastore.h"

enum { FAULT_PATIENCE_MS = 20000, FAULT_ID_SIZE = 32, FAULT_MEMBERS = 7 };

struct fault_scene {
    struct datastore_server *server;
    char url[DATASTORE_URL_SIZE];
    comrade_store *store; /* under test; NULL: none is open */
    comrade_store *judge; /* works always, once the faults are cleared */
    comrade_error error;  /* of the last call */
    int n_writes;
    char id[FAULT_ID_SIZE]; /* of the last write: its new member, its request, its spec's text */
    unsigned kinds;         /* of its changes */
};

/* What main() starts, for all tests of a program. */
extern struct datastore_server *fault_server;

/*
 * The role app has the members elder, whose incarnation is 1, and m-1 to m-7, and a spec; m-1 is
 * asked to leave, by the request "keep-me". No store is open but the judge's.
 */
int fault_set_up(void **state);
int fault_tear_down(void **state);
#define FAULT_CASE(name) cmocka_unit_test_setup_teardown(name, fault_set_up, fault_tear_down)

/* Must end so many milliseconds from now, and cannot be cancelled. */
comrade_call fault_call(int64_t ms);
void fault_open(struct fault_scene *scene);  /* or fails the test */
void fault_close(struct fault_scene *scene); /* if it is open */

/* --- The operations, each on scene->store ------------------------------------------------------
 */

/* Changes of a write, which are done together. */
enum fault_kind { FAULT_OWN = 1, FAULT_REQUEST = 2, FAULT_SPEC = 4, FAULT_DELETE = 8 };

struct fault_operation {
    const char *name;
    bool is_open;   /* wants that no store is open, and opens one where it succeeds */
    bool is_first;  /* wants a store that has just been opened */
    unsigned kinds; /* a write of these; 0: no write */
    comrade_status (*run)(struct fault_scene *scene, const comrade_call *call);
};

enum { FAULT_OPERATIONS = 17 };
extern const struct fault_operation fault_operations[FAULT_OPERATIONS];

/* Opens or closes as it wants it, and makes what it is to remove. Before its fault. */
void fault_prepare(struct fault_scene *scene, const struct fault_operation *operation);
/* Runs it, and fails the test where it touched an output although it did not succeed. */
comrade_status fault_run(struct fault_scene *scene, const struct fault_operation *operation,
                         const comrade_call *call);
/* How many requests it takes where nothing is wrong. */
int fault_count_requests(struct fault_scene *scene, const struct fault_operation *operation);
/* The fault is for its nth request, and for that alone: see tests/lib/datastore_faults.py. */
void fault_plan(struct fault_scene *scene, int nth, const char *fault);

/* --- What is so, as the judge sees it, when the faults are cleared -----------------------------
 */

/*
 * Does the last write stand? A part of it would fail the test, and so would anything that is lost:
 * a member, its role, a request, the spec.
 */
bool fault_is_applied(struct fault_scene *scene);
/* The operation works, on the handle that has seen the fault. */
void fault_assert_works(struct fault_scene *scene, const struct fault_operation *operation);

#endif
