/*
 * The three parts are made one behind the other in one buffer: what is signed is what is sent.
 */
#include "store/datastore/jwt.h"

#include "base/buffer.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

enum { TOKEN_LIMIT = 32 * 1024, KEY_MIN_BITS = 2048 };

/* Else libcrypto would ask on the terminal. */
static int know_no_password(char *password, int size, int is_writing, void *user)
{
    (void)password;
    (void)size;
    (void)is_writing;
    (void)user;
    return -1;
}

EVP_PKEY *jwt_key_read(const char *pem, const char **what_is_wrong)
{
    BIO *bytes = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key =
        bytes == NULL ? NULL : PEM_read_bio_PrivateKey(bytes, NULL, know_no_password, NULL);
    BIO_free(bytes);
    ERR_clear_error();
    if (key == NULL) {
        *what_is_wrong = strstr(pem, "ENCRYPTED") != NULL
                             ? "is encrypted, and there is nobody to ask for its password"
                             : "is not whole, or not a key in PEM";
        return NULL;
    }
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA || EVP_PKEY_get_bits(key) < KEY_MIN_BITS) {
        EVP_PKEY_free(key);
        *what_is_wrong = "is no RSA key of 2048 bits or more";
        return NULL;
    }
    return key;
}

/* As RFC 4648, section 5, without padding. */
static void append_base64url(struct buffer *out, const unsigned char *bytes, size_t n_bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (size_t i = 0; i < n_bytes; i += 3) {
        size_t n = n_bytes - i < 3 ? n_bytes - i : 3;
        unsigned group = (unsigned)bytes[i] << 16;
        group |= n > 1 ? (unsigned)bytes[i + 1] << 8 : 0;
        group |= n > 2 ? (unsigned)bytes[i + 2] : 0;
        char text[4] = {digits[group >> 18 & 63], digits[group >> 12 & 63], digits[group >> 6 & 63],
                        digits[group & 63]};
        buffer_append(out, text, n + 1);
    }
}

static int take_piece(const char *bytes, size_t n_bytes, void *user)
{
    return buffer_append(user, bytes, n_bytes) ? 0 : -1;
}

/* json_dumps() would leave out a name that it has no memory for, and go on. */
static bool append_json(struct buffer *out, const json_t *value)
{
    struct buffer text;
    buffer_init(&text, TOKEN_LIMIT);
    bool is_done =
        json_dump_callback(value, take_piece, &text, JSON_COMPACT) == 0 && !text.is_failed;
    append_base64url(out, (const unsigned char *)buffer_text(&text), is_done ? text.len : 0);
    buffer_finish(&text);
    return is_done;
}

static bool append_header(struct buffer *out, const char *key_id)
{
    json_t *header = json_pack("{s:s,s:s}", "alg", "RS256", "typ", "JWT");
    bool is_done =
        (key_id == NULL || json_object_set_new(header, "kid", json_string(key_id)) == 0) &&
        append_json(out, header);
    json_decref(header);
    return is_done;
}

static bool append_signature(struct buffer *out, EVP_PKEY *key)
{
    const unsigned char *signed_bytes = (const unsigned char *)buffer_text(out);
    size_t size = (size_t)EVP_PKEY_get_size(key);
    unsigned char *signature = malloc(size);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_done = signature != NULL && context != NULL &&
                   EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
                   EVP_DigestSign(context, signature, &size, signed_bytes, out->len) == 1;
    if (is_done) {
        buffer_append_text(out, ".");
        append_base64url(out, signature, size);
    }
    EVP_MD_CTX_free(context);
    free(signature);
    ERR_clear_error();
    return is_done;
}

char *jwt_make(EVP_PKEY *key, const char *key_id, const json_t *claims)
{
    struct buffer out;
    buffer_init(&out, TOKEN_LIMIT);
    bool is_done = append_header(&out, key_id) && buffer_append_text(&out, ".") &&
                   append_json(&out, claims) && !out.is_failed && append_signature(&out, key);
    char *token = is_done ? buffer_take(&out) : NULL;
    buffer_finish(&out);
    return token;
}
