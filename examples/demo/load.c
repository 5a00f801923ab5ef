/*
 * A steady load on the members of a role, at addresses that it hears from the cluster and nowhere
 * else. It never repeats a request, and counts every one that was not answered whole.
 *
 *   demo-load STORE-URL ROLE [REQUESTS-A-SECOND [NAMESPACE]]
 *
 * It shows how a program lives with Comrade in its own event loop: comrade_cluster_fd() is one more
 * descriptor in epoll; when it is readable, comrade_cluster_dispatch() calls on_change() with the
 * members to talk to. When a member leaves the list no new request goes to it, its idle connections
 * are closed, and what is under way may end.
 *
 * On standard output: one JSON object a line, of what happened. SIGTERM or SIGINT: no new requests,
 * then the end when the last one is answered. Exit code 0: not one has failed.
 */
#include "connection.h"

#include <comrade.h>

#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_TARGETS = 64,
    MAX_CONNECTIONS = 2000,
    TICK_MS = 10,
    REPORT_MS = 1000,
    REQUEST_LIMIT_MS = 10000,
    SLOW_ONE_IN = 20, /* requests that take 2 s */
    EVENTS_A_TURN = 64,
};

struct counts {
    int64_t answered;
    int64_t failed;
    int64_t fresh; /* answered on a connection of their own */
    int64_t kept;  /* answered on a connection that had served before */
    int64_t slow;  /* answered after 2 s */
};

struct load {
    int epoll_fd;
    int timer_fd;
    int signal_fd;
    comrade_cluster *cluster;
    struct target targets[MAX_TARGETS];
    size_t n_targets;
    struct connection *connections;
    size_t n_connections;
    size_t rate; /* requests a second */
    uint64_t n_begun;
    uint64_t n_slow;  /* of them, those that take 2 s */
    uint64_t n_quick; /* and the others */
    double n_due;
    struct counts counts;
    int64_t report_at_ms;
    bool is_discovered; /* members have been seen; before that there is nobody to ask */
    bool is_ending;
};

static int64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Takes the object and prints it as a line. */
static void print_event(json_t *event)
{
    json_dumpf(event, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(event);
}

static void print_counts(const struct load *load, const char *event)
{
    const struct counts *counts = &load->counts;
    print_event(json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:i}", "event", event, "answered",
                          (json_int_t)counts->answered, "failed", (json_int_t)counts->failed,
                          "fresh", (json_int_t)counts->fresh, "kept", (json_int_t)counts->kept,
                          "slow", (json_int_t)counts->slow, "targets", (int)load->n_targets));
}

/* --- Discovery ------------------------------------------------------------------------------- */

/* The agent writes `ip` and `port` into the metadata. Not every member must have them. */
static bool read_target(const comrade_member_data *member, struct target *target)
{
    json_t *metadata = json_loads(member->metadata, 0, NULL);
    const char *ip = json_string_value(json_object_get(metadata, "ip"));
    json_t *port = json_object_get(metadata, "port");
    bool is_complete = ip != NULL && (json_is_integer(port) || json_is_string(port));
    if (is_complete) {
        snprintf(target->id, sizeof target->id, "%s", member->id);
        snprintf(target->ip, sizeof target->ip, "%s", ip);
        if (json_is_integer(port)) {
            snprintf(target->port, sizeof target->port, "%" PRId64,
                     (int64_t)json_integer_value(port));
        } else {
            snprintf(target->port, sizeof target->port, "%s", json_string_value(port));
        }
    }
    json_decref(metadata);
    return is_complete;
}

/* The whole set, whenever it changed. While the store is away the last set stays true. */
static void on_change(void *user, const comrade_members *members, const comrade_error *error)
{
    struct load *load = user;
    if (members == NULL) {
        fprintf(stderr, "demo-load: %s\n", error->message);
        return;
    }
    load->n_targets = 0;
    json_t *ids = json_array();
    for (size_t i = 0; i < comrade_members_count(members) && load->n_targets < MAX_TARGETS; i++) {
        struct target *target = &load->targets[load->n_targets];
        if (read_target(comrade_members_at(members, i), target)) {
            json_array_append_new(ids, json_string(target->id));
            load->n_targets++;
        }
    }
    load->is_discovered |= load->n_targets > 0;
    print_event(json_pack("{s:s, s:o}", "event", "targets", "ids", ids));
}

static bool is_listed(const struct load *load, const struct connection *connection)
{
    for (size_t i = 0; i < load->n_targets; i++) {
        const struct target *target = &load->targets[i];
        if (strcmp(target->id, connection->target.id) == 0 &&
            strcmp(target->port, connection->target.port) == 0) {
            return true;
        }
    }
    return false;
}

/* --- Requests -------------------------------------------------------------------------------- */

static void count_failure(struct load *load, const char *id, const char *what, const char *why)
{
    load->counts.failed++;
    print_event(json_pack("{s:s, s:s, s:s, s:s}", "event", "failure", "id", id, "request", what,
                          "why", why));
}

static void settle(struct load *load, struct connection *connection)
{
    if (connection->state == CONNECTION_ANSWERED) {
        load->counts.answered++;
        load->counts.slow += connection->is_slow;
        load->counts.fresh += connection->is_first;
        load->counts.kept += !connection->is_first;
        connection->is_first = false;
        connection->state = connection->is_kept ? CONNECTION_IDLE : CONNECTION_OVER;
    } else if (connection->state == CONNECTION_FAILED) {
        count_failure(load, connection->target.id, connection->is_slow ? "/slow" : "/",
                      connection->failure);
        connection->state = CONNECTION_OVER;
    }
}

static struct connection *find_idle(const struct load *load, const struct target *target)
{
    for (struct connection *it = load->connections; it != NULL; it = it->next) {
        if (it->state == CONNECTION_IDLE && strcmp(it->target.id, target->id) == 0 &&
            strcmp(it->target.port, target->port) == 0) {
            return it;
        }
    }
    return NULL;
}

static struct connection *add_connection(struct load *load, const struct target *target,
                                         bool is_kept)
{
    struct connection *connection =
        load->n_connections < MAX_CONNECTIONS ? connection_open(target, is_kept) : NULL;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = connection};
    if (connection == NULL ||
        epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) != 0) {
        connection_close(connection);
        return NULL;
    }
    connection->next = load->connections;
    load->connections = connection;
    load->n_connections++;
    return connection;
}

static void watch_connection(const struct load *load, struct connection *connection)
{
    struct epoll_event event = {.events = connection_events(connection), .data.ptr = connection};
    epoll_ctl(load->epoll_fd, EPOLL_CTL_MOD, connection->fd, &event);
}

/*
 * Members in turn; every second request on a kept connection; one in twenty takes 2 s. The slow
 * ones have turns of their own, so that each member has some under way at any moment.
 */
static void begin_request(struct load *load)
{
    bool is_slow = load->n_begun++ % SLOW_ONE_IN == 0;
    uint64_t n = is_slow ? load->n_slow++ : load->n_quick++;
    const char *what = is_slow ? "/slow" : "/";
    if (load->n_targets == 0) {
        count_failure(load, "", what, "nobody is listed");
        return;
    }
    const struct target *target = &load->targets[n % load->n_targets];
    bool is_kept = n / load->n_targets % 2 == 0;
    struct connection *connection = is_kept ? find_idle(load, target) : NULL;
    if (connection == NULL) {
        connection = add_connection(load, target, is_kept);
    }
    if (connection == NULL) {
        count_failure(load, target->id, what, "no connection could be made");
        return;
    }
    connection_request(connection, what, monotonic_ms() + REQUEST_LIMIT_MS);
    connection_step(connection, EPOLLOUT);
    settle(load, connection);
    watch_connection(load, connection);
}

/* After each turn: closes what is over, late, or idle at a member that has left the list. */
static void sweep(struct load *load, int64_t now_ms)
{
    struct connection **place = &load->connections;
    while (*place != NULL) {
        struct connection *connection = *place;
        if (connection->state == CONNECTION_BUSY && now_ms >= connection->deadline_ms) {
            connection->state = CONNECTION_FAILED;
            connection->failure = "no answer in time";
            settle(load, connection);
        }
        bool is_useless = connection->state == CONNECTION_IDLE &&
                          (load->is_ending || !is_listed(load, connection));
        if (connection->state == CONNECTION_OVER || is_useless) {
            *place = connection->next;
            load->n_connections--;
            connection_close(connection);
        } else {
            place = &connection->next;
        }
    }
}

/* --- The loop -------------------------------------------------------------------------------- */

static void on_tick(struct load *load)
{
    uint64_t n_expired = 0;
    if (read(load->timer_fd, &n_expired, sizeof n_expired) != sizeof n_expired) {
        return;
    }
    if (load->is_discovered && !load->is_ending) {
        load->n_due += (double)(n_expired * load->rate * TICK_MS) / 1000;
        for (; load->n_due >= 1; load->n_due--) {
            begin_request(load);
        }
    }
    int64_t now_ms = monotonic_ms();
    if (now_ms >= load->report_at_ms) {
        load->report_at_ms = now_ms + REPORT_MS;
        print_counts(load, "counts");
    }
}

static void on_connection(struct load *load, struct connection *connection, uint32_t events)
{
    connection_step(connection, events);
    settle(load, connection);
    watch_connection(load, connection);
}

static void run(struct load *load)
{
    while (!load->is_ending || load->connections != NULL) {
        struct epoll_event events[EVENTS_A_TURN];
        int n = epoll_wait(load->epoll_fd, events, EVENTS_A_TURN, REPORT_MS);
        for (int i = 0; i < n; i++) {
            void *whose = events[i].data.ptr;
            if (whose == &load->cluster) {
                comrade_cluster_dispatch(load->cluster);
            } else if (whose == &load->timer_fd) {
                on_tick(load);
            } else if (whose == &load->signal_fd) {
                struct signalfd_siginfo info;
                load->is_ending = read(load->signal_fd, &info, sizeof info) > 0;
            } else {
                on_connection(load, whose, events[i].events);
            }
        }
        sweep(load, monotonic_ms());
    }
}

static bool add_descriptor(const struct load *load, int fd, void *whose)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = whose};
    return fd >= 0 && epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool start_loop(struct load *load)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    struct itimerspec tick = {.it_interval.tv_nsec = TICK_MS * 1000000L,
                              .it_value.tv_nsec = TICK_MS * 1000000L};
    load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    load->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    load->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    return load->epoll_fd >= 0 && add_descriptor(load, load->timer_fd, &load->timer_fd) &&
           add_descriptor(load, load->signal_fd, &load->signal_fd) &&
           add_descriptor(load, comrade_cluster_fd(load->cluster), &load->cluster) &&
           timerfd_settime(load->timer_fd, 0, &tick, NULL) == 0;
}

static void finish_loop(struct load *load)
{
    for (struct connection *it = load->connections, *next; it != NULL; it = next) {
        next = it->next;
        connection_close(it);
    }
    close(load->signal_fd);
    close(load->timer_fd);
    close(load->epoll_fd);
}

static int watch_and_run(struct load *load, const char *role)
{
    comrade_error error;
    comrade_client *client = NULL;
    comrade_watch *watch = NULL;
    comrade_query query = COMRADE_QUERY_INIT;
    query.role = role;
    query.alive = COMRADE_YES;
    query.healthy = COMRADE_YES;
    int exit_code = 1;
    if (comrade_client_new(load->cluster, NULL, &client, &error) != COMRADE_OK ||
        comrade_watch_start(client, &query, on_change, load, &watch, &error) != COMRADE_OK) {
        fprintf(stderr, "demo-load: %s\n", error.message);
    } else if (!start_loop(load)) {
        perror("demo-load: cannot start the loop");
    } else {
        run(load);
        print_counts(load, "done");
        finish_loop(load);
        exit_code = load->counts.failed == 0 && load->counts.answered > 0 ? 0 : 1;
    }
    comrade_watch_stop(watch);
    comrade_client_free(client);
    return exit_code;
}

int main(int argc, char **argv)
{
    struct load load = {.epoll_fd = -1, .timer_fd = -1, .signal_fd = -1, .rate = 100};
    if (argc >= 4) {
        load.rate = strtoul(argv[3], NULL, 10);
    }
    if (argc < 3 || argc > 5 || load.rate < 1 || load.rate > 10000) {
        fprintf(stderr, "usage: demo-load STORE-URL ROLE "
                        "[REQUESTS-A-SECOND (1 to 10000) [NAMESPACE]]\n");
        return 2;
    }
    comrade_cluster_options options = COMRADE_CLUSTER_OPTIONS_INIT;
    options.store = argv[1];
    options.name_space = argc == 5 ? argv[4] : NULL;
    comrade_error error;
    if (comrade_cluster_open(&options, &load.cluster, &error) != COMRADE_OK) {
        fprintf(stderr, "demo-load: %s\n", error.message);
        return 1;
    }
    int exit_code = watch_and_run(&load, argv[2]);
    comrade_cluster_close(load.cluster);
    return exit_code;
}
