/*
 * The reference in its two written forms: Markdown for docs/cli.md, and man pages. Both walk the
 * same tables; only how a form marks things differs.
 */
#include "cli/cli.h"
#include "cli/help.h"

#include <stdio.h>
#include <string.h>

/* --- Markdown --------------------------------------------------------------------------------- */

/* In a table's cell a bar would end it, and a newline the row. */
static void append_cell(struct buffer *out, const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '|') {
            buffer_append_text(out, "\\|");
        } else {
            buffer_append(out, *c == '\n' ? " " : c, 1);
        }
    }
}

static void markdown_rows(struct buffer *out, const char *title, const char *head,
                          const struct help_row *rows)
{
    buffer_append_format(out, "\n## %s\n\n| %s | |\n|---|---|\n", title, head);
    for (size_t i = 0; rows[i].name != NULL; i++) {
        buffer_append_text(out, "| ");
        append_cell(out, rows[i].name);
        buffer_append_text(out, " | ");
        append_cell(out, rows[i].text);
        buffer_append_text(out, " |\n");
    }
}

static void markdown_option(struct buffer *out, const struct option_row *row)
{
    struct buffer name, text;
    buffer_init(&name, HELP_LIMIT_BYTES);
    buffer_init(&text, HELP_LIMIT_BYTES);
    help_option_name(&name, row);
    help_option_text(&text, row);
    buffer_append_text(out, "| `");
    append_cell(out, buffer_text(&name));
    buffer_append_text(out, "` | ");
    append_cell(out, buffer_text(&text));
    buffer_append_text(out, " |\n");
    out->is_failed = out->is_failed || name.is_failed || text.is_failed;
    buffer_finish(&name);
    buffer_finish(&text);
}

static void markdown_options(struct buffer *out, const struct verb *verb)
{
    for (size_t g = 0; verb->groups != NULL && verb->groups[g] != NULL; g++) {
        if (verb->groups[g] == &store_options) {
            buffer_append_text(out, "\nAnd the [store options](#store-options).\n");
            continue;
        }
        buffer_append_format(out, "\n| %s | |\n|---|---|\n", help_group_title(verb->groups[g]));
        for (const struct option_row *row = verb->groups[g]->rows; row->name != NULL; row++) {
            markdown_option(out, row);
        }
    }
}

static void markdown_verb(struct buffer *out, const struct verb *verb)
{
    buffer_append_format(out, "\n## comrade %s\n\n", verb->name);
    buffer_append_format(out, "%s.\n\n    ", verb->summary);
    help_usage(out, verb);
    buffer_append_text(out, "\n");
    for (size_t i = 0; verb->aliases != NULL && verb->aliases[i] != NULL; i++) {
        buffer_append_format(out, "%s`%s`", i == 0 ? "\nAlso called: " : ", ", verb->aliases[i]);
        buffer_append_text(out, verb->aliases[i + 1] == NULL ? ".\n" : "");
    }
    if (verb->description != NULL) {
        buffer_append_format(out, "\n%s\n", verb->description);
    }
    markdown_options(out, verb);
    for (size_t i = 0; verb->examples != NULL && verb->examples[i] != NULL; i += 2) {
        buffer_append_text(out, i == 0 ? "\nExamples:\n" : "");
        buffer_append_format(out, "\n    # %s\n    %s\n", verb->examples[i + 1], verb->examples[i]);
    }
}

void help_markdown(struct buffer *out)
{
    buffer_append_format(out,
                         "# comrade: the command line\n\n"
                         "<!-- Made by `comrade help --markdown`. Change the verbs' tables "
                         "instead. -->\n\n%s\n\n    comrade VERB [OPTION...] [OPERAND...]\n\n"
                         "| verb | |\n|---|---|\n",
                         help_introduction);
    for (size_t i = 0; cli_verbs[i] != NULL; i++) {
        char anchor[64];
        snprintf(anchor, sizeof anchor, "%s", cli_verbs[i]->name);
        for (char *c = anchor; *c != '\0'; c++) {
            *c = *c == ' ' ? '-' : *c;
        }
        buffer_append_format(out, "| [`%s`](#comrade-%s) | %s |\n", cli_verbs[i]->name, anchor,
                             cli_verbs[i]->summary);
    }
    for (size_t i = 0; cli_verbs[i] != NULL; i++) {
        markdown_verb(out, cli_verbs[i]);
    }
    buffer_append_text(out, "\n## Store options\n\n| option | |\n|---|---|\n");
    for (const struct option_row *row = store_options.rows; row->name != NULL; row++) {
        markdown_option(out, row);
    }
    markdown_rows(out, "Which store", "named by", help_store_defaults);
    markdown_rows(out, "Exit codes", "code", help_exit_codes);
    markdown_rows(out, "Environment", "variable", help_variables);
}

/* --- Man pages -------------------------------------------------------------------------------- */

/* A leading dot would be a request, a backslash an escape, and "-" would become a hyphen. */
static void append_roff(struct buffer *out, const char *text)
{
    bool is_line_start = true;
    for (const char *c = text; *c != '\0'; c++) {
        if (is_line_start && (*c == '.' || *c == '\'')) {
            buffer_append_text(out, "\\&");
        }
        is_line_start = *c == '\n';
        if (*c == '\\') {
            buffer_append_text(out, "\\e");
        } else if (*c == '-') {
            buffer_append_text(out, "\\-");
        } else if (*c == '\'') {
            buffer_append_text(out, "\\(aq");
        } else if (*c == '\n' && c[1] == '\n') {
            buffer_append_text(out, "\n.PP\n");
            c++;
            is_line_start = true;
        } else {
            buffer_append(out, c, 1);
        }
    }
}

/* A paragraph under a hanging head. */
static void roff_item(struct buffer *out, const char *head, const char *text)
{
    buffer_append_text(out, ".TP\n.B ");
    append_roff(out, head);
    buffer_append_text(out, "\n");
    append_roff(out, text);
    buffer_append_text(out, "\n");
}

static void roff_rows(struct buffer *out, const char *title, const struct help_row *rows)
{
    buffer_append_format(out, ".SH %s\n", title);
    for (size_t i = 0; rows[i].name != NULL; i++) {
        roff_item(out, rows[i].name, rows[i].text);
    }
}

static void roff_option(struct buffer *out, const struct option_row *row)
{
    struct buffer name, text;
    buffer_init(&name, HELP_LIMIT_BYTES);
    buffer_init(&text, HELP_LIMIT_BYTES);
    help_option_name(&name, row);
    help_option_text(&text, row);
    roff_item(out, buffer_text(&name), buffer_text(&text));
    out->is_failed = out->is_failed || name.is_failed || text.is_failed;
    buffer_finish(&name);
    buffer_finish(&text);
}

/* "comrade-role-set": as the file is called. */
static void roff_page_name(const struct verb *verb, char name[64])
{
    snprintf(name, 64, verb == NULL ? "comrade" : "comrade-%s", verb == NULL ? "" : verb->name);
    for (char *c = name; *c != '\0'; c++) {
        *c = *c == ' ' ? '-' : *c;
    }
}

static void roff_head(struct buffer *out, const struct verb *verb, const char *summary)
{
    char name[64];
    roff_page_name(verb, name);
    buffer_append_format(out, ".TH %s 1 \"\" \"Comrade %s\"\n.SH NAME\n", name, comrade_version());
    append_roff(out, name);
    buffer_append_text(out, " \\- ");
    append_roff(out, summary);
    buffer_append_text(out, "\n.SH SYNOPSIS\n.B ");
}

static void roff_verb(struct buffer *out, const struct verb *verb)
{
    struct buffer usage;
    buffer_init(&usage, HELP_LIMIT_BYTES);
    help_usage(&usage, verb);
    roff_head(out, verb, verb->summary);
    append_roff(out, buffer_text(&usage));
    buffer_append_text(out, "\n.SH DESCRIPTION\n");
    buffer_finish(&usage);
    append_roff(out, verb->description != NULL ? verb->description : verb->summary);
    buffer_append_text(out, verb->description != NULL ? "\n" : ".\n");
    for (size_t g = 0; verb->groups != NULL && verb->groups[g] != NULL; g++) {
        buffer_append_format(out, ".SH \"%s\"\n", help_group_title(verb->groups[g]));
        for (const struct option_row *row = verb->groups[g]->rows; row->name != NULL; row++) {
            roff_option(out, row);
        }
    }
    for (size_t i = 0; verb->examples != NULL && verb->examples[i] != NULL; i += 2) {
        buffer_append_text(out, i == 0 ? ".SH EXAMPLES\n" : "");
        roff_item(out, verb->examples[i], verb->examples[i + 1]);
    }
    buffer_append_text(out, ".SH \"SEE ALSO\"\n.BR comrade (1),\nfor the exit codes, the "
                            "environment and the store\n");
}

void help_man(struct buffer *out, const struct verb *verb)
{
    if (verb != NULL) {
        roff_verb(out, verb);
        return;
    }
    roff_head(out, NULL, "services find each other and leave gracefully, through a database");
    append_roff(out, "comrade VERB [OPTION...] [OPERAND...]");
    buffer_append_text(out, "\n.SH DESCRIPTION\n");
    append_roff(out, help_introduction);
    buffer_append_text(out, "\n.SH VERBS\n");
    for (size_t i = 0; cli_verbs[i] != NULL; i++) {
        roff_item(out, cli_verbs[i]->name, cli_verbs[i]->summary);
    }
    roff_rows(out, "\"WHICH STORE\"", help_store_defaults);
    roff_rows(out, "\"EXIT STATUS\"", help_exit_codes);
    roff_rows(out, "ENVIRONMENT", help_variables);
}
