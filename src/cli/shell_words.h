/* The words of a line, as a shell would read them. */
#ifndef CLI_SHELL_WORDS_H
#define CLI_SHELL_WORDS_H

#include <comrade.h>

enum { SHELL_WORDS_LIMIT = 256, SHELL_LINE_LIMIT_BYTES = 64 * 1024 };

struct shell_words {
    char *words[SHELL_WORDS_LIMIT + 1]; /* NULL-terminated */
    int n_words;
    char *bytes; /* owned: what the words point into */
};

/*
 * Splits at blanks. "…" and '…' keep blanks, \ takes what follows as it is (not inside '…'), and a
 * word that begins with # ends the line. Nothing is expanded. Errors: INVALID (a quote that is not
 * closed, nothing behind \, too many words), NO_MEMORY.
 */
comrade_status shell_words_split(const char *line, struct shell_words *words, comrade_error *error);
void shell_words_finish(struct shell_words *words);

#endif
