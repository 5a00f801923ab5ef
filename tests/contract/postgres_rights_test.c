/*
 * Who may do what, through the driver. The owner of the database ran the text of the setup; nobody
 * else owns anything. By SQL, see postgres_rights_sql_test.c.
 */
#include "contract/postgres_logins.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- What the cases work on --------------------------------------------------------------------
 */

struct logins {
    char reader_url[POSTGRES_URL_SIZE], member_url[POSTGRES_URL_SIZE], other_url[POSTGRES_URL_SIZE],
        admin_url[POSTGRES_URL_SIZE];
    comrade_store *reader, *member, *other, *admin;
};

static void make_login(const char *database, const char *name, const char *groups, char *url,
                       comrade_store **store)
{
    snprintf(url, POSTGRES_URL_SIZE, "%s", database);
    logins_make(name, groups, url);
    *store = contract_must_open(&postgres_driver, url, "");
}

static int set_up(void **state)
{
    char url[POSTGRES_URL_SIZE];
    struct logins *logins = calloc(1, sizeof *logins);
    if (logins == NULL) {
        return -1;
    }
    logins_make_database(url);
    make_login(url, "looker", "comrade_reader", logins->reader_url, &logins->reader);
    make_login(url, "service", "comrade_member", logins->member_url, &logins->member);
    make_login(url, "Other \"service\".x'y", "comrade_member", logins->other_url, &logins->other);
    make_login(url, "person@example.org", "comrade_admin", logins->admin_url, &logins->admin);
    assert_int_equal(contract_put(&postgres_driver, logins->member, "app", "a", 100, 1),
                     COMRADE_OK);
    *state = logins;
    return 0;
}

static int tear_down(void **state)
{
    struct logins *logins = *state;
    postgres_driver.close(logins->reader);
    postgres_driver.close(logins->member);
    postgres_driver.close(logins->other);
    postgres_driver.close(logins->admin);
    free(logins);
    return 0;
}

/* A write of its own: the status of the call, or else of the write. */
static comrade_status try_write(comrade_store *store, const char *role,
                                const comrade_change *change, comrade_error *error)
{
    comrade_write write = {role, COMRADE_ANYTHING, NULL, change, 1};
    comrade_write_result result = {0};
    comrade_call call = contract_call();
    comrade_status status = postgres_driver.write(store, &call, &write, 1, &result, error);
    return status != COMRADE_OK ? status : result.status;
}

/* It is denied, and the error names the group that it takes. */
static void assert_denied(comrade_store *store, const comrade_change *change, const char *group)
{
    comrade_error error = {0};
    assert_int_equal(try_write(store, "app", change, &error), COMRADE_DENIED);
    if (strstr(error.message, group) == NULL) {
        fail_msg("no \"%s\" in: %s", group, error.message);
    }
    assert_int_equal(error.status, COMRADE_DENIED);
}

static comrade_change own_change(const comrade_own *own, const char *id)
{
    comrade_change change = anything(COMRADE_PUT_OWN, id);
    change.own = own;
    return change;
}

static comrade_change request_change(const comrade_request *request, const char *id)
{
    comrade_change change = anything(COMRADE_PUT_REQUEST, id);
    change.request = request;
    return change;
}

static comrade_change spec_change(const char *spec, int64_t version)
{
    comrade_change change = anything(COMRADE_PUT_SPEC, NULL);
    change.spec = spec;
    change.spec_version = version;
    return change;
}

static const comrade_request kill_request = {.kind = COMRADE_REQUEST_KILL,
                                             .incarnation = 100,
                                             .request_id = "r1",
                                             .user = "alice",
                                             .host = "laptop",
                                             .database_user = "",
                                             .reason = ""};

#define LOGINS(state) struct logins *logins = *(state)

/* --- Readers -----------------------------------------------------------------------------------
 */

static void a_reader_sees_everything(void **state)
{
    LOGINS(state);
    comrade_error error = {0};
    assert_int_equal(contract_count(&postgres_driver, logins->reader, &error), 1);
    comrade_call call = contract_call();
    assert_true(postgres_driver.watch(logins->reader, &call, &error) >= 0);
}

static void a_reader_writes_nothing(void **state)
{
    LOGINS(state);
    comrade_own own = own_part(100, 2);
    comrade_change changes[] = {own_change(&own, "a"), own_change(&own, "new"),
                                request_change(&kill_request, "a"), spec_change("{}", 1),
                                anything(COMRADE_DELETE, "a")};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        bool is_asking = changes[i].kind != COMRADE_PUT_OWN;
        assert_denied(logins->reader, &changes[i],
                      is_asking ? "GRANT comrade_admin TO looker"
                                : "GRANT comrade_member TO looker");
    }
    comrade_beat one = {"a", 100};
    comrade_beat_result result;
    comrade_beat_summary summary;
    comrade_error error = {0};
    comrade_call call = contract_call();
    assert_int_equal(
        postgres_driver.heartbeat(logins->reader, &call, &one, 1, &result, &summary, &error),
        COMRADE_DENIED);
    assert_non_null(strstr(error.message, "comrade_member"));
    assert_int_equal(contract_count(&postgres_driver, logins->reader, &error), 1);
}

static void a_login_without_a_group_cannot_open_and_is_told_what_to_ask_for(void **state)
{
    LOGINS(state);
    char url[POSTGRES_URL_SIZE];
    comrade_store *store;
    comrade_error error = {0};
    memcpy(url, logins->member_url, sizeof url);
    logins_make("nobody", NULL, url);
    assert_int_equal(contract_open(&postgres_driver, url, "", &store, &error), COMRADE_DENIED);
    assert_non_null(strstr(error.message, "GRANT comrade_member TO"));
}

/* --- Members -----------------------------------------------------------------------------------
 */

static void a_member_registers_beats_changes_and_removes_its_own_record(void **state)
{
    LOGINS(state);
    comrade_store *stores[] = {logins->member, logins->other};
    for (size_t i = 0; i < 2; i++) {
        const char *id = i == 0 ? "b" : "c";
        assert_int_equal(contract_put(&postgres_driver, stores[i], "app", id, 100, 1), COMRADE_OK);
        assert_int_equal(beat(&postgres_driver, stores[i], id, 100, NULL).status, COMRADE_OK);
        assert_int_equal(contract_put(&postgres_driver, stores[i], "app", id, 100, 2), COMRADE_OK);
        assert_int_equal(contract_put(&postgres_driver, stores[i], "moved", id, 200, 1),
                         COMRADE_OK);
        comrade_change removal = anything(COMRADE_DELETE, id);
        assert_int_equal(write_one(&postgres_driver, stores[i], "moved", &removal).status,
                         COMRADE_OK);
    }
    assert_int_equal(contract_count(&postgres_driver, logins->reader, NULL), 1);
}

static void a_member_cannot_touch_the_record_of_another_login(void **state)
{
    LOGINS(state);
    comrade_own own = own_part(200, 1); /* a later life: it would take the id over */
    comrade_change take_over = own_change(&own, "a");
    comrade_change removal = anything(COMRADE_DELETE, "a");
    assert_denied(logins->other, &take_over, "another login's");
    assert_denied(logins->other, &take_over, "comrade_member");
    assert_denied(logins->other, &removal, "another login's");
    assert_denied(logins->other, &removal, "comrade_admin");
    struct snapshot snapshot;
    look_at_role(&postgres_driver, logins->reader, "app", &snapshot);
    assert_int_equal(snapshot.n_records, 1);
    assert_int_equal(snapshot.records[0].own.incarnation, 100);
    removal.expect_updated_ms = snapshot.records[0].updated_ms;
    snapshot_finish(&snapshot);
    assert_denied(logins->other, &removal, "another login's");
    assert_int_equal(beat(&postgres_driver, logins->member, "a", 100, NULL).status, COMRADE_OK);
}

/* So that it registers again, and is told then why it cannot. */
static void a_heartbeat_for_the_record_of_another_login_finds_none(void **state)
{
    LOGINS(state);
    struct snapshot before, after;
    look_at_role(&postgres_driver, logins->reader, "app", &before);
    let_time_pass(&(struct scene){.factory = &(struct contract_store){.has_own_clock = true}}, 3);
    assert_int_equal(beat(&postgres_driver, logins->other, "a", 100, NULL).status, COMRADE_GONE);
    look_at_role(&postgres_driver, logins->reader, "app", &after);
    assert_int_equal(after.records[0].updated_ms, before.records[0].updated_ms);
    snapshot_finish(&before);
    snapshot_finish(&after);
}

static void a_member_asks_nothing_of_anybody(void **state)
{
    LOGINS(state);
    comrade_change change = request_change(&kill_request, "a");
    assert_denied(logins->member, &change, "GRANT comrade_admin TO service");
    assert_denied(logins->other, &change, "GRANT comrade_admin TO \"Other \"\"service\"\".x'y\"");
}

static void a_member_puts_a_spec_back_and_changes_none(void **state)
{
    LOGINS(state);
    comrade_change change = spec_change("{\"minMembers\":3}", 5);
    comrade_error error = {0};
    assert_int_equal(try_write(logins->member, "app", &change, &error), COMRADE_OK);
    change = spec_change("{\"minMembers\":0}", 6);
    assert_denied(logins->member, &change, "comrade_admin");
    assert_denied(logins->other, &change, "comrade_admin");
    struct snapshot snapshot;
    look_at_role(&postgres_driver, logins->reader, "app", &snapshot);
    assert_string_equal(snapshot.roles[0].spec, "{\"minMembers\":3}");
    snapshot_finish(&snapshot);
}

/* --- Administrators ----------------------------------------------------------------------------
 */

static void an_admin_asks_changes_specs_and_clears(void **state)
{
    LOGINS(state);
    comrade_error error = {0};
    comrade_change change = request_change(&kill_request, "a");
    assert_int_equal(try_write(logins->admin, "app", &change, &error), COMRADE_OK);
    struct snapshot snapshot;
    look_at_role(&postgres_driver, logins->reader, "app", &snapshot);
    assert_int_equal(snapshot.records[0].request.kind, COMRADE_REQUEST_KILL);
    assert_string_equal(snapshot.records[0].request.database_user, "person@example.org");
    assert_int_equal(beat(&postgres_driver, logins->member, "a", 100, NULL).request_revision,
                     snapshot.records[0].request.revision);
    snapshot_finish(&snapshot);
    for (int64_t version = 1; version <= 2; version++) {
        change = spec_change("{\"minMembers\":3}", version);
        assert_int_equal(try_write(logins->admin, "app", &change, &error), COMRADE_OK);
    }
    look_at_role(&postgres_driver, logins->reader, "app", &snapshot);
    change = anything(COMRADE_DELETE, "a");
    change.expect_updated_ms = snapshot.records[0].updated_ms;
    snapshot_finish(&snapshot);
    assert_int_equal(try_write(logins->admin, "app", &change, &error), COMRADE_OK);
    assert_int_equal(contract_count(&postgres_driver, logins->reader, &error), 0);
}

static void an_admin_speaks_for_no_member(void **state)
{
    LOGINS(state);
    comrade_own own = own_part(100, 2);
    comrade_change change = own_change(&own, "a");
    assert_denied(logins->admin, &change, "GRANT comrade_member TO \"person@example.org\"");
    change = own_change(&own, "new");
    assert_denied(logins->admin, &change, "comrade_member");
    comrade_beat one = {"a", 100};
    comrade_beat_result result;
    comrade_beat_summary summary;
    comrade_error error = {0};
    comrade_call call = contract_call();
    assert_int_equal(
        postgres_driver.heartbeat(logins->admin, &call, &one, 1, &result, &summary, &error),
        COMRADE_DENIED);
}

/* --- Batches -----------------------------------------------------------------------------------
 */

static void in_a_batch_one_that_is_denied_fails_alone(void **state)
{
    LOGINS(state);
    comrade_own own = own_part(100, 1), later = own_part(200, 1);
    comrade_change changes[] = {own_change(&own, "before"), own_change(&later, "a"),
                                request_change(&kill_request, "before"), own_change(&own, "after"),
                                anything(COMRADE_DELETE, "a")};
    enum { N = sizeof changes / sizeof changes[0] };
    static const comrade_status expected[N] = {COMRADE_OK, COMRADE_DENIED, COMRADE_DENIED,
                                               COMRADE_OK, COMRADE_DENIED};
    comrade_write writes[N];
    comrade_write_result results[N];
    comrade_error error = {0};
    for (size_t i = 0; i < N; i++) {
        writes[i] = (comrade_write){"app", COMRADE_ANYTHING, NULL, &changes[i], 1};
    }
    comrade_call call = contract_call();
    assert_int_equal(postgres_driver.write(logins->other, &call, writes, N, results, &error),
                     COMRADE_OK);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(results[i].status, expected[i]);
    }
    assert_int_equal(contract_count(&postgres_driver, logins->reader, &error), 3);
}

static void what_names_one_member_twice_in_a_batch_is_denied_alone_too(void **state)
{
    LOGINS(state);
    comrade_own own = own_part(100, 1);
    comrade_change changes[] = {own_change(&own, "b"), request_change(&kill_request, "b"),
                                anything(COMRADE_DELETE, "b")};
    comrade_write writes[3];
    comrade_write_result results[3];
    comrade_error error = {0};
    for (size_t i = 0; i < 3; i++) {
        writes[i] = (comrade_write){"app", COMRADE_ANYTHING, NULL, &changes[i], 1};
    }
    comrade_call call = contract_call();
    assert_int_equal(postgres_driver.write(logins->other, &call, writes, 3, results, &error),
                     COMRADE_OK);
    assert_int_equal(results[0].status, COMRADE_OK);
    assert_int_equal(results[1].status, COMRADE_DENIED);
    assert_int_equal(results[2].status, COMRADE_OK);
}

static void no_part_of_a_write_that_is_denied_is_applied(void **state)
{
    LOGINS(state);
    comrade_own own = own_part(100, 1);
    comrade_change changes[] = {own_change(&own, "b"), request_change(&kill_request, "a")};
    comrade_write write = {"app", COMRADE_ANYTHING, NULL, changes, 2};
    comrade_write_result result;
    comrade_error error = {0};
    comrade_call call = contract_call();
    int64_t revision = revision_of(&postgres_driver, logins->reader, "app");
    assert_int_equal(postgres_driver.write(logins->member, &call, &write, 1, &result, &error),
                     COMRADE_DENIED);
    assert_int_equal(contract_count(&postgres_driver, logins->reader, &error), 1);
    assert_int_equal(revision_of(&postgres_driver, logins->reader, "app"), revision);
}

/* --- The owner ---------------------------------------------------------------------------------
 */

static void the_owner_of_the_schema_is_not_hindered(void **state)
{
    LOGINS(state);
    char url[POSTGRES_URL_SIZE];
    comrade_error error = {0};
    snprintf(url, sizeof url, "postgres://postgres%s", strchr(logins->member_url, '@'));
    comrade_store *owner = contract_must_open(&postgres_driver, url, "");
    comrade_own own = own_part(200, 1);
    comrade_change changes[] = {own_change(&own, "a"), request_change(&kill_request, "a"),
                                spec_change("{}", 1), anything(COMRADE_DELETE, "a")};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        assert_int_equal(try_write(owner, "app", &changes[i], &error), COMRADE_OK);
    }
    postgres_driver.close(owner);
}

#define CASE_OF(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE_OF(a_reader_sees_everything),
        CASE_OF(a_reader_writes_nothing),
        CASE_OF(a_login_without_a_group_cannot_open_and_is_told_what_to_ask_for),
        CASE_OF(a_member_registers_beats_changes_and_removes_its_own_record),
        CASE_OF(a_member_cannot_touch_the_record_of_another_login),
        CASE_OF(a_heartbeat_for_the_record_of_another_login_finds_none),
        CASE_OF(a_member_asks_nothing_of_anybody),
        CASE_OF(a_member_puts_a_spec_back_and_changes_none),
        CASE_OF(an_admin_asks_changes_specs_and_clears),
        CASE_OF(an_admin_speaks_for_no_member),
        CASE_OF(in_a_batch_one_that_is_denied_fails_alone),
        CASE_OF(what_names_one_member_twice_in_a_batch_is_denied_alone_too),
        CASE_OF(no_part_of_a_write_that_is_denied_is_applied),
        CASE_OF(the_owner_of_the_schema_is_not_hindered),
    };
    enum { N_TESTS = sizeof tests / sizeof tests[0] };
    if (!logins_start_server(NULL)) {
        return postgres_server_skip_tests(tests, N_TESTS);
    }
    int failed = cmocka_run_group_tests_name("postgres_rights", tests, NULL, NULL);
    logins_stop_server();
    return failed;
}
