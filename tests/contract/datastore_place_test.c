/* Which place a URL names, and how a mistake in one is told. */
#include "store/datastore/place.h"

#include "lib/allocation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SHOWN "the-store"

static comrade_store_config config_of(const char *url, const char *name_space, const char *kind)
{
    return (comrade_store_config){.size = sizeof(comrade_store_config),
                                  .url = url,
                                  .shown_url = SHOWN,
                                  .name_space = name_space,
                                  .kind = kind};
}

static struct place read_as(const char *url, const char *name_space, const char *kind,
                            const char *emulator_host)
{
    comrade_store_config config = config_of(url, name_space, kind);
    struct place place;
    comrade_error error = {0};
    if (place_read(&config, emulator_host, &place, &error) != COMRADE_OK) {
        fail_msg("%s: %s", url, error.message);
    }
    return place;
}

static struct place read_url(const char *url)
{
    return read_as(url, "", "ComradeServer", NULL);
}

static void assert_refused_as(const char *url, const char *name_space, const char *kind,
                              const char *emulator_host, comrade_status expected, const char *says)
{
    comrade_store_config config = config_of(url, name_space, kind);
    struct place place = {.is_emulator = true};
    comrade_error error = {0};
    assert_int_equal(place_read(&config, emulator_host, &place, &error), expected);
    assert_null(place.project);
    assert_true(place.is_emulator); /* untouched */
    if (strstr(error.message, says) == NULL || strncmp(error.message, SHOWN ": ", 11) != 0) {
        fail_msg("%s: \"%s\" is not said by: %s", url, says, error.message);
    }
}

static void assert_refused(const char *url, const char *says)
{
    assert_refused_as(url, "", "ComradeServer", NULL, COMRADE_INVALID, says);
}

/* --- What is read ----------------------------------------------------------------------------- */

static void a_project_alone_means_the_defaults(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "datastore://my-project",   "DataStore://my-project",          "datastore://my-project/",
        "datastore://my-project?",  "datastore://my-project/?",        "datastore://my%2Dproject",
        "datastore://my-project?&", "datastore://my-project/(default)"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct place place = read_url(urls[i]);
        assert_string_equal(place.project, "my-project");
        assert_string_equal(place.database, "");
        assert_string_equal(place.name_space, "");
        assert_string_equal(place.kind, "ComradeServer");
        assert_null(place.credentials);
        assert_string_equal(place.endpoint, "https://datastore.googleapis.com");
        assert_false(place.is_emulator);
        place_finish(&place);
        place_finish(&place);
    }
}

static void every_part_is_read_and_percent_decoded(void **state)
{
    (void)state;
    struct place place =
        read_url("datastore://p1/orders-eu?namespace=team.a_1&kind=Web%20server%26%C3%A9&"
                 "credentials=/etc/my%20keys/a%3Db+c.json&"
                 "endpoint=https%3A%2F%2Feurope-datastore.googleapis.com");
    assert_string_equal(place.project, "p1");
    assert_string_equal(place.database, "orders-eu");
    assert_string_equal(place.name_space, "team.a_1");
    assert_string_equal(place.kind, "Web server&\xc3\xa9");
    assert_string_equal(place.credentials, "/etc/my keys/a=b+c.json");
    assert_string_equal(place.endpoint, "https://europe-datastore.googleapis.com");
    place_finish(&place);
}

static void a_project_of_a_domain_is_one(void **state)
{
    (void)state;
    static const char *const urls[] = {"datastore://example.com:my-project/db-1",
                                       "datastore://example.com%3amy-project/db-1"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct place place = read_url(urls[i]);
        assert_string_equal(place.project, "example.com:my-project");
        assert_string_equal(place.database, "db-1");
        place_finish(&place);
    }
}

static void the_options_complete_the_url(void **state)
{
    (void)state;
    struct place place = read_as("datastore://p", "staging", "Web", NULL);
    assert_string_equal(place.name_space, "staging");
    assert_string_equal(place.kind, "Web");
    place_finish(&place);
    place = read_as("datastore://p?namespace=staging&kind=Web", "staging", "Web", NULL);
    assert_string_equal(place.name_space, "staging");
    assert_string_equal(place.kind, "Web");
    place_finish(&place);
}

static void a_kind_in_the_url_stands_against_the_default(void **state)
{
    (void)state;
    struct place place = read_as("datastore://p?kind=Web", "", "ComradeServer", NULL);
    assert_string_equal(place.kind, "Web");
    place_finish(&place);
}

static void an_emulator_is_spoken_to_without_tls(void **state)
{
    (void)state;
    static const char *const hosts[][2] = {
        {"localhost:8081", "http://localhost:8081"},
        {"http://localhost:8081/", "http://localhost:8081"},
        {"[::1]:8432", "http://[::1]:8432"},
        {"data_store.test:80", "http://data_store.test:80"},
        {"emulator", "http://emulator"},
    };
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        struct place place = read_as("datastore://p", "", "ComradeServer", hosts[i][0]);
        assert_string_equal(place.endpoint, hosts[i][1]);
        assert_true(place.is_emulator);
        place_finish(&place);
    }
    struct place place = read_as("datastore://p", "", "ComradeServer", "");
    assert_false(place.is_emulator);
    place_finish(&place);
}

static void an_endpoint_without_tls_is_taken_on_loopback(void **state)
{
    (void)state;
    static const char *const urls[] = {"http://127.0.0.1:8081", "http://127.9.9.9",
                                       "http://LOCALHOST:1", "http://[::1]:65535"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        char url[128] = "datastore://p?endpoint=";
        strncat(url, urls[i], sizeof url - strlen(url) - 1);
        struct place place = read_url(url);
        assert_string_equal(place.endpoint, urls[i]);
        assert_true(place.is_emulator);
        place_finish(&place);
    }
    struct place place = read_url("datastore://p?endpoint=http://[::1]:8&credentials=/key.json");
    assert_false(place.is_emulator);
    place_finish(&place);
}

/* --- What is refused -------------------------------------------------------------------------- */

static void a_password_in_the_place_of_a_project_is_not_repeated(void **state)
{
    (void)state;
    static const char *const urls[] = {"datastore://app:se-cret@my-project",
                                       "datastore://app%3Ase-cret%40my-project/db-1"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        comrade_store_config config = config_of(urls[i], "", "ComradeServer");
        struct place place = {0};
        comrade_error error = {0};
        assert_int_equal(place_read(&config, NULL, &place, &error), COMRADE_INVALID);
        assert_null(strstr(error.message, "se-cret"));
        assert_non_null(strstr(error.message, "credentials=FILE"));
    }
}

static void a_url_of_another_form_is_told_the_right_one(void **state)
{
    (void)state;
    static const char *const forms[] = {"datastore:my-project", "datastore:/my-project",
                                        "datastore:"};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        assert_refused(forms[i], "write the store as datastore://PROJECT");
    }
    assert_refused("datastore://", "the project is missing");
    assert_refused("datastore:///my-database", "the project is missing");
    assert_refused("datastore://p#x", "a '#' is written %23");
    static const char *const escapes[] = {"datastore://p%", "datastore://p%4", "datastore://p%4g",
                                          "datastore://p/d%00b", "datastore://p?kind=%"};
    for (size_t i = 0; i < sizeof escapes / sizeof escapes[0]; i++) {
        assert_refused(escapes[i], "is written %25");
    }
}

static void what_is_no_project_or_database_is_refused(void **state)
{
    (void)state;
    static const char *const projects[] = {
        "My-Project",    "my_project", "my project", "a@b",           "user:a@b",
        ":my-project",   "a.com:",     "a_b.com:c",  "a:b:c",         "my.project",
        "localhost:80.", "caf%C3%A9",  "proj:8080",  "localhost:8081"};
    for (size_t i = 0; i < sizeof projects / sizeof projects[0]; i++) {
        char url[128] = "datastore://";
        strncat(url, projects[i], sizeof url - strlen(url) - 1);
        assert_refused(url, "is no id of a project");
    }
    static const char *const databases[] = {"abc",  "1abc",  "a-b-",       "Abcd",
                                            "a/bc", "ab.cd", "(defaults)", "abcd/"};
    for (size_t i = 0; i < sizeof databases / sizeof databases[0]; i++) {
        char url[128] = "datastore://p/";
        strncat(url, databases[i], sizeof url - strlen(url) - 1);
        assert_refused(url, "is no id of a database");
    }
}

static void an_unknown_parameter_proposes_the_nearest(void **state)
{
    (void)state;
    assert_refused("datastore://p?namspace=a", "\"namspace\" (did you mean \"namespace\"?)");
    assert_refused("datastore://p?credential=a", "(did you mean \"credentials\"?)");
    assert_refused("datastore://p?Kind=a", "(did you mean \"kind\"?)");
    assert_refused("datastore://p?database=a", "datastore://PROJECT/DATABASE");
    assert_refused("datastore://p?x\x1b=a", "unknown parameter \"x\\x1b\"; known are namespace, ");
    assert_refused("datastore://p?=a", "unknown parameter \"\"");
    assert_refused("datastore://p?secret", "a parameter is written NAME=VALUE");
}

static void two_values_and_none_are_refused(void **state)
{
    (void)state;
    assert_refused("datastore://p?kind=a&kind=a", "kind is given twice");
    assert_refused("datastore://p?namespace=&namespace=a", "namespace is given twice");
    assert_refused("datastore://p?kind=", "kind has no value");
    assert_refused("datastore://p?credentials=&kind=a", "credentials has no value");
    assert_refused("datastore://p?endpoint=", "endpoint has no value");
}

static void the_url_and_the_options_may_not_differ(void **state)
{
    (void)state;
    assert_refused_as("datastore://p?namespace=a", "b", "ComradeServer", NULL, COMRADE_INVALID,
                      "the namespace is \"a\" in the URL and \"b\" in the options");
    assert_refused_as("datastore://p?namespace=", "b", "ComradeServer", NULL, COMRADE_INVALID,
                      "the namespace is \"\" in the URL and \"b\" in the options");
    assert_refused_as("datastore://p?kind=A", "", "B", NULL, COMRADE_INVALID,
                      "the kind is \"A\" in the URL and \"B\" in the options");
}

static void names_that_google_does_not_take_are_refused_before_it_is_asked(void **state)
{
    (void)state;
    assert_refused_as("datastore://p", "a b", "K", NULL, COMRADE_INVALID,
                      "the namespace \"a b\" is not allowed");
    assert_refused("datastore://p?namespace=caf%C3%A9", "is not allowed: letters, digits");
    assert_refused("datastore://p?namespace=__a__", "not __");
    assert_refused("datastore://p?kind=__Stat_Total__", "Google keeps __");
    assert_refused_as("datastore://p", "", "____", NULL, COMRADE_INVALID, "Google keeps __");
    assert_refused_as("datastore://p", "", "", NULL, COMRADE_INVALID, "the kind must not be empty");
    assert_refused("datastore://p?kind=ComradeServer.role", "ends in .role or .probe");
    assert_refused("datastore://p?kind=X.probe", "ends in .role or .probe");
    assert_refused("datastore://p?kind=a%0Ab", "the kind has a control character");
    assert_refused("datastore://p?kind=%ff", "the kind is not valid UTF-8");
}

static void the_limits_are_those_of_every_store(void **state)
{
    (void)state;
    char url[128] = "datastore://p?kind=";
    size_t len = strlen(url);
    memset(url + len, 'k', COMRADE_NAME_MAX_BYTES);
    struct place place = read_url(url);
    assert_int_equal(strlen(place.kind), COMRADE_NAME_MAX_BYTES);
    place_finish(&place);
    url[len + COMRADE_NAME_MAX_BYTES] = 'k';
    assert_refused_as(url, "", "ComradeServer", NULL, COMRADE_TOO_LARGE,
                      "the kind is 65 bytes long; at most 64 are allowed");
}

static void an_endpoint_to_which_a_token_would_go_in_clear_is_refused(void **state)
{
    (void)state;
    assert_refused("datastore://p?endpoint=http://datastore.googleapis.com", "in clear");
    assert_refused("datastore://p?endpoint=http://127.0.0.1.example.com", "in clear");
    assert_refused("datastore://p?endpoint=http://localhost.example.com:80", "in clear");
    assert_refused("datastore://p?endpoint=HTTP://10.0.0.1", "in clear");
    assert_refused("datastore://p?endpoint=http://[::2]:80", "in clear");
    assert_refused("datastore://p?endpoint=http://0.0.0.0:80", "in clear");
}

static void what_is_no_endpoint_is_refused(void **state)
{
    (void)state;
    assert_refused("datastore://p?endpoint=datastore.googleapis.com", "as https://HOST");
    assert_refused("datastore://p?endpoint=ftp://a", "as https://HOST");
    assert_refused("datastore://p?endpoint=file:///etc/passwd", "as https://HOST");
    static const char *const servers[] = {"",       "a/v1",  "a:",       "a:0",   "a:65536", "a:x",
                                          "u@a",    "u:p@a", "a%3Fb",    "a%20b", "[::1",    "[a]",
                                          "[::1]x", "::1",   "a%0d%0ab", "a//",   "[]"};
    for (size_t i = 0; i < sizeof servers / sizeof servers[0]; i++) {
        char url[128] = "datastore://p?endpoint=https://";
        strncat(url, servers[i], sizeof url - strlen(url) - 1);
        assert_refused(url, "the endpoint must be a host");
    }
}

static void an_emulator_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const hosts[] = {
        "localhost:x", "https://localhost:1", "a b:1", "/", "a/v1", "http://", ":8081"};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        assert_refused_as("datastore://p", "", "ComradeServer", hosts[i], COMRADE_INVALID,
                          "it must be HOST:PORT, as in localhost:8081");
    }
    assert_refused_as("datastore://p?endpoint=https://a", "", "ComradeServer", "localhost:1",
                      COMRADE_INVALID, "DATASTORE_EMULATOR_HOST is set, and the URL has an");
}

static void no_credentials_are_repeated_in_an_error(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "datastore://p?credentials=hunter2&kind=",
        "datastore://p?credentials=hunter2%",
        "datastore://p?credentials=hunter2&credentials=hunter2",
        "datastore://p?credentials=hunter2&nmaespace=",
        "datastore://p?hunter2",
        "datastore://p?credentials=hunter2&endpoint=https://u:hunter2@x"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        comrade_store_config config = config_of(urls[i], "", "ComradeServer");
        struct place place;
        comrade_error error = {0};
        assert_int_equal(place_read(&config, NULL, &place, &error), COMRADE_INVALID);
        assert_null(strstr(error.message, "hunter"));
    }
}

static comrade_status read_and_finish(void *user)
{
    (void)user;
    comrade_store_config config =
        config_of("datastore://p/data?credentials=/a&endpoint=https://b", "n", "K");
    struct place place = {0};
    comrade_status status = place_read(&config, NULL, &place, NULL);
    place_finish(&place);
    return status;
}

static void without_memory_nothing_is_left_behind(void **state)
{
    (void)state;
    for_each_failed_allocation(read_and_finish, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_project_alone_means_the_defaults),
        cmocka_unit_test(every_part_is_read_and_percent_decoded),
        cmocka_unit_test(a_project_of_a_domain_is_one),
        cmocka_unit_test(the_options_complete_the_url),
        cmocka_unit_test(a_kind_in_the_url_stands_against_the_default),
        cmocka_unit_test(an_emulator_is_spoken_to_without_tls),
        cmocka_unit_test(an_endpoint_without_tls_is_taken_on_loopback),
        cmocka_unit_test(a_password_in_the_place_of_a_project_is_not_repeated),
        cmocka_unit_test(a_url_of_another_form_is_told_the_right_one),
        cmocka_unit_test(what_is_no_project_or_database_is_refused),
        cmocka_unit_test(an_unknown_parameter_proposes_the_nearest),
        cmocka_unit_test(two_values_and_none_are_refused),
        cmocka_unit_test(the_url_and_the_options_may_not_differ),
        cmocka_unit_test(names_that_google_does_not_take_are_refused_before_it_is_asked),
        cmocka_unit_test(the_limits_are_those_of_every_store),
        cmocka_unit_test(an_endpoint_to_which_a_token_would_go_in_clear_is_refused),
        cmocka_unit_test(what_is_no_endpoint_is_refused),
        cmocka_unit_test(an_emulator_that_is_none_is_refused),
        cmocka_unit_test(no_credentials_are_repeated_in_an_error),
        cmocka_unit_test(without_memory_nothing_is_left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
