/*
 * A table for people: columns as wide as their widest cell, everything from outside escaped,
 * colours only where a terminal shows them and nobody said NO_COLOR. Cells are kept until the table
 * is printed, because the widths are known only then.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include "base/buffer.h"

#include <stdint.h>
#include <stdio.h>

enum table_style { TABLE_PLAIN, TABLE_DIM, TABLE_WARN, TABLE_BAD, TABLE_BOLD };

/* To add a column: a row here, and its cell. */
struct table_column {
    const char *title; /* NULL ends the columns */
    bool is_right_aligned;
};

struct table_cell {
    uint32_t offset; /* into text */
    uint16_t len;
    uint16_t columns : 12; /* on a terminal */
    uint16_t style : 4;
};

enum { TABLE_COLUMN_LIMIT = 16 };

struct table {
    const struct table_column *columns;
    size_t n_columns;
    size_t widths[TABLE_COLUMN_LIMIT];
    struct buffer text;
    struct table_cell *cells; /* row by row */
    size_t n_cells;
    size_t capacity;
    bool is_failed; /* a cell could not be kept */
};

/* `columns` must outlive the table; at most TABLE_COLUMN_LIMIT. */
void table_init(struct table *table, const struct table_column *columns);
void table_finish(struct table *table);
/* The next cell, from left to right, row by row. Of a very long text only the beginning is kept. */
void table_add(struct table *table, enum table_style style, const char *text);
/* False: out of memory, nothing was printed. */
bool table_print(const struct table *table, FILE *out);

/* Is it a terminal that shows colours, and does its user want them? */
bool terminal_has_colours(FILE *out);
/* What switches to the style, and what ends it; "" where there are no colours. */
const char *terminal_style(enum table_style style, bool has_colours);
const char *terminal_plain(bool has_colours);

#endif
