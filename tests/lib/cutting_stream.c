/*
 * The frontend/backend protocol, as far as its framing: a message is a type byte and a length, but
 * for the client's first, which has no type. Requests are judged whole, so that "before the
 * request" means before its first byte; they are forwarded when their last message, a Sync or a
 * simple query, is there.
 */
#include "lib/cutting_stream.h"

#include <stdint.h>
#include <string.h>

enum {
    BUFFER_LIMIT = 256 * 1024 * 1024,
    SYNC_LEN = 5,
    CODE_CANCEL = 80877102,
    CODE_TLS = 80877103,
    CODE_GSSAPI = 80877104,
};

void cutting_stream_init(struct cutting_stream *stream, struct cutting_counts *counts,
                         cutting_judge *judge, void *user)
{
    *stream = (struct cutting_stream){.counts = counts, .judge = judge, .user = user};
    buffer_init(&stream->from_client, BUFFER_LIMIT);
    buffer_init(&stream->from_server, BUFFER_LIMIT);
    buffer_init(&stream->to_server, BUFFER_LIMIT);
    buffer_init(&stream->to_client, BUFFER_LIMIT);
    buffer_init(&stream->held_to_server, BUFFER_LIMIT);
    buffer_init(&stream->held_to_client, BUFFER_LIMIT);
}

void cutting_stream_finish(struct cutting_stream *stream)
{
    buffer_finish(&stream->from_client);
    buffer_finish(&stream->from_server);
    buffer_finish(&stream->to_server);
    buffer_finish(&stream->to_client);
    buffer_finish(&stream->held_to_server);
    buffer_finish(&stream->held_to_client);
}

/* --- Bytes ------------------------------------------------------------------------------------ */

static uint32_t number_at(const char *bytes)
{
    const unsigned char *at = (const unsigned char *)bytes;
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The length of the message at `from`, with its type byte; 0: it is not all there. */
static size_t message_len(const struct buffer *buf, size_t from, bool has_type)
{
    size_t type_len = has_type ? 1 : 0;
    if (buf->len < from + type_len + 4) {
        return 0;
    }
    size_t len = type_len + number_at(buf->bytes + from + type_len);
    return buf->len < from + len ? 0 : len;
}

static void drop(struct buffer *buf, size_t len)
{
    memmove(buf->bytes, buf->bytes + len, buf->len - len);
    buf->len -= len;
}

/* The first `now` of `len` bytes go at once; the rest waits for a release that may never come. */
static bool move(struct buffer *from, size_t len, size_t now, struct buffer *to,
                 struct buffer *held)
{
    if (len == 0) {
        return true;
    }
    bool is_done =
        buffer_append(to, from->bytes, now) && buffer_append(held, from->bytes + now, len - now);
    drop(from, len);
    return is_done;
}

/* --- Requests --------------------------------------------------------------------------------- */

static size_t part_of_request(enum cut_point at, size_t len)
{
    switch (at) {
    case CUT_REQUEST_UNSENT:
        return 0;
    case CUT_REQUEST_HALF:
        return len / 2;
    case CUT_REQUEST_UNSYNCED:
        return len - SYNC_LEN;
    case CUT_REQUEST_SENT:
    case CUT_ANSWER_UNSENT:
    case CUT_ANSWER_HALF:
    case CUT_ANSWER_SENT:
        return len;
    }
    return len;
}

static size_t part_of_answer(enum cut_point at, size_t len)
{
    switch (at) {
    case CUT_ANSWER_HALF:
        return len / 2;
    case CUT_ANSWER_SENT:
        return len;
    case CUT_REQUEST_UNSENT:
    case CUT_REQUEST_HALF:
    case CUT_REQUEST_UNSYNCED:
    case CUT_REQUEST_SENT:
    case CUT_ANSWER_UNSENT:
        return 0;
    }
    return 0;
}

static void note_turn(struct cutting_stream *stream)
{
    if (!stream->is_client_turn) {
        stream->counts->n_turns++;
        stream->is_client_turn = true;
    }
}

/* What has been scanned is a whole request. */
static bool forward_request(struct cutting_stream *stream, bool is_login)
{
    struct cut cut;
    size_t len = stream->n_scanned;
    size_t now = len;
    stream->counts->n_requests += is_login ? 0 : 1;
    note_turn(stream);
    if (!stream->is_chosen &&
        stream->judge(stream->user, stream->from_client.bytes, len, is_login, &cut)) {
        stream->cut = cut;
        now = part_of_request(cut.at, len);
        stream->is_cut = cut.at <= CUT_REQUEST_SENT;
        stream->is_chosen = !stream->is_cut;
        stream->n_before = stream->n_awaited;
    }
    stream->n_awaited++;
    stream->n_scanned = 0;
    return move(&stream->from_client, len, now, &stream->to_server, &stream->held_to_server);
}

static bool forward_scanned(struct cutting_stream *stream)
{
    size_t len = stream->n_scanned;
    stream->n_scanned = 0;
    return move(&stream->from_client, len, len, &stream->to_server, &stream->held_to_server);
}

static bool start_up(struct cutting_stream *stream, size_t len)
{
    uint32_t code = len < 8 ? 0 : number_at(stream->from_client.bytes + 4);
    if (code == CODE_TLS || code == CODE_GSSAPI) {
        drop(&stream->from_client, len);
        return buffer_append(&stream->to_client, "N", 1);
    }
    stream->has_started = true;
    stream->n_scanned = len;
    if (code == CODE_CANCEL) {
        stream->counts->n_cancels++;
        return forward_scanned(stream);
    }
    return forward_request(stream, true);
}

static bool advance_client(struct cutting_stream *stream)
{
    size_t len;
    while (!stream->is_cut &&
           (len = message_len(&stream->from_client, stream->n_scanned, stream->has_started)) > 0) {
        bool is_done = true;
        if (!stream->has_started) {
            is_done = start_up(stream, len);
        } else {
            char type = stream->from_client.bytes[stream->n_scanned];
            stream->n_scanned += len;
            if (type == 'S' || type == 'Q') {
                is_done = forward_request(stream, false);
            } else if (strchr("XHpdcf", type) != NULL) {
                /* Belongs to no request, or is to be answered before the request is whole. */
                if (type == 'p') {
                    note_turn(stream);
                }
                is_done = forward_scanned(stream);
            }
        }
        if (!is_done) {
            return false;
        }
    }
    return true;
}

/* --- Answers ---------------------------------------------------------------------------------- */

static void note_answer(struct cutting_stream *stream)
{
    stream->is_client_turn = false;
    stream->n_awaited--;
    if (stream->is_chosen) {
        stream->n_before--;
    }
}

/* Forwards up to the answer that was chosen, and of that what its cut lets through. */
static bool advance_server(struct cutting_stream *stream)
{
    size_t scanned = 0;
    size_t len;
    while (!stream->is_cut && (len = message_len(&stream->from_server, scanned, true)) > 0) {
        char type = stream->from_server.bytes[scanned];
        scanned += len;
        if (type == 'R') {
            stream->is_client_turn = false; /* the password may be asked for */
            stream->counts->n_logins +=
                number_at(stream->from_server.bytes + scanned - len + 5) == 0;
        }
        if (type != 'Z') {
            continue;
        }
        bool is_its = stream->is_chosen && stream->n_before == 0;
        note_answer(stream);
        size_t now = is_its ? part_of_answer(stream->cut.at, scanned) : scanned;
        stream->is_cut = is_its;
        stream->is_chosen = stream->is_chosen && !is_its;
        if (!move(&stream->from_server, scanned, now, &stream->to_client,
                  &stream->held_to_client)) {
            return false;
        }
        scanned = 0;
    }
    bool is_its = stream->is_cut || (stream->is_chosen && stream->n_before == 0);
    return is_its || move(&stream->from_server, scanned, scanned, &stream->to_client,
                          &stream->held_to_client);
}

bool cutting_stream_advance(struct cutting_stream *stream)
{
    return advance_client(stream) && advance_server(stream);
}

bool cutting_stream_release(struct cutting_stream *stream)
{
    struct buffer *to_server = &stream->held_to_server;
    struct buffer *to_client = &stream->held_to_client;
    stream->is_cut = false;
    return move(to_server, to_server->len, to_server->len, &stream->to_server, to_server) &&
           move(to_client, to_client->len, to_client->len, &stream->to_client, to_client);
}
