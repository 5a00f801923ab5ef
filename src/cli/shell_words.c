/* A word is never longer than what it was read from, so all of them fit into one copy. */
#include "cli/shell_words.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Reads one word from *line into *out, and moves both behind it. NULL, or what is wrong. */
static const char *read_word(const char **line, char **out)
{
    const char *c = *line;
    char quote = '\0';
    for (; *c != '\0' && (quote != '\0' || !is_blank(*c)); c++) {
        if (*c == quote) {
            quote = '\0';
        } else if (quote == '\0' && (*c == '"' || *c == '\'')) {
            quote = *c;
        } else if (*c == '\\' && quote != '\'') {
            c++;
            if (*c == '\0' || *c == '\n') {
                return "nothing follows the last \\";
            }
            *(*out)++ = *c;
        } else {
            *(*out)++ = *c;
        }
    }
    *(*out)++ = '\0';
    *line = c;
    return quote == '"' ? "a \" is not closed" : quote == '\'' ? "a ' is not closed" : NULL;
}

comrade_status shell_words_split(const char *line, struct shell_words *words, comrade_error *error)
{
    struct shell_words made = {.n_words = 0};
    char *out = made.bytes = malloc(strlen(line) + 1);
    if (out == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "reading a line: out of memory");
    }
    const char *wrong = NULL;
    while (wrong == NULL) {
        while (is_blank(*line)) {
            line++;
        }
        if (*line == '\0' || *line == '#') {
            break;
        }
        if (made.n_words == SHELL_WORDS_LIMIT) {
            wrong = "too many words";
            break;
        }
        made.words[made.n_words++] = out;
        wrong = read_word(&line, &out);
    }
    if (wrong != NULL) {
        free(made.bytes);
        return comrade_error_set(error, COMRADE_INVALID, "reading the line: %s", wrong);
    }
    *words = made;
    return COMRADE_OK;
}

void shell_words_finish(struct shell_words *words)
{
    free(words->bytes);
    words->bytes = NULL;
    words->n_words = 0;
}
