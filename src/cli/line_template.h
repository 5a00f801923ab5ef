/*
 * A line of a configuration file, with a member's values put in: 'server {ip}:{port};'.
 *
 * The template is the owner's, who may write what he likes in it. The values are the store's, and
 * must not get out of the place that the template gives them. How to quote them only the reader of
 * the file knows; so letters, digits and . _ : - @ / + [ ] % , = are let through, which mean
 * themselves to nginx, HAProxy and most others, and a value with anything else is refused.
 */
#ifndef CLI_LINE_TEMPLATE_H
#define CLI_LINE_TEMPLATE_H

#include "base/buffer.h"

#include <comrade.h>

enum { LINE_TEMPLATE_MAX_BYTES = 4096, LINE_PARTS_MAX = 128 };

struct line_part {
    char *text; /* owned: what stands there, or the key whose value does */
    bool is_key;
};

struct line_template {
    struct line_part parts[LINE_PARTS_MAX];
    size_t n_parts;
};

/*
 * Reads a template. {KEY} is a value: id, role, state, host, pid, version, or else a key of the
 * metadata, as in --where; {{ and }} are braces. On failure `line` is untouched.
 * Errors: INVALID, TOO_LARGE, NO_MEMORY. line_template_finish() is the caller's.
 */
comrade_status line_template_init(struct line_template *line, const char *text,
                                  comrade_error *error);
void line_template_finish(struct line_template *line);

/*
 * Appends the member's line, without an end of line. On failure `text` is as it was, and the error
 * says what is wrong with the member: "its metadata has no \"ip\"".
 * Errors: NOT_FOUND (no such value), INVALID (one that is not let through), NO_MEMORY.
 */
comrade_status line_template_render(const struct line_template *line,
                                    const comrade_member_data *member, struct buffer *text,
                                    comrade_error *error);

#endif
