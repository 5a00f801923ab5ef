/* JSON Web Tokens signed with RS256 (RFC 7515, 7519), and the keys that they are signed with. */
#ifndef DATASTORE_JWT_H
#define DATASTORE_JWT_H

#include <comrade.h>

#include <jansson.h>
#include <openssl/evp.h>

/*
 * A private key as PEM (PKCS #8 or PKCS #1, not encrypted), which is a RSA key of 2,048 bits or
 * more. The caller frees it by EVP_PKEY_free(). NULL: it is none; *what_is_wrong (a constant) says
 * why, after "its private_key".
 */
EVP_PKEY *jwt_key_read(const char *pem, const char **what_is_wrong);

/*
 * "HEADER.CLAIMS.SIGNATURE", which the caller frees. `key_id` may be NULL. NULL: out of memory, or
 * libcrypto cannot sign.
 */
char *jwt_make(EVP_PKEY *key, const char *key_id, const json_t *claims);

#endif
