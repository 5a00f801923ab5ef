/* From words to a verb, and from a mistyped word to the verb that was probably meant. */
#include "cli/find_verb.h"

#include "cli/cli.h"

#include "base/error.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum { NAMES_LIMIT = 128, NAME_SIZE = 64 };

static bool is_named(const struct verb *verb, const char *name)
{
    if (strcmp(verb->name, name) == 0) {
        return true;
    }
    for (size_t i = 0; verb->aliases != NULL && verb->aliases[i] != NULL; i++) {
        if (strcmp(verb->aliases[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static const struct verb *verb_named(const char *name)
{
    for (size_t i = 0; cli_verbs[i] != NULL; i++) {
        if (is_named(cli_verbs[i], name)) {
            return cli_verbs[i];
        }
    }
    return NULL;
}

/* False: they are too long to name anything. */
static bool join(int n_words, char *const *words, char joined[NAME_SIZE])
{
    int len = n_words > 1 ? snprintf(joined, NAME_SIZE, "%s %s", words[0], words[1])
                          : snprintf(joined, NAME_SIZE, "%s", words[0]);
    return len > 0 && len < NAME_SIZE;
}

const struct verb *find_verb(int n_words, char *const *words, int *n_used)
{
    for (int n = n_words < 2 ? n_words : 2; n > 0; n--) {
        char name[NAME_SIZE];
        const struct verb *verb = join(n, words, name) ? verb_named(name) : NULL;
        if (verb != NULL) {
            *n_used = n;
            return verb;
        }
    }
    return NULL;
}

bool is_verb_family(const char *word)
{
    size_t len = strlen(word);
    for (size_t i = 0; cli_verbs[i] != NULL; i++) {
        if (strncmp(cli_verbs[i]->name, word, len) == 0 && cli_verbs[i]->name[len] == ' ') {
            return true;
        }
    }
    return false;
}

/* "role" alone: which two there are. */
static comrade_status name_family(const char *word, comrade_error *error)
{
    char names[256] = "";
    size_t used = 0;
    for (size_t i = 0; cli_verbs[i] != NULL; i++) {
        const char *name = cli_verbs[i]->name;
        if (strncmp(name, word, strlen(word)) == 0 && name[strlen(word)] == ' ' &&
            used < sizeof names) {
            used += (size_t)snprintf(names + used, sizeof names - used, "%s'%s'",
                                     used == 0 ? "" : " or ", name);
        }
    }
    return comrade_error_set(error, COMRADE_INVALID, "'%s' needs a second word: %s", word, names);
}

static const char *nearest_name(const char *typed)
{
    const char *names[NAMES_LIMIT];
    size_t n_names = 0;
    for (size_t i = 0; cli_verbs[i] != NULL && n_names < NAMES_LIMIT; i++) {
        names[n_names++] = cli_verbs[i]->name;
        const char *const *aliases = cli_verbs[i]->aliases;
        for (size_t a = 0; aliases != NULL && aliases[a] != NULL && n_names < NAMES_LIMIT; a++) {
            names[n_names++] = aliases[a];
        }
    }
    return text_nearest(typed, names, n_names);
}

comrade_status unknown_verb(int n_words, char *const *words, comrade_error *error)
{
    char typed[NAME_SIZE];
    const char *nearest = NULL;
    bool is_family = is_verb_family(words[0]);
    for (int n = n_words < 2 ? n_words : 2; n > 0 && nearest == NULL; n--) {
        nearest = join(n, words, typed) ? nearest_name(typed) : NULL;
    }
    if (words[0][0] == '-') {
        /* The value behind '=' may be a secret. */
        return comrade_error_set(
            error, COMRADE_INVALID,
            "%.*s: options stand behind the verb, as in 'comrade list "
            "--store URL'; see 'comrade help'",
            (int)strcspn(words[0], "=") > 40 ? 40 : (int)strcspn(words[0], "="), words[0]);
    }
    if (nearest != NULL) {
        return comrade_error_set(error, COMRADE_INVALID, "unknown verb '%s'; did you mean '%s'?",
                                 typed, nearest);
    }
    if (is_family) {
        return name_family(words[0], error);
    }
    return comrade_error_set(error, COMRADE_INVALID, "unknown verb '%.60s'; see 'comrade help'",
                             words[0]);
}
