/*
 * The verbs' texts for a terminal, wrapped at its width. Nothing is written here that a table
 * does not say: see help_tables.c, and the verbs themselves.
 */
#include "cli/help.h"

#include "cli/cli.h"

#include "base/text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { COLUMNS_MIN = 40, NAME_COLUMNS_MAX = 26 };

size_t help_columns(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col > HELP_COLUMNS_MAX ||
        size.ws_col == 0) {
        return HELP_COLUMNS_MAX;
    }
    return size.ws_col < COLUMNS_MIN ? COLUMNS_MIN : size.ws_col;
}

int help_print(struct cli *cli, struct buffer *text)
{
    int exit_code = EXIT_CODE_DONE;
    if (text->is_failed) {
        exit_code = cli_fail(cli, EXIT_CODE_FAILED, "writing the help: out of memory");
    } else {
        fputs(buffer_text(text), stdout);
    }
    buffer_finish(text);
    return exit_code;
}

/* --- Wrapping --------------------------------------------------------------------------------- */

/* Appends one paragraph behind what stands on the line already, `at` columns. */
static void wrap_paragraph(struct buffer *out, const char *text, size_t len, size_t at,
                           size_t indent, size_t columns)
{
    bool is_first = true;
    for (size_t i = 0; i < len;) {
        size_t start = i;
        while (i < len && !isspace((unsigned char)text[i])) {
            i++;
        }
        if (i > start) {
            char word[128];
            snprintf(word, sizeof word, "%.*s", (int)(i - start), text + start);
            size_t width = text_columns(word);
            if (!is_first && at + 1 + width > columns) {
                buffer_append_format(out, "\n%*s", (int)indent, "");
                at = indent;
            } else if (!is_first) {
                buffer_append_text(out, " ");
                at++;
            }
            buffer_append(out, text + start, i - start);
            at += width;
            is_first = false;
        }
        i++;
    }
    buffer_append_text(out, "\n");
}

/* Paragraphs are separated by empty lines; one that begins with a blank stays as it is. */
static void append_paragraphs(struct buffer *out, const char *text, size_t columns)
{
    while (*text != '\0') {
        const char *end = strstr(text, "\n\n");
        size_t len = end == NULL ? strlen(text) : (size_t)(end - text);
        if (text[0] == ' ') {
            buffer_append(out, text, len);
            buffer_append_text(out, "\n");
        } else {
            wrap_paragraph(out, text, len, 0, 0, columns);
        }
        text += len + (end == NULL ? 0 : 2);
        buffer_append_text(out, *text == '\0' ? "" : "\n");
    }
}

/* "  name    text", the texts below each other. */
static void append_row(struct buffer *out, const char *name, const char *text, size_t name_columns,
                       size_t columns)
{
    size_t indent = name_columns + 4;
    size_t width = text_columns(name);
    buffer_append_format(out, "  %s", name);
    if (width > name_columns) {
        buffer_append_format(out, "\n%*s", (int)indent, "");
    } else {
        buffer_append_format(out, "%*s", (int)(indent - 2 - width), "");
    }
    wrap_paragraph(out, text, strlen(text), indent, indent, columns);
}

static size_t wider(size_t columns, const char *name)
{
    size_t width = text_columns(name);
    return width > columns && width <= NAME_COLUMNS_MAX ? width : columns;
}

static void append_help_rows(struct buffer *out, const char *title, const struct help_row *rows,
                             size_t columns)
{
    size_t name_columns = 0;
    for (size_t i = 0; rows[i].name != NULL; i++) {
        name_columns = wider(name_columns, rows[i].name);
    }
    buffer_append_format(out, "\n%s:\n", title);
    for (size_t i = 0; rows[i].name != NULL; i++) {
        append_row(out, rows[i].name, rows[i].text, name_columns, columns);
    }
}

/* --- The overview ----------------------------------------------------------------------------- */

void help_overview(struct buffer *out, size_t columns)
{
    size_t name_columns = 0;
    append_paragraphs(out, help_introduction, columns);
    buffer_append_text(out, "\nUsage: comrade VERB [OPTION...] [OPERAND...]\n\nVerbs:\n");
    for (size_t i = 0; cli_verbs[i] != NULL; i++) {
        name_columns = wider(name_columns, cli_verbs[i]->name);
    }
    for (size_t i = 0; cli_verbs[i] != NULL; i++) {
        append_row(out, cli_verbs[i]->name, cli_verbs[i]->summary, name_columns, columns);
    }
    append_help_rows(out, "The store", help_store_defaults, columns);
    append_help_rows(out, "Exit codes", help_exit_codes, columns);
    buffer_append_text(out, "\n");
    append_paragraphs(out, "'comrade VERB --help' shows a verb's options and examples.", columns);
}

/* --- A verb ----------------------------------------------------------------------------------- */

/* The name and the text of a row, each in a buffer of its own. */
static void append_option(struct buffer *out, const struct option_row *row, size_t name_columns,
                          size_t columns)
{
    struct buffer name, text;
    buffer_init(&name, HELP_LIMIT_BYTES);
    buffer_init(&text, HELP_LIMIT_BYTES);
    help_option_name(&name, row);
    help_option_text(&text, row);
    out->is_failed = out->is_failed || name.is_failed || text.is_failed;
    append_row(out, buffer_text(&name), buffer_text(&text), name_columns, columns);
    buffer_finish(&name);
    buffer_finish(&text);
}

static size_t option_columns(const struct verb *verb)
{
    size_t columns = 0;
    const struct option_row *row;
    for (size_t i = 0; (row = verb_row(verb, i)) != NULL; i++) {
        struct buffer name;
        buffer_init(&name, HELP_LIMIT_BYTES);
        help_option_name(&name, row);
        columns = wider(columns, buffer_text(&name));
        buffer_finish(&name);
    }
    return columns;
}

static void append_options(struct buffer *out, const struct verb *verb, size_t columns)
{
    size_t name_columns = option_columns(verb);
    for (size_t g = 0; verb->groups != NULL && verb->groups[g] != NULL; g++) {
        buffer_append_format(out, "\n%s:\n", help_group_title(verb->groups[g]));
        for (const struct option_row *row = verb->groups[g]->rows; row->name != NULL; row++) {
            append_option(out, row, name_columns, columns);
        }
    }
    size_t n_rows = 0;
    while (verb_row(verb, n_rows + 1) != NULL) {
        n_rows++;
    }
    buffer_append_text(out, n_rows == 0 ? "\nOptions:\n" : "\n");
    append_option(out, verb_row(verb, n_rows), name_columns, columns);
}

static void append_examples(struct buffer *out, const struct verb *verb, size_t columns)
{
    for (size_t i = 0; verb->examples != NULL && verb->examples[i] != NULL; i += 2) {
        buffer_append_text(out, i == 0 ? "\nExamples:\n" : "");
        buffer_append_format(out, "  %s\n      ", verb->examples[i]);
        wrap_paragraph(out, verb->examples[i + 1], strlen(verb->examples[i + 1]), 6, 6, columns);
    }
}

void help_verb(struct buffer *out, const struct verb *verb, size_t columns)
{
    buffer_append_text(out, "Usage: ");
    help_usage(out, verb);
    buffer_append_text(out, "\n");
    for (size_t i = 0; verb->aliases != NULL && verb->aliases[i] != NULL; i++) {
        buffer_append_format(out, "%s%s", i == 0 ? "Also called: " : ", ", verb->aliases[i]);
        buffer_append_text(out, verb->aliases[i + 1] == NULL ? "\n" : "");
    }
    buffer_append_text(out, "\n");
    append_paragraphs(out, verb->summary, columns);
    if (verb->description != NULL) {
        buffer_append_text(out, "\n");
        append_paragraphs(out, verb->description, columns);
    }
    append_options(out, verb, columns);
    append_examples(out, verb, columns);
}
