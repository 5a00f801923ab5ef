/*
 * The connection. libpq's own loop over several hosts would spend the whole call on the first one
 * that does not answer, and heeds no time-out where it does not block: so each host is tried by
 * itself, with its share of the time that is left.
 */
#include "store/postgres/internal.h"

#include "base/text.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum { HOSTS_MAX = 32, OVERRIDES_MAX = 4 };

/* --- What the URL, the environment and the service file come to ----------------------------------
 */

struct targets {
    PQconninfoOption *options;
    const char *hosts; /* comma-separated, as in the URL; "" for libpq's default */
    const char *addresses;
    const char *ports;
    const char *session_attributes;
    int64_t timeout_ms; /* connect_timeout; INT64_MAX: none */
    size_t n_hosts;
};

static const char *option_value(const PQconninfoOption *options, const char *keyword)
{
    for (; options != NULL && options->keyword != NULL; options++) {
        if (strcmp(options->keyword, keyword) == 0) {
            return options->val == NULL ? "" : options->val;
        }
    }
    return "";
}

static size_t count_items(const char *list)
{
    size_t n = 1;
    for (; *list != '\0'; list++) {
        n += *list == ',';
    }
    return n;
}

static void read_targets(PGconn *connection, struct targets *targets)
{
    targets->options = PQconninfo(connection);
    targets->hosts = option_value(targets->options, "host");
    targets->addresses = option_value(targets->options, "hostaddr");
    targets->ports = option_value(targets->options, "port");
    targets->session_attributes = option_value(targets->options, "target_session_attrs");
    const char *names = targets->addresses[0] != '\0' ? targets->addresses : targets->hosts;
    targets->n_hosts = count_items(names);
    int64_t seconds;
    const char *timeout = option_value(targets->options, "connect_timeout");
    bool is_limited = text_to_number(timeout, 1, INT32_MAX, &seconds);
    targets->timeout_ms = is_limited ? seconds * 1000 : INT64_MAX;
}

/* The nth item of a list, or its only one. The caller frees it; NULL when out of memory. */
static char *item_of(const char *list, size_t n)
{
    if (count_items(list) == 1) {
        n = 0;
    }
    for (; n > 0; n--) {
        list = strchrnul(list, ',');
        list += *list == ',';
    }
    return strndup(list, strcspn(list, ","));
}

/* --- One host ----------------------------------------------------------------------------------
 */

static void drop_notice(void *user, const PGresult *notice)
{
    (void)user; /* "schema exists already" is for nobody */
    (void)notice;
}

static comrade_status wait_connected(comrade_store *store, PGconn *connection,
                                     const comrade_call *call, comrade_error *error)
{
    PostgresPollingStatusType want = PGRES_POLLING_WRITING;
    while (want != PGRES_POLLING_OK) {
        if (want == PGRES_POLLING_FAILED) {
            return postgres_explain_connect(store, connection, error);
        }
        short events = want == PGRES_POLLING_READING ? POLLIN : POLLOUT;
        if (comrade_call_wait(call, PQsocket(connection), events) <= 0) {
            return postgres_explain_over(store, call, "connect", error);
        }
        want = PQconnectPoll(connection);
    }
    PQsetErrorVerbosity(connection, PQERRORS_DEFAULT);
    PQsetNoticeReceiver(connection, drop_notice, NULL);
    if (PQsetnonblocking(connection, 1) != 0) {
        return comrade_error_set(error, COMRADE_UNAVAILABLE, "%s: connect: %s", store->shown_url,
                                 PQerrorMessage(connection));
    }
    return COMRADE_OK;
}

/* Begins to connect; what `overrides` says (pairs, ended by NULL) wins over the URL. */
static PGconn *begin(const comrade_store *store, const char *const *overrides)
{
    const char *keywords[OVERRIDES_MAX + 5] = {"fallback_application_name", "dbname",
                                               "client_encoding"};
    const char *values[OVERRIDES_MAX + 5] = {"comrade", store->url, "UTF8"};
    for (size_t i = 0; i < OVERRIDES_MAX && overrides[2 * i] != NULL; i++) {
        keywords[3 + i] = overrides[2 * i];
        values[3 + i] = overrides[2 * i + 1];
    }
    PGconn *connection = PQconnectStartParams(keywords, values, 1);
    if (connection != NULL) {
        /* The SQLSTATE of a refusal stands nowhere but in the text. */
        PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
    }
    return connection;
}

static comrade_call share_of(const comrade_call *call, const struct targets *targets,
                             size_t n_hosts_left)
{
    comrade_call share = *call;
    int64_t now_ms = call->now_ms(call->clock);
    int64_t share_ms = (call->deadline_ms - now_ms) / (int64_t)n_hosts_left;
    share_ms = share_ms < targets->timeout_ms ? share_ms : targets->timeout_ms;
    share.deadline_ms = now_ms + share_ms;
    return share;
}

static comrade_status try_host(comrade_store *store, const struct targets *targets, size_t n,
                               const char *session_attributes, const comrade_call *call,
                               PGconn **connection, comrade_error *error)
{
    char *host = item_of(targets->hosts, n);
    char *address = item_of(targets->addresses, n);
    char *port = item_of(targets->ports, n);
    PGconn *made = NULL;
    if (host != NULL && address != NULL && port != NULL) {
        const char *const overrides[] = {"host",
                                         host,
                                         "hostaddr",
                                         address,
                                         "port",
                                         port,
                                         "target_session_attrs",
                                         session_attributes};
        made = begin(store, overrides);
    }
    free(host);
    free(address);
    free(port);
    if (made == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "%s: connect: out of memory",
                                 store->shown_url);
    }
    comrade_status status = wait_connected(store, made, call, error);
    if (status == COMRADE_OK) {
        *connection = made;
    } else {
        PQfinish(made);
    }
    return status;
}

/* --- All of them -------------------------------------------------------------------------------
 */

/* Begins with the one that answered last, which most often still does. */
static comrade_status try_hosts(comrade_store *store, const struct targets *targets,
                                const char *session_attributes, const comrade_call *call,
                                PGconn **connection, comrade_error *error)
{
    comrade_status status = COMRADE_UNAVAILABLE;
    size_t n_hosts = targets->n_hosts < HOSTS_MAX ? targets->n_hosts : HOSTS_MAX;
    size_t first = store->last_host;
    for (size_t i = 0; i < n_hosts; i++) {
        size_t n = (first + i) % n_hosts;
        comrade_call share = share_of(call, targets, n_hosts - i);
        status = try_host(store, targets, n, session_attributes, &share, connection, error);
        if (status == COMRADE_OK) {
            store->last_host = n;
            break;
        }
        if (comrade_call_is_over(call)) {
            break;
        }
    }
    return status;
}

comrade_status postgres_connect(comrade_store *store, const comrade_call *call, PGconn **connection,
                                comrade_error *error)
{
    const char *const nothing[] = {NULL};
    PGconn *made = begin(store, nothing);
    if (made == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "%s: connect: out of memory",
                                 store->shown_url);
    }
    struct targets targets;
    read_targets(made, &targets);
    comrade_status status;
    if (targets.n_hosts > 1) {
        PQfinish(made);
        bool is_preference = strcmp(targets.session_attributes, "prefer-standby") == 0;
        status = try_hosts(store, &targets, is_preference ? "standby" : targets.session_attributes,
                           call, connection, error);
        if (status != COMRADE_OK && is_preference && !comrade_call_is_over(call)) {
            status = try_hosts(store, &targets, "any", call, connection, error);
        }
    } else {
        comrade_call share = share_of(call, &targets, 1);
        status = PQstatus(made) == CONNECTION_BAD ? postgres_explain_connect(store, made, error)
                                                  : wait_connected(store, made, &share, error);
        if (status == COMRADE_OK) {
            *connection = made;
        } else {
            PQfinish(made);
        }
    }
    PQconninfoFree(targets.options);
    return status;
}

void postgres_drop(comrade_store *store)
{
    PQfinish(store->connection);
    store->connection = NULL;
    store->is_schema_known = false;
    postgres_stop_listening(store);
}

/* What the server said while nobody asked: changes, or that it is going away. */
static bool is_usable(comrade_store *store)
{
    enum { READS_MAX = 64 };
    PGconn *connection = store->connection;
    for (int i = 0; i < READS_MAX; i++) {
        struct pollfd socket = {.fd = PQsocket(connection), .events = POLLIN};
        if (PQstatus(connection) != CONNECTION_OK || socket.fd < 0) {
            return false;
        }
        if (poll(&socket, 1, 0) <= 0) {
            break;
        }
        if (PQconsumeInput(connection) == 0) {
            return false;
        }
        postgres_keep_heard(store);
    }
    return PQtransactionStatus(connection) == PQTRANS_IDLE;
}

comrade_status postgres_use(comrade_store *store, const comrade_call *call, comrade_error *error)
{
    if (store->connection != NULL && !is_usable(store)) {
        postgres_drop(store);
    }
    comrade_status status = COMRADE_OK;
    if (store->connection == NULL) {
        status = postgres_connect(store, call, &store->connection, error);
    }
    return status == COMRADE_OK && !store->is_schema_known
               ? postgres_need_schema(store, call, error)
               : status;
}
