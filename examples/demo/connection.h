/*
 * One HTTP connection of the load: at most one request at a time, never repeated, on a non-blocking
 * socket that the caller watches with epoll. Whatever is not a whole answer with status 200 is a
 * failure, and says which.
 */
#ifndef DEMO_CONNECTION_H
#define DEMO_CONNECTION_H

#include <http_parser.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TEXT_SIZE = 160 };

/* Where a member can be reached, as it says itself. */
struct target {
    char id[TEXT_SIZE];
    char ip[TEXT_SIZE];
    char port[16];
};

enum connection_state {
    CONNECTION_BUSY,     /* a request is under way */
    CONNECTION_ANSWERED, /* the answer is there; next: connection_request() or close */
    CONNECTION_IDLE,     /* kept alive */
    CONNECTION_FAILED,   /* `failure` says why */
    CONNECTION_OVER,     /* closed by the server while nothing was under way: no failure */
};

struct connection {
    struct connection *next;
    struct target target;
    enum connection_state state;
    bool is_kept;
    bool is_slow;
    bool is_first; /* of this connection's requests */
    int fd;
    int connect_error;
    int64_t deadline_ms; /* of the request under way */
    const char *failure;
    char request[512];
    size_t request_len;
    size_t n_sent;
    bool is_complete;
    http_parser parser;
};

/* Begins to connect. NULL: out of memory or of descriptors. A refusal is told by connection_step().
 */
struct connection *connection_open(const struct target *target, bool is_kept);
void connection_close(struct connection *connection); /* and frees it; NULL accepted */
/* Begins a request on a new or an idle connection. `what` is "/" or "/slow". */
void connection_request(struct connection *connection, const char *what, int64_t deadline_ms);
/* Does what can be done without waiting, and moves the state. `events` are epoll's. */
void connection_step(struct connection *connection, uint32_t events);
/* Which events does it wait for? */
uint32_t connection_events(const struct connection *connection);

#endif
