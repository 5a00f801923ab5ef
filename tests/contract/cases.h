/*
 * For the files of cases, members.c, writes.c, snapshots.c, watches.c and races.c: what a case
 * works on, and one line for each call of a driver. A call that fails as a whole fails the case. To
 * add a case: its function, and a row at the end of its file.
 */
#ifndef CONTRACT_CASES_H
#define CONTRACT_CASES_H

#include "contract/contract.h"
#include "core/snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* What a case works on: a fresh store with one handle. */
struct scene {
    const struct contract_store *factory;
    const comrade_store_driver *driver;
    char url[512];
    comrade_store *store;
};

int contract_set_up(void **state);
int contract_tear_down(void **state);

#define SCENE(state)                                                                               \
    struct scene *scene = *(state);                                                                \
    const comrade_store_driver *driver = scene->driver;                                            \
    comrade_store *store = scene->store

/* Steps the clock, or waits where the store has its own: a few milliseconds are enough. */
void let_time_pass(const struct scene *scene, int64_t ms);

struct contract_group {
    const struct CMUnitTest *cases;
    size_t n_cases;
};
extern const struct contract_group contract_members, contract_writes, contract_snapshots,
    contract_watches, contract_races;

#define CASE(name) cmocka_unit_test_setup_teardown(name, contract_set_up, contract_tear_down)
#define CONTRACT_GROUP(name)                                                                       \
    const struct contract_group name = {cases, sizeof cases / sizeof cases[0]}

/* Of a change: nothing is expected. */
comrade_change anything(comrade_change_kind kind, const char *id);
comrade_own own_part(int64_t incarnation, int64_t sequence);
comrade_write_result write_changes(const comrade_store_driver *driver, comrade_store *store,
                                   const char *role, int64_t expect_revision,
                                   const char *request_id, const comrade_change *changes, size_t n);
comrade_write_result write_one(const comrade_store_driver *driver, comrade_store *store,
                               const char *role, const comrade_change *change);
comrade_write_result put_request(const comrade_store_driver *driver, comrade_store *store,
                                 const char *role, const char *id, int64_t incarnation);
comrade_write_result put_spec(const comrade_store_driver *driver, comrade_store *store,
                              const char *role, int64_t version, int64_t expected,
                              const char *spec);
void look(const comrade_store_driver *driver, comrade_store *store,
          const comrade_snapshot_query *query, struct snapshot *snapshot);
void look_at_role(const comrade_store_driver *driver, comrade_store *store, const char *role,
                  struct snapshot *snapshot);
comrade_beat_result beat(const comrade_store_driver *driver, comrade_store *store, const char *id,
                         int64_t incarnation, comrade_beat_summary *summary);
int64_t revision_of(const comrade_store_driver *driver, comrade_store *store, const char *role);

#endif
