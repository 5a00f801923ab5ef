/*
 * What the driver makes of a Datastore that answers an error, or does not answer, at any step: a
 * write that may have been applied is never said not to be.
 */
#include "contract/cases.h"
#include "lib/datastore_server.h"
#include "store/datastore/datastore.h"

#include <stdio.h>
#include <string.h>

static struct datastore_server *server;

static comrade_store *open_fresh(void)
{
    char url[DATASTORE_URL_SIZE];
    datastore_server_fresh_url(server, url);
    return contract_must_open(&datastore_driver, url, "");
}

/* Closes, and forgets the faults that did not come. */
static void close_store(comrade_store *store)
{
    datastore_server_tell(server, "faults clear");
    datastore_driver.close(store);
}

/* --- Writes ------------------------------------------------------------------------------------
 */

/* Writes that bump a role each, 1000 in all: three commits. */
enum { MANY = 1000 };

static comrade_status bump_many(comrade_store *store, size_t n, comrade_error *error)
{
    static char roles[MANY][16];
    static comrade_write writes[MANY];
    static comrade_write_result results[MANY];
    for (size_t i = 0; i < n; i++) {
        snprintf(roles[i], sizeof roles[i], "role-%04zu", i);
        writes[i] = (comrade_write){.role = roles[i], .expect_revision = COMRADE_ANYTHING};
    }
    comrade_call call = contract_call();
    return datastore_driver.write(store, &call, writes, n, results, error);
}

static void an_error_after_the_commit_leaves_it_unknown(void **state)
{
    (void)state;
    static const int codes[] = {500, 503, 504};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        comrade_store *store = open_fresh();
        assert_int_equal(contract_put(&datastore_driver, store, "web", "a", 1, 1), COMRADE_OK);
        int64_t before = revision_of(&datastore_driver, store, "role-0000");
        datastore_server_tell(server, "fault commit 1 status %d after", codes[i]);
        comrade_error error = {0};
        assert_int_equal(bump_many(store, 1, &error), COMRADE_UNKNOWN);
        assert_non_null(strstr(error.message, "it may have been applied"));
        assert_int_not_equal(revision_of(&datastore_driver, store, "role-0000"), before);
        close_store(store);
    }
}

static void an_error_that_says_nothing_was_done_is_believed(void **state)
{
    (void)state;
    static const struct {
        int code;
        comrade_status status;
    } refusals[] = {{429, COMRADE_UNAVAILABLE}, {403, COMRADE_DENIED}, {400, COMRADE_UNAVAILABLE}};
    comrade_store *store = open_fresh();
    assert_int_equal(contract_put(&datastore_driver, store, "web", "a", 1, 1), COMRADE_OK);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        datastore_server_tell(server, "fault commit 1 status %d", refusals[i].code);
        assert_int_equal(bump_many(store, 1, NULL), refusals[i].status);
        assert_int_equal(revision_of(&datastore_driver, store, "role-0000"), 0);
    }
    close_store(store);
}

/* What failed for the later ones says nothing of the first. */
static void a_batch_that_fails_amid_is_unknown(void **state)
{
    (void)state;
    static const char *const faults[] = {"lookup 1 status 403", "commit 1 status 429",
                                         "commit 1 status 403", "commit 1 status 400"};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        comrade_store *store = open_fresh();
        assert_int_equal(contract_put(&datastore_driver, store, "web", "a", 1, 1), COMRADE_OK);
        datastore_server_tell(server, "fault %.*s 1 delay 0", 6, faults[i]);
        datastore_server_tell(server, "fault %s", faults[i]);
        assert_int_equal(bump_many(store, MANY, NULL), COMRADE_UNKNOWN);
        assert_int_not_equal(revision_of(&datastore_driver, store, "role-0000"), 0);
        assert_int_equal(revision_of(&datastore_driver, store, "role-0999"), 0);
        close_store(store);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_after_the_commit_leaves_it_unknown),
        cmocka_unit_test(an_error_that_says_nothing_was_done_is_believed),
        cmocka_unit_test(a_batch_that_fails_amid_is_unknown),
    };
    server = datastore_server_start(NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    datastore_server_stop(server);
    return failed;
}
