/*
 * One member's dealings with the store, as a machine without I/O: it claims its id, keeps its own
 * part written, notices what is asked of it, and comes back after a wipe. It says whether it needs
 * its record read or written; its owner does that for many members at once, heartbeats them, and
 * passes on the events. Used by one thread.
 */
#ifndef CORE_MEMBER_H
#define CORE_MEMBER_H

#include "core/snapshot.h"

enum {
    MEMBER_SHUTDOWN_PATIENCE_MS = 5000, /* how long alive:false may go unanswered */
};

enum member_phase {
    MEMBER_IDLE,       /* not started */
    MEMBER_LOOKING,    /* must see who has the id */
    MEMBER_CLAIMING,   /* must write its registration */
    MEMBER_REGISTERED, /* is heartbeaten */
    MEMBER_ENDED,      /* fenced, in use elsewhere, or stopped */
};

/* Bits of member.events; the owner takes and clears them. */
enum member_event {
    MEMBER_EVENT_REGISTERED = 1 << 0,
    MEMBER_EVENT_SHUTDOWN = 1 << 1,
    MEMBER_EVENT_ERROR = 1 << 2,
    MEMBER_EVENT_LOST = 1 << 3,
    MEMBER_EVENT_RESTORED = 1 << 4,
    MEMBER_EVENT_FENCED = 1 << 5,
    MEMBER_EVENT_IN_USE = 1 << 6,
    MEMBER_EVENT_ZOMBIFIED = 1 << 7,
    MEMBER_EVENT_RESTART = 1 << 8,
};

struct member {
    /* Who it is. Owned texts. */
    char *id;
    char *role;
    char *host;
    comrade_takeover takeover;

    /* What it says of itself; what is written is made of it by member_own(). */
    comrade_state state;
    bool is_alive;
    bool is_available;
    int64_t pid;
    char *metadata;
    char *details;

    /* How far it is. */
    enum member_phase phase;
    bool is_stopping; /* no more heartbeats; ends when everything is written */
    int64_t incarnation;
    int64_t expected_incarnation; /* CLAIMING: what the claim replaces; 0: nothing */
    int64_t open_claim;           /* the first incarnation claimed whose answer was lost; 0: none */
    int64_t created_ms;
    int64_t sequence;           /* of what it says now */
    int64_t committed_sequence; /* of what the store is known to have */
    int64_t request_revision;   /* the last one read */
    bool must_read;
    int64_t announced_by_ms; /* monotonic: when push must have told of the request that a heartbeat
                                has told of; 0: there is none */
    bool is_lost;            /* the record is gone or older than ours, and not yet put back */
    bool is_troubled;        /* an ERROR was said and no call has worked since */

    /* What was asked of this incarnation. */
    bool is_asked;              /* to leave */
    comrade_request_kind asked; /* … for good, or to come back */
    bool is_zombified;
    bool has_told_shutdown;    /* or that it is to be restarted */
    int64_t shutdown_sequence; /* says alive:false */
    int64_t shutdown_sent_ms;  /* monotonic; 0: not yet */
    struct snapshot shutdown;  /* the one record in which it was read; each is written once */
    struct snapshot restart;

    unsigned events;
    comrade_error error;       /* of IN_USE and ERROR */
    comrade_status end_status; /* ENDED: what becomes of reports that were never written */
};

struct member_options {
    const char *id;
    const char *role;
    const char *host;
    const char *metadata;
    int64_t pid;
    bool is_ready;
    comrade_takeover takeover;
};

/* Texts are copied, and must be within the limits. Errors: NO_MEMORY. */
comrade_status member_init(struct member *member, const struct member_options *options,
                           comrade_error *error);
void member_finish(struct member *member);
void member_start(struct member *member);
/* What was reported before is still written; then it is ENDED. */
void member_stop(struct member *member);
/* It is ENDED from now on; `status` is what its unwritten reports come to. */
void member_end(struct member *member, comrade_status status);

/*
 * Takes what the member says of itself. Returns the sequence whose commit means that it is
 * written, or 0 when out of memory, and then nothing has changed.
 */
int64_t member_report(struct member *member, const comrade_report *report);

/* --- What it needs ---------------------------------------------------------------------------- */

bool member_needs_read(const struct member *member);
bool member_needs_write(const struct member *member);
bool member_needs_beat(const struct member *member);

/* Its record was read: NULL if there is none. `is_owner_gone`: the record names a process of this
   host that no longer exists. `now_ms` is the store's clock. */
void member_on_read(struct member *member, const comrade_record *record, int64_t now_ms,
                    bool is_owner_gone);

/*
 * The write that it needs. `own` and `change` are filled and referred to by `write`; all texts are
 * borrowed from the member until its next change. `monotonic_ms`: when it is sent.
 */
void member_write(struct member *member, int64_t monotonic_ms, comrade_write *write,
                  comrade_change *change, comrade_own *own);
/* `sequence` is own.sequence of the write that this answers. */
void member_on_written(struct member *member, int64_t sequence, const comrade_write_result *result);
/* What it tells of must be pushed by `announced_by_ms` (monotonic); 0: it need not. */
void member_on_beat(struct member *member, const comrade_beat_result *result,
                    int64_t announced_by_ms);
/* A watch says that its record has changed, or that anything may have. */
void member_on_change(struct member *member);
/* A call for it has failed: said once, until something works again. */
void member_on_failed(struct member *member, const comrade_error *error);
/* Something may have become due by the passing of time. */
void member_on_time(struct member *member, int64_t monotonic_ms);
/* Has push failed to tell in time what a heartbeat had told of? True once for each time. */
bool member_take_unannounced(struct member *member, int64_t monotonic_ms);
/* When these two should be called next; INT64_MAX: no need. */
int64_t member_next_time(const struct member *member);

#endif
