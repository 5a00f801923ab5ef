/* A member's values in a line of a configuration file: what is put in, and what never is. */
#include "cli/line_template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/allocation.h"

static const comrade_member_data plain = {
    .size = sizeof plain,
    .id = "app-web1-1",
    .role = "app",
    .metadata = "{\"ip\":\"10.0.0.5\",\"port\":8080,\"a.b\":\"dotted\",\"yes\":true}",
    .details = "{}",
    .host = "web1",
    .version = "1.0.0",
    .pid = 4711,
    .state = COMRADE_STATE_UP,
};

/* Renders, and tells the text or the problem; the caller frees it. */
static char *rendered(const char *template, const comrade_member_data *member,
                      comrade_status expected)
{
    struct line_template line;
    struct buffer text;
    comrade_error error = {0};
    buffer_init(&text, 1 << 20);
    assert_int_equal(line_template_init(&line, template, &error), COMRADE_OK);
    buffer_append_text(&text, "before ");
    comrade_status status = line_template_render(&line, member, &text, &error);
    assert_int_equal(status, expected);
    if (status != COMRADE_OK) {
        assert_string_equal(buffer_text(&text), "before ");
    }
    char *result = strdup(status == COMRADE_OK ? buffer_text(&text) + 7 : error.message);
    buffer_finish(&text);
    line_template_finish(&line);
    return result;
}

static void expect_line(const char *template, const char *expected)
{
    char *text = rendered(template, &plain, COMRADE_OK);
    assert_string_equal(text, expected);
    free(text);
}

static void expect_left_out(const char *metadata, comrade_status expected, const char *why)
{
    comrade_member_data member = plain;
    member.metadata = metadata;
    char *text = rendered("server {ip};", &member, expected);
    if (strstr(text, why) == NULL) {
        fail_msg("%s: \"%s\" does not say \"%s\"", metadata, text, why);
    }
    free(text);
}

static void values_are_put_in(void **state)
{
    (void)state;
    expect_line("server {ip}:{port};", "server 10.0.0.5:8080;");
    expect_line("{id} {role} {state} {host} {pid} {version}", "app-web1-1 app up web1 4711 1.0.0");
    expect_line("{a.b}{yes}", "dottedtrue");
    expect_line("no value \"at all\" # $x", "no value \"at all\" # $x");
}

static void a_doubled_brace_is_a_brace(void **state)
{
    (void)state;
    expect_line("upstream a {{ server {ip}; }}", "upstream a { server 10.0.0.5; }");
    expect_line("{{ip}}", "{ip}");
    expect_line("{{{ip}}}", "{10.0.0.5}");
}

static void a_malformed_template_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *template;
        const char *why;
    } cases[] = {
        {"", "empty"},
        {"server {ip", "'{' at character 8"},
        {"server {ip{port}", "'{' at character 8"},
        {"server ip};", "'}' at character 10"},
        {"server {};", "{} at character 8"},
        {"a\nb", "one line"},
        {"a\x1b[31m", "control character"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct line_template line = {.n_parts = 77};
        comrade_error error;
        assert_int_equal(line_template_init(&line, cases[i].template, &error), COMRADE_INVALID);
        assert_int_equal(line.n_parts, 77);
        if (strstr(error.message, cases[i].why) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", error.message, cases[i].why);
        }
    }
}

static void a_template_has_limits(void **state)
{
    struct line_template line;
    comrade_error error;
    char text[LINE_TEMPLATE_MAX_BYTES + 2] = {0};
    (void)state;
    memset(text, 'x', LINE_TEMPLATE_MAX_BYTES + 1);
    assert_int_equal(line_template_init(&line, text, &error), COMRADE_TOO_LARGE);
    text[0] = '\0';
    for (size_t i = 0; i <= LINE_PARTS_MAX; i++) {
        memcpy(text + 3 * i, "{a}", 4);
    }
    assert_int_equal(line_template_init(&line, text, &error), COMRADE_TOO_LARGE);
}

static void what_a_member_does_not_have_leaves_it_out(void **state)
{
    (void)state;
    expect_left_out("{}", COMRADE_NOT_FOUND, "no \"ip\"");
    expect_left_out("", COMRADE_NOT_FOUND, "no \"ip\"");
    expect_left_out("{\"ip\":null}", COMRADE_NOT_FOUND, "no \"ip\"");
    expect_left_out("{\"ip\":\"\"}", COMRADE_NOT_FOUND, "empty");
    expect_left_out("{\"ip\":[1]}", COMRADE_INVALID, "no single value");
    expect_left_out("{\"ip\":{\"a\":1}}", COMRADE_INVALID, "no single value");
}

static void a_member_without_a_process_has_no_pid(void **state)
{
    comrade_member_data member = plain;
    (void)state;
    member.pid = 0;
    free(rendered("{pid}", &member, COMRADE_NOT_FOUND));
}

/* Each byte but those that mean themselves everywhere. */
static void no_value_gets_out_of_its_place(void **state)
{
    static const char let_through[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-@/+[]%,=";
    comrade_member_data member = plain;
    (void)state;
    for (int byte = 1; byte < 256; byte++) {
        char id[] = {'a', (char)byte, 'b', '\0'};
        member.id = id;
        bool is_plain = strchr(let_through, byte) != NULL;
        char *text = rendered("{id}", &member, is_plain ? COMRADE_OK : COMRADE_INVALID);
        if (is_plain) {
            assert_string_equal(text, id);
        }
        free(text);
    }
    expect_left_out("{\"ip\":\"a\\nserver evil\"}", COMRADE_INVALID, "a\\x0aserver evil");
    expect_left_out("{\"ip\":\"a;include /etc/passwd\"}", COMRADE_INVALID, "could mean something");
    expect_left_out("{\"ip\":\"caf\\u00e9\"}", COMRADE_INVALID, "could mean something");
    expect_left_out("{\"ip\":\"a\\u2028b\"}", COMRADE_INVALID, "could mean something");
}

static comrade_status render_one(void *user)
{
    struct line_template line;
    struct buffer text;
    (void)user;
    comrade_status status = line_template_init(&line, "server {ip}:{port} {id}", NULL);
    if (status != COMRADE_OK) {
        return status;
    }
    buffer_init(&text, 1 << 20);
    status = line_template_render(&line, &plain, &text, NULL);
    buffer_finish(&text);
    line_template_finish(&line);
    return status;
}

static void out_of_memory_is_told(void **state)
{
    (void)state;
    for_each_failed_allocation(render_one, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_put_in),
        cmocka_unit_test(a_doubled_brace_is_a_brace),
        cmocka_unit_test(a_malformed_template_is_refused_with_its_place),
        cmocka_unit_test(a_template_has_limits),
        cmocka_unit_test(what_a_member_does_not_have_leaves_it_out),
        cmocka_unit_test(a_member_without_a_process_has_no_pid),
        cmocka_unit_test(no_value_gets_out_of_its_place),
        cmocka_unit_test(out_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
