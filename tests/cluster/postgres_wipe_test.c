/*
 * What an owner does to his database under running members: he empties it, drops the schema, or
 * puts back an old dump. The next heartbeat, and no other, brings each member back whole, and the
 * minimums with them.
 */
#include "cluster/postgres_places.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

/* --- What the database says --------------------------------------------------------------------
 */

/* Every record, but for its numbering and for when it beat last; and the specs. */
static const char whole_sql[] =
    "SELECT coalesce(string_agg(concat_ws(' ', c.namespace, c.kind, m.role, m.id, m.incarnation,"
    "  h.incarnation, m.sequence - h.own_sequence, m.state, m.is_alive, m.is_available, m.created,"
    "  m.pid, m.host, m.version, m.metadata, m.details), '; ' ORDER BY m.id), '')"
    " FROM comrade.cluster c JOIN comrade.member m ON m.cluster = c.id"
    " JOIN comrade.heartbeat h ON h.cluster = c.id AND h.id = m.id"
    " WHERE c.namespace = 'production'";
static const char specs_sql[] =
    "SELECT coalesce(string_agg(concat_ws(' ', s.role, s.spec), '; ' ORDER BY s.role), '')"
    " FROM comrade.cluster c JOIN comrade.role_spec s ON s.cluster = c.id"
    " WHERE c.namespace = 'production'";

/* The schema may just be made anew, in one piece. */
static void await_sql(struct places *places, const char *sql, const char *wanted)
{
    static const char probe[] =
        "SELECT CASE WHEN to_regclass('comrade.heartbeat') IS NULL THEN '' ELSE 'there' END";
    for (int left_ms = PLACE_PATIENCE_MS;; left_ms -= PLACE_STEP_MS) {
        char *found = postgres_server_sql(places->server, places->url, probe);
        if (found[0] != '\0') {
            free(found);
            found = postgres_server_sql(places->server, places->url, sql);
        }
        bool is_wanted = strcmp(found, wanted) == 0;
        if (!is_wanted && left_ms <= 0) {
            fail_msg("wanted: %s\nfound: %s", wanted, found);
        }
        free(found);
        if (is_wanted) {
            return;
        }
        for (int i = 0; i < PLACES; i++) {
            place_dispatch(&places->place[i]);
        }
    }
}

struct picture {
    char *members;
    char *specs;
};

static struct picture take_picture(struct places *places)
{
    return (struct picture){postgres_server_sql(places->server, places->url, whole_sql),
                            postgres_server_sql(places->server, places->url, specs_sql)};
}

/* One heartbeat of each, and all is as it was. Frees the picture. */
static void assert_back_with_one_beat(struct places *places, struct picture *before)
{
    places_beat(places);
    await_sql(places, whole_sql, before->members);
    await_sql(places, specs_sql, before->specs);
    assert_int_equal(places_n_heartbeats, PLACES);
    for (int i = 0; i < PLACES; i++) {
        assert_int_equal(places->place[i].events[COMRADE_EVENT_ERROR], 0);
        assert_int_equal(places->place[i].events[COMRADE_EVENT_FENCED], 0);
        assert_int_equal(places->place[i].events[COMRADE_EVENT_SHUTDOWN], 0);
    }
    free(before->members);
    free(before->specs);
}

/* --- Wipes -------------------------------------------------------------------------------------
 */

static void a_truncated_store_has_everybody_back_with_the_next_heartbeat(void **state)
{
    struct places *places = *state;
    struct picture before = take_picture(places);
    postgres_server_run(places->server, places->url,
                        "TRUNCATE comrade.cluster, comrade.role, comrade.role_spec, comrade.member,"
                        " comrade.heartbeat RESTART IDENTITY");
    assert_back_with_one_beat(places, &before);
}

/* As a hand does it that slipped. A record goes with its heartbeat, which is removed first. */
static void a_table_that_is_emptied_is_filled_by_the_next_heartbeat(void **state)
{
    static const char *const tables[] = {"cluster", "role", "role_spec", "heartbeat",
                                         "member, comrade.heartbeat"};
    struct places *places = *state;
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        char sql[64];
        struct picture before = take_picture(places);
        snprintf(sql, sizeof sql, "TRUNCATE comrade.%s", tables[i]);
        postgres_server_run(places->server, places->url, sql);
        printf("# without %s\n", tables[i]);
        assert_back_with_one_beat(places, &before);
    }
}

/* Twice, so that one heartbeat finds nothing, and so does the next. */
static void a_dropped_schema_is_made_again_by_the_next_heartbeat(void **state)
{
    struct places *places = *state;
    for (int i = 0; i < 2; i++) {
        struct picture before = take_picture(places);
        postgres_server_run(places->server, places->url, "DROP SCHEMA comrade CASCADE");
        assert_back_with_one_beat(places, &before);
    }
}

static void a_wiped_role_keeps_its_minimum(void **state)
{
    struct places *places = *state;
    comrade_error error = {0};
    comrade_query query = COMRADE_QUERY_INIT;
    query.role = "web";
    struct picture before = take_picture(places);
    postgres_server_run(places->server, places->url, "DROP SCHEMA comrade CASCADE");
    assert_back_with_one_beat(places, &before);
    comrade_client *client = places->place[1].client;
    assert_int_equal(
        comrade_client_kill_oldest(client, &query, NULL, PLACE_PATIENCE_MS, NULL, &error),
        COMRADE_OK);
    assert_int_equal(
        comrade_client_kill_oldest(client, &query, NULL, PLACE_PATIENCE_MS, NULL, &error),
        COMRADE_REFUSED);
}

/* --- Dumps -------------------------------------------------------------------------------------
 */

/* With the programs of the machine, which must be as new as the server. */
static bool run_program(struct places *places, const char *program, const char *arguments)
{
    char command[1024];
    snprintf(command, sizeof command,
             "%s -h '%s/socket' -p %d -U postgres -d '%s' %s >/dev/null 2>&1", program,
             postgres_server_folder(places->server), postgres_server_port(places->server),
             strrchr(places->url, '/') + 1, arguments);
    return WEXITSTATUS(system(command)) == 0; /* NOLINT(cert-env33-c): of our own words */
}

static void dump(struct places *places, char path[64])
{
    char arguments[128];
    snprintf(path, 64, "%s", "/tmp/comrade-dump-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    snprintf(arguments, sizeof arguments, "--schema=comrade --file=%s", path);
    if (!run_program(places, "pg_dump", arguments)) {
        remove(path);
        puts("# there is no pg_dump for this server");
        skip();
    }
}

static void restore(struct places *places, const char *path)
{
    char arguments[128];
    postgres_server_run(places->server, places->url, "DROP SCHEMA comrade CASCADE");
    snprintf(arguments, sizeof arguments, "-X -v ON_ERROR_STOP=1 -f %s", path);
    assert_true(run_program(places, "psql", arguments));
    remove(path);
}

/* Behind the dump: a report, a member more, one that is alive no more, and a higher minimum. */
static void let_the_world_move(struct places *places)
{
    comrade_report report = COMRADE_REPORT_INIT;
    report.metadata = "{\"port\":8080}";
    assert_int_equal(
        comrade_member_report(places->place[0].members[0], &report, PLACE_PATIENCE_MS, NULL),
        COMRADE_OK);
    assert_int_equal(
        comrade_member_report_dead(places->place[1].members[1], PLACE_PATIENCE_MS, NULL),
        COMRADE_OK);
    struct place *place = &places->place[1];
    int n_registered = place->events[COMRADE_EVENT_REGISTERED];
    place_start_member(place, "db", 1, 2);
    place_wait(place, COMRADE_EVENT_REGISTERED, n_registered + 1);
    places_set_minimum(places, "web", 2);
    places_set_minimum(places, "db", 1);
}

static void an_old_dump_is_put_right_by_the_next_heartbeat(void **state)
{
    struct places *places = *state;
    char path[64];
    dump(places, path);
    let_the_world_move(places);
    struct picture before = take_picture(places);
    restore(places, path);
    assert_back_with_one_beat(places, &before);
}

/* A namespace that was made first has the first number. */
static void a_dump_that_numbers_clusters_otherwise_is_put_right(void **state)
{
    static const char number_sql[] =
        "SELECT id FROM comrade.cluster WHERE namespace = 'production'";
    struct places *places = *state;
    struct place staging = {0};
    char path[64];
    struct picture before = take_picture(places);
    postgres_server_run(places->server, places->url, "DROP SCHEMA comrade CASCADE");
    place_open(&staging, places->url, "staging");
    place_start_member(&staging, "web", 7, 0);
    place_wait(&staging, COMRADE_EVENT_REGISTERED, 1);
    place_close(&staging);
    assert_back_with_one_beat(places, &before);
    long long number = postgres_server_number(places->server, places->url, number_sql);
    dump(places, path);

    before = take_picture(places);
    postgres_server_run(places->server, places->url, "DROP SCHEMA comrade CASCADE");
    assert_back_with_one_beat(places, &before);
    assert_true(postgres_server_number(places->server, places->url, number_sql) < number);
    let_the_world_move(places);
    before = take_picture(places);
    restore(places, path);
    assert_int_equal(postgres_server_number(places->server, places->url, number_sql), number);
    assert_back_with_one_beat(places, &before);
}

/* Of so many that the driver remembers what it was told of them. */
static void a_large_process_notices_a_wipe_and_an_old_dump_like_any_other(void **state)
{
    struct places *places = *state;
    struct place *place = &places->place[0];
    comrade_report report = COMRADE_REPORT_INIT;
    char path[64];
    memset(place->events, 0, sizeof place->events);
    for (int i = 2; i < PLACE_MEMBERS_MAX; i++) {
        place_start_member(place, "web", 0, i);
    }
    place_wait(place, COMRADE_EVENT_REGISTERED, PLACE_MEMBERS_MAX - 2);
    places_beat(places);
    struct picture before = take_picture(places);
    assert_back_with_one_beat(places, &before);

    before = take_picture(places);
    postgres_server_run(places->server, places->url, "TRUNCATE comrade.member, comrade.heartbeat");
    assert_back_with_one_beat(places, &before);
    places_beat(places);

    dump(places, path);
    report.metadata = "{\"port\":8080}";
    assert_int_equal(comrade_member_report(place->members[99], &report, PLACE_PATIENCE_MS, NULL),
                     COMRADE_OK);
    places_beat(places);
    places_beat(places);
    before = take_picture(places);
    restore(places, path);
    assert_back_with_one_beat(places, &before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACES_CASE(a_truncated_store_has_everybody_back_with_the_next_heartbeat),
        PLACES_CASE(a_table_that_is_emptied_is_filled_by_the_next_heartbeat),
        PLACES_CASE(a_dropped_schema_is_made_again_by_the_next_heartbeat),
        PLACES_CASE(a_wiped_role_keeps_its_minimum),
        PLACES_CASE(an_old_dump_is_put_right_by_the_next_heartbeat),
        PLACES_CASE(a_dump_that_numbers_clusters_otherwise_is_put_right),
        PLACES_CASE(a_large_process_notices_a_wipe_and_an_old_dump_like_any_other),
    };
    return places_run(tests, sizeof tests / sizeof tests[0]);
}
