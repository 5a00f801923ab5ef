/*
 * Google's server of tokens and a machine's metadata server, in the test: keys that it knows, and
 * a judge of what is signed with them. Files for credentials are in a folder of the test's own.
 */
#ifndef CONTRACT_DATASTORE_GOOGLE_H
#define CONTRACT_DATASTORE_GOOGLE_H

#include "lib/datastore_http.h"

#include <openssl/evp.h>
#include <stdint.h>

/* What it does with the next requests. All zero: what Google does. */
struct google {
    struct http_server *server;
    char host[32]; /* with its port */
    char url[64];
    char folder[64];
    char file[128];     /* folder/key.json */
    int status;         /* not 0: answers with it, and `answer`, whatever was asked */
    const char *answer; /* NULL with a status: the connection is closed */
    bool is_silent;
    long expires_in_s;  /* 0: 3600 */
    char request[2048]; /* the last one */
    char body[4096];
};

/* For all tests of a program: making a key takes a while. */
void google_keys_make(void);
void google_keys_free(void);
const char *google_key_pem(int nth); /* 0: the one it knows; 1: another */
/* As PKCS #8, encrypted where there is a password. The caller frees it. */
char *google_pem_of(EVP_PKEY *key, const char *password);

void google_start(struct google *google);
void google_stop(struct google *google);
/* Writes file: whole text, or a service account's key as Google does, or a user of gcloud. */
void google_write(const struct google *google, const char *text);
void google_write_key(const struct google *google, int nth_key);
void google_write_user(const struct google *google);

#endif
