/*
 * Credentials: each kind of them, the life of a token, and what is said where there is none. Every
 * message is asserted whole, for it is what somebody without a token has to go by.
 */
#include "store/datastore/credentials.h"

#include "contract/contract.h"
#include "contract/datastore_google.h"
#include "lib/allocation.h"

#include <jansson.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
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
    http_server_requests(google.server); /* its threads see what was set, and we what they saw */
    comrade_status status = credentials_token(credentials, http, &call, wall_ms(), token, &error);
    http_server_requests(google.server);
    return status;
}

static void expect_token(const char *expected)
{
    const char *token = NULL;
    if (get(&token) != COMRADE_OK) {
        fail_msg("%s", error.message);
    }
    assert_string_equal(token, expected);
}

/* %F stands for the file, %U for the server's URL, %H for its host. */
static void expect_message(const char *pattern)
{
    char expected[2048] = "";
    size_t len = 0;
    for (const char *at = pattern; *at != '\0'; at++) {
        const char *text = strncmp(at, "%F", 2) == 0   ? google.file
                           : strncmp(at, "%U", 2) == 0 ? google.url
                           : strncmp(at, "%H", 2) == 0 ? google.host
                                                       : NULL;
        len += (size_t)snprintf(expected + len, sizeof expected - len, "%.*s",
                                text == NULL ? 1 : 1000, text == NULL ? at : text);
        at += text == NULL ? 0 : 1;
    }
    assert_string_equal(error.message, expected);
}

static void expect_none(comrade_status status, const char *message)
{
    const char *token = "untouched";
    error = (comrade_error){0};
    assert_int_equal(get(&token), status);
    assert_string_equal(token, "untouched");
    assert_int_equal(error.status, status);
    expect_message(message);
}

static void expect_refused_file(comrade_status status, const char *message)
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

/* --- Where they are found ----------------------------------------------------------------------
 */

static void write_default(char path[256], const char *folder)
{
    snprintf(path, 256, "%s/application_default_credentials.json", folder);
    google_write_user(&google);
    assert_int_equal(rename(google.file, path), 0);
}

static void expect_name(const char *beginning)
{
    const char *name = credentials_name(credentials);
    assert_int_equal(strncmp(name, beginning, strlen(beginning)), 0);
    credentials_free(credentials);
    credentials = NULL;
}

static void the_url_comes_before_the_environment_and_that_before_gcloud(void **state)
{
    (void)state;
    char path[256];
    find(NULL);
    expect_name("the metadata server (metadata.google.internal)");
    setenv("GOOGLE_APPLICATION_CREDENTIALS", "", 1); /* as if it were not set */
    write_default(path, google.folder);
    find(NULL);
    expect_name("gcloud's user");
    google_write_key(&google, 0);
    setenv("GOOGLE_APPLICATION_CREDENTIALS", google.file, 1);
    find(NULL);
    expect_name("service account");
    find(path);
    expect_name("gcloud's user");
    unlink(path);
}

static void gclouds_file_is_below_home(void **state)
{
    (void)state;
    char folder[128];
    char path[256];
    unsetenv("CLOUDSDK_CONFIG");
    setenv("HOME", google.folder, 1);
    snprintf(folder, sizeof folder, "%s/.config", google.folder);
    mkdir(folder, 0700);
    snprintf(folder, sizeof folder, "%s/.config/gcloud", google.folder);
    mkdir(folder, 0700);
    write_default(path, folder);
    find(NULL);
    expect_name("gcloud's user");
    unlink(path);
    rmdir(folder);
    folder[strlen(folder) - strlen("/gcloud")] = '\0';
    rmdir(folder);
    unsetenv("HOME");
    find(NULL);
    expect_name("the metadata server");
}

/* --- Files that will not do --------------------------------------------------------------------
 */

#define HINT                                                                                       \
    "; name a service account's key file that this user may read, or run: gcloud auth "            \
    "application-default login"
#define FILE_IS "datastore://proj: credentials: %F (named by the URL) "

static void a_file_that_cannot_be_read_is_named(void **state)
{
    (void)state;
    expect_refused_file(COMRADE_DENIED, FILE_IS "cannot be read: No such file or directory" HINT);
    struct credentials *made = NULL;
    setenv("GOOGLE_APPLICATION_CREDENTIALS", google.file, 1);
    assert_int_equal(credentials_new(NULL, shown_url, &made, &error), COMRADE_DENIED);
    expect_message("datastore://proj: credentials: %F (named by GOOGLE_APPLICATION_CREDENTIALS) "
                   "cannot be read: No such file or directory" HINT);
    assert_int_equal(symlink(google.file, google.file), 0); /* to itself */
    expect_refused_file(COMRADE_DENIED,
                        FILE_IS "cannot be read: Too many levels of symbolic links" HINT);
    unlink(google.file);
    assert_int_equal(mkfifo(google.file, 0600), 0); /* and nobody waits for a writer */
    expect_refused_file(COMRADE_INVALID, FILE_IS "is no regular file" HINT);
    unlink(google.file);
    assert_int_equal(mkdir(google.file, 0700), 0);
    expect_refused_file(COMRADE_INVALID, FILE_IS "is no regular file" HINT);
    rmdir(google.file);
}

static void what_is_no_json_is_not_repeated(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "5",
        "null",
        "-----BEGIN PRIVATE KEY-----\nMIIE",
        "{\"private_key\":\"MIIE",
        "{\"type\":\"service_account\",\"private_key\":\"MIIE\"} MIIE",
        "{\"private_key\":\"MIIE\",\"private_key\":\"MIIE\"}",
        "{\"private_key\":\"MIIE\xff\"}",
        "\xef\xbb\xbf{}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        google_write(&google, texts[i]);
        expect_refused_file(COMRADE_INVALID, FILE_IS "is not whole, or no JSON object" HINT);
    }
    char *deep = calloc(1, 40001);
    assert_non_null(deep);
    memset(deep, '[', 40000);
    google_write(&google, deep);
    expect_refused_file(COMRADE_INVALID, FILE_IS "is not whole, or no JSON object" HINT);
    free(deep);
    char *long_text = calloc(1, 65538);
    assert_non_null(long_text);
    memset(long_text, ' ', 65537);
    google_write(&google, long_text);
    expect_refused_file(COMRADE_INVALID,
                        FILE_IS "is longer than 65536 bytes, and no credentials" HINT);
    free(long_text);
}

static void a_key_in_place_of_a_file_is_not_shown(void **state)
{
    (void)state;
    static const char *const keys[] = {"{\"private_key\":\"MIIE\"}",
                                       "-----BEGIN PRIVATE KEY-----\nMIIE"};
    for (size_t i = 0; i < 2; i++) {
        struct credentials *made = NULL;
        assert_int_equal(credentials_new(keys[i], shown_url, &made, &error), COMRADE_INVALID);
        expect_message("datastore://proj: credentials: what stands for a file (named by the URL) "
                       "seems to be a key itself; write it to a file that only this user may read, "
                       "and name that");
    }
}

struct odd_file {
    comrade_status status;
    const char *text;
    const char *message; /* behind FILE_IS */
};

#define OTHER_TYPE(type)                                                                           \
    "is of the type \"" type "\"; comrade takes service_account and authorized_user, and the "     \
    "metadata server of GCE and GKE" HINT
#define TAKE_AS_WRITTEN "; take the file as Google wrote it, or make another key"
#define USER "{\"type\":\"authorized_user\",\"client_id\":\"c\","
#define ACCOUNT "{\"type\":\"service_account\",\"client_email\":\"a@b\","

static const struct odd_file odd_files[] = {
    {COMRADE_INVALID, "{}", "has no type, and is no credentials file" HINT},
    {COMRADE_INVALID, "{\"type\":5}", "has no type, and is no credentials file" HINT},
    {COMRADE_INVALID, "{\"installed\":{\"client_id\":\"c\"}}",
     "is an OAuth client, which is nobody's credentials" HINT},
    {COMRADE_UNSUPPORTED, "{\"type\":\"external_account\"}", OTHER_TYPE("external_account")},
    {COMRADE_UNSUPPORTED, "{\"type\":\"impersonated_service_account\"}",
     OTHER_TYPE("impersonated_service_account")},
    {COMRADE_UNSUPPORTED, "{\"type\":\"\\n\"}", OTHER_TYPE("\\x0a")},
    {COMRADE_INVALID, "{\"type\":\"service_account\"}", "has no client_email" HINT},
    {COMRADE_INVALID, ACCOUNT "\"private_key_id\":7}", "has no private_key_id" HINT},
    {COMRADE_INVALID, ACCOUNT "\"private_key_id\":\"k\"}", "has no private_key" HINT},
    {COMRADE_INVALID, ACCOUNT "\"private_key\":[]}", "has no private_key" HINT},
    {COMRADE_INVALID, ACCOUNT "\"private_key\":\"MIIE\"}",
     "is a service account's, but its private_key is not whole, or not a key in "
     "PEM" TAKE_AS_WRITTEN},
    {COMRADE_INVALID,
     ACCOUNT "\"private_key\":\"-----BEGIN PRIVATE KEY-----\\nMIIE\\n-----END PRIVATE KEY-----\"}",
     "is a service account's, but its private_key is not whole, or not a key in "
     "PEM" TAKE_AS_WRITTEN},
    {COMRADE_INVALID, "{\"type\":\"authorized_user\"}", "has no client_id" HINT},
    {COMRADE_INVALID, USER "\"client_secret\":\"\"}", "has no client_secret" HINT},
    {COMRADE_INVALID, USER "\"client_secret\":\"s\"}", "has no refresh_token" HINT},
    {COMRADE_INVALID,
     USER "\"client_secret\":\"s\",\"refresh_token\":\"r\",\"token_uri\":\"http://a.b/t\"}",
     "has a token_uri that is not https://, to which no secret is sent; take the file as Google "
     "wrote it, with https://oauth2.googleapis.com/token"},
    {COMRADE_INVALID,
     USER "\"client_secret\":\"s\",\"refresh_token\":\"r\",\"token_uri\":"
          "\"http://127.0.0.1:80@evil/\"}",
     "has a token_uri that is not https://, to which no secret is sent; take the file as Google "
     "wrote it, with https://oauth2.googleapis.com/token"},
    {COMRADE_INVALID, USER "\"client_secret\":\"s\",\"refresh_token\":\"r\",\"token_uri\":null}",
     "has no token_uri" HINT},
};

static void a_file_that_will_not_do_says_why(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof odd_files / sizeof odd_files[0]; i++) {
        char message[1024];
        snprintf(message, sizeof message, "%s%s", FILE_IS, odd_files[i].message);
        google_write(&google, odd_files[i].text);
        expect_refused_file(odd_files[i].status, message);
    }
}

/* As a key file has it: line ends as \n. */
static void write_pem(const char *pem)
{
    json_t *object = json_pack("{s:s,s:s,s:s}", "type", "service_account", "client_email", "a@b",
                               "private_key", pem);
    char *text = json_dumps(object, 0);
    google_write(&google, text);
    free(text);
    json_decref(object);
}

static void a_key_of_another_kind_says_so(void **state)
{
    (void)state;
    EVP_PKEY *others[] = {EVP_EC_gen("P-256"), EVP_RSA_gen(1024)};
    for (size_t i = 0; i < 2; i++) {
        char *pem = google_pem_of(others[i], NULL);
        write_pem(pem);
        expect_refused_file(COMRADE_INVALID,
                            FILE_IS "is a service account's, but its private_key is no RSA key of "
                                    "2048 bits or more" TAKE_AS_WRITTEN);
        free(pem);
        EVP_PKEY_free(others[i]);
    }
    EVP_PKEY *key = EVP_RSA_gen(2048);
    char *pem = google_pem_of(key, "password");
    write_pem(pem);
    expect_refused_file(COMRADE_INVALID,
                        FILE_IS "is a service account's, but its private_key is encrypted, and "
                                "there is nobody to ask for its password" TAKE_AS_WRITTEN);
    free(pem);
    EVP_PKEY_free(key);
}

static char *read_file(size_t *len)
{
    char *bytes = calloc(1, 8192);
    assert_non_null(bytes);
    FILE *file = fopen(google.file, "re");
    assert_non_null(file);
    *len = fread(bytes, 1, 8191, file);
    fclose(file);
    return bytes;
}

static void expect_harmless(bool is_cut)
{
    struct credentials *made = NULL;
    comrade_status status = credentials_new(google.file, shown_url, &made, &error);
    assert_true(status == COMRADE_INVALID ||
                (!is_cut && (status == COMRADE_OK || status == COMRADE_UNSUPPORTED)));
    assert_null(strstr(error.message, "MIIE")); /* how the key begins */
    credentials_free(made);
}

static void a_damaged_file_is_harmless(void **state)
{
    (void)state;
    size_t len = 0;
    google_write_key(&google, 0);
    char *bytes = read_file(&len);
    assert_true(len > 1000 && strstr(bytes, "MIIE") != NULL);
    for (size_t n = 0; n < len - 1; n += 3) {
        char kept = bytes[n];
        bytes[n] = '\0';
        google_write(&google, bytes);
        expect_harmless(true);
        bytes[n] = kept;
    }
    unsigned seed = (unsigned)time(NULL);
    printf("# seed %u\n", seed);
    for (int i = 0; i < 500; i++) {
        size_t at = (size_t)rand_r(&seed) % len;
        char kept = bytes[at];
        bytes[at] = (char)(1 + rand_r(&seed) % 255);
        google_write(&google, bytes);
        expect_harmless(false);
        bytes[at] = kept;
    }
    free(bytes);
}

static void a_file_without_token_uri_means_googles(void **state)
{
    (void)state;
    write_pem(google_key_pem(0));
    find(google.file);
    comrade_call call = a_call();
    call.deadline_ms = 0; /* nothing is sent */
    const char *token = NULL;
    assert_int_equal(credentials_token(credentials, http, &call, wall_ms(), &token, &error),
                     COMRADE_UNAVAILABLE);
    expect_message("datastore://proj: credentials: asked https://oauth2.googleapis.com/token for a "
                   "token as service account a@b (%F): not sent in time");
}

/* --- The life of a token -----------------------------------------------------------------------
 */

static void a_token_is_renewed_before_it_ends(void **state)
{
    (void)state;
    google_write_user(&google);
    find(google.file);
    expect_token("ya29.token-1");
    passed_ms += 54 * MINUTE_MS;
    expect_token("ya29.token-1");
    passed_ms += 2 * MINUTE_MS;
    expect_token("ya29.token-2");
    passed_ms += 54 * MINUTE_MS;
    expect_token("ya29.token-2");
    assert_int_equal(http_server_requests(google.server), 2);
}

static void a_renewal_that_fails_is_no_error_while_the_old_is_good(void **state)
{
    (void)state;
    google_write_key(&google, 0);
    find(google.file);
    expect_token("ya29.token-1");
    google.status = 503;
    google.answer = "";
    passed_ms += 56 * MINUTE_MS;
    for (int i = 0; i < 5; i++) {
        expect_token("ya29.token-1");
    }
    assert_int_equal(http_server_requests(google.server), 2); /* not at each call */
    assert_string_equal(error.message, "");
    passed_ms += 31 * 1000;
    expect_token("ya29.token-1");
    assert_int_equal(http_server_requests(google.server), 3);
    passed_ms += 5 * MINUTE_MS;
    expect_none(COMRADE_UNAVAILABLE,
                "datastore://proj: credentials: asked %U/token for a token as service account "
                "app@proj.iam.gserviceaccount.com (%F): it said 503");
    google.status = 0;
    expect_token("ya29.token-5");
}

static void a_renewal_in_silence_leaves_time_for_the_call(void **state)
{
    (void)state;
    google_write_user(&google);
    find(google.file);
    expect_token("ya29.token-1");
    google.is_silent = true;
    passed_ms += 56 * MINUTE_MS;
    comrade_call call = a_call();
    call.deadline_ms = call.now_ms(NULL) + 1500;
    const char *token = NULL;
    http_server_requests(google.server);
    assert_int_equal(credentials_token(credentials, http, &call, wall_ms(), &token, &error),
                     COMRADE_OK);
    assert_string_equal(token, "ya29.token-1");
    assert_false(comrade_call_is_over(&call));
    assert_int_equal(http_server_requests(google.server), 2);
}

static void the_time_of_day_does_not_end_a_token(void **state)
{
    (void)state;
    google_write_user(&google);
    find(google.file);
    comrade_call call = a_call();
    const char *token = NULL;
    static const int64_t days[] = {0, 400, -400};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(credentials_token(credentials, http, &call,
                                           wall_ms() + days[i] * 1440 * MINUTE_MS, &token, &error),
                         COMRADE_OK);
        assert_string_equal(token, "ya29.token-1");
    }
}

static void a_token_that_is_forgotten_is_asked_for_again(void **state)
{
    (void)state;
    google_write_user(&google);
    find(google.file);
    credentials_forget(credentials);
    expect_token("ya29.token-1");
    credentials_forget(credentials);
    expect_token("ya29.token-2");
    credentials_forget(credentials);
    google.status = 500;
    google.answer = "<html>";
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
    google_write_user(&google);
    google.status = 200;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        google.answer = answers[i].answer;
        find(google.file);
        expect_token("t");
        size_t n_requests = http_server_requests(google.server);
        passed_ms += answers[i].good_for_ms < 0 ? 0 : answers[i].good_for_ms;
        expect_token("t");
        assert_int_equal(http_server_requests(google.server),
                         n_requests + (answers[i].good_for_ms < 0 ? 1 : 0));
        credentials_free(credentials);
        credentials = NULL;
    }
}

/* --- Files that change -------------------------------------------------------------------------
 */

#define AS_ACCOUNT                                                                                 \
    "datastore://proj: credentials: asked %U/token for a token as service account "                \
    "app@proj.iam.gserviceaccount.com (%F): "
#define DELETED_KEY                                                                                \
    AS_ACCOUNT "it said 400 invalid_grant: Invalid JWT Signature; the key was deleted, or is "     \
               "another account's; make another (gcloud iam service-accounts keys create FILE "    \
               "--iam-account=ACCOUNT) and put it in its place"

static void a_key_that_was_replaced_is_used(void **state)
{
    (void)state;
    google_write_key(&google, 1);
    find(google.file);
    expect_none(COMRADE_DENIED, DELETED_KEY);
    google_write_key(&google, 0);
    expect_token("ya29.token-2");
    google_write_user(&google);
    passed_ms += 56 * MINUTE_MS;
    expect_token("ya29.token-3");
    expect_name("gcloud's user");
}

static void a_file_that_is_gone_or_half_written_is_passed_over(void **state)
{
    (void)state;
    google_write_key(&google, 0);
    find(google.file);
    expect_token("ya29.token-1");
    google_write(&google, "{\"type\":\"service_account\",");
    passed_ms += 56 * MINUTE_MS;
    expect_token("ya29.token-2");
    unlink(google.file);
    passed_ms += 56 * MINUTE_MS;
    expect_token("ya29.token-3");
    google_write_key(&google, 1);
    credentials_forget(credentials);
    expect_none(COMRADE_DENIED, DELETED_KEY);
}

/* --- Clocks ------------------------------------------------------------------------------------
 */

static void a_clock_that_is_wrong_is_made_up_for(void **state)
{
    (void)state;
    static const long shifts_s[] = {7200, -86400 * 30};
    google_write_key(&google, 0);
    for (size_t i = 0; i < 2; i++) {
        http_server_shift_date(google.server, shifts_s[i]);
        find(google.file);
        size_t n_requests = http_server_requests(google.server);
        const char *token = NULL;
        assert_int_equal(get(&token), COMRADE_OK);
        assert_int_equal(http_server_requests(google.server), n_requests + 2);
        passed_ms += 56 * MINUTE_MS;
        assert_int_equal(get(&token), COMRADE_OK);
        assert_int_equal(http_server_requests(google.server), n_requests + 3); /* it is known */
        http_server_shift_date(google.server, 0); /* somebody has set the clock */
        credentials_forget(credentials);
        assert_int_equal(get(&token), COMRADE_OK);
        assert_int_equal(http_server_requests(google.server), n_requests + 5);
        credentials_free(credentials);
        credentials = NULL;
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
    google_write_key(&google, 0);
    google.status = 400;
    google.answer = TIMEFRAME;
    for (size_t i = 0; i < sizeof clocks / sizeof clocks[0]; i++) {
        http_server_shift_date(google.server, clocks[i].shift_s);
        find(google.file);
        size_t n_requests = http_server_requests(google.server);
        const char *token = NULL;
        assert_int_equal(get(&token), COMRADE_DENIED);
        char *second = strstr(error.message, "clock is 3");
        if (clocks[i].shift_s == 32 && second != NULL) {
            second[strlen("clock is 3")] = '*'; /* 31 or 32 */
        }
        expect_message(clocks[i].message);
        assert_int_equal(http_server_requests(google.server), n_requests + clocks[i].n_requests);
        credentials_free(credentials);
        credentials = NULL;
    }
}

static void a_clock_is_doubted_whatever_the_server_says(void **state)
{
    (void)state;
    google_write_key(&google, 1);
    http_server_shift_date(google.server, 630);
    google.status = 400;
    google.answer =
        "{\"error\":\"invalid_grant\",\"error_description\":\"Invalid JWT Signature.\"}";
    find(google.file);
    expect_none(
        COMRADE_DENIED, AS_ACCOUNT
        "it said 400 invalid_grant: Invalid JWT Signature; this machine's clock is 10 min behind "
        "the server's: set it (NTP); the key was deleted, or is another account's; make another "
        "(gcloud iam service-accounts keys create FILE --iam-account=ACCOUNT) and put it in its "
        "place");
    assert_int_equal(http_server_requests(google.server), 2);
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
        google.status = refusals[i].status;
        google.answer = refusals[i].answer;
        expect_none(refusals[i].expected, refusals[i].message);
    }
    google.status = 0;
    const char *token = NULL;
    assert_int_equal(get(&token), COMRADE_OK); /* none of them is for ever */
}

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
        {400, "", COMRADE_DENIED,
         AS_ACCOUNT
         "it said 400; see that the key file is as Google wrote it, or make another key"},
        {400, "{\"error\":5,\"error_description\":[]}", COMRADE_DENIED,
         AS_ACCOUNT
         "it said 400; see that the key file is as Google wrote it, or make another key"},
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
        {302, "", COMRADE_DENIED,
         AS_ACCOUNT
         "it said 302; see that the key file is as Google wrote it, or make another key"},
        {1, NULL, COMRADE_UNAVAILABLE, AS_ACCOUNT "Empty reply from server"},
    };
    google_write_key(&google, 0);
    find(google.file);
    expect_refusals(refusals, N_OF(refusals));
}

#define AS_USER "datastore://proj: credentials: asked %U/token for a token as gcloud's user (%F): "
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
    google_write_user(&google);
    find(google.file);
    expect_refusals(refusals, N_OF(refusals));
    /* Nobody doubts a clock that was not asked for. */
    http_server_shift_date(google.server, 7200);
    credentials_forget(credentials);
    google.status = 400;
    google.answer = "{\"error\":\"invalid_grant\"}";
    size_t n_requests = http_server_requests(google.server);
    expect_none(COMRADE_DENIED, AS_USER "it said 400 invalid_grant" LOG_IN);
    assert_int_equal(http_server_requests(google.server), n_requests + 1);
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
    setenv("GCE_METADATA_HOST", google.host, 1);
    find(NULL);
    expect_refusals(refusals, N_OF(refusals));
}

/* A proxy is there for everything else. */
static void a_machine_elsewhere_is_told_what_to_do(void **state)
{
    (void)state;
    char host[64];
    snprintf(host, sizeof host, "%s", google.host);
    setenv("GCE_METADATA_HOST", host, 1);
    http_server_stop(google.server);
    find(NULL);
    comrade_call call = a_call();
    const char *token = NULL;
    assert_int_equal(credentials_token(credentials, http, &call, wall_ms(), &token, &error),
                     COMRADE_UNAVAILABLE);
    google.server = http_server_start(NULL, NULL);
    char beginning[512];
    snprintf(beginning, sizeof beginning,
             "datastore://proj: no credentials: the URL names no file, "
             "GOOGLE_APPLICATION_CREDENTIALS is not set, gcloud has none for applications, and the "
             "metadata server (%s) does not answer (Failed to connect to 127.0.0.1",
             host);
    assert_int_equal(strncmp(error.message, beginning, strlen(beginning)), 0);
    assert_non_null(strstr(error.message,
                           "), so this seems to be no machine of Google's; set "
                           "GOOGLE_APPLICATION_CREDENTIALS to a service account's key file, or "
                           "run: gcloud auth application-default login"));
}

/* --- Bounds ------------------------------------------------------------------------------------
 */

static void silence_ends_with_the_call(void **state)
{
    (void)state;
    google_write_user(&google);
    google.is_silent = true;
    find(google.file);
    comrade_call call = a_call();
    int64_t begin_ms = call.now_ms(NULL);
    call.deadline_ms = begin_ms + SHORT_MS;
    const char *token = NULL;
    http_server_requests(google.server);
    assert_int_equal(credentials_token(credentials, http, &call, wall_ms(), &token, &error),
                     COMRADE_UNAVAILABLE);
    expect_message(AS_USER "no answer in time");
    call = a_call();
    call.cancel_fd = eventfd(1, EFD_CLOEXEC);
    call.cancellable_ms = call.now_ms(NULL) + SHORT_MS;
    assert_int_equal(credentials_token(credentials, http, &call, wall_ms(), &token, &error),
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
    comrade_call call = a_call();
    comrade_status status = credentials_new(google.file, shown_url, &made, &error);
    for (int i = 0; i < n_tokens && status == COMRADE_OK; i++) {
        status = credentials_token(made, http, &call, wall_ms(), &token, &error);
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
    google.status = 200;
    google.answer = "{\"access_token\":\"t\",\"expires_in\":3600}";
    google_write_key(&google, 0);
    for_each_failed_allocation(get_some, &n_tokens);
    google_write_user(&google);
    for_each_failed_allocation(get_some, &n_tokens);
    renew_without_memory();
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    google_keys_make();
    const struct CMUnitTest tests[] = {
        CASE(a_service_accounts_key_gets_a_token),
        CASE(gclouds_user_gets_a_token),
        CASE(a_machine_of_googles_gets_a_token),
        CASE(the_url_comes_before_the_environment_and_that_before_gcloud),
        CASE(gclouds_file_is_below_home),
        CASE(a_file_that_cannot_be_read_is_named),
        CASE(what_is_no_json_is_not_repeated),
        CASE(a_key_in_place_of_a_file_is_not_shown),
        CASE(a_file_that_will_not_do_says_why),
        CASE(a_key_of_another_kind_says_so),
        CASE(a_damaged_file_is_harmless),
        CASE(a_file_without_token_uri_means_googles),
        CASE(a_token_is_renewed_before_it_ends),
        CASE(a_renewal_that_fails_is_no_error_while_the_old_is_good),
        CASE(a_renewal_in_silence_leaves_time_for_the_call),
        CASE(the_time_of_day_does_not_end_a_token),
        CASE(a_token_that_is_forgotten_is_asked_for_again),
        CASE(a_lifetime_is_read_in_any_form),
        CASE(a_key_that_was_replaced_is_used),
        CASE(a_file_that_is_gone_or_half_written_is_passed_over),
        CASE(a_clock_that_is_wrong_is_made_up_for),
        CASE(a_clock_that_cannot_be_made_up_for_is_told),
        CASE(a_clock_is_doubted_whatever_the_server_says),
        CASE(what_becomes_of_a_service_account_is_told),
        CASE(a_user_who_is_out_logs_in_again),
        CASE(a_machine_without_an_account_is_told_so),
        CASE(a_machine_elsewhere_is_told_what_to_do),
        CASE(silence_ends_with_the_call),
        CASE(each_allocation_may_fail),
    };
    int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    google_keys_free();
    return n_failed;
}
