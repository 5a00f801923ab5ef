/*
 * postgres_kill URL ROUNDS: how long after its commit a kill is heard of, as `shutdown` in the
 * member, beside a plain notification: in turn, each with one process that listens and one that
 * asks, a connection each.
 *
 * A second plain listener does what a member must have done when `shutdown` is told: it has read
 * who asked, and committed that it is not alive any more.
 *
 * All are timed from the same moment: the server's own stamp of the commit
 * (track_commit_timestamp), taken before the commit is flushed. Who asked is the one transaction
 * that got an xid meanwhile. For each round it prints "ours|raw|answering COMMIT_US ASKED_US":
 * until it was heard, from the commit, and from the call (or BEGIN) on.
 */
#include <comrade.h>

#include <libpq-fe.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TIMEOUT_MS = 10000, PAUSE_MS = 15, ROUNDS_MAX = 2000, HEARTBEAT_MS = 600000 };

static long long now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

_Noreturn static void stop(const char *what)
{
    fprintf(stderr, "postgres_kill: %s\n", what);
    exit(1);
}

static PGconn *connect_to(const char *url)
{
    PGconn *connection = PQconnectdb(url);
    if (PQstatus(connection) != CONNECTION_OK) {
        stop(PQerrorMessage(connection));
    }
    return connection;
}

static void run(PGconn *connection, const char *sql)
{
    PGresult *result = PQexec(connection, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK) {
        stop(PQerrorMessage(connection));
    }
    PQclear(result);
}

static long long number(PGconn *connection, const char *sql)
{
    PGresult *result = PQexec(connection, sql);
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        stop(PQerrorMessage(connection));
    }
    long long value = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    return value;
}

/* --- Who listens: children that write the time of each thing that they hear into a pipe ---------
 */

static void tell(int fd)
{
    long long at_us = now_us();
    if (write(fd, &at_us, sizeof at_us) != sizeof at_us) {
        _exit(1);
    }
}

static void answer(PGconn *connection, const char *id)
{
    const char *parameters[] = {id};
    PQclear(PQexecPrepared(connection, "read", 1, parameters, NULL, NULL, 0));
    PGresult *result = PQexecPrepared(connection, "write", 1, parameters, NULL, NULL, 0);
    if (PQresultStatus(result) != PGRES_COMMAND_OK || strcmp(PQcmdTuples(result), "1") != 0) {
        stop(PQerrorMessage(connection));
    }
    PQclear(result);
}

_Noreturn static void listen_raw(const char *url, bool is_answering, int fd)
{
    PGconn *connection = connect_to(url);
    run(connection, is_answering ? "LISTEN answering" : "LISTEN raw");
    PQclear(PQprepare(connection, "read", "SELECT * FROM raw WHERE id = $1", 1, NULL));
    PQclear(PQprepare(connection, "write", "UPDATE raw SET request = 'leaving' WHERE id = $1", 1,
                      NULL));
    tell(fd);
    for (;;) {
        struct pollfd socket = {.fd = PQsocket(connection), .events = POLLIN};
        poll(&socket, 1, -1);
        if (PQconsumeInput(connection) == 0) {
            _exit(0);
        }
        for (PGnotify *heard; (heard = PQnotifies(connection)) != NULL; PQfreemem(heard)) {
            if (is_answering) {
                answer(connection, heard->extra);
            }
            tell(fd);
        }
    }
}

struct listener {
    int fd;
    long n_registered;
};

static void on_event(void *user, const comrade_event *event)
{
    struct listener *listener = user;
    if (event->kind == COMRADE_EVENT_SHUTDOWN) {
        tell(listener->fd);
    } else if (event->kind == COMRADE_EVENT_REGISTERED) {
        listener->n_registered++;
    }
}

static comrade_cluster *open_cluster(const char *url)
{
    comrade_cluster_options options = COMRADE_CLUSTER_OPTIONS_INIT;
    comrade_cluster *cluster = NULL;
    comrade_error error = {0};
    options.store = url;
    options.heartbeat_ms = HEARTBEAT_MS;
    if (comrade_cluster_open(&options, &cluster, &error) != COMRADE_OK) {
        stop(error.message);
    }
    return cluster;
}

/* A member is killed but once: so there is one for each round, on one connection. */
_Noreturn static void listen_as_members(const char *url, long n_members, int fd)
{
    static comrade_member *members[ROUNDS_MAX];
    comrade_cluster *cluster = open_cluster(url);
    struct listener listener = {.fd = fd};
    for (long i = 0; i < n_members; i++) {
        char id[32];
        comrade_error error = {0};
        comrade_member_options options = COMRADE_MEMBER_OPTIONS_INIT;
        snprintf(id, sizeof id, "kill-%ld", i);
        options.role = "bench";
        options.id = id;
        options.on_event = on_event;
        options.user = &listener;
        if (comrade_member_new(cluster, &options, &members[i], &error) != COMRADE_OK ||
            comrade_member_start(members[i], &error) != COMRADE_OK) {
            stop(error.message);
        }
    }
    bool is_told = false;
    for (;;) {
        struct pollfd waiting = {.fd = comrade_cluster_fd(cluster), .events = POLLIN};
        poll(&waiting, 1, -1);
        comrade_cluster_dispatch(cluster);
        if (!is_told && listener.n_registered == n_members) {
            is_told = true;
            usleep(500000); /* until it listens, and has looked at what was said before */
            tell(fd);
        }
    }
}

static long long heard(int fd)
{
    long long at_us;
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    if (poll(&waiting, 1, TIMEOUT_MS) != 1 || read(fd, &at_us, sizeof at_us) != sizeof at_us) {
        stop("nothing was heard");
    }
    return at_us;
}

/* In the order of a round; their names are the channels'. */
enum who { OURS, RAW, ANSWERING, N_WHO };
static const char *const names[] = {"ours", "raw", "answering"};

/* Returns the descriptor to hear of it, when it is ready. */
static int start(const char *url, enum who who, long n_members, pid_t *pid)
{
    int fds[2];
    if (pipe(fds) != 0 || (*pid = fork()) < 0) {
        stop("no process is to be had");
    }
    if (*pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(fds[0]);
        if (who != OURS) {
            listen_raw(url, who == ANSWERING, fds[1]);
        }
        listen_as_members(url, n_members, fds[1]);
    }
    close(fds[1]);
    heard(fds[0]);
    return fds[0];
}

/* --- Who asks ----------------------------------------------------------------------------------
 */

struct asker {
    PGconn *connection; /* of the raw one */
    PGconn *observer;
    comrade_client *client;
};

static void ask(struct asker *asker, enum who who, long round)
{
    char id[32];
    comrade_error error = {0};
    snprintf(id, sizeof id, "kill-%ld", round);
    if (who == OURS) {
        if (comrade_client_kill(asker->client, id, NULL, TIMEOUT_MS, &error) != COMRADE_OK) {
            stop(error.message);
        }
        return;
    }
    char update[128], notify[128];
    snprintf(update, sizeof update, "UPDATE raw SET request = 'kill' WHERE id = '%s'", id);
    snprintf(notify, sizeof notify, "SELECT pg_notify('%s', '%s')", names[who], id);
    run(asker->connection, "BEGIN");
    run(asker->connection, update);
    run(asker->connection, notify);
    run(asker->connection, "COMMIT");
}

static void measure(struct asker *asker, enum who who, long round, int fd)
{
    char sql[160];
    struct timespec pause = {0, PAUSE_MS * 1000000L};
    nanosleep(&pause, NULL);
    long long xid = number(asker->observer, "SELECT pg_snapshot_xmax(pg_current_snapshot())");
    long long asked_us = now_us();
    ask(asker, who, round);
    long long heard_us = heard(fd);
    snprintf(sql, sizeof sql,
             "SELECT (extract(epoch FROM pg_xact_commit_timestamp('%lld'::xid)) * 1000000)::bigint",
             xid);
    printf("%s %lld %lld\n", names[who], heard_us - number(asker->observer, sql),
           heard_us - asked_us);
}

int main(int argc, char **argv)
{
    long n_rounds = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    if (n_rounds < 1 || n_rounds > ROUNDS_MAX) {
        stop("usage: postgres_kill URL ROUNDS");
    }
    pid_t pids[N_WHO];
    int fds[N_WHO];
    struct asker asker = {.connection = connect_to(argv[1]), .observer = connect_to(argv[1])};
    run(asker.observer, "CREATE TABLE raw (id text PRIMARY KEY, request text) WITH (fillfactor=50);"
                        "INSERT INTO raw SELECT 'kill-' || i FROM generate_series(0, 1999) AS i");
    for (enum who who = OURS; who < N_WHO; who++) {
        fds[who] = start(argv[1], who, n_rounds, &pids[who]);
    }
    comrade_cluster *cluster = open_cluster(argv[1]);
    comrade_error error = {0};
    if (comrade_client_new(cluster, NULL, &asker.client, &error) != COMRADE_OK) {
        stop(error.message);
    }
    for (long i = 0; i < n_rounds; i++) {
        for (enum who who = OURS; who < N_WHO; who++) {
            measure(&asker, who, i, fds[who]);
        }
    }
    for (enum who who = OURS; who < N_WHO; who++) {
        kill(pids[who], SIGKILL);
        waitpid(pids[who], NULL, 0);
    }
    comrade_client_free(asker.client);
    comrade_cluster_close(cluster);
    PQfinish(asker.connection);
    PQfinish(asker.observer);
    return 0;
}
