/* What the files of this folder share. */
#ifndef DATASTORE_INTERNAL_H
#define DATASTORE_INTERNAL_H

#include "base/env.h"
#include "store/datastore/credentials.h"
#include "store/datastore/datastore.h"
#include "store/datastore/http.h"
#include "store/datastore/kept.h"
#include "store/datastore/place.h"

#include <jansson.h>

enum {
    DATASTORE_KEYS_MAX = 1000,     /* of one lookup: the server's limit */
    DATASTORE_MUTATIONS_MAX = 500, /* of one commit: the server's limit */
    DATASTORE_BODY_MAX = 9 << 20,  /* of one commit; the server's limit is 10 MiB */
    DATASTORE_IN_FLIGHT = 8,       /* requests at once, when there are more */
};

/* What this server does for us; asked once, see knows.c. */
struct knows {
    bool is_asked;
    bool versions;         /* masks, base versions, and transactions of a single commit */
    bool transforms;       /* properties set to the time of the request */
    bool has_other_word;   /* for a collision of versions: FAILED_PRECONDITION, not ABORTED */
    char probe[UUID_SIZE]; /* the entity on which it is found out; "": none yet */
};

/* The server's clock, as far as its answers tell; see clock.c. */
struct clock {
    bool is_known;
    int64_t server_ms;    /* it showed this … */
    int64_t monotonic_ms; /* … when ours showed that */
};

struct comrade_store {
    struct place place;
    char *shown_url;
    struct http *http;
    struct credentials *credentials; /* NULL: an emulator wants none */
    int64_t (*wall_ms)(void *clock);
    void *wall_clock;
    struct clock clock;
    struct knows knows;
    struct kept kept;
    char *orphan; /* a transaction that could not be rolled back yet; NULL: none */
};

/* --- clock.c -----------------------------------------------------------------------------------
 */

/* The server's clock by the last answer that told it, or this machine's before the first. */
int64_t datastore_now_ms(const comrade_store *store, const comrade_call *call);
/* It showed `server_ms` somewhere between the two. */
void datastore_clock_set(comrade_store *store, int64_t server_ms, int64_t sent_ms,
                         int64_t answered_ms);
/* RFC 3339, as the server writes times. 0: it is none. */
int64_t datastore_time_ms(const char *text);

/* --- api.c -------------------------------------------------------------------------------------
 */

/* How Google's answers end. To add one: its name in api.c. */
enum api_code {
    API_OK,
    API_ABORTED,          /* collided with others; nothing was done */
    API_ALREADY_EXISTS,   /* an insert found it there */
    API_NOT_FOUND,        /* an update found nothing; or project or database are not there */
    API_INVALID_ARGUMENT, /* also: a field that it does not know */
    API_OTHER,            /* see `status_name` and the HTTP status */
    API_NONE,             /* there was no whole answer */
};

struct api_request {
    const char *method; /* "lookup" */
    char *body;         /* JSON; owned, and freed by api_finish() */

    enum api_code code;
    long http_status;
    bool may_be_done;      /* although the answer does not say so */
    bool is_out_of_memory; /* with NONE: that is why */
    bool is_of_others;     /* with OTHER: no answer of Datastore's */
    json_t *answer;        /* an object; owned */
    char status_name[40];  /* "RESOURCE_EXHAUSTED" */
    char reason[64];       /* of google.rpc.ErrorInfo: "SERVICE_DISABLED", or "" */
    char said[512];        /* the server's words, or the library's */
};

/*
 * Sends them, at most DATASTORE_IN_FLIGHT at once, with a token that is good. OK: each has a code,
 * and it is one that the caller knows how to go on from: not OTHER, not NONE. Else what is wrong,
 * for the reader; UNKNOWN if `is_write` and one of them may have been done, and else NO_MEMORY if
 * there was none for an answer.
 */
comrade_status api_perform(comrade_store *store, const comrade_call *call, const char *what,
                           bool is_write, struct api_request *requests, size_t n_requests,
                           comrade_error *error);
/*
 * The text of a body, with the database's name in it, where it has one. Takes the body over. NULL:
 * out of memory.
 */
char *api_body(const comrade_store *store, json_t *body);
/* Takes the body over; NULL is NO_MEMORY. */
comrade_status api_ask(comrade_store *store, const comrade_call *call, const char *what,
                       bool is_write, const char *method, json_t *body, struct api_request *request,
                       comrade_error *error);
bool api_is_failed_precondition(const struct api_request *request);
/* Frees what it holds. May be called again. */
void api_finish(struct api_request *request);
/* Of objects as answered: never NULL. */
const char *api_text(const json_t *object, const char *name);
/* An int64, which JSON carries as a text. */
int64_t api_number(const json_t *object, const char *name);

/* --- explain.c ---------------------------------------------------------------------------------
 */

/* What an answer means to the reader, and what he can do. */
comrade_status datastore_explain(const comrade_store *store, const comrade_call *call,
                                 const char *what, bool is_write, const struct api_request *request,
                                 comrade_error *error);
comrade_status datastore_no_memory(const comrade_store *store, const char *what,
                                   comrade_error *error);

/* --- knows.c -----------------------------------------------------------------------------------
 */

/* Before a heartbeat or a write: finds out what the server knows, unless it is known. */
comrade_status datastore_need_knows(comrade_store *store, const comrade_call *call,
                                    comrade_error *error);

/* --- lookup.c ----------------------------------------------------------------------------------
 */

/* Of a cluster's kinds, the suffixes. */
#define DATASTORE_MEMBERS ""
#define DATASTORE_ROLES ".role"
#define DATASTORE_PROBES ".probe"

/* {"partitionId":…}: where all of this cluster is. Added to a request or a key. */
json_t *datastore_partition(const comrade_store *store);
json_t *datastore_key(const comrade_store *store, const char *suffix, const char *name);
/*
 * The name as it stands in a key. Google keeps __…__ to itself: such a name has a blank more at its
 * end there, which keeps names apart, and in their order. NULL: out of memory.
 */
json_t *datastore_name(const char *name);
/* Undoes that in the key of a result, once, when it has arrived. False: out of memory. */
bool datastore_restore_name(json_t *result);

/* The time that a read was of, as text; "" is the present. */
enum { DATASTORE_MOMENT_SIZE = 40 };

json_t *datastore_read_options(const char *moment);
/* Takes the time of the first answer that is shown to it. */
void datastore_note_moment(char moment[DATASTORE_MOMENT_SIZE], const json_t *answer);

/* The name in a key; NULL: it has a number, or is no child of the root. */
const char *datastore_key_name(const json_t *key);
/*
 * Looks all of the keys up, in as many requests as it takes. `keys` is taken over. Each entity
 * found is added to `found`, an array of results as the server tells them. *transaction: NULL, or
 * begins one that writes, in the first request, whose name is to be freed.
 */
comrade_status datastore_look_up(comrade_store *store, const comrade_call *call, const char *what,
                                 json_t *keys, char **transaction, json_t *found,
                                 comrade_error *error);

/*
 * Ends a transaction that was not committed, or not surely: what it has read stays locked until
 * then, for a minute or so. Takes the name over; NULL is fine. Where the server cannot be reached
 * it is done with the next heartbeat or write.
 */
void datastore_roll_back(comrade_store *store, const comrade_call *call, char *transaction);

/* A pause between two attempts, longer with each and never twice the same. False: no time is left.
 */
bool datastore_pause(const comrade_call *call, unsigned attempt);

/* --- The operations ----------------------------------------------------------------------------
 */

comrade_status datastore_heartbeat(comrade_store *store, const comrade_call *call,
                                   const comrade_beat *beats, size_t n_beats,
                                   comrade_beat_result *results, comrade_beat_summary *summary,
                                   comrade_error *error);
comrade_status datastore_write(comrade_store *store, const comrade_call *call,
                               const comrade_write *writes, size_t n_writes,
                               comrade_write_result *results, comrade_error *error);
comrade_status datastore_snapshot(comrade_store *store, const comrade_call *call,
                                  const comrade_snapshot_query *query, const comrade_cursor *from,
                                  const comrade_snapshot_sink *sink, comrade_snapshot_page *page,
                                  comrade_error *error);
comrade_status datastore_check(comrade_store *store, const comrade_call *call,
                               void (*on_finding)(void *user, bool is_problem, const char *text),
                               void *user, comrade_error *error);

#endif
