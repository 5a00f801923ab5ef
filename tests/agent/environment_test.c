#include "agent/environment.h"

#include "agent/env_file.h"
#include "lib/allocation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *value_of(const struct variables *variables, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < variables->n; i++) {
        if (strncmp(variables->items[i], name, len) == 0 && variables->items[i][len] == '=') {
            return variables->items[i] + len + 1;
        }
    }
    return NULL;
}

static const char *const inherited[] = {"PATH=/bin",
                                        "EMPTY=",
                                        "COMRADE_STORE=postgres://user:secret@host/db",
                                        "COMRADE_STORE_FILE=/etc/secret",
                                        "COMRADE_ROLE=other",
                                        "NOTIFY_SOCKET=/run/systemd/notify",
                                        "LISTEN_FDS=2",
                                        "no-equals",
                                        NULL};

static struct environment_options options_new(void)
{
    return (struct environment_options){.inherited = inherited,
                                        .id = "app-host-1",
                                        .role = "app",
                                        .store = "postgres://user:secret@host/db",
                                        .name_space = "staging"};
}

static struct variables build(const struct environment_options *options)
{
    struct variables variables = {NULL, 0, 0};
    assert_int_equal(environment_build(options, &variables, NULL), COMRADE_OK);
    return variables;
}

static void the_service_learns_who_it_is_and_not_the_store(void **state)
{
    (void)state;
    struct environment_options options = options_new();
    options.port = 8080;
    struct variables variables = build(&options);
    assert_string_equal(value_of(&variables, "COMRADE_ID"), "app-host-1");
    assert_string_equal(value_of(&variables, "COMRADE_ROLE"), "app");
    assert_string_equal(value_of(&variables, "PORT"), "8080");
    assert_string_equal(value_of(&variables, "PATH"), "/bin");
    assert_string_equal(value_of(&variables, "EMPTY"), "");
    assert_null(value_of(&variables, "COMRADE_STORE"));
    assert_null(value_of(&variables, "COMRADE_STORE_FILE"));
    assert_null(value_of(&variables, "NOTIFY_SOCKET"));
    assert_null(value_of(&variables, "LISTEN_FDS"));
    for (size_t i = 0; i < variables.n; i++) {
        assert_null(strstr(variables.items[i], "secret"));
    }
    assert_null(variables.items[variables.n]);
    variables_finish(&variables);
}

static void without_a_port_there_is_no_PORT_but_the_inherited_one(void **state)
{
    (void)state;
    struct environment_options options = options_new();
    struct variables variables = build(&options);
    assert_null(value_of(&variables, "PORT"));
    variables_finish(&variables);
}

static void the_store_is_passed_when_it_is_asked_for(void **state)
{
    (void)state;
    struct environment_options options = options_new();
    options.passes_store = true;
    setenv("COMRADE_MODULE_PATH", "/opt/comrade/modules", 1);
    struct variables variables = build(&options);
    unsetenv("COMRADE_MODULE_PATH");
    assert_string_equal(value_of(&variables, "COMRADE_MODULE_PATH"), "/opt/comrade/modules");
    assert_string_equal(value_of(&variables, "COMRADE_STORE"), "postgres://user:secret@host/db");
    assert_string_equal(value_of(&variables, "COMRADE_NAMESPACE"), "staging");
    assert_null(value_of(&variables, "COMRADE_KIND"));
    assert_null(value_of(&variables, "COMRADE_STORE_FILE"));
    variables_finish(&variables);
}

static void write_file(char path[64], const char *text)
{
    snprintf(path, 64, "/tmp/comrade-env-test-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void the_env_file_wins_over_what_was_inherited_but_not_over_us(void **state)
{
    (void)state;
    char path[64];
    write_file(path, "PATH=/opt/bin\nCOMRADE_ID=liar\nCOMRADE_STORE=x\nPORT=1\n");
    struct environment_options options = options_new();
    options.env_file = path;
    options.port = 8080;
    struct variables variables = build(&options);
    unlink(path);
    assert_string_equal(value_of(&variables, "PATH"), "/opt/bin");
    assert_string_equal(value_of(&variables, "COMRADE_ID"), "app-host-1");
    assert_string_equal(value_of(&variables, "PORT"), "8080");
    assert_null(value_of(&variables, "COMRADE_STORE"));
    variables_finish(&variables);
}

static void a_missing_env_file_is_named(void **state)
{
    (void)state;
    struct environment_options options = options_new();
    options.env_file = "/nowhere/at/all.env";
    struct variables variables = {NULL, 0, 0};
    comrade_error error = {0};
    assert_int_equal(environment_build(&options, &variables, &error), COMRADE_SYSTEM);
    assert_non_null(strstr(error.message, "/nowhere/at/all.env"));
    assert_null(variables.items);
}

static comrade_status parse(const char *text, struct variables *variables, comrade_error *error)
{
    return env_file_parse("x.env", text, strlen(text), variables, error);
}

static void the_env_file_knows_comments_quotes_and_export(void **state)
{
    (void)state;
    struct variables variables = {NULL, 0, 0};
    const char text[] = "# a comment\n"
                        "\n"
                        "PLAIN = not this\n";
    assert_int_equal(parse(text, &variables, NULL), COMRADE_INVALID);
    variables_finish(&variables);
    const char good[] = "  # indented comment\r\n"
                        "PLAIN=a b # c \n"
                        "export EXPORTED=1\n"
                        "SINGLE='a\\n$b'  # behind\n"
                        "DOUBLE=\"a\\n\\\"\\$b\\\\\"\n"
                        "EMPTY=\n"
                        "EQUALS=a=b\n"
                        "LAST='no line break'";
    assert_int_equal(parse(good, &variables, NULL), COMRADE_OK);
    assert_string_equal(value_of(&variables, "PLAIN"), "a b # c");
    assert_string_equal(value_of(&variables, "EXPORTED"), "1");
    assert_string_equal(value_of(&variables, "SINGLE"), "a\\n$b");
    assert_string_equal(value_of(&variables, "DOUBLE"), "a\n\"$b\\");
    assert_string_equal(value_of(&variables, "EMPTY"), "");
    assert_string_equal(value_of(&variables, "EQUALS"), "a=b");
    assert_string_equal(value_of(&variables, "LAST"), "no line break");
    variables_finish(&variables);
}

static void an_error_in_the_env_file_names_its_line_and_not_the_value(void **state)
{
    (void)state;
    const char *const bad[] = {"A=1\n\n1B=secret\n", "A=1\n\nsecret\n", "A=1\n\nB='secret\n",
                               "A=1\n\nB=\"secret\\x\"\n", "A=1\n\nB='secret' secret\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct variables variables = {NULL, 0, 0};
        comrade_error error = {0};
        assert_int_equal(parse(bad[i], &variables, &error), COMRADE_INVALID);
        assert_non_null(strstr(error.message, "x.env, line 3: "));
        assert_null(strstr(error.message, "secret"));
        variables_finish(&variables);
    }
    struct variables variables = {NULL, 0, 0};
    comrade_error error = {0};
    assert_int_equal(env_file_parse("x.env", "A=1\0B", 5, &variables, &error), COMRADE_INVALID);
    assert_non_null(strstr(error.message, "line 1: there is a NUL byte"));
    variables_finish(&variables);
}

static comrade_status build_scenario(void *user)
{
    struct environment_options options = options_new();
    options.env_file = user;
    struct variables variables = {NULL, 0, 0};
    comrade_status status = environment_build(&options, &variables, NULL);
    variables_finish(&variables);
    return status;
}

static void no_failed_allocation_leaks_or_crashes(void **state)
{
    (void)state;
    char path[64];
    write_file(path, "A=1\nB='2'\n");
    for_each_failed_allocation(build_scenario, path);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_service_learns_who_it_is_and_not_the_store),
        cmocka_unit_test(without_a_port_there_is_no_PORT_but_the_inherited_one),
        cmocka_unit_test(the_store_is_passed_when_it_is_asked_for),
        cmocka_unit_test(the_env_file_wins_over_what_was_inherited_but_not_over_us),
        cmocka_unit_test(a_missing_env_file_is_named),
        cmocka_unit_test(the_env_file_knows_comments_quotes_and_export),
        cmocka_unit_test(an_error_in_the_env_file_names_its_line_and_not_the_value),
        cmocka_unit_test(no_failed_allocation_leaks_or_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
