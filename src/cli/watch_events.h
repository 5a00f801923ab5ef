/* A line whenever a member comes, changes or leaves: what `watch` tells without --line. */
#ifndef CLI_WATCH_EVENTS_H
#define CLI_WATCH_EVENTS_H

#include "cli/command_runner.h"

struct kept;

struct watch_events {
    bool has_json;
    struct command_runner *runner; /* gets each line, of JSON; NULL: stdout does */
    struct kept *kept;             /* the set that was told last, sorted by role and id */
    size_t n_kept;
};

/* Tells what differs from the set before. Errors: NO_MEMORY. */
comrade_status watch_events_tell(struct watch_events *events, const comrade_members *members,
                                 comrade_error *error);
void watch_events_finish(struct watch_events *events);

#endif
