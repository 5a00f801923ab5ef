/* Making the schema and its rights, by whomever, again and again; and removing all of it. */
#include "contract/postgres_logins.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All that the setup makes, with its rights, in one text. */
static char *digest(const char *url)
{
    return postgres_server_sql(
        logins_server(), url,
        "SELECT string_agg(line, E'\\n' ORDER BY line) FROM ("
        "  SELECT p::text AS line FROM pg_policies p"
        "  UNION ALL SELECT relname || ' ' || relkind::text || ' ' || relrowsecurity || ' ' ||"
        "    coalesce(relacl::text, '') FROM pg_class"
        "    WHERE relnamespace = 'comrade'::regnamespace"
        "  UNION ALL SELECT attrelid::regclass || ' ' || attname || ' ' || coalesce(attacl::text, "
        "'')"
        "    FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid"
        "    WHERE relnamespace = 'comrade'::regnamespace"
        "  UNION ALL SELECT nspname || ' ' || coalesce(nspacl::text, '') FROM pg_namespace"
        "  UNION ALL SELECT roleid::regrole || ' ' || member::regrole FROM pg_auth_members"
        "  UNION ALL SELECT m::text FROM comrade.meta m) AS lines");
}

static long long count_groups(const char *url)
{
    return postgres_server_number(logins_server(), url,
                                  "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'comrade\\_%'");
}

static comrade_status set_up_through(comrade_store *store, comrade_error *error)
{
    comrade_call call = contract_call();
    return postgres_driver.set_up(store, &call, error);
}

static comrade_status drop_through(comrade_store *store, comrade_error *error)
{
    comrade_call call = contract_call();
    return postgres_driver.drop(store, &call, error);
}

static comrade_store *open_as(const char *database, const char *name, const char *attributes,
                              const char *groups)
{
    char url[POSTGRES_URL_SIZE];
    char sql[256];
    memcpy(url, database, sizeof url);
    logins_make(name, groups, url);
    snprintf(sql, sizeof sql, "ALTER ROLE %s %s", name, attributes);
    postgres_server_run(logins_server(), NULL, sql);
    return contract_must_open(&postgres_driver, url, "");
}

/* Each case leaves the server without groups. */
static int tear_down(void **state)
{
    (void)state;
    char *databases = postgres_server_sql(
        logins_server(), NULL,
        "SELECT string_agg(datname, ' ') FROM pg_database WHERE datname LIKE 'fresh%'");
    char *rest = databases;
    for (char *name = strsep(&rest, " "); name != NULL; name = strsep(&rest, " ")) {
        char sql[128];
        snprintf(sql, sizeof sql, "DROP DATABASE %s WITH (FORCE)", name);
        postgres_server_run(logins_server(), NULL, sql);
    }
    free(databases);
    postgres_server_run(logins_server(), NULL,
                        "DROP ROLE IF EXISTS comrade_admin, comrade_member, comrade_reader");
    return 0;
}

/* --- Making ------------------------------------------------------------------------------------
 */

static void the_setup_text_run_again_changes_nothing(void **state)
{
    (void)state;
    char url[POSTGRES_URL_SIZE];
    logins_make_database(url);
    char *before = digest(url);
    logins_run_setup_text(url);
    char *after = digest(url);
    assert_true(strlen(before) > 1000);
    assert_string_equal(before, after);
    free(before);
    free(after);
    assert_int_equal(count_groups(url), 3);
}

static void rights_are_added_to_a_schema_that_a_service_has_made(void **state)
{
    (void)state;
    char url[POSTGRES_URL_SIZE];
    postgres_server_fresh_database(logins_server(), url);
    comrade_store *owner = contract_must_open(&postgres_driver, url, "");
    assert_int_equal(contract_put(&postgres_driver, owner, "app", "a", 100, 1), COMRADE_OK);
    logins_run_setup_text(url);
    assert_int_equal(beat(&postgres_driver, owner, "a", 100, NULL).status, COMRADE_OK);
    comrade_store *member = open_as(url, "newcomer", "LOGIN", "comrade_member");
    assert_int_equal(contract_put(&postgres_driver, member, "app", "b", 100, 1), COMRADE_OK);
    assert_int_equal(contract_count(&postgres_driver, member, NULL), 2);
    postgres_driver.close(owner);
    postgres_driver.close(member);
}

static void who_may_make_no_roles_is_told_whom_to_ask(void **state)
{
    (void)state;
    char url[POSTGRES_URL_SIZE];
    comrade_error error = {0};
    postgres_server_fresh_database(logins_server(), url);
    comrade_store *store = contract_must_open(&postgres_driver, url, "");
    assert_int_equal(set_up_through(store, &error), COMRADE_DENIED);
    assert_non_null(strstr(error.message, "comrade store init --print-sql"));
    assert_int_equal(contract_put(&postgres_driver, store, "app", "a", 100, 1), COMRADE_OK);
    postgres_server_run(logins_server(), NULL, "ALTER ROLE comrade CREATEROLE");
    assert_int_equal(set_up_through(store, &error), COMRADE_OK);
    assert_int_equal(set_up_through(store, &error), COMRADE_OK);
    postgres_driver.close(store);
    /* The groups are there now, and the owner of another database need not make any. */
    postgres_server_run(logins_server(), NULL, "ALTER ROLE comrade NOCREATEROLE");
    postgres_server_fresh_database(logins_server(), url);
    store = contract_must_open(&postgres_driver, url, "");
    assert_int_equal(set_up_through(store, &error), COMRADE_OK);
    postgres_driver.close(store);
}

static void where_nothing_is_made_yet_a_login_without_the_right_to_is_told_whom_to_ask(void **state)
{
    (void)state;
    char url[POSTGRES_URL_SIZE];
    comrade_store *store;
    comrade_error error = {0};
    postgres_server_fresh_database(logins_server(), url);
    logins_make("stranger", NULL, url);
    assert_int_equal(contract_open(&postgres_driver, url, "", &store, &error), COMRADE_DENIED);
    assert_non_null(strstr(error.message, "comrade store init --print-sql | psql"));
    assert_non_null(strstr(error.message, "is not there yet"));
}

/* What somebody has put into the public schema is not what the setup calls. */
static void functions_of_others_are_not_called(void **state)
{
    (void)state;
    char url[POSTGRES_URL_SIZE];
    postgres_server_fresh_database(logins_server(), url);
    postgres_server_run(logins_server(), url,
                        "CREATE FUNCTION public.quote_ident(name) RETURNS text LANGUAGE plpgsql AS"
                        " $$ BEGIN RAISE EXCEPTION 'called'; END $$");
    logins_run_setup_text(url);
    comrade_store *store = open_as(url, "careful", "LOGIN", "comrade_member");
    assert_int_equal(contract_put(&postgres_driver, store, "app", "a", 100, 1), COMRADE_OK);
    postgres_driver.close(store);
}

/* --- Removing ----------------------------------------------------------------------------------
 */

static void a_drop_leaves_nothing(void **state)
{
    (void)state;
    char url[POSTGRES_URL_SIZE];
    comrade_error error = {0};
    postgres_server_fresh_database(logins_server(), url);
    static const char everything[] =
        "SELECT (SELECT string_agg(oid::text, ' ' ORDER BY oid) FROM pg_class)"
        " || (SELECT string_agg(oid::text, ' ' ORDER BY oid) FROM pg_namespace)"
        " || (SELECT string_agg(oid::text, ' ' ORDER BY oid) FROM pg_proc)"
        " || (SELECT string_agg(oid::text, ' ' ORDER BY oid) FROM pg_type)"
        " || (SELECT string_agg(oid::text, ' ' ORDER BY oid) FROM pg_roles)"
        " || (SELECT count(*) FROM pg_default_acl) || (SELECT count(*) FROM pg_policy)"
        " || (SELECT count(*) FROM pg_auth_members)";
    comrade_store *owner = open_as(url, "dropper", "SUPERUSER", NULL);
    assert_int_equal(drop_through(owner, &error), COMRADE_OK);
    char *before = postgres_server_sql(logins_server(), url, everything);
    assert_int_equal(set_up_through(owner, &error), COMRADE_OK);
    assert_int_equal(contract_put(&postgres_driver, owner, "app", "a", 100, 1), COMRADE_OK);
    assert_int_equal(count_groups(url), 3);
    assert_int_equal(drop_through(owner, &error), COMRADE_OK);
    char *after = postgres_server_sql(logins_server(), url, everything);
    assert_string_equal(before, after);
    free(before);
    free(after);
    postgres_driver.close(owner);
}

static void groups_that_another_database_uses_stay(void **state)
{
    (void)state;
    char first[POSTGRES_URL_SIZE], second[POSTGRES_URL_SIZE];
    comrade_error error = {0};
    logins_make_database(first);
    logins_make_database(second);
    comrade_store *owner = open_as(first, "dropper", "SUPERUSER", NULL);
    comrade_store *member = open_as(second, "neighbour", "LOGIN", "comrade_member");
    assert_int_equal(drop_through(owner, &error), COMRADE_OK);
    assert_int_equal(count_groups(first), 3);
    assert_int_equal(contract_put(&postgres_driver, member, "app", "a", 100, 1), COMRADE_OK);
    postgres_driver.close(owner);
    owner = open_as(second, "dropper2", "SUPERUSER", NULL);
    assert_int_equal(drop_through(owner, &error), COMRADE_OK);
    assert_int_equal(count_groups(second), 0);
    postgres_driver.close(owner);
    postgres_driver.close(member);
}

static void only_an_owner_drops(void **state)
{
    (void)state;
    char url[POSTGRES_URL_SIZE];
    comrade_error error = {0};
    logins_make_database(url);
    comrade_store *store = open_as(url, "clumsy", "LOGIN", "comrade_member, comrade_admin");
    assert_int_equal(contract_put(&postgres_driver, store, "app", "a", 100, 1), COMRADE_OK);
    assert_int_equal(drop_through(store, &error), COMRADE_DENIED);
    assert_non_null(strstr(error.message, "owner"));
    assert_int_equal(contract_count(&postgres_driver, store, &error), 1);
    postgres_driver.close(store);
}

static void members_that_run_are_back_after_a_drop(void **state)
{
    (void)state;
    char url[POSTGRES_URL_SIZE];
    comrade_error error = {0};
    postgres_server_fresh_database(logins_server(), url);
    comrade_store *owner = contract_must_open(&postgres_driver, url, "");
    comrade_store *member = contract_must_open(&postgres_driver, url, "");
    assert_int_equal(contract_put(&postgres_driver, member, "app", "a", 100, 1), COMRADE_OK);
    assert_int_equal(drop_through(owner, &error), COMRADE_OK);
    assert_int_equal(beat(&postgres_driver, member, "a", 100, NULL).status, COMRADE_GONE);
    assert_int_equal(contract_put(&postgres_driver, member, "app", "a", 100, 1), COMRADE_OK);
    assert_int_equal(contract_count(&postgres_driver, owner, &error), 1);
    postgres_driver.close(owner);
    postgres_driver.close(member);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_setup_text_run_again_changes_nothing, tear_down),
        cmocka_unit_test_teardown(rights_are_added_to_a_schema_that_a_service_has_made, tear_down),
        cmocka_unit_test_teardown(who_may_make_no_roles_is_told_whom_to_ask, tear_down),
        cmocka_unit_test_teardown(
            where_nothing_is_made_yet_a_login_without_the_right_to_is_told_whom_to_ask, tear_down),
        cmocka_unit_test_teardown(functions_of_others_are_not_called, tear_down),
        cmocka_unit_test_teardown(a_drop_leaves_nothing, tear_down),
        cmocka_unit_test_teardown(groups_that_another_database_uses_stay, tear_down),
        cmocka_unit_test_teardown(only_an_owner_drops, tear_down),
        cmocka_unit_test_teardown(members_that_run_are_back_after_a_drop, tear_down),
    };
    enum { N_TESTS = sizeof tests / sizeof tests[0] };
    if (!logins_start_server(NULL)) {
        return postgres_server_skip_tests(tests, N_TESTS);
    }
    int failed = cmocka_run_group_tests_name("postgres_setup", tests, NULL, NULL);
    logins_stop_server();
    return failed;
}
