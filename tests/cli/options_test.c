/* What is read from a command line and the environment, and what is said of what cannot be. */
#include "cli/options.h"

#include "lib/allocation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct option_group first = {
    "Options",
    (const struct option_row[]){
        {.name = "role", .letter = 'r', .type = OPTION_TEXT, .argument = "ROLE", .help = "A role"},
        {.name = "force", .letter = 'f', .type = OPTION_FLAG, .help = "Do it"},
        {.name = "all", .letter = 'a', .type = OPTION_FLAG, .help = "All"},
        {.name = "count",
         .letter = 'n',
         .type = OPTION_NUMBER,
         .argument = "N",
         .help = "How many",
         .default_text = "3",
         .low = 1,
         .high = 10},
        {.name = "drain-delay",
         .type = OPTION_DURATION,
         .argument = "TIME",
         .help = "How long",
         .low = 0,
         .high = 3600000},
        {0},
    }};
static const struct option_group second = {"More options", (const struct option_row[]){
                                                               {.name = "store",
                                                                .type = OPTION_TEXT,
                                                                .argument = "URL",
                                                                .help = "The store",
                                                                .is_secret = true},
                                                               {.name = "meta",
                                                                .letter = 'm',
                                                                .type = OPTION_TEXT,
                                                                .argument = "K=V",
                                                                .help = "Metadata",
                                                                .is_repeatable = true},
                                                               {0},
                                                           }};
static const struct option_group needed = {
    "Needed",
    (const struct option_row[]){
        {.name = "role", .type = OPTION_TEXT, .argument = "ROLE", .help = "R", .is_required = true},
        {0},
    }};

static const struct verb plain = {
    .name = "kill",
    .operands = "ID...",
    .max_operands = 3,
    .groups = (const struct option_group *const[]){&first, &second, NULL},
};
static const struct verb stopping = {
    .name = "run",
    .operands = "COMMAND...",
    .max_operands = SIZE_MAX,
    .stops_at_operand = true,
    .groups = (const struct option_group *const[]){&first, NULL},
};
static const struct verb one_id = {
    .name = "show", .operands = "ID", .min_operands = 1, .max_operands = 1};
static const struct verb with_needed = {
    .name = "kill-oldest",
    .groups = (const struct option_group *const[]){&needed, NULL},
};

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* The words as the process has them, which a parse may change: valid until the next one. */
static char argv_bytes[16][80];
static char *argv_words[17];

static comrade_status parse(const struct verb *verb, const char *const *words,
                            struct options *options, comrade_error *error)
{
    int n = 0;
    for (; words[n] != NULL; n++) {
        snprintf(argv_bytes[n], sizeof argv_bytes[n], "%s", words[n]);
        argv_words[n] = argv_bytes[n];
    }
    argv_words[n] = NULL;
    return options_parse(verb, n, argv_words, options, error);
}

static void assert_error(const struct verb *verb, const char *const *words, const char *message)
{
    struct options options;
    memset(&options, 0x5a, sizeof options);
    struct options untouched = options;
    comrade_error error;
    assert_int_equal(parse(verb, words, &options, &error), COMRADE_INVALID);
    assert_string_equal(error.message, message);
    assert_memory_equal(&options, &untouched, sizeof options);
}

static void each_form_of_an_option_is_read(void **state)
{
    (void)state;
    const char *const forms[][3] = {{"--role", "app", NULL},
                                    {"--role=app", NULL},
                                    {"-rapp", NULL},
                                    {"-r", "app", NULL},
                                    {"-far", "app", NULL}};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct options options;
        assert_int_equal(parse(&plain, forms[i], &options, NULL), COMRADE_OK);
        assert_string_equal(options_text(&options, "role"), "app");
        assert_int_equal(options.n_operands, 0);
        assert_int_equal(options_flag(&options, "all"), i == 4);
        options_finish(&options);
    }
}

static void behind_two_dashes_all_are_operands(void **state)
{
    (void)state;
    struct options options;
    assert_int_equal(parse(&plain, WORDS("a", "-f", "--", "--role", "-"), &options, NULL),
                     COMRADE_OK);
    assert_int_equal(options.n_operands, 3);
    assert_string_equal(options.operands[1], "--role");
    assert_null(options.operands[3]);
    assert_true(options_flag(&options, "force"));
    options_finish(&options);
}

static void the_options_of_a_started_command_are_its_own(void **state)
{
    (void)state;
    struct options options;
    assert_int_equal(parse(&stopping, WORDS("-f", "node", "-a", "--", "--help"), &options, NULL),
                     COMRADE_OK);
    assert_int_equal(options.n_operands, 4);
    assert_string_equal(options.operands[2], "--");
    assert_false(options_flag(&options, "all"));
    assert_false(options.wants_help);
    options_finish(&options);
}

static void the_command_line_wins_over_the_environment_and_that_over_the_default(void **state)
{
    (void)state;
    struct options options;
    assert_int_equal(parse(&plain, WORDS("x"), &options, NULL), COMRADE_OK);
    assert_int_equal(options_number(&options, "count", 99), 3);
    assert_false(options_is_given(&options, "count"));
    options_finish(&options);

    setenv("COMRADE_COUNT", "4", 1);
    assert_int_equal(parse(&plain, WORDS("x"), &options, NULL), COMRADE_OK);
    assert_int_equal(options_number(&options, "count", 99), 4);
    assert_string_equal(options_variable(&options, "count"), "COMRADE_COUNT");
    assert_true(options_is_given(&options, "count"));
    options_finish(&options);

    assert_int_equal(parse(&plain, WORDS("x", "-n5"), &options, NULL), COMRADE_OK);
    assert_int_equal(options_number(&options, "count", 99), 5);
    assert_null(options_variable(&options, "count"));
    options_finish(&options);
    unsetenv("COMRADE_COUNT");
}

static void an_empty_variable_counts_as_not_set(void **state)
{
    (void)state;
    setenv("COMRADE_ROLE", "", 1);
    struct options options;
    assert_int_equal(parse(&plain, WORDS("x"), &options, NULL), COMRADE_OK);
    assert_null(options_text(&options, "role"));
    assert_int_equal(options_number(&options, "drain-delay", 7), 7);
    options_finish(&options);
    unsetenv("COMRADE_ROLE");
}

static void a_flag_in_the_environment_can_be_taken_back(void **state)
{
    (void)state;
    setenv("COMRADE_FORCE", "yes", 1);
    struct options options;
    assert_int_equal(parse(&plain, WORDS("x"), &options, NULL), COMRADE_OK);
    assert_true(options_flag(&options, "force"));
    options_finish(&options);
    assert_int_equal(parse(&plain, WORDS("--force=no"), &options, NULL), COMRADE_OK);
    assert_false(options_flag(&options, "force"));
    options_finish(&options);

    setenv("COMRADE_FORCE", "maybe", 1);
    assert_error(&plain, WORDS("x"),
                 "COMRADE_FORCE: \"maybe\" is not one of 1, true, yes, 0, false, no");
    unsetenv("COMRADE_FORCE");
}

static void a_repeatable_option_keeps_its_order(void **state)
{
    (void)state;
    setenv("COMRADE_META", "a=1\nb=2\n", 1);
    struct options options;
    assert_int_equal(parse(&plain, WORDS("x"), &options, NULL), COMRADE_OK);
    assert_int_equal(options_count(&options, "meta"), 2);
    assert_string_equal(options_list(&options, "meta", 1), "b=2");
    options_finish(&options);

    assert_int_equal(parse(&plain, WORDS("-mz=1", "--meta", "y=2", "-m", "x="), &options, NULL),
                     COMRADE_OK);
    assert_int_equal(options_count(&options, "meta"), 3);
    assert_string_equal(options_list(&options, "meta", 0), "z=1");
    assert_string_equal(options_list(&options, "meta", 2), "x=");
    assert_null(options_list(&options, "meta", 3));
    options_finish(&options);
    unsetenv("COMRADE_META");
}

static void the_last_value_of_an_option_counts(void **state)
{
    (void)state;
    struct options options;
    assert_int_equal(parse(&plain, WORDS("--role", "a", "--role", "b"), &options, NULL),
                     COMRADE_OK);
    assert_string_equal(options_text(&options, "role"), "b");
    assert_int_equal(options_count(&options, "role"), 1);
    options_finish(&options);
}

static void an_abbreviation_is_refused_and_the_whole_name_proposed(void **state)
{
    (void)state;
    assert_error(&plain, WORDS("--rol", "app"), "unknown option --rol; did you mean --role?");
    assert_error(&plain, WORDS("--frobnicate"),
                 "unknown option --frobnicate; see 'comrade kill --help'");
    assert_error(&plain, WORDS("-fz"), "unknown option -z; see 'comrade kill --help'");
    assert_error(&plain, WORDS("--\x1b[2J"),
                 "unknown option --\\x1b[2J; see 'comrade kill --help'");
}

static void numbers_and_durations_out_of_range_are_refused(void **state)
{
    (void)state;
    assert_error(&plain, WORDS("-n", "11"), "--count: \"11\" is not a whole number from 1 to 10");
    assert_error(&plain, WORDS("-n", "99999999999999999999"),
                 "--count: \"99999999999999999999\" is not a whole number from 1 to 10");
    assert_error(&plain, WORDS("-n1x"), "--count: \"1x\" is not a whole number from 1 to 10");
    assert_error(&plain, WORDS("--drain-delay", "61m"),
                 "--drain-delay: \"61m\" is not a duration from 0s to 1h; write 500ms, 5s, 2m, 1h "
                 "or 5 (seconds)");
    assert_error(&plain, WORDS("--role", "\xff"), "--role: \"\\xff\" is not valid UTF-8");
}

static void what_is_missing_is_named(void **state)
{
    (void)state;
    assert_error(&plain, WORDS("--role"), "--role needs a value: --role ROLE");
    assert_error(&one_id, WORDS(NULL), "something is missing: comrade show [OPTION...] ID");
    assert_error(&one_id, WORDS("a", "b"), "\"b\" is too much: comrade show [OPTION...] ID");
    assert_error(&with_needed, WORDS(NULL),
                 "--role ROLE is missing; it can also be set with COMRADE_ROLE");
}

static void help_is_given_though_the_rest_is_missing(void **state)
{
    (void)state;
    const char *const forms[][3] = {{"--help", NULL}, {"-h", NULL}, {"--role=", "--help", NULL}};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct options options;
        assert_int_equal(parse(&with_needed, forms[i], &options, NULL), COMRADE_OK);
        assert_true(options.wants_help);
        options_finish(&options);
    }
}

static void a_secret_is_read_and_leaves_the_command_line(void **state)
{
    (void)state;
    struct options options;
    assert_int_equal(parse(&plain, WORDS("--store=redis://u:secret@h"), &options, NULL),
                     COMRADE_OK);
    assert_string_equal(options_text(&options, "store"), "redis://u:secret@h");
    assert_string_equal(argv_words[0], "--store=******************");
    options_finish(&options);
    assert_int_equal(parse(&plain, WORDS("--store", "redis://u:secret@h"), &options, NULL),
                     COMRADE_OK);
    assert_string_equal(options_text(&options, "store"), "redis://u:secret@h");
    assert_string_equal(argv_words[1], "******************");
    options_finish(&options);
}

static void a_secret_is_in_no_error(void **state)
{
    (void)state;
    assert_error(&plain, WORDS("--store", "redis://u:secret\xff@h"),
                 "--store: the value is not valid UTF-8");
    assert_error(&plain, WORDS("--stor=redis://u:secret@h"),
                 "unknown option --stor; did you mean --store?");
    assert_error(&one_id, WORDS("a", "redis://u:secret@h"),
                 "\"…://…\" is too much: comrade show [OPTION...] ID");
}

static void durations_have_units(void **state)
{
    (void)state;
    int64_t ms = -1;
    assert_true(duration_parse("500ms", &ms) && ms == 500);
    assert_true(duration_parse("5s", &ms) && ms == 5000);
    assert_true(duration_parse("5", &ms) && ms == 5000);
    assert_true(duration_parse("2m", &ms) && ms == 120000);
    assert_true(duration_parse("1000h", &ms) && ms == 3600000000);
    ms = -1;
    const char *const wrong[] = {"",   "s",     "-5s", "5 s", "1.5s",
                                 "5S", "1001h", "5d",  "5s ", "00000000000000000000000000005"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(duration_parse(wrong[i], &ms));
    }
    assert_int_equal(ms, -1);
}

static comrade_status parse_much(void *user)
{
    (void)user;
    struct options options;
    comrade_status status =
        parse(&plain, WORDS("-r", "app", "-m", "a=1", "-ma=2", "--store", "sqlite:x", "id"),
              &options, NULL);
    if (status == COMRADE_OK) {
        options_finish(&options);
    }
    return status;
}

static void parsing_survives_each_failed_allocation(void **state)
{
    (void)state;
    setenv("COMRADE_DRAIN_DELAY", "5s", 1);
    for_each_failed_allocation(parse_much, NULL);
    unsetenv("COMRADE_DRAIN_DELAY");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_form_of_an_option_is_read),
        cmocka_unit_test(behind_two_dashes_all_are_operands),
        cmocka_unit_test(the_options_of_a_started_command_are_its_own),
        cmocka_unit_test(the_command_line_wins_over_the_environment_and_that_over_the_default),
        cmocka_unit_test(an_empty_variable_counts_as_not_set),
        cmocka_unit_test(a_flag_in_the_environment_can_be_taken_back),
        cmocka_unit_test(a_repeatable_option_keeps_its_order),
        cmocka_unit_test(the_last_value_of_an_option_counts),
        cmocka_unit_test(an_abbreviation_is_refused_and_the_whole_name_proposed),
        cmocka_unit_test(numbers_and_durations_out_of_range_are_refused),
        cmocka_unit_test(what_is_missing_is_named),
        cmocka_unit_test(help_is_given_though_the_rest_is_missing),
        cmocka_unit_test(a_secret_is_read_and_leaves_the_command_line),
        cmocka_unit_test(a_secret_is_in_no_error),
        cmocka_unit_test(durations_have_units),
        cmocka_unit_test(parsing_survives_each_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
