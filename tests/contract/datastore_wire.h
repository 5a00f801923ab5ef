/* A server, and one who asks it, for tests of requests over HTTP. */
#ifndef CONTRACT_DATASTORE_WIRE_H
#define CONTRACT_DATASTORE_WIRE_H

#include "lib/datastore_http.h"
#include "store/datastore/http.h"

enum { SHORT_MS = 400, HANG_MS = 10000 }; /* a loaded machine sends within the one */

struct wire {
    struct http_server *server;
    char url[64];
    struct http *http;
};

extern struct wire wire;

void wire_begin(http_answerer answer, void *user);
void wire_end(void);

/* The body is borrowed. */
struct http_request post_of(const char *body);
void perform(struct http_request *request);
/* Performs it within SHORT_MS, which it must use up. */
void perform_shortly(struct http_request *request);

/* Answerers: one that answers well, one that never answers the first, and an echo (as a 404). */
bool answer_well(struct http_exchange *exchange);
bool be_silent_first(struct http_exchange *exchange);
bool repeat_request(struct http_exchange *exchange);

#endif
