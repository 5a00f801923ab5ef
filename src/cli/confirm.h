/* A question to a person at a terminal. */
#ifndef CLI_CONFIRM_H
#define CLI_CONFIRM_H

#include <stdbool.h>

/* Is there anybody to ask? */
bool can_confirm(void);
/* Asks on stderr, and reads a line of stdin. Only "yes" is yes. */
bool confirm(const char *question);

#endif
