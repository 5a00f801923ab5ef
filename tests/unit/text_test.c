#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void a_terminal_escape_is_shown_escaped(void **state)
{
    (void)state;
    struct buffer buf;
    buffer_init(&buf, 100);
    const char text[] = "a\x1b[31m\n\xff\xe2\x80\xae\\";
    assert_true(text_append_escaped(&buf, text, sizeof text - 1));
    assert_string_equal(buffer_text(&buf), "a\\x1b[31m\\n\\xff\\u{202e}\\\\");
    buffer_finish(&buf);
}

static void overlong_and_surrogate_utf8_is_refused(void **state)
{
    (void)state;
    assert_false(text_is_utf8("\xc0\x80", 2));
    assert_false(text_is_utf8("\xed\xa0\x80", 3));
    assert_false(text_is_utf8("\xf4\x90\x80\x80", 4));
    assert_false(text_is_utf8("\xe2\x82", 2));
    assert_true(text_is_utf8("\xe2\x82\xac", 3));
}

static void a_mistyped_word_finds_its_neighbour(void **state)
{
    (void)state;
    const char *const words[] = {"kill", "kill-oldest", "list", "watch"};
    assert_string_equal(text_nearest("lsit", words, 4), "list");
    assert_string_equal(text_nearest("kill-odlest", words, 4), "kill-oldest");
    assert_null(text_nearest("frobnicate", words, 4));
    assert_null(text_nearest("", words, 4));
}

static void numbers_are_read_whole_or_not_at_all(void **state)
{
    (void)state;
    int64_t number = 7;
    assert_false(text_to_number("12x", 0, 100, &number));
    assert_false(text_to_number(" 12", 0, 100, &number));
    assert_false(text_to_number("+12", 0, 100, &number));
    assert_false(text_to_number("", 0, 100, &number));
    assert_false(text_to_number("101", 0, 100, &number));
    assert_false(text_to_number("99999999999999999999", 0, INT64_MAX, &number));
    assert_int_equal(number, 7);
    assert_true(text_to_number("-3", -5, 5, &number));
    assert_int_equal(number, -3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_terminal_escape_is_shown_escaped),
        cmocka_unit_test(overlong_and_surrogate_utf8_is_refused),
        cmocka_unit_test(a_mistyped_word_finds_its_neighbour),
        cmocka_unit_test(numbers_are_read_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
