/*
 * docs/LIFECYCLE.md is made from the table: with UPDATE_DOCS=1 this writes it, else it fails when
 * the two disagree.
 */
#include "base/buffer.h"
#include "core/lifecycle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char head[] =
    "# The lifecycle of a supervised process\n"
    "\n"
    "Written from the table in `src/core/lifecycle.c` by `tests/unit/lifecycle_document_test.c`\n"
    "(`UPDATE_DOCS=1`). Of the rows of a state and an event, the first whose condition holds is\n"
    "followed. What is not drawn leaves everything as it is.\n"
    "\n"
    "```mermaid\n"
    "stateDiagram-v2\n"
    "    [*] --> stopped\n";

static void append_events(struct buffer *text, unsigned events)
{
    const char *separator = "";
    for (int event = 0; event < LIFECYCLE_EVENTS; event++) {
        if ((events & LIFECYCLE_BIT(event)) != 0) {
            buffer_append_format(text, "%s%s", separator, lifecycle_event_name(event));
            separator = ", ";
        }
    }
}

static void append_actions(struct buffer *text, unsigned actions)
{
    static const char *const names[] = {"report",    "spawn",       "TERM group",
                                        "TERM tree", "KILL tree",   "count as available",
                                        "exit",      "exit at once"};
    const char *separator = "";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if ((actions & (1u << i)) != 0) {
            buffer_append_format(text, "%s%s", separator, names[i]);
            separator = ", ";
        }
    }
}

static void append_diagram(struct buffer *text)
{
    const struct lifecycle_row *row;
    for (size_t i = 0; (row = lifecycle_row_at(i)) != NULL; i++) {
        if (row->state == row->next) {
            continue;
        }
        buffer_append_format(text, "    %s --> %s: ", lifecycle_state_name(row->state),
                             lifecycle_state_name(row->next));
        append_events(text, row->events);
        if (row->guard != LIFECYCLE_IF_ANY) {
            buffer_append_format(text, " (%s)", lifecycle_guard_text(row->guard));
        }
        buffer_append_text(text, "\n");
    }
}

static void append_table(struct buffer *text)
{
    const struct lifecycle_row *row;
    buffer_append_text(text, "```\n\n| state | event | if | → state | timer | does | why |\n"
                             "|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; (row = lifecycle_row_at(i)) != NULL; i++) {
        buffer_append_format(text, "| %s | ", lifecycle_state_name(row->state));
        append_events(text, row->events);
        buffer_append_format(text, " | %s | %s | %s | ", lifecycle_guard_text(row->guard),
                             lifecycle_state_name(row->next), lifecycle_timer_text(row->timer));
        append_actions(text, row->actions);
        buffer_append_format(text, " | %s |\n", row->reason);
    }
}

static void path_of_document(char *path, size_t size)
{
    const char *end = strstr(__FILE__, "tests/unit/");
    assert_non_null(end);
    snprintf(path, size, "%.*sdocs/LIFECYCLE.md", (int)(end - __FILE__), __FILE__);
}

static void the_documented_table_is_the_real_one(void **state)
{
    (void)state;
    char path[4096];
    path_of_document(path, sizeof path);
    struct buffer text;
    buffer_init(&text, 1 << 16);
    buffer_append_text(&text, head);
    append_diagram(&text);
    append_table(&text);
    assert_false(text.is_failed);
    bool is_update = getenv("UPDATE_DOCS") != NULL;
    FILE *file = fopen(path, is_update ? "w" : "r");
    assert_non_null(file);
    if (is_update) {
        assert_int_equal(fwrite(text.bytes, 1, text.len, file), text.len);
    } else {
        char *stored = calloc(1, text.len + 2);
        assert_int_equal(fread(stored, 1, text.len + 1, file), text.len);
        assert_string_equal(stored, buffer_text(&text));
        free(stored);
    }
    assert_int_equal(fclose(file), 0);
    buffer_finish(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_documented_table_is_the_real_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
