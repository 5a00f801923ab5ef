/*
 * Who may do what by hand: every denial of the grants and policies as SQL, and what a login could
 * do with its grants to the others' harm. Through the driver, see postgres_rights_test.c.
 */
#include "contract/postgres_logins.h"

#include <stdio.h>
#include <string.h>

static char database[POSTGRES_URL_SIZE], reader[POSTGRES_URL_SIZE], service[POSTGRES_URL_SIZE],
    other[POSTGRES_URL_SIZE], admin[POSTGRES_URL_SIZE], both[POSTGRES_URL_SIZE];

static void make(char url[POSTGRES_URL_SIZE], const char *name, const char *groups)
{
    memcpy(url, database, POSTGRES_URL_SIZE);
    logins_make(name, groups, url);
}

static int make_logins(void **state)
{
    (void)state;
    logins_make_database(database);
    make(reader, "reader", "comrade_reader");
    make(service, "service", "comrade_member");
    make(other, "Oth\"er", "comrade_member");
    make(admin, "admin", "comrade_admin");
    make(both, "both", "comrade_member, comrade_admin");
    return 0;
}

/* One member of `service` in role app, as it was, and a spec. */
static int set_up(void **state)
{
    (void)state;
    postgres_server_run(logins_server(), database,
                        "TRUNCATE comrade.cluster, comrade.role, comrade.role_spec, comrade.member,"
                        " comrade.heartbeat");
    comrade_store *store = contract_must_open(&postgres_driver, service, "");
    assert_int_equal(contract_put(&postgres_driver, store, "app", "a", 100, 1), COMRADE_OK);
    assert_int_equal(put_spec(&postgres_driver, store, "app", 1, 0, "{\"minMembers\":3}").status,
                     COMRADE_OK);
    postgres_driver.close(store);
    return 0;
}

#define INSERT_MEMBER(columns, values)                                                             \
    "INSERT INTO comrade.member (cluster, id, role, incarnation, sequence, state, is_alive,"       \
    " is_available, created, pid, host, version, metadata, details" columns ")"                    \
    " SELECT c.id, 'forged', 'app', 1, 1, 'up', true, true, 0, 1, 'h', 'v', '{}', '{}'" values     \
    " FROM comrade.cluster c"

/* --- Denied ------------------------------------------------------------------------------------
 */

static void a_reader_changes_no_table(void **state)
{
    (void)state;
    static const char *const denied[] = {
        "INSERT INTO comrade.cluster (namespace, kind) VALUES ('x', 'y')",
        "UPDATE comrade.cluster SET specs_revision = 1",
        "INSERT INTO comrade.role (cluster, role) VALUES (1, 'x')",
        "UPDATE comrade.role SET revision = 1",
        "INSERT INTO comrade.role_spec VALUES (1, 'x', 1, '{}')",
        "UPDATE comrade.role_spec SET spec = '{}'",
        INSERT_MEMBER("", ""),
        "UPDATE comrade.member SET state = 'up'",
        "DELETE FROM comrade.member",
        "UPDATE comrade.heartbeat SET updated = 1",
        "DELETE FROM comrade.heartbeat",
        "SELECT 1 FROM comrade.role FOR UPDATE",
        "SELECT 1 FROM comrade.member FOR SHARE",
        "BEGIN; LOCK TABLE comrade.heartbeat IN ROW EXCLUSIVE MODE",
    };
    for (size_t i = 0; i < sizeof denied / sizeof denied[0]; i++) {
        assert_denied_sql(reader, denied[i]);
    }
}

static void a_member_forges_nothing(void **state)
{
    (void)state;
    static const char *const denied[] = {
        /* in the name of another login */
        INSERT_MEMBER(", owner", ", '\"Oth\"\"er\"'::regrole"),
        "UPDATE comrade.member SET owner = 'admin'::regrole",
        ("INSERT INTO comrade.heartbeat (cluster, id, updated, incarnation, own_sequence, owner)"
         " VALUES (1, 'x', 1, 1, 1, 'admin'::regrole)"),
        "UPDATE comrade.heartbeat SET owner = 'admin'::regrole",
        /* requests, its own included */
        INSERT_MEMBER(", request_kind", ", 1"),
        "UPDATE comrade.member SET request_kind = 1",
        "UPDATE comrade.member SET request_incarnation = 100",
        "UPDATE comrade.member SET zombified_incarnation = 100",
        "UPDATE comrade.member SET request_revision = 0",
        "UPDATE comrade.heartbeat SET request_revision = 0",
        /* what is wanted of a role */
        "UPDATE comrade.role_spec SET spec = '{}'",
        "DELETE FROM comrade.role_spec",
        "DELETE FROM comrade.role",
        "UPDATE comrade.role SET role = 'x'",
        "DELETE FROM comrade.cluster",
    };
    for (size_t i = 0; i < sizeof denied / sizeof denied[0]; i++) {
        assert_denied_sql(service, denied[i]);
        assert_denied_sql(other, denied[i]);
    }
}

static void the_rows_of_another_login_are_out_of_reach(void **state)
{
    (void)state;
    static const char *const out_of_reach[] = {
        "UPDATE comrade.member SET state = 'stopped' WHERE id = 'a'",
        "UPDATE comrade.member SET incarnation = 200 WHERE id = 'a'",
        "UPDATE comrade.heartbeat SET updated = 0 WHERE id = 'a'",
        "DELETE FROM comrade.member WHERE id = 'a'",
        "DELETE FROM comrade.heartbeat WHERE id = 'a'",
        "SELECT 1 FROM comrade.member WHERE id = 'a' FOR UPDATE",
    };
    for (size_t i = 0; i < sizeof out_of_reach / sizeof out_of_reach[0]; i++) {
        assert_string_equal(logins_run(other, out_of_reach[i]), "nothing");
    }
    assert_denied_sql(other, "INSERT INTO comrade.heartbeat (cluster, id, updated, incarnation,"
                             " own_sequence) SELECT cluster, id, 0, 0, 0 FROM comrade.member"
                             " ON CONFLICT (cluster, id) DO UPDATE SET updated = 0");
    /* A role that it is in is no way around. */
    assert_string_equal(
        logins_run(other, "SET ROLE comrade_member; DELETE FROM comrade.member WHERE id = 'a'"),
        "nothing");
}

static void an_admin_writes_nothing_that_a_member_says(void **state)
{
    (void)state;
    static const char *const denied[] = {
        INSERT_MEMBER("", ""),
        "UPDATE comrade.member SET state = 'stopped'",
        "UPDATE comrade.member SET is_alive = false",
        "UPDATE comrade.member SET incarnation = 1",
        "UPDATE comrade.member SET role = 'db'",
        "UPDATE comrade.member SET metadata = '{}'",
        "UPDATE comrade.member SET owner = 'admin'::regrole",
        "UPDATE comrade.heartbeat SET updated = 1",
        "UPDATE comrade.heartbeat SET incarnation = 1",
        "UPDATE comrade.heartbeat SET own_sequence = 1",
        ("INSERT INTO comrade.heartbeat (cluster, id, updated, incarnation, own_sequence)"
         " VALUES (1, 'x', 1, 1, 1)"),
        "DELETE FROM comrade.role_spec",
    };
    for (size_t i = 0; i < sizeof denied / sizeof denied[0]; i++) {
        assert_denied_sql(admin, denied[i]);
    }
}

static void an_admin_asks_in_no_other_name(void **state)
{
    (void)state;
    assert_allowed_sql(admin, "UPDATE comrade.member SET request_kind = 1,"
                              " request_database_user = session_user");
    assert_denied_sql(admin, "UPDATE comrade.member SET request_kind = 2,"
                             " request_database_user = 'somebody'");
    assert_denied_sql(both, "UPDATE comrade.member SET request_kind = 2,"
                            " request_database_user = 'somebody'");
}

static void nobody_makes_or_breaks_anything_in_the_schema(void **state)
{
    (void)state;
    const char *const urls[] = {reader, service, admin, both};
    static const char *const denied[] = {
        "CREATE TABLE comrade.mine (a integer)",
        "CREATE FUNCTION comrade.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        ("CREATE TRIGGER mine BEFORE UPDATE ON comrade.member"
         " FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()"),
        "TRUNCATE comrade.member",
        "ALTER TABLE comrade.member ADD COLUMN mine integer",
        "ALTER TABLE comrade.member DISABLE ROW LEVEL SECURITY",
        "DROP POLICY its_own ON comrade.member",
        "DROP TABLE comrade.member",
        "DROP SCHEMA comrade CASCADE",
        "UPDATE comrade.meta SET value = 0",
        "DELETE FROM comrade.meta",
        "GRANT comrade_admin TO CURRENT_USER",
    };
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        for (size_t j = 0; j < sizeof denied / sizeof denied[0]; j++) {
            assert_denied_sql(urls[i], denied[j]);
        }
    }
}

static void who_is_in_no_group_sees_nothing(void **state)
{
    (void)state;
    char nobody[POSTGRES_URL_SIZE];
    make(nobody, "nobody", NULL);
    assert_denied_sql(nobody, "SELECT 1 FROM comrade.live_members");
    assert_denied_sql(nobody, "SELECT 1 FROM comrade.member");
    assert_denied_sql(nobody, "SELECT 1 FROM comrade.meta");
}

/* --- Allowed, and harmless ---------------------------------------------------------------------
 */

static void no_value_that_a_member_can_store_fails_what_others_read(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "UPDATE comrade.member SET metadata = 'no JSON' WHERE id = 'a'",
        "UPDATE comrade.member SET metadata = '[1]' WHERE id = 'a'",
        "UPDATE comrade.member SET metadata = '{\"a\":\"' || repeat('x', 70000) || '\"}'",
        "UPDATE comrade.member SET details = repeat('x', 70000)",
        "UPDATE comrade.member SET host = repeat('x', 2000)",
        "UPDATE comrade.member SET id = repeat('x', 200)",
        "UPDATE comrade.member SET created = 9223372036854775807",
        "UPDATE comrade.member SET created = -1",
        "UPDATE comrade.heartbeat SET updated = -9223372036854775808", /* no age can be reckoned */
        "UPDATE comrade.role SET recent = repeat('x', 2000)",
        "INSERT INTO comrade.role (cluster, role) VALUES (1, repeat('x', 70))",
        "INSERT INTO comrade.role_spec VALUES (1, 'x', 1, 'no JSON')",
        "INSERT INTO comrade.role_spec VALUES (1, 'x', 0, '{}')",
        "INSERT INTO comrade.cluster (namespace, kind) VALUES (repeat('x', 70), 'y')",
        ("INSERT INTO comrade.heartbeat (cluster, id, updated, incarnation, own_sequence)"
         " VALUES (1, repeat('x', 200), 1, 1, 1)"),
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        const char *sql_state = logins_run(service, refused[i]);
        bool is_refused = strcmp(sql_state, "23514") == 0 || strcmp(sql_state, "22P02") == 0 ||
                          strcmp(sql_state, "42501") == 0;
        if (!is_refused) {
            fail_msg("%s: \"%s\"", refused[i], sql_state);
        }
    }
    static const char *const taken[] = {
        "UPDATE comrade.heartbeat SET updated = 9223372036854775807",
        "UPDATE comrade.member SET state = 'no state', host = '', version = E'\\x1b[31m'",
        "UPDATE comrade.member SET created = 253402300799999, pid = -9223372036854775808",
        "UPDATE comrade.role SET revision = 9223372036854775807, recent = repeat('x ', 500)",
    };
    comrade_store *store = contract_must_open(&postgres_driver, reader, "");
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        assert_allowed_sql(service, taken[i]);
        postgres_server_run(logins_server(), database, "SELECT * FROM comrade.live_members");
        assert_int_equal(contract_count(&postgres_driver, store, NULL), 1);
    }
    postgres_driver.close(store);
}

/* Not for long: the next one is of the clock again. */
static void no_revision_that_a_member_can_store_stops_anybody(void **state)
{
    (void)state;
    static const char *const numbers[] = {"9223372036854775807", "-9223372036854775808",
                                          "4611686018427387904"};
    char sql[128];
    comrade_store *store = contract_must_open(&postgres_driver, admin, "");
    comrade_store *member = contract_must_open(&postgres_driver, service, "");
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        snprintf(sql, sizeof sql, "UPDATE comrade.role SET revision = %s", numbers[i]);
        assert_allowed_sql(service, sql);
        snprintf(sql, sizeof sql, "UPDATE comrade.cluster SET specs_revision = %s", numbers[i]);
        assert_allowed_sql(service, sql);
        assert_int_equal(beat(&postgres_driver, member, "a", 100, NULL).status, COMRADE_OK);
        int64_t version = (int64_t)i + 1;
        assert_int_equal(
            put_spec(&postgres_driver, store, "app", version + 1, version, "{}").status,
            COMRADE_OK);
        int64_t revision = revision_of(&postgres_driver, store, "app");
        assert_true(revision > 0);
        assert_int_equal(put_request(&postgres_driver, store, "app", "a", 100).status, COMRADE_OK);
        assert_true(revision_of(&postgres_driver, store, "app") != revision);
    }
    assert_true(postgres_server_number(logins_server(), database,
                                       "SELECT specs_revision FROM comrade.cluster") > 0);
    postgres_driver.close(store);
    postgres_driver.close(member);
}

/* The head and the row are one owner's each; what is left of a broken pair is not listed. */
static void half_a_record_is_no_record(void **state)
{
    (void)state;
    assert_allowed_sql(service, "DELETE FROM comrade.heartbeat WHERE id = 'a'");
    comrade_store *store = contract_must_open(&postgres_driver, service, "");
    assert_int_equal(contract_count(&postgres_driver, store, NULL), 0);
    assert_int_equal(contract_put(&postgres_driver, store, "app", "a", 100, 1), COMRADE_OK);
    assert_int_equal(contract_count(&postgres_driver, store, NULL), 1);
    assert_allowed_sql(service, "DELETE FROM comrade.member WHERE id = 'a'");
    assert_int_equal(contract_count(&postgres_driver, store, NULL), 0);
    assert_int_equal(contract_put(&postgres_driver, store, "app", "a", 101, 1), COMRADE_OK);
    assert_int_equal(beat(&postgres_driver, store, "a", 101, NULL).status, COMRADE_OK);
    postgres_driver.close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_reader_changes_no_table, set_up),
        cmocka_unit_test_setup(a_member_forges_nothing, set_up),
        cmocka_unit_test_setup(the_rows_of_another_login_are_out_of_reach, set_up),
        cmocka_unit_test_setup(an_admin_writes_nothing_that_a_member_says, set_up),
        cmocka_unit_test_setup(an_admin_asks_in_no_other_name, set_up),
        cmocka_unit_test_setup(nobody_makes_or_breaks_anything_in_the_schema, set_up),
        cmocka_unit_test_setup(who_is_in_no_group_sees_nothing, set_up),
        cmocka_unit_test_setup(no_value_that_a_member_can_store_fails_what_others_read, set_up),
        cmocka_unit_test_setup(no_revision_that_a_member_can_store_stops_anybody, set_up),
        cmocka_unit_test_setup(half_a_record_is_no_record, set_up),
    };
    enum { N_TESTS = sizeof tests / sizeof tests[0] };
    if (!logins_start_server(NULL)) {
        return postgres_server_skip_tests(tests, N_TESTS);
    }
    int failed = cmocka_run_group_tests_name("postgres_rights_sql", tests, make_logins, NULL);
    logins_stop_server();
    return failed;
}
