/*
 * The store's own session: a connection, the schema, and operations that are one transaction, tried
 * again where that is all it takes.
 */
#include "store/postgres/internal.h"

#include <poll.h>

enum { TRIES_MAX = 3 };

void postgres_drop(comrade_store *store)
{
    PQfinish(store->connection);
    store->connection = NULL;
    store->prepared = (struct prepared){.is_allowed = false};
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
        if (postgres_consume(connection) == 0) {
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

comrade_status postgres_transact(comrade_store *store, const comrade_call *call, const char *what,
                                 enum transaction transaction, const struct statement *statements,
                                 size_t n_statements, struct answers *answers, comrade_error *error)
{
    comrade_status status = COMRADE_OK;
    bool must_try = true;
    *answers = (struct answers){0};
    for (int i = 0; i < TRIES_MAX && must_try; i++) {
        answers_finish(answers);
        status = postgres_use(store, call, error);
        if (status == COMRADE_OK) {
            status = postgres_exchange(store, call, what, transaction, statements, n_statements,
                                       answers, error);
        }
        must_try = postgres_must_try_again(store, answers->sql_state);
    }
    return status;
}

bool postgres_must_try_again(comrade_store *store, const char *sql_state)
{
    bool is_schema = sql_state_is_schema(sql_state);
    store->is_schema_known = store->is_schema_known && !is_schema;
    return is_schema || sql_state_is_collision(sql_state);
}
