/*
 * Who we are, as a credentials file says it, or the machine does: what a token is asked for with.
 */
#ifndef DATASTORE_IDENTITY_H
#define DATASTORE_IDENTITY_H

#include <comrade.h>
#include <openssl/evp.h>
#include <stdbool.h>

enum identity_kind {
    IDENTITY_SERVICE_ACCOUNT, /* a key of its own */
    IDENTITY_USER,            /* gcloud's: a refresh token */
    IDENTITY_MACHINE,         /* the metadata server says it */
};

/* All zero: empty. */
struct identity {
    enum identity_kind kind;
    char *name;      /* for people */
    char *token_url; /* where tokens are to be had */
    char *email;     /* of a service account */
    char *key_id;    /* may be NULL */
    EVP_PKEY *key;
    char *client_id; /* of a user */
    char *client_secret;
    char *refresh_token;
    char *quota_project; /* whose quota requests count to; NULL: the file does not say */
};

/*
 * `origin` says who named the file: "named by …". On failure the identity is as it was. Errors:
 * INVALID, DENIED (it cannot be read), UNSUPPORTED (it is of another type), NO_MEMORY.
 */
comrade_status identity_read(const char *file, const char *origin, const char *shown_url,
                             struct identity *identity, comrade_error *error);
/* Errors: NO_MEMORY. */
comrade_status identity_of_machine(const char *host, const char *shown_url,
                                   struct identity *identity, comrade_error *error);
/* May it go into a header as a project's id? */
bool identity_is_project(const char *text);
void identity_finish(struct identity *identity); /* a finished one is empty */

#endif
