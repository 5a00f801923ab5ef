/* What can stand where the cursor is: verbs, options, roles, ids. */
#ifndef CLI_SHELL_COMPLETE_H
#define CLI_SHELL_COMPLETE_H

#include "cli/options.h"

enum { COMPLETIONS_LIMIT = 10000 };

/* Owned; sorted, each once. All zero is empty. */
struct completions {
    char **words;
    size_t n_words;
    size_t capacity;
};

enum completion_kind { COMPLETION_ROLES, COMPLETION_IDS };

/* Where roles and ids come from. */
struct completion_source {
    /* Adds those that begin with `prefix`, with completions_add(). */
    void (*list)(void *user, enum completion_kind kind, const char *prefix,
                 struct completions *into);
    void *user;
};

/*
 * What begins with `prefix` and can follow the text `before`, which is the line up to it. Out of
 * memory the list is shorter: a completion is an offer.
 */
void completions_find(struct completions *found, const char *before, const char *prefix,
                      const struct completion_source *source);
/* Adds `word` if it begins with `prefix` and could be typed without quotes. */
void completions_add(struct completions *found, const char *word, const char *prefix);
void completions_finish(struct completions *found);

/* The verb of today that the original called `name`, such as killOldestMember; NULL: none. */
const char *original_verb(const char *name);

#endif
