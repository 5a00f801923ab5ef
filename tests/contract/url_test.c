/* What may be shown of a URL, and which scheme it has. */
#include "store/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_shown_as(const char *url, const char *expected)
{
    char *shown = url_redact(url);
    assert_non_null(shown);
    assert_string_equal(shown, expected);
    free(shown);
}

static void a_scheme_is_read_in_lower_case_and_postgresql_is_postgres(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"sqlite:/a.db", "sqlite"},     {"SQLite:a", "sqlite"},
        {"memory:", "memory"},          {"postgresql://h/d", "postgres"},
        {"postgres://h/d", "postgres"}, {"x-my.store+2:a", "x-my.store+2"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char scheme[32];
        assert_true(url_scheme(pairs[i][0], scheme, sizeof scheme));
        assert_string_equal(scheme, pairs[i][1]);
    }
}

static void what_has_no_scheme_is_told_apart(void **state)
{
    (void)state;
    static const char *const urls[] = {"",
                                       ":",
                                       "/var/lib/a.db",
                                       "a.db",
                                       "://host",
                                       "../a:b",
                                       "a b:c",
                                       "a%:b",
                                       "\xc3\xa9:a",
                                       "a-scheme-that-is-much-longer-than-any-scheme:x"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        char scheme[32] = "untouched";
        assert_false(url_scheme(urls[i], scheme, sizeof scheme));
    }
}

static void what_is_no_secret_is_shown_as_it_is(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "memory:",
        "memory:name",
        "sqlite:/var/lib/comrade/comrade.db",
        "sqlite:///var/lib/me@home/a:b#c.db",
        "sqlite:a file with blanks.db",
        "postgres://db1,db2:5432/app?sslmode=require&connect_timeout=3",
        "postgres://alice@db/app",
        "postgres://db/app?user=alice@example.com",
        "redis://[::1]:6379/0",
        "etcd://a:2379,[fe80::1]:2380,c/app",
        "datastore://my-project",
        "datastore://my-project/orders?namespace=eu@1&kind=Web%20server",
        "datastore://example.com:my-project/orders?endpoint=https://eu.googleapis.com:443",
        "datastore://p?endpoint=http://[::1]:8081",
        "/var/lib/comrade.db",
        "./a.db",
        "",
    };
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        assert_shown_as(urls[i], urls[i]);
    }
}

static void a_password_is_hidden(void **state)
{
    (void)state;
    assert_shown_as("postgres://alice:hunter2@db:5432/app", "postgres://alice:***@db:5432/app");
    assert_shown_as("redis://:hunter2@db", "redis://:***@db");
    assert_shown_as("postgres://alice:@db", "postgres://alice:***@db");
    assert_shown_as("postgres://db/app?user=alice&password=hunter2&sslmode=require",
                    "postgres://db/app?user=alice&password=***&sslmode=require");
    assert_shown_as("etcd://h?sslKey=hunter2;x=1", "etcd://h?sslKey=***;x=1");
    assert_shown_as("datastore://p/d?namespace=n&credentials=/etc/hunter2.json&kind=K",
                    "datastore://p/d?namespace=n&credentials=***&kind=K");
    assert_shown_as("sqlite:/a.db?key=hunter2", "sqlite:/a.db?key=***");
}

/* None of these may show "hunter" or "2" of the password, however wrong they are written. */
static void nothing_of_a_secret_is_shown_of_an_odd_url(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "postgres://alice:hunter@2@db/app",
        "postgres://alice:hunter/2@db/app",
        "postgres://alice:hunter:2@db/app",
        "postgres://alice:hunter?2@db/app",
        "postgres://alice:hunter#2@db/app",
        "postgres://alice:22?2@db/app",
        "postgres://alice:hunter?x=2@db/app",
        "postgres://alice:hunter&2@db/app?sslmode=require",
        "postgres://alice:hunter2",
        "postgres://alice:hunter2/app",
        "postgres://alice:hunter?2",
        "redis://:hunter2?x=1",
        "redis://:?hunter2@db",
        "redis://hunter2@db",
        "redis://hunter2@",
        "postgres:alice:hunter2@db/app",
        "postgres:host=db password=hunter2",
        "postgres://host=db password=hunter2",
        "redsi:hunter2@db",
        "alice:hunter2@db",
        "hunter2@db",
        "hunter2",
        "postgres:/alice:hunter2@db/app",
        "redis://db/?hunter2",
        "datastore://alice:hunter2",
        "datastore://alice:hunter2@p.example.com",
        "datastore://hunter2@p",
        "datastore://p?credential=hunter2",
        "datastore://p?hunter2",
        "datastore://p?endpoint=https://alice:hunter2@h",
        "redis://db/0#hunter2",
        "postgres://db/app?password=a&hunter2",
        "postgres://db/app?password=a;hunter2",
        "postgres://db/app?password=a#hunter2",
        "postgres://db/app?pass%77ord=hunter2",
        "postgres://db/app?PGPASSWORD=hunter2",
        "postgres://db/app?options=-cpassword=hunter2",
        "postgres://db/app?Api-Key=hunter2",
        "postgres://db/app?x=http://alice:hunter2@proxy",
        "postgres://alice:hunter2\t@db",
        "postgres://alice:hunter2\n@db",
    };
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        char *shown = url_redact(urls[i]);
        assert_non_null(shown);
        if (strstr(shown, "hunter") != NULL || strchr(shown, '2') != NULL) {
            fail_msg("%s is shown as %s", urls[i], shown);
        }
        free(shown);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scheme_is_read_in_lower_case_and_postgresql_is_postgres),
        cmocka_unit_test(what_has_no_scheme_is_told_apart),
        cmocka_unit_test(what_is_no_secret_is_shown_as_it_is),
        cmocka_unit_test(a_password_is_hidden),
        cmocka_unit_test(nothing_of_a_secret_is_shown_of_an_odd_url),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
