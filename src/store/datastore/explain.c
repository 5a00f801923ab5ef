/*
 * What a failure means to the one who gave the URL, and what he can do. Google is believed about
 * its status and the reason beside it; its words are shown, and looked at only where neither tells
 * enough.
 */
#include "store/datastore/internal.h"

#include "base/text.h"

#include <string.h>

enum { TEXT_LIMIT = 1024 };

struct meaning {
    const char *status_name; /* Google's */
    const char *sign;        /* in its reason or its words; "": any */
    comrade_status status;
    bool is_undone;     /* sure to have changed nothing */
    const char *advice; /* %P, %D and %A stand for the project, the database and who asked */
};

/* The first row that fits. To add one: before the more general. */
static const struct meaning meanings[] = {
    {"PERMISSION_DENIED", "requires a quota project", COMRADE_DENIED, true,
     "gcloud auth application-default set-quota-project %P, or set GOOGLE_CLOUD_QUOTA_PROJECT=%P"},
    {"PERMISSION_DENIED", "USER_PROJECT_DENIED", COMRADE_DENIED, true,
     "another project is to pay (GOOGLE_CLOUD_QUOTA_PROJECT, or quota_project_id in the "
     "credentials "
     "file); grant roles/serviceusage.serviceUsageConsumer there, or name %P"},
    {"PERMISSION_DENIED", "SERVICE_DISABLED", COMRADE_DENIED, true,
     "switch the API on: gcloud services enable datastore.googleapis.com --project=%P"},
    {"PERMISSION_DENIED", "has not been used in project", COMRADE_DENIED, true,
     "switch the API on: gcloud services enable datastore.googleapis.com --project=%P"},
    {"PERMISSION_DENIED", "BILLING_DISABLED", COMRADE_DENIED, true,
     "switch billing on for the project %P"},
    {"PERMISSION_DENIED", "SCOPE", COMRADE_DENIED, true,
     "the token does not cover Datastore; give the machine the scope "
     "https://www.googleapis.com/auth/datastore"},
    {"PERMISSION_DENIED", "", COMRADE_DENIED, true,
     "asked as %A: grant the role roles/datastore.user in the project %P, and see that the project "
     "is the right one"},
    {"UNAUTHENTICATED", "", COMRADE_DENIED, true,
     "asked as %A: the token was refused, and so was a new one; the key may have been deleted: "
     "make another, and see that this machine's clock is right"},
    {"NOT_FOUND", "", COMRADE_UNAVAILABLE, true,
     "see that the project %P is the right one and has the database %D; gcloud firestore databases "
     "create --project=%P --database='%D' --type=datastore-mode --location=REGION makes it"},
    {"FAILED_PRECONDITION", "no matching index", COMRADE_UNAVAILABLE, true,
     "Comrade needs the built-in indexes of \"role\" and \"alive\" only; see that none of them is "
     "switched off for this kind"},
    {"FAILED_PRECONDITION", "Native", COMRADE_UNAVAILABLE, true,
     "the database %D is in Firestore's native mode; name one in Datastore mode in the URL "
     "(datastore://%P/DATABASE), or make one: gcloud firestore databases create --project=%P "
     "--type=datastore-mode --location=REGION --database=NAME"},
    {"FAILED_PRECONDITION", "", COMRADE_UNAVAILABLE, true, "see the project's console"},
    {"RESOURCE_EXHAUSTED", "", COMRADE_UNAVAILABLE, true,
     "a quota is used up; see Quotas of the Datastore API in the console of the project %P"},
    {"ABORTED", "", COMRADE_UNAVAILABLE, true,
     "it collided with others again and again, and nothing was done"},
    {"ALREADY_EXISTS", "", COMRADE_UNAVAILABLE, true, "it collided with others"},
    {"INVALID_ARGUMENT", "", COMRADE_INVALID, true, NULL},
    {"UNIMPLEMENTED", "", COMRADE_UNSUPPORTED, true,
     "this server is no Datastore, or an older one"},
    {"", "", COMRADE_UNAVAILABLE, false, NULL},
};

/* Of a server that was asked without a token: it is no emulator after all. */
static const char advice_without_token[] =
    "asked without credentials, as an emulator is (DATASTORE_EMULATOR_HOST is set, or the URL's "
    "endpoint is http:): unset the variable, or name a file in the URL (credentials=FILE)";
/* Whatever is no object of the API's: a page in HTML, most often. */
static const char advice_on_others[] =
    "this is not how Datastore answers: something on the way may have, such as a proxy or a "
    "portal; see HTTPS_PROXY, and the URL's endpoint";

static const struct meaning *find_meaning(const struct api_request *request)
{
    const struct meaning *meaning = meanings;
    for (;; meaning++) {
        bool is_it = meaning->status_name[0] == '\0' ||
                     strcmp(meaning->status_name, request->status_name) == 0;
        if (is_it && (strstr(request->reason, meaning->sign) != NULL ||
                      strstr(request->said, meaning->sign) != NULL)) {
            return meaning;
        }
    }
}

/* NULL: there is none. */
static const char *advice_for(const comrade_store *store, const struct api_request *request,
                              const struct meaning *meaning)
{
    if (request->code == API_NONE || meaning->status_name[0] == '\0') {
        return request->is_of_others ? advice_on_others : meaning->advice;
    }
    bool is_let_in =
        store->credentials != NULL || strcmp(meaning->status_name, "UNAUTHENTICATED") != 0;
    return is_let_in ? meaning->advice : advice_without_token;
}

static void append_advice(struct buffer *out, const comrade_store *store, const char *advice)
{
    for (const char *at = advice; *at != '\0'; at++) {
        if (strncmp(at, "%P", 2) == 0) {
            buffer_append_text(out, store->place.project);
            at++;
        } else if (strncmp(at, "%D", 2) == 0) {
            const char *database = store->place.database;
            buffer_append_text(out, database[0] == '\0' ? "(default)" : database);
            at++;
        } else if (strncmp(at, "%A", 2) == 0) {
            buffer_append_text(
                out, store->credentials == NULL ? "nobody" : credentials_name(store->credentials));
            at++;
        } else {
            buffer_append(out, at, 1);
        }
    }
}

/* What follows goes on with "; ". */
static size_t len_without_stop(const char *said)
{
    size_t len = strlen(said);
    while (len > 0 && strchr(". \r\n", said[len - 1]) != NULL) {
        len--;
    }
    return len;
}

/* "429 RESOURCE_EXHAUSTED: Quota exceeded …" */
static void append_said(struct buffer *out, const comrade_store *store,
                        const struct api_request *request)
{
    if (request->code == API_NONE) {
        buffer_append_text(out, request->said);
        if (store->place.is_emulator) {
            buffer_append_text(out,
                               "; an emulator is expected there (by DATASTORE_EMULATOR_HOST, or "
                               "the URL's endpoint)");
        }
        return;
    }
    buffer_append_format(out, "the server said %ld", request->http_status);
    if (request->status_name[0] != '\0') {
        buffer_append_format(out, " %s", request->status_name);
    }
    if (request->said[0] != '\0') {
        buffer_append_text(out, ": ");
        buffer_append(out, request->said, len_without_stop(request->said));
    }
}

static comrade_status explain_over(const comrade_store *store, const comrade_call *call,
                                   const char *what, bool may_be_done, comrade_error *error)
{
    bool is_late = call->now_ms(call->clock) >= call->deadline_ms;
    comrade_status status = may_be_done ? COMRADE_UNKNOWN
                            : is_late   ? COMRADE_UNAVAILABLE
                                        : COMRADE_CANCELED;
    return comrade_error_set(error, status, "%s: %s: %s", store->shown_url, what,
                             is_late ? "the server did not answer in time" : "cancelled");
}

comrade_status datastore_explain(const comrade_store *store, const comrade_call *call,
                                 const char *what, bool is_write, const struct api_request *request,
                                 comrade_error *error)
{
    const struct meaning *meaning = find_meaning(request);
    bool may_be_done = is_write && request->may_be_done && !meaning->is_undone;
    if (request->code == API_NONE && comrade_call_is_over(call)) {
        return explain_over(store, call, what, may_be_done, error);
    }
    if (request->is_out_of_memory && !may_be_done) {
        return datastore_no_memory(store, what, error);
    }
    struct buffer text;
    buffer_init(&text, TEXT_LIMIT);
    append_said(&text, store, request);
    const char *advice = advice_for(store, request, meaning);
    if (advice != NULL) {
        buffer_append_text(&text, "; ");
        append_advice(&text, store, advice);
    }
    if (text.is_failed && !may_be_done) {
        buffer_finish(&text);
        return datastore_no_memory(store, what, error);
    }
    comrade_status status = comrade_error_set(
        error, may_be_done ? COMRADE_UNKNOWN : meaning->status, "%s: %s: %s%s", store->shown_url,
        what, buffer_text(&text), may_be_done ? "; it may have been applied" : "");
    buffer_finish(&text);
    return status;
}

comrade_status datastore_no_memory(const comrade_store *store, const char *what,
                                   comrade_error *error)
{
    return comrade_error_set(error, COMRADE_NO_MEMORY, "%s: %s: out of memory", store->shown_url,
                             what);
}
