/*
 * What one connection through the cutting proxy has said: bytes in, bytes out, and the verdict when
 * a chosen request has come as far as it may. Does no I/O.
 */
#ifndef TESTS_LIB_CUTTING_STREAM_H
#define TESTS_LIB_CUTTING_STREAM_H

#include "base/buffer.h"
#include "lib/cutting_proxy.h"

/* Decides over a request: whether it is to be cut, and then how. */
typedef bool cutting_judge(void *user, const char *bytes, size_t len, bool is_login,
                           struct cut *cut);

struct cutting_stream {
    struct buffer from_client; /* not judged yet */
    struct buffer from_server;
    struct buffer to_server; /* to be sent */
    struct buffer to_client;
    struct buffer held_to_server; /* to be sent when the connection is released */
    struct buffer held_to_client;
    size_t n_scanned;    /* bytes of from_client whose messages have been looked at */
    int n_awaited;       /* requests without an answer */
    int n_before;        /* of them, those before the one to be cut */
    bool has_started;    /* the start-up message has come */
    bool is_client_turn; /* the client spoke last */
    bool is_chosen;      /* the answer to be cut is under way */
    bool is_cut;         /* nothing more is to be read; done when the outs are sent */
    struct cut cut;      /* if is_chosen or is_cut */
    struct cutting_counts *counts;
    cutting_judge *judge;
    void *user;
};

void cutting_stream_init(struct cutting_stream *stream, struct cutting_counts *counts,
                         cutting_judge *judge, void *user);
void cutting_stream_finish(struct cutting_stream *stream);
/* Moves what has come from in to out. False: out of memory, or no PostgreSQL protocol. */
bool cutting_stream_advance(struct cutting_stream *stream);
/* After a hold: what was kept may go. */
bool cutting_stream_release(struct cutting_stream *stream);

#endif
