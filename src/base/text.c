#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

enum { WORD_MAX = 63 };

size_t text_utf8_len(const char *text, size_t n_bytes)
{
    const unsigned char *b = (const unsigned char *)text;
    if (n_bytes == 0) {
        return 0;
    }
    if (b[0] < 0x80) {
        return 1;
    }
    size_t len = b[0] >= 0xc2 && b[0] <= 0xdf   ? 2
                 : (b[0] & 0xf0) == 0xe0        ? 3
                 : b[0] >= 0xf0 && b[0] <= 0xf4 ? 4
                                                : 0;
    if (len == 0 || len > n_bytes) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((b[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    /* Overlong forms, surrogates, and what lies past U+10FFFF, all told by the second byte. */
    bool is_wrong = (b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xed && b[1] > 0x9f) ||
                    (b[0] == 0xf0 && b[1] < 0x90) || (b[0] == 0xf4 && b[1] > 0x8f);
    return is_wrong ? 0 : len;
}

bool text_is_utf8(const char *text, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes;) {
        size_t len = text_utf8_len(text + i, n_bytes - i);
        if (len == 0) {
            return false;
        }
        i += len;
    }
    return true;
}

static uint32_t decode(const char *text, size_t len)
{
    static const unsigned char first_mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t rune = (unsigned char)text[0] & first_mask[len];
    for (size_t i = 1; i < len; i++) {
        rune = rune << 6 | ((unsigned char)text[i] & 0x3f);
    }
    return rune;
}

static bool is_control(uint32_t rune)
{
    return rune < 0x20 || (rune >= 0x7f && rune < 0xa0) || (rune >= 0x200e && rune <= 0x200f) ||
           (rune >= 0x2028 && rune <= 0x202e) || (rune >= 0x2066 && rune <= 0x2069) ||
           rune == 0xfeff;
}

bool text_has_control(const char *text)
{
    size_t n_bytes = strlen(text);
    for (size_t i = 0; i < n_bytes;) {
        size_t len = text_utf8_len(text + i, n_bytes - i);
        if (len == 0 || is_control(decode(text + i, len))) {
            return true;
        }
        i += len;
    }
    return false;
}

static bool append_one_escaped(struct buffer *buf, const char *text, size_t len)
{
    if (len == 0) {
        return buffer_append_format(buf, "\\x%02x", (unsigned char)text[0]);
    }
    uint32_t rune = decode(text, len);
    switch (rune) {
    case '\n':
        return buffer_append_text(buf, "\\n");
    case '\r':
        return buffer_append_text(buf, "\\r");
    case '\t':
        return buffer_append_text(buf, "\\t");
    case '\\':
        return buffer_append_text(buf, "\\\\");
    }
    if (!is_control(rune)) {
        return buffer_append(buf, text, len);
    }
    return rune < 0x80 ? buffer_append_format(buf, "\\x%02x", (unsigned)rune)
                       : buffer_append_format(buf, "\\u{%04x}", (unsigned)rune);
}

bool text_append_escaped(struct buffer *buf, const char *text, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes;) {
        size_t len = text_utf8_len(text + i, n_bytes - i);
        if (!append_one_escaped(buf, text + i, len)) {
            return false;
        }
        i += len == 0 ? 1 : len;
    }
    return true;
}

size_t text_columns(const char *text)
{
    size_t columns = 0;
    size_t n_bytes = strlen(text);
    for (size_t i = 0; i < n_bytes;) {
        size_t len = text_utf8_len(text + i, n_bytes - i);
        if (len <= 1) {
            columns++;
            i++;
            continue;
        }
        int width = wcwidth((wchar_t)decode(text + i, len));
        columns += width < 0 ? 1 : (size_t)width;
        i += len;
    }
    return columns;
}

static size_t minimum(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment: insert, delete, replace, and swap of neighbours cost one each. */
static size_t distance(const char *a, const char *b)
{
    size_t a_len = strlen(a);
    size_t b_len = strlen(b);
    size_t rows[3][WORD_MAX + 1];
    for (size_t j = 0; j <= b_len; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        size_t *now = rows[i % 3];
        const size_t *above = rows[(i - 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t replace = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            now[j] = minimum(replace, 1 + minimum(above[j], now[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                now[j] = minimum(now[j], 1 + rows[(i - 2) % 3][j - 2]);
            }
        }
    }
    return rows[a_len % 3][b_len];
}

const char *text_nearest(const char *word, const char *const *words, size_t n_words)
{
    size_t len = strlen(word);
    if (len == 0 || len > WORD_MAX) {
        return NULL;
    }
    size_t near_enough = minimum(3, 1 + len / 3);
    const char *nearest = NULL;
    for (size_t i = 0; i < n_words; i++) {
        if (strlen(words[i]) > WORD_MAX) {
            continue;
        }
        size_t far = distance(word, words[i]);
        if (far <= near_enough && far < strlen(words[i])) {
            nearest = words[i];
            near_enough = far == 0 ? 0 : far - 1;
        }
    }
    return nearest;
}

bool text_to_number(const char *text, int64_t low, int64_t high, int64_t *number)
{
    const char *digits = text[0] == '-' ? text + 1 : text;
    if (digits[0] == '\0' || strspn(digits, "0123456789") != strlen(digits)) {
        return false;
    }
    errno = 0;
    long long value = strtoll(text, NULL, 10);
    if (errno != 0 || value < low || value > high) {
        return false;
    }
    *number = value;
    return true;
}
