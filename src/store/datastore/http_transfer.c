/*
 * What one request asks of libcurl, and what came of it.
 *
 * The body goes out through a read callback, never by CURLOPT_POSTFIELDS. So we know whether the
 * server can have seen the whole request: not before libcurl has taken its last byte. And we decide
 * whether it may go out twice: where a connection that had been kept turns out to be closed,
 * libcurl sends the request again on another, which it asks the seek callback to allow. A POST that
 * was taken whole may have been done; only its sender knows whether to repeat it.
 */
#include "store/datastore/http_transfer.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEEPALIVE_IDLE_S = 30, KEEPALIVE_INTERVAL_S = 10 };

/* --- What libcurl calls --------------------------------------------------------------------------
 */

static size_t give_body(char *bytes, size_t size, size_t n, void *user)
{
    struct transfer *transfer = user;
    size_t n_left = transfer->request->body_len - transfer->n_given;
    if (n_left == 0) {
        return CURL_READFUNC_ABORT; /* it wants to repeat what it was not allowed to */
    }
    size_t n_bytes = size * n < n_left ? size * n : n_left;
    memcpy(bytes, transfer->request->body + transfer->n_given, n_bytes);
    transfer->n_given += n_bytes;
    if (n_bytes == n_left) {
        transfer->request->sent_ms = transfer->call->now_ms(transfer->call->clock);
    }
    return n_bytes;
}

static int rewind_body(void *user, curl_off_t offset, int origin)
{
    struct transfer *transfer = user;
    bool is_whole = transfer->n_given == transfer->request->body_len;
    if (offset != 0 || origin != SEEK_SET || (is_whole && !transfer->request->is_repeatable)) {
        return CURL_SEEKFUNC_FAIL;
    }
    transfer->n_given = 0;
    return CURL_SEEKFUNC_OK;
}

static size_t take_answer(char *bytes, size_t size, size_t n, void *user)
{
    struct http_request *request = ((struct transfer *)user)->request;
    size_t n_bytes = size * n;
    if (buffer_append(&request->answer, bytes, n_bytes)) {
        return n_bytes;
    }
    request->is_out_of_memory = n_bytes <= HTTP_ANSWER_LIMIT - request->answer.len;
    return 0;
}

/* A line at a time. Headers that are cut are no error to libcurl, and would be an answer. */
static size_t watch_head(char *bytes, size_t size, size_t n, void *user)
{
    struct transfer *transfer = user;
    transfer->has_whole_head = bytes[0] == '\r' || bytes[0] == '\n';
    if (size * n > 5 && memcmp(bytes, "HTTP/", 5) == 0) {
        transfer->request->answered_ms = transfer->call->now_ms(transfer->call->clock);
    }
    return size * n;
}

/* libcurl of Debian 12 leaves its sockets open across exec. */
static curl_socket_t open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)user;
    (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* --- Begin --------------------------------------------------------------------------------------
 */

struct transfer *transfer_new(const struct trust *trust)
{
    struct transfer *transfer = calloc(1, sizeof *transfer);
    if (transfer == NULL) {
        return NULL;
    }
    transfer->easy = curl_easy_init();
    if (transfer->easy == NULL) {
        free(transfer);
        return NULL;
    }
    transfer->trust = trust;
    return transfer;
}

static void free_headers(struct transfer *transfer)
{
    for (struct curl_slist *line = transfer->headers; line != NULL; line = line->next) {
        explicit_bzero(line->data, strlen(line->data)); /* a token is among them */
    }
    curl_slist_free_all(transfer->headers);
    transfer->headers = NULL;
}

void transfer_free(struct transfer *transfer)
{
    if (transfer == NULL) {
        return;
    }
    curl_easy_cleanup(transfer->easy);
    free_headers(transfer);
    free(transfer);
}

static bool append_header(struct transfer *transfer, const char *line)
{
    struct curl_slist *longer = curl_slist_append(transfer->headers, line);
    if (longer == NULL) {
        return false;
    }
    transfer->headers = longer;
    return true;
}

static bool set_headers(struct transfer *transfer)
{
    const struct http_request *request = transfer->request;
    /* An empty one is left out: a server's 100 would be one more thing to wait for. */
    bool is_set = append_header(transfer, "Expect:");
    for (size_t i = 0; is_set && i < request->n_headers; i++) {
        is_set = append_header(transfer, request->headers[i]);
    }
    if (is_set && request->body != NULL && request->content_type != NULL) {
        char line[256];
        int len = snprintf(line, sizeof line, "Content-Type: %s", request->content_type);
        is_set = len > 0 && (size_t)len < sizeof line && append_header(transfer, line);
    }
    return is_set &&
           curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers) == CURLE_OK;
}

/* This machine, which no proxy can reach. */
static bool is_loopback(const char *url)
{
    CURLU *parts = curl_url();
    char *host = NULL;
    bool is_local =
        parts != NULL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        (strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
         (strncmp(host, "127.", 4) == 0 && inet_pton(AF_INET, host, &(struct in_addr){0}) == 1));
    curl_free(host);
    curl_url_cleanup(parts);
    return is_local;
}

#define SET(option, value) (curl_easy_setopt(transfer->easy, CURLOPT_##option, value) == CURLE_OK)

/* Who is asked, and how the way there is made. */
static bool set_connection(struct transfer *transfer)
{
    const struct http_request *request = transfer->request;
    bool is_direct = request->is_direct || is_loopback(request->url);
    /* Wait for one connection that all can share, but only where TLS says early if there is one. */
    long is_shared = strncmp(request->url, "https:", 6) == 0;
    return SET(URL, request->url) && SET(PROTOCOLS_STR, "http,https") && SET(NOSIGNAL, 1L) &&
           SET(QUICK_EXIT, 1L) && SET(OPENSOCKETFUNCTION, open_socket) &&
           SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS) && SET(PIPEWAIT, is_shared) &&
           SET(TCP_KEEPALIVE, 1L) && SET(TCP_KEEPIDLE, (long)KEEPALIVE_IDLE_S) &&
           SET(TCP_KEEPINTVL, (long)KEEPALIVE_INTERVAL_S) && (!is_direct || SET(PROXY, "")) &&
           (request->connect_ms == 0 || SET(CONNECTTIMEOUT_MS, (long)request->connect_ms));
}

/* A proxy that is spoken to by TLS is as private as an endpoint. */
static bool set_trust(struct transfer *transfer)
{
    const struct trust *trust = transfer->trust;
    return (trust->file == NULL || (SET(CAINFO, trust->file) && SET(PROXY_CAINFO, trust->file))) &&
           (trust->folder == NULL ||
            (SET(CAPATH, trust->folder) && SET(PROXY_CAPATH, trust->folder)));
}

static bool set_exchange(struct transfer *transfer)
{
    struct http_request *request = transfer->request;
    char agent[64];
    snprintf(agent, sizeof agent, "comrade/%s", comrade_version());
    return SET(PRIVATE, transfer) && SET(ERRORBUFFER, request->failure) && SET(USERAGENT, agent) &&
           SET(WRITEFUNCTION, take_answer) && SET(WRITEDATA, transfer) &&
           SET(HEADERFUNCTION, watch_head) && SET(HEADERDATA, transfer) && set_headers(transfer) &&
           (request->body == NULL ||
            (SET(POST, 1L) && SET(POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len) &&
             SET(READFUNCTION, give_body) && SET(READDATA, transfer) &&
             SET(SEEKFUNCTION, rewind_body) && SET(SEEKDATA, transfer)));
}

static void become_idle(struct transfer *transfer)
{
    curl_easy_reset(transfer->easy); /* nothing of the request is referred to any more */
    free_headers(transfer);
    transfer->request = NULL;
    transfer->call = NULL;
}

bool transfer_begin(struct transfer *transfer, const comrade_call *call,
                    struct http_request *request)
{
    transfer->request = request;
    transfer->call = call;
    transfer->n_given = 0;
    transfer->has_whole_head = false;
    if (set_connection(transfer) && set_trust(transfer) && set_exchange(transfer)) {
        return true;
    }
    become_idle(transfer);
    return false;
}

/* --- End ----------------------------------------------------------------------------------------
 */

static int64_t date_of(CURL *easy)
{
    struct curl_header *date = NULL;
    if (curl_easy_header(easy, "Date", 0, CURLH_HEADER, -1, &date) != CURLHE_OK) {
        return 0;
    }
    time_t seconds = curl_getdate(date->value, NULL);
    return seconds < 0 ? 0 : (int64_t)seconds * 1000;
}

static const char *reason_of(const struct http_request *request, CURLcode code)
{
    switch ((int)code) {
    case CURLE_OUT_OF_MEMORY:
        return "out of memory";
    case CURLE_WRITE_ERROR:
        return request->is_out_of_memory ? "out of memory" : "the answer is too large";
    case CURLE_SEND_FAIL_REWIND:
    case CURLE_ABORTED_BY_CALLBACK:
        return "the connection was closed before the answer";
    default:
        return request->failure[0] == '\0' ? curl_easy_strerror(code) : NULL;
    }
}

/* What libcurl says of certificates, and what can be done. */
static void advise(struct http_request *request, CURLcode code)
{
    const char *said = request->failure;
    size_t len = strlen(said);
    if (code == CURLE_SSL_CACERT_BADFILE) {
        snprintf(request->failure + len, sizeof request->failure - len,
                 "; correct SSL_CERT_FILE, or unset it");
    } else if (code == CURLE_PEER_FAILED_VERIFICATION &&
               (strstr(said, "issuer") != NULL || strstr(said, "self") != NULL)) {
        snprintf(request->failure + len, sizeof request->failure - len,
                 "; where a proxy or the endpoint has an authority of its own, name the file of "
                 "its certificate in SSL_CERT_FILE");
    }
}

/* Without an answer. */
static void fail(struct transfer *transfer, const char *why)
{
    struct http_request *request = transfer->request;
    if (why != NULL) {
        snprintf(request->failure, sizeof request->failure, "%s", why);
    }
    request->may_be_done = request->body != NULL && transfer->n_given == request->body_len;
    buffer_finish(&request->answer);
}

void transfer_end(struct transfer *transfer, CURLcode code)
{
    struct http_request *request = transfer->request;
    if (code == CURLE_OK && !transfer->has_whole_head) {
        fail(transfer, "the connection was closed amid the answer");
    } else if (code == CURLE_OK) {
        curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &request->status);
        request->date_ms = date_of(transfer->easy);
        request->failure[0] = '\0';
    } else {
        request->is_out_of_memory = request->is_out_of_memory || code == CURLE_OUT_OF_MEMORY;
        fail(transfer, reason_of(request, code));
        advise(request, code);
    }
    become_idle(transfer);
}

void transfer_abandon(struct transfer *transfer, const char *why)
{
    curl_off_t connected_us = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
    char reason[CURL_ERROR_SIZE];
    snprintf(reason, sizeof reason, "%s %s", connected_us > 0 ? "no answer" : "no connection", why);
    fail(transfer, reason);
    become_idle(transfer);
}
