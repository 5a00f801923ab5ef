/* Members and clients, with the real thread, over the stores that are built in. */
#include <comrade.h>

#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PATIENCE_MS = 20000 };

/* The state of a test is the text in front of a store's name: "memory:" or "sqlite:/tmp/…/". */
static const char *prefix;

static comrade_cluster *open_cluster(const char *name, const char *name_space)
{
    char store[256];
    snprintf(store, sizeof store, "%s%s", prefix, name);
    comrade_cluster_options options = COMRADE_CLUSTER_OPTIONS_INIT;
    options.store = store;
    options.name_space = name_space;
    options.heartbeat_ms = 200;
    comrade_cluster *cluster = NULL;
    comrade_error error = {0};
    if (comrade_cluster_open(&options, &cluster, &error) != COMRADE_OK) {
        fail_msg("%s", error.message);
    }
    return cluster;
}

struct heard {
    int counts[16];
    char reason[64];
    char by[64];
};

static void on_event(void *user, const comrade_event *event)
{
    struct heard *heard = user;
    heard->counts[event->kind]++;
    if (event->kind == COMRADE_EVENT_SHUTDOWN) {
        strncpy(heard->reason, event->data->request_reason, sizeof heard->reason - 1);
        strncpy(heard->by, event->data->requested_by, sizeof heard->by - 1);
    }
}

static void dispatch_until(comrade_cluster *cluster, const int *count, int wanted)
{
    for (int left_ms = PATIENCE_MS; *count < wanted; left_ms -= 50) {
        assert_true(left_ms > 0);
        struct pollfd ready = {.fd = comrade_cluster_fd(cluster), .events = POLLIN};
        poll(&ready, 1, 50);
        comrade_cluster_dispatch(cluster);
    }
}

static comrade_member *start(comrade_cluster *cluster, const char *id, struct heard *heard)
{
    comrade_member_options options = COMRADE_MEMBER_OPTIONS_INIT;
    options.role = "app";
    options.id = id;
    options.metadata = "{\"ip\":\"10.0.0.5\",\"port\":80}";
    options.on_event = on_event;
    options.user = heard;
    comrade_member *member = NULL;
    comrade_error error = {0};
    if (comrade_member_new(cluster, &options, &member, &error) != COMRADE_OK) {
        fail_msg("%s", error.message);
    }
    assert_int_equal(comrade_member_start(member, NULL), COMRADE_OK);
    dispatch_until(cluster, &heard->counts[COMRADE_EVENT_REGISTERED], 1);
    return member;
}

static void a_kill_reaches_the_member_once_after_it_left_the_list(void **state)
{
    (void)state;
    comrade_cluster *cluster = open_cluster("kill", NULL);
    struct heard heard = {0};
    struct heard other_heard = {0};
    comrade_member *member = start(cluster, "app-1", &heard);
    comrade_member *other = start(cluster, "app-2", &other_heard);
    comrade_client *client = NULL;
    assert_int_equal(comrade_client_new(cluster, NULL, &client, NULL), COMRADE_OK);
    comrade_request_options request = COMRADE_REQUEST_OPTIONS_INIT;
    request.reason = "too old";
    request.user = "alice";
    assert_int_equal(comrade_client_kill(client, "app-1", &request, PATIENCE_MS, NULL), COMRADE_OK);
    dispatch_until(cluster, &heard.counts[COMRADE_EVENT_SHUTDOWN], 1);
    assert_string_equal(heard.reason, "too old");
    assert_int_equal(strncmp(heard.by, "alice@", 6), 0);
    comrade_query alive = COMRADE_QUERY_INIT;
    alive.alive = COMRADE_YES;
    comrade_members *members = NULL;
    assert_int_equal(comrade_client_get_members(client, &alive, PATIENCE_MS, &members, NULL),
                     COMRADE_OK);
    assert_int_equal(comrade_members_count(members), 1);
    assert_string_equal(comrade_members_at(members, 0)->id, "app-2");
    assert_null(comrade_members_at(members, 1));
    comrade_members *shared = comrade_members_share(members);
    comrade_members_free(members);
    assert_string_equal(comrade_members_at(shared, 0)->id, "app-2");
    comrade_members_free(shared);
    assert_null(comrade_members_share(NULL));
    /* A second kill changes nothing, and is heard by nobody. */
    assert_int_equal(comrade_client_kill(client, "app-1", NULL, PATIENCE_MS, NULL), COMRADE_OK);
    assert_int_equal(comrade_member_update(member, PATIENCE_MS, NULL), COMRADE_OK);
    assert_int_equal(comrade_member_update(member, PATIENCE_MS, NULL), COMRADE_OK);
    comrade_cluster_dispatch(cluster);
    assert_int_equal(heard.counts[COMRADE_EVENT_SHUTDOWN], 1);
    assert_int_equal(other_heard.counts[COMRADE_EVENT_SHUTDOWN], 0);
    comrade_member_free(member);
    comrade_member_free(other);
    comrade_client_free(client);
    comrade_cluster_close(cluster);
}

static void the_budget_is_the_role_specs_and_holds_for_every_client(void **state)
{
    (void)state;
    comrade_cluster *cluster = open_cluster("budget", NULL);
    struct heard heard[2] = {0};
    comrade_member *members[2] = {start(cluster, "app-1", &heard[0]),
                                  start(cluster, "app-2", &heard[1])};
    comrade_client *client = NULL;
    comrade_client *second = NULL;
    const comrade_role_minimum lower = {"app", 0};
    comrade_client_options options = COMRADE_CLIENT_OPTIONS_INIT;
    options.roles = &lower;
    options.n_roles = 1;
    assert_int_equal(comrade_client_new(cluster, NULL, &client, NULL), COMRADE_OK);
    assert_int_equal(comrade_client_new(cluster, &options, &second, NULL), COMRADE_OK);
    assert_int_equal(comrade_client_set_role(client, "app", 2, PATIENCE_MS, NULL), COMRADE_OK);
    int min_members = 0;
    int available = 0;
    assert_int_equal(
        comrade_client_get_role(second, "app", PATIENCE_MS, &min_members, &available, NULL),
        COMRADE_OK);
    assert_int_equal(min_members, 2);
    assert_int_equal(available, 2);
    comrade_query query = COMRADE_QUERY_INIT;
    query.role = "app";
    comrade_error error = {0};
    assert_int_equal(comrade_client_kill_oldest(second, &query, NULL, PATIENCE_MS, NULL, &error),
                     COMRADE_REFUSED);
    assert_non_null(strstr(error.message, "minimum of 2"));
    comrade_member_free(members[0]);
    comrade_member_free(members[1]);
    comrade_client_free(client);
    comrade_client_free(second);
    comrade_cluster_close(cluster);
}

static void another_namespace_is_another_world(void **state)
{
    (void)state;
    comrade_cluster *production = open_cluster("world", "production");
    comrade_cluster *staging = open_cluster("world", "staging");
    struct heard heard = {0};
    comrade_member *member = start(production, "app-1", &heard);
    comrade_client *client = NULL;
    assert_int_equal(comrade_client_new(staging, NULL, &client, NULL), COMRADE_OK);
    comrade_members *members = NULL;
    assert_int_equal(comrade_client_get_members(client, NULL, PATIENCE_MS, &members, NULL),
                     COMRADE_OK);
    assert_int_equal(comrade_members_count(members), 0);
    comrade_members_free(members);
    assert_int_equal(comrade_client_kill(client, "app-1", NULL, PATIENCE_MS, NULL),
                     COMRADE_NOT_FOUND);
    comrade_member_free(member);
    comrade_client_free(client);
    comrade_cluster_close(staging);
    comrade_cluster_close(production);
}

static void a_running_id_is_refused_and_a_takeover_fences_it(void **state)
{
    (void)state;
    comrade_cluster *one = open_cluster("same", NULL);
    comrade_cluster *two = open_cluster("same", NULL);
    struct heard heard = {0};
    struct heard late_heard = {0};
    comrade_member *member = start(one, "app-1", &heard);
    comrade_member_options options = COMRADE_MEMBER_OPTIONS_INIT;
    options.role = "app";
    options.id = "app-1";
    options.host = "elsewhere";
    options.on_event = on_event;
    options.user = &late_heard;
    comrade_member *late = NULL;
    assert_int_equal(comrade_member_new(two, &options, &late, NULL), COMRADE_OK);
    comrade_member_start(late, NULL);
    dispatch_until(two, &late_heard.counts[COMRADE_EVENT_IN_USE], 1);
    comrade_member_free(late);
    options.takeover = COMRADE_TAKEOVER_ALWAYS;
    assert_int_equal(comrade_member_new(two, &options, &late, NULL), COMRADE_OK);
    comrade_member_start(late, NULL);
    dispatch_until(two, &late_heard.counts[COMRADE_EVENT_REGISTERED], 1);
    dispatch_until(one, &heard.counts[COMRADE_EVENT_FENCED], 1);
    assert_true(comrade_member_incarnation(late) > comrade_member_incarnation(member));
    comrade_member_free(member);
    comrade_member_free(late);
    comrade_cluster_close(one);
    comrade_cluster_close(two);
}

struct seen {
    int n_calls;
    size_t n_members;
};

static void on_change(void *user, const comrade_members *members, const comrade_error *error)
{
    (void)error;
    struct seen *seen = user;
    seen->n_calls++;
    seen->n_members = comrade_members_count(members);
}

static void a_watch_tells_of_arrivals_and_of_those_who_leave_the_list(void **state)
{
    (void)state;
    comrade_cluster *cluster = open_cluster("watch", NULL);
    comrade_client *client = NULL;
    assert_int_equal(comrade_client_new(cluster, NULL, &client, NULL), COMRADE_OK);
    struct seen seen = {0};
    comrade_watch *watch = NULL;
    comrade_query query = COMRADE_QUERY_INIT;
    query.alive = COMRADE_YES;
    assert_int_equal(comrade_watch_start(client, &query, on_change, &seen, &watch, NULL),
                     COMRADE_OK);
    dispatch_until(cluster, &seen.n_calls, 1);
    assert_int_equal(seen.n_members, 0);
    struct heard heard = {0};
    comrade_member *member = start(cluster, "app-1", &heard);
    for (int i = 0; seen.n_members != 1 && i < 400; i++) {
        struct pollfd ready = {.fd = comrade_cluster_fd(cluster), .events = POLLIN};
        poll(&ready, 1, 50);
        comrade_cluster_dispatch(cluster);
    }
    assert_int_equal(seen.n_members, 1);
    assert_int_equal(comrade_client_zombify(client, "app-1", NULL, PATIENCE_MS, NULL), COMRADE_OK);
    dispatch_until(cluster, &heard.counts[COMRADE_EVENT_ZOMBIFIED], 1);
    for (int i = 0; seen.n_members != 0 && i < 400; i++) {
        struct pollfd ready = {.fd = comrade_cluster_fd(cluster), .events = POLLIN};
        poll(&ready, 1, 50);
        comrade_cluster_dispatch(cluster);
    }
    assert_int_equal(seen.n_members, 0);
    assert_int_equal(heard.counts[COMRADE_EVENT_SHUTDOWN], 0);
    comrade_watch_stop(watch);
    comrade_member_free(member);
    comrade_client_free(client);
    comrade_cluster_close(cluster);
}

/* Answers for app-1, and never for app-2. */
static void on_health_check(void *user, comrade_health_check *check)
{
    comrade_health_check **unanswered = user;
    if (strcmp(comrade_health_check_member(check)->id, "app-1") == 0) {
        comrade_health_check_answer(check, true);
    } else {
        *unanswered = check;
    }
}

static void a_health_check_that_never_answers_costs_its_timeout(void **state)
{
    (void)state;
    comrade_cluster *cluster = open_cluster("health", NULL);
    struct heard heard[2] = {0};
    comrade_member *members[2] = {start(cluster, "app-1", &heard[0]),
                                  start(cluster, "app-2", &heard[1])};
    comrade_health_check *unanswered = NULL;
    comrade_client_options options = COMRADE_CLIENT_OPTIONS_INIT;
    options.on_health_check = on_health_check;
    options.health_check_user = &unanswered;
    options.health_check_timeout_ms = 100;
    comrade_client *client = NULL;
    assert_int_equal(comrade_client_new(cluster, &options, &client, NULL), COMRADE_OK);
    comrade_query healthy = COMRADE_QUERY_INIT;
    healthy.healthy = COMRADE_YES;
    comrade_members *list = NULL;
    assert_int_equal(comrade_client_get_members(client, &healthy, PATIENCE_MS, &list, NULL),
                     COMRADE_OK);
    assert_int_equal(comrade_members_count(list), 1);
    assert_string_equal(comrade_members_at(list, 0)->id, "app-1");
    comrade_members_free(list);
    assert_non_null(unanswered);
    comrade_health_check_answer(unanswered, true); /* too late, and nobody minds */
    /* Its verdict reaches the budget: one healthy, the implied minimum is one. */
    comrade_query role = COMRADE_QUERY_INIT;
    role.role = "app";
    assert_int_equal(comrade_client_kill_oldest(client, &role, NULL, PATIENCE_MS, NULL, NULL),
                     COMRADE_REFUSED);
    comrade_health_check_answer(unanswered, true);
    comrade_member_free(members[0]);
    comrade_member_free(members[1]);
    comrade_client_free(client);
    comrade_cluster_close(cluster);
}

static void create_member_is_on_the_clients_cluster(void **state)
{
    (void)state;
    comrade_cluster *cluster = open_cluster("create", "ns");
    comrade_client *client = NULL;
    assert_int_equal(comrade_client_new(cluster, NULL, &client, NULL), COMRADE_OK);
    comrade_member_options options = COMRADE_MEMBER_OPTIONS_INIT;
    options.role = "app";
    comrade_member *member = NULL;
    assert_int_equal(comrade_client_create_member(client, &options, &member, NULL), COMRADE_OK);
    assert_int_equal(strlen(comrade_member_id(member)), 36);
    comrade_member_start(member, NULL);
    comrade_members *list = NULL;
    comrade_report report = COMRADE_REPORT_INIT;
    assert_int_equal(comrade_member_report(member, &report, PATIENCE_MS, NULL), COMRADE_OK);
    assert_int_equal(comrade_member_fetch(member, PATIENCE_MS, &list, NULL), COMRADE_OK);
    assert_string_equal(comrade_members_at(list, 0)->id, comrade_member_id(member));
    comrade_members_free(list);
    comrade_member_free(member);
    comrade_client_free(client);
    comrade_cluster_close(cluster);
}

static void bad_input_is_refused_with_a_reason(void **state)
{
    (void)state;
    comrade_cluster *cluster = open_cluster("bad", NULL);
    static char huge[1 << 20];
    memset(huge, 'x', sizeof huge - 1);
    const struct {
        const char *role, *id, *metadata;
        comrade_status status;
    } cases[] = {
        {"", NULL, NULL, COMRADE_INVALID},
        {NULL, NULL, NULL, COMRADE_INVALID},
        {"app", "", NULL, COMRADE_INVALID},
        {"app", huge, NULL, COMRADE_TOO_LARGE},
        {huge, NULL, NULL, COMRADE_TOO_LARGE},
        {"app", "a\x1b[2J", NULL, COMRADE_INVALID},
        {"app", "\xff", NULL, COMRADE_INVALID},
        {"app", "a/b", NULL, COMRADE_INVALID},
        {"app", NULL, "[]", COMRADE_INVALID},
        {"app", NULL, "{", COMRADE_INVALID},
        {"app", NULL, "{\"a\":1,\"a\":2}", COMRADE_INVALID},
        {"app", NULL, "{\"a\":\"\\u0000\"}", COMRADE_INVALID},
        {"app", NULL, huge, COMRADE_TOO_LARGE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        comrade_member_options options = COMRADE_MEMBER_OPTIONS_INIT;
        options.role = cases[i].role;
        options.id = cases[i].id;
        options.metadata = cases[i].metadata;
        comrade_member *member = NULL;
        comrade_error error = {0};
        assert_int_equal(comrade_member_new(cluster, &options, &member, &error), cases[i].status);
        assert_null(member);
        assert_true(error.message[0] != '\0');
    }
    comrade_cluster_close(cluster);
    comrade_cluster_options options = COMRADE_CLUSTER_OPTIONS_INIT;
    comrade_error error = {0};
    options.store = "sqlitte:/tmp/x";
    assert_int_equal(comrade_cluster_open(&options, &cluster, &error), COMRADE_INVALID);
    assert_non_null(strstr(error.message, "did you mean \"sqlite:\""));
    assert_non_null(strstr(error.message, "postgres"));
}

static char folder[] = "/tmp/comrade-cluster-XXXXXX";

static int use_memory(void **state)
{
    (void)state;
    prefix = "memory:";
    return 0;
}

static int use_sqlite(void **state)
{
    static char text[64];
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(text, sizeof text, "sqlite:%s/", folder);
    prefix = text;
    return 0;
}

static int remove_one(const char *path, const struct stat *found, int kind, struct FTW *place)
{
    (void)found;
    (void)kind;
    (void)place;
    return remove(path);
}

static int remove_folder(void **state)
{
    (void)state;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kill_reaches_the_member_once_after_it_left_the_list),
        cmocka_unit_test(the_budget_is_the_role_specs_and_holds_for_every_client),
        cmocka_unit_test(another_namespace_is_another_world),
        cmocka_unit_test(a_running_id_is_refused_and_a_takeover_fences_it),
        cmocka_unit_test(a_watch_tells_of_arrivals_and_of_those_who_leave_the_list),
        cmocka_unit_test(a_health_check_that_never_answers_costs_its_timeout),
        cmocka_unit_test(create_member_is_on_the_clients_cluster),
        cmocka_unit_test(bad_input_is_refused_with_a_reason),
    };
    int failed = cmocka_run_group_tests_name("memory", tests, use_memory, NULL);
    return failed + cmocka_run_group_tests_name("sqlite", tests, use_sqlite, remove_folder);
}
