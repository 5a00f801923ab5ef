/* A batch of heartbeats: which of them are settled, and what is read for the others. */
#ifndef DATASTORE_BEAT_H
#define DATASTORE_BEAT_H

#include "store/datastore/entity.h"
#include "store/datastore/internal.h"

struct beating {
    comrade_store *store;
    const comrade_beat *beats; /* sorted by id */
    size_t n_beats;
    comrade_beat_result *results;
    bool *is_settled;  /* a result has been set */
    size_t *unsettled; /* those that are not, by number; see beating_unsettled() */
    size_t n_unsettled;
    int64_t now_ms; /* what `updated` has become, by the server's clock */
};

/* False: out of memory. It is to be finished either way. */
bool beating_start(struct beating *beating);
void beating_finish(struct beating *beating);
/* Gathers in `unsettled` those that are not settled. Returns how many. */
size_t beating_unsettled(struct beating *beating);
/*
 * Adds a beat's key to those that are looked up, and settles it as GONE: which it is, unless it is
 * found. False: out of memory.
 */
bool beating_ask(struct beating *beating, size_t i, json_t *keys);
/*
 * What has been found: a record of the beat's incarnation is kept, with its heads, and no longer
 * settled; one of another says GONE or FENCED.
 */
comrade_status beating_read(struct beating *beating, const comrade_call *call, const json_t *found,
                            comrade_error *error);

/* beat_whole.c: `n` of the beats, from the first on, whether or not they are settled. */
comrade_status beat_in_transactions(struct beating *beating, const comrade_call *call, size_t first,
                                    size_t n, comrade_error *error);

#endif
