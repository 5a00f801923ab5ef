/*
 * One thread that polls. All state is under one mutex, which the thread holds except while it
 * polls, and it looks at the state again after each poll: that is why a control function has had
 * its effect when it returns. What is held is not read, so that its sender's buffers fill up as
 * they do when a network goes silent.
 */
#include "lib/cutting_private.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FULL_SIZE = 4 * 1024 * 1024 };

void cutting_must(bool is_true, const char *what)
{
    if (!is_true) {
        fprintf(stderr, "cutting_proxy: %s: %s\n", what, strerror(errno));
        abort();
    }
}

/* --- Sockets ---------------------------------------------------------------------------------- */

struct sockaddr_in cutting_loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int cutting_new_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cutting_must(fd >= 0, "socket");
    return fd;
}

void cutting_reset_on_close(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

static int connect_to(int port)
{
    int fd = cutting_new_socket();
    struct sockaddr_in address = cutting_loopback(port);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

/* False: the other side is gone, or closed. */
static bool read_into(int fd, struct buffer *buf, long long *n_bytes)
{
    char bytes[65536];
    ssize_t got = recv(fd, bytes, sizeof bytes, 0);
    if (got > 0) {
        *n_bytes += got;
        return buffer_append(buf, bytes, (size_t)got);
    }
    return got < 0 && (errno == EAGAIN || errno == EINTR);
}

static bool write_from(int fd, struct buffer *buf)
{
    if (buf->len == 0) {
        return true;
    }
    ssize_t sent = send(fd, buf->bytes, buf->len, MSG_NOSIGNAL);
    if (sent < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    memmove(buf->bytes, buf->bytes + sent, buf->len - (size_t)sent);
    buf->len -= (size_t)sent;
    return true;
}

/* --- A connection ----------------------------------------------------------------------------- */

static void free_connection(struct connection *connection)
{
    if (connection->client_fd >= 0) {
        close(connection->client_fd);
    }
    if (connection->server_fd >= 0) {
        close(connection->server_fd);
    }
    cutting_stream_finish(&connection->stream);
    free(connection);
}

static bool judge(void *user, const char *bytes, size_t len, bool is_login, struct cut *cut)
{
    struct cutting_proxy *proxy = user;
    for (size_t i = 0; i < proxy->n_cuts; i++) {
        struct waiting_cut *waiting = &proxy->cuts[i];
        const char *containing = waiting->cut.containing;
        if (waiting->cut.is_login != is_login ||
            (containing != NULL && memmem(bytes, len, containing, strlen(containing)) == NULL) ||
            ++waiting->n_seen < waiting->cut.nth) {
            continue;
        }
        *cut = waiting->cut;
        if (waiting->cut.times-- <= 0) {
            proxy->cuts[i] = proxy->cuts[--proxy->n_cuts];
        }
        return true;
    }
    return false;
}

/* Everything that was to pass has passed. False: there is nothing left of the connection. */
static bool perform_cut(struct cutting_proxy *proxy, struct connection *connection)
{
    const struct cut *cut = &connection->stream.cut;
    proxy->counts.n_cuts++;
    pthread_cond_broadcast(&proxy->has_cut);
    if (cut->how == CUT_HOLD) {
        connection->is_held = true;
        return true;
    }
    if (cut->how == CUT_RST) {
        cutting_reset_on_close(connection->client_fd);
    }
    if (!cut->keeps_server) {
        return false;
    }
    close(connection->client_fd);
    connection->client_fd = -1;
    connection->is_parked = true;
    return true;
}

/* Sends what there is to send. False: the connection is over. */
static bool flush(struct cutting_proxy *proxy, struct connection *connection)
{
    struct cutting_stream *stream = &connection->stream;
    bool to_server = (proxy->held & HOLD_REQUESTS) == 0;
    bool to_client = (proxy->held & HOLD_ANSWERS) == 0;
    if (to_server && stream->to_server.len > 0 && connection->server_fd < 0 &&
        !connection->has_ended) {
        connection->server_fd = connect_to(proxy->target_port);
        connection->has_ended = connection->server_fd < 0;
    }
    if (to_server && connection->server_fd >= 0 &&
        !write_from(connection->server_fd, &stream->to_server)) {
        connection->has_ended = true;
        buffer_clear(&stream->to_server);
    }
    if (to_client && !write_from(connection->client_fd, &stream->to_client)) {
        connection->has_ended = true;
        buffer_clear(&stream->to_client);
    }
    bool is_flushed = stream->to_server.len == 0 && stream->to_client.len == 0;
    if (stream->is_cut && is_flushed) {
        return perform_cut(proxy, connection);
    }
    return !(connection->has_ended && (is_flushed || connection->server_fd < 0));
}

static bool append_all(struct buffer *to, const struct buffer *from)
{
    return from->len == 0 || buffer_append(to, from->bytes, from->len);
}

/* What a side had said when it closed is passed on, whole message or not. */
static bool end(struct connection *connection)
{
    struct cutting_stream *stream = &connection->stream;
    connection->has_ended = true;
    return append_all(&stream->to_client, &stream->from_server) &&
           append_all(&stream->to_server, &stream->from_client);
}

static bool serve(struct cutting_proxy *proxy, struct connection *connection, short client,
                  short server)
{
    struct cutting_stream *stream = &connection->stream;
    if (connection->is_doomed || connection->is_held || connection->is_parked) {
        return !connection->is_doomed;
    }
    bool is_reading = !stream->is_cut && !connection->has_ended;
    bool is_open = true;
    if (is_reading && (proxy->held & HOLD_REQUESTS) == 0 && client != 0) {
        is_open =
            read_into(connection->client_fd, &stream->from_client, &proxy->counts.n_request_bytes);
    }
    if (is_reading && (proxy->held & HOLD_ANSWERS) == 0 && server != 0) {
        is_open =
            read_into(connection->server_fd, &stream->from_server, &proxy->counts.n_answer_bytes) &&
            is_open;
    }
    if (!cutting_stream_advance(stream) || (!is_open && !stream->is_cut && !end(connection))) {
        return false;
    }
    return flush(proxy, connection);
}

/* --- The thread ------------------------------------------------------------------------------- */

static void accept_one(struct cutting_proxy *proxy)
{
    int fd = accept4(proxy->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        return;
    }
    struct connection *connection = calloc(1, sizeof *connection);
    cutting_must(connection != NULL, "accept");
    connection->client_fd = fd;
    connection->server_fd = -1;
    cutting_stream_init(&connection->stream, &proxy->counts, judge, proxy);
    proxy->connections[proxy->n_connections++] = connection;
    proxy->counts.n_connections++;
}

/* A descriptor that is not to be looked at is -1: poll tells of hang-ups unasked. */
static struct pollfd interest(int fd, bool may_read, bool may_write)
{
    short events = (short)((may_read ? POLLIN : 0) | (may_write ? POLLOUT : 0));
    return (struct pollfd){.fd = events == 0 ? -1 : fd, .events = events};
}

static void add_interests(const struct cutting_proxy *proxy, const struct connection *connection,
                          struct pollfd *fds)
{
    const struct cutting_stream *stream = &connection->stream;
    bool is_frozen = connection->is_held || connection->is_parked;
    bool is_reading = !is_frozen && !stream->is_cut && !connection->has_ended;
    bool to_server = (proxy->held & HOLD_REQUESTS) == 0;
    bool to_client = (proxy->held & HOLD_ANSWERS) == 0;
    fds[0] = interest(connection->client_fd,
                      is_reading && to_server && stream->to_server.len < FULL_SIZE,
                      !is_frozen && to_client && stream->to_client.len > 0);
    fds[1] = interest(connection->server_fd,
                      is_reading && to_client && stream->to_client.len < FULL_SIZE,
                      !is_frozen && to_server && stream->to_server.len > 0);
}

void cutting_remove_connection(struct cutting_proxy *proxy, size_t i)
{
    free_connection(proxy->connections[i]);
    proxy->connections[i] = proxy->connections[--proxy->n_connections];
}

/* The connections of `fds` come first in the list, and new ones behind them. */
static void turn(struct cutting_proxy *proxy, const struct pollfd *fds, size_t n_polled)
{
    if (fds[0].revents != 0) {
        uint64_t unused;
        (void)!read(proxy->wake_fd, &unused, sizeof unused);
    }
    if (fds[1].revents != 0 && !proxy->is_refusing) {
        accept_one(proxy);
    }
    /* From behind, since a removal moves the last one here, which has been served. */
    for (size_t i = n_polled < proxy->n_connections ? n_polled : proxy->n_connections; i-- > 0;) {
        const struct pollfd *own = fds + 2 + 2 * i;
        if (!serve(proxy, proxy->connections[i], own[0].revents, own[1].revents)) {
            cutting_remove_connection(proxy, i);
        }
    }
}

void *cutting_run(void *user)
{
    struct cutting_proxy *proxy = user;
    struct pollfd *fds = calloc(2 + 2 * CONNECTIONS_MAX, sizeof *fds);
    cutting_must(fds != NULL, "run");
    pthread_mutex_lock(&proxy->mutex);
    while (!proxy->is_ending) {
        size_t n = proxy->n_connections;
        bool may_accept = !proxy->is_refusing && n < CONNECTIONS_MAX;
        fds[0] = interest(proxy->wake_fd, true, false);
        fds[1] = interest(proxy->listener, may_accept, false);
        for (size_t i = 0; i < n; i++) {
            add_interests(proxy, proxy->connections[i], fds + 2 + 2 * i);
        }
        pthread_mutex_unlock(&proxy->mutex);
        poll(fds, 2 + 2 * n, -1);
        pthread_mutex_lock(&proxy->mutex);
        turn(proxy, fds, n);
    }
    pthread_mutex_unlock(&proxy->mutex);
    free(fds);
    return NULL;
}
