/* What a server of tokens refuses, or the clock is to blame for, and what is said of it. */
#include "contract/datastore_token_scene.h"

#include "contract/contract.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- Clocks ------------------------------------------------------------------------------------
 */

static void a_clock_that_is_wrong_is_made_up_for(void **state)
{
    (void)state;
    static const long shifts_s[] = {7200, -86400 * 30};
    google_write_key(&scene.google, 0);
    for (size_t i = 0; i < 2; i++) {
        http_server_shift_date(scene.google.server, shifts_s[i]);
        scene_find(scene.google.file);
        size_t n_requests = http_server_requests(scene.google.server);
        const char *token = NULL;
        assert_int_equal(scene_get(&token), COMRADE_OK);
        assert_int_equal(http_server_requests(scene.google.server), n_requests + 2);
        scene.passed_ms += 56 * MINUTE_MS;
        assert_int_equal(scene_get(&token), COMRADE_OK);
        assert_int_equal(http_server_requests(scene.google.server),
                         n_requests + 3);               /* it is known */
        http_server_shift_date(scene.google.server, 0); /* somebody has set the clock */
        credentials_forget(scene.credentials);
        assert_int_equal(scene_get(&token), COMRADE_OK);
        assert_int_equal(http_server_requests(scene.google.server), n_requests + 5);
        credentials_free(scene.credentials);
        scene.credentials = NULL;
    }
}

#define TIMEFRAME                                                                                  \
    "{\"error\":\"invalid_grant\",\"error_description\":\"Invalid JWT: Token must be a "           \
    "short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp "        \
    "values in the JWT claim.\"}"
#define TIMEFRAME_SAID                                                                             \
    AS_ACCOUNT "it said 400 invalid_grant: Invalid JWT: Token must be a short-lived token (60 "    \
               "minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT " \
               "claim"

static void a_clock_that_cannot_be_made_up_for_is_told(void **state)
{
    (void)state;
    static const struct {
        long shift_s;
        size_t n_requests;
        const char *message;
    } clocks[] = {
        {0, 1, TIMEFRAME_SAID "; see that this machine's clock is right (NTP)"},
        {32, 2, TIMEFRAME_SAID "; this machine's clock is 3* s behind the server's: set it (NTP)"},
        {-630, 2,
         TIMEFRAME_SAID "; this machine's clock is 10 min ahead of the server's: set it (NTP)"},
        {7230, 2,
         TIMEFRAME_SAID "; this machine's clock is 2 h 0 min behind the server's: set it (NTP)"},
        {86400 * 30 + 60, 2,
         TIMEFRAME_SAID "; this machine's clock is 30 days behind the server's: set it (NTP)"},
    };
    google_write_key(&scene.google, 0);
    scene.google.status = 400;
    scene.google.answer = TIMEFRAME;
    for (size_t i = 0; i < sizeof clocks / sizeof clocks[0]; i++) {
        http_server_shift_date(scene.google.server, clocks[i].shift_s);
        scene_find(scene.google.file);
        size_t n_requests = http_server_requests(scene.google.server);
        const char *token = NULL;
        assert_int_equal(scene_get(&token), COMRADE_DENIED);
        char *second = strstr(scene.error.message, "clock is 3");
        if (clocks[i].shift_s == 32 && second != NULL) {
            second[strlen("clock is 3")] = '*'; /* 31 or 32 */
        }
        expect_message(clocks[i].message);
        assert_int_equal(http_server_requests(scene.google.server),
                         n_requests + clocks[i].n_requests);
        credentials_free(scene.credentials);
        scene.credentials = NULL;
    }
}

static void a_clock_is_doubted_whatever_the_server_says(void **state)
{
    (void)state;
    google_write_key(&scene.google, 1);
    http_server_shift_date(scene.google.server, 630);
    scene.google.status = 400;
    scene.google.answer =
        "{\"error\":\"invalid_grant\",\"error_description\":\"Invalid JWT Signature.\"}";
    scene_find(scene.google.file);
    expect_none(
        COMRADE_DENIED, AS_ACCOUNT
        "it said 400 invalid_grant: Invalid JWT Signature; this machine's clock is 10 min behind "
        "the server's: set it (NTP); the key was deleted, or is another account's; make another "
        "(gcloud iam service-accounts keys create FILE --iam-account=ACCOUNT) and put it in its "
        "place");
    assert_int_equal(http_server_requests(scene.google.server), 2);
}

/* --- Refusals ----------------------------------------------------------------------------------
 */

struct refusal {
    int status;
    const char *answer;
    comrade_status expected;
    const char *message;
};

static void expect_refusals(const struct refusal *refusals, size_t n_refusals)
{
    for (size_t i = 0; i < n_refusals; i++) {
        scene.google.status = refusals[i].status;
        scene.google.answer = refusals[i].answer;
        expect_none(refusals[i].expected, refusals[i].message);
    }
    scene.google.status = 0;
    const char *token = NULL;
    assert_int_equal(scene_get(&token), COMRADE_OK); /* none of them is for ever */
}

#define OF_OTHERS                                                                                  \
    "; this is not how Google answers: something on the way may have, such as a proxy or a "       \
    "portal; "                                                                                     \
    "see HTTPS_PROXY"
#define N_OF(rows) (sizeof(rows) / sizeof(rows)[0])

static void what_becomes_of_a_service_account_is_told(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {400,
         "{\"error\":\"invalid_grant\",\"error_description\":\"Invalid grant: account not found\"}",
         COMRADE_DENIED,
         AS_ACCOUNT "it said 400 invalid_grant: Invalid grant: account not found; the service "
                    "account was deleted; make another, or bring it back: gcloud iam "
                    "service-accounts undelete"},
        {401,
         "{\"error\":\"disabled_client\",\"error_description\":\"The OAuth client was disabled.\"}",
         COMRADE_DENIED,
         AS_ACCOUNT "it said 401 disabled_client: The OAuth client was disabled; switch the "
                    "service account on: gcloud iam service-accounts enable ACCOUNT"},
        {403, "{\"error\":{\"code\":403,\"status\":\"PERMISSION_DENIED\",\"message\":\"No.\"}}",
         COMRADE_DENIED,
         AS_ACCOUNT "it said 403 PERMISSION_DENIED: No; see that the key file is as Google wrote "
                    "it, or make another key"},
        {400, "{\"error\":\"x\"}", COMRADE_DENIED,
         AS_ACCOUNT "it said 400 x; see that the key file is as Google wrote it, or make another "
                    "key"},
        {400, "", COMRADE_DENIED, AS_ACCOUNT "it said 400" OF_OTHERS},
        {400, "{\"error\":5,\"error_description\":[]}", COMRADE_DENIED,
         AS_ACCOUNT "it said 400" OF_OTHERS},
        {407, "<html>", COMRADE_DENIED, AS_ACCOUNT "it said 407" OF_OTHERS},
        {429, "{\"error\":\"rate_limit_exceeded\"}", COMRADE_UNAVAILABLE,
         AS_ACCOUNT "it said 429 rate_limit_exceeded"},
        {500, "{\"error\":\"internal_failure\",\"error_description\":\"Backend\\nError\"}",
         COMRADE_UNAVAILABLE, AS_ACCOUNT "it said 500 internal_failure: Backend\\x0aError"},
        {200, "", COMRADE_UNAVAILABLE, AS_ACCOUNT "there is no access_token in its answer"},
        {200, "<html>", COMRADE_UNAVAILABLE, AS_ACCOUNT "there is no access_token in its answer"},
        {200, "{\"id_token\":\"t\"}", COMRADE_UNAVAILABLE,
         AS_ACCOUNT "there is no access_token in its answer"},
        {200, "{\"access_token\":\"t\\r\\nx: y\"}", COMRADE_UNAVAILABLE,
         AS_ACCOUNT "there is no access_token in its answer"},
        {200, "{\"access_token\":\"\"}", COMRADE_UNAVAILABLE,
         AS_ACCOUNT "there is no access_token in its answer"},
        {200, "{\"access_token\":{}}", COMRADE_UNAVAILABLE,
         AS_ACCOUNT "there is no access_token in its answer"},
        {302, "", COMRADE_DENIED, AS_ACCOUNT "it said 302" OF_OTHERS},
        {1, NULL, COMRADE_UNAVAILABLE, AS_ACCOUNT "Empty reply from server"},
    };
    google_write_key(&scene.google, 0);
    scene_find(scene.google.file);
    expect_refusals(refusals, N_OF(refusals));
}

#define LOG_IN "; log in again: gcloud auth application-default login"

static void a_user_who_is_out_logs_in_again(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {400,
         "{\"error\":\"invalid_grant\",\"error_description\":\"Token has been expired or "
         "revoked.\"}",
         COMRADE_DENIED,
         AS_USER "it said 400 invalid_grant: Token has been expired or revoked" LOG_IN},
        {400,
         "{\"error\":\"invalid_grant\",\"error_description\":\"reauth related error "
         "(invalid_rapt)\",\"error_subtype\":\"invalid_rapt\"}",
         COMRADE_DENIED,
         AS_USER "it said 400 invalid_grant: reauth related error (invalid_rapt)" LOG_IN},
        {401, "{\"error\":\"deleted_client\"}", COMRADE_DENIED,
         AS_USER "it said 401 deleted_client" LOG_IN},
        {400, "{\"error\":\"invalid_request\",\"error_description\":\"who is se/cret&?\"}",
         COMRADE_DENIED, AS_USER "it said 400: (its words hold a secret)" LOG_IN},
        {400, "{\"error\":\"1//re fresh~\"}", COMRADE_DENIED,
         AS_USER "it said 400: (its words hold a secret)" LOG_IN},
    };
    google_write_user(&scene.google);
    scene_find(scene.google.file);
    expect_refusals(refusals, N_OF(refusals));
    /* Nobody doubts a clock that was not asked for. */
    http_server_shift_date(scene.google.server, 7200);
    credentials_forget(scene.credentials);
    scene.google.status = 400;
    scene.google.answer = "{\"error\":\"invalid_grant\"}";
    size_t n_requests = http_server_requests(scene.google.server);
    expect_none(COMRADE_DENIED, AS_USER "it said 400 invalid_grant" LOG_IN);
    assert_int_equal(http_server_requests(scene.google.server), n_requests + 1);
}

#define AS_MACHINE                                                                                 \
    "datastore://proj: credentials: asked %U/computeMetadata/v1/instance/service-accounts/"        \
    "default/token for a token as the metadata server (%H): "
#define ATTACH                                                                                     \
    "; see that this machine has a service account with the scope "                                \
    "https://www.googleapis.com/auth/datastore (gcloud compute instances set-service-account), "   \
    "and on GKE that the pod's account may act as it (roles/iam.workloadIdentityUser)"

static void a_machine_without_an_account_is_told_so(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {404, "<!DOCTYPE html>", COMRADE_DENIED, AS_MACHINE "it said 404" ATTACH},
        {403, "Unable to generate access token; IAM returned 403 Forbidden\n", COMRADE_DENIED,
         AS_MACHINE "it said 403: Unable to generate access token; IAM returned 403 "
                    "Forbidden" ATTACH},
        {503, "not yet", COMRADE_UNAVAILABLE, AS_MACHINE "it said 503: not yet"},
        {1, NULL, COMRADE_UNAVAILABLE, AS_MACHINE "Empty reply from server"},
    };
    setenv("GCE_METADATA_HOST", scene.google.host, 1);
    scene_find(NULL);
    expect_refusals(refusals, N_OF(refusals));
}

/* A proxy is there for everything else. */
static void a_machine_elsewhere_is_told_what_to_do(void **state)
{
    (void)state;
    char host[64];
    snprintf(host, sizeof host, "%s", scene.google.host);
    setenv("GCE_METADATA_HOST", host, 1);
    http_server_stop(scene.google.server);
    scene_find(NULL);
    comrade_call call = scene_call();
    const char *token = NULL;
    assert_int_equal(credentials_token(scene.credentials, scene.http, &call, scene_wall_ms(),
                                       &token, &scene.error),
                     COMRADE_UNAVAILABLE);
    scene.google.server = http_server_start(NULL, NULL);
    char beginning[512];
    snprintf(beginning, sizeof beginning,
             "datastore://proj: no credentials: the URL names no file, "
             "GOOGLE_APPLICATION_CREDENTIALS is not set, gcloud has none for applications, and the "
             "metadata server (%s) does not answer (Failed to connect to 127.0.0.1",
             host);
    assert_int_equal(strncmp(scene.error.message, beginning, strlen(beginning)), 0);
    assert_non_null(strstr(scene.error.message,
                           "), so this seems to be no machine of Google's; set "
                           "GOOGLE_APPLICATION_CREDENTIALS to a service account's key file, or "
                           "run: gcloud auth application-default login"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, scene_begin, scene_end)

int main(void)
{
    google_keys_make();
    const struct CMUnitTest tests[] = {
        CASE(a_clock_that_is_wrong_is_made_up_for),
        CASE(a_clock_that_cannot_be_made_up_for_is_told),
        CASE(a_clock_is_doubted_whatever_the_server_says),
        CASE(what_becomes_of_a_service_account_is_told),
        CASE(a_user_who_is_out_logs_in_again),
        CASE(a_machine_without_an_account_is_told_so),
        CASE(a_machine_elsewhere_is_told_what_to_do),
    };
    int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    google_keys_free();
    return n_failed;
}
