/* One request at a time on one of libcurl's easy handles, which is used again and again. */
#ifndef DATASTORE_HTTP_TRANSFER_H
#define DATASTORE_HTTP_TRANSFER_H

#include "store/datastore/http.h"

/* Whose certificates are good beside the system's: see http_new(). */
struct trust {
    char *file;   /* NULL: the system's */
    char *folder; /* NULL: the system's */
};

struct transfer {
    CURL *easy;
    const struct trust *trust;    /* borrowed */
    struct http_request *request; /* borrowed while it is under way; NULL: idle */
    const comrade_call *call;     /* with it */
    struct curl_slist *headers;
    size_t n_given;      /* bytes of the body that libcurl has taken */
    bool has_whole_head; /* the answer's headers have come to their end */
};

/* The trust is borrowed until it is freed. NULL: out of memory. */
struct transfer *transfer_new(const struct trust *trust);
void transfer_free(struct transfer *transfer); /* NULL is fine; not while it is in a multi handle */
/* Makes it ready to be added to a multi handle. False, and idle: out of memory. */
bool transfer_begin(struct transfer *transfer, const comrade_call *call,
                    struct http_request *request);
/* Not in a multi handle any more: what came of it goes into the request. The transfer is idle. */
void transfer_end(struct transfer *transfer, CURLcode code);
/* The same, where `why` it was given up before it was over. */
void transfer_abandon(struct transfer *transfer, const char *why);

#endif
