/* Which query the filters of list, watch and the killing verbs come to. */
#include "cli/member_query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct verb filtered = {
    .name = "list",
    .groups = (const struct option_group *const[]){&filter_options, NULL},
};
static const struct verb guarded = {
    .name = "kill-oldest",
    .groups = (const struct option_group *const[]){&role_filter_options, NULL},
};

enum { WORD_LIMIT = 80 };

/* Splits `line` at blanks, parses it and makes the query; both are the caller's to finish. */
static int make(const char *line, struct member_query *query, struct options *options)
{
    static char bytes[1024];
    char *words[WORD_LIMIT + 1] = {NULL};
    int n = 0;
    struct cli cli = {.program = "comrade", .verb = "list"};
    comrade_error error;
    snprintf(bytes, sizeof bytes, "%s", line);
    char *rest = bytes;
    while (n < WORD_LIMIT && rest != NULL && rest[0] != '\0') {
        words[n++] = strsep(&rest, " ");
    }
    assert_int_equal(options_parse(&filtered, n, words, options, &error), COMRADE_OK);
    return member_query_init(query, &cli, options);
}

static void no_filter_means_all(void **state)
{
    (void)state;
    struct member_query query;
    struct options options;
    assert_int_equal(make("", &query, &options), EXIT_CODE_DONE);
    assert_null(query.query.role);
    assert_int_equal(query.query.alive, COMRADE_ANY);
    assert_int_equal(query.query.healthy, COMRADE_ANY);
    assert_int_equal(query.query.stale, COMRADE_ANY);
    assert_int_equal(query.query.available, COMRADE_ANY);
    assert_int_equal(query.query.n_where, 0);
    member_query_finish(&query);
    options_finish(&options);
}

static void each_filter_says_yes_or_no(void **state)
{
    (void)state;
    struct member_query query;
    struct options options;
    assert_int_equal(make("--role app --alive --healthy --available", &query, &options),
                     EXIT_CODE_DONE);
    assert_string_equal(query.query.role, "app");
    assert_int_equal(query.query.alive, COMRADE_YES);
    assert_int_equal(query.query.healthy, COMRADE_YES);
    assert_int_equal(query.query.available, COMRADE_YES);
    member_query_finish(&query);
    options_finish(&options);
    assert_int_equal(make("--dead --unhealthy --stale", &query, &options), EXIT_CODE_DONE);
    assert_int_equal(query.query.alive, COMRADE_NO);
    assert_int_equal(query.query.healthy, COMRADE_NO);
    assert_int_equal(query.query.stale, COMRADE_YES);
    member_query_finish(&query);
    options_finish(&options);
}

static void a_where_is_split_at_its_first_equals_sign(void **state)
{
    (void)state;
    struct member_query query;
    struct options options;
    assert_int_equal(make("--where zone=a=b -w empty=", &query, &options), EXIT_CODE_DONE);
    assert_int_equal(query.query.n_where, 2);
    assert_string_equal(query.query.where[0].key, "zone");
    assert_string_equal(query.query.where[0].value, "a=b");
    assert_string_equal(query.query.where[1].key, "empty");
    assert_string_equal(query.query.where[1].value, "");
    member_query_finish(&query);
    options_finish(&options);
}

static void what_cannot_be_is_a_wrong_call(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "--alive --dead",
        "--healthy --unhealthy",
        "--available --dead",
        "--healthy --stale",
        "--available --unhealthy",
        "--available --stale",
        "--where zone",
        "--where =a",
        "--where zone=a --where b",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct member_query query;
        struct options options;
        assert_int_equal(make(wrong[i], &query, &options), EXIT_CODE_USAGE);
        options_finish(&options);
    }
}

static void there_is_a_limit_to_where(void **state)
{
    (void)state;
    struct member_query query;
    struct options options;
    char line[1024] = "";
    for (size_t i = 0; i < QUERY_WHERE_LIMIT; i++) {
        memcpy(line + 6 * i, "-wa=1 ", 7);
    }
    assert_int_equal(make(line, &query, &options), EXIT_CODE_DONE);
    assert_int_equal(query.query.n_where, QUERY_WHERE_LIMIT);
    member_query_finish(&query);
    options_finish(&options);
    memcpy(line + 6 * QUERY_WHERE_LIMIT, "-wa=1", 6);
    assert_int_equal(make(line, &query, &options), EXIT_CODE_USAGE);
    options_finish(&options);
}

static void what_a_budget_guards_needs_a_role(void **state)
{
    (void)state;
    struct options options;
    comrade_error error;
    char *none[] = {NULL};
    assert_int_equal(options_parse(&guarded, 0, none, &options, &error), COMRADE_INVALID);
    assert_non_null(strstr(error.message, "--role"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_filter_means_all),
        cmocka_unit_test(each_filter_says_yes_or_no),
        cmocka_unit_test(a_where_is_split_at_its_first_equals_sign),
        cmocka_unit_test(what_cannot_be_is_a_wrong_call),
        cmocka_unit_test(there_is_a_limit_to_where),
        cmocka_unit_test(what_a_budget_guards_needs_a_role),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
