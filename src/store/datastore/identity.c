/*
 * A credentials file as Google writes it: one JSON object, whose `type` says what else is in it.
 * Secrets in it are never repeated in an error, and the memory that we had them in is wiped.
 */
#include "store/datastore/identity.h"

#include "base/json.h"
#include "store/datastore/jwt.h"
#include "store/datastore/secret.h"

#include <comrade/store.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX_BYTES = 64 * 1024, PROJECT_MAX_BYTES = 100 };

static const char google_token_url[] = "https://oauth2.googleapis.com/token";

/* What is being read, for errors. */
struct source {
    const char *file;
    const char *origin;
    const char *shown_url;
    comrade_error *error;
};

#define REFUSE(source, status, format, ...)                                                        \
    comrade_error_set((source)->error, status, "%s: credentials: %s (%s) " format,                 \
                      (source)->shown_url, (source)->file, (source)->origin, __VA_ARGS__)

static comrade_status lack_memory(const char *shown_url, comrade_error *error)
{
    return comrade_error_set(error, COMRADE_NO_MEMORY, "%s: credentials: out of memory", shown_url);
}

void identity_finish(struct identity *identity)
{
    free(identity->name);
    free(identity->token_url);
    free(identity->email);
    free(identity->key_id);
    EVP_PKEY_free(identity->key); /* wipes it */
    free(identity->client_id);
    secret_free(identity->client_secret);
    secret_free(identity->refresh_token);
    free(identity->quota_project);
    *identity = (struct identity){0};
}

/* --- The file ----------------------------------------------------------------------------------
 */

static const char hint[] = "name a service account's key file that this user may read, or run: "
                           "gcloud auth application-default login";

/* Into `bytes`, of FILE_MAX_BYTES + 1. Never waits: a pipe is refused. */
static comrade_status read_bytes(const struct source *source, char *bytes, size_t *n_bytes)
{
    int fd = open(source->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return REFUSE(source, COMRADE_DENIED, "cannot be read: %s; %s", strerror(errno), hint);
    }
    struct stat about;
    comrade_status status = COMRADE_OK;
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
        status = REFUSE(source, COMRADE_INVALID, "is no regular file; %s", hint);
    }
    size_t len = 0;
    ssize_t n = 1;
    while (status == COMRADE_OK && n > 0 && len <= FILE_MAX_BYTES) {
        n = read(fd, bytes + len, FILE_MAX_BYTES + 1 - len);
        len += n > 0 ? (size_t)n : 0;
    }
    if (n < 0) {
        status = REFUSE(source, COMRADE_DENIED, "cannot be read: %s; %s", strerror(errno), hint);
    } else if (status == COMRADE_OK && len > FILE_MAX_BYTES) {
        status = REFUSE(source, COMRADE_INVALID, "is longer than %d bytes, and no credentials; %s",
                        FILE_MAX_BYTES, hint);
    }
    close(fd);
    *n_bytes = len;
    return status;
}

/* jansson's words repeat what it stumbled over, which may be the key. */
static comrade_status parse(const struct source *source, const char *bytes, size_t n_bytes,
                            json_t **object)
{
    comrade_error inner = {0};
    *object = json_object_parse("it", bytes, n_bytes, &inner);
    if (*object != NULL) {
        return COMRADE_OK;
    }
    explicit_bzero(inner.message, sizeof inner.message);
    if (inner.status == COMRADE_NO_MEMORY) {
        return lack_memory(source->shown_url, source->error);
    }
    return REFUSE(source, COMRADE_INVALID, "is not whole, or no JSON object; %s", hint);
}

static void wipe_strings(json_t *object)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        if (json_is_string(value)) {
            explicit_bzero((void *)(uintptr_t)json_string_value(value), json_string_length(value));
        }
    }
}

/* --- What is in it -----------------------------------------------------------------------------
 */

/* A copy of a text that must be there; NULL with *status set: it is not, or no memory. */
static char *copy_field(const struct source *source, const json_t *object, const char *name,
                        comrade_status *status)
{
    const char *text = json_string_value(json_object_get(object, name));
    if (*status != COMRADE_OK) {
        return NULL;
    }
    if (text == NULL || text[0] == '\0') {
        *status = REFUSE(source, COMRADE_INVALID, "has no %s; %s", name, hint);
        return NULL;
    }
    char *copy = strdup(text);
    if (copy == NULL) {
        *status = lack_memory(source->shown_url, source->error);
    }
    return copy;
}

/* By TLS, or on this machine: what is sent there is as good as the account. */
static bool may_be_told(const char *url)
{
    static const char *const beginnings[] = {"http://127.0.0.1", "http://localhost",
                                             "http://[::1]"};
    if (strncmp(url, "https://", 8) == 0) {
        return true;
    }
    for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++) {
        size_t len = strlen(beginnings[i]);
        if (strncmp(url, beginnings[i], len) == 0 && (url[len] == ':' || url[len] == '/') &&
            strchr(url, '@') == NULL) {
            return true;
        }
    }
    return false;
}

static comrade_status read_token_url(const struct source *source, const json_t *object,
                                     struct identity *identity)
{
    comrade_status status = COMRADE_OK;
    if (json_object_get(object, "token_uri") == NULL) {
        identity->token_url = strdup(google_token_url);
        return identity->token_url == NULL ? lack_memory(source->shown_url, source->error)
                                           : COMRADE_OK;
    }
    identity->token_url = copy_field(source, object, "token_uri", &status);
    if (status == COMRADE_OK && !may_be_told(identity->token_url)) {
        status = REFUSE(source, COMRADE_INVALID,
                        "has a token_uri that is not https://, to which no secret is sent; take "
                        "the file as Google wrote it, with %s",
                        google_token_url);
    }
    return status;
}

static comrade_status read_key(const struct source *source, const json_t *object,
                               struct identity *identity)
{
    comrade_status status = COMRADE_OK;
    char *pem = copy_field(source, object, "private_key", &status);
    if (status == COMRADE_OK) {
        const char *what_is_wrong = NULL;
        identity->key = jwt_key_read(pem, &what_is_wrong);
        if (identity->key == NULL) {
            status = REFUSE(source, COMRADE_INVALID,
                            "is a service account's, but its private_key %s; take the file as "
                            "Google wrote it, or make another key",
                            what_is_wrong);
        }
    }
    secret_free(pem);
    return status;
}

static comrade_status set_name(const struct source *source, const char *what, const char *who,
                               struct identity *identity)
{
    char *name = NULL;
    if (asprintf(&name, "%s%s (%s)", what, who, source->file) < 0) {
        return lack_memory(source->shown_url, source->error);
    }
    identity->name = name;
    return COMRADE_OK;
}

static comrade_status read_service_account(const struct source *source, const json_t *object,
                                           struct identity *identity)
{
    comrade_status status = COMRADE_OK;
    identity->kind = IDENTITY_SERVICE_ACCOUNT;
    identity->email = copy_field(source, object, "client_email", &status);
    if (status == COMRADE_OK && json_object_get(object, "private_key_id") != NULL) {
        identity->key_id = copy_field(source, object, "private_key_id", &status);
    }
    if (status == COMRADE_OK) {
        status = read_key(source, object, identity);
    }
    return status == COMRADE_OK ? set_name(source, "service account ", identity->email, identity)
                                : status;
}

static comrade_status read_user(const struct source *source, const json_t *object,
                                struct identity *identity)
{
    comrade_status status = COMRADE_OK;
    identity->kind = IDENTITY_USER;
    identity->client_id = copy_field(source, object, "client_id", &status);
    identity->client_secret = copy_field(source, object, "client_secret", &status);
    identity->refresh_token = copy_field(source, object, "refresh_token", &status);
    return status == COMRADE_OK ? set_name(source, "gcloud's user", "", identity) : status;
}

bool identity_is_project(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.:");
    return text[len] == '\0' && len > 0 && len <= PROJECT_MAX_BYTES;
}

/* gcloud writes it for users; it counts in a service account's file as well. */
static comrade_status read_quota_project(const struct source *source, const json_t *object,
                                         struct identity *identity)
{
    comrade_status status = COMRADE_OK;
    if (json_object_get(object, "quota_project_id") == NULL) {
        return COMRADE_OK;
    }
    identity->quota_project = copy_field(source, object, "quota_project_id", &status);
    if (status == COMRADE_OK && !identity_is_project(identity->quota_project)) {
        status =
            REFUSE(source, COMRADE_INVALID, "has a quota_project_id that is no id of a project; %s",
                   "set it: gcloud auth application-default set-quota-project PROJECT");
    }
    return status;
}

static comrade_status read_object(const struct source *source, const json_t *object,
                                  struct identity *identity)
{
    const char *type = json_string_value(json_object_get(object, "type"));
    comrade_status status = COMRADE_OK;
    if (type != NULL && strcmp(type, "service_account") == 0) {
        status = read_service_account(source, object, identity);
    } else if (type != NULL && strcmp(type, "authorized_user") == 0) {
        status = read_user(source, object, identity);
    } else if (type != NULL) {
        return REFUSE(source, COMRADE_UNSUPPORTED,
                      "is of the type \"%.60s\"; comrade takes service_account and "
                      "authorized_user, and the metadata server of GCE and GKE; %s",
                      type, hint);
    } else {
        bool is_client =
            json_object_get(object, "installed") != NULL || json_object_get(object, "web") != NULL;
        return REFUSE(source, COMRADE_INVALID, "%s; %s",
                      is_client ? "is an OAuth client, which is nobody's credentials"
                                : "has no type, and is no credentials file",
                      hint);
    }
    if (status == COMRADE_OK) {
        status = read_quota_project(source, object, identity);
    }
    return status == COMRADE_OK ? read_token_url(source, object, identity) : status;
}

comrade_status identity_read(const char *file, const char *origin, const char *shown_url,
                             struct identity *identity, comrade_error *error)
{
    if (strchr(file, '{') != NULL || strstr(file, "PRIVATE KEY") != NULL) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "%s: credentials: what stands for a file (%s) seems to be a key "
                                 "itself; write it to a file that only this user may read, and "
                                 "name that",
                                 shown_url, origin);
    }
    struct source source = {file, origin, shown_url, error};
    struct identity made = {0};
    json_t *object = NULL;
    size_t n_bytes = 0;
    char *bytes = malloc(FILE_MAX_BYTES + 1);
    if (bytes == NULL) {
        return lack_memory(shown_url, error);
    }
    comrade_status status = read_bytes(&source, bytes, &n_bytes);
    if (status == COMRADE_OK) {
        status = parse(&source, bytes, n_bytes, &object);
    }
    if (status == COMRADE_OK) {
        status = read_object(&source, object, &made);
    }
    if (status == COMRADE_OK) {
        identity_finish(identity);
        *identity = made;
    } else {
        identity_finish(&made);
    }
    wipe_strings(object);
    json_decref(object);
    explicit_bzero(bytes, FILE_MAX_BYTES + 1);
    free(bytes);
    return status;
}

comrade_status identity_of_machine(const char *host, const char *shown_url,
                                   struct identity *identity, comrade_error *error)
{
    struct identity made = {.kind = IDENTITY_MACHINE};
    if (asprintf(&made.name, "the metadata server (%s)", host) < 0) {
        made.name = NULL;
    }
    if (made.name == NULL ||
        asprintf(&made.token_url,
                 "http://%s/computeMetadata/v1/instance/service-accounts/default/token",
                 host) < 0) {
        made.token_url = NULL;
        identity_finish(&made);
        return lack_memory(shown_url, error);
    }
    identity_finish(identity);
    *identity = made;
    return COMRADE_OK;
}
