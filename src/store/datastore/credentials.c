/*
 * Where credentials are found, and the token that we hold.
 *
 * The token's end is counted by the monotonic clock, from before it was asked for: this machine's
 * idea of the time of day may be wrong, and may change. A signed request has to give the time of
 * day; where the server refuses it for that, it is made again with the server's own time.
 *
 * A file is read again for each new token, so that a key may be replaced while we run. One that is
 * gone then, or is not whole, is passed over: what was read of it before may still be good.
 */
#include "store/datastore/credentials.h"

#include "store/datastore/identity.h"
#include "store/datastore/secret.h"
#include "store/datastore/token.h"

#include <stdio.h>
#include <unistd.h>

enum {
    RENEW_AHEAD_MS = 5 * 60 * 1000,
    RENEW_PAUSE_MS = 30 * 1000, /* between attempts, while the old one is good */
    SPARE_MS = 10 * 1000,       /* what a request may take on its way */
    NEWS_MS = 5 * 1000,         /* a server's clock that differs less was known */
};

static const char default_host[] = "metadata.google.internal";

struct credentials {
    const char *shown_url; /* borrowed */
    const char *origin;    /* a constant */
    char *file;            /* NULL: the machine's */
    char *quota_project;   /* that the environment names; NULL: it does not */
    struct identity identity;
    char *token; /* NULL: none */
    int64_t end_ms;
    int64_t next_ms;  /* no attempt before, while the token is good */
    int64_t ahead_ms; /* the server's clock, of this machine's; 0: as far as we know */
    bool has_asked;
    bool has_answered;
};

/* --- Where they are ----------------------------------------------------------------------------
 */

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value == NULL || value[0] == '\0' ? NULL : value;
}

/* The file that the gcloud tool writes; *file stays NULL where there is none. */
static comrade_status find_default(char **file)
{
    const char *folder = environment("CLOUDSDK_CONFIG");
    const char *home = environment("HOME");
    if (folder == NULL && home == NULL) {
        return COMRADE_OK;
    }
    char *path = NULL;
    if (asprintf(&path, "%s%s/application_default_credentials.json", folder == NULL ? home : folder,
                 folder == NULL ? "/.config/gcloud" : "") < 0) {
        return COMRADE_NO_MEMORY;
    }
    if (access(path, F_OK) == 0) {
        *file = path;
    } else {
        free(path);
    }
    return COMRADE_OK;
}

static comrade_status find_file(const char *file, struct credentials *credentials)
{
    const char *named = file != NULL ? file : environment("GOOGLE_APPLICATION_CREDENTIALS");
    if (named != NULL) {
        credentials->origin =
            file != NULL ? "named by the URL" : "named by GOOGLE_APPLICATION_CREDENTIALS";
        credentials->file = strdup(named);
        return credentials->file == NULL ? COMRADE_NO_MEMORY : COMRADE_OK;
    }
    credentials->origin = "of the gcloud tool";
    return find_default(&credentials->file);
}

static comrade_status find_quota_project(struct credentials *credentials, comrade_error *error)
{
    const char *named = environment("GOOGLE_CLOUD_QUOTA_PROJECT");
    if (named == NULL) {
        return COMRADE_OK;
    }
    if (!identity_is_project(named)) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "%s: credentials: GOOGLE_CLOUD_QUOTA_PROJECT is \"%s\", which is "
                                 "no id of a project; correct it, or unset it",
                                 credentials->shown_url, named);
    }
    credentials->quota_project = strdup(named);
    return credentials->quota_project != NULL
               ? COMRADE_OK
               : comrade_error_set(error, COMRADE_NO_MEMORY, "%s: credentials: out of memory",
                                   credentials->shown_url);
}

comrade_status credentials_new(const char *file, const char *shown_url,
                               struct credentials **credentials, comrade_error *error)
{
    struct credentials *made = calloc(1, sizeof *made);
    if (made == NULL || find_file(file, made) != COMRADE_OK) {
        credentials_free(made);
        return comrade_error_set(error, COMRADE_NO_MEMORY, "%s: credentials: out of memory",
                                 shown_url);
    }
    made->shown_url = shown_url;
    const char *host = environment("GCE_METADATA_HOST");
    comrade_status status =
        made->file == NULL
            ? identity_of_machine(host == NULL ? default_host : host, shown_url, &made->identity,
                                  error)
            : identity_read(made->file, made->origin, shown_url, &made->identity, error);
    if (status == COMRADE_OK) {
        status = find_quota_project(made, error);
    }
    if (status == COMRADE_OK) {
        *credentials = made;
    } else {
        credentials_free(made);
    }
    return status;
}

void credentials_free(struct credentials *credentials)
{
    if (credentials == NULL) {
        return;
    }
    identity_finish(&credentials->identity);
    secret_free(credentials->token);
    free(credentials->file);
    free(credentials->quota_project);
    free(credentials);
}

const char *credentials_quota_project(const struct credentials *credentials)
{
    return credentials->quota_project != NULL ? credentials->quota_project
                                              : credentials->identity.quota_project;
}

const char *credentials_name(const struct credentials *credentials)
{
    return credentials->identity.name;
}

void credentials_forget(struct credentials *credentials)
{
    secret_free(credentials->token);
    credentials->token = NULL;
}

/* --- The token ---------------------------------------------------------------------------------
 */

static comrade_status ask(struct credentials *credentials, struct http *http,
                          const comrade_call *call, int64_t wall_ms, struct token_answer *answer)
{
    credentials->has_asked = true;
    comrade_status status = token_ask(&credentials->identity, http, call,
                                      (wall_ms + credentials->ahead_ms) / 1000, answer);
    credentials->has_answered = credentials->has_answered || answer->http_status != 0;
    return status;
}

/* Nobody is where a machine of Google's would have its metadata server. */
static comrade_status explain_none(const struct credentials *credentials,
                                   const struct token_answer *answer, comrade_error *error)
{
    return comrade_error_set(
        error, COMRADE_UNAVAILABLE,
        "%s: no credentials: the URL names no file, GOOGLE_APPLICATION_CREDENTIALS is not set, "
        "gcloud has none for applications, and %s does not answer (%s), so this seems to be no "
        "machine of Google's; set GOOGLE_APPLICATION_CREDENTIALS to a service account's key file, "
        "or run: gcloud auth application-default login",
        credentials->shown_url, credentials->identity.name, answer->said);
}

static comrade_status explain(const struct credentials *credentials,
                              const struct token_answer *answer, const comrade_call *call,
                              int64_t off_ms, comrade_error *error)
{
    if (credentials->identity.kind == IDENTITY_MACHINE && !credentials->has_answered &&
        !comrade_call_is_over(call)) {
        return explain_none(credentials, answer, error);
    }
    return token_explain(&credentials->identity, answer, call, credentials->shown_url, off_ms,
                         error);
}

static void take_token(struct credentials *credentials, struct token_answer *answer,
                       int64_t begin_ms)
{
    secret_free(credentials->token);
    credentials->token = answer->token;
    credentials->end_ms = begin_ms + answer->lifetime_ms;
    answer->token = NULL;
}

/* What was read before stays, where the file will not do any more. Errors: NO_MEMORY. */
static comrade_status read_again(struct credentials *credentials)
{
    if (credentials->file == NULL || !credentials->has_asked) {
        return COMRADE_OK;
    }
    comrade_status status = identity_read(credentials->file, credentials->origin,
                                          credentials->shown_url, &credentials->identity, NULL);
    return status == COMRADE_NO_MEMORY ? status : COMRADE_OK;
}

/* Once, and once more by the server's clock where ours was refused. */
static comrade_status ask_by_either_clock(struct credentials *credentials, struct http *http,
                                          const comrade_call *call, int64_t wall_ms,
                                          struct token_answer *answer, int64_t *off_ms)
{
    int64_t begin_ms = call->now_ms(call->clock);
    comrade_status status = ask(credentials, http, call, wall_ms, answer);
    if (status != COMRADE_OK || answer->token != NULL || answer->date_ms == 0) {
        return status;
    }
    int64_t now_wall_ms = wall_ms + call->now_ms(call->clock) - begin_ms;
    *off_ms = answer->date_ms - now_wall_ms;
    bool is_news = llabs(*off_ms - credentials->ahead_ms) >= NEWS_MS;
    if (!is_news || !token_is_about_time(&credentials->identity, answer, *off_ms)) {
        return status;
    }
    credentials->ahead_ms = *off_ms;
    token_answer_finish(answer);
    return ask(credentials, http, call, now_wall_ms, answer);
}

static comrade_status renew(struct credentials *credentials, struct http *http,
                            const comrade_call *call, int64_t wall_ms, comrade_error *error)
{
    int64_t begin_ms = call->now_ms(call->clock);
    int64_t off_ms = 0;
    struct token_answer answer = {0};
    comrade_status status = read_again(credentials);
    if (status == COMRADE_OK) {
        status = ask_by_either_clock(credentials, http, call, wall_ms, &answer, &off_ms);
    }
    if (status != COMRADE_OK) {
        comrade_error_set(error, status, "%s: credentials: out of memory", credentials->shown_url);
    } else if (answer.token == NULL) {
        status = explain(credentials, &answer, call, off_ms, error);
    } else {
        take_token(credentials, &answer, begin_ms);
    }
    token_answer_finish(&answer);
    return status;
}

/* A renewal that has time must not cost a call its own: a third of what is left will do. */
static comrade_call share_of(const comrade_call *call, int64_t now_ms)
{
    comrade_call share = *call;
    share.deadline_ms = now_ms + (call->deadline_ms - now_ms) / 3;
    return share;
}

comrade_status credentials_token(struct credentials *credentials, struct http *http,
                                 const comrade_call *call, int64_t wall_ms, const char **token,
                                 comrade_error *error)
{
    int64_t now_ms = call->now_ms(call->clock);
    bool is_good = credentials->token != NULL && now_ms < credentials->end_ms - SPARE_MS;
    bool is_due = now_ms >= credentials->end_ms - RENEW_AHEAD_MS && now_ms >= credentials->next_ms;
    comrade_status status = COMRADE_OK;
    if (!is_good) {
        status = renew(credentials, http, call, wall_ms, error);
    } else if (is_due) {
        comrade_call share = share_of(call, now_ms);
        renew(credentials, http, &share, wall_ms, NULL); /* it will be tried again */
    }
    if (!is_good || is_due) {
        credentials->next_ms = now_ms + RENEW_PAUSE_MS;
    }
    if (status == COMRADE_OK) {
        *token = credentials->token;
    }
    return status;
}
