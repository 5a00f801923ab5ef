/*
 * A batch of writes between its reading and its commit: the entities that it names, as they were
 * found and as its writes leave them.
 */
#ifndef DATASTORE_WRITE_H
#define DATASTORE_WRITE_H

#include "store/datastore/entity.h"
#include "store/datastore/internal.h"

enum held_kind { HELD_ROLE, HELD_MEMBER };

struct held {
    enum held_kind kind;
    const char *name;   /* of the role, or the id; borrowed */
    int64_t version;    /* as found; 0: it is not there */
    json_t *properties; /* as they are by now; NULL: not there */
    bool is_changed;
    bool is_own_put; /* by us: a heartbeat of ours may follow */
    bool is_beaten;  /* `updated` is new: the server is to note the time, too */

    struct stored_role role; /* HELD_ROLE */
    bool is_member;          /* HELD_MEMBER: there is one, and `record` is it */
    comrade_record record;   /* its texts are in `properties`, in the batch, or in the writes */
};

struct batch {
    comrade_store *store;
    const comrade_write *writes;
    size_t n_writes;
    comrade_write_result *results;
    int64_t now_ms;
    struct held *held; /* sorted by kind, then name */
    size_t n_held;
    size_t held_capacity;
    json_t *texts;     /* keeps alive what records borrow */
    bool must_lock;    /* reads in a transaction, which keeps others out until the commit */
    char *transaction; /* its name; NULL: there is none */
};

/* batch.c: reads what the writes name. */
comrade_status batch_find(struct batch *batch, const comrade_call *call, comrade_error *error);
struct held *batch_held(const struct batch *batch, enum held_kind kind, const char *name);
void batch_finish(struct batch *batch);

/* judge.c: sets every result, and changes what is held by those writes that hold. False: out of
   memory. */
bool batch_judge(struct batch *batch);

#endif
