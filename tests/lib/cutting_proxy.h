/*
 * A proxy between a PostgreSQL client and its server that cuts or freezes connections where a test
 * says. One thread of the test's process, on a free loopback port. It follows the protocol far
 * enough to know where a request ends (Sync, or a simple query) and where its answer does
 * (ReadyForQuery). TLS is declined.
 *
 * Every function may be called from any thread, and has had its effect when it returns: no byte
 * passes against it. Whatever the proxy itself cannot do ends the program.
 */
#ifndef TESTS_LIB_CUTTING_PROXY_H
#define TESTS_LIB_CUTTING_PROXY_H

#include <stdbool.h>
#include <stddef.h>

struct cutting_proxy;

/* Forwards to 127.0.0.1:target_port, which need not be up. */
struct cutting_proxy *cutting_proxy_start(int target_port);
/* Closes all of its connections. NULL is fine. */
void cutting_proxy_stop(struct cutting_proxy *proxy);
int cutting_proxy_port(const struct cutting_proxy *proxy);
/* The URL with the proxy's port for its own: scheme://user@127.0.0.1:PORT/… */
void cutting_proxy_url(const struct cutting_proxy *proxy, const char *url, char *through,
                       size_t size);

/* --- At a chosen request ---------------------------------------------------------------------- */

/* Where in a request and its answer. What the server has answered, it has done. */
enum cut_point {
    CUT_REQUEST_UNSENT,   /* the server hears nothing of it */
    CUT_REQUEST_HALF,     /* … the first half of its bytes */
    CUT_REQUEST_UNSYNCED, /* … all but the Sync: done, and not answered. Not of a simple query */
    CUT_REQUEST_SENT,     /* … all; whether it is done before the server notices is a race */
    CUT_ANSWER_UNSENT,    /* done, and the client hears nothing of it */
    CUT_ANSWER_HALF,
    CUT_ANSWER_SENT,
};

enum cut_how {
    CUT_RST,  /* the client's side is reset */
    CUT_FIN,  /* … closed */
    CUT_HOLD, /* both sides stay open, and nothing passes either way until cutting_proxy_release */
};

struct cut {
    enum cut_point at;
    enum cut_how how;
    /* Only requests that have these bytes in them; NULL: any. Of a prepared statement that is
       executed again, the request has the name and not the text. */
    const char *containing;
    int nth;           /* the how-manieth of them from now on; 0: 1 */
    int times;         /* and how many more that follow it; 0: none */
    bool is_login;     /* the connection's start-up, and no other request */
    bool keeps_server; /* the server is not told: its side stays open, as if our machine was gone */
};

/* Adds a cut; borrowed `containing` must live until it has happened. At most 8 wait at a time. */
void cutting_proxy_cut(struct cutting_proxy *proxy, const struct cut *cut);
/* Forgets those that have not happened yet. */
void cutting_proxy_forget_cuts(struct cutting_proxy *proxy);
/* Waits until n cuts have happened since the start; false after a minute. */
bool cutting_proxy_await_cuts(struct cutting_proxy *proxy, int n);

/* --- At once ---------------------------------------------------------------------------------- */

/* All connections, those of before and those that come, until release. Half-open is one of them. */
enum {
    HOLD_REQUESTS = 1, /* towards the server */
    HOLD_ANSWERS = 2,  /* towards the client */
};
void cutting_proxy_hold(struct cutting_proxy *proxy, unsigned directions);
/* What was held goes on, as if it had been slow. */
void cutting_proxy_release(struct cutting_proxy *proxy);
/* Cuts all connections there are, and closes what keeps_server kept. `how` is not CUT_HOLD. */
void cutting_proxy_cut_all(struct cutting_proxy *proxy, enum cut_how how);
/* New connections are refused, or let in again. */
void cutting_proxy_refuse(struct cutting_proxy *proxy, bool is_refusing);
/* Where connections that come from now on go: another server, after a failover. */
void cutting_proxy_set_target(struct cutting_proxy *proxy, int target_port);

/* --- Counting --------------------------------------------------------------------------------- */

struct cutting_counts {
    int n_open;        /* connections now */
    int n_connections; /* accepted since the start or the last reset, as all that follows */
    int n_logins;      /* of them, those that the server let in */
    int n_requests;    /* the client's Syncs and simple queries */
    int n_turns;       /* times that the client spoke and then waited: round trips */
    int n_cancels;     /* cancel requests, which come by connections of their own */
    int n_cuts;        /* never reset */
    long long n_request_bytes;
    long long n_answer_bytes;
};

struct cutting_counts cutting_proxy_counts(struct cutting_proxy *proxy);
void cutting_proxy_reset_counts(struct cutting_proxy *proxy);

#endif
