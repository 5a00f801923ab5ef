/* One value of an option: its text read as what its row says. */
#ifndef CLI_OPTION_VALUE_H
#define CLI_OPTION_VALUE_H

#include "cli/options.h"

/*
 * Reads `text`. `from` as in struct option_value, borrowed. On success value->text is the caller's
 * to free. A secret's text is in no error. Errors: INVALID, NO_MEMORY.
 */
comrade_status option_value_read(const struct option_row *row, const char *text, const char *from,
                                 struct option_value *value, comrade_error *error);

/* "yes" and its like. False: it is neither; `is_set` is untouched. */
bool option_flag_read(const char *text, bool *is_set);

#endif
