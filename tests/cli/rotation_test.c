/* Who is in rotation, with and without an outage of the store behind us. */
#include "cli/rotation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/allocation.h"

#define NOW_MS INT64_C(1700000000000)

static const struct rotation nobody = {0};
static const struct rotation_rule usual = {.wants_healthy = true};

static int read_line(void **state)
{
    static struct line_template line;
    *state = &line;
    return line_template_init(&line, "{ip}", NULL) == COMRADE_OK ? 0 : -1;
}

static int drop_line(void **state)
{
    line_template_finish(*state);
    return 0;
}

static comrade_member_data member(const char *id, const char *metadata, int64_t age_ms)
{
    return (comrade_member_data){
        .size = sizeof(comrade_member_data),
        .id = id,
        .role = "app",
        .metadata = metadata,
        .host = "web1",
        .version = "1.0.0",
        .state = COMRADE_STATE_UP,
        .is_alive = true,
        .is_healthy = age_ms < 60 * 1000,
        .is_available = age_ms < 50 * 1000,
        .updated_ms = NOW_MS - age_ms,
        .now_ms = NOW_MS,
    };
}

static void add(struct rotation *rotation, void **state, const struct rotation_rule *rule,
                comrade_member_data added, const struct rotation *before)
{
    assert_int_equal(rotation_add(rotation, *state, rule, &added, before, NULL), COMRADE_OK);
}

static void expect_text(const struct rotation *rotation, const char *expected)
{
    size_t n_lines = 77;
    char *text = rotation_text(rotation, &n_lines);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
    size_t n_expected = 0;
    for (const char *c = expected; *c != '\0'; c++) {
        n_expected += *c == '\n' ? 1 : 0;
    }
    assert_int_equal(n_lines, n_expected);
}

static void the_healthy_have_a_line_each(void **state)
{
    struct rotation rotation = {0};
    comrade_member_data checked = member("c", "{\"ip\":3}", 1);
    checked.state = COMRADE_STATE_UNHEALTHY;
    checked.is_healthy = false;
    add(&rotation, state, &usual, member("a", "{\"ip\":1}", 1), &nobody);
    add(&rotation, state, &usual, member("b", "{\"ip\":2}", 60 * 1000), &nobody);
    add(&rotation, state, &usual, checked, &nobody);
    add(&rotation, state, &usual, member("d", "{\"ip\":4}", 59 * 1000), &nobody);
    expect_text(&rotation, "1\n4\n");
    rotation_finish(&rotation);
    expect_text(&rotation, "");
}

static void what_is_asked_is_what_counts(void **state)
{
    const struct rotation_rule any = {0};
    const struct rotation_rule available = {.wants_healthy = true, .wants_available = true};
    struct rotation rotation = {0};
    add(&rotation, state, &any, member("a", "{\"ip\":1}", 90 * 1000), &nobody);
    expect_text(&rotation, "1\n");
    rotation_finish(&rotation);
    add(&rotation, state, &available, member("a", "{\"ip\":1}", 55 * 1000), &nobody);
    add(&rotation, state, &available, member("b", "{\"ip\":2}", 45 * 1000), &nobody);
    expect_text(&rotation, "2\n");
    rotation_finish(&rotation);
}

/* The store was away for five minutes: everybody's heartbeat is older than that. */
static void an_outage_of_the_store_takes_nobody_out(void **state)
{
    const struct rotation_rule after = {.wants_healthy = true, .outage_ms = 300 * 1000};
    struct rotation rotation = {0};
    add(&rotation, state, &after, member("back", "{\"ip\":1}", 100), &nobody);
    add(&rotation, state, &after, member("silent", "{\"ip\":2}", 310 * 1000), &nobody);
    add(&rotation, state, &after, member("crashed", "{\"ip\":3}", 361 * 1000), &nobody);
    expect_text(&rotation, "1\n2\n");
    /* A minute later the silent one counts as crashed, as after a minute of silence otherwise. */
    assert_true(rotation_release(&rotation));
    expect_text(&rotation, "1\n");
    assert_false(rotation_release(&rotation));
    rotation_finish(&rotation);
}

static void an_outage_excuses_nothing_but_silence(void **state)
{
    const struct rotation_rule after = {.wants_healthy = true, .outage_ms = 300 * 1000};
    struct rotation rotation = {0};
    comrade_member_data unhealthy = member("a", "{\"ip\":1}", 310 * 1000);
    unhealthy.state = COMRADE_STATE_UNHEALTHY;
    comrade_member_data asked = member("b", "{\"ip\":2}", 310 * 1000);
    asked.request = COMRADE_REQUEST_KILL;
    comrade_member_data gone = member("c", "{\"ip\":3}", 310 * 1000);
    gone.is_alive = false;
    add(&rotation, state, &after, unhealthy, &nobody);
    add(&rotation, state, &after, asked, &nobody);
    add(&rotation, state, &after, gone, &nobody);
    expect_text(&rotation, "");
    rotation_finish(&rotation);
}

static void who_is_left_out_is_news_once(void **state)
{
    struct rotation first = {0};
    struct rotation second = {0};
    add(&first, state, &usual, member("a", "{}", 1), &nobody);
    add(&first, state, &usual, member("b", "{\"ip\":2}", 1), &nobody);
    assert_true(first.lines[0].is_news);
    assert_non_null(first.lines[0].reason);
    assert_false(first.lines[1].is_news);
    add(&second, state, &usual, member("a", "{}", 1), &first);
    add(&second, state, &usual, member("b", "{\"ip\":\";\"}", 1), &first);
    assert_false(second.lines[0].is_news);
    assert_true(second.lines[1].is_news);
    expect_text(&second, "");
    rotation_finish(&first);
    add(&first, state, &usual, member("a", "{\"ip\":\";\"}", 1), &second);
    assert_true(first.lines[0].is_news); /* for another reason */
    rotation_finish(&first);
    rotation_finish(&second);
}

static comrade_status make_two(void *user)
{
    struct rotation rotation = {0};
    comrade_member_data one = member("a", "{\"ip\":1}", 1);
    comrade_member_data other = member("b", "{}", 1);
    comrade_status status = rotation_add(&rotation, user, &usual, &one, &nobody, NULL);
    if (status == COMRADE_OK) {
        status = rotation_add(&rotation, user, &usual, &other, &nobody, NULL);
    }
    char *text = rotation_text(&rotation, NULL);
    if (status == COMRADE_OK && text == NULL) {
        status = COMRADE_NO_MEMORY;
    }
    /* Refused memory, jansson may say that it is no JSON: the member is left out, and tried again.
     */
    if (status == COMRADE_OK &&
        (strcmp(text, "1\n") != 0 || strstr(rotation.lines[1].reason, "no \"ip\"") == NULL)) {
        status = COMRADE_INVALID;
    }
    free(text);
    rotation_finish(&rotation);
    return status;
}

static void out_of_memory_is_told(void **state)
{
    for_each_failed_allocation(make_two, *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_healthy_have_a_line_each),
        cmocka_unit_test(what_is_asked_is_what_counts),
        cmocka_unit_test(an_outage_of_the_store_takes_nobody_out),
        cmocka_unit_test(an_outage_excuses_nothing_but_silence),
        cmocka_unit_test(who_is_left_out_is_news_once),
        cmocka_unit_test(out_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, read_line, drop_line);
}
