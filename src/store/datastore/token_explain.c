/*
 * Why there is no token. What a server of tokens says is short and means something else than it
 * says; the table says what, by the words that Google has used for years.
 */
#include "store/datastore/token.h"

#include "base/buffer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TEXT_LIMIT = 1024,
    CLOCK_DOUBT_MS = 60000,
    CLOCK_ALIKE_MS = 5000, /* a Date has whole seconds, and was some time on its way */
};

struct meaning {
    enum identity_kind kind;
    const char *sign; /* in its error's name, or in its words; "": any */
    const char *advice;
};

#define LOG_IN_AGAIN "log in again: gcloud auth application-default login"

/* The first row that fits. To add one: before the more general. */
static const struct meaning meanings[] = {
    {IDENTITY_SERVICE_ACCOUNT, "Invalid JWT Signature",
     "the key was deleted, or is another account's; make another (gcloud iam service-accounts keys "
     "create FILE --iam-account=ACCOUNT) and put it in its place"},
    {IDENTITY_SERVICE_ACCOUNT, "account not found",
     "the service account was deleted; make another, or bring it back: gcloud iam service-accounts "
     "undelete"},
    {IDENTITY_SERVICE_ACCOUNT, "disabled",
     "switch the service account on: gcloud iam service-accounts enable ACCOUNT"},
    {IDENTITY_SERVICE_ACCOUNT, "",
     "see that the key file is as Google wrote it, or make another key"},
    {IDENTITY_USER, "expired or revoked", LOG_IN_AGAIN},
    {IDENTITY_USER, "", LOG_IN_AGAIN},
    {IDENTITY_MACHINE, "",
     "see that this machine has a service account with the scope "
     "https://www.googleapis.com/auth/datastore (gcloud compute instances set-service-account), "
     "and on GKE that the pod's account may act as it (roles/iam.workloadIdentityUser)"},
};

/* A page in HTML, most often: whoever gives tokens has an error's name in JSON, or a line. */
static const char advice_on_others[] =
    "this is not how Google answers: something on the way may have, such as a proxy or a portal; "
    "see HTTPS_PROXY";

static const char *advice_for(const struct identity *identity, const struct token_answer *answer)
{
    if (answer->error_name[0] == '\0' && answer->said[0] == '\0' &&
        identity->kind != IDENTITY_MACHINE) {
        return advice_on_others;
    }
    const struct meaning *meaning = meanings;
    while (meaning->kind != identity->kind || (strstr(answer->error_name, meaning->sign) == NULL &&
                                               strstr(answer->said, meaning->sign) == NULL)) {
        meaning++;
    }
    return meaning->advice;
}

static bool is_passing(long http_status)
{
    return http_status == 0 || http_status == 200 || http_status == 408 || http_status == 429 ||
           http_status >= 500;
}

static bool is_refused_for_time(const struct identity *identity, const struct token_answer *answer)
{
    return identity->kind == IDENTITY_SERVICE_ACCOUNT && !is_passing(answer->http_status) &&
           (strstr(answer->said, "timeframe") != NULL ||
            strstr(answer->said, "short-lived") != NULL || strstr(answer->said, " iat ") != NULL);
}

bool token_is_about_time(const struct identity *identity, const struct token_answer *answer,
                         int64_t off_ms)
{
    return is_refused_for_time(identity, answer) ||
           (identity->kind == IDENTITY_SERVICE_ACCOUNT && !is_passing(answer->http_status) &&
            llabs(off_ms) > CLOCK_DOUBT_MS);
}

static void append_duration(struct buffer *out, int64_t seconds)
{
    if (seconds >= 2 * 86400) {
        buffer_append_format(out, "%lld days", (long long)seconds / 86400);
    } else if (seconds >= 3600) {
        buffer_append_format(out, "%lld h %lld min", (long long)seconds / 3600,
                             (long long)seconds % 3600 / 60);
    } else if (seconds >= 60) {
        buffer_append_format(out, "%lld min", (long long)seconds / 60);
    } else {
        buffer_append_format(out, "%lld s", (long long)seconds);
    }
}

static void append_clock(struct buffer *out, int64_t off_ms)
{
    if (llabs(off_ms) < CLOCK_ALIKE_MS) {
        buffer_append_text(out, "; see that this machine's clock is right (NTP)");
        return;
    }
    buffer_append_text(out, "; this machine's clock is ");
    append_duration(out, llabs(off_ms) / 1000);
    buffer_append_format(out, " %s the server's: set it (NTP)", off_ms > 0 ? "behind" : "ahead of");
}

/* "400 invalid_grant: Invalid JWT Signature." */
static void append_said(struct buffer *out, const struct token_answer *answer)
{
    if (answer->http_status != 0 && answer->http_status != 200) {
        buffer_append_format(out, "it said %ld%s%s%s", answer->http_status,
                             answer->error_name[0] == '\0' ? "" : " ", answer->error_name,
                             answer->said[0] == '\0' ? "" : ": ");
    }
    buffer_append_text(out, answer->said);
    while (out->len > 0 && strchr(". \r\n", out->bytes[out->len - 1]) != NULL) {
        out->bytes[--out->len] = '\0';
    }
}

comrade_status token_explain(const struct identity *identity, const struct token_answer *answer,
                             const comrade_call *call, const char *shown_url, int64_t off_ms,
                             comrade_error *error)
{
    bool is_cancelled = answer->http_status == 0 && comrade_call_is_over(call) &&
                        call->now_ms(call->clock) < call->deadline_ms;
    comrade_status status = is_cancelled                      ? COMRADE_CANCELED
                            : is_passing(answer->http_status) ? COMRADE_UNAVAILABLE
                                                              : COMRADE_DENIED;
    struct buffer text;
    buffer_init(&text, TEXT_LIMIT);
    append_said(&text, answer);
    if (status == COMRADE_DENIED && token_is_about_time(identity, answer, off_ms)) {
        append_clock(&text, off_ms);
    }
    if (status == COMRADE_DENIED && !is_refused_for_time(identity, answer)) {
        buffer_append_format(&text, "; %s", advice_for(identity, answer));
    }
    comrade_error_set(error, status, "%s: credentials: asked %s for a token as %s: %s", shown_url,
                      identity->token_url, identity->name, buffer_text(&text));
    buffer_finish(&text);
    return status;
}
