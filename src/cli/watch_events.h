/* A line whenever a member comes, changes or leaves: what `watch` prints without --line. */
#ifndef CLI_WATCH_EVENTS_H
#define CLI_WATCH_EVENTS_H

#include <comrade.h>

struct kept;

struct watch_events {
    bool has_json;
    struct kept *kept; /* the set that was told last, sorted by role and id */
    size_t n_kept;
};

/* Prints what differs from the set before to stdout. Errors: NO_MEMORY. */
comrade_status watch_events_tell(struct watch_events *events, const comrade_members *members,
                                 comrade_error *error);
void watch_events_finish(struct watch_events *events);

#endif
