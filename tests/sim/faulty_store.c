/*
 * The memory store behind a bad network: calls fail before or after they were applied, are slow, or
 * are applied when nobody waits any more. Time passes in a call by blocking its actor.
 */
#include "sim/world.h"

#include "store/memory/memory.h"

#include <stdlib.h>
#include <string.h>

enum { LATE_MAX_MS = 9000 };

struct comrade_store {
    comrade_store *inner;
    struct world *world;
    struct actor *actor;
};

/* A write whose caller has given up; all its texts are its own. */
struct late_write {
    struct late_write *next;
    int64_t due_ms;
    struct arena arena;
    comrade_write write;
    comrade_change change;
    comrade_own own;
    comrade_request request;
};

static struct world *the_world;

void faulty_use(struct world *world)
{
    the_world = world;
}

/* --- Late writes ------------------------------------------------------------------------------ */

static const char *keep(struct arena *arena, const char *text)
{
    return text == NULL ? NULL : arena_copy_text(arena, text);
}

static void put_off(struct world *world, const comrade_write *write)
{
    struct late_write *late = calloc(1, sizeof *late);
    struct arena *arena = &late->arena;
    late->due_ms = world->now_ms + world_between(world, 1, LATE_MAX_MS);
    late->write = *write;
    late->write.role = keep(arena, write->role);
    late->write.request_id = keep(arena, write->request_id);
    if (write->n_changes > 0) {
        late->change = write->changes[0];
        late->change.id = keep(arena, late->change.id);
        late->change.spec = keep(arena, late->change.spec);
        late->write.changes = &late->change;
    }
    if (write->n_changes > 0 && late->change.own != NULL) {
        late->own = *late->change.own;
        late->own.host = keep(arena, late->own.host);
        late->own.version = keep(arena, late->own.version);
        late->own.metadata = keep(arena, late->own.metadata);
        late->own.details = keep(arena, late->own.details);
        late->change.own = &late->own;
    }
    if (write->n_changes > 0 && late->change.request != NULL) {
        late->request = *late->change.request;
        late->request.request_id = keep(arena, late->request.request_id);
        late->request.user = keep(arena, late->request.user);
        late->request.host = keep(arena, late->request.host);
        late->request.database_user = keep(arena, late->request.database_user);
        late->request.reason = keep(arena, late->request.reason);
        late->change.request = &late->request;
    }
    late->next = world->late;
    world->late = late;
}

static void write_through(struct world *world, comrade_store *inner, const comrade_write *write,
                          comrade_write_result *result)
{
    memory_driver.write(inner, NULL, write, 1, result, NULL);
    if (result->status == COMRADE_OK) {
        promises_after_write(world, write);
    } else if (result->status == COMRADE_CONFLICT) {
        world->counts[WORLD_CONFLICT]++;
    }
}

void faulty_apply_late(struct world *world, bool all)
{
    for (struct late_write **at = &world->late; *at != NULL;) {
        struct late_write *late = *at;
        if (!all && late->due_ms > world->now_ms) {
            at = &late->next;
            continue;
        }
        *at = late->next;
        comrade_write_result result;
        write_through(world, world->eye, &late->write, &result);
        world->counts[WORLD_LATE_WRITE]++;
        arena_finish(&late->arena);
        free(late);
    }
}

/* --- Faults ----------------------------------------------------------------------------------- */

enum fate { FATE_WELL, FATE_BEFORE, FATE_AFTER, FATE_LATE };

static enum fate draw(comrade_store *store)
{
    struct world *world = store->world;
    struct actor *actor = store->actor;
    if (world->now_ms < actor->cut_until_ms) {
        /* Nothing comes back: the whole deadline is waited for. */
        actor->blocked_until_ms = world->now_ms + WORLD_CALL_TIMEOUT_MS;
        return FATE_BEFORE;
    }
    if (!world->has_faults) {
        return FATE_WELL;
    }
    if (world_chance(world, 20)) {
        world->counts[WORLD_DELAY]++;
        actor->blocked_until_ms = world->now_ms + world_between(world, 1, WORLD_CALL_TIMEOUT_MS);
    }
    if (world_chance(world, 15)) {
        world->counts[WORLD_FAIL_BEFORE]++;
        return FATE_BEFORE;
    }
    if (world_chance(world, 15)) {
        world->counts[WORLD_LOST_REPLY]++;
        return FATE_AFTER;
    }
    return world_chance(world, 20) ? FATE_LATE : FATE_WELL;
}

static comrade_status lose(comrade_error *error, comrade_status status)
{
    return comrade_error_set(error, status, "sim: %s", comrade_status_text(status));
}

/* --- The driver ------------------------------------------------------------------------------- */

static comrade_status faulty_open(const comrade_store_config *config, const comrade_call *call,
                                  comrade_store **store, comrade_error *error)
{
    struct world *world = the_world;
    struct actor *actor = world_current();
    if (world->now_ms < actor->cut_until_ms || (world->has_faults && world_chance(world, 10))) {
        return lose(error, COMRADE_UNAVAILABLE);
    }
    comrade_store *made = calloc(1, sizeof *made);
    comrade_store_config inner = *config;
    inner.url = "memory:sim";
    inner.wall_ms = world_store_ms;
    inner.clock = world;
    comrade_status status = memory_driver.open(&inner, call, &made->inner, error);
    made->world = world;
    made->actor = actor;
    *store = made;
    return status;
}

static void faulty_close(comrade_store *store)
{
    if (store != NULL) {
        memory_driver.close(store->inner);
        free(store);
    }
}

static comrade_status faulty_heartbeat(comrade_store *store, const comrade_call *call,
                                       const comrade_beat *beats, size_t n_beats,
                                       comrade_beat_result *results, comrade_beat_summary *summary,
                                       comrade_error *error)
{
    enum fate fate = draw(store);
    if (fate == FATE_BEFORE) {
        return lose(error, COMRADE_UNAVAILABLE);
    }
    comrade_status status =
        memory_driver.heartbeat(store->inner, call, beats, n_beats, results, summary, error);
    return fate == FATE_WELL ? status : lose(error, COMRADE_UNAVAILABLE);
}

static comrade_status faulty_write(comrade_store *store, const comrade_call *call,
                                   const comrade_write *writes, size_t n_writes,
                                   comrade_write_result *results, comrade_error *error)
{
    (void)call;
    enum fate fate = draw(store);
    if (fate == FATE_BEFORE) {
        return lose(error, COMRADE_UNAVAILABLE);
    }
    for (size_t i = 0; i < n_writes; i++) {
        if (fate == FATE_LATE && writes[i].n_changes <= 1) {
            put_off(store->world, &writes[i]);
        } else {
            write_through(store->world, store->inner, &writes[i], &results[i]);
        }
    }
    return fate == FATE_WELL ? COMRADE_OK : lose(error, COMRADE_UNKNOWN);
}

static comrade_status faulty_snapshot(comrade_store *store, const comrade_call *call,
                                      const comrade_snapshot_query *query,
                                      const comrade_cursor *from, const comrade_snapshot_sink *sink,
                                      comrade_snapshot_page *page, comrade_error *error)
{
    if (draw(store) != FATE_WELL) {
        return lose(error, COMRADE_UNAVAILABLE);
    }
    comrade_snapshot_query small = *query;
    if (world_chance(store->world, 3) && query->scope != COMRADE_SCOPE_IDS) {
        small.limit = 2; /* pages, between which others write */
    }
    return memory_driver.snapshot(store->inner, call, &small, from, sink, page, error);
}

static int faulty_watch(comrade_store *store, const comrade_call *call, comrade_error *error)
{
    if (draw(store) != FATE_WELL) {
        return -1;
    }
    return memory_driver.watch(store->inner, call, error);
}

static void drop_change(void *user, const char *role, const char *id)
{
    (void)user;
    (void)role;
    (void)id;
}

static void drop_resync(void *user)
{
    (void)user;
}

static comrade_status faulty_drain(comrade_store *store, const comrade_watch_sink *sink,
                                   comrade_error *error)
{
    static const comrade_watch_sink deaf = {drop_change, drop_resync, NULL};
    bool is_cut = store->world->now_ms < store->actor->cut_until_ms;
    if (is_cut || (store->world->has_faults && world_chance(store->world, 5))) {
        store->world->counts[WORLD_LOST_PUSH]++;
        return memory_driver.drain(store->inner, &deaf, error);
    }
    return memory_driver.drain(store->inner, sink, error);
}

const comrade_store_driver faulty_driver = {
    .abi = COMRADE_STORE_ABI,
    .scheme = "sim",
    .open = faulty_open,
    .close = faulty_close,
    .heartbeat = faulty_heartbeat,
    .write = faulty_write,
    .snapshot = faulty_snapshot,
    .watch = faulty_watch,
    .drain = faulty_drain,
};
