#include "base/env.h"
#include "store/registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const comrade_store_driver *find(const char *url)
{
    const comrade_store_driver *driver = NULL;
    comrade_error error = {0};
    if (store_driver_find(url, &driver, &error) != COMRADE_OK) {
        fail_msg("%s: %s", url, error.message);
    }
    return driver;
}

static void assert_refused(const char *url, comrade_status status, const char *says)
{
    const comrade_store_driver *driver = NULL;
    comrade_error error = {0};
    assert_int_equal(store_driver_find(url, &driver, &error), status);
    assert_null(driver);
    if (strstr(error.message, says) == NULL) {
        fail_msg("\"%s\" is not said by: %s", says, error.message);
    }
}

static void assert_unsupported(const char *url, const char *says)
{
    assert_refused(url, COMRADE_UNSUPPORTED, says);
}

static void memory_and_sqlite_are_built_in(void **state)
{
    (void)state;
    assert_string_equal(find("memory:x")->scheme, "memory");
    assert_string_equal(find("sqlite:/tmp/x")->scheme, "sqlite");
    assert_string_equal(find("SQLite:/tmp/x")->scheme, "sqlite");
}

static void a_missing_module_says_which_package_has_it_and_where_it_was_looked_for(void **state)
{
    (void)state;
    assert_unsupported("postgres://db/x", "install the package comrade-store-postgres");
    assert_unsupported("postgresql://db/x", "install the package comrade-store-postgres");
    assert_unsupported("datastore://project", "install the package comrade-store-datastore");
    assert_unsupported("postgres://db/x",
                       "there is no libcomrade-store-postgres.so in " MODULE_FOLDER ")");
}

static void a_scheme_without_a_driver_yet_names_no_package(void **state)
{
    (void)state;
    const comrade_store_driver *driver = NULL;
    comrade_error error = {0};
    assert_unsupported("redis://db", "has no driver for ");
    assert_unsupported("redis://db", "its stores are memory:, sqlite:PATH, postgres://… and "
                                     "datastore://PROJECT");
    store_driver_find("redis://db", &driver, &error);
    assert_null(strstr(error.message, "package"));
    assert_string_equal(find("etcd://db")->scheme, "etcd"); /* a stranger's */
}

static void an_unknown_scheme_lists_the_known_and_proposes_the_nearest(void **state)
{
    (void)state;
    assert_refused("sqlit:/tmp/x", COMRADE_INVALID, "did you mean \"sqlite:\"?");
    assert_refused("postgre://h/x", COMRADE_INVALID, "did you mean \"postgres:\"?");
    assert_refused("mongodb://x", COMRADE_INVALID,
                   "known are memory:, sqlite:PATH, postgres://… and datastore://PROJECT");
    assert_refused("datastor://x", COMRADE_INVALID, "did you mean \"datastore:\"?");
    assert_refused("mongodb://x", COMRADE_INVALID, "libcomrade-store-mongodb.so in ");
}

static void a_url_without_a_scheme_shows_how_one_looks(void **state)
{
    (void)state;
    const comrade_store_driver *driver = NULL;
    comrade_error error = {0};
    const char *const urls[] = {"", "/var/lib/x.db", ":x", "../../lib:x", "a b:x"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        assert_int_equal(store_driver_find(urls[i], &driver, &error), COMRADE_INVALID);
        assert_non_null(strstr(error.message, "sqlite:PATH"));
    }
}

static void a_driver_from_outside_the_tree_is_loaded(void **state)
{
    (void)state;
    const comrade_store_driver *driver = find("outsider://somewhere");
    assert_ptr_equal(find("outsider:again"), driver);

    comrade_store_config config = {.size = sizeof config, .shown_url = "outsider://somewhere"};
    comrade_call call = {.deadline_ms = INT64_MAX,
                         .cancellable_ms = INT64_MAX,
                         .cancel_fd = -1,
                         .now_ms = env_system.monotonic_ms};
    comrade_store *store = NULL;
    comrade_error error = {0};
    assert_int_equal(driver->open(&config, &call, &store, &error), COMRADE_UNAVAILABLE);
    assert_string_equal(error.message, "outsider://somewhere: nobody there");
}

static void a_module_that_does_not_fit_is_not_loaded(void **state)
{
    (void)state;
    assert_unsupported("otherabi:x", "another version of Comrade");
    assert_unsupported("otherscheme:x", "not a driver of Comrade's for otherscheme:");
    assert_unsupported("noentry:x", "not a driver of Comrade's");
}

static void a_driver_may_be_registered_once(void **state)
{
    (void)state;
    static const comrade_store_driver mine = {.abi = COMRADE_STORE_ABI, .scheme = "mine"};
    static const comrade_store_driver another = {.abi = COMRADE_STORE_ABI, .scheme = "sqlite"};
    assert_int_equal(comrade_store_register(&mine), COMRADE_OK);
    assert_ptr_equal(find("mine:x"), &mine);
    assert_int_equal(comrade_store_register(&mine), COMRADE_CONFLICT);
    assert_int_equal(comrade_store_register(&another), COMRADE_CONFLICT);
}

int main(void)
{
    setenv("COMRADE_MODULE_PATH", MODULE_FOLDER, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_and_sqlite_are_built_in),
        cmocka_unit_test(a_missing_module_says_which_package_has_it_and_where_it_was_looked_for),
        cmocka_unit_test(a_scheme_without_a_driver_yet_names_no_package),
        cmocka_unit_test(an_unknown_scheme_lists_the_known_and_proposes_the_nearest),
        cmocka_unit_test(a_url_without_a_scheme_shows_how_one_looks),
        cmocka_unit_test(a_driver_from_outside_the_tree_is_loaded),
        cmocka_unit_test(a_module_that_does_not_fit_is_not_loaded),
        cmocka_unit_test(a_driver_may_be_registered_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
