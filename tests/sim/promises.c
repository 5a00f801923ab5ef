/*
 * The promises, as they can be seen from outside: in what is committed, and in what members are
 * told. Numbers are those of docs/PROMISES.md.
 */
#include "sim/world.h"

#include "core/spec.h"
#include "store/memory/memory.h"

#include <string.h>

static void look(struct world *world, struct snapshot *snapshot)
{
    comrade_snapshot_query query = {.scope = COMRADE_SCOPE_ALL, .limit = SIZE_MAX};
    comrade_snapshot_sink sink = {snapshot_add_record, snapshot_add_role, snapshot};
    comrade_snapshot_page page;
    snapshot_init(snapshot);
    memory_driver.snapshot(world->eye, NULL, &query, NULL, &sink, &page, NULL);
    snapshot->now_ms = page.now_ms;
}

/* For good, or to come back. */
static bool asks_to_leave(const comrade_write *write)
{
    return write->n_changes == 1 && write->changes[0].kind == COMRADE_PUT_REQUEST &&
           write->changes[0].request->kind != COMRADE_REQUEST_NONE;
}

/* For promise 4. */
static void remember_withdrawal(struct world *world, const comrade_write *write)
{
    const comrade_change *change = write->n_changes == 1 ? write->changes : NULL;
    if (change == NULL || change->kind != COMRADE_PUT_OWN || change->own->is_alive) {
        return;
    }
    for (size_t i = 0; i < WORLD_MEMBERS; i++) {
        if (strcmp(world->inhabitants[i].id, change->id) == 0 &&
            change->own->incarnation > world->withdrawn[i]) {
            world->withdrawn[i] = change->own->incarnation;
        }
    }
}

/* Promise 2, at the moment of the commit: a budgeted request leaves the minimum. */
void promises_after_write(struct world *world, const comrade_write *write)
{
    remember_withdrawal(world, write);
    if (!asks_to_leave(write)) {
        return;
    }
    bool is_kill = write->changes[0].request->kind == COMRADE_REQUEST_KILL;
    world->counts[is_kill ? WORLD_KILL : WORLD_RESTART_ASKED]++;
    if (write->expect_revision == COMRADE_ANYTHING) {
        return; /* unconditional */
    }
    struct snapshot snapshot;
    look(world, &snapshot);
    int available = 0;
    for (size_t i = 0; i < snapshot.n_records; i++) {
        const comrade_record *record = &snapshot.records[i];
        /* Two deadlines have passed at most since it was decided: 60 s less them, and them. */
        available += strcmp(record->role, write->role) == 0 && health_is_alive(record) &&
                             !health_is_requested(record) && record->own.is_available &&
                             health_is_healthy(record, snapshot.now_ms, VERDICT_NONE)
                         ? 1
                         : 0;
    }
    int minimum = spec_min_members(snapshot_role(&snapshot, write->role));
    minimum = minimum == SPEC_UNSET ? 0 : minimum;
    if (available < minimum) {
        world_broken(world, 2, "the request to %s left role %s with %d of %d", write->changes[0].id,
                     write->role, available, minimum);
    }
    snapshot_finish(&snapshot);
}

/* Promise 1: what was asked of a life stays asked, as it was. */
static void check_requests(struct world *world, const struct snapshot *snapshot)
{
    for (size_t i = 0; i < WORLD_MEMBERS; i++) {
        struct witness *witness = &world->witnesses[i];
        const comrade_record *record = snapshot_find(snapshot, world->inhabitants[i].id);
        if (record == NULL) {
            *witness = (struct witness){0};
            continue;
        }
        /* Who was to come back may be told to stay away instead. */
        bool is_overruled = witness->kind == COMRADE_REQUEST_RESTART &&
                            record->request.kind == COMRADE_REQUEST_KILL;
        bool was_asked = witness->kind != COMRADE_REQUEST_NONE && !is_overruled &&
                         witness->request_incarnation == witness->incarnation;
        if (was_asked && !world->was_replaced && record->own.incarnation == witness->incarnation &&
            (record->request.kind != witness->kind ||
             record->request.incarnation != witness->request_incarnation ||
             record->request.requested_ms != witness->requested_ms)) {
            world_broken(world, 1, "the request to %s was erased or moved", record->id);
        }
        if (!world->was_replaced && record->own.incarnation == witness->incarnation &&
            record->own.sequence < witness->sequence) {
            world_broken(world, 5, "a late write took %s back", record->id);
        }
        *witness = (struct witness){record->own.incarnation, record->request.kind,
                                    record->request.incarnation, record->request.requested_ms,
                                    record->own.sequence};
    }
}

/* Promise 6: `updated` and `created` are of the store's clock, whatever the hosts' say. */
static void check_clocks(struct world *world, const struct snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->n_records; i++) {
        const comrade_record *record = &snapshot->records[i];
        if (record->updated_ms > snapshot->now_ms || record->own.created_ms > snapshot->now_ms ||
            record->updated_ms < record->own.created_ms) {
            world_broken(world, 6, "%s has a time that the store's clock never showed", record->id);
        }
    }
}

void promises_after_step(struct world *world)
{
    struct snapshot snapshot;
    look(world, &snapshot);
    check_requests(world, &snapshot);
    check_clocks(world, &snapshot);
    snapshot_finish(&snapshot);
    world->was_replaced = false;
}

/* Promises 3 and 4: once a life, only if it was asked, and gone from the list before. */
void promises_on_asked(struct world *world, struct life *life, bool is_restart)
{
    int *n_told = is_restart ? &life->n_restarts : &life->n_shutdowns;
    if (++*n_told > 1 || (is_restart && life->n_shutdowns > 0)) {
        world_broken(world, 3, "%s was told to leave twice", life->of->id);
    }
    const struct member *core = &life->member->core;
    const struct snapshot *asked = is_restart ? &core->restart : &core->shutdown;
    if (asked->n_records != 1 || asked->records[0].request.incarnation != core->incarnation) {
        world_broken(world, 3, "%s was told of a request for another life", life->of->id);
    }
    bool is_patience_over = core->shutdown_sent_ms != 0 &&
                            world->now_ms - core->shutdown_sent_ms >= MEMBER_SHUTDOWN_PATIENCE_MS;
    bool was_withdrawn = world->withdrawn[life->of - world->inhabitants] >= core->incarnation;
    if (!was_withdrawn && !is_patience_over) {
        world_broken(world, 4, "%s was told to leave while it is listed", life->of->id);
    }
}

static void check_whole(struct world *world, const struct snapshot *snapshot,
                        const struct inhabitant *inhabitant)
{
    const comrade_record *record = snapshot_find(snapshot, inhabitant->id);
    if (record == NULL) {
        world_broken(world, 5, "%s runs and has no record", inhabitant->id);
        return;
    }
    const struct life *life = inhabitant->life;
    const struct member *core = &life->member->core;
    if (record->own.incarnation != core->incarnation || record->own.sequence != core->sequence) {
        world_broken(world, 5, "%s is not as it says itself", inhabitant->id);
    }
    if (!health_is_healthy(record, snapshot->now_ms, VERDICT_NONE)) {
        world_broken(world, 6, "%s runs and is not healthy", inhabitant->id);
    }
    if (health_is_requested(record) && life->n_shutdowns == 0) {
        world_broken(world, 3, "%s was asked to leave and never told", inhabitant->id);
    }
    if (health_is_alive(record) == (life->is_leaving || life->is_zombie)) {
        world_broken(world, 5, "%s is %slisted", inhabitant->id,
                     health_is_alive(record) ? "" : "not ");
    }
}

void promises_at_end(struct world *world)
{
    struct snapshot snapshot;
    look(world, &snapshot);
    bool has_members = false;
    for (size_t i = 0; i < WORLD_MEMBERS; i++) {
        const struct inhabitant *inhabitant = &world->inhabitants[i];
        bool is_running =
            inhabitant->life != NULL && inhabitant->life->member->core.phase == MEMBER_REGISTERED;
        if (inhabitant->life != NULL && !is_running) {
            world_broken(world, 5, "%s runs and is not registered", inhabitant->id);
        }
        if (is_running) {
            check_whole(world, &snapshot, inhabitant);
            has_members |= strcmp(inhabitant->role, "app") == 0;
        }
    }
    int minimum = spec_min_members(snapshot_role(&snapshot, "app"));
    if (has_members && minimum != world->minimum) {
        world_broken(world, 5, "the minimum of role app is %d, and was set to %d", minimum,
                     world->minimum);
    }
    snapshot_finish(&snapshot);
}
