/* Members as rows of a table, for list. */
#ifndef CLI_MEMBER_TABLE_H
#define CLI_MEMBER_TABLE_H

#include "cli/table.h"

#include <comrade.h>

/* ID ROLE STATE HEALTH ADDRESS HOST PID AGE HEARTBEAT */
extern const struct table_column member_columns[];

void member_table_add(struct table *table, const comrade_member_data *member);
/*
 * What the member is, in a word: its state, or "zombie" when it runs and is not in rotation though
 * nobody asked it to leave.
 */
const char *member_state_text(const comrade_member_data *member);
/* "ok", "no", "stale" */
const char *member_health_text(const comrade_member_data *member);

#define MEMBER_ADDRESS_SIZE 280
/* IP:PORT of the metadata, or what there is of them; "" if nothing. IPv6 gets brackets. */
void member_address(const comrade_member_data *member, char text[MEMBER_ADDRESS_SIZE]);

#endif
