/* Which verb some words name. */
#ifndef CLI_FIND_VERB_H
#define CLI_FIND_VERB_H

#include "cli/options.h"

/*
 * The verb that words[0], or words[0] and words[1] together, name; NULL: none. `n_used` is how many
 * words name it.
 */
const struct verb *find_verb(int n_words, char *const *words, int *n_used);
/* Does the word begin the names of verbs of two words, as "role" does? */
bool is_verb_family(const char *word);
/* Describes in `error` (status INVALID) what was probably meant. */
comrade_status unknown_verb(int n_words, char *const *words, comrade_error *error);

#endif
