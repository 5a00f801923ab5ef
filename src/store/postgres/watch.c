/*
 * The watch: LISTEN on the connection that everything else is said on. What arrives between the
 * answers of a call is kept, and a signal makes the watch's descriptor readable for it.
 *
 * A pooler may take LISTEN and swallow what comes of it. So a notification to oneself must have
 * come back first; and where the server's process is not the one that was connected to, there is a
 * pooler, which would deliver it while a statement of ours is under way, and only then: there it
 * must come from another connection, while this one lies idle.
 */
#include "store/postgres/internal.h"

#include "base/json.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { PROOF_MS = 1000, PAYLOAD_LIMIT = 8000, UNLISTEN_TRIES_MAX = 8 };

static const char prove_sql[] = "SELECT proof, pg_notify('" POSTGRES_CHANNEL "', proof)"
                                " FROM (SELECT '?' || gen_random_uuid() AS proof OFFSET 0) AS p";

char *postgres_payload(const comrade_store *store, const char *role, const char *id)
{
    json_t *fields = role == NULL
                         ? json_pack("[s,s]", store->name_space, store->kind)
                         : json_pack("[s,s,s,s]", store->name_space, store->kind, role, id);
    char *text = json_dumps(fields, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(fields);
    return text;
}

/* --- What was heard ----------------------------------------------------------------------------
 */

static void signal_watch(const comrade_store *store)
{
    uint64_t one = 1;
    if (store->signal_fd >= 0) {
        ssize_t n = write(store->signal_fd, &one, sizeof one);
        (void)n; /* it is readable already, or will be looked at with the next heartbeat */
    }
}

static void forget_heard(comrade_store *store)
{
    for (size_t i = 0; i < store->n_heard; i++) {
        PQfreemem(store->heard[i]);
    }
    store->n_heard = 0;
}

void postgres_keep_heard(comrade_store *store)
{
    PGnotify *notification;
    while ((notification = PQnotifies(store->connection)) != NULL) {
        if (store->n_heard == POSTGRES_HEARD_MAX) {
            forget_heard(store);
            store->must_resync = true;
        }
        store->heard[store->n_heard++] = notification;
    }
    if (store->n_heard > 0 || store->must_resync) {
        signal_watch(store);
    }
}

void postgres_stop_listening(comrade_store *store)
{
    forget_heard(store);
    if (store->is_listening) {
        store->is_listening = false;
        signal_watch(store); /* drain() tells of it */
    }
}

void postgres_unwatch(comrade_store *store)
{
    forget_heard(store);
    if (store->watch_fd >= 0) {
        close(store->watch_fd);
    }
    if (store->signal_fd >= 0) {
        close(store->signal_fd);
    }
    store->watch_fd = -1;
    store->signal_fd = -1;
}

/* --- Watching ----------------------------------------------------------------------------------
 */

static bool add_to_watch(comrade_store *store, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(store->watch_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* A closed socket has left by itself; another one may have its number. */
static bool open_descriptors(comrade_store *store)
{
    postgres_unwatch(store);
    store->watch_fd = epoll_create1(EPOLL_CLOEXEC);
    store->signal_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return store->watch_fd >= 0 && store->signal_fd >= 0 && add_to_watch(store, store->signal_fd) &&
           add_to_watch(store, PQsocket(store->connection));
}

static bool has_heard(const comrade_store *store, const char *proof)
{
    for (size_t i = 0; i < store->n_heard; i++) {
        if (strcmp(store->heard[i]->extra, proof) == 0) {
            return true;
        }
    }
    return false;
}

static comrade_status wait_for_proof(comrade_store *store, const comrade_call *call,
                                     const char *proof, comrade_error *error)
{
    comrade_call bounded = *call;
    int64_t until_ms = call->now_ms(call->clock) + PROOF_MS;
    bounded.deadline_ms = until_ms < call->deadline_ms ? until_ms : call->deadline_ms;
    while (!has_heard(store, proof)) {
        if (comrade_call_wait(&bounded, PQsocket(store->connection), POLLIN) <= 0) {
            return comrade_error_set(
                error, COMRADE_UNAVAILABLE,
                "%s: notifications do not arrive, as behind a pooler that shares connections; use "
                "the server's own port, or session pooling",
                store->shown_url);
        }
        if (postgres_consume(store->connection) == 0) {
            return postgres_explain(store, "listen", "", PQerrorMessage(store->connection), error);
        }
        postgres_keep_heard(store);
    }
    return COMRADE_OK;
}

/* Sends a notification from this connection, or from a second one, and awaits it. */
static comrade_status prove(comrade_store *store, const comrade_call *call, bool is_direct,
                            comrade_error *error)
{
    static const struct statement notify = {.sql = prove_sql};
    struct answers answers = {0};
    PGconn *second = NULL;
    comrade_status status = is_direct ? COMRADE_OK : postgres_connect(store, call, &second, error);
    if (status == COMRADE_OK) {
        status = postgres_ask(store, is_direct ? store->connection : second, call, "notify",
                              TRANSACTION_WHOLE, &notify, 1, &answers, error);
    }
    if (status == COMRADE_OK) {
        status = wait_for_proof(store, call, result_text(answers.results[0], 0, 0), error);
    }
    answers_finish(&answers);
    PQfinish(second);
    return status;
}

/* A pooler lends to others what listens now. It is most likely lent to us once more. */
static void stop_at_pooler(comrade_store *store, const comrade_call *call, const char *backend)
{
    static const struct statement statements[] = {{.sql = "UNLISTEN " POSTGRES_CHANNEL},
                                                  {.sql = "SELECT pg_backend_pid()"}};
    bool is_stopped = false;
    for (int i = 0; i < UNLISTEN_TRIES_MAX && !is_stopped && store->connection != NULL; i++) {
        struct answers answers;
        is_stopped = postgres_exchange(store, call, "stop listening", TRANSACTION_WHOLE, statements,
                                       2, &answers, NULL) == COMRADE_OK &&
                     strcmp(result_text(answers.results[1], 0, 0), backend) == 0;
        answers_finish(&answers);
    }
}

static comrade_status listen_and_prove(comrade_store *store, const comrade_call *call,
                                       comrade_error *error)
{
    /* Who asks how full the queue is, frees it of what all have read. */
    static const struct statement statements[] = {
        {.sql = "LISTEN " POSTGRES_CHANNEL},
        {.sql = "SELECT pg_backend_pid(), pg_notification_queue_usage()"}};
    struct answers answers;
    comrade_status status =
        postgres_exchange(store, call, "listen", TRANSACTION_WHOLE, statements, 2, &answers, error);
    if (status == COMRADE_OK) {
        const char *backend = result_text(answers.results[1], 0, 0);
        bool is_direct = strtol(backend, NULL, 10) == PQbackendPID(store->connection);
        status = prove(store, call, is_direct, error);
        if (status != COMRADE_OK && !is_direct) {
            stop_at_pooler(store, call, backend);
        }
    }
    answers_finish(&answers);
    return status;
}

int postgres_watch(comrade_store *store, const comrade_call *call, comrade_error *error)
{
    comrade_status status = postgres_use(store, call, error);
    if (status != COMRADE_OK) {
        return -1;
    }
    if (!open_descriptors(store)) {
        comrade_error_set(error, COMRADE_UNAVAILABLE, "%s: watch: %s", store->shown_url,
                          strerror(errno));
        postgres_unwatch(store);
        return -1;
    }
    status = listen_and_prove(store, call, error);
    if (status != COMRADE_OK) {
        store->is_listening = false;
        postgres_unwatch(store);
        return -1;
    }
    store->is_listening = true;
    return store->watch_fd;
}

/* --- Telling -----------------------------------------------------------------------------------
 */

/* Announcements of other clusters in the database, and proofs, are for others. */
static void tell(comrade_store *store, const char *payload, const comrade_watch_sink *sink)
{
    json_t *fields = strlen(payload) > PAYLOAD_LIMIT ? NULL : json_loads(payload, 0, NULL);
    const char *space = json_string_value(json_array_get(fields, 0));
    const char *kind = json_string_value(json_array_get(fields, 1));
    const char *role = json_string_value(json_array_get(fields, 2));
    const char *id = json_string_value(json_array_get(fields, 3));
    if (space != NULL && kind != NULL && strcmp(space, store->name_space) == 0 &&
        strcmp(kind, store->kind) == 0) {
        if (role != NULL && id != NULL) {
            sink->on_change(sink->user, role, id);
        } else {
            sink->on_resync(sink->user);
        }
    }
    json_decref(fields);
}

static bool take_input(comrade_store *store)
{
    struct pollfd socket = {.fd = PQsocket(store->connection), .events = POLLIN};
    if (poll(&socket, 1, 0) > 0 && postgres_consume(store->connection) == 0) {
        return false;
    }
    postgres_keep_heard(store);
    return PQstatus(store->connection) == CONNECTION_OK;
}

comrade_status postgres_drain(comrade_store *store, const comrade_watch_sink *sink,
                              comrade_error *error)
{
    uint64_t count;
    if (store->connection != NULL && store->is_listening && !take_input(store)) {
        postgres_drop(store);
    }
    if (!store->is_listening) {
        return comrade_error_set(error, COMRADE_UNAVAILABLE, "%s: watch: the connection was lost",
                                 store->shown_url);
    }
    ssize_t n = read(store->signal_fd, &count, sizeof count);
    (void)n; /* nothing to read is fine */
    if (store->must_resync) {
        store->must_resync = false;
        sink->on_resync(sink->user);
    }
    for (size_t i = 0; i < store->n_heard; i++) {
        tell(store, store->heard[i]->extra, sink);
    }
    forget_heard(store);
    return COMRADE_OK;
}
