/*
 * What this process knows of the records it keeps fresh, so that a heartbeat need not read them: as
 * long as a record has the version that is kept, the heads that are kept are its heads.
 */
#ifndef DATASTORE_KEPT_H
#define DATASTORE_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kept_record {
    char *id;
    int64_t version; /* 0: nothing is known, it must be looked up */
    int64_t incarnation;
    int64_t sequence;
    int64_t request_revision;
    int64_t used_ms; /* CLOCK_MONOTONIC, of the last heartbeat or write */
};

struct kept {
    struct kept_record *records; /* sorted by id */
    size_t n;
    size_t capacity;
};

/* NULL: there is none. Borrowed until the next kept_need(). */
struct kept_record *kept_find(const struct kept *kept, const char *id);
/* The record, made if need be. NULL: out of memory. */
struct kept_record *kept_need(struct kept *kept, const char *id, int64_t now_ms);
/* Drops those that nobody has used for an hour. */
void kept_prune(struct kept *kept, int64_t now_ms);
void kept_finish(struct kept *kept);

#endif
