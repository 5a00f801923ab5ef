/* What the files of this folder share. */
#ifndef POSTGRES_INTERNAL_H
#define POSTGRES_INTERNAL_H

#include "base/buffer.h"
#include "store/postgres/postgres.h"

#include <jansson.h>
#include <libpq-fe.h>

/* Raised with every migration; see schema_text.c. */
#define POSTGRES_SCHEMA_VERSION 1

/* The server's clock in milliseconds since 1970: as the statement gets there, or its transaction
   began. */
#define POSTGRES_MS_OF(time) "floor(extract(epoch FROM " time ") * 1000)::bigint"
#define POSTGRES_NOW_MS POSTGRES_MS_OF("clock_timestamp()")
#define POSTGRES_BEGAN_MS POSTGRES_MS_OF("now()")
/* The cluster's row, where $1 is its namespace and $2 its kind. */
#define POSTGRES_CLUSTER                                                                           \
    "(SELECT c.id FROM comrade.cluster c WHERE c.namespace = $1 AND c.kind = $2)"

/* Where all clusters of a database announce what is written. */
#define POSTGRES_CHANNEL "comrade"

enum {
    POSTGRES_PARAMETERS_MAX = 5,
    POSTGRES_STATEMENTS_MAX = 16,
    POSTGRES_BRACKET_MAX = 3, /* what makes them a transaction */
    POSTGRES_PREPARED_MAX = 48,
    POSTGRES_HEARD_MAX = 1024, /* changes waiting for drain(); beyond, everything is looked at */
};

/* The last large batch of heartbeats, and what it was told; see heartbeat.c. */
struct remembered_beats {
    size_t n;  /* 0: none */
    char *ids; /* as an array */
    int64_t *incarnations;
    comrade_beat_result *results;
    char revisions[64]; /* the sum of the roles' */
};

/* The statements that the connection's session knows; see prepared.c. */
struct prepared {
    bool is_allowed; /* the session is ours until the connection ends: no pooler lends it */
    size_t n;
    const char *sql[POSTGRES_PREPARED_MAX];
};

struct comrade_store {
    char *url;
    char *shown_url;
    char *name_space;
    char *kind;
    bool must_exist;    /* makes no schema, and migrates none */
    PGconn *connection; /* NULL: the next call connects */
    size_t last_host;   /* of the URL's hosts, the one that answered last */
    bool is_schema_known;
    struct prepared prepared;
    bool is_pooled; /* found out by a prepared statement that was another's */
    struct remembered_beats last_beats;

    /* The watch: a descriptor that is readable when the socket or the signal is. */
    int watch_fd;  /* epoll; -1: never watched */
    int signal_fd; /* eventfd: something was heard during a call, or listening has ended */
    bool is_listening;
    bool must_resync;
    PGnotify *heard[POSTGRES_HEARD_MAX];
    size_t n_heard;
};

/* --- connection.c ------------------------------------------------------------------------------
 */

/* A connection of its own to the same place, which the caller finishes. */
comrade_status postgres_connect(comrade_store *store, const comrade_call *call, PGconn **connection,
                                comrade_error *error);

/* --- exchange.c --------------------------------------------------------------------------------
 */

struct statement {
    const char *sql; /* constant: it is told apart by its address */
    size_t n_parameters;
    const char *parameters[POSTGRES_PARAMETERS_MAX]; /* text; borrowed until the answers are in */
};

/* What the statements of an exchange are in. */
enum transaction {
    TRANSACTION_NONE,
    TRANSACTION_WHOLE, /* one of their own, which sees what is committed meanwhile */
    TRANSACTION_READ,  /* one of their own, which sees one moment and writes nothing */
    TRANSACTION_BEGIN, /* one that the next exchange ends */
    TRANSACTION_END,
};

/* The answers to one exchange: a result a statement, in their order. */
struct answers {
    PGresult *results[POSTGRES_STATEMENTS_MAX + POSTGRES_BRACKET_MAX];
    size_t n_results;
    char sql_state[6]; /* of the statement that failed; "": none did, or the connection broke */
    bool is_cut_off;   /* the connection is gone or given up: nobody knows what was done */
};

/*
 * Sends all statements at once, and waits for all answers: one round trip. A statement that fails
 * stops those behind it, and undoes those before it in their transaction. What begins a transaction
 * bounds it: what the client gives up, the server gives up too, and lets go of its locks; and no
 * function or operator but the server's own is called in it. The answers are filled in either way,
 * and are to be finished. `what` is what was tried, for the error.
 */
comrade_status postgres_exchange(comrade_store *store, const comrade_call *call, const char *what,
                                 enum transaction transaction, const struct statement *statements,
                                 size_t n_statements, struct answers *answers,
                                 comrade_error *error);
/* The same on a connection other than the store's own, which an outage does not end. */
comrade_status postgres_ask(comrade_store *store, PGconn *connection, const comrade_call *call,
                            const char *what, enum transaction transaction,
                            const struct statement *statements, size_t n_statements,
                            struct answers *answers, comrade_error *error);
/* A text of many statements without parameters, of which no answer is wanted. */
comrade_status postgres_run_text(comrade_store *store, const comrade_call *call, const char *what,
                                 const char *sql, char sql_state[6], comrade_error *error);
/* Takes in what has arrived, so much as one reading may hold. 0: the connection is broken. */
int postgres_consume(PGconn *connection);
void answers_finish(struct answers *answers);
/* After a failed statement: ends the transaction it was in, or else the connection. */
void postgres_roll_back(comrade_store *store, const comrade_call *call);

const char *result_text(const PGresult *result, int row, int column);
int64_t result_number(const PGresult *result, int row, int column);
bool result_is_true(const PGresult *result, int row, int column);

/* --- prepared.c --------------------------------------------------------------------------------
 */

/*
 * Sends a statement, in a pipeline. *is_prepared_first says whether there is a preparation before
 * it, with an answer of its own; one that failed is to be taken off `prepared` again.
 */
bool prepared_send(struct prepared *prepared, PGconn *connection, const struct statement *statement,
                   bool *is_prepared_first);

/* --- session.c ---------------------------------------------------------------------------------
 */

/*
 * Every operation begins with it: a connection, and the schema, are there. One that died while it
 * lay idle is made anew.
 */
comrade_status postgres_use(comrade_store *store, const comrade_call *call, comrade_error *error);
/* Ends the connection; the next operation makes another. */
void postgres_drop(comrade_store *store);
/* An exchange that is a transaction; again, a few times, where it collided or found no schema. */
comrade_status postgres_transact(comrade_store *store, const comrade_call *call, const char *what,
                                 enum transaction transaction, const struct statement *statements,
                                 size_t n_statements, struct answers *answers,
                                 comrade_error *error);
/* After that state the same may work at once; has the schema looked at, if that is what it takes.
 */
bool postgres_must_try_again(comrade_store *store, const char *sql_state);

/* --- explain.c, explain_connect.c
 * ---------------------------------------------------------------------------------
 */

/* Is it the schema that is missing, or a part of it? */
bool sql_state_is_schema(const char *sql_state);
/* Did it collide with another transaction, or with another's session, so that the same may work at
   once? */
bool sql_state_is_collision(const char *sql_state);
/* Was it another session, which has not prepared what ours has, or has prepared something else? */
bool sql_state_is_preparation(const char *sql_state);
/* Is it about one of the values, so that other writes of the batch may do? */
bool sql_state_is_of_one(const char *sql_state);
/* What is to be made of it and its text, and what the reader can do: NULL if nothing. */
comrade_status sql_state_meaning(const char *sql_state, const char *said, const char **advice);
/* A text's first line, without the blanks that end it. */
void append_first_line(struct buffer *out, const char *text);
/* Says what a server's error means. `said` is libpq's, and may have several lines. */
comrade_status postgres_explain(const comrade_store *store, const char *what, const char *sql_state,
                                const char *said, comrade_error *error);
/* Says which group the write takes. */
comrade_status postgres_explain_denied(const comrade_store *store, const comrade_write *write,
                                       comrade_error *error);
/* INVALID: says what of the URL, or of what it is completed by, is wrong. */
comrade_status postgres_explain_url(const comrade_store *store, const PGconn *connection,
                                    comrade_error *error);
/* Says why there is no connection. INVALID if it is the URL that is wrong. */
comrade_status postgres_explain_connect(const comrade_store *store, const PGconn *connection,
                                        comrade_error *error);
/* Is it read otherwise than it was meant, because something in it was not escaped? */
bool postgres_is_misread(const comrade_store *store, const char *hosts, const char *ports,
                         const char *database);
comrade_status postgres_explain_misread(const comrade_store *store, comrade_error *error);
/* The call is over: its deadline passed, or somebody wants the thread. */
comrade_status postgres_explain_over(const comrade_store *store, const comrade_call *call,
                                     const char *what, comrade_error *error);

/* --- schema.c, schema_text.c -------------------------------------------------------------------
 */

comrade_status postgres_need_schema(comrade_store *store, const comrade_call *call,
                                    comrade_error *error);
void postgres_setup_text(void (*on_text)(void *user, const char *text), void *user);
comrade_status postgres_set_up(comrade_store *store, const comrade_call *call,
                               comrade_error *error);
comrade_status postgres_remove(comrade_store *store, const comrade_call *call,
                               comrade_error *error);

/* The migrations in their order, each from the version before. */
extern const char *const postgres_migrations[];
extern const int postgres_n_migrations;
/* The least version that a program must know to use what the last migration leaves. */
extern const int postgres_oldest_reader;
extern const char postgres_rights[];
extern const char postgres_removal[];

/* --- watch.c -----------------------------------------------------------------------------------
 */

int postgres_watch(comrade_store *store, const comrade_call *call, comrade_error *error);
comrade_status postgres_drain(comrade_store *store, const comrade_watch_sink *sink,
                              comrade_error *error);
/* What came between the answers is kept for drain(), and makes the descriptor readable. */
void postgres_keep_heard(comrade_store *store);
void postgres_stop_listening(comrade_store *store);
void postgres_unwatch(comrade_store *store);
/* '["NAMESPACE","KIND","ROLE","ID"]', or without role and id: "look at everything". The caller
   frees it; NULL when out of memory. */
char *postgres_payload(const comrade_store *store, const char *role, const char *id);

/* --- The operations ----------------------------------------------------------------------------
 */

comrade_status postgres_heartbeat(comrade_store *store, const comrade_call *call,
                                  const comrade_beat *beats, size_t n_beats,
                                  comrade_beat_result *results, comrade_beat_summary *summary,
                                  comrade_error *error);
void postgres_forget_beats(comrade_store *store);
comrade_status postgres_write(comrade_store *store, const comrade_call *call,
                              const comrade_write *writes, size_t n_writes,
                              comrade_write_result *results, comrade_error *error);
comrade_status postgres_snapshot(comrade_store *store, const comrade_call *call,
                                 const comrade_snapshot_query *query, const comrade_cursor *from,
                                 const comrade_snapshot_sink *sink, comrade_snapshot_page *page,
                                 comrade_error *error);
comrade_status postgres_check(comrade_store *store, const comrade_call *call,
                              void (*on_finding)(void *user, bool is_problem, const char *text),
                              void *user, comrade_error *error);

/* --- parameters.c ------------------------------------------------------------------------------
 */

/* '{"a","b"}': an array of texts, or of numbers, as PostgreSQL reads it. */
bool array_append_text(struct buffer *array, const char *text);
bool array_append_number(struct buffer *array, int64_t number);
bool array_end(struct buffer *array);

#endif
