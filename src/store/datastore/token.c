/*
 * The three ways to a token: a signed claim (RFC 7523), a refresh token (RFC 6749), and a GET where
 * the machine itself is the proof. The answers are the same JSON.
 */
#include "store/datastore/token.h"

#include "base/json.h"
#include "store/datastore/jwt.h"
#include "store/datastore/secret.h"

#include <stdio.h>

enum {
    BODY_LIMIT = 64 * 1024,
    TOKEN_MAX_BYTES = 16 * 1024,
    CLAIM_LIFETIME_S = 3600,
    LIFETIME_DEFAULT_S = 3600,
    LIFETIME_MAX_S = 24 * 3600,
    METADATA_CONNECT_MS = 1500, /* it is next door, or this is no machine of Google's */
};

static const char scope[] = "https://www.googleapis.com/auth/datastore";

/* --- What is asked -----------------------------------------------------------------------------
 */

/* As application/x-www-form-urlencoded. */
static void append_field(struct buffer *out, const char *name, const char *value)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    buffer_append_format(out, "%s%s=", out->len == 0 ? "" : "&", name);
    for (const char *at = value; *at != '\0'; at++) {
        if (strchr(plain, *at) != NULL) {
            buffer_append(out, at, 1);
        } else {
            buffer_append_format(out, "%%%02X", (unsigned char)*at);
        }
    }
}

static void append_claim(struct buffer *out, const struct identity *identity, int64_t now_s)
{
    json_t *claims = json_pack("{s:s,s:s,s:s,s:I,s:I}", "iss", identity->email, "scope", scope,
                               "aud", identity->token_url, "iat", (json_int_t)now_s, "exp",
                               (json_int_t)now_s + CLAIM_LIFETIME_S);
    char *assertion = jwt_make(identity->key, identity->key_id, claims);
    if (assertion == NULL) {
        out->is_failed = true;
    } else {
        append_field(out, "grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
        append_field(out, "assertion", assertion);
    }
    secret_free(assertion);
    json_decref(claims);
}

static void append_refresh(struct buffer *out, const struct identity *identity)
{
    append_field(out, "grant_type", "refresh_token");
    append_field(out, "client_id", identity->client_id);
    append_field(out, "client_secret", identity->client_secret);
    append_field(out, "refresh_token", identity->refresh_token);
}

/* --- What comes back ---------------------------------------------------------------------------
 */

static void copy_text(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from == NULL ? "" : from);
}

/* It goes into a header: visible ASCII alone. */
static bool is_token(const char *text)
{
    size_t len = text == NULL ? 0 : strlen(text);
    for (size_t i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            return false;
        }
    }
    return len > 0 && len <= TOKEN_MAX_BYTES;
}

static int64_t lifetime_ms(const json_t *object)
{
    const json_t *value = json_object_get(object, "expires_in");
    double seconds = json_is_string(value)   ? strtod(json_string_value(value), NULL)
                     : json_is_number(value) ? json_number_value(value)
                                             : LIFETIME_DEFAULT_S;
    if (!(seconds > 0)) {
        return 0;
    }
    return seconds > LIFETIME_MAX_S ? LIFETIME_MAX_S * 1000LL : (int64_t)(seconds * 1000);
}

/* A server that repeats what it was sent must not make us show it. */
static bool holds_secret(const struct identity *identity, const char *text)
{
    const char *secrets[] = {identity->client_secret, identity->refresh_token, "eyJ"};
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++) {
        if (secrets[i] != NULL && strstr(text, secrets[i]) != NULL) {
            return true;
        }
    }
    return false;
}

/* RFC 6749 has two texts; Google's other servers have an object. The metadata server says a line.
 */
static void read_refusal(const struct identity *identity, const json_t *object, const char *text,
                         struct token_answer *answer)
{
    const json_t *failure = json_object_get(object, "error");
    const char *name = json_string_value(failure);
    const char *said = json_string_value(json_object_get(object, "error_description"));
    if (json_is_object(failure)) {
        name = json_string_value(json_object_get(failure, "status"));
        said = json_string_value(json_object_get(failure, "message"));
    }
    if (object == NULL && identity->kind == IDENTITY_MACHINE && text[0] != '<') {
        said = text;
    }
    bool is_told = (name == NULL || !holds_secret(identity, name)) &&
                   (said == NULL || !holds_secret(identity, said));
    copy_text(answer->error_name, sizeof answer->error_name, is_told ? name : NULL);
    copy_text(answer->said, sizeof answer->said, is_told ? said : "(its words hold a secret)");
}

static comrade_status read_answer(const struct identity *identity,
                                  const struct http_request *request, struct token_answer *answer)
{
    answer->http_status = request->status;
    answer->date_ms = request->date_ms;
    if (request->status == 0) {
        copy_text(answer->said, sizeof answer->said, request->failure);
        return request->is_out_of_memory ? COMRADE_NO_MEMORY : COMRADE_OK;
    }
    const char *text = buffer_text(&request->answer);
    comrade_error inner = {0};
    json_t *object = json_object_parse("it", text, request->answer.len, &inner);
    const char *token = json_string_value(json_object_get(object, "access_token"));
    comrade_status status = COMRADE_OK;
    if (inner.status == COMRADE_NO_MEMORY) {
        status = COMRADE_NO_MEMORY;
    } else if (request->status != 200) {
        read_refusal(identity, object, text, answer);
    } else if (!is_token(token)) {
        copy_text(answer->said, sizeof answer->said, "there is no access_token in its answer");
    } else {
        answer->token = strdup(token);
        answer->lifetime_ms = lifetime_ms(object);
        status = answer->token == NULL ? COMRADE_NO_MEMORY : COMRADE_OK;
    }
    explicit_bzero(inner.message, sizeof inner.message);
    if (token != NULL) {
        explicit_bzero((void *)(uintptr_t)token, strlen(token));
    }
    json_decref(object);
    return status;
}

void token_answer_finish(struct token_answer *answer)
{
    secret_free(answer->token);
    *answer = (struct token_answer){0};
}

comrade_status token_ask(const struct identity *identity, struct http *http,
                         const comrade_call *call, int64_t now_s, struct token_answer *answer)
{
    static const char *const flavor[] = {"Metadata-Flavor: Google"};
    bool is_machine = identity->kind == IDENTITY_MACHINE;
    struct buffer body;
    buffer_init(&body, BODY_LIMIT);
    if (identity->kind == IDENTITY_SERVICE_ACCOUNT) {
        append_claim(&body, identity, now_s);
    } else if (identity->kind == IDENTITY_USER) {
        append_refresh(&body, identity);
    }
    struct http_request request = {
        .url = identity->token_url,
        .body = is_machine ? NULL : buffer_text(&body),
        .body_len = body.len,
        .content_type = "application/x-www-form-urlencoded",
        .headers = flavor,
        .n_headers = is_machine ? 1 : 0,
        .connect_ms = is_machine ? METADATA_CONNECT_MS : 0,
        .is_direct = is_machine,
        .is_repeatable = true,
    };
    comrade_status status =
        body.is_failed ? COMRADE_NO_MEMORY : http_perform(http, call, &request, 1, 1);
    if (status == COMRADE_OK) {
        status = read_answer(identity, &request, answer);
        secret_buffer_finish(&request.answer);
        http_request_finish(&request);
    }
    secret_buffer_finish(&body);
    return status;
}
