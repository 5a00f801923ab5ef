/*
 * Texts about the verbs, all made from the same tables: for a terminal, and the reference as
 * Markdown and as man pages. All append to `out`, which remembers a failure.
 */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "cli/options.h"

#include "base/buffer.h"

enum { HELP_COLUMNS_MAX = 80, HELP_LIMIT_BYTES = 1024 * 1024 };

/* The width of the terminal that stdout is, at least 40; HELP_COLUMNS_MAX if it is none. */
size_t help_columns(void);
/* What the program is, and a line a verb. */
void help_overview(struct buffer *out, size_t columns);
/* Usage, description, options, examples. */
void help_verb(struct buffer *out, const struct verb *verb, size_t columns);

struct cli;
/* Prints what one of these made, and finishes the buffer. Returns the exit code. */
int help_print(struct cli *cli, struct buffer *text);

/* The whole reference: docs/cli.md. */
void help_markdown(struct buffer *out);
/* The page comrade-VERB(1), or comrade(1) for NULL. */
void help_man(struct buffer *out, const struct verb *verb);

/* --- Shared by the forms -----------------------------------------------------------------------
 */

/* To add one: a row. Ends with a row whose name is NULL. */
struct help_row {
    const char *name;
    const char *text;
};
extern const struct help_row help_exit_codes[], help_variables[], help_store_defaults[];
extern const char *const help_introduction; /* a paragraph */

const char *help_group_title(const struct option_group *group); /* "Options" if it has none */
/* "--store URL", "-s, --store URL". */
void help_option_name(struct buffer *out, const struct option_row *row);
/* "What it does. May be repeated. Default: 10s." Without its variable. */
void help_option_text(struct buffer *out, const struct option_row *row);
/* "comrade kill [OPTION...] ID..." */
void help_usage(struct buffer *out, const struct verb *verb);

#endif
