/*
 * One HTTP request and as much of its response as tells the status, over a connected socket and
 * without waiting.
 */
#ifndef AGENT_CHECK_HTTP_H
#define AGENT_CHECK_HTTP_H

#include <http_parser.h>

#include <stdbool.h>
#include <stddef.h>

#define CHECK_HTTP_READ_MAX_BYTES ((size_t)64 * 1024)

enum check_http_state { HTTP_SENDING, HTTP_RECEIVING, HTTP_ANSWERED, HTTP_FAILED };

struct check_http {
    const char *request; /* borrowed */
    size_t request_len;
    size_t n_sent;
    size_t n_received;
    http_parser parser;
    int status;          /* ANSWERED: 200 to 999 */
    const char *failure; /* FAILED: what went wrong; static */
};

void check_http_init(struct check_http *http, const char *request);
/* Call when the descriptor is ready for what the state says, and at first. */
enum check_http_state check_http_step(struct check_http *http, int fd);

#endif
