/*
 * A server of HTTP on loopback inside the test: a thread a connection, and a function that answers,
 * or does not. It allocates nothing, so that it can be asked where allocations fail.
 *
 *   static bool answer(struct http_exchange *exchange)
 *   {
 *       http_exchange_answer(exchange, 200, "Content-Type: text/plain\r\n", "well");
 *       return true; // keep the connection
 *   }
 *   struct http_server *server = http_server_start(answer, NULL);
 */
#ifndef TESTS_LIB_DATASTORE_HTTP_H
#define TESTS_LIB_DATASTORE_HTTP_H

#include <stdbool.h>
#include <stddef.h>

struct http_server;

struct http_exchange {
    void *user;
    struct http_server *server;
    int fd;              /* to say what no server should */
    size_t nth;          /* on the server, from 1 */
    size_t nth_on_it;    /* on its connection, from 1 */
    const char *request; /* whole: NUL-terminated, line and headers */
    const char *body;    /* behind them */
    size_t body_len;
};

/* On the connection's thread. False: the connection is closed. */
typedef bool (*http_answerer)(struct http_exchange *exchange);

/* One at a time in a process. Fails the test where it cannot start. */
struct http_server *http_server_start(http_answerer answer, void *user);
void http_server_stop(struct http_server *server); /* closes all connections */
int http_server_port(const struct http_server *server);
/* Since it started. */
size_t http_server_requests(struct http_server *server);
size_t http_server_connections(struct http_server *server);

/* `headers` NULL, or whole lines, each with its end. Length and Date are added. */
void http_exchange_answer(struct http_exchange *exchange, int status, const char *headers,
                          const char *body);
void http_exchange_say(struct http_exchange *exchange, const char *bytes, size_t len);
/* The Date of the answers from now on: this machine's time and so much. */
void http_server_shift_date(struct http_server *server, long seconds);
long http_server_date_shift(struct http_server *server);
/* Waits until the client has closed. */
void http_exchange_wait_for_close(struct http_exchange *exchange);

#endif
