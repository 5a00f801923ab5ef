/*
 * Who we are for Google, and the access token that says so. Found in this order:
 *   DATASTORE_EMULATOR_HOST           none are needed
 *   the URL's `credentials`           a file
 *   GOOGLE_APPLICATION_CREDENTIALS    a file
 *   application_default_credentials.json of the gcloud tool, if it is there
 *   the metadata server of GCE and GKE (GCE_METADATA_HOST, else metadata.google.internal)
 * A file is a service account's key (a JWT signed with RS256 is changed for a token: RFC 7523), or
 * an `authorized_user` of gcloud (its refresh token is).
 */
#ifndef DATASTORE_CREDENTIALS_H
#define DATASTORE_CREDENTIALS_H

#include "store/datastore/http.h"

struct credentials;

/*
 * Reads the file, if it is one; asks nobody yet. `file` NULL: the URL names none. `shown_url` is
 * for errors, and is borrowed as long as the credentials live. Errors: INVALID, DENIED (a file that
 * cannot be read), UNSUPPORTED (a file of another type), NO_MEMORY.
 */
comrade_status credentials_new(const char *file, const char *shown_url,
                               struct credentials **credentials, comrade_error *error);
void credentials_free(struct credentials *credentials); /* NULL is fine */
/*
 * A token that is good for some minutes: the one at hand, or a new one, for which at most one
 * request is made (two, where the first was refused for this machine's clock). A renewal that fails
 * while the old one is still good is no error. *token is borrowed until the next call; NULL: none
 * is needed. `wall_ms` is this machine's clock. Errors: UNAVAILABLE, DENIED, NO_MEMORY, CANCELED.
 */
comrade_status credentials_token(struct credentials *credentials, struct http *http,
                                 const comrade_call *call, int64_t wall_ms, const char **token,
                                 comrade_error *error);
/* The server refused the token: the next call gets a new one. */
void credentials_forget(struct credentials *credentials);
/*
 * The project whose quota requests count to, and which pays for them: what the environment's
 * GOOGLE_CLOUD_QUOTA_PROJECT says, else the file. NULL: Google decides. Borrowed until the next
 * token is asked for.
 */
const char *credentials_quota_project(const struct credentials *credentials);
/* For errors and checks: "service account x@y (FILE)", "the metadata server", … */
const char *credentials_name(const struct credentials *credentials);

#endif
