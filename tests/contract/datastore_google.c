/* The judge reads a JWT as RFC 7519 says, with nothing of what made it. */
#include "contract/datastore_google.h"

#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { KEYS = 2, TIMEFRAME_S = 300 };

static EVP_PKEY *keys[KEYS];
static char *pems[KEYS];

char *google_pem_of(EVP_PKEY *key, const char *password)
{
    BIO *out = BIO_new(BIO_s_mem());
    int password_len = password == NULL ? 0 : (int)strlen(password);
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(out, key,
                                                   password == NULL ? NULL : EVP_aes_256_cbc(),
                                                   password, password_len, NULL, NULL),
                     1);
    char *bytes = NULL;
    long len = BIO_get_mem_data(out, &bytes);
    char *text = strndup(bytes, (size_t)len);
    BIO_free(out);
    return text;
}

void google_keys_make(void)
{
    for (int i = 0; i < KEYS; i++) {
        keys[i] = EVP_RSA_gen(2048);
        assert_non_null(keys[i]);
        pems[i] = google_pem_of(keys[i], NULL);
    }
}

void google_keys_free(void)
{
    for (int i = 0; i < KEYS; i++) {
        EVP_PKEY_free(keys[i]);
        free(pems[i]);
    }
}

const char *google_key_pem(int nth)
{
    return pems[nth];
}

/* --- The judge ---------------------------------------------------------------------------------
 */

static size_t read_base64url(const char *text, size_t len, unsigned char *bytes)
{
    char padded[2048];
    size_t n = 0;
    for (; n < len; n++) {
        padded[n] = text[n] == '-' ? '+' : text[n] == '_' ? '/' : text[n];
    }
    size_t n_padding = 0;
    for (; n % 4 != 0; n++, n_padding++) {
        padded[n] = '=';
    }
    int n_bytes = EVP_DecodeBlock(bytes, (unsigned char *)padded, (int)n);
    return n_bytes < 0 ? 0 : (size_t)n_bytes - n_padding;
}

static json_t *read_part(const char *text, size_t len)
{
    unsigned char bytes[2048];
    size_t n_bytes = len > 1024 ? 0 : read_base64url(text, len, bytes);
    return json_loadb((char *)bytes, n_bytes, JSON_REJECT_DUPLICATES, NULL);
}

static bool is_text(const json_t *object, const char *name, const char *expected)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL && strcmp(text, expected) == 0;
}

static bool is_signed(const char *jwt, size_t signed_len)
{
    unsigned char signature[1024];
    size_t len = read_base64url(jwt + signed_len + 1, strlen(jwt + signed_len + 1), signature);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_it =
        EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, keys[0]) == 1 &&
        EVP_DigestVerify(context, signature, len, (const unsigned char *)jwt, signed_len) == 1;
    EVP_MD_CTX_free(context);
    return is_it;
}

/* NULL: it is good. Else Google's words. */
static const char *judge_claims(const struct google *google, const json_t *header,
                                const json_t *claims, int64_t now_s)
{
    char audience[128];
    snprintf(audience, sizeof audience, "%s/token", google->url);
    int64_t iat = json_integer_value(json_object_get(claims, "iat"));
    int64_t exp = json_integer_value(json_object_get(claims, "exp"));
    if (!is_text(header, "alg", "RS256") || !is_text(header, "typ", "JWT") ||
        !is_text(header, "kid", "key-0") || !is_text(claims, "aud", audience) ||
        !is_text(claims, "scope", "https://www.googleapis.com/auth/datastore")) {
        return "Invalid JWT";
    }
    if (!is_text(claims, "iss", "app@proj.iam.gserviceaccount.com")) {
        return "Invalid grant: account not found";
    }
    if (llabs(iat - now_s) > TIMEFRAME_S || exp - iat != 3600) {
        return "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable "
               "timeframe. Check your iat and exp values in the JWT claim.";
    }
    return NULL;
}

static const char *judge_jwt(const struct google *google, const char *jwt)
{
    const char *first = strchr(jwt, '.');
    const char *second = first == NULL ? NULL : strchr(first + 1, '.');
    if (second == NULL || strspn(jwt, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                      "0123456789-_.") != strlen(jwt)) {
        return "Invalid JWT";
    }
    json_t *header = read_part(jwt, (size_t)(first - jwt));
    json_t *claims = read_part(first + 1, (size_t)(second - first - 1));
    const char *said =
        judge_claims(google, header, claims, time(NULL) + http_server_date_shift(google->server));
    if (said == NULL && !is_signed(jwt, (size_t)(second - jwt))) {
        said = "Invalid JWT Signature.";
    }
    json_decref(header);
    json_decref(claims);
    return said;
}

/* --- The server --------------------------------------------------------------------------------
 */

static const char jwt_grant[] =
    "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
static const char user_grant[] = "grant_type=refresh_token&client_id=client.apps&"
                                 "client_secret=se%2Fcret%26&refresh_token=1%2F%2Fre%20fresh~";

static const char *judge(const struct google *google)
{
    const char *request = google->request;
    if (strncmp(request, "GET /computeMetadata/v1/instance/service-accounts/default/token ", 64) ==
        0) {
        return strstr(request, "\r\nMetadata-Flavor: Google\r\n") != NULL ? NULL : "no flavor";
    }
    if (strncmp(request, "POST /token ", 12) != 0 ||
        strstr(request, "\r\nContent-Type: application/x-www-form-urlencoded\r\n") == NULL) {
        return "no such place";
    }
    if (strncmp(google->body, jwt_grant, sizeof jwt_grant - 1) == 0) {
        return judge_jwt(google, google->body + sizeof jwt_grant - 1);
    }
    return strcmp(google->body, user_grant) == 0 ? NULL : "Bad Request";
}

static bool answer(struct http_exchange *exchange)
{
    struct google *google = exchange->user;
    snprintf(google->request, sizeof google->request, "%s", exchange->request);
    snprintf(google->body, sizeof google->body, "%s", exchange->body);
    if (google->is_silent) {
        http_exchange_wait_for_close(exchange);
        return false;
    }
    const char *canned = google->answer;
    if (google->status != 0) {
        if (canned != NULL) {
            http_exchange_answer(exchange, google->status, NULL, canned);
        }
        return canned != NULL;
    }
    const char *said = judge(google);
    char text[512];
    if (said == NULL) {
        snprintf(text, sizeof text,
                 "{\"access_token\":\"ya29.token-%zu\",\"expires_in\":%ld,\"token_type\":"
                 "\"Bearer\"}",
                 exchange->nth, google->expires_in_s == 0 ? 3600 : google->expires_in_s);
    } else {
        snprintf(text, sizeof text, "{\"error\":\"invalid_grant\",\"error_description\":\"%s\"}",
                 said);
    }
    http_exchange_answer(exchange, said == NULL ? 200 : 400, NULL, text);
    return true;
}

void google_start(struct google *google)
{
    *google = (struct google){0};
    google->server = http_server_start(answer, google);
    snprintf(google->host, sizeof google->host, "127.0.0.1:%d", http_server_port(google->server));
    snprintf(google->url, sizeof google->url, "http://%s", google->host);
    snprintf(google->folder, sizeof google->folder, "/tmp/comrade-google-XXXXXX");
    assert_non_null(mkdtemp(google->folder));
    snprintf(google->file, sizeof google->file, "%s/key.json", google->folder);
}

void google_stop(struct google *google)
{
    http_server_stop(google->server);
    unlink(google->file);
    assert_int_equal(rmdir(google->folder), 0);
}

void google_write(const struct google *google, const char *text)
{
    int fd = open(google->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void write_object(const struct google *google, json_t *object)
{
    char *text = json_dumps(object, JSON_INDENT(2));
    google_write(google, text);
    free(text);
    json_decref(object);
}

void google_write_key(const struct google *google, int nth_key)
{
    write_object(google,
                 json_pack("{s:s,s:s,s:s,s:s,s:s,s:s+}", "type", "service_account", "project_id",
                           "proj", "private_key_id", "key-0", "private_key", pems[nth_key],
                           "client_email", "app@proj.iam.gserviceaccount.com", "token_uri",
                           google->url, "/token"));
}

void google_write_user(const struct google *google)
{
    write_object(google, json_pack("{s:s,s:s,s:s,s:s,s:s+}", "type", "authorized_user", "client_id",
                                   "client.apps", "client_secret", "se/cret&", "refresh_token",
                                   "1//re fresh~", "token_uri", google->url, "/token"));
}
