/*
 * Text that comes from outside: what is valid UTF-8, what may reach a terminal, and which known
 * word a mistyped one was probably meant to be.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/buffer.h"

#include <stdint.h>

/* Bytes of the UTF-8 character at `text` (1 to 4), 0 if it is not one. Follows RFC 3629. */
size_t text_utf8_len(const char *text, size_t n_bytes);
bool text_is_utf8(const char *text, size_t n_bytes);
/* C0, DEL, C1 and the bidirectional overrides: what must not reach a terminal as it is. */
bool text_has_control(const char *text);

/*
 * Appends `text` so that it can be shown on one line of a terminal: control characters and bytes
 * that are no UTF-8 become \n, \t, \xHH or \u{HHHH}, and a backslash is doubled.
 */
bool text_append_escaped(struct buffer *buf, const char *text, size_t n_bytes);

/* Columns that the text takes on a terminal (wcwidth, without needing a locale for ASCII). */
size_t text_columns(const char *text);

/*
 * The word nearest to `word` by Damerau-Levenshtein distance, or NULL if none is near enough to be
 * worth proposing (a third of its length, at most 3). Borrowed from `words`.
 */
const char *text_nearest(const char *word, const char *const *words, size_t n_words);

/*
 * Reads the whole of `text` as a decimal number in [low, high]. Unlike atoi: no blanks, no sign but
 * '-', nothing behind it, and no overflow. `number` is untouched on failure.
 */
bool text_to_number(const char *text, int64_t low, int64_t high, int64_t *number);

#endif
