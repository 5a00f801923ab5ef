/* What list, show and watch print with: tables, JSON lines, durations, values out of metadata. */
#include "cli/duration_text.h"
#include "cli/member_json.h"
#include "cli/member_table.h"
#include "cli/metadata_scan.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW_MS INT64_C(1700000000000)

static const comrade_member_data plain = {
    .size = sizeof plain,
    .id = "app-web1-1",
    .role = "app",
    .metadata = "{\"ip\":\"10.0.0.5\",\"port\":8080}",
    .details = "{}",
    .host = "web1",
    .version = "1.0.0",
    .pid = 4711,
    .incarnation = 7,
    .state = COMRADE_STATE_UP,
    .is_alive = true,
    .is_healthy = true,
    .is_available = true,
    .created_ms = NOW_MS - 3 * 60 * 1000,
    .updated_ms = NOW_MS - 1200,
    .now_ms = NOW_MS,
    .request_id = "",
    .requested_by = "",
    .request_reason = "",
};

static void expect_duration(int64_t duration_ms, const char *expected)
{
    char text[DURATION_TEXT_SIZE];
    duration_text(duration_ms, text);
    assert_string_equal(text, expected);
}

static void durations_have_one_unit_and_are_rounded_down(void **state)
{
    (void)state;
    expect_duration(0, "0.0s");
    expect_duration(1299, "1.2s");
    expect_duration(9999, "9.9s");
    expect_duration(10000, "10s");
    expect_duration(59999, "59s");
    expect_duration(60000, "1m");
    expect_duration(3599999, "59m");
    expect_duration(3600000, "1h");
    expect_duration(86399999, "23h");
    expect_duration(86400000, "1d");
    expect_duration(INT64_MAX, "106751991167d");
}

static void a_moment_in_the_future_is_no_time_ago(void **state)
{
    (void)state;
    expect_duration(-1, "0.0s");
    expect_duration(INT64_MIN, "0.0s");
}

/* --- Metadata --------------------------------------------------------------------------------- */

static void expect_found(const char *json, const char *key, const char *expected)
{
    struct text_slice value = {NULL, 0};
    bool is_found = metadata_scan(json, key, &value);
    assert_int_equal(is_found, expected != NULL);
    if (expected != NULL) {
        assert_int_equal(value.len, strlen(expected));
        assert_memory_equal(value.start, expected, value.len);
    }
}

static void values_are_found_at_the_outermost_level_only(void **state)
{
    (void)state;
    const char *json = " { \"a\" : { \"ip\" : \"no}\\\"\" } , \"b\":[\"ip\",{\"ip\":1}],"
                       "\"ip\" : \"10.0.0.5\", \"port\":80 , \"up\":true}";
    expect_found(json, "ip", "10.0.0.5");
    expect_found(json, "port", "80");
    expect_found(json, "up", "true");
    expect_found(json, "a", NULL);
    expect_found(json, "i", NULL);
    expect_found("{}", "ip", NULL);
}

static void what_is_no_metadata_holds_nothing(void **state)
{
    (void)state;
    const char *const broken[] = {"",
                                  "[]",
                                  "{",
                                  "{\"ip",
                                  "{\"ip\"",
                                  "{\"ip\"",
                                  "{\"ip\":",
                                  "{\"ip\":\"",
                                  "{\"ip\":\"\\",
                                  "{\"a\":[",
                                  "null",
                                  "{ip:1}",
                                  "{\"a\":1 \"ip\":2}"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        expect_found(broken[i], "ip", NULL);
    }
}

static void expect_address(const char *metadata, const char *expected)
{
    char text[MEMBER_ADDRESS_SIZE];
    comrade_member_data member = plain;
    member.metadata = metadata;
    member_address(&member, text);
    assert_string_equal(text, expected);
}

static void an_address_is_what_there_is_of_it(void **state)
{
    (void)state;
    expect_address("{\"ip\":\"10.0.0.5\",\"port\":8080}", "10.0.0.5:8080");
    expect_address("{\"ip\":\"::1\",\"port\":8080}", "[::1]:8080");
    expect_address("{\"port\":8080}", ":8080");
    expect_address("{\"ip\":\"10.0.0.5\"}", "10.0.0.5");
    expect_address("{}", "");
    char longest[400] = "{\"ip\":\"";
    memset(longest + 7, 'x', 300);
    memcpy(longest + 307, "\"}", 3);
    expect_address(longest, "");
}

/* --- Tables ----------------------------------------------------------------------------------- */

/* What the table prints, not to a terminal. The caller frees it. */
static char *printed(const struct table *table)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = tmpfile();
    assert_non_null(out);
    assert_true(table_print(table, out));
    size = (size_t)ftell(out);
    rewind(out);
    text = calloc(size + 1, 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, size, out), size);
    fclose(out);
    return text;
}

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
    (void)state;
    static const struct table_column columns[] = {{"ID", false}, {"PID", true}, {"X", false}, {0}};
    struct table table;
    table_init(&table, columns);
    table_add(&table, TABLE_PLAIN, "app-1");
    table_add(&table, TABLE_PLAIN, "7");
    table_add(&table, TABLE_PLAIN, "a");
    table_add(&table, TABLE_BAD, "b");
    table_add(&table, TABLE_PLAIN, "12345");
    table_add(&table, TABLE_PLAIN, "b");
    char *text = printed(&table);
    assert_string_equal(text, "ID       PID  X\n"
                              "app-1      7  a\n"
                              "b      12345  b\n");
    free(text);
    table_finish(&table);
}

static void cells_are_escaped_and_cut(void **state)
{
    (void)state;
    static const struct table_column columns[] = {{"A", false}, {"B", false}, {0}};
    struct table table;
    char big[5000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    memcpy(big + 1023, "\xe2\x82\xac", 3); /* the cut falls inside a character */
    table_init(&table, columns);
    table_add(&table, TABLE_PLAIN, "\x1b[2J\\\xc2\x9b");
    table_add(&table, TABLE_PLAIN, big);
    char *text = printed(&table);
    assert_non_null(strstr(text, "\n\\x1b[2J\\\\\\u{009b}  xxx"));
    assert_null(strpbrk(text, "\x1b\x9b"));
    const char *cut = strrchr(text, ' ') + 1;
    assert_int_equal(strlen(cut), 1023 + 1); /* and the line break */
    free(text);
    table_finish(&table);
}

/* The words of the second line of a table with one member. */
static void expect_row(const comrade_member_data *member, const char *expected)
{
    struct table table;
    char words[200] = "";
    table_init(&table, member_columns);
    member_table_add(&table, member);
    char *text = printed(&table);
    char *rest = strchr(text, '\n') + 1;
    for (char *word = strsep(&rest, " \n"); word != NULL; word = strsep(&rest, " \n")) {
        if (word[0] != '\0') {
            snprintf(words + strlen(words), sizeof words - strlen(words), "%s ", word);
        }
    }
    assert_string_equal(words, expected);
    free(text);
    table_finish(&table);
}

static void a_row_says_how_a_member_is(void **state)
{
    (void)state;
    comrade_member_data member = plain;
    expect_row(&member, "app-web1-1 app up ok 10.0.0.5:8080 web1 4711 3m 1.2s ");
    member.is_alive = false; /* though it is up and nobody asked it to leave */
    expect_row(&member, "app-web1-1 app zombie ok 10.0.0.5:8080 web1 4711 3m 1.2s ");
    member.request = COMRADE_REQUEST_KILL;
    member.state = COMRADE_STATE_DRAINING;
    expect_row(&member, "app-web1-1 app draining* ok 10.0.0.5:8080 web1 4711 3m 1.2s ");
    member.state = COMRADE_STATE_STOPPED;
    member.pid = 0;
    member.is_healthy = false;
    member.is_stale = true;
    member.metadata = "{}";
    member.host = "";
    expect_row(&member, "app-web1-1 app stopped* stale - - - 3m 1.2s ");
}

/* --- JSON ------------------------------------------------------------------------------------- */

/* One line, parsed. The caller decrefs it. */
static json_t *parsed(const comrade_member_data *member)
{
    struct buffer line;
    buffer_init(&line, 64 * 1024);
    assert_true(member_json_append(&line, member));
    for (size_t i = 0; i < line.len; i++) {
        unsigned char byte = (unsigned char)line.bytes[i];
        assert_true(byte >= ' ' && byte != 0x7f); /* one line, and nothing a terminal acts on */
    }
    assert_null(strstr(line.bytes, "\xc2\x9b"));
    assert_null(strstr(line.bytes, "\xe2\x80\xae"));
    json_t *object = json_loads(line.bytes, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(object);
    buffer_finish(&line);
    return object;
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void each_name_is_always_there(void **state)
{
    (void)state;
    static const char *const names[] = {
        "id",      "role",         "alive",       "healthy",   "stale",     "created",
        "updated", "shutdownDate", "metadata",    "available", "state",     "host",
        "pid",     "version",      "incarnation", "request",   "zombified", "details"};
    json_t *object = parsed(&plain);
    assert_int_equal(json_object_size(object), sizeof names / sizeof *names);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_non_null(json_object_get(object, names[i]));
    }
    assert_true(json_is_null(json_object_get(object, "request")));
    assert_true(json_is_null(json_object_get(object, "zombified")));
    assert_true(json_is_null(json_object_get(object, "shutdownDate")));
    assert_int_equal(json_integer_value(json_object_get(object, "updated")), NOW_MS - 1200);
    assert_int_equal(json_integer_value(json_object_get(object, "pid")), 4711);
    assert_true(json_is_true(json_object_get(object, "alive")));
    assert_true(json_is_false(json_object_get(object, "stale")));
    json_decref(object);
}

static void a_request_says_who_when_and_why(void **state)
{
    (void)state;
    comrade_member_data member = plain;
    member.request = COMRADE_REQUEST_KILL;
    member.shutdown_ms = NOW_MS - 10;
    member.request_id = "r-1";
    member.requested_by = "anna@desk";
    member.request_reason = "\"old\" kernel \\o/";
    json_t *object = parsed(&member);
    const json_t *request = json_object_get(object, "request");
    assert_string_equal(text_of(request, "kind"), "kill");
    assert_string_equal(text_of(request, "by"), "anna@desk");
    assert_string_equal(text_of(request, "reason"), "\"old\" kernel \\o/");
    assert_string_equal(text_of(request, "id"), "r-1");
    assert_int_equal(json_integer_value(json_object_get(request, "at")), NOW_MS - 10);
    assert_int_equal(json_integer_value(json_object_get(object, "shutdownDate")), NOW_MS - 10);
    assert_true(json_is_null(json_object_get(object, "zombified")));
    json_decref(object);
}

static void a_zombie_says_who_made_it_one_and_why(void **state)
{
    (void)state;
    comrade_member_data member = plain;
    member.is_alive = false;
    member.request_id = "r-2";
    member.requested_by = "anna@desk";
    member.request_reason = "odd";
    json_t *object = parsed(&member);
    const json_t *zombified = json_object_get(object, "zombified");
    assert_string_equal(text_of(zombified, "by"), "anna@desk");
    assert_string_equal(text_of(zombified, "reason"), "odd");
    assert_string_equal(text_of(zombified, "id"), "r-2");
    assert_string_equal(text_of(object, "state"), "up"); /* as it says itself */
    assert_true(json_is_null(json_object_get(object, "request")));
    json_decref(object);
}

static void what_a_terminal_acts_on_is_escaped_and_means_the_same(void **state)
{
    (void)state;
    comrade_member_data member = plain;
    member.host = "\x1b[31m\x7f\xc2\x9b\xe2\x80\xae\xe2\x82\xac\xf0\x9f\x98\x80";
    member.metadata = "{\n\t\"k\":\"\x7f\xc2\x9b\xe2\x80\xae\\n\\\"\",\r\n \"n\" : [1, 2]}";
    json_t *object = parsed(&member);
    assert_string_equal(text_of(object, "host"), member.host);
    const json_t *metadata = json_object_get(object, "metadata");
    assert_string_equal(text_of(metadata, "k"), "\x7f\xc2\x9b\xe2\x80\xae\n\"");
    assert_int_equal(json_array_size(json_object_get(metadata, "n")), 2);
    json_decref(object);
}

static void bytes_that_are_no_text_become_a_replacement(void **state)
{
    (void)state;
    comrade_member_data member = plain;
    member.host = "a\xff\xe2\x82";
    json_t *object = parsed(&member);
    assert_string_equal(text_of(object, "host"), "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    json_decref(object);
}

static void a_line_that_does_not_fit_is_a_failure(void **state)
{
    (void)state;
    struct buffer line;
    buffer_init(&line, 100);
    assert_false(member_json_append(&line, &plain));
    buffer_finish(&line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_have_one_unit_and_are_rounded_down),
        cmocka_unit_test(a_moment_in_the_future_is_no_time_ago),
        cmocka_unit_test(values_are_found_at_the_outermost_level_only),
        cmocka_unit_test(what_is_no_metadata_holds_nothing),
        cmocka_unit_test(an_address_is_what_there_is_of_it),
        cmocka_unit_test(columns_are_as_wide_as_their_widest_cell),
        cmocka_unit_test(cells_are_escaped_and_cut),
        cmocka_unit_test(a_row_says_how_a_member_is),
        cmocka_unit_test(each_name_is_always_there),
        cmocka_unit_test(a_request_says_who_when_and_why),
        cmocka_unit_test(a_zombie_says_who_made_it_one_and_why),
        cmocka_unit_test(what_a_terminal_acts_on_is_escaped_and_means_the_same),
        cmocka_unit_test(bytes_that_are_no_text_become_a_replacement),
        cmocka_unit_test(a_line_that_does_not_fit_is_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
