#include "cli/line_template.h"

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_SHOWN_BYTES = 64, PID_TEXT_SIZE = 24 };

/* --- Reading a template ----------------------------------------------------------------------- */

/* Takes a copy of text[0..len). False: out of memory. */
static bool add_part(struct line_template *line, const char *text, size_t len, bool is_key)
{
    char *copy = strndup(text, len);
    if (copy == NULL) {
        return false;
    }
    line->parts[line->n_parts++] = (struct line_part){copy, is_key};
    return true;
}

static comrade_status check_text(const char *text, comrade_error *error)
{
    if (text[0] == '\0') {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "the line is empty; it may be 'server {ip}:{port};'");
    }
    if (strlen(text) > LINE_TEMPLATE_MAX_BYTES) {
        return comrade_error_set(error, COMRADE_TOO_LARGE,
                                 "the line has %zu bytes; at most %d are allowed", strlen(text),
                                 LINE_TEMPLATE_MAX_BYTES);
    }
    for (const char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' && *c != '\t') {
            return comrade_error_set(error, COMRADE_INVALID,
                                     "the line has a line break or another control character in "
                                     "it; it must be one line");
        }
    }
    return COMRADE_OK;
}

/* `at` is behind an opening brace. Sets `len` to the key's length. */
static comrade_status find_key_end(const char *text, const char *at, size_t *len,
                                   comrade_error *error)
{
    size_t found = strcspn(at, "{}");
    int column = (int)(at - text);
    if (at[found] != '}') {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "the '{' at character %d of the line has no '}'; it is {KEY}, as "
                                 "in {ip}, and {{ for a brace",
                                 column);
    }
    if (found == 0) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "the {} at character %d of the line names no key; it is {KEY}, as "
                                 "in {ip}, and {{}} for the braces themselves",
                                 column);
    }
    *len = found;
    return COMRADE_OK;
}

/* Reads one part at `*at`, and moves behind it. */
static comrade_status read_part(struct line_template *line, const char *text, const char **at,
                                comrade_error *error)
{
    const char *start = *at;
    size_t len = strcspn(start, "{}");
    bool is_key = false;
    size_t n_behind = 0;
    if (len == 0 && start[0] == start[1]) { /* a doubled brace: one of them */
        len = 1;
        n_behind = 1;
    } else if (len == 0 && start[0] == '}') {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "the '}' at character %d of the line has no '{'; for a brace "
                                 "write }}",
                                 (int)(start - text) + 1);
    } else if (len == 0) {
        start++;
        comrade_status status = find_key_end(text, start, &len, error);
        if (status != COMRADE_OK) {
            return status;
        }
        is_key = true;
        n_behind = 1;
    }
    *at = start + len + n_behind;
    return add_part(line, start, len, is_key)
               ? COMRADE_OK
               : comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for the line");
}

comrade_status line_template_init(struct line_template *line, const char *text,
                                  comrade_error *error)
{
    struct line_template made = {.n_parts = 0};
    comrade_status status = check_text(text, error);
    const char *at = text;
    while (status == COMRADE_OK && *at != '\0') {
        status = made.n_parts == LINE_PARTS_MAX
                     ? comrade_error_set(error, COMRADE_TOO_LARGE,
                                         "the line has more than %d parts", LINE_PARTS_MAX)
                     : read_part(&made, text, &at, error);
    }
    if (status != COMRADE_OK) {
        line_template_finish(&made);
        return status;
    }
    *line = made;
    return COMRADE_OK;
}

void line_template_finish(struct line_template *line)
{
    for (size_t i = 0; i < line->n_parts; i++) {
        free(line->parts[i].text);
    }
    line->n_parts = 0;
}

/* --- A member's values ------------------------------------------------------------------------ */

/* In any locale, unlike isalnum(). */
static bool is_let_through(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("._:-@/+[]%,=", c) != NULL);
}

static comrade_status append_value(struct buffer *text, const char *key, const char *value,
                                   comrade_error *error)
{
    if (value[0] == '\0') {
        return comrade_error_set(error, COMRADE_NOT_FOUND, "its %.*s is empty", KEY_SHOWN_BYTES,
                                 key);
    }
    for (const char *c = value; *c != '\0'; c++) {
        if (!is_let_through(*c)) {
            return comrade_error_set(error, COMRADE_INVALID,
                                     "its %.*s is \"%.*s\", which could mean something to whoever "
                                     "reads the line",
                                     KEY_SHOWN_BYTES, key, KEY_SHOWN_BYTES, value);
        }
    }
    return buffer_append_text(text, value)
               ? COMRADE_OK
               : comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for the line");
}

/* The fields of a member that a key may name; NULL: the key is one of the metadata. */
static const char *field_of(const comrade_member_data *member, const char *key,
                            char pid[PID_TEXT_SIZE])
{
    const struct {
        const char *key;
        const char *value;
    } fields[] = {
        {"id", member->id},
        {"role", member->role},
        {"state", comrade_state_name(member->state)},
        {"host", member->host},
        {"pid", pid},
        {"version", member->version},
    };
    pid[0] = '\0'; /* while there is no process */
    if (member->pid != 0) {
        snprintf(pid, PID_TEXT_SIZE, "%" PRId64, member->pid);
    }
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (strcmp(fields[i].key, key) == 0) {
            return fields[i].value;
        }
    }
    return NULL;
}

static comrade_status append_metadata(struct buffer *text, const json_t *metadata, const char *key,
                                      comrade_error *error)
{
    const json_t *found = json_object_get(metadata, key);
    if (found == NULL || json_is_null(found)) {
        return comrade_error_set(error, COMRADE_NOT_FOUND, "its metadata has no \"%.*s\"",
                                 KEY_SHOWN_BYTES, key);
    }
    if (json_is_array(found) || json_is_object(found)) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "the \"%.*s\" of its metadata is no single value", KEY_SHOWN_BYTES,
                                 key);
    }
    char *value = json_to_plain_text(found);
    comrade_status status =
        value == NULL ? comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for the line")
                      : append_value(text, key, value, error);
    free(value);
    return status;
}

static comrade_status append_key(struct buffer *text, const comrade_member_data *member,
                                 const char *key, json_t **metadata, comrade_error *error)
{
    char pid[PID_TEXT_SIZE];
    const char *value = field_of(member, key, pid);
    if (value != NULL) {
        return append_value(text, key, value, error);
    }
    if (*metadata == NULL) {
        const char *json = member->metadata[0] == '\0' ? "{}" : member->metadata;
        comrade_error problem;
        *metadata = json_object_parse("its metadata", json, strlen(json), &problem);
        if (*metadata == NULL) {
            return comrade_error_set(error, problem.status, "%s", problem.message);
        }
    }
    return append_metadata(text, *metadata, key, error);
}

comrade_status line_template_render(const struct line_template *line,
                                    const comrade_member_data *member, struct buffer *text,
                                    comrade_error *error)
{
    struct buffer made;
    json_t *metadata = NULL; /* read when the first key asks for it */
    comrade_status status = COMRADE_OK;
    buffer_init(&made, text->limit);
    for (size_t i = 0; status == COMRADE_OK && i < line->n_parts; i++) {
        const struct line_part *part = &line->parts[i];
        if (part->is_key) {
            status = append_key(&made, member, part->text, &metadata, error);
        } else if (!buffer_append_text(&made, part->text)) {
            status = comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for the line");
        }
    }
    if (status == COMRADE_OK && !buffer_append(text, made.bytes, made.len)) {
        status = comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for the line");
    }
    json_decref(metadata);
    buffer_finish(&made);
    return status;
}
