/* The words of a line, and what Tab offers. */
#include "cli/shell_complete.h"
#include "cli/shell_words.h"

#include "lib/allocation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* --- Words ------------------------------------------------------------------------------------ */

static void assert_words(const char *line, int n_words, const char *const *expected)
{
    struct shell_words words;
    assert_int_equal(shell_words_split(line, &words, NULL), COMRADE_OK);
    assert_int_equal(words.n_words, n_words);
    for (int i = 0; i < n_words; i++) {
        assert_string_equal(words.words[i], expected[i]);
    }
    assert_null(words.words[n_words]);
    shell_words_finish(&words);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__})

static void words_are_separated_by_blanks(void **state)
{
    (void)state;
    assert_words("", 0, NULL);
    assert_words(" \t\r\n", 0, NULL);
    assert_words("  kill \t a\n", 2, WORDS("kill", "a"));
}

static void quotes_keep_blanks_and_a_backslash_takes_what_follows(void **state)
{
    (void)state;
    assert_words("kill a --reason 'it is \"old\" \\'", 4,
                 WORDS("kill", "a", "--reason", "it is \"old\" \\"));
    assert_words("a\"b c\"d e\\ f \"g\\\"h\"", 3, WORDS("ab cd", "e f", "g\"h"));
    assert_words("a '' \"\"", 3, WORDS("a", "", ""));
}

static void nothing_is_expanded_and_a_comment_is_left_out(void **state)
{
    (void)state;
    assert_words("list $HOME * ~ # all of them", 4, WORDS("list", "$HOME", "*", "~"));
    assert_words("# nothing", 0, NULL);
    assert_words("kill a#b", 2, WORDS("kill", "a#b"));
}

static void assert_refused(const char *line, const char *message)
{
    struct shell_words words, untouched;
    memset(&words, 0x5a, sizeof words);
    untouched = words;
    comrade_error error;
    assert_int_equal(shell_words_split(line, &words, &error), COMRADE_INVALID);
    assert_string_equal(error.message, message);
    assert_memory_equal(&words, &untouched, sizeof words);
}

static void half_a_line_is_refused(void **state)
{
    (void)state;
    assert_refused("kill \"a", "reading the line: a \" is not closed");
    assert_refused("kill 'a\"", "reading the line: a ' is not closed");
    assert_refused("kill a\\", "reading the line: nothing follows the last \\");
    char many[2 * SHELL_WORDS_LIMIT + 3] = "";
    memset(many, ' ', sizeof many - 1);
    for (size_t i = 0; i <= SHELL_WORDS_LIMIT; i++) {
        many[2 * i] = 'a';
    }
    assert_refused(many, "reading the line: too many words");
}

static comrade_status split_once(void *user)
{
    (void)user;
    struct shell_words words;
    comrade_status status = shell_words_split("kill a", &words, NULL);
    if (status == COMRADE_OK) {
        shell_words_finish(&words);
    }
    return status;
}

static void splitting_survives_each_failed_allocation(void **state)
{
    (void)state;
    for_each_failed_allocation(split_once, NULL);
}

/* --- Completion ------------------------------------------------------------------------------- */

static void list(void *user, enum completion_kind kind, const char *prefix,
                 struct completions *into)
{
    (void)user;
    static const char *const roles[] = {"app", "api", "app", "with blank", "db"};
    static const char *const ids[] = {"app-a-1", "app-a-2", "evil\x1b[2J"};
    if (kind == COMPLETION_ROLES) {
        for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
            completions_add(into, roles[i], prefix);
        }
    } else {
        for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
            completions_add(into, ids[i], prefix);
        }
    }
}

static const struct completion_source source = {list, NULL};

/* `expected`: the completions, each followed by a blank. */
static void assert_completions(const char *before, const char *prefix, const char *expected)
{
    struct completions found = {0};
    char joined[1000] = "";
    completions_find(&found, before, prefix, &source);
    for (size_t i = 0; i < found.n_words; i++) {
        strncat(joined, found.words[i], sizeof joined - strlen(joined) - 1);
        strncat(joined, " ", sizeof joined - strlen(joined) - 1);
    }
    completions_finish(&found);
    assert_string_equal(joined, expected);
}

static void verbs_are_completed_also_by_their_original_names(void **state)
{
    (void)state;
    assert_completions("", "vers", "version ");
    assert_completions(" ", "killOld", "killOldestMember ");
    assert_completions("", "ex", "exit ");
    assert_completions("help ", "vers", "version ");
    assert_completions("role ", "", "set show ");
    assert_completions("", "c", "check clear-stale clearStaleMembers cordon ");
    assert_completions("nonsense ", "", "");
}

static void options_are_completed(void **state)
{
    (void)state;
    assert_completions("help ", "--ma", "--man --markdown ");
    assert_completions("shell ", "--store", "--store --store-file ");
    assert_completions("shell --timeout ", "--st", "");
}

static void roles_and_ids_are_completed_where_they_belong(void **state)
{
    (void)state;
    assert_completions("run --role ", "a", "api app ");
    assert_completions("run --role=", "", "api app db ");
    assert_completions("run -r ", "d", "db ");
    assert_completions("run --id ", "", "app-a-1 app-a-2 ");
    assert_completions("run --port ", "a", "");
    assert_completions("kill ", "", "app-a-1 app-a-2 ");
    assert_completions("kill app-a-2 ", "app", "app-a-1 app-a-2 ");
    assert_completions("role show ", "d", "db ");
    assert_completions("killOldestMember --role ", "d", "db ");
}

static void inside_quotes_nothing_is_offered(void **state)
{
    (void)state;
    assert_completions("help \"", "ver", "");
}

static comrade_status complete_once(void *user)
{
    (void)user;
    struct completions found = {0};
    completions_find(&found, "shell ", "--", &source);
    /* With too little memory there is less to choose from, and that is all. */
    comrade_status status = found.n_words == 6 ? COMRADE_OK : COMRADE_NO_MEMORY;
    completions_finish(&found);
    return status;
}

static void completion_survives_each_failed_allocation(void **state)
{
    (void)state;
    for_each_failed_allocation(complete_once, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_separated_by_blanks),
        cmocka_unit_test(quotes_keep_blanks_and_a_backslash_takes_what_follows),
        cmocka_unit_test(nothing_is_expanded_and_a_comment_is_left_out),
        cmocka_unit_test(half_a_line_is_refused),
        cmocka_unit_test(splitting_survives_each_failed_allocation),
        cmocka_unit_test(verbs_are_completed_also_by_their_original_names),
        cmocka_unit_test(options_are_completed),
        cmocka_unit_test(roles_and_ids_are_completed_where_they_belong),
        cmocka_unit_test(inside_quotes_nothing_is_offered),
        cmocka_unit_test(completion_survives_each_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
