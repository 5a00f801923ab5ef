/*
 * 100,000 rows must print as fast as the store reads them: the cells are slices of one buffer, and
 * ordinary ASCII takes a path that looks at each byte once.
 */
#include "cli/table.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TEXT_LIMIT = 512 * 1024 * 1024,
    CELL_LIMIT = 16 * 1000 * 1000,
    CELL_BYTES_LIMIT = 1024, /* as given; escaped it may be four times as long */
    GAP = 2,
};

void table_init(struct table *table, const struct table_column *columns)
{
    *table = (struct table){.columns = columns};
    buffer_init(&table->text, TEXT_LIMIT);
    while (table->n_columns < TABLE_COLUMN_LIMIT && columns[table->n_columns].title != NULL) {
        table->widths[table->n_columns] = strlen(columns[table->n_columns].title);
        table->n_columns++;
    }
}

void table_finish(struct table *table)
{
    buffer_finish(&table->text);
    free(table->cells);
    *table = (struct table){0};
}

static bool reserve_cell(struct table *table)
{
    if (table->n_cells < table->capacity) {
        return true;
    }
    size_t capacity = table->capacity == 0 ? 1024 : table->capacity * 2;
    if (capacity > CELL_LIMIT) {
        return false;
    }
    struct table_cell *cells = realloc(table->cells, capacity * sizeof *cells);
    if (cells == NULL) {
        return false;
    }
    table->cells = cells;
    table->capacity = capacity;
    return true;
}

/* How many bytes at the beginning are shown as they are, one column each. */
static size_t plain_len(const char *text)
{
    size_t len = 0;
    while (text[len] >= ' ' && text[len] < 0x7f && text[len] != '\\') {
        len++;
    }
    return len;
}

/* The longest beginning of `text` that fits and does not end inside a character. */
static size_t cut(const char *text)
{
    size_t len = strnlen(text, CELL_BYTES_LIMIT + 1);
    if (len <= CELL_BYTES_LIMIT) {
        return len;
    }
    len = CELL_BYTES_LIMIT;
    for (int i = 0; i < 3 && ((unsigned char)text[len] & 0xc0) == 0x80; i++) {
        len--;
    }
    return len;
}

void table_add(struct table *table, enum table_style style, const char *text)
{
    size_t offset = table->text.len;
    size_t len = cut(text);
    bool is_plain = plain_len(text) >= len;
    if (!reserve_cell(table) ||
        !(is_plain ? buffer_append(&table->text, text, len)
                   : text_append_escaped(&table->text, text, len)) ||
        !buffer_append(&table->text, "", 1)) {
        table->is_failed = true;
        return;
    }
    size_t columns = is_plain ? len : text_columns(buffer_text(&table->text) + offset);
    columns = columns > 4095 ? 4095 : columns;
    size_t i_column = table->n_cells % table->n_columns;
    if (columns > table->widths[i_column]) {
        table->widths[i_column] = columns;
    }
    table->cells[table->n_cells++] = (struct table_cell){
        .offset = (uint32_t)offset,
        .len = (uint16_t)(table->text.len - offset - 1),
        .columns = (uint16_t)(columns & 0xfff),
        .style = (uint16_t)style & 0xf,
    };
}

/* --- Printing --------------------------------------------------------------------------------- */

bool terminal_has_colours(FILE *out)
{
    const char *no_colour = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");
    return isatty(fileno(out)) == 1 && (no_colour == NULL || no_colour[0] == '\0') &&
           terminal != NULL && strcmp(terminal, "dumb") != 0;
}

const char *terminal_style(enum table_style style, bool has_colours)
{
    if (!has_colours) {
        return "";
    }
    switch (style) {
    case TABLE_PLAIN:
        return "";
    case TABLE_DIM:
        return "\033[2m";
    case TABLE_WARN:
        return "\033[33m";
    case TABLE_BAD:
        return "\033[31m";
    case TABLE_BOLD:
        return "\033[1m";
    }
    return "";
}

const char *terminal_plain(bool has_colours)
{
    return has_colours ? "\033[0m" : "";
}

static void print_blanks(FILE *out, size_t n_blanks)
{
    static const char blanks[] = "                                ";
    while (n_blanks > 0) {
        size_t part = n_blanks < sizeof blanks - 1 ? n_blanks : sizeof blanks - 1;
        fwrite_unlocked(blanks, 1, part, out);
        n_blanks -= part;
    }
}

static void print_cell(const struct table *table, FILE *out, size_t i_column, const char *text,
                       size_t len, size_t columns, const char *style, const char *plain)
{
    size_t padding = table->widths[i_column] - columns;
    bool is_right = table->columns[i_column].is_right_aligned;
    bool is_last = i_column + 1 == table->n_columns;
    if (is_right) {
        print_blanks(out, padding);
    }
    if (style[0] != '\0') {
        fputs_unlocked(style, out);
    }
    fwrite_unlocked(text, 1, len, out);
    if (style[0] != '\0') {
        fputs_unlocked(plain, out);
    }
    if (is_last) {
        putc_unlocked('\n', out);
    } else {
        print_blanks(out, GAP + (is_right ? 0 : padding));
    }
}

bool table_print(const struct table *table, FILE *out)
{
    if (table->is_failed || table->n_columns == 0) {
        return !table->is_failed;
    }
    bool has_colours = terminal_has_colours(out);
    const char *plain = terminal_plain(has_colours);
    for (size_t i = 0; i < table->n_columns; i++) {
        size_t len = strlen(table->columns[i].title);
        print_cell(table, out, i, table->columns[i].title, len, len,
                   terminal_style(TABLE_BOLD, has_colours), plain);
    }
    for (size_t i = 0; i < table->n_cells; i++) {
        const struct table_cell *cell = &table->cells[i];
        print_cell(table, out, i % table->n_columns, table->text.bytes + cell->offset, cell->len,
                   cell->columns, terminal_style((enum table_style)cell->style, has_colours),
                   plain);
    }
    return true;
}
