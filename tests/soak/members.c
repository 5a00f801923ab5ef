/*
 * soak-members URL ROLE PREFIX N HEARTBEAT_MS [lively SEED]
 *
 * N members, each with a cluster of its own: a connection, as if each were a process. It prints
 * what they hear, a line each: `ID EVENT`. It ends when its input does, and leaves their records as
 * they are.
 *
 * Lively ones come and go. Who is asked to leave drains for some ms, says that it has stopped, and
 * is back as a new incarnation; who was zombified does that after a while; and each falls silent
 * now and then for some seconds without having said anything, like one that crashed: a third of
 * them soon after they came.
 */
#include "base/env.h"
#include "store/postgres/postgres.h"

#include <comrade/store.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MEMBERS_MAX = 1000,
    ZONES = 2,
    DRAIN_MAX_MS = 50,
    ZOMBIE_MAX_MS = 1000,
    LIFE_MAX_MS = 20 * 1000,
    WEAK_LIFE_MAX_MS = 200,
    SILENCE_MAX_MS = 4 * 1000,
};

enum phase { LIVING, DRAINING, ZOMBIE, SILENT };

struct slot {
    struct scene *scene;
    char id[COMRADE_ID_MAX_BYTES + 1];
    char metadata[40];
    comrade_cluster *cluster;
    comrade_member *member; /* NULL: silent */
    enum phase phase;
    int64_t due_ms; /* of what comes next; INT64_MAX: nothing does */
};

struct scene {
    const char *url;
    const char *role;
    int64_t heartbeat_ms;
    bool is_lively;
    uint64_t seed;
    int64_t now_ms;
    struct slot *slots;
    size_t n_slots;
};

/* SplitMix64. */
static int64_t random_below(struct scene *scene, int64_t limit)
{
    uint64_t mixed = scene->seed += 0x9e3779b97f4a7c15;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    return (int64_t)((mixed ^ mixed >> 31) % (uint64_t)limit);
}

static void fail(const char *what, const comrade_error *error)
{
    fprintf(stderr, "soak-members: %s: %s\n", what, error->message);
    exit(1);
}

static void enter(struct slot *slot, enum phase phase, int64_t limit_ms)
{
    slot->phase = phase;
    slot->due_ms = slot->scene->is_lively
                       ? slot->scene->now_ms + random_below(slot->scene, limit_ms)
                       : INT64_MAX;
}

/* --- What they hear ----------------------------------------------------------------------------
 */

static void on_event(void *user, const comrade_event *event)
{
    static const char *const names[] = {"registered", "shutdown", "error",  "lost",
                                        "restored",   "fenced",   "in_use", "zombified"};
    struct slot *slot = user;
    printf("%s %s\n", slot->id, names[event->kind]);
    if (event->kind == COMRADE_EVENT_SHUTDOWN) {
        enter(slot, DRAINING, DRAIN_MAX_MS);
    } else if (event->kind == COMRADE_EVENT_ZOMBIFIED && slot->phase == LIVING) {
        enter(slot, ZOMBIE, ZOMBIE_MAX_MS);
    }
}

/* --- Coming and going --------------------------------------------------------------------------
 */

static void join(struct slot *slot)
{
    comrade_error error = {0};
    comrade_member_options options = COMRADE_MEMBER_OPTIONS_INIT;
    options.role = slot->scene->role;
    options.id = slot->id;
    options.metadata = slot->metadata;
    options.takeover = COMRADE_TAKEOVER_ALWAYS;
    options.on_event = on_event;
    options.user = slot;
    if (comrade_member_new(slot->cluster, &options, &slot->member, &error) != COMRADE_OK ||
        comrade_member_start(slot->member, &error) != COMRADE_OK) {
        fail(slot->id, &error);
    }
    bool is_weak = random_below(slot->scene, 3) == 0;
    enter(slot, LIVING, is_weak ? WEAK_LIFE_MAX_MS : LIFE_MAX_MS);
}

static void leave(struct slot *slot)
{
    comrade_member_free(slot->member);
    slot->member = NULL;
}

static void say_stopped(struct slot *slot)
{
    comrade_error error = {0};
    comrade_report report = COMRADE_REPORT_INIT;
    report.state = COMRADE_STATE_STOPPED;
    report.is_alive = false;
    report.is_available = false;
    if (comrade_member_report_submit(slot->member, &report, NULL, NULL, &error) != COMRADE_OK) {
        fail(slot->id, &error);
    }
}

static void go_on(struct slot *slot)
{
    switch (slot->phase) {
    case LIVING:
        printf("%s silent\n", slot->id);
        leave(slot);
        enter(slot, SILENT, SILENCE_MAX_MS);
        break;
    case DRAINING:
    case ZOMBIE:
        say_stopped(slot);
        leave(slot);
        join(slot);
        break;
    case SILENT:
        join(slot);
        break;
    }
}

/* --- All of them -------------------------------------------------------------------------------
 */

static void open_all(struct scene *scene, const char *prefix)
{
    comrade_error error = {0};
    comrade_cluster_options options = COMRADE_CLUSTER_OPTIONS_INIT;
    options.store = scene->url;
    options.heartbeat_ms = scene->heartbeat_ms;
    for (size_t i = 0; i < scene->n_slots; i++) {
        struct slot *slot = &scene->slots[i];
        slot->scene = scene;
        snprintf(slot->id, sizeof slot->id, "%s-%03zu", prefix, i);
        snprintf(slot->metadata, sizeof slot->metadata, "{\"zone\":\"%zu\"}", i % ZONES);
        if (comrade_cluster_open(&options, &slot->cluster, &error) != COMRADE_OK) {
            fail("open", &error);
        }
        join(slot);
    }
}

static int until_next(const struct scene *scene)
{
    int64_t due_ms = scene->now_ms + 1000;
    for (size_t i = 0; i < scene->n_slots; i++) {
        due_ms = scene->slots[i].due_ms < due_ms ? scene->slots[i].due_ms : due_ms;
    }
    return due_ms > scene->now_ms ? (int)(due_ms - scene->now_ms) : 0;
}

/* False: the input has ended. */
static bool turn(struct scene *scene, struct pollfd *fds)
{
    fds[scene->n_slots] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    for (size_t i = 0; i < scene->n_slots; i++) {
        fds[i] =
            (struct pollfd){.fd = comrade_cluster_fd(scene->slots[i].cluster), .events = POLLIN};
    }
    poll(fds, (nfds_t)scene->n_slots + 1, until_next(scene));
    scene->now_ms = env_monotonic_ms(&env_system);
    for (size_t i = 0; i < scene->n_slots; i++) {
        comrade_cluster_dispatch(scene->slots[i].cluster);
        if (scene->slots[i].due_ms <= scene->now_ms) {
            go_on(&scene->slots[i]);
        }
    }
    fflush(stdout);
    return fds[scene->n_slots].revents == 0;
}

int main(int argc, char **argv)
{
    if (argc < 6 || (argc > 6 && argc < 8)) {
        fputs("usage: soak-members URL ROLE PREFIX N HEARTBEAT_MS [lively SEED]\n", stderr);
        return 2;
    }
    size_t n = strtoul(argv[4], NULL, 10);
    struct scene scene = {
        .url = argv[1],
        .role = argv[2],
        .heartbeat_ms = strtoll(argv[5], NULL, 10),
        .is_lively = argc > 7,
        .seed = argc > 7 ? strtoull(argv[7], NULL, 10) : 0,
        .now_ms = env_monotonic_ms(&env_system),
        .n_slots = n < MEMBERS_MAX ? n : MEMBERS_MAX,
    };
    struct pollfd *fds = calloc(scene.n_slots + 1, sizeof *fds);
    scene.slots = calloc(scene.n_slots + 1, sizeof *scene.slots);
    if (fds == NULL || scene.slots == NULL ||
        comrade_store_register(&postgres_driver) != COMRADE_OK) {
        return 1;
    }
    open_all(&scene, argv[3]);
    while (turn(&scene, fds)) {
    }
    for (size_t i = 0; i < scene.n_slots; i++) {
        leave(&scene.slots[i]);
        comrade_cluster_close(scene.slots[i].cluster);
    }
    free(scene.slots);
    free(fds);
    return 0;
}
