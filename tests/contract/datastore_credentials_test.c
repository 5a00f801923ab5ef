/*
 * Credentials: each kind of them, the life of a token, and what is said where there is none. Every
 * message is asserted whole, for it is what somebody without a token has to go by.
 */
#include "store/datastore/credentials.h"

#include "contract/contract.h"
#include "contract/datastore_google.h"
#include "lib/allocation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { SHORT_MS = 80, HANG_MS = 5000, MINUTE_MS = 60000 };

static const char shown_url[] = "datastore://proj";

static struct google google;
static struct http *http;
static struct credentials *credentials;
static comrade_error error;
static int64_t passed_ms; /* beside the machine's clock */

/* --- The scene ---------------------------------------------------------------------------------
 */

static int64_t now_ms(void *clock)
{
    (void)clock;
    return contract_call().now_ms(NULL) + passed_ms;
}

static comrade_call a_call(void)
{
    comrade_call call = contract_call();
    call.deadline_ms += passed_ms;
    call.now_ms = now_ms;
    return call;
}

static int64_t wall_ms(void)
{
    return (int64_t)time(NULL) * 1000;
}

static int begin(void **state)
{
    (void)state;
    passed_ms = 0;
    error = (comrade_error){0};
    google_start(&google);
    setenv("CLOUDSDK_CONFIG", google.folder, 1);
    http = http_new();
    return 0;
}

static int end(void **state)
{
    (void)state;
    static const char *const names[] = {"GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG", "HOME",
                                        "GCE_METADATA_HOST"};
    credentials_free(credentials);
    credentials = NULL;
    http_free(http);
    google_stop(&google);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        unsetenv(names[i]);
    }
    return 0;
}

static void find(const char *file)
{
    if (credentials_new(file, shown_url, &credentials, &error) != COMRADE_OK) {
        fail_msg("%s", error.message);
    }
}

static comrade_status get(const char **token)
{
    comrade_call call = a_call();
    return credentials_token(credentials, http, &call, wall_ms(), token, &error);
}

static void expect_token(const char *expected)
{
    const char *token = NULL;
    if (get(&token) != COMRADE_OK) {
        fail_msg("%s", error.message);
    }
    assert_string_equal(token, expected);
}

/* %F stands for the file, %U for the server's URL. */
static void expect_message(const char *pattern)
{
    char expected[2048] = "";
    size_t len = 0;
    for (const char *at = pattern; *at != '\0'; at++) {
        bool is_mark = at[0] == '%' && (at[1] == 'F' || at[1] == 'U');
        const char *text = !is_mark ? at : at[1] == 'F' ? google.file : google.url;
        len += (size_t)snprintf(expected + len, sizeof expected - len, "%.*s", is_mark ? 1000 : 1,
                                text);
        at += is_mark ? 1 : 0;
    }
    assert_string_equal(error.message, expected);
}

__attribute__((unused)) static void expect_none(comrade_status status, const char *message)
{
    const char *token = "untouched";
    error = (comrade_error){0};
    assert_int_equal(get(&token), status);
    assert_string_equal(token, "untouched");
    assert_int_equal(error.status, status);
    expect_message(message);
}

__attribute__((unused)) static void expect_refused_file(comrade_status status, const char *message)
{
    struct credentials *made = NULL;
    error = (comrade_error){0};
    assert_int_equal(credentials_new(google.file, shown_url, &made, &error), status);
    assert_null(made);
    assert_int_equal(error.status, status);
    expect_message(message);
}

/* --- Each kind ---------------------------------------------------------------------------------
 */

static void a_service_accounts_key_gets_a_token(void **state)
{
    (void)state;
    google_write_key(&google, 0);
    find(google.file);
    expect_token("ya29.token-1");
    expect_token("ya29.token-1");
    assert_int_equal(http_server_requests(google.server), 1);
    char name[256];
    snprintf(name, sizeof name, "service account app@proj.iam.gserviceaccount.com (%s)",
             google.file);
    assert_string_equal(credentials_name(credentials), name);
}

static void gclouds_user_gets_a_token(void **state)
{
    (void)state;
    google_write_user(&google);
    find(google.file);
    expect_token("ya29.token-1");
    char name[256];
    snprintf(name, sizeof name, "gcloud's user (%s)", google.file);
    assert_string_equal(credentials_name(credentials), name);
}

static void a_machine_of_googles_gets_a_token(void **state)
{
    (void)state;
    char name[256];
    snprintf(name, sizeof name, "the metadata server (%s)", google.host);
    setenv("GCE_METADATA_HOST", google.host, 1);
    find(NULL);
    expect_token("ya29.token-1");
    assert_string_equal(credentials_name(credentials), name);
}

int main(void)
{
    google_keys_make();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_service_accounts_key_gets_a_token, begin, end),
        cmocka_unit_test_setup_teardown(gclouds_user_gets_a_token, begin, end),
        cmocka_unit_test_setup_teardown(a_machine_of_googles_gets_a_token, begin, end),
    };
    int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    google_keys_free();
    return n_failed;
}
