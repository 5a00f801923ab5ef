/* Between operation.c (the flow) and the files that decide; nobody else includes it. */
#ifndef CORE_OPERATION_INTERNAL_H
#define CORE_OPERATION_INTERNAL_H

#include "core/budget.h"
#include "core/operation.h"
#include "core/spec.h"

#define OPERATION_TEXT_LIMIT 512

/* What the flow is told: look at this, wait so long, or that it is over. */
enum need operation_look_at_role(struct operation *operation);
enum need operation_look_at_id(struct operation *operation);
enum need operation_look_at_all(struct operation *operation);
enum need operation_wait(struct operation *operation, int64_t wait_ms);
enum need operation_end(struct operation *operation, comrade_status status);
enum need operation_end_without_memory(struct operation *operation);

/* One write, of one change or of none, to the operation's role; it carries the request id. */
enum need operation_write(struct operation *operation, const comrade_change *change,
                          int64_t expect_revision);

/* Decides over the snapshot. A row a kind in operation.c's table. */
enum need decide_list(struct operation *operation);
enum need decide_fetch(struct operation *operation);
enum need decide_leave(struct operation *operation); /* kill, restart */
enum need decide_kill_oldest(struct operation *operation);
enum need decide_rolling_kill(struct operation *operation);
enum need decide_zombify(struct operation *operation);
enum need decide_clear_stale(struct operation *operation);
enum need decide_get_role(struct operation *operation);
enum need decide_set_role(struct operation *operation);

/* After the write was applied. */
enum need applied_one(struct operation *operation);
enum need applied_rolling_kill(struct operation *operation);
enum need applied_clear_stale(struct operation *operation, const comrade_write_result *results);

/* Takes down a record's id and role as noted. False when out of memory. */
bool operation_note(struct operation *operation, const comrade_record *record);
/* NULL if it was not noted. */
const struct operation_noted *operation_find_noted(const struct operation *operation,
                                                   const comrade_record *record);
bool operation_set_text(char **text, const char *value);
void operation_forget_snapshot(struct operation *operation);
enum verdict operation_verdict(const struct operation *operation, const comrade_record *record);

#endif
