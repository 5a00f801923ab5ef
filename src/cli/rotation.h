/*
 * The members that are in rotation, a line of text each: what `watch --line` writes. Pure: members
 * and the time in, lines out.
 *
 * In rotation is who is alive and healthy. Healthy means a heartbeat within the last minute, and
 * the hard part is that after an outage of the store of that length nobody is: taken at its word
 * the list would be empty just when everything works again, until each member has sent its first
 * heartbeat. So an outage does not count: for one more minute a member stays whose last heartbeat
 * is no older than the outage and a minute. Who crashed meanwhile is found out as late as ever.
 */
#ifndef CLI_ROTATION_H
#define CLI_ROTATION_H

#include "cli/line_template.h"

#include <stdint.h>

enum { ROTATION_TEXT_MAX_BYTES = 16 * 1024 * 1024, ROTATION_GRACE_MS = 60 * 1000 };

/* What is asked of a member beyond what the query asks. */
struct rotation_rule {
    bool wants_healthy;
    bool wants_available;
    int64_t outage_ms; /* since the store was found unreachable; 0: no outage counts any more */
};

struct rotation_line {
    char *role;
    char *id;
    char *text;   /* NULL: left out */
    char *reason; /* why it is left out; NULL: it is not */
    bool is_news; /* it was not left out before, or for another reason */
    bool is_held; /* only because of an outage */
};

struct rotation {
    struct rotation_line *lines; /* sorted by role and id, as the members come */
    size_t n_lines;
    size_t capacity;
};

/* A rotation of {0} is an empty one, and so is a finished one. */
void rotation_finish(struct rotation *rotation);
/*
 * Adds the member's line if it is in rotation. Members come sorted by role and id. `before` is the
 * rotation before this one, for `is_news`. On failure the rotation is as it was.
 * Errors: NO_MEMORY.
 */
comrade_status rotation_add(struct rotation *rotation, const struct line_template *line,
                            const struct rotation_rule *rule, const comrade_member_data *member,
                            const struct rotation *before, comrade_error *error);
/* The outage is long past: who is held only because of it leaves. Were there any? */
bool rotation_release(struct rotation *rotation);
/*
 * All lines, each with its end of line, for the caller to free. `n_lines` of them; may be NULL.
 * NULL: out of memory, or the text would be larger than 16 MB.
 */
char *rotation_text(const struct rotation *rotation, size_t *n_lines);

#endif
