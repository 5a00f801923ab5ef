/*
 * Options of a verb, from one table: parsing, environment variables, help and the reference are
 * all made from the same rows, so that they cannot disagree.
 *
 * This is not getopt_long: that accepts abbreviations (a script's --rol would change its meaning
 * with the next option added), keeps its state in globals (the shell parses again and again), and
 * can say of an unknown option neither the whole name nor the nearest one.
 *
 * Accepted: --name VALUE, --name=VALUE, -nVALUE, -n VALUE, clustered flags -ab, and "--", behind
 * which everything is an operand. A value on the command line wins over COMRADE_NAME in the
 * environment, and that over the row's default. A variable that is empty counts as not set.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <comrade.h>

enum option_type {
    OPTION_FLAG,     /* environment: 1, true, yes, 0, false, no */
    OPTION_TEXT,     /* UTF-8, whatever else it may be */
    OPTION_NUMBER,   /* whole, in [low, high] */
    OPTION_DURATION, /* 500ms, 5s, 2m, 1h, or 5 (seconds); in [low, high] ms */
};

/* To add an option: a row in its verb's table, which ends with a row whose name is NULL. */
struct option_row {
    const char *name; /* "drain-delay": --drain-delay, COMRADE_DRAIN_DELAY */
    char letter;      /* 'r', or 0 */
    enum option_type type;
    const char *argument;     /* as shown: "ROLE"; NULL for a flag */
    const char *help;         /* one line or more, without a final full stop */
    const char *default_text; /* the value when none is given, as typed; NULL: none */
    int64_t low, high;        /* of numbers and durations */
    bool is_repeatable;       /* in the environment: one value a line */
    bool is_required;
    /* Not read from the environment: a service has COMRADE_ROLE in its own, and what it lists or
       kills must not depend on that. */
    bool is_typed_only;
    bool is_secret; /* the value is never repeated in an error, and is removed from argv */
};

/* Rows that several verbs share, or a heading of a verb with many. */
struct option_group {
    const char *title; /* "Store options" */
    const struct option_row *rows;
};

struct cli;
struct options;

/* To add a verb: a file verb_NAME.c that defines one of these, and a row in verbs.c. */
struct verb {
    const char *name;                         /* "kill", or two words: "role set" */
    const char *const *aliases;               /* NULL-terminated; may be NULL */
    const char *summary;                      /* a line, for the overview */
    const char *operands;                     /* as shown in the usage: "ID..."; NULL: none */
    size_t min_operands, max_operands;        /* max_operands: SIZE_MAX for any number */
    const char *description;                  /* paragraphs, separated by empty lines; or NULL */
    const char *const *examples;              /* NULL-terminated pairs: command, what it does */
    const struct option_group *const *groups; /* NULL-terminated; may be NULL */
    bool stops_at_operand;                    /* options end at the first operand (run) */
    bool makes_store;                         /* others find one, or say that there is none */
    int usage_exit_code;                      /* 0: EXIT_CODE_USAGE. (check: Nagios' UNKNOWN) */
    /* Returns the exit code. Errors have been printed by then. */
    int (*run)(struct cli *cli, const struct options *options);
};

struct option_value {
    const struct option_row *row;
    char *text;       /* owned; of a flag "true" or "false" */
    int64_t number;   /* of a number, or of a duration in ms */
    const char *from; /* NULL: the command line; "": the default; else the variable's name. Owned by
                         the options */
};

/* What was given to one call of a verb. Made by options_parse(). */
struct options {
    const struct verb *verb;
    struct option_value *values;
    size_t n_values;
    char *const *operands; /* NULL-terminated. The strings are argv's */
    size_t n_operands;
    bool wants_help; /* --help was given: nothing else was checked */
    char **operands_owned;
    char **names_owned;
    size_t n_names;
};

/*
 * Parses argv[0..argc), which begins behind the verb. On failure `options` is untouched, and the
 * error says what was wrong and which option was probably meant. The value of a secret option is
 * overwritten in argv with asterisks, so that ps does not show it.
 * Errors: INVALID, NO_MEMORY. options_finish() is the caller's.
 */
comrade_status options_parse(const struct verb *verb, int argc, char **argv,
                             struct options *options, comrade_error *error);
void options_finish(struct options *options);

/* --- Looking up. `name` must be a row of the verb; all else is a bug and asserts. ------------- */

/* Was it given, on the command line or in the environment? */
bool options_is_given(const struct options *options, const char *name);
/* The variable that the value came from, or NULL if it came from elsewhere or there is none. */
const char *options_variable(const struct options *options, const char *name);
bool options_flag(const struct options *options, const char *name);
/* The value or the default; NULL if there is neither. Borrowed. Of a number or a duration as typed.
 */
const char *options_text(const struct options *options, const char *name);
/* The value or the default; `fallback` if there is neither. Durations in ms. */
int64_t options_number(const struct options *options, const char *name, int64_t fallback);
/* The i-th value of a repeatable option, in the order given; NULL past the end. Borrowed. */
const char *options_list(const struct options *options, const char *name, size_t i);
size_t options_count(const struct options *options, const char *name);

/* --- Rows ------------------------------------------------------------------------------------- */

/* The i-th row of all groups of a verb, and --help at the end; NULL past the end. */
const struct option_row *verb_row(const struct verb *verb, size_t i);

#define OPTION_VARIABLE_SIZE 72
/* "COMRADE_DRAIN_DELAY". */
void option_variable(const struct option_row *row, char variable[OPTION_VARIABLE_SIZE]);

/* Reads 500ms, 5s, 2m, 1h or 5 (seconds). Untouched on failure; false past 1,000 hours, too. */
bool duration_parse(const char *text, int64_t *duration_ms);

#endif
