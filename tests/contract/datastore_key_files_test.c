/* Files of credentials: what will not do, and what is said of it; and files that change. */
#include "contract/datastore_token_scene.h"

#include "contract/contract.h"

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
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

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
    setenv("GOOGLE_APPLICATION_CREDENTIALS", scene.google.file, 1);
    assert_int_equal(credentials_new(NULL, SCENE_URL, &made, &scene.error), COMRADE_DENIED);
    expect_message("datastore://proj: credentials: %F (named by GOOGLE_APPLICATION_CREDENTIALS) "
                   "cannot be read: No such file or directory" HINT);
    assert_int_equal(symlink(scene.google.file, scene.google.file), 0); /* to itself */
    expect_refused_file(COMRADE_DENIED,
                        FILE_IS "cannot be read: Too many levels of symbolic links" HINT);
    unlink(scene.google.file);
    assert_int_equal(mkfifo(scene.google.file, 0600), 0); /* and nobody waits for a writer */
    expect_refused_file(COMRADE_INVALID, FILE_IS "is no regular file" HINT);
    unlink(scene.google.file);
    assert_int_equal(mkdir(scene.google.file, 0700), 0);
    expect_refused_file(COMRADE_INVALID, FILE_IS "is no regular file" HINT);
    rmdir(scene.google.file);
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
        google_write(&scene.google, texts[i]);
        expect_refused_file(COMRADE_INVALID, FILE_IS "is not whole, or no JSON object" HINT);
    }
    char *deep = calloc(1, 40001);
    assert_non_null(deep);
    memset(deep, '[', 40000);
    google_write(&scene.google, deep);
    expect_refused_file(COMRADE_INVALID, FILE_IS "is not whole, or no JSON object" HINT);
    free(deep);
    char *long_text = calloc(1, 65538);
    assert_non_null(long_text);
    memset(long_text, ' ', 65537);
    google_write(&scene.google, long_text);
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
        assert_int_equal(credentials_new(keys[i], SCENE_URL, &made, &scene.error), COMRADE_INVALID);
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

static void a_project_that_pays_is_one(void **state)
{
    (void)state;
    google_write(&scene.google, USER "\"client_secret\":\"s\",\"refresh_token\":\"r\","
                                     "\"quota_project_id\":\"a\\r\\nb: c\"}");
    expect_refused_file(COMRADE_INVALID,
                        FILE_IS "has a quota_project_id that is no id of a project; set it: gcloud "
                                "auth application-default set-quota-project PROJECT");
    google_write_user(&scene.google);
    setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "My Project", 1);
    expect_refused_file(COMRADE_INVALID,
                        "datastore://proj: credentials: GOOGLE_CLOUD_QUOTA_PROJECT is "
                        "\"My Project\", which is no id of a project; correct it, or unset it");
}

static void a_file_that_will_not_do_says_why(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof odd_files / sizeof odd_files[0]; i++) {
        char message[1024];
        snprintf(message, sizeof message, "%s%s", FILE_IS, odd_files[i].message);
        google_write(&scene.google, odd_files[i].text);
        expect_refused_file(odd_files[i].status, message);
    }
}

/* As a key file has it: line ends as \n. */
static void write_pem(const char *pem)
{
    json_t *object = json_pack("{s:s,s:s,s:s}", "type", "service_account", "client_email", "a@b",
                               "private_key", pem);
    char *text = json_dumps(object, 0);
    google_write(&scene.google, text);
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
    FILE *file = fopen(scene.google.file, "re");
    assert_non_null(file);
    *len = fread(bytes, 1, 8191, file);
    fclose(file);
    return bytes;
}

static void expect_harmless(bool is_cut)
{
    struct credentials *made = NULL;
    comrade_status status = credentials_new(scene.google.file, SCENE_URL, &made, &scene.error);
    assert_true(status == COMRADE_INVALID ||
                (!is_cut && (status == COMRADE_OK || status == COMRADE_UNSUPPORTED)));
    assert_null(strstr(scene.error.message, "MIIE")); /* how the key begins */
    credentials_free(made);
}

static void a_damaged_file_is_harmless(void **state)
{
    (void)state;
    size_t len = 0;
    google_write_key(&scene.google, 0);
    char *bytes = read_file(&len);
    assert_true(len > 1000 && strstr(bytes, "MIIE") != NULL);
    for (size_t n = 0; n < len - 1; n += 3) {
        char kept = bytes[n];
        bytes[n] = '\0';
        google_write(&scene.google, bytes);
        expect_harmless(true);
        bytes[n] = kept;
    }
    unsigned seed = (unsigned)time(NULL);
    printf("# seed %u\n", seed);
    for (int i = 0; i < 500; i++) {
        size_t at = (size_t)rand_r(&seed) % len;
        char kept = bytes[at];
        bytes[at] = (char)(1 + rand_r(&seed) % 255);
        google_write(&scene.google, bytes);
        expect_harmless(false);
        bytes[at] = kept;
    }
    free(bytes);
}

static void a_file_without_token_uri_means_googles(void **state)
{
    (void)state;
    write_pem(google_key_pem(0));
    scene_find(scene.google.file);
    comrade_call call = scene_call();
    call.deadline_ms = 0; /* nothing is sent */
    const char *token = NULL;
    assert_int_equal(credentials_token(scene.credentials, scene.http, &call, scene_wall_ms(),
                                       &token, &scene.error),
                     COMRADE_UNAVAILABLE);
    expect_message("datastore://proj: credentials: asked https://oauth2.googleapis.com/token for a "
                   "token as service account a@b (%F): not sent in time");
}

/* --- Files that change -------------------------------------------------------------------------
 */

#define DELETED_KEY                                                                                \
    AS_ACCOUNT "it said 400 invalid_grant: Invalid JWT Signature; the key was deleted, or is "     \
               "another account's; make another (gcloud iam service-accounts keys create FILE "    \
               "--iam-account=ACCOUNT) and put it in its place"

static void a_key_that_was_replaced_is_used(void **state)
{
    (void)state;
    google_write_key(&scene.google, 1);
    scene_find(scene.google.file);
    expect_none(COMRADE_DENIED, DELETED_KEY);
    google_write_key(&scene.google, 0);
    expect_token("ya29.token-2");
    google_write_user(&scene.google);
    scene.passed_ms += 56 * MINUTE_MS;
    expect_token("ya29.token-3");
    expect_name("gcloud's user");
}

static void a_file_that_is_gone_or_half_written_is_passed_over(void **state)
{
    (void)state;
    google_write_key(&scene.google, 0);
    scene_find(scene.google.file);
    expect_token("ya29.token-1");
    google_write(&scene.google, "{\"type\":\"service_account\",");
    scene.passed_ms += 56 * MINUTE_MS;
    expect_token("ya29.token-2");
    unlink(scene.google.file);
    scene.passed_ms += 56 * MINUTE_MS;
    expect_token("ya29.token-3");
    google_write_key(&scene.google, 1);
    credentials_forget(scene.credentials);
    expect_none(COMRADE_DENIED, DELETED_KEY);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, scene_begin, scene_end)

int main(void)
{
    google_keys_make();
    const struct CMUnitTest tests[] = {
        CASE(a_file_that_cannot_be_read_is_named),
        CASE(what_is_no_json_is_not_repeated),
        CASE(a_key_in_place_of_a_file_is_not_shown),
        CASE(a_file_that_will_not_do_says_why),
        CASE(a_project_that_pays_is_one),
        CASE(a_key_of_another_kind_says_so),
        CASE(a_damaged_file_is_harmless),
        CASE(a_file_without_token_uri_means_googles),
        CASE(a_key_that_was_replaced_is_used),
        CASE(a_file_that_is_gone_or_half_written_is_passed_over),
    };
    int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    google_keys_free();
    return n_failed;
}
