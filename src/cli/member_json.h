/* One member as one line of JSON, with the names that scripts rely on. */
#ifndef CLI_MEMBER_JSON_H
#define CLI_MEMBER_JSON_H

#include "base/buffer.h"

#include <comrade.h>

/*
 * Appends one object without a line break. The first fields are the original's: id, role, alive,
 * healthy, stale, created, updated, shutdownDate, metadata. Then come available, state, host, pid,
 * version, incarnation, request {kind, by, reason, at, id}, zombified {by, reason, id}, details.
 * Times are ms since 1970.
 * Each name is always there: null where there is nothing. False: the buffer failed.
 */
bool member_json_append(struct buffer *buf, const comrade_member_data *member);
/* The same without the enclosing braces, for objects that say more than the member. */
bool member_json_append_fields(struct buffer *buf, const comrade_member_data *member);
/* Appends `text` as a JSON string, quoted. */
bool member_json_append_string(struct buffer *buf, const char *text);

#endif
