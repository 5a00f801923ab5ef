/*
 * Every connection has a place with its buffer and its thread. Whoever stops the server shuts the
 * sockets down, which ends whatever their threads wait for, and joins them.
 */
#include "lib/datastore_http.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { PLACES = 64, REQUEST_MAX_BYTES = 128 * 1024 };

struct place {
    struct http_server *server;
    pthread_t thread;
    int fd;
    char bytes[REQUEST_MAX_BYTES];
    size_t len;
};

struct http_server {
    http_answerer answer;
    void *user;
    int listen_fd;
    int port;
    pthread_t thread;
    pthread_mutex_t lock; /* what is below */
    long date_shift_s;
    size_t n_requests;
    size_t n_places; /* used, by connections past and present */
    struct place places[PLACES];
};

static struct http_server the_server;

/* --- A connection ------------------------------------------------------------------------------
 */

static size_t body_length(const char *head)
{
    const char *line = strcasestr(head, "\r\nContent-Length:");
    return line == NULL ? 0 : strtoul(line + strlen("\r\nContent-Length:"), NULL, 10);
}

/* Length of the whole request at the beginning of the bytes; 0: it is not there yet. */
static size_t request_length(struct place *place, size_t *head_len)
{
    place->bytes[place->len] = '\0';
    char *end = strstr(place->bytes, "\r\n\r\n");
    if (end == NULL) {
        return 0;
    }
    *head_len = (size_t)(end - place->bytes) + 4;
    end[2] = '\0';
    size_t len = *head_len + body_length(place->bytes);
    end[2] = '\r';
    return len <= place->len ? len : 0;
}

static bool read_some(struct place *place)
{
    if (place->len >= sizeof place->bytes - 1) {
        return false;
    }
    ssize_t n = recv(place->fd, place->bytes + place->len, sizeof place->bytes - 1 - place->len, 0);
    if (n <= 0) {
        return false;
    }
    place->len += (size_t)n;
    return true;
}

/* What this thread did comes before whatever the test does after it has locked as well. */
static void publish(struct http_server *server)
{
    pthread_mutex_lock(&server->lock);
    pthread_mutex_unlock(&server->lock);
}

static bool answer_one(struct place *place, size_t nth_on_it, size_t len, size_t head_len)
{
    struct http_server *server = place->server;
    pthread_mutex_lock(&server->lock);
    size_t nth = ++server->n_requests;
    pthread_mutex_unlock(&server->lock);
    char after = place->bytes[len];
    place->bytes[len] = '\0';
    place->bytes[head_len - 2] = '\0';
    struct http_exchange exchange = {.user = server->user,
                                     .server = server,
                                     .fd = place->fd,
                                     .nth = nth,
                                     .nth_on_it = nth_on_it,
                                     .request = place->bytes,
                                     .body = place->bytes + head_len,
                                     .body_len = len - head_len};
    bool is_kept = server->answer(&exchange);
    publish(server);
    place->bytes[len] = after;
    place->len -= len;
    memmove(place->bytes, place->bytes + len, place->len);
    return is_kept;
}

static void *serve(void *user)
{
    struct place *place = user;
    for (size_t nth = 1;; nth++) {
        size_t head_len = 0;
        size_t len = 0;
        while ((len = request_length(place, &head_len)) == 0) {
            if (!read_some(place)) {
                goto out;
            }
        }
        if (!answer_one(place, nth, len, head_len)) {
            goto out;
        }
    }
out:
    shutdown(place->fd, SHUT_RDWR); /* closed when the server stops: its number stays its own */
    return NULL;
}

static void *take_connections(void *user)
{
    struct http_server *server = user;
    for (;;) {
        int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) {
            return NULL;
        }
        pthread_mutex_lock(&server->lock);
        if (server->n_places == PLACES) {
            close(fd);
        } else {
            struct place *place = &server->places[server->n_places++];
            int is_at_once = 1; /* what is said in pieces is sent in pieces */
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &is_at_once, sizeof is_at_once);
            place->server = server;
            place->fd = fd;
            place->len = 0;
            pthread_create(&place->thread, NULL, serve, place);
        }
        pthread_mutex_unlock(&server->lock);
    }
}

/* --- For the test -------------------------------------------------------------------------------
 */

struct http_server *http_server_start(http_answerer answer, void *user)
{
    struct http_server *server = &the_server;
    memset(server, 0, offsetof(struct http_server, places));
    server->answer = answer;
    server->user = user;
    pthread_mutex_init(&server->lock, NULL);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    server->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(server->listen_fd >= 0);
    assert_int_equal(bind(server->listen_fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(server->listen_fd, PLACES), 0);
    assert_int_equal(getsockname(server->listen_fd, (struct sockaddr *)&address, &len), 0);
    server->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&server->thread, NULL, take_connections, server), 0);
    return server;
}

void http_server_stop(struct http_server *server)
{
    shutdown(server->listen_fd, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listen_fd);
    for (size_t i = 0; i < server->n_places; i++) {
        shutdown(server->places[i].fd, SHUT_RDWR);
        pthread_join(server->places[i].thread, NULL);
        close(server->places[i].fd);
    }
    pthread_mutex_destroy(&server->lock);
}

int http_server_port(const struct http_server *server)
{
    return server->port;
}

size_t http_server_requests(struct http_server *server)
{
    pthread_mutex_lock(&server->lock);
    size_t n = server->n_requests;
    pthread_mutex_unlock(&server->lock);
    return n;
}

size_t http_server_connections(struct http_server *server)
{
    pthread_mutex_lock(&server->lock);
    size_t n = server->n_places;
    pthread_mutex_unlock(&server->lock);
    return n;
}

void http_server_shift_date(struct http_server *server, long seconds)
{
    pthread_mutex_lock(&server->lock);
    server->date_shift_s = seconds;
    pthread_mutex_unlock(&server->lock);
}

long http_server_date_shift(struct http_server *server)
{
    pthread_mutex_lock(&server->lock);
    long seconds = server->date_shift_s;
    pthread_mutex_unlock(&server->lock);
    return seconds;
}

void http_exchange_say(struct http_exchange *exchange, const char *bytes, size_t len)
{
    publish(exchange->server);
    while (len > 0) {
        ssize_t n = send(exchange->fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0) {
            return;
        }
        bytes += n;
        len -= (size_t)n;
    }
}

void http_exchange_answer(struct http_exchange *exchange, int status, const char *headers,
                          const char *body)
{
    time_t now_s = time(NULL) + http_server_date_shift(exchange->server);
    struct tm parts;
    char date[64];
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now_s, &parts));
    char head[1024];
    int len =
        snprintf(head, sizeof head, "HTTP/1.1 %d X\r\nDate: %s\r\nContent-Length: %zu\r\n%s\r\n",
                 status, date, strlen(body), headers == NULL ? "" : headers);
    http_exchange_say(exchange, head, (size_t)len);
    http_exchange_say(exchange, body, strlen(body));
}

void http_exchange_wait_for_close(struct http_exchange *exchange)
{
    struct pollfd end = {.fd = exchange->fd, .events = POLLRDHUP};
    while (poll(&end, 1, 10000) < 0) {
    }
}
