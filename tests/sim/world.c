#include "sim/world.h"

#include "store/memory/memory.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    EPOCH_HOUR_MS = 3600 * 1000,
    SETTLE_MS = 60 * 1000,
    HEAL_MS = 5 * 60 * 1000,
    STEPS_MAX = 2000000,
    RIVAL_MS = 5 * 60 * 1000, /* a late write, a partition, a heartbeat */
};
#define STORE_EPOCH_MS INT64_C(1700000000000)

static struct actor *current;

/* --- Chance and time -------------------------------------------------------------------------- */

/* splitmix64 (Steele, Lea and Flood, 2014). */
uint64_t world_random(struct world *world)
{
    uint64_t z = (world->random_state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

bool world_chance(struct world *world, int one_in)
{
    return world_random(world) % (uint64_t)one_in == 0;
}

int64_t world_between(struct world *world, int64_t low, int64_t high)
{
    return low + (int64_t)(world_random(world) % (uint64_t)(high - low + 1));
}

int64_t world_store_ms(void *user)
{
    return STORE_EPOCH_MS + ((struct world *)user)->now_ms;
}

struct actor *world_current(void)
{
    return current;
}

static int64_t actor_wall_ms(void *user)
{
    const struct actor *actor = user;
    return STORE_EPOCH_MS + actor->world->now_ms + actor->skew_ms;
}

static int64_t actor_monotonic_ms(void *user)
{
    return ((const struct actor *)user)->world->now_ms;
}

static void actor_random_bytes(void *user, void *bytes, size_t n_bytes)
{
    unsigned char *out = bytes;
    for (size_t i = 0; i < n_bytes; i++) {
        out[i] = (unsigned char)world_random(((const struct actor *)user)->world);
    }
}

void world_broken(struct world *world, int promise, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr,
            "# seed %llu, at %lld ms: promise %d is broken: ", (unsigned long long)world->seed,
            (long long)world->now_ms, promise);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    world->has_promise_failed = true;
}

/* --- Members ---------------------------------------------------------------------------------- */

static void end_life(struct life *life)
{
    comrade_member_free(life->member);
    life->actor->due_ms = life->actor->world->now_ms;
    life->of->ended_ms = life->actor->world->now_ms;
    if (life->of->life == life) {
        life->of->life = NULL;
    }
    memset(life, 0, sizeof *life);
}

static void report(struct life *life, comrade_state state, bool is_alive)
{
    comrade_report report = COMRADE_REPORT_INIT;
    report.state = state;
    report.is_alive = is_alive;
    report.is_available = is_alive;
    comrade_member_report_submit(life->member, &report, NULL, NULL, NULL);
}

static void begin_leaving(struct life *life)
{
    struct world *world = life->actor->world;
    life->is_leaving = true;
    life->leave_ms = world->now_ms + world_between(world, 0, 30000);
}

/* Right if its last life was on another host, and nobody knows yet that it crashed. */
static void refused(struct life *life, const comrade_error *error)
{
    struct world *world = life->actor->world;
    char own_host[32];
    snprintf(own_host, sizeof own_host, "\"host-%d\"", (int)(life->actor - world->actors));
    if (strstr(error->message, own_host) != NULL) {
        world_broken(world, 5, "%s was refused its own id: %s", life->of->id, error->message);
    }
    life->of->start_ms = world->now_ms + world_between(world, 1000, 60000);
    end_life(life);
}

/*
 * Is there, or was there lately, another life of the id? Of two that never saw each other's record
 * (it was wiped in between) either may come out as the later one.
 */
static bool has_rival(const struct life *life)
{
    const struct world *world = life->actor->world;
    bool has_other = false;
    for (size_t i = 0; i < WORLD_LIVES; i++) {
        has_other |= &world->lives[i] != life && world->lives[i].of == life->of;
    }
    return has_other || (life->of->ended_ms > 0 && world->now_ms - life->of->ended_ms < RIVAL_MS);
}

static void on_event(void *user, const comrade_event *event)
{
    struct life *life = user;
    struct world *world = life->actor->world;
    switch (event->kind) {
    case COMRADE_EVENT_SHUTDOWN:
        world->counts[WORLD_SHUTDOWN]++;
        promises_on_asked(world, life, false);
        begin_leaving(life);
        break;
    case COMRADE_EVENT_RESTART:
        promises_on_asked(world, life, true);
        begin_leaving(life); /* everybody comes back in the end */
        break;
    case COMRADE_EVENT_FENCED:
        world->counts[WORLD_FENCED]++;
        if (!life->is_doomed && !has_rival(life)) {
            world_broken(world, 5, "%s was fenced by nobody", life->of->id);
        }
        end_life(life);
        break;
    case COMRADE_EVENT_ZOMBIFIED:
        world->counts[WORLD_ZOMBIE]++;
        life->is_zombie = true;
        break;
    case COMRADE_EVENT_LOST:
        world->counts[WORLD_LOST_RECORD]++;
        break;
    case COMRADE_EVENT_RESTORED:
        world->counts[WORLD_RESTORED_RECORD]++;
        break;
    case COMRADE_EVENT_IN_USE:
        refused(life, event->error);
        break;
    case COMRADE_EVENT_REGISTERED:
    case COMRADE_EVENT_ERROR:
        break;
    }
}

static void begin_life(struct world *world, struct inhabitant *inhabitant, struct actor *actor,
                       comrade_takeover takeover)
{
    struct life *life = world->lives;
    while (life < world->lives + WORLD_LIVES && life->of != NULL) {
        life++;
    }
    if (life == world->lives + WORLD_LIVES) {
        return; /* too many who wait to be fenced */
    }
    char host[16];
    snprintf(host, sizeof host, "host-%d", (int)(actor - world->actors));
    *life = (struct life){.of = inhabitant, .actor = actor};
    comrade_member_options options = COMRADE_MEMBER_OPTIONS_INIT;
    options.id = inhabitant->id;
    options.role = inhabitant->role;
    options.host = host;
    options.takeover = takeover;
    options.on_event = on_event;
    options.user = life;
    if (comrade_member_new(actor->cluster, &options, &life->member, NULL) != COMRADE_OK) {
        abort();
    }
    comrade_member_start(life->member, NULL);
    if (inhabitant->life != NULL) {
        inhabitant->life->is_doomed = true;
    }
    inhabitant->life = life;
    actor->due_ms = world->now_ms;
    world->counts[WORLD_RESTART]++;
}

/* Something happens to one of the host's members. */
static void live(struct world *world, struct inhabitant *inhabitant, struct actor *actor)
{
    struct life *life = inhabitant->life;
    if (life == NULL) {
        if (world->now_ms >= inhabitant->start_ms) {
            begin_life(world, inhabitant, actor, COMRADE_TAKEOVER_SAME_HOST);
        }
        return;
    }
    if (life->actor != actor || life->is_leaving || !world_chance(world, 12)) {
        return;
    }
    struct actor *elsewhere = &world->actors[world_random(world) % WORLD_HOSTS];
    switch (world_random(world) % 3) {
    case 0:
        world->counts[WORLD_CRASH]++;
        inhabitant->start_ms =
            world->now_ms +
            world_between(world, 0, world_chance(world, 2) ? 2 * EPOCH_HOUR_MS : 3 * 60 * 1000);
        end_life(life);
        break;
    case 1:
        world->counts[WORLD_DRAIN]++;
        report(life, COMRADE_STATE_DRAINING, false);
        begin_leaving(life);
        break;
    case 2:
        if (elsewhere != actor) {
            begin_life(world, inhabitant, elsewhere, COMRADE_TAKEOVER_ALWAYS);
        }
        break;
    }
    actor->due_ms = world->now_ms;
}

static void leave_when_due(struct world *world, struct actor *actor)
{
    for (size_t i = 0; i < WORLD_LIVES; i++) {
        struct life *life = &world->lives[i];
        if (life->of == NULL || life->actor != actor || !life->is_leaving ||
            world->now_ms < life->leave_ms) {
            continue;
        }
        bool has_said_so = life->member->core.state == COMRADE_STATE_STOPPED;
        if (has_said_so) {
            life->of->start_ms = world->now_ms + world_between(world, 1000, 60000);
            end_life(life);
        } else {
            report(life, COMRADE_STATE_STOPPED, false);
            life->leave_ms = world->now_ms + 2000;
            actor->due_ms = world->now_ms;
        }
    }
}

/* --- Administrators --------------------------------------------------------------------------- */

static void on_done(void *user, comrade_outcome *outcome)
{
    struct actor *actor = user;
    const struct call *call =
        (const struct call *)(const void *)((const char *)outcome - offsetof(struct call, outcome));
    struct world *world = actor->world;
    if (call->operation->kind == OPERATION_ROLLING_KILL) {
        actor->n_rolling--;
    } else {
        actor->n_open_calls--;
    }
    if (comrade_outcome_status(outcome) == COMRADE_REFUSED) {
        world->counts[WORLD_REFUSED]++;
    }
    if (comrade_outcome_status(outcome) == COMRADE_OK && call->operation->n_lost > 0) {
        world->counts[WORLD_SETTLED]++;
    }
    if (comrade_outcome_status(outcome) == COMRADE_OK &&
        call->operation->kind == OPERATION_CLEAR_STALE) {
        world->counts[WORLD_CLEARED] += (long)comrade_members_count(outcome->members);
    }
}

static void administer(struct world *world, struct actor *actor)
{
    comrade_query query = COMRADE_QUERY_INIT;
    query.role = world_chance(world, 5) ? "db" : "app";
    const char *id = world->inhabitants[world_random(world) % WORLD_MEMBERS].id;
    comrade_request_options request = COMRADE_REQUEST_OPTIONS_INIT;
    request.user = "admin";
    if (actor->n_open_calls > 2) {
        return;
    }
    actor->n_open_calls++;
    actor->due_ms = world->now_ms;
    switch (world_random(world) % 12) {
    case 0:
    case 1:
    case 2:
    case 3:
        comrade_client_kill_oldest_submit(actor->client, &query, &request, on_done, actor, NULL);
        break;
    case 4:
    case 5:
        request.is_budgeted = true;
        request.accept_prefix = true;
        comrade_client_kill_submit(actor->client, id, &request, on_done, actor, NULL);
        break;
    case 6:
        request.is_budgeted = world_chance(world, 2);
        comrade_client_restart_submit(actor->client, id, &request, on_done, actor, NULL);
        break;
    case 7:
        comrade_client_kill_submit(actor->client, id, &request, on_done, actor, NULL);
        break;
    case 8:
        comrade_client_zombify_submit(actor->client, id, &request, on_done, actor, NULL);
        break;
    case 9:
        comrade_client_clear_stale_submit(actor->client, on_done, actor, NULL);
        break;
    case 10:
        comrade_client_get_members_submit(actor->client, NULL, on_done, actor, NULL);
        break;
    case 11:
        actor->n_open_calls--;
        if (actor->n_rolling == 0) {
            actor->n_rolling++;
            comrade_client_rolling_kill_submit(actor->client, &query, &request, on_done, actor,
                                               NULL);
        }
        break;
    }
}

/* --- Deeds and disasters ---------------------------------------------------------------------- */

static void do_deeds(struct world *world, struct actor *actor)
{
    size_t i_actor = (size_t)(actor - world->actors);
    leave_when_due(world, actor);
    if (!world->has_faults || world->now_ms < actor->next_deed_ms) {
        return;
    }
    if (i_actor >= WORLD_HOSTS) {
        actor->next_deed_ms = world->now_ms + world_between(world, 1000, 60000);
        administer(world, actor);
        return;
    }
    actor->next_deed_ms = world->now_ms + world_between(world, 1000, 20000);
    for (size_t i = 0; i < WORLD_MEMBERS; i++) {
        if (world->inhabitants[i].i_host == (int)i_actor) {
            live(world, &world->inhabitants[i], actor);
        }
    }
    if (world_chance(world, 60)) {
        world->counts[WORLD_PARTITION]++;
        actor->cut_until_ms = world->now_ms + world_between(world, 5000, 120000);
    }
}

static void strike(struct world *world)
{
    if (!world->has_faults || !world_chance(world, 400)) {
        return;
    }
    switch (world_random(world) % 6) {
    case 0:
        world->counts[WORLD_WIPE]++;
        memory_wipe(world->eye);
        world->was_replaced = true;
        break;
    case 1:
        if (world->backup != NULL) {
            world->counts[WORLD_RESTORE]++;
            memory_restore(world->eye, world->backup);
            world->was_replaced = true;
        }
        break;
    default:
        if (world->backup == NULL || world_chance(world, 4)) {
            memory_backup_free(world->backup);
            world->backup = memory_backup_new(world->eye);
        }
        break;
    }
}

/* --- Steps ------------------------------------------------------------------------------------ */

static int64_t next_time(const struct world *world, const struct actor *actor)
{
    int64_t at_ms = actor->due_ms;
    if (world->has_faults && actor->next_deed_ms < at_ms) {
        at_ms = actor->next_deed_ms;
    }
    for (size_t i = 0; i < WORLD_LIVES; i++) {
        const struct life *life = &world->lives[i];
        if (life->of != NULL && life->actor == actor && life->is_leaving &&
            life->leave_ms < at_ms) {
            at_ms = life->leave_ms;
        }
    }
    at_ms = at_ms < actor->blocked_until_ms ? actor->blocked_until_ms : at_ms;
    return at_ms < world->now_ms ? world->now_ms : at_ms;
}

static struct actor *choose(struct world *world)
{
    struct actor *chosen = NULL;
    int64_t best_ms = INT64_MAX;
    uint64_t offset = world_random(world);
    for (size_t i = 0; i < WORLD_ACTORS; i++) {
        struct actor *actor = &world->actors[(i + offset) % WORLD_ACTORS];
        int64_t at_ms = next_time(world, actor);
        if (at_ms < best_ms) {
            best_ms = at_ms;
            chosen = actor;
        }
    }
    if (chosen != NULL) {
        world->now_ms = best_ms;
    }
    return chosen;
}

/* Whom a notification reaches will make a turn soon. */
static void ring(struct world *world)
{
    for (size_t i = 0; i < WORLD_ACTORS; i++) {
        struct actor *actor = &world->actors[i];
        struct pollfd watch = {.fd = actor->cluster->worker.watch_fd, .events = POLLIN};
        if (watch.fd >= 0 && poll(&watch, 1, 0) > 0) {
            int64_t soon_ms = world->now_ms + world_between(world, 0, 5);
            actor->due_ms = actor->due_ms < soon_ms ? actor->due_ms : soon_ms;
        }
    }
}

/* False: nobody is left who has anything to do, ever. */
static bool step(struct world *world)
{
    current = choose(world);
    if (current == NULL) {
        return false;
    }
    faulty_apply_late(world, false);
    strike(world);
    do_deeds(world, current);
    int64_t due_ms = worker_turn(current->cluster);
    current->due_ms = due_ms <= world->now_ms ? world->now_ms + 1 : due_ms;
    if (comrade_cluster_dispatch(current->cluster) > 0) {
        current->due_ms = world->now_ms + 1;
    }
    ring(world);
    promises_after_step(world);
    return true;
}

bool world_run(struct world *world, int64_t duration_ms)
{
    int64_t until_ms = world->now_ms + duration_ms;
    for (long n_steps = 0; world->now_ms < until_ms && !world->has_promise_failed; n_steps++) {
        if (n_steps > STEPS_MAX) {
            world_broken(world, 5, "no end of work: %ld steps", n_steps);
            break;
        }
        if (!step(world)) {
            break;
        }
    }
    return !world->has_promise_failed;
}

bool world_heal(struct world *world)
{
    world->has_faults = false;
    faulty_apply_late(world, true);
    if (world->backup != NULL) {
        memory_restore(world->eye, world->backup); /* the last harm, which all must undo */
        world->was_replaced = true;
    }
    for (size_t i = 0; i < WORLD_ACTORS; i++) {
        world->actors[i].cut_until_ms = 0;
    }
    if (!world_run(world, HEAL_MS)) {
        return false;
    }
    for (size_t i = 0; i < WORLD_ACTORS; i++) {
        if (world->actors[i].n_open_calls > 0) {
            world_broken(world, 5, "a call of administrator %zu never ended", i - WORLD_HOSTS);
        }
    }
    promises_at_end(world);
    return !world->has_promise_failed;
}

/* --- Beginning and end ------------------------------------------------------------------------ */

static void make_actor(struct world *world, size_t i)
{
    struct actor *actor = &world->actors[i];
    *actor = (struct actor){
        .world = world,
        .env = {actor_wall_ms, actor_monotonic_ms, actor_random_bytes, actor},
        .skew_ms = world_between(world, -EPOCH_HOUR_MS, EPOCH_HOUR_MS),
    };
    comrade_cluster_options options = COMRADE_CLUSTER_OPTIONS_INIT;
    options.store = "sim:";
    options.heartbeat_ms = WORLD_HEARTBEAT_MS;
    options.call_timeout_ms = WORLD_CALL_TIMEOUT_MS;
    if (cluster_open(&options, &actor->env, false, &actor->cluster, NULL) != COMRADE_OK) {
        abort();
    }
    if (i >= WORLD_HOSTS &&
        comrade_client_new(actor->cluster, NULL, &actor->client, NULL) != COMRADE_OK) {
        abort();
    }
}

void world_init(struct world *world, uint64_t seed)
{
    memset(world, 0, sizeof *world);
    world->seed = seed;
    world->random_state = seed;
    world->minimum = 3;
    faulty_use(world);
    comrade_store_config config = {.size = sizeof config,
                                   .url = "memory:sim",
                                   .shown_url = "memory:sim",
                                   .name_space = "",
                                   .kind = "ComradeServer",
                                   .wall_ms = world_store_ms,
                                   .clock = world};
    if (memory_driver.open(&config, NULL, &world->eye, NULL) != COMRADE_OK) {
        abort();
    }
    for (size_t i = 0; i < WORLD_ACTORS; i++) {
        make_actor(world, i);
    }
    for (size_t i = 0; i < WORLD_MEMBERS; i++) {
        struct inhabitant *inhabitant = &world->inhabitants[i];
        inhabitant->i_host = (int)(i / WORLD_MEMBERS_A_HOST);
        const char *role = i % 5 == 4 ? "db" : "app";
        snprintf(inhabitant->role, sizeof inhabitant->role, "%s", role);
        snprintf(inhabitant->id, sizeof inhabitant->id, "%s-%zu", role, i);
        begin_life(world, inhabitant, &world->actors[inhabitant->i_host],
                   COMRADE_TAKEOVER_SAME_HOST);
    }
    struct actor *admin = &world->actors[WORLD_HOSTS];
    admin->n_open_calls++;
    comrade_client_set_role_submit(admin->client, "app", world->minimum, on_done, admin, NULL);
    world_run(world,
              SETTLE_MS); /* all are there, and have seen the spec, before the faults begin */
    world->has_faults = true;
}

void world_finish(struct world *world)
{
    for (size_t i = 0; i < WORLD_LIVES; i++) {
        if (world->lives[i].of != NULL) {
            end_life(&world->lives[i]);
        }
    }
    for (size_t i = 0; i < WORLD_ACTORS; i++) {
        current = &world->actors[i];
        comrade_client_free(world->actors[i].client);
        comrade_cluster_close(world->actors[i].cluster);
    }
    faulty_apply_late(world, true);
    memory_backup_free(world->backup);
    memory_driver.close(world->eye);
}
