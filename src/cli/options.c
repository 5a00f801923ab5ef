/*
 * Parses the words behind a verb. Three passes fill one list of values: the command line, then the
 * environment for rows without a value, then the defaults for rows that still have none. Which one
 * wins is thereby the order of the passes and nothing else.
 */
#include "cli/option_value.h"

#include "base/error.h"
#include "base/text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define VALUES_LIMIT 4096
#define NAME_SHOWN_BYTES 60

/* What a call of options_parse() has made so far. */
struct parse {
    struct options made;
    char **argv;
    int argc;
    int next; /* the word that is read next */
    size_t values_capacity;
    comrade_error *error;
};

static comrade_status out_of_memory(struct parse *parse)
{
    return comrade_error_set(parse->error, COMRADE_NO_MEMORY, "reading the options: out of memory");
}

/* --- Values ----------------------------------------------------------------------------------- */

static struct option_value *value_of(struct parse *parse, const struct option_row *row)
{
    for (size_t i = 0; i < parse->made.n_values; i++) {
        if (parse->made.values[i].row == row) {
            return &parse->made.values[i];
        }
    }
    return NULL;
}

static bool reserve_value(struct parse *parse)
{
    if (parse->made.n_values < parse->values_capacity) {
        return true;
    }
    size_t capacity = parse->values_capacity == 0 ? 16 : 2 * parse->values_capacity;
    struct option_value *values =
        reallocarray(parse->made.values, capacity, sizeof parse->made.values[0]);
    if (values == NULL) {
        return false;
    }
    parse->made.values = values;
    parse->values_capacity = capacity;
    return true;
}

/* Of an option that is not repeatable the last value counts, so that a script can append one. */
static comrade_status add_value(struct parse *parse, const struct option_row *row, const char *text,
                                const char *from)
{
    struct option_value value;
    if (parse->made.n_values >= VALUES_LIMIT) {
        return comrade_error_set(parse->error, COMRADE_INVALID,
                                 "more than %d options were given: too many", VALUES_LIMIT);
    }
    if (!reserve_value(parse)) {
        return out_of_memory(parse);
    }
    comrade_status status = option_value_read(row, text, from, &value, parse->error);
    if (status != COMRADE_OK) {
        return status;
    }
    struct option_value *old = row->is_repeatable ? NULL : value_of(parse, row);
    if (old != NULL) {
        free(old->text);
        *old = value;
    } else {
        parse->made.values[parse->made.n_values++] = value;
    }
    return COMRADE_OK;
}

/* --- Rows ------------------------------------------------------------------------------------- */

static const struct option_row *row_by_letter(const struct verb *verb, char letter)
{
    const struct option_row *row;
    for (size_t i = 0; (row = verb_row(verb, i)) != NULL; i++) {
        if (row->letter == letter) {
            return row;
        }
    }
    return NULL;
}

static const struct option_row *row_by_name(const struct verb *verb, const char *name, size_t len)
{
    const struct option_row *row;
    for (size_t i = 0; (row = verb_row(verb, i)) != NULL; i++) {
        if (strlen(row->name) == len && memcmp(row->name, name, len) == 0) {
            return row;
        }
    }
    return NULL;
}

static bool is_help(const struct option_row *row)
{
    return strcmp(row->name, "help") == 0;
}

/* Says which option was probably meant. The value behind '=' may be a secret and is not shown. */
static comrade_status unknown_option(struct parse *parse, const char *name, size_t len)
{
    const struct verb *verb = parse->made.verb;
    char typed[NAME_SHOWN_BYTES + 1] = {0};
    memcpy(typed, name, len < NAME_SHOWN_BYTES ? len : NAME_SHOWN_BYTES);
    size_t n_rows = 0;
    while (verb_row(verb, n_rows) != NULL) {
        n_rows++;
    }
    const char **names = calloc(n_rows + 1, sizeof names[0]);
    if (names == NULL) {
        return out_of_memory(parse);
    }
    for (size_t i = 0; i < n_rows; i++) {
        names[i] = verb_row(verb, i)->name;
    }
    const char *nearest = text_nearest(typed, names, n_rows);
    free(names);
    if (nearest != NULL) {
        return comrade_error_set(parse->error, COMRADE_INVALID,
                                 "unknown option --%s; did you mean --%s?", typed, nearest);
    }
    return comrade_error_set(parse->error, COMRADE_INVALID,
                             "unknown option --%s; see 'comrade %s --help'", typed, verb->name);
}

/* --- The command line ------------------------------------------------------------------------- */

/* Keeps the length, which is no secret worth keeping: argv cannot be made shorter. */
static void hide(char *text)
{
    memset(text, '*', strlen(text));
}

/* Takes an option's value: what stands behind it in its word, or the next word. */
static comrade_status take_value(struct parse *parse, const struct option_row *row, char *attached)
{
    char *text = attached;
    if (text == NULL && row->type == OPTION_FLAG) {
        return add_value(parse, row, "true", NULL);
    }
    if (text == NULL && parse->next >= parse->argc) {
        return comrade_error_set(parse->error, COMRADE_INVALID, "--%s needs a value: --%s %s",
                                 row->name, row->name, row->argument);
    }
    if (text == NULL) {
        text = parse->argv[parse->next++];
    }
    comrade_status status = add_value(parse, row, text, NULL);
    if (row->is_secret) {
        hide(text);
    }
    return status;
}

static comrade_status read_long(struct parse *parse, char *word)
{
    char *name = word + 2;
    size_t len = strcspn(name, "=");
    const struct option_row *row = row_by_name(parse->made.verb, name, len);
    if (row == NULL) {
        return unknown_option(parse, name, len);
    }
    if (is_help(row)) {
        parse->made.wants_help = true;
        return COMRADE_OK;
    }
    return take_value(parse, row, name[len] == '=' ? name + len + 1 : NULL);
}

/* -a, -ab, -nVALUE, -n VALUE. */
static comrade_status read_letters(struct parse *parse, char *word)
{
    for (char *c = word + 1; *c != '\0'; c++) {
        const struct option_row *row = row_by_letter(parse->made.verb, *c);
        if (row == NULL) {
            return comrade_error_set(parse->error, COMRADE_INVALID,
                                     "unknown option -%c; see 'comrade %s --help'", *c,
                                     parse->made.verb->name);
        }
        if (is_help(row)) {
            parse->made.wants_help = true;
            return COMRADE_OK;
        }
        if (row->type != OPTION_FLAG) {
            return take_value(parse, row, c[1] == '\0' ? NULL : c + 1);
        }
        comrade_status status = take_value(parse, row, NULL);
        if (status != COMRADE_OK) {
            return status;
        }
    }
    return COMRADE_OK;
}

static comrade_status read_command_line(struct parse *parse)
{
    bool is_options = true;
    while (parse->next < parse->argc && !parse->made.wants_help) {
        char *word = parse->argv[parse->next++];
        comrade_status status = COMRADE_OK;
        if (is_options && strcmp(word, "--") == 0) {
            is_options = false;
        } else if (is_options && strncmp(word, "--", 2) == 0) {
            status = read_long(parse, word);
        } else if (is_options && word[0] == '-' && word[1] != '\0') {
            status = read_letters(parse, word);
        } else {
            parse->made.operands_owned[parse->made.n_operands++] = word;
            is_options = is_options && !parse->made.verb->stops_at_operand;
        }
        if (status != COMRADE_OK) {
            return status;
        }
    }
    return COMRADE_OK;
}

/* --- The environment, the defaults, and what must be there ------------------------------------ */

static comrade_status read_lines(struct parse *parse, const struct option_row *row,
                                 const char *text, const char *from)
{
    char *lines = strdup(text);
    if (lines == NULL) {
        return out_of_memory(parse);
    }
    comrade_status status = COMRADE_OK;
    char *rest = lines;
    while (rest != NULL && status == COMRADE_OK) {
        char *line = strsep(&rest, "\n");
        if (line[0] != '\0') {
            status = add_value(parse, row, line, from);
        }
    }
    free(lines);
    return status;
}

static comrade_status read_variable(struct parse *parse, const struct option_row *row)
{
    char variable[OPTION_VARIABLE_SIZE];
    option_variable(row, variable);
    const char *text = row->is_typed_only ? NULL : getenv(variable);
    if (text == NULL || text[0] == '\0') {
        return COMRADE_OK;
    }
    char *from = strdup(variable);
    if (from == NULL) {
        return out_of_memory(parse);
    }
    parse->made.names_owned[parse->made.n_names++] = from;
    return row->is_repeatable ? read_lines(parse, row, text, from)
                              : add_value(parse, row, text, from);
}

static comrade_status complete_row(struct parse *parse, const struct option_row *row)
{
    comrade_status status = COMRADE_OK;
    if (value_of(parse, row) == NULL) {
        status = read_variable(parse, row);
    }
    if (status == COMRADE_OK && value_of(parse, row) == NULL && row->default_text != NULL) {
        status = add_value(parse, row, row->default_text, "");
        assert(status != COMRADE_INVALID);
    }
    if (status == COMRADE_OK && row->is_required && value_of(parse, row) == NULL) {
        char variable[OPTION_VARIABLE_SIZE];
        option_variable(row, variable);
        status = comrade_error_set(parse->error, COMRADE_INVALID,
                                   "--%s %s is missing; it can also be set with %s", row->name,
                                   row->argument, variable);
    }
    return status;
}

static comrade_status complete_rows(struct parse *parse)
{
    const struct option_row *row;
    for (size_t i = 0; (row = verb_row(parse->made.verb, i)) != NULL; i++) {
        comrade_status status = is_help(row) ? COMRADE_OK : complete_row(parse, row);
        if (status != COMRADE_OK) {
            return status;
        }
    }
    return COMRADE_OK;
}

static comrade_status check_operands(struct parse *parse)
{
    const struct verb *verb = parse->made.verb;
    if (parse->made.n_operands < verb->min_operands) {
        return comrade_error_set(parse->error, COMRADE_INVALID,
                                 "something is missing: comrade %s [OPTION...] %s", verb->name,
                                 verb->operands);
    }
    if (parse->made.n_operands <= verb->max_operands) {
        return COMRADE_OK;
    }
    /* A store's URL without its option in front may hold a password. */
    const char *extra = parse->made.operands[verb->max_operands];
    bool is_url = strstr(extra, "://") != NULL;
    return comrade_error_set(
        parse->error, COMRADE_INVALID, "\"%.*s\" is too much: comrade %s [OPTION...]%s%s",
        NAME_SHOWN_BYTES, is_url ? "…://…" : extra, verb->name, verb->operands == NULL ? "" : " ",
        verb->operands == NULL ? "" : verb->operands);
}

/* --- All of it -------------------------------------------------------------------------------- */

static bool prepare(struct parse *parse)
{
    size_t n_rows = 0;
    while (verb_row(parse->made.verb, n_rows) != NULL) {
        n_rows++;
    }
    parse->made.operands_owned = calloc((size_t)parse->argc + 1, sizeof(char *));
    parse->made.names_owned = calloc(n_rows + 1, sizeof(char *));
    parse->made.operands = parse->made.operands_owned;
    return parse->made.operands_owned != NULL && parse->made.names_owned != NULL;
}

comrade_status options_parse(const struct verb *verb, int argc, char **argv,
                             struct options *options, comrade_error *error)
{
    struct parse parse = {
        .made = {.verb = verb}, .argv = argv, .argc = argc < 0 ? 0 : argc, .error = error};
    comrade_status status = prepare(&parse) ? COMRADE_OK : out_of_memory(&parse);
    if (status == COMRADE_OK) {
        status = read_command_line(&parse);
    }
    if (status == COMRADE_OK && !parse.made.wants_help) {
        status = complete_rows(&parse);
    }
    if (status == COMRADE_OK && !parse.made.wants_help) {
        status = check_operands(&parse);
    }
    if (status != COMRADE_OK) {
        options_finish(&parse.made);
        return status;
    }
    *options = parse.made;
    return COMRADE_OK;
}

void options_finish(struct options *options)
{
    for (size_t i = 0; i < options->n_values; i++) {
        free(options->values[i].text);
    }
    free(options->values);
    for (size_t i = 0; i < options->n_names; i++) {
        free(options->names_owned[i]);
    }
    free(options->names_owned);
    free(options->operands_owned);
    *options = (struct options){.verb = options->verb};
}
