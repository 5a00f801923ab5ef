/* What is asked of the store itself: to set it up, and to remove it. */
#include <comrade/store.h>

#include "store/memory/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_MS = 20000, TEXT_SIZE = 128 };

/* The memory store, as one that has an owner. */
static struct {
    comrade_store_driver driver;
    int n_opened;
    int n_set_up;
    comrade_status answer;
    bool must_exist;
} owned;

static comrade_status owned_open(const comrade_store_config *config, const comrade_call *call,
                                 comrade_store **store, comrade_error *error)
{
    owned.n_opened++;
    owned.must_exist = config->must_exist;
    return memory_driver.open(config, call, store, error);
}

static comrade_status owned_check_url(const comrade_store_config *config, comrade_error *error)
{
    return strcmp(config->name_space, "wrong") == 0
               ? comrade_error_set(error, COMRADE_INVALID, "%s: never", config->shown_url)
               : COMRADE_OK;
}

static void owned_setup_text(void (*on_text)(void *user, const char *text), void *user)
{
    on_text(user, "CREATE SCHEMA comrade;\n");
    on_text(user, "GRANT ALL TO app;\n");
}

static comrade_status owned_set_up(comrade_store *store, const comrade_call *call,
                                   comrade_error *error)
{
    (void)store;
    owned.n_set_up++;
    assert_false(comrade_call_is_over(call));
    return owned.answer == COMRADE_OK ? COMRADE_OK
                                      : comrade_error_set(error, owned.answer, "not you");
}

static int register_owned(void **state)
{
    (void)state;
    owned.driver = memory_driver;
    owned.driver.scheme = "owned";
    owned.driver.open = owned_open;
    owned.driver.setup_text = owned_setup_text;
    owned.driver.set_up = owned_set_up;
    owned.driver.check_url = owned_check_url;
    return comrade_store_register(&owned.driver) == COMRADE_OK ? 0 : -1;
}

static comrade_cluster *open_cluster(const char *store, bool must_exist)
{
    comrade_cluster_options options = COMRADE_CLUSTER_OPTIONS_INIT;
    comrade_cluster *cluster = NULL;
    comrade_error error = {0};
    options.store = store;
    options.must_exist = must_exist;
    if (comrade_cluster_open(&options, &cluster, &error) != COMRADE_OK) {
        fail_msg("%s", error.message);
    }
    return cluster;
}

static size_t count_members(comrade_cluster *cluster)
{
    comrade_client *client = NULL;
    comrade_members *members = NULL;
    assert_int_equal(comrade_client_new(cluster, NULL, &client, NULL), COMRADE_OK);
    assert_int_equal(comrade_client_get_members(client, NULL, PATIENCE_MS, &members, NULL),
                     COMRADE_OK);
    size_t n = comrade_members_count(members);
    comrade_members_free(members);
    comrade_client_free(client);
    return n;
}

static void append(void *user, const char *text)
{
    size_t len = strlen(user);
    snprintf((char *)user + len, TEXT_SIZE - len, "%s", text);
}

static void the_setup_text_is_told_without_a_connection(void **state)
{
    (void)state;
    char text[TEXT_SIZE] = "";
    int n_opened = owned.n_opened;
    assert_int_equal(comrade_store_setup_text("owned://nowhere", append, text, NULL), COMRADE_OK);
    assert_string_equal(text, "CREATE SCHEMA comrade;\nGRANT ALL TO app;\n");
    assert_int_equal(owned.n_opened, n_opened);
}

static void a_store_that_needs_no_setting_up_says_so(void **state)
{
    (void)state;
    char text[TEXT_SIZE] = "";
    comrade_error error = {0};
    assert_int_equal(comrade_store_setup_text("sqlite:/tmp/x.db", append, text, &error),
                     COMRADE_UNSUPPORTED);
    assert_non_null(strstr(error.message, "sqlite:/tmp/x.db: this store needs no setting up"));
    assert_string_equal(text, "");
    assert_int_equal(comrade_store_setup_text("nothing", append, text, &error), COMRADE_INVALID);
}

static void whether_a_store_can_push_is_known_before_it_is_asked(void **state)
{
    (void)state;
    comrade_cluster *cluster = open_cluster("owned:push", false);
    assert_true(comrade_cluster_can_push(cluster));
    comrade_cluster_close(cluster);
    owned.driver.watch = NULL;
    owned.driver.drain = NULL;
    cluster = open_cluster("owned:push", false);
    assert_false(comrade_cluster_can_push(cluster));
    comrade_cluster_close(cluster);
    owned.driver.watch = memory_driver.watch;
    owned.driver.drain = memory_driver.drain;
}

static void what_no_store_can_be_called_is_refused_before_anything_is_opened(void **state)
{
    (void)state;
    comrade_cluster_options options = COMRADE_CLUSTER_OPTIONS_INIT;
    comrade_cluster *cluster = NULL;
    comrade_error error = {0};
    options.store = "owned:check";
    options.name_space = "wrong";
    int n_opened = owned.n_opened;
    assert_int_equal(comrade_cluster_open(&options, &cluster, &error), COMRADE_INVALID);
    assert_string_equal(error.message, "owned:***: never");
    assert_null(cluster);
    assert_int_equal(owned.n_opened, n_opened);
}

static void setting_up_is_the_drivers(void **state)
{
    (void)state;
    comrade_error error = {0};
    comrade_cluster *cluster = open_cluster("owned:set-up", false);
    assert_int_equal(comrade_cluster_set_up(cluster, PATIENCE_MS, NULL), COMRADE_OK);
    assert_int_equal(owned.n_set_up, 1);
    assert_false(owned.must_exist);
    owned.answer = COMRADE_DENIED;
    assert_int_equal(comrade_cluster_set_up(cluster, PATIENCE_MS, &error), COMRADE_DENIED);
    assert_string_equal(error.message, "not you");
    owned.answer = COMRADE_OK;
    comrade_cluster_close(cluster);
}

static void opening_sets_up_a_store_without_an_owner(void **state)
{
    (void)state;
    char folder[] = "/tmp/comrade-store-XXXXXX";
    char store[64];
    comrade_error error = {0};
    assert_non_null(mkdtemp(folder));
    snprintf(store, sizeof store, "sqlite:%s/x.db", folder);
    comrade_cluster *cluster = open_cluster(store, true);
    assert_int_equal(comrade_cluster_set_up(cluster, PATIENCE_MS, &error), COMRADE_UNAVAILABLE);
    assert_non_null(strstr(error.message, "comrade store init"));
    comrade_cluster_close(cluster);
    cluster = open_cluster(store, false);
    assert_int_not_equal(access(store + strlen("sqlite:"), F_OK), 0);
    assert_int_equal(comrade_cluster_set_up(cluster, PATIENCE_MS, NULL), COMRADE_OK);
    assert_int_equal(access(store + strlen("sqlite:"), F_OK), 0);
    assert_int_equal(comrade_cluster_drop(cluster, PATIENCE_MS, &error), COMRADE_UNSUPPORTED);
    assert_non_null(strstr(error.message, store + strlen("sqlite:")));
    assert_non_null(strstr(error.message, "-wal"));
    comrade_cluster_close(cluster);
    static const char *const endings[] = {"", "-wal", "-shm", "-notify"};
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        char path[80];
        snprintf(path, sizeof path, "%s/x.db%s", folder, endings[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(folder), 0); /* these were all */
}

static void a_dropped_store_is_empty_and_opened_anew(void **state)
{
    (void)state;
    comrade_cluster *cluster = open_cluster("owned:drop", true);
    comrade_cluster *witness = open_cluster("owned:drop", true);
    comrade_member_options options = COMRADE_MEMBER_OPTIONS_INIT;
    comrade_member *member = NULL;
    options.role = "app";
    assert_int_equal(comrade_member_new(cluster, &options, &member, NULL), COMRADE_OK);
    comrade_member_start(member, NULL);
    comrade_report report = COMRADE_REPORT_INIT;
    assert_int_equal(comrade_member_report(member, &report, PATIENCE_MS, NULL), COMRADE_OK);
    comrade_member_free(member);
    assert_int_equal(count_members(witness), 1);
    int n_opened = owned.n_opened;
    assert_int_equal(comrade_cluster_drop(cluster, PATIENCE_MS, NULL), COMRADE_OK);
    assert_int_equal(count_members(witness), 0);
    assert_int_equal(count_members(cluster), 0);
    assert_int_equal(owned.n_opened, n_opened + 1);
    assert_true(owned.must_exist);
    comrade_cluster_close(witness);
    comrade_cluster_close(cluster);
}

static void a_store_that_cannot_be_removed_says_so(void **state)
{
    (void)state;
    comrade_error error = {0};
    comrade_status (*drop)(comrade_store *, const comrade_call *, comrade_error *) =
        owned.driver.drop;
    owned.driver.drop = NULL;
    comrade_cluster *cluster = open_cluster("owned:kept", false);
    assert_int_equal(comrade_cluster_drop(cluster, PATIENCE_MS, &error), COMRADE_UNSUPPORTED);
    assert_non_null(strstr(error.message, "owned:"));
    comrade_cluster_close(cluster);
    owned.driver.drop = drop;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_setup_text_is_told_without_a_connection),
        cmocka_unit_test(a_store_that_needs_no_setting_up_says_so),
        cmocka_unit_test(whether_a_store_can_push_is_known_before_it_is_asked),
        cmocka_unit_test(what_no_store_can_be_called_is_refused_before_anything_is_opened),
        cmocka_unit_test(setting_up_is_the_drivers),
        cmocka_unit_test(opening_sets_up_a_store_without_an_owner),
        cmocka_unit_test(a_dropped_store_is_empty_and_opened_anew),
        cmocka_unit_test(a_store_that_cannot_be_removed_says_so),
    };
    return cmocka_run_group_tests(tests, register_owned, NULL);
}
