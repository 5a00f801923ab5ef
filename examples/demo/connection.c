#include "connection.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static int on_message_complete(http_parser *parser)
{
    struct connection *connection = parser->data;
    connection->is_complete = true;
    return 0;
}

static void fail(struct connection *connection, const char *why)
{
    connection->state = CONNECTION_FAILED;
    connection->failure = why;
}

static const char *name_error(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return "connection refused";
    case ECONNRESET:
    case EPIPE:
        return "connection reset";
    default:
        return "connection error";
    }
}

/* Returns the descriptor; `error` is that of a connection that is refused on the spot. */
static int connect_to(const struct target *target, int *error)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *found = NULL;
    if (getaddrinfo(target->ip, target->port, &hints, &found) != 0) {
        return -1;
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0 && errno != EINPROGRESS) {
        *error = errno;
    }
    freeaddrinfo(found);
    return fd;
}

struct connection *connection_open(const struct target *target, bool is_kept)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) {
        return NULL;
    }
    connection->fd = connect_to(target, &connection->connect_error);
    if (connection->fd < 0) {
        free(connection);
        return NULL;
    }
    connection->target = *target;
    connection->state = CONNECTION_IDLE;
    connection->is_kept = is_kept;
    connection->is_first = true;
    return connection;
}

void connection_close(struct connection *connection)
{
    if (connection != NULL) {
        close(connection->fd);
        free(connection);
    }
}

void connection_request(struct connection *connection, const char *what, int64_t deadline_ms)
{
    int len = snprintf(connection->request, sizeof connection->request,
                       "GET %s HTTP/1.1\r\nHost: %s:%s\r\nConnection: %s\r\n\r\n", what,
                       connection->target.ip, connection->target.port,
                       connection->is_kept ? "keep-alive" : "close");
    connection->request_len = (size_t)len;
    connection->n_sent = 0;
    connection->is_complete = false;
    connection->is_slow = strcmp(what, "/") != 0;
    connection->deadline_ms = deadline_ms;
    connection->state = CONNECTION_BUSY;
    http_parser_init(&connection->parser, HTTP_RESPONSE);
    connection->parser.data = connection;
    if (connection->connect_error != 0) {
        fail(connection, name_error(connection->connect_error));
    }
}

static void send_request(struct connection *connection)
{
    ssize_t n = send(connection->fd, connection->request + connection->n_sent,
                     connection->request_len - connection->n_sent, MSG_NOSIGNAL);
    if (n >= 0) {
        connection->n_sent += (size_t)n;
    } else if (errno != EAGAIN && errno != EINTR) {
        fail(connection, name_error(errno));
    }
}

/* `len` 0 is the end of the stream, which the parser must hear of too. */
static void take_answer(struct connection *connection, const char *bytes, size_t len)
{
    static const http_parser_settings settings = {.on_message_complete = on_message_complete};
    size_t n_parsed = http_parser_execute(&connection->parser, &settings, bytes, len);
    bool is_good = HTTP_PARSER_ERRNO(&connection->parser) == HPE_OK && n_parsed == len;
    if (connection->is_complete && is_good) {
        connection->state = CONNECTION_ANSWERED;
        connection->is_kept &= len > 0 && http_should_keep_alive(&connection->parser) != 0;
        if (connection->parser.status_code != 200) {
            fail(connection, "status is not 200");
        }
    } else if (len == 0) {
        fail(connection, "answer cut short");
    } else if (!is_good) {
        fail(connection, "not HTTP");
    }
}

static void receive(struct connection *connection)
{
    char bytes[4096];
    ssize_t n = recv(connection->fd, bytes, sizeof bytes, 0);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            fail(connection, name_error(errno));
        }
    } else {
        take_answer(connection, bytes, (size_t)n);
    }
}

void connection_step(struct connection *connection, uint32_t events)
{
    if (connection->state == CONNECTION_IDLE && events != 0) {
        connection->state = CONNECTION_OVER;
    }
    if (connection->state == CONNECTION_BUSY && connection->n_sent < connection->request_len &&
        (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) {
        send_request(connection);
    }
    if (connection->state == CONNECTION_BUSY &&
        (events & (EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLRDHUP)) != 0) {
        receive(connection);
    }
}

uint32_t connection_events(const struct connection *connection)
{
    bool is_sending =
        connection->state == CONNECTION_BUSY && connection->n_sent < connection->request_len;
    return is_sending ? EPOLLIN | EPOLLOUT : EPOLLIN;
}
