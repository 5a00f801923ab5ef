/*
 * The connection. libpq's own loop over several hosts would spend the whole call on the first one
 * that does not answer, heeds no time-out where it does not block, and blocks while it looks up a
 * name: so each address is tried by itself, with its share of the time that is left.
 */
#include "store/postgres/internal.h"

#include "base/text.h"
#include "store/postgres/resolve.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_PORT "5432"
enum { OVERRIDES_MAX = 4 };

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

/* Ids are sorted as bytes of UTF-8 here and there; and what is stored must come back. */
static comrade_status judge_encoding(const comrade_store *store, const PGconn *connection,
                                     comrade_error *error)
{
    const char *encoding = PQparameterStatus(connection, "server_encoding");
    if (encoding == NULL || strcmp(encoding, "UTF8") == 0 || strcmp(encoding, "SQL_ASCII") == 0) {
        return COMRADE_OK;
    }
    return comrade_error_set(error, COMRADE_UNSUPPORTED,
                             "%s: the database's encoding is %s; make one whose encoding is UTF8: "
                             "createdb -E UTF8 -T template0 NAME",
                             store->shown_url, encoding);
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
    if (PQsetnonblocking(connection, 1) != 0) {
        return comrade_error_set(error, COMRADE_UNAVAILABLE, "%s: connect: %s", store->shown_url,
                                 PQerrorMessage(connection));
    }
    return judge_encoding(store, connection, error);
}

/* Begins to connect; what `overrides` says (pairs, ended by NULL) wins over the URL. */
static PGconn *begin(const comrade_store *store, const char *const *overrides)
{
    const char *keywords[OVERRIDES_MAX + 4] = {"fallback_application_name", "dbname",
                                               "client_encoding"};
    const char *values[OVERRIDES_MAX + 4] = {"comrade", store->url, "UTF8"};
    for (size_t i = 0; i < OVERRIDES_MAX && overrides[2 * i] != NULL; i++) {
        keywords[3 + i] = overrides[2 * i];
        values[3 + i] = overrides[2 * i + 1];
    }
    PGconn *connection = PQconnectStartParams(keywords, values, 1);
    if (connection != NULL) {
        /* The SQLSTATE of a refusal stands nowhere but in the text. */
        PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
        PQsetNoticeReceiver(connection, drop_notice, NULL);
    }
    return connection;
}

/* One address of one host. What is empty is left to libpq. */
struct address {
    const char *host;
    const char *address;
    const char *port;
    const char *session_attributes;
};

static comrade_status try_address(comrade_store *store, const struct address *at,
                                  const comrade_call *call, PGconn **connection,
                                  comrade_error *error)
{
    const char *const overrides[] = {"host",
                                     at->host,
                                     "hostaddr",
                                     at->address,
                                     "port",
                                     at->port,
                                     "target_session_attrs",
                                     at->session_attributes,
                                     NULL};
    PGconn *made = begin(store, overrides);
    if (made == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "%s: connect: out of memory",
                                 store->shown_url);
    }
    comrade_status status = PQstatus(made) == CONNECTION_BAD
                                ? postgres_explain_connect(store, made, error)
                                : wait_connected(store, made, call, error);
    if (status == COMRADE_OK) {
        *connection = made;
    } else {
        PQfinish(made);
    }
    return status;
}

/* --- One host, all of its addresses --------------------------------------------------------------
 */

/* An equal share of the time for each that is still to be tried. */
static comrade_call share_of(const comrade_call *call, int64_t limit_ms, size_t n_left)
{
    comrade_call share = *call;
    int64_t now_ms = call->now_ms(call->clock);
    int64_t share_ms = (call->deadline_ms - now_ms) / (int64_t)n_left;
    share.deadline_ms = now_ms + (share_ms < limit_ms ? share_ms : limit_ms);
    return share;
}

static comrade_status try_addresses(comrade_store *store, struct address at,
                                    const comrade_call *call, PGconn **connection,
                                    comrade_error *error)
{
    struct addresses found;
    comrade_error why = {0};
    comrade_status status = resolve_name(at.host, call, &found, &why);
    if (status != COMRADE_OK) {
        return comrade_error_set(error, status, "%s: connect: %s", store->shown_url, why.message);
    }
    for (size_t i = 0; i < found.n_addresses; i++) {
        comrade_call share = share_of(call, INT64_MAX, found.n_addresses - i);
        at.address = found.texts[i];
        status = try_address(store, &at, &share, connection, error);
        if (status == COMRADE_OK || comrade_call_is_over(call)) {
            break;
        }
    }
    return status;
}

static comrade_status try_host(comrade_store *store, const struct targets *targets, size_t n,
                               const char *session_attributes, const comrade_call *call,
                               PGconn **connection, comrade_error *error)
{
    char *host = item_of(targets->hosts, n);
    char *address = item_of(targets->addresses, n);
    char *port = item_of(targets->ports, n);
    if (port != NULL && port[0] == '\0' && targets->n_hosts > 1) {
        free(port); /* left empty, it would be libpq's list of empty ports */
        port = strdup(DEFAULT_PORT);
    }
    comrade_status status;
    if (host == NULL || address == NULL || port == NULL) {
        status = comrade_error_set(error, COMRADE_NO_MEMORY, "%s: connect: out of memory",
                                   store->shown_url);
    } else {
        struct address at = {host, address, port, session_attributes};
        int64_t number;
        bool is_port = port[0] == '\0' || text_to_number(port, 1, UINT16_MAX, &number);
        status = address[0] == '\0' && is_port && resolve_is_name(host)
                     ? try_addresses(store, at, call, connection, error)
                     : try_address(store, &at, call, connection, error);
    }
    free(host);
    free(address);
    free(port);
    return status;
}

/* --- All hosts ---------------------------------------------------------------------------------
 */

/* Begins with the one that answered last, which most often still does. */
static comrade_status try_hosts(comrade_store *store, const struct targets *targets,
                                const char *session_attributes, const comrade_call *call,
                                PGconn **connection, comrade_error *error)
{
    comrade_status status = COMRADE_UNAVAILABLE;
    size_t first = store->last_host;
    for (size_t i = 0; i < targets->n_hosts; i++) {
        size_t n = (first + i) % targets->n_hosts;
        comrade_call share = share_of(call, targets->timeout_ms, targets->n_hosts - i);
        status = try_host(store, targets, n, session_attributes, &share, connection, error);
        if (status == COMRADE_OK) {
            store->last_host = n;
        }
        if (status == COMRADE_OK || comrade_call_is_over(call)) {
            break;
        }
    }
    return status;
}

/*
 * What the URL, the environment and the service file come to is told by a connection alone: so by
 * one that a word which no server can have meant keeps from being begun. If libpq complains of
 * something else, it is that which is wrong.
 */
static PGconn *begin_nothing(const comrade_store *store)
{
    const char *const overrides[] = {"channel_binding", "?", NULL};
    return begin(store, overrides);
}

comrade_status postgres_connect(comrade_store *store, const comrade_call *call, PGconn **connection,
                                comrade_error *error)
{
    PGconn *unmade = begin_nothing(store);
    if (unmade == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "%s: connect: out of memory",
                                 store->shown_url);
    }
    struct targets targets;
    read_targets(unmade, &targets);
    comrade_status status = COMRADE_OK;
    if (postgres_is_misread(store, targets.hosts, targets.ports,
                            option_value(targets.options, "dbname"))) {
        status = postgres_explain_misread(store, error);
    } else if (strstr(PQerrorMessage(unmade), "\"?\"") == NULL) {
        status = postgres_explain_url(store, unmade, error);
    }
    PQfinish(unmade);
    if (status != COMRADE_OK) {
        PQconninfoFree(targets.options);
        return status;
    }
    bool is_preference =
        targets.n_hosts > 1 && strcmp(targets.session_attributes, "prefer-standby") == 0;
    const char *wanted = is_preference ? "standby" : targets.session_attributes;
    comrade_call share = share_of(call, INT64_MAX, is_preference ? 2 : 1);
    status = try_hosts(store, &targets, wanted, &share, connection, error);
    if (status != COMRADE_OK && is_preference && !comrade_call_is_over(call)) {
        status = try_hosts(store, &targets, "any", call, connection, error);
    }
    PQconninfoFree(targets.options);
    return status;
}
