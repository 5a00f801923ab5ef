/* The rows of a verb, and what was given to one call of it. */
#include "cli/options.h"

#include <assert.h>
#include <string.h>

static const struct option_row help_row = {
    .name = "help",
    .letter = 'h',
    .type = OPTION_FLAG,
    .help = "Show this text",
};

const struct option_row *verb_row(const struct verb *verb, size_t i)
{
    for (size_t g = 0; verb->groups != NULL && verb->groups[g] != NULL; g++) {
        for (const struct option_row *row = verb->groups[g]->rows; row->name != NULL; row++) {
            if (i-- == 0) {
                return row;
            }
        }
    }
    return i == 0 ? &help_row : NULL;
}

static const struct option_row *row_named(const struct options *options, const char *name)
{
    const struct option_row *row;
    for (size_t i = 0; (row = verb_row(options->verb, i)) != NULL; i++) {
        if (strcmp(row->name, name) == 0) {
            return row;
        }
    }
    assert(!"the verb has no such option");
    return NULL;
}

/* The nth value of a row, NULL past the end. */
static const struct option_value *value_at(const struct options *options, const char *name,
                                           size_t nth)
{
    const struct option_row *row = row_named(options, name);
    for (size_t i = 0; i < options->n_values; i++) {
        if (options->values[i].row == row && nth-- == 0) {
            return &options->values[i];
        }
    }
    return NULL;
}

bool options_is_given(const struct options *options, const char *name)
{
    const struct option_value *value = value_at(options, name, 0);
    return value != NULL && (value->from == NULL || value->from[0] != '\0');
}

const char *options_variable(const struct options *options, const char *name)
{
    const struct option_value *value = value_at(options, name, 0);
    return value != NULL && value->from != NULL && value->from[0] != '\0' ? value->from : NULL;
}

bool options_flag(const struct options *options, const char *name)
{
    const struct option_value *value = value_at(options, name, 0);
    return value != NULL && strcmp(value->text, "true") == 0;
}

const char *options_text(const struct options *options, const char *name)
{
    return options_list(options, name, 0);
}

int64_t options_number(const struct options *options, const char *name, int64_t fallback)
{
    const struct option_value *value = value_at(options, name, 0);
    return value == NULL ? fallback : value->number;
}

const char *options_list(const struct options *options, const char *name, size_t i)
{
    const struct option_value *value = value_at(options, name, i);
    return value == NULL ? NULL : value->text;
}

size_t options_count(const struct options *options, const char *name)
{
    size_t n = 0;
    while (value_at(options, name, n) != NULL) {
        n++;
    }
    return n;
}
