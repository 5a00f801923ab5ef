/*
 * Requests in flight, over libcurl's multi handle, which keeps the connections. We wait in
 * curl_multi_poll(), with the descriptor that cancels the call beside libcurl's own, until the next
 * moment at which the call's bounds mean something.
 *
 * A request that is given up may have been swallowed by a connection that leads nowhere. Over
 * HTTP/2 libcurl would keep that connection for the next call, and for the one after it; so all of
 * them are closed, and the next call connects anew.
 */
#include "store/datastore/http_exec.h"
#include "store/datastore/http_transfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    IDLE_TRANSFERS_MAX = 8, /* each holds buffers of some 80 KB */
    CONNECTIONS_MAX = 32,
    WAIT_MAX_MS = 60000,
};

struct http {
    CURLM *multi;
    struct transfer *idle[IDLE_TRANSFERS_MAX];
    size_t n_idle;
    struct trust trust;
};

static CURLM *new_multi(void)
{
    CURLM *multi = curl_multi_init();
    if (multi != NULL) {
        curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_MAX);
        http_close_on_exec(multi);
    }
    return multi;
}

/* NULL where it is not set, or empty. False: out of memory. */
static bool copy_variable(const char *name, char **value)
{
    const char *set = getenv(name);
    if (set == NULL || set[0] == '\0') {
        return true;
    }
    *value = strdup(set);
    return *value != NULL;
}

struct http *http_new(void)
{
    /* Counted, and safe on any thread since libcurl 7.84; never undone, for others may use it. */
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return NULL;
    }
    struct http *http = calloc(1, sizeof *http);
    if (http == NULL) {
        return NULL;
    }
    bool is_made = copy_variable("SSL_CERT_FILE", &http->trust.file) &&
                   copy_variable("SSL_CERT_DIR", &http->trust.folder) &&
                   (http->multi = new_multi()) != NULL;
    if (!is_made) {
        http_free(http);
        return NULL;
    }
    return http;
}

void http_free(struct http *http)
{
    if (http == NULL) {
        return;
    }
    for (size_t i = 0; i < http->n_idle; i++) {
        transfer_free(http->idle[i]);
    }
    curl_multi_cleanup(http->multi);
    free(http->trust.file);
    free(http->trust.folder);
    free(http);
}

void http_request_finish(struct http_request *request)
{
    buffer_finish(&request->answer);
}

/* --- One perform --------------------------------------------------------------------------------
 */

struct round {
    struct http *http;
    const comrade_call *call;
    struct http_request *requests;
    size_t n_requests;
    size_t n_begun;
    size_t n_done;
    struct transfer **transfers; /* those under way first, then the free ones */
    size_t n_busy;
    size_t n_transfers;
};

static struct transfer *take_transfer(struct http *http)
{
    return http->n_idle > 0 ? http->idle[--http->n_idle] : transfer_new(&http->trust);
}

static void put_back(struct http *http, struct transfer *transfer)
{
    if (http->n_idle < IDLE_TRANSFERS_MAX) {
        http->idle[http->n_idle++] = transfer;
    } else {
        transfer_free(transfer);
    }
}

static void round_finish(struct round *round)
{
    for (size_t i = 0; i < round->n_transfers; i++) {
        put_back(round->http, round->transfers[i]);
    }
    free(round->transfers);
}

static bool round_init(struct round *round, size_t n_in_flight)
{
    size_t n = round->n_requests < n_in_flight ? round->n_requests : n_in_flight;
    round->transfers = calloc(n == 0 ? 1 : n, sizeof *round->transfers);
    while (round->transfers != NULL && round->n_transfers < n) {
        struct transfer *transfer = take_transfer(round->http);
        if (transfer == NULL) {
            round_finish(round);
            return false;
        }
        round->transfers[round->n_transfers++] = transfer;
    }
    return round->transfers != NULL;
}

static void begin_next(struct round *round)
{
    struct http_request *request = &round->requests[round->n_begun++];
    struct transfer *transfer = round->transfers[round->n_busy];
    if (transfer_begin(transfer, round->call, request)) {
        if (curl_multi_add_handle(round->http->multi, transfer->easy) == CURLM_OK) {
            round->n_busy++;
            return;
        }
        transfer_end(transfer, CURLE_OUT_OF_MEMORY);
    }
    request->is_out_of_memory = true;
    request->may_be_done = false;
    snprintf(request->failure, sizeof request->failure, "out of memory");
    round->n_done++;
}

/* It is under way no more; its place is taken by the last that is. */
static void release(struct round *round, struct transfer *transfer)
{
    curl_multi_remove_handle(round->http->multi, transfer->easy);
    size_t i = 0;
    while (round->transfers[i] != transfer) {
        i++;
    }
    round->n_busy--;
    round->transfers[i] = round->transfers[round->n_busy];
    round->transfers[round->n_busy] = transfer;
    round->n_done++;
}

static void collect(struct round *round)
{
    int n_left = 0;
    for (CURLMsg *message = NULL;
         (message = curl_multi_info_read(round->http->multi, &n_left)) != NULL;) {
        CURLcode code = message->data.result;
        struct transfer *transfer = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
        release(round, transfer); /* the message is gone with it */
        transfer_end(transfer, code);
    }
}

static bool wait_for_some(const struct round *round)
{
    const comrade_call *call = round->call;
    int64_t now_ms = call->now_ms(call->clock);
    bool is_cancellable = call->cancel_fd >= 0 && now_ms >= call->cancellable_ms;
    int64_t until_ms = call->deadline_ms;
    if (call->cancel_fd >= 0 && !is_cancellable && call->cancellable_ms < until_ms) {
        until_ms = call->cancellable_ms;
    }
    int64_t left_ms = until_ms - now_ms;
    struct curl_waitfd cancel = {.fd = call->cancel_fd, .events = CURL_WAIT_POLLIN};
    int wait_ms = left_ms > WAIT_MAX_MS ? WAIT_MAX_MS : (left_ms < 0 ? 0 : (int)left_ms);
    return curl_multi_poll(round->http->multi, &cancel, is_cancellable ? 1 : 0, wait_ms, NULL) ==
           CURLM_OK;
}

static void abandon_all(struct round *round, const char *why)
{
    bool is_any = round->n_busy > 0;
    while (round->n_busy > 0) {
        struct transfer *transfer = round->transfers[0];
        release(round, transfer);
        transfer_abandon(transfer, why);
    }
    for (; round->n_begun < round->n_requests; round->n_begun++) {
        struct http_request *request = &round->requests[round->n_begun];
        snprintf(request->failure, sizeof request->failure, "not sent %s", why);
    }
    CURLM *another = is_any ? new_multi() : NULL;
    if (another != NULL) {
        curl_multi_cleanup(round->http->multi);
        round->http->multi = another;
    }
}

static const char *why_over(const comrade_call *call)
{
    return call->now_ms(call->clock) >= call->deadline_ms ? "in time" : "before it was cancelled";
}

static void run(struct round *round)
{
    int n_running = 0;
    bool is_working = true;
    bool is_over = comrade_call_is_over(round->call);
    while (is_working && !is_over) {
        while (round->n_begun < round->n_requests && round->n_busy < round->n_transfers) {
            begin_next(round);
        }
        is_working = curl_multi_perform(round->http->multi, &n_running) == CURLM_OK;
        collect(round);
        if (round->n_done == round->n_requests) {
            return;
        }
        bool is_full = round->n_begun == round->n_requests || round->n_busy == round->n_transfers;
        is_over = comrade_call_is_over(round->call);
        is_working = is_working && (is_over || !is_full || wait_for_some(round));
    }
    abandon_all(round, is_over ? why_over(round->call) : "from libcurl, which is out of memory");
}

comrade_status http_perform(struct http *http, const comrade_call *call,
                            struct http_request *requests, size_t n_requests, size_t n_in_flight)
{
    for (size_t i = 0; i < n_requests; i++) {
        struct http_request *request = &requests[i];
        request->status = 0;
        request->may_be_done = false;
        request->is_out_of_memory = false;
        request->sent_ms = 0;
        request->answered_ms = 0;
        request->date_ms = 0;
        request->failure[0] = '\0';
        buffer_init(&request->answer, HTTP_ANSWER_LIMIT);
    }
    struct round round = {
        .http = http, .call = call, .requests = requests, .n_requests = n_requests};
    size_t n_bound = n_in_flight == 0 ? 1 : n_in_flight;
    if (!round_init(&round, n_bound)) {
        return COMRADE_NO_MEMORY;
    }
    curl_multi_setopt(http->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)n_bound);
    run(&round);
    round_finish(&round);
    return COMRADE_OK;
}
