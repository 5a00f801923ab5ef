/* What the owner of a file is told of it: all that is wrong with it, and nothing of a good one. */
#include "base/env.h"
#include "contract/sqlite_scene.h"
#include "store/sqlite/sqlite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

struct findings {
    int n_problems;
    int n_others;
    char problem[512]; /* the last one */
};

static void on_finding(void *user, bool is_problem, const char *text)
{
    struct findings *findings = user;
    assert_true(text[0] != '\0');
    findings->n_others += is_problem ? 0 : 1;
    if (is_problem) {
        findings->n_problems++;
        snprintf(findings->problem, sizeof findings->problem, "%s", text);
    }
}

static comrade_status check(struct scene *scene, comrade_store *store, const comrade_call *call,
                            struct findings *findings)
{
    *findings = (struct findings){0};
    return sqlite_driver.check(store, call, on_finding, findings, &scene->error);
}

static void a_good_file_has_no_problems(void **state)
{
    struct scene *scene = *state;
    struct findings findings;
    comrade_store *store = scene_open(scene);
    comrade_call call = contract_call();
    scene_put(store, "a");
    assert_int_equal(check(scene, store, &call, &findings), COMRADE_OK);
    if (findings.n_problems != 0) {
        fail_msg("%s", findings.problem);
    }
    assert_true(findings.n_others > 0);
    sqlite_driver.close(store);
}

static void a_notify_file_that_cannot_be_written_is_a_problem(void **state)
{
    struct scene *scene = *state;
    struct findings findings;
    char notify[SCENE_PATH_SIZE];
    snprintf(notify, sizeof notify, "%s-notify", scene->path);
    assert_int_equal(mkdir(notify, 0755), 0);
    comrade_store *store = scene_open(scene);
    comrade_call call = contract_call();
    assert_int_equal(check(scene, store, &call, &findings), COMRADE_OK);
    assert_int_equal(findings.n_problems, 1);
    assert_non_null(strstr(findings.problem, "-notify"));
    sqlite_driver.close(store);
}

/* Two tables share their pages; opening does not look there. */
static void damage_that_nobody_has_met_is_found(void **state)
{
    struct scene *scene = *state;
    struct findings findings;
    comrade_store *store = scene_open(scene);
    scene_put(store, "a");
    scene_run_sql(scene->path, "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = "
                               "(SELECT rootpage FROM sqlite_schema WHERE name = 'heartbeat') "
                               "WHERE name = 'change'");
    sqlite_driver.close(store);
    store = scene_open(scene);
    comrade_call call = contract_call();
    comrade_status status = check(scene, store, &call, &findings);
    if (status == COMRADE_OK) {
        assert_int_equal(findings.n_problems, 1);
        assert_non_null(strstr(findings.problem, "integrity"));
    } else {
        assert_int_equal(status, COMRADE_BROKEN);
        assert_non_null(strstr(scene->error.message, scene->path));
    }
    sqlite_driver.close(store);
}

static void a_check_ends_by_its_deadline_and_blames_nothing(void **state)
{
    struct scene *scene = *state;
    struct findings findings;
    comrade_store *store = scene_open(scene);
    scene_run_sql(scene->path,
                  "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 60000) "
                  "INSERT INTO role SELECT 1, 'r' || i, 1, 0, '{}', '' FROM n");
    comrade_call call = contract_call();
    call.deadline_ms = env_monotonic_ms(&env_system) - 1;
    assert_int_equal(check(scene, store, &call, &findings), COMRADE_UNAVAILABLE);
    assert_int_equal(findings.n_problems, 0);
    assert_non_null(strstr(scene->error.message, scene->path));
    sqlite_driver.close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_CASE(a_good_file_has_no_problems),
        SCENE_CASE(a_notify_file_that_cannot_be_written_is_a_problem),
        SCENE_CASE(damage_that_nobody_has_met_is_found),
        SCENE_CASE(a_check_ends_by_its_deadline_and_blames_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
