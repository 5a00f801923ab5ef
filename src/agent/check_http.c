/*
 * The status line and the headers are all that counts: when the final headers are complete, the
 * answer is known and the body is left unread. Interim responses (1xx) are passed over.
 */
#include "agent/check_http.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum { CHUNK_BYTES = 4096, STATUS_FINAL = 200 };

static int keep_final_status(http_parser *parser)
{
    struct check_http *http = parser->data;
    if (parser->status_code >= STATUS_FINAL) {
        http->status = (int)parser->status_code;
        http_parser_pause(parser, 1);
    }
    return 0;
}

void check_http_init(struct check_http *http, const char *request)
{
    *http = (struct check_http){.request = request, .request_len = strlen(request)};
    http_parser_init(&http->parser, HTTP_RESPONSE);
    http->parser.data = http;
}

static enum check_http_state fail(struct check_http *http, const char *failure)
{
    http->failure = failure;
    return HTTP_FAILED;
}

static bool must_wait(void)
{
    return errno == EAGAIN || errno == EINTR;
}

static enum check_http_state parse(struct check_http *http, const char *bytes, size_t n_bytes)
{
    http_parser_settings settings;
    http_parser_settings_init(&settings);
    settings.on_headers_complete = keep_final_status;
    http_parser_execute(&http->parser, &settings, bytes, n_bytes);
    if (http->status != 0) {
        return HTTP_ANSWERED;
    }
    if (HTTP_PARSER_ERRNO(&http->parser) != HPE_OK) {
        return fail(http, "the answer is not HTTP");
    }
    return http->n_received < CHECK_HTTP_READ_MAX_BYTES
               ? HTTP_RECEIVING
               : fail(http, "more than 64 KB came without an answer");
}

static enum check_http_state receive(struct check_http *http, int fd)
{
    enum check_http_state state = HTTP_RECEIVING;
    while (state == HTTP_RECEIVING) { /* ends at the latest after 64 KB */
        char bytes[CHUNK_BYTES];
        ssize_t n_bytes = recv(fd, bytes, sizeof bytes, 0);
        if (n_bytes < 0 && must_wait()) {
            return HTTP_RECEIVING;
        }
        if (n_bytes < 0) {
            return fail(http, strerror(errno));
        }
        if (n_bytes == 0) {
            return fail(http, "the connection was closed before the answer");
        }
        http->n_received += (size_t)n_bytes;
        state = parse(http, bytes, (size_t)n_bytes);
    }
    return state;
}

enum check_http_state check_http_step(struct check_http *http, int fd)
{
    while (http->n_sent < http->request_len) {
        ssize_t n_bytes =
            send(fd, http->request + http->n_sent, http->request_len - http->n_sent, MSG_NOSIGNAL);
        if (n_bytes < 0 && must_wait()) {
            return HTTP_SENDING;
        }
        if (n_bytes < 0) {
            return fail(http, strerror(errno));
        }
        http->n_sent += (size_t)n_bytes;
    }
    return receive(http, fd);
}
