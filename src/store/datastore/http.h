/*
 * Requests over HTTP, several at a time, each call within its bounds. A multi handle of libcurl's
 * and the connections that it keeps; one thread uses it. Answers are held in memory, up to a limit.
 */
#ifndef DATASTORE_HTTP_H
#define DATASTORE_HTTP_H

#include "base/buffer.h"

#include <comrade/store.h>
#include <curl/curl.h>

/* The longest answer: a page of the largest records comes to less. */
enum { HTTP_ANSWER_LIMIT = 64 * 1024 * 1024 };

struct http;

/* Until http_request_finish(): asked for by the caller, and what came of it. */
struct http_request {
    const char *url; /* borrowed, as all that is asked */
    /* NULL: a GET. Else a POST of it. */
    const char *body;
    size_t body_len;
    const char *content_type;
    const char *const *headers; /* whole lines, "Name: value" */
    size_t n_headers;
    int64_t connect_ms; /* how long connecting may take; 0: as long as the call */
    bool is_direct;     /* through no proxy, whatever the environment says of one */
    bool is_repeatable; /* a read: goes out again where a kept connection had been closed */

    long status;           /* of the answer; 0: there is no whole one, and `failure` says why */
    bool may_be_done;      /* without an answer: the server may have seen the whole POST */
    bool is_out_of_memory; /* without an answer: that is why */
    int64_t sent_ms;       /* a POST's last byte went out; by the call's clock, as the next */
    int64_t answered_ms;   /* its answer began */
    int64_t date_ms;       /* the answer's Date, since 1970; 0: none */
    struct buffer answer;
    char failure[CURL_ERROR_SIZE]; /* may hold the host's name, never a header */
};

/*
 * Servers are believed that the environment's SSL_CERT_FILE and SSL_CERT_DIR vouch for, as OpenSSL
 * reads them; what is not set is the system's. NULL: out of memory.
 */
struct http *http_new(void);
/* Waits for nothing. NULL is fine. */
void http_free(struct http *http);
/*
 * Performs all of them, at most `n_in_flight` at once, and returns when each is done, or the call
 * is over; those that are not done then have no answer. OK: every request says for itself what came
 * of it. Else NO_MEMORY, and nothing was sent.
 */
comrade_status http_perform(struct http *http, const comrade_call *call,
                            struct http_request *requests, size_t n_requests, size_t n_in_flight);
/* Frees the answer. May be called again. */
void http_request_finish(struct http_request *request);

#endif
