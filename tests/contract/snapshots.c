/* Snapshots: scopes, pages, and what is told of roles. */
#include "contract/cases.h"

#include <stdio.h>
#include <string.h>

/* --- Snapshots -------------------------------------------------------------------------------- */

static void pages_follow_the_order_of_bytes_and_lose_nothing(void **state)
{
    SCENE(state);
    const char *const roles[] = {"Z", "a", "b\xc3\xa9", "c"};
    char id[32];
    for (int i = 0; i < 60; i++) {
        snprintf(id, sizeof id, "%c-%d", "aB_%~'\""[i % 7], i * 37 % 60);
        contract_put(driver, store, roles[i % 4], id, 100, 1);
    }
    struct snapshot whole;
    struct snapshot paged;
    comrade_snapshot_query query = {.scope = COMRADE_SCOPE_ALL, .limit = 1000};
    look(driver, store, &query, &whole);
    query.limit = 7;
    look(driver, store, &query, &paged);
    assert_int_equal(whole.n_records, 60);
    assert_int_equal(paged.n_records, 60);
    assert_int_equal(paged.n_roles, 4);
    for (size_t i = 0; i < 60; i++) {
        assert_string_equal(whole.records[i].id, paged.records[i].id);
        if (i > 0) {
            int order = strcmp(whole.records[i - 1].role, whole.records[i].role);
            assert_true(order < 0 ||
                        (order == 0 && strcmp(whole.records[i - 1].id, whole.records[i].id) < 0));
        }
    }
    snapshot_finish(&whole);
    snapshot_finish(&paged);
    comrade_snapshot_query role = {.scope = COMRADE_SCOPE_ROLE, .role = "a", .limit = 4};
    look(driver, store, &role, &paged);
    assert_int_equal(paged.n_records, 15);
    assert_false(paged.is_torn);
    snapshot_finish(&paged);
}

static void a_write_between_two_pages_is_seen_as_a_tear(void **state)
{
    SCENE(state);
    contract_put(driver, store, "app", "a", 100, 1);
    contract_put(driver, store, "app", "b", 100, 1);
    struct snapshot snapshot;
    snapshot_init(&snapshot);
    comrade_snapshot_query query = {.scope = COMRADE_SCOPE_ROLE, .role = "app", .limit = 1};
    comrade_snapshot_sink sink = {snapshot_add_record, snapshot_add_role, &snapshot};
    comrade_snapshot_page page = {0};
    comrade_call call = contract_call();
    driver->snapshot(store, &call, &query, &page.next, &sink, &page, NULL);
    assert_true(page.has_more);
    beat(driver, store, "a", 100, NULL); /* a heartbeat tears nothing */
    comrade_cursor from = page.next;
    driver->snapshot(store, &call, &query, &from, &sink, &page, NULL);
    assert_false(snapshot.is_torn);
    contract_put(driver, store, "app", "c", 100, 1);
    driver->snapshot(store, &call, &query, &from, &sink, &page, NULL);
    assert_true(snapshot.is_torn);
    snapshot_finish(&snapshot);
}

static void scopes_and_roles_tell_what_they_must(void **state)
{
    SCENE(state);
    contract_put(driver, store, "app", "a", 100, 1);
    contract_put(driver, store, "db", "b", 100, 1);
    put_spec(driver, store, "empty", 1, 0, "{}");
    struct snapshot snapshot;
    comrade_snapshot_query all = {.scope = COMRADE_SCOPE_ALL, .roles_only = true, .limit = 10};
    look(driver, store, &all, &snapshot);
    assert_int_equal(snapshot.n_records, 0);
    assert_int_equal(snapshot.n_roles, 3); /* also the one without members */
    snapshot_finish(&snapshot);
    look_at_role(driver, store, "never", &snapshot);
    assert_int_equal(snapshot.n_roles, 1);
    assert_int_equal(snapshot.roles[0].revision, 0);
    assert_string_equal(snapshot.roles[0].spec, "{}");
    snapshot_finish(&snapshot);
    const char *const ids[] = {"a", "b", "nobody"};
    comrade_snapshot_query some = {.scope = COMRADE_SCOPE_IDS, .ids = ids, .n_ids = 3, .limit = 10};
    look(driver, store, &some, &snapshot);
    assert_int_equal(snapshot.n_records, 2);
    assert_int_equal(snapshot.n_roles, 2);
    assert_non_null(snapshot_find(&snapshot, "a"));
    assert_true(snapshot_role(&snapshot, "db")->revision > 0);
    snapshot_finish(&snapshot);
}

static void strange_texts_come_back_as_they_are(void **state)
{
    SCENE(state);
    static const char *const ids[] = {"'; DROP TABLE member; --",
                                      "%s%n",
                                      "a\"b",
                                      "\xf0\x9f\x8e\x89",
                                      "_%",
                                      "a b",
                                      "\\",
                                      "__a__",
                                      "__a__ ",
                                      "__a__  ",
                                      "____"};
    struct snapshot snapshot;
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        assert_int_equal(contract_put(driver, store, ids[i], ids[i], 100, 1), COMRADE_OK);
        assert_int_equal(beat(driver, store, ids[i], 100, NULL).status, COMRADE_OK);
        look_at_role(driver, store, ids[i], &snapshot);
        assert_int_equal(snapshot.n_records, 1);
        assert_string_equal(snapshot.records[0].id, ids[i]);
        snapshot_finish(&snapshot);
    }
}

static void namespaces_do_not_see_each_other(void **state)
{
    SCENE(state);
    comrade_store *staging = contract_must_open(driver, scene->url, "staging");
    contract_put(driver, store, "app", "a", 100, 1);
    put_spec(driver, store, "app", 3, 0, "{}");
    assert_int_equal(contract_count(driver, staging, NULL), 0);
    assert_int_equal(revision_of(driver, staging, "app"), 0);
    assert_int_equal(beat(driver, staging, "a", 100, NULL).status, COMRADE_GONE);
    assert_int_equal(contract_put(driver, staging, "app", "a", 50, 1), COMRADE_OK);
    assert_int_equal(beat(driver, store, "a", 100, NULL).status, COMRADE_OK);
    driver->close(staging);
}

static void ids_are_told_in_pages_too(void **state)
{
    SCENE(state);
    static const char *const ids[] = {"a", "b", "c", "d", "e", "nobody", "z"};
    for (int i = 0; i < 5; i++) {
        contract_put(driver, store, i % 2 == 0 ? "app" : "db", ids[i], 100, 1);
    }
    contract_put(driver, store, "app", "z", 100, 1);
    contract_put(driver, store, "app", "not asked for", 100, 1);
    comrade_snapshot_query query = {.scope = COMRADE_SCOPE_IDS, .ids = ids, .n_ids = 7, .limit = 2};
    struct snapshot snapshot;
    snapshot_init(&snapshot);
    comrade_snapshot_sink sink = {snapshot_add_record, snapshot_add_role, &snapshot};
    comrade_snapshot_page page = {0};
    int n_pages = 0;
    do {
        size_t n_before = snapshot.n_records;
        comrade_cursor from = page.next;
        comrade_call call = contract_call();
        assert_int_equal(driver->snapshot(store, &call, &query, &from, &sink, &page, NULL),
                         COMRADE_OK);
        assert_true(snapshot.n_records <= n_before + query.limit);
        n_pages++;
    } while (page.has_more && n_pages < 20);
    assert_false(page.has_more);
    assert_int_equal(snapshot.n_records, 6);
    assert_int_equal(snapshot.n_roles, 2);
    for (int i = 0; i < 5; i++) {
        assert_non_null(snapshot_find(&snapshot, ids[i]));
    }
    assert_non_null(snapshot_find(&snapshot, "z"));
    snapshot_finish(&snapshot);
}

static void of_no_ids_nothing_is_told(void **state)
{
    SCENE(state);
    contract_put(driver, store, "app", "a", 100, 1);
    comrade_snapshot_query query = {.scope = COMRADE_SCOPE_IDS, .limit = 10};
    struct snapshot snapshot;
    look(driver, store, &query, &snapshot);
    assert_int_equal(snapshot.n_records, 0);
    assert_int_equal(snapshot.n_roles, 0);
    snapshot_finish(&snapshot);
}

static void a_role_of_exactly_one_page_has_no_more(void **state)
{
    SCENE(state);
    contract_put(driver, store, "app", "a", 100, 1);
    contract_put(driver, store, "app", "b", 100, 1);
    struct snapshot snapshot;
    snapshot_init(&snapshot);
    comrade_snapshot_query query = {.scope = COMRADE_SCOPE_ROLE, .role = "app", .limit = 2};
    comrade_snapshot_sink sink = {snapshot_add_record, snapshot_add_role, &snapshot};
    comrade_snapshot_page page = {.has_more = true};
    comrade_call call = contract_call();
    assert_int_equal(driver->snapshot(store, &call, &query, NULL, &sink, &page, NULL), COMRADE_OK);
    assert_int_equal(snapshot.n_records, 2);
    assert_false(page.has_more);
    snapshot_finish(&snapshot);
}

static comrade_status refuse(void *user, const comrade_record *record)
{
    (void)record;
    *(int *)user += 1;
    return COMRADE_TOO_LARGE;
}

static comrade_status accept_role(void *user, const comrade_role *role)
{
    (void)user;
    (void)role;
    return COMRADE_OK;
}

static void a_failing_callback_ends_the_snapshot_and_hurts_nothing(void **state)
{
    SCENE(state);
    contract_put(driver, store, "app", "a", 100, 1);
    contract_put(driver, store, "app", "b", 100, 1);
    int n_told = 0;
    comrade_snapshot_query query = {.scope = COMRADE_SCOPE_ALL, .limit = 10};
    comrade_snapshot_sink sink = {refuse, accept_role, &n_told};
    comrade_snapshot_page page = {.now_ms = -1};
    comrade_error error = {0};
    comrade_call call = contract_call();
    assert_int_equal(driver->snapshot(store, &call, &query, NULL, &sink, &page, &error),
                     COMRADE_TOO_LARGE);
    assert_int_equal(n_told, 1);
    assert_int_equal(page.now_ms, -1); /* untouched */
    assert_int_equal(contract_put(driver, store, "app", "c", 100, 1), COMRADE_OK);
    assert_int_equal(contract_count(driver, store, NULL), 3);
}

static void kinds_do_not_see_each_other(void **state)
{
    SCENE(state);
    comrade_store_config config = {.size = sizeof config,
                                   .url = scene->url,
                                   .shown_url = scene->url,
                                   .name_space = "",
                                   .kind = "Other",
                                   .wall_ms = contract_wall_ms};
    comrade_store *other = NULL;
    comrade_call call = contract_call();
    assert_int_equal(driver->open(&config, &call, &other, NULL), COMRADE_OK);
    contract_put(driver, store, "app", "a", 100, 1);
    assert_int_equal(contract_count(driver, other, NULL), 0);
    assert_int_equal(beat(driver, other, "a", 100, NULL).status, COMRADE_GONE);
    driver->close(other);
}

static const struct CMUnitTest cases[] = {
    CASE(pages_follow_the_order_of_bytes_and_lose_nothing),
    CASE(a_write_between_two_pages_is_seen_as_a_tear),
    CASE(scopes_and_roles_tell_what_they_must),
    CASE(strange_texts_come_back_as_they_are),
    CASE(namespaces_do_not_see_each_other),
    CASE(ids_are_told_in_pages_too),
    CASE(of_no_ids_nothing_is_told),
    CASE(a_role_of_exactly_one_page_has_no_more),
    CASE(a_failing_callback_ends_the_snapshot_and_hurts_nothing),
    CASE(kinds_do_not_see_each_other),
};

CONTRACT_GROUP(contract_snapshots);
