/*
 * Credentials: each kind of them, and the life of a token. Every message is asserted whole, for it
 * is what somebody without a token has to go by.
 */
#include "contract/datastore_token_scene.h"

#include "contract/contract.h"
#include "lib/allocation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { SHORT_MS = 400, HANG_MS = 10000 };

/* --- Each kind ---------------------------------------------------------------------------------
 */

static void a_service_accounts_key_gets_a_token(void **state)
{
    (void)state;
    google_write_key(&scene.google, 0);
    scene_find(scene.google.file);
    expect_token("ya29.token-1");
    expect_token("ya29.token-1");
    assert_int_equal(http_server_requests(scene.google.server), 1);
    char name[256];
    snprintf(name, sizeof name, "service account app@proj.iam.gserviceaccount.com (%s)",
             scene.google.file);
    assert_string_equal(credentials_name(scene.credentials), name);
}

static void gclouds_user_gets_a_token(void **state)
{
    (void)state;
    google_write_user(&scene.google);
    scene_find(scene.google.file);
    expect_token("ya29.token-1");
    char name[256];
    snprintf(name, sizeof name, "gcloud's user (%s)", scene.google.file);
    assert_string_equal(credentials_name(scene.credentials), name);
}

static void a_machine_of_googles_gets_a_token(void **state)
{
    (void)state;
    char name[256];
    snprintf(name, sizeof name, "the metadata server (%s)", scene.google.host);
    setenv("GCE_METADATA_HOST", scene.google.host, 1);
    scene_find(NULL);
    expect_token("ya29.token-1");
    assert_string_equal(credentials_name(scene.credentials), name);
}

/* --- Where they are found ----------------------------------------------------------------------
 */

static void write_default(char path[256], const char *folder)
{
    snprintf(path, 256, "%s/application_default_credentials.json", folder);
    google_write_user(&scene.google);
    assert_int_equal(rename(scene.google.file, path), 0);
}

static void the_url_comes_before_the_environment_and_that_before_gcloud(void **state)
{
    (void)state;
    char path[256];
    scene_find(NULL);
    expect_name("the metadata server (metadata.google.internal)");
    setenv("GOOGLE_APPLICATION_CREDENTIALS", "", 1); /* as if it were not set */
    write_default(path, scene.google.folder);
    scene_find(NULL);
    expect_name("gcloud's user");
    google_write_key(&scene.google, 0);
    setenv("GOOGLE_APPLICATION_CREDENTIALS", scene.google.file, 1);
    scene_find(NULL);
    expect_name("service account");
    scene_find(path);
    expect_name("gcloud's user");
    unlink(path);
}

static void gclouds_file_is_below_home(void **state)
{
    (void)state;
    char folder[128];
    char path[256];
    unsetenv("CLOUDSDK_CONFIG");
    setenv("HOME", scene.google.folder, 1);
    snprintf(folder, sizeof folder, "%s/.config", scene.google.folder);
    mkdir(folder, 0700);
    snprintf(folder, sizeof folder, "%s/.config/gcloud", scene.google.folder);
    mkdir(folder, 0700);
    write_default(path, folder);
    scene_find(NULL);
    expect_name("gcloud's user");
    unlink(path);
    rmdir(folder);
    folder[strlen(folder) - strlen("/gcloud")] = '\0';
    rmdir(folder);
    unsetenv("HOME");
    scene_find(NULL);
    expect_name("the metadata server");
}

static void the_environment_says_who_pays_before_the_file_does(void **state)
{
    (void)state;
    google_write_user(&scene.google);
    scene_find(scene.google.file);
    assert_null(credentials_quota_project(scene.credentials));
    expect_name("gcloud's user");
    google_write(&scene.google,
                 "{\"type\":\"authorized_user\",\"client_id\":\"c\",\"client_secret\":\"s\","
                 "\"refresh_token\":\"r\",\"quota_project_id\":\"payer\"}");
    scene_find(scene.google.file);
    assert_string_equal(credentials_quota_project(scene.credentials), "payer");
    expect_name("gcloud's user");
    setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "example.com:other", 1);
    scene_find(scene.google.file);
    assert_string_equal(credentials_quota_project(scene.credentials), "example.com:other");
    expect_name("gcloud's user");
    unlink(scene.google.file);
    scene_find(NULL);
    assert_string_equal(credentials_quota_project(scene.credentials), "example.com:other");
    expect_name("the metadata server");
}

/* --- The life of a token -----------------------------------------------------------------------
 */

static void a_token_is_renewed_before_it_ends(void **state)
{
    (void)state;
    google_write_user(&scene.google);
    scene_find(scene.google.file);
    expect_token("ya29.token-1");
    scene.passed_ms += 54 * MINUTE_MS;
    expect_token("ya29.token-1");
    scene.passed_ms += 2 * MINUTE_MS;
    expect_token("ya29.token-2");
    scene.passed_ms += 54 * MINUTE_MS;
    expect_token("ya29.token-2");
    assert_int_equal(http_server_requests(scene.google.server), 2);
}

static void a_renewal_that_fails_is_no_error_while_the_old_is_good(void **state)
{
    (void)state;
    google_write_key(&scene.google, 0);
    scene_find(scene.google.file);
    expect_token("ya29.token-1");
    scene.google.status = 503;
    scene.google.answer = "";
    scene.passed_ms += 56 * MINUTE_MS;
    for (int i = 0; i < 5; i++) {
        expect_token("ya29.token-1");
    }
    assert_int_equal(http_server_requests(scene.google.server), 2); /* not at each call */
    assert_string_equal(scene.error.message, "");
    scene.passed_ms += 31 * 1000;
    expect_token("ya29.token-1");
    assert_int_equal(http_server_requests(scene.google.server), 3);
    scene.passed_ms += 5 * MINUTE_MS;
    expect_none(COMRADE_UNAVAILABLE,
                "datastore://proj: credentials: asked %U/token for a token as service account "
                "app@proj.iam.gserviceaccount.com (%F): it said 503");
    scene.google.status = 0;
    expect_token("ya29.token-5");
}

static void a_renewal_in_silence_leaves_time_for_the_call(void **state)
{
    (void)state;
    google_write_user(&scene.google);
    scene_find(scene.google.file);
    expect_token("ya29.token-1");
    scene.google.is_silent = true;
    scene.passed_ms += 56 * MINUTE_MS;
    comrade_call call = scene_call();
    call.deadline_ms = call.now_ms(NULL) + 1500;
    const char *token = NULL;
    http_server_requests(scene.google.server);
    assert_int_equal(credentials_token(scene.credentials, scene.http, &call, scene_wall_ms(),
                                       &token, &scene.error),
                     COMRADE_OK);
    assert_string_equal(token, "ya29.token-1");
    assert_false(comrade_call_is_over(&call));
    assert_int_equal(http_server_requests(scene.google.server), 2);
}

static void the_time_of_day_does_not_end_a_token(void **state)
{
    (void)state;
    google_write_user(&scene.google);
    scene_find(scene.google.file);
    comrade_call call = scene_call();
    const char *token = NULL;
    static const int64_t days[] = {0, 400, -400};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(credentials_token(scene.credentials, scene.http, &call,
                                           scene_wall_ms() + days[i] * 1440 * MINUTE_MS, &token,
                                           &scene.error),
                         COMRADE_OK);
        assert_string_equal(token, "ya29.token-1");
    }
}

static void a_token_that_is_forgotten_is_asked_for_again(void **state)
{
    (void)state;
    google_write_user(&scene.google);
    scene_find(scene.google.file);
    credentials_forget(scene.credentials);
    expect_token("ya29.token-1");
    credentials_forget(scene.credentials);
    expect_token("ya29.token-2");
    credentials_forget(scene.credentials);
    scene.google.status = 500;
    scene.google.answer = "<html>";
    expect_none(COMRADE_UNAVAILABLE,
                "datastore://proj: credentials: asked %U/token for a token as gcloud's user (%F): "
                "it said 500");
}

static void a_lifetime_is_read_in_any_form(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        int64_t good_for_ms;
    } answers[] = {
        {"{\"access_token\":\"t\",\"expires_in\":\"3599\"}", 54 * MINUTE_MS},
        {"{\"access_token\":\"t\",\"expires_in\":3599.5}", 54 * MINUTE_MS},
        {"{\"access_token\":\"t\"}", 54 * MINUTE_MS},
        {"{\"access_token\":\"t\",\"expires_in\":1e300}", 23 * 60 * MINUTE_MS},
        {"{\"access_token\":\"t\",\"expires_in\":0}", -1},
        {"{\"access_token\":\"t\",\"expires_in\":-7}", -1},
        {"{\"access_token\":\"t\",\"expires_in\":\"soon\"}", -1},
        {"{\"access_token\":\"t\",\"expires_in\":5}", -1},
    };
    google_write_user(&scene.google);
    scene.google.status = 200;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        scene.google.answer = answers[i].answer;
        scene_find(scene.google.file);
        expect_token("t");
        size_t n_requests = http_server_requests(scene.google.server);
        scene.passed_ms += answers[i].good_for_ms < 0 ? 0 : answers[i].good_for_ms;
        expect_token("t");
        assert_int_equal(http_server_requests(scene.google.server),
                         n_requests + (answers[i].good_for_ms < 0 ? 1 : 0));
        credentials_free(scene.credentials);
        scene.credentials = NULL;
    }
}

/* --- Bounds ------------------------------------------------------------------------------------
 */

static void silence_ends_with_the_call(void **state)
{
    (void)state;
    google_write_user(&scene.google);
    scene.google.is_silent = true;
    scene_find(scene.google.file);
    comrade_call call = scene_call();
    int64_t begin_ms = call.now_ms(NULL);
    call.deadline_ms = begin_ms + SHORT_MS;
    const char *token = NULL;
    http_server_requests(scene.google.server);
    assert_int_equal(credentials_token(scene.credentials, scene.http, &call, scene_wall_ms(),
                                       &token, &scene.error),
                     COMRADE_UNAVAILABLE);
    expect_message(AS_USER "no answer in time");
    call = scene_call();
    call.cancel_fd = eventfd(1, EFD_CLOEXEC);
    call.cancellable_ms = call.now_ms(NULL) + SHORT_MS;
    assert_int_equal(credentials_token(scene.credentials, scene.http, &call, scene_wall_ms(),
                                       &token, &scene.error),
                     COMRADE_CANCELED);
    expect_message(AS_USER "no answer before it was cancelled");
    close(call.cancel_fd);
    assert_true(call.now_ms(NULL) - begin_ms < HANG_MS);
}

static comrade_status get_some(void *user)
{
    int n_tokens = *(int *)user;
    struct credentials *made = NULL;
    const char *token = NULL;
    comrade_call call = scene_call();
    comrade_status status = credentials_new(scene.google.file, SCENE_URL, &made, &scene.error);
    for (int i = 0; i < n_tokens && status == COMRADE_OK; i++) {
        status = credentials_token(made, scene.http, &call, scene_wall_ms(), &token, &scene.error);
        assert_true(status != COMRADE_OK || strcmp(token, "t") == 0);
        credentials_forget(made);
    }
    credentials_free(made);
    /* jansson cuts strings where it is refused memory: "service_accoun" is of no type we know, and
       an answer is none. */
    bool is_cut = status == COMRADE_UNSUPPORTED || status == COMRADE_UNAVAILABLE;
    return is_cut ? COMRADE_INVALID : status;
}

/* A file that jansson cannot read again for want of memory is passed over, and nothing fails. */
static void renew_without_memory(void)
{
    int n_tokens = 2;
    bool is_hit = true;
    for (size_t nth = 1; is_hit; nth++) {
        size_t n_leaked = 0;
        allocation_faults_begin(ALLOCATION_FAIL_ONE, nth);
        comrade_status status = get_some(&n_tokens);
        is_hit = allocation_faults_end(&n_leaked);
        assert_int_equal(n_leaked, 0);
        assert_true(status == COMRADE_OK ||
                    (is_hit && (status == COMRADE_NO_MEMORY || status == COMRADE_INVALID)));
    }
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    int n_tokens = 1;
    scene.google.status = 200;
    scene.google.answer = "{\"access_token\":\"t\",\"expires_in\":3600}";
    google_write_key(&scene.google, 0);
    for_each_failed_allocation(get_some, &n_tokens);
    google_write_user(&scene.google);
    for_each_failed_allocation(get_some, &n_tokens);
    renew_without_memory();
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, scene_begin, scene_end)

int main(void)
{
    google_keys_make();
    const struct CMUnitTest tests[] = {
        CASE(a_service_accounts_key_gets_a_token),
        CASE(gclouds_user_gets_a_token),
        CASE(a_machine_of_googles_gets_a_token),
        CASE(the_url_comes_before_the_environment_and_that_before_gcloud),
        CASE(gclouds_file_is_below_home),
        CASE(the_environment_says_who_pays_before_the_file_does),
        CASE(a_token_is_renewed_before_it_ends),
        CASE(a_renewal_that_fails_is_no_error_while_the_old_is_good),
        CASE(a_renewal_in_silence_leaves_time_for_the_call),
        CASE(the_time_of_day_does_not_end_a_token),
        CASE(a_token_that_is_forgotten_is_asked_for_again),
        CASE(a_lifetime_is_read_in_any_form),
        CASE(silence_ends_with_the_call),
        CASE(each_allocation_may_fail),
    };
    int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    google_keys_free();
    return n_failed;
}
