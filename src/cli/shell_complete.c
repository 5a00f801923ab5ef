/* Completion decides from the verbs' tables; only roles and ids come from outside. */
#include "cli/shell_complete.h"

#include "cli/cli.h"
#include "cli/find_verb.h"
#include "cli/shell_words.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

/* To add one: a row. */
static const struct {
    const char *original, *verb;
} originals[] = {
    {"killOldestMember", "kill-oldest"},
    {"clearStaleMembers", "clear-stale"},
    {"rollingKill", "rolling-kill"},
};

const char *original_verb(const char *name)
{
    for (size_t i = 0; i < sizeof originals / sizeof originals[0]; i++) {
        if (strcmp(originals[i].original, name) == 0) {
            return originals[i].verb;
        }
    }
    return NULL;
}

/* --- The list --------------------------------------------------------------------------------- */

static bool needs_quotes(const char *word)
{
    return word[0] == '\0' || word[0] == '#' || strpbrk(word, " \t\"'\\") != NULL ||
           text_has_control(word);
}

void completions_add(struct completions *found, const char *word, const char *prefix)
{
    if (strncmp(word, prefix, strlen(prefix)) != 0 || needs_quotes(word) ||
        found->n_words >= COMPLETIONS_LIMIT) {
        return;
    }
    if (found->n_words == found->capacity) {
        size_t capacity = found->capacity == 0 ? 32 : 2 * found->capacity;
        char **words = reallocarray(found->words, capacity, sizeof words[0]);
        if (words == NULL) {
            return;
        }
        found->words = words;
        found->capacity = capacity;
    }
    char *copy = strdup(word);
    if (copy != NULL) {
        found->words[found->n_words++] = copy;
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_and_thin(struct completions *found)
{
    if (found->n_words == 0) {
        return;
    }
    qsort(found->words, found->n_words, sizeof found->words[0], by_text);
    size_t n_kept = 1;
    for (size_t i = 1; i < found->n_words; i++) {
        if (strcmp(found->words[i], found->words[n_kept - 1]) == 0) {
            free(found->words[i]);
        } else {
            found->words[n_kept++] = found->words[i];
        }
    }
    found->n_words = n_kept;
}

void completions_finish(struct completions *found)
{
    for (size_t i = 0; i < found->n_words; i++) {
        free(found->words[i]);
    }
    free(found->words);
    *found = (struct completions){0};
}

/* --- What may stand here ---------------------------------------------------------------------- */

/* The first word of each verb's name, and its other names. */
static void add_verbs(struct completions *found, const char *prefix)
{
    for (size_t i = 0; cli_verbs[i] != NULL; i++) {
        char *first = strndup(cli_verbs[i]->name, strcspn(cli_verbs[i]->name, " "));
        if (first != NULL) {
            completions_add(found, first, prefix);
        }
        free(first);
        const char *const *aliases = cli_verbs[i]->aliases;
        for (size_t a = 0; aliases != NULL && aliases[a] != NULL; a++) {
            completions_add(found, aliases[a], prefix);
        }
    }
    for (size_t i = 0; i < sizeof originals / sizeof originals[0]; i++) {
        completions_add(found, originals[i].original, prefix);
    }
    completions_add(found, "exit", prefix);
}

/* Behind "role": show and set. */
static void add_second_words(struct completions *found, const char *first, const char *prefix)
{
    size_t len = strlen(first);
    for (size_t i = 0; cli_verbs[i] != NULL; i++) {
        const char *name = cli_verbs[i]->name;
        if (strncmp(name, first, len) == 0 && name[len] == ' ') {
            completions_add(found, name + len + 1, prefix);
        }
    }
}

static void add_options(struct completions *found, const struct verb *verb, const char *prefix)
{
    const struct option_row *row;
    for (size_t i = 0; (row = verb_row(verb, i)) != NULL; i++) {
        char name[OPTION_VARIABLE_SIZE];
        snprintf(name, sizeof name, "--%s", row->name);
        completions_add(found, name, prefix);
    }
}

/* The option whose value begins behind `word`: "--role", "--role=" or "-r". NULL: none does. */
static const struct option_row *option_waiting(const struct verb *verb, const char *word)
{
    const struct option_row *row;
    for (size_t i = 0; (row = verb_row(verb, i)) != NULL; i++) {
        size_t len = strlen(row->name);
        bool is_long = strncmp(word, "--", 2) == 0 && strncmp(word + 2, row->name, len) == 0 &&
                       (strcmp(word + 2 + len, "") == 0 || strcmp(word + 2 + len, "=") == 0);
        bool is_short = word[0] == '-' && word[1] == row->letter && word[2] == '\0';
        if (row->type != OPTION_FLAG && (is_long || (row->letter != '\0' && is_short))) {
            return row;
        }
    }
    return NULL;
}

static void add_listed(struct completions *found, const char *what, const char *prefix,
                       const struct completion_source *source)
{
    what += strspn(what, "[");
    if (strncmp(what, "ID", 2) == 0) {
        source->list(source->user, COMPLETION_IDS, prefix, found);
    } else if (strncmp(what, "ROLE", 4) == 0) {
        source->list(source->user, COMPLETION_ROLES, prefix, found);
    } else if (strncmp(what, "VERB", 4) == 0) {
        add_verbs(found, prefix);
    }
}

static void add_for_verb(struct completions *found, const struct verb *verb, const char *last,
                         const char *prefix, const struct completion_source *source)
{
    const struct option_row *waiting = option_waiting(verb, last);
    if (waiting != NULL) {
        add_listed(found, waiting->argument, prefix, source);
    } else if (prefix[0] == '-') {
        add_options(found, verb, prefix);
    } else if (verb->operands != NULL) {
        add_listed(found, verb->operands, prefix, source);
    }
}

/* The verb that the words begin with, also by the name that the original gave it. */
static const struct verb *verb_of(const struct shell_words *words)
{
    int n_used = 0;
    char name[OPTION_VARIABLE_SIZE];
    const char *today = original_verb(words->words[0]);
    if (today == NULL) {
        return find_verb(words->n_words, words->words, &n_used);
    }
    snprintf(name, sizeof name, "%s", today);
    return find_verb(1, (char *[]){name}, &n_used);
}

void completions_find(struct completions *found, const char *before, const char *prefix,
                      const struct completion_source *source)
{
    struct shell_words words;
    if (shell_words_split(before, &words, NULL) != COMRADE_OK) {
        return; /* Inside quotes nothing is proposed. */
    }
    const struct verb *verb = words.n_words == 0 ? NULL : verb_of(&words);
    if (words.n_words == 0) {
        add_verbs(found, prefix);
    } else if (verb != NULL) {
        add_for_verb(found, verb, words.words[words.n_words - 1], prefix, source);
    } else if (words.n_words == 1) {
        add_second_words(found, words.words[0], prefix);
    }
    shell_words_finish(&words);
    sort_and_thin(found);
}
