/*
 * Statements and their answers, in libpq's pipeline mode: all are sent, then all answers are read,
 * and whatever waits, waits within the call's bounds. A connection whose call was over is given
 * up: there is no other way to be sure that a late answer is not taken for the next one's.
 */
#include "store/postgres/internal.h"

#include "base/text.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Results -----------------------------------------------------------------------------------
 */

const char *result_text(const PGresult *result, int row, int column)
{
    return PQgetvalue(result, row, column); /* "" where it is null */
}

int64_t result_number(const PGresult *result, int row, int column)
{
    return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

bool result_is_true(const PGresult *result, int row, int column)
{
    return PQgetvalue(result, row, column)[0] == 't';
}

void answers_finish(struct answers *answers)
{
    for (size_t i = 0; i < answers->n_results; i++) {
        PQclear(answers->results[i]);
    }
    *answers = (struct answers){0};
}

/* --- Sending and receiving ----------------------------------------------------------------------
 */

/* "Protocol violation": no statement of ours meets with it, and PgBouncer says nothing else. */
#define POOLER_STATE "08P01"

/* One exchange on one connection. */
struct exchange {
    PGconn *connection;
    const comrade_call *call;
    bool is_over;
    struct buffer said; /* what the first failure said */
    bool is_failed;
    bool is_ended;     /* with it the server ended the session … */
    bool is_panic;     /* … or itself, and nobody knows what it had done */
    bool is_committed; /* what it says behind that, that it goes away for one, undoes nothing */
    char sql_state[6];
    size_t n_sent; /* statements and preparations; which of them are such: */
    bool is_preparation[2 * (POSTGRES_STATEMENTS_MAX + POSTGRES_BRACKET_MAX)];
    struct prepared prepared; /* with what was sent; and how many the server has: */
    size_t n_prepared;
};

/*
 * Under TLS a record that has been read from the socket may hold more than libpq takes at once, and
 * the socket tells nothing of the rest: so it is asked a few times, and never waited for for long.
 */
enum { TLS_READS = 8, TLS_WAIT_MS = 20 };

int postgres_consume(PGconn *connection)
{
    int n_reads = PQsslInUse(connection) != 0 ? TLS_READS : 1;
    int is_open = 1;
    for (int i = 0; i < n_reads && is_open == 1; i++) {
        is_open = PQconsumeInput(connection);
    }
    return is_open;
}

/* False: the call is over. */
static bool wait_for_input(struct exchange *exchange)
{
    comrade_call slice = *exchange->call;
    int64_t until_ms = slice.now_ms(slice.clock) + TLS_WAIT_MS;
    if (PQsslInUse(exchange->connection) != 0 && until_ms < slice.deadline_ms) {
        slice.deadline_ms = until_ms;
    }
    return comrade_call_wait(&slice, PQsocket(exchange->connection), POLLIN) > 0 ||
           !comrade_call_is_over(exchange->call);
}

static void flush(struct exchange *exchange)
{
    while (PQflush(exchange->connection) == 1) {
        int socket = PQsocket(exchange->connection);
        int ready = comrade_call_wait(exchange->call, socket, POLLIN | POLLOUT);
        if (ready <= 0) {
            exchange->is_over = true;
            return;
        }
        /* The server may have to be heard before it listens. */
        if ((ready & ~POLLOUT) != 0 && postgres_consume(exchange->connection) == 0) {
            return; /* the next answer says why */
        }
    }
}

/* NULL: the end of one statement's results, or the call is over. */
static PGresult *next_result(struct exchange *exchange)
{
    while (!exchange->is_over && PQisBusy(exchange->connection) != 0) {
        if (!wait_for_input(exchange)) {
            exchange->is_over = true;
        } else if (postgres_consume(exchange->connection) == 0) {
            break;
        }
    }
    return exchange->is_over ? NULL : PQgetResult(exchange->connection);
}

static void note_failure(struct exchange *exchange, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    /* The first is the cause of the others; but what a pooler has to say goes for all. */
    bool is_poolers = state != NULL && strcmp(state, POOLER_STATE) == 0;
    if (exchange->is_failed && !is_poolers) {
        return;
    }
    buffer_clear(&exchange->said);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    exchange->is_failed = true;
    exchange->is_panic = severity != NULL && strcmp(severity, "PANIC") == 0;
    exchange->is_ended = exchange->is_panic || (severity != NULL && strcmp(severity, "FATAL") == 0);
    snprintf(exchange->sql_state, sizeof exchange->sql_state, "%s", state == NULL ? "" : state);
    if (message == NULL) {
        message = PQresultErrorMessage(result);
    }
    buffer_append_text(&exchange->said, message);
}

/* Is there somebody to hear from? */
static bool is_going_on(const struct exchange *exchange)
{
    return !exchange->is_over && !exchange->is_ended &&
           PQstatus(exchange->connection) == CONNECTION_OK;
}

static bool is_failure(const PGresult *result)
{
    switch (PQresultStatus(result)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY:
    case PGRES_PIPELINE_SYNC:
    case PGRES_PIPELINE_ABORTED:
        return false;
    case PGRES_BAD_RESPONSE:
    case PGRES_NONFATAL_ERROR:
    case PGRES_FATAL_ERROR:
    case PGRES_COPY_OUT:
    case PGRES_COPY_IN:
    case PGRES_COPY_BOTH:
    case PGRES_SINGLE_TUPLE:
        return true;
    }
    return true; /* of a later libpq */
}

static bool send_all(struct exchange *exchange, const struct statement *statements,
                     size_t n_statements)
{
    bool is_sent = PQenterPipelineMode(exchange->connection) == 1;
    for (size_t i = 0; i < n_statements && is_sent; i++) {
        bool is_prepared_first;
        is_sent = prepared_send(&exchange->prepared, exchange->connection, &statements[i],
                                &is_prepared_first);
        exchange->is_preparation[exchange->n_sent] = is_prepared_first;
        exchange->n_sent += is_prepared_first ? 2 : 1;
    }
    return is_sent && PQpipelineSync(exchange->connection) == 1;
}

static void take_result(struct exchange *exchange, PGresult *result, bool is_preparation,
                        struct answers *answers)
{
    if (is_failure(result)) {
        note_failure(exchange, result);
    }
    if (is_preparation) {
        exchange->n_prepared += PQresultStatus(result) == PGRES_COMMAND_OK;
        PQclear(result);
    } else {
        answers->results[answers->n_results++] = result;
    }
}

static void receive_all(struct exchange *exchange, struct answers *answers)
{
    size_t n_received = 0;
    /* Between two answers there is an empty one. */
    for (size_t i = 0;
         i <= 2 * exchange->n_sent && n_received < exchange->n_sent && is_going_on(exchange); i++) {
        PGresult *result = next_result(exchange);
        if (result != NULL) {
            take_result(exchange, result, exchange->is_preparation[n_received++], answers);
        }
    }
    /* Behind a failure none was prepared any more. */
    exchange->prepared.n = exchange->n_prepared;
}

/* The synchronization that ends the pipeline; a result behind it there is none. Before it may come
   the end of the last statement, and the failure, with its end, of a commit that nobody asked for.
 */
static void receive_end(struct exchange *exchange)
{
    enum { TRIES_MAX = 4 };
    bool is_ended = false;
    for (int i = 0; i < TRIES_MAX && !is_ended && is_going_on(exchange); i++) {
        PGresult *result = next_result(exchange);
        is_ended = PQresultStatus(result) == PGRES_PIPELINE_SYNC;
        if (result != NULL && is_failure(result)) {
            note_failure(exchange, result);
        }
        PQclear(result);
    }
    bool is_whole = is_ended && PQexitPipelineMode(exchange->connection) == 1;
    if (!is_whole && is_going_on(exchange)) {
        exchange->is_over = true; /* out of step: of no use any more */
    }
}

static void receive_text(struct exchange *exchange)
{
    for (PGresult *result = next_result(exchange); result != NULL; result = next_result(exchange)) {
        if (is_failure(result)) {
            note_failure(exchange, result);
        }
        PQclear(result);
    }
}

/* --- What came of it ----------------------------------------------------------------------------
 */

enum { SAID_LIMIT = 2048 };

static struct exchange exchange_on(PGconn *connection, const comrade_call *call)
{
    struct exchange exchange = {.connection = connection, .call = call};
    buffer_init(&exchange.said, SAID_LIMIT);
    return exchange;
}

/*
 * Did the server say why, so that what was sent is surely undone? One that panics does not know,
 * and of a connection exception (class 08) it is a pooler that speaks, of a server that it has
 * lost.
 */
static bool is_believed(const struct exchange *exchange)
{
    return exchange->sql_state[0] != '\0' && strncmp(exchange->sql_state, "08", 2) != 0 &&
           !exchange->is_panic;
}

static comrade_status conclude(comrade_store *store, struct exchange *exchange, const char *what,
                               char sql_state[6], bool *is_cut_off, comrade_error *error)
{
    comrade_status status = COMRADE_OK;
    bool is_broken = exchange->is_ended || PQstatus(exchange->connection) != CONNECTION_OK;
    bool has_reason = is_believed(exchange);
    memcpy(sql_state, exchange->sql_state, sizeof exchange->sql_state);
    *is_cut_off = exchange->is_over || (is_broken && !has_reason);
    if (exchange->is_committed) {
        sql_state[0] = '\0';
        *is_cut_off = false;
    } else if (exchange->is_over) {
        status = postgres_explain_over(store, exchange->call, what, error);
    } else if (exchange->is_failed) {
        status = postgres_explain(store, what, sql_state, buffer_text(&exchange->said), error);
    } else if (is_broken) {
        status = postgres_explain(store, what, "", PQerrorMessage(exchange->connection), error);
    }
    if (exchange->connection == store->connection) {
        postgres_keep_heard(store);
        /* Of a server that can only be read there may be a better one among the hosts. */
        bool is_read_only = strcmp(exchange->sql_state, "25006") == 0;
        bool is_anothers = sql_state_is_preparation(exchange->sql_state);
        store->is_pooled = store->is_pooled || is_anothers;
        if (exchange->is_over || is_broken || is_read_only || is_anothers) {
            postgres_drop(store);
        }
    }
    buffer_finish(&exchange->said);
    return status;
}

/* --- Transactions ------------------------------------------------------------------------------
 */

/* Before version 17 a request of which half arrived is waited for: there the server finds out
   whether the client's machine is alive. */
static const char bounds_sql[] = "SELECT set_config('search_path', 'pg_catalog, pg_temp', true),"
                                 " set_config('statement_timeout', $1, true),"
                                 " set_config('idle_in_transaction_session_timeout', $1, true),"
                                 " CASE WHEN current_setting('server_version_num')::int >= 170000"
                                 "  THEN set_config('transaction_timeout', $1, true)"
                                 "  ELSE set_config('tcp_keepalives_idle', '5', true) ||"
                                 "   set_config('tcp_keepalives_interval', '5', true) ||"
                                 "   set_config('tcp_keepalives_count', '2', true) END";

/* Puts around the statements what makes them a transaction. Returns how many stand before them. */
static size_t bracket(enum transaction transaction, const char *left_ms,
                      const struct statement *statements, size_t *n_statements,
                      struct statement *bracketed)
{
    bool is_begun = transaction == TRANSACTION_WHOLE || transaction == TRANSACTION_READ ||
                    transaction == TRANSACTION_BEGIN;
    bool is_ended = transaction == TRANSACTION_WHOLE || transaction == TRANSACTION_READ ||
                    transaction == TRANSACTION_END;
    size_t n = 0;
    if (is_begun) {
        bracketed[n++] =
            (struct statement){.sql = transaction == TRANSACTION_READ
                                          ? "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
                                          : "BEGIN ISOLATION LEVEL READ COMMITTED"};
        bracketed[n++] = (struct statement){bounds_sql, 1, {left_ms}};
    }
    size_t n_before = n;
    memcpy(bracketed + n, statements, *n_statements * sizeof *statements);
    n += *n_statements;
    if (is_ended) {
        bracketed[n++] = (struct statement){.sql = "COMMIT"};
    }
    *n_statements = n;
    return n_before;
}

/* Leaves the answers to the statements that were asked for. */
static void take_brackets_off(struct answers *answers, size_t n_before, size_t n_statements)
{
    size_t n = answers->n_results;
    for (size_t i = 0; i < n; i++) {
        if (i < n_before || i >= n_before + n_statements) {
            PQclear(answers->results[i]);
        } else {
            answers->results[i - n_before] = answers->results[i];
        }
    }
    size_t n_left = n < n_before ? 0 : n - n_before;
    answers->n_results = n_left < n_statements ? n_left : n_statements;
}

/* Of a transaction that has failed, COMMIT says ROLLBACK. */
static bool is_committed(const struct answers *answers, size_t n)
{
    return answers->n_results == n && strcmp(PQcmdStatus(answers->results[n - 1]), "COMMIT") == 0;
}

comrade_status postgres_ask(comrade_store *store, PGconn *connection, const comrade_call *call,
                            const char *what, enum transaction transaction,
                            const struct statement *statements, size_t n_statements,
                            struct answers *answers, comrade_error *error)
{
    struct exchange exchange = exchange_on(connection, call);
    struct statement bracketed[POSTGRES_STATEMENTS_MAX + POSTGRES_BRACKET_MAX];
    char left_ms[32];
    size_t n = n_statements;
    snprintf(left_ms, sizeof left_ms, "%lld",
             (long long)(call->deadline_ms - call->now_ms(call->clock)) + 1);
    size_t n_before = bracket(transaction, left_ms, statements, &n, bracketed);
    *answers = (struct answers){0};
    if (connection == store->connection) {
        exchange.prepared = store->prepared;
        exchange.n_prepared = store->prepared.n;
    }
    if (comrade_call_is_over(call)) {
        exchange.is_over = true;
    } else if (send_all(&exchange, bracketed, n)) {
        flush(&exchange);
        receive_all(&exchange, answers);
        exchange.is_committed = is_committed(answers, n);
        receive_end(&exchange);
    } else {
        exchange.is_failed = true;
        buffer_append_text(&exchange.said, PQerrorMessage(connection));
        exchange.is_over = exchange.is_over || PQstatus(connection) == CONNECTION_OK;
    }
    take_brackets_off(answers, n_before, n_statements);
    if (connection == store->connection) {
        store->prepared = exchange.prepared;
    }
    return conclude(store, &exchange, what, answers->sql_state, &answers->is_cut_off, error);
}

comrade_status postgres_exchange(comrade_store *store, const comrade_call *call, const char *what,
                                 enum transaction transaction, const struct statement *statements,
                                 size_t n_statements, struct answers *answers, comrade_error *error)
{
    comrade_status status = postgres_ask(store, store->connection, call, what, transaction,
                                         statements, n_statements, answers, error);
    if (status != COMRADE_OK && transaction != TRANSACTION_NONE) {
        postgres_roll_back(store, call);
    }
    return status;
}

comrade_status postgres_run_text(comrade_store *store, const comrade_call *call, const char *what,
                                 const char *sql, char sql_state[6], comrade_error *error)
{
    struct exchange exchange = exchange_on(store->connection, call);
    bool is_cut_off;
    if (PQsendQuery(store->connection, sql) == 1) {
        flush(&exchange);
        receive_text(&exchange);
    } else {
        exchange.is_failed = true;
        buffer_append_text(&exchange.said, PQerrorMessage(store->connection));
    }
    return conclude(store, &exchange, what, sql_state, &is_cut_off, error);
}

void postgres_roll_back(comrade_store *store, const comrade_call *call)
{
    if (store->connection == NULL || PQtransactionStatus(store->connection) == PQTRANS_IDLE) {
        return;
    }
    static const struct statement roll_back = {.sql = "ROLLBACK"};
    struct answers answers;
    if (postgres_exchange(store, call, "roll back", TRANSACTION_NONE, &roll_back, 1, &answers,
                          NULL) != COMRADE_OK &&
        store->connection != NULL) {
        postgres_drop(store);
    }
    answers_finish(&answers);
}
