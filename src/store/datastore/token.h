/* One exchange with a server of tokens: what an identity asks, and what comes back. */
#ifndef DATASTORE_TOKEN_H
#define DATASTORE_TOKEN_H

#include "store/datastore/http.h"
#include "store/datastore/identity.h"

/* All zero: nothing was asked. */
struct token_answer {
    char *token;         /* NULL: refused, or no answer; what is below says why */
    int64_t lifetime_ms; /* from when it was asked for */
    long http_status;    /* 0: no answer */
    int64_t date_ms;     /* the server's clock; 0: it did not say */
    char error_name[64]; /* "invalid_grant", or "" */
    char said[256];      /* the server's words, or libcurl's; holds no secret */
};

/*
 * Asks once; `now_s` (since 1970) is what a signed request says of the time. OK: the answer says
 * what came of it. Errors: NO_MEMORY.
 */
comrade_status token_ask(const struct identity *identity, struct http *http,
                         const comrade_call *call, int64_t now_s, struct token_answer *answer);
void token_answer_finish(struct token_answer *answer); /* a finished one is empty */

/* Was a signed request refused for the time it gave, or may it have been? `off_ms` as below. */
bool token_is_about_time(const struct identity *identity, const struct token_answer *answer,
                         int64_t off_ms);
/*
 * What the answer, which has no token, means, and what to do about it. `off_ms`: how far the
 * server's clock is ahead of this machine's; 0: not known. UNAVAILABLE, CANCELED or DENIED.
 */
comrade_status token_explain(const struct identity *identity, const struct token_answer *answer,
                             const comrade_call *call, const char *shown_url, int64_t off_ms,
                             comrade_error *error);

#endif
