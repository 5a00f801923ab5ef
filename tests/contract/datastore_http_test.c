/*
 * Requests over HTTP: several at a time, within the call's bounds, and true about what the server
 * may have seen. The server is in the test, and does what no server should.
 */
#include "store/datastore/http.h"

#include "contract/contract.h"
#include "lib/allocation.h"
#include "lib/datastore_http.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { SHORT_MS = 80, HANG_MS = 5000, LARGE_BYTES = 8 * 1024 * 1024 };

static char url[64];
static struct http_server *server;
static struct http *http;

static void begin(http_answerer answer, void *user)
{
    server = http_server_start(answer, user);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/v1", http_server_port(server));
    http = http_new();
    assert_non_null(http);
}

static void end(void)
{
    http_free(http);
    http_server_stop(server);
}

static struct http_request post_of(const char *body)
{
    return (struct http_request){
        .url = url, .body = body, .body_len = strlen(body), .content_type = "application/json"};
}

static void perform(struct http_request *request)
{
    comrade_call call = contract_call();
    assert_int_equal(http_perform(http, &call, request, 1, 1), COMRADE_OK);
}

/* Performs it within a short time, which it must use up. */
static void perform_shortly(struct http_request *request)
{
    comrade_call call = contract_call();
    int64_t begin_ms = call.now_ms(call.clock);
    call.deadline_ms = begin_ms + SHORT_MS;
    assert_int_equal(http_perform(http, &call, request, 1, 1), COMRADE_OK);
    int64_t took_ms = call.now_ms(call.clock) - begin_ms;
    assert_true(took_ms >= SHORT_MS && took_ms < HANG_MS);
}

/* --- Answers -----------------------------------------------------------------------------------
 */

static bool answer_well(struct http_exchange *exchange)
{
    http_exchange_answer(exchange, 200, NULL, "{\"is\":\"well\"}");
    return true;
}

static void an_answer_is_read_whole_with_its_date(void **state)
{
    (void)state;
    begin(answer_well, NULL);
    http_server_shift_date(server, 86400);
    struct http_request request = post_of("{}");
    perform(&request);
    assert_int_equal(request.status, 200);
    assert_string_equal(buffer_text(&request.answer), "{\"is\":\"well\"}");
    assert_string_equal(request.failure, "");
    int64_t ahead_ms = request.date_ms - (int64_t)time(NULL) * 1000;
    assert_true(ahead_ms > 86000 * 1000 && ahead_ms < 87000 * 1000);
    http_request_finish(&request);
    assert_null(request.answer.bytes);
    http_request_finish(&request);
    end();
}

static bool repeat_request(struct http_exchange *exchange)
{
    char text[4096];
    snprintf(text, sizeof text, "%s%s", exchange->request, exchange->body);
    http_exchange_answer(exchange, 404, NULL, text);
    return true;
}

static void a_request_says_what_is_asked_and_who_asks(void **state)
{
    (void)state;
    begin(repeat_request, NULL);
    static const char *const headers[] = {"Authorization: Bearer t", "x-goog-request-params: p"};
    struct http_request request = post_of("{\"a\":1}");
    request.headers = headers;
    request.n_headers = 2;
    perform(&request);
    assert_int_equal(request.status, 404);
    const char *text = buffer_text(&request.answer);
    assert_non_null(strstr(text, "POST /v1 HTTP/1.1\r\n"));
    assert_non_null(strstr(text, "\r\nAuthorization: Bearer t\r\nx-goog-request-params: p\r\n"));
    assert_non_null(strstr(text, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(text, "\r\nContent-Length: 7\r\n"));
    assert_non_null(strstr(text, "\r\nUser-Agent: comrade/"));
    assert_non_null(strstr(text, "{\"a\":1}"));
    assert_null(strstr(text, "Expect:"));
    assert_null(strstr(text, "Accept-Encoding:"));
    http_request_finish(&request);

    struct http_request get = {.url = url};
    perform(&get);
    text = buffer_text(&get.answer);
    assert_non_null(strstr(text, "GET /v1 HTTP/1.1\r\n"));
    assert_null(strstr(text, "Authorization")); /* nothing is left of the one before */
    assert_null(strstr(text, "Content-"));
    http_request_finish(&get);
    assert_int_equal(http_server_connections(server), 1);
    end();
}

static bool send_elsewhere(struct http_exchange *exchange)
{
    char headers[128];
    snprintf(headers, sizeof headers, "Location: %s/else\r\n", url);
    http_exchange_answer(exchange, 302, headers, "");
    return true;
}

static void a_redirection_is_not_followed(void **state)
{
    (void)state;
    begin(send_elsewhere, NULL);
    struct http_request request = {.url = url};
    perform(&request);
    assert_int_equal(request.status, 302);
    assert_int_equal(http_server_requests(server), 1);
    http_request_finish(&request);
    struct http_request file = {.url = "file:///etc/hostname"};
    perform(&file);
    assert_int_equal(file.status, 0);
    assert_non_null(strstr(file.failure, "not supported"));
    end();
}

/* --- Several -----------------------------------------------------------------------------------
 */

enum { MANY = 11, IN_FLIGHT = 3 };

struct meeting {
    pthread_mutex_t lock;
    pthread_cond_t come;
    size_t n_here;
    size_t n_most;
    bool is_missed;
};

/* Nobody leaves before so many have met as may be in flight. */
static bool meet(struct http_exchange *exchange)
{
    struct meeting *meeting = exchange->user;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += HANG_MS / 1000;
    pthread_mutex_lock(&meeting->lock);
    meeting->n_here++;
    meeting->n_most = meeting->n_here > meeting->n_most ? meeting->n_here : meeting->n_most;
    pthread_cond_broadcast(&meeting->come);
    while (meeting->n_most < IN_FLIGHT && !meeting->is_missed) {
        meeting->is_missed = pthread_cond_timedwait(&meeting->come, &meeting->lock, &until) != 0;
    }
    meeting->n_here--;
    pthread_mutex_unlock(&meeting->lock);
    http_exchange_answer(exchange, 200, NULL, exchange->body);
    return true;
}

static void several_are_in_flight_and_no_more_than_asked(void **state)
{
    (void)state;
    struct meeting meeting = {.lock = PTHREAD_MUTEX_INITIALIZER, .come = PTHREAD_COND_INITIALIZER};
    begin(meet, &meeting);
    struct http_request requests[MANY];
    char bodies[MANY][8];
    for (int i = 0; i < MANY; i++) {
        snprintf(bodies[i], sizeof bodies[i], "{%d}", i);
        requests[i] = post_of(bodies[i]);
    }
    comrade_call call = contract_call();
    assert_int_equal(http_perform(http, &call, requests, MANY, IN_FLIGHT), COMRADE_OK);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(requests[i].status, 200);
        assert_string_equal(buffer_text(&requests[i].answer), bodies[i]); /* its own */
        http_request_finish(&requests[i]);
    }
    assert_int_equal(meeting.n_most, IN_FLIGHT);
    assert_false(meeting.is_missed);
    assert_true(http_server_connections(server) <= IN_FLIGHT); /* and they are used again */
    end();
}

static bool refuse_the_second(struct http_exchange *exchange)
{
    if (strcmp(exchange->body, "second") == 0) {
        return false;
    }
    return answer_well(exchange);
}

static void one_that_fails_fails_alone(void **state)
{
    (void)state;
    begin(refuse_the_second, NULL);
    struct http_request requests[] = {post_of("first"), post_of("second"), post_of("third")};
    comrade_call call = contract_call();
    assert_int_equal(http_perform(http, &call, requests, 3, 1), COMRADE_OK);
    assert_int_equal(requests[0].status, 200);
    assert_int_equal(requests[1].status, 0);
    assert_true(requests[1].may_be_done);
    assert_int_equal(requests[2].status, 200);
    for (int i = 0; i < 3; i++) {
        http_request_finish(&requests[i]);
    }
    end();
}

static void none_is_none(void **state)
{
    (void)state;
    begin(answer_well, NULL);
    comrade_call call = contract_call();
    assert_int_equal(http_perform(http, &call, NULL, 0, 4), COMRADE_OK);
    end();
}

/* --- What a server should not do ---------------------------------------------------------------
 */

static bool say_half(struct http_exchange *exchange)
{
    const char *text = exchange->user;
    http_exchange_say(exchange, text, strlen(text));
    return false;
}

static void half_an_answer_is_none(void **state)
{
    (void)state;
    static const char *const halves[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"half\":",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"hal\r\n",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 200 OK\r\nContent-Length: none\r\n\r\n{}",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "",
    };
    for (size_t i = 0; i < sizeof halves / sizeof halves[0]; i++) {
        void *half = strdup(halves[i]);
        begin(say_half, half);
        struct http_request request = post_of("{}");
        perform(&request);
        if (request.status != 0) {
            fail_msg("taken for an answer: %s", halves[i]);
        }
        assert_true(request.may_be_done);
        assert_true(request.failure[0] != '\0');
        assert_int_equal(request.answer.len, 0);
        http_request_finish(&request);
        end();
        free(half);
    }
}

static bool close_the_second(struct http_exchange *exchange)
{
    if (exchange->nth == 2) {
        return false;
    }
    http_exchange_answer(exchange, 200, NULL, exchange->body);
    return true;
}

static void a_post_is_not_sent_twice(void **state)
{
    (void)state;
    begin(close_the_second, NULL);
    struct http_request request = post_of("{}");
    perform(&request);
    assert_int_equal(request.status, 200);
    http_request_finish(&request);
    perform(&request); /* over the connection that was kept, which is closed without an answer */
    assert_int_equal(request.status, 0);
    assert_true(request.may_be_done);
    assert_string_equal(request.failure, "the connection was closed before the answer");
    assert_int_equal(http_server_requests(server), 2);
    http_request_finish(&request);
    perform(&request);
    assert_int_equal(request.status, 200);
    http_request_finish(&request);
    end();
}

static void a_read_goes_out_again_where_a_kept_connection_was_closed(void **state)
{
    (void)state;
    begin(close_the_second, NULL);
    struct http_request request = post_of("{}");
    request.is_repeatable = true;
    for (int i = 0; i < 2; i++) {
        perform(&request);
        assert_int_equal(request.status, 200);
        assert_string_equal(buffer_text(&request.answer), "{}");
        http_request_finish(&request);
    }
    assert_int_equal(http_server_requests(server), 3);
    end();
}

static bool never_come(struct http_exchange *exchange)
{
    (void)exchange;
    return false;
}

static void a_request_that_was_not_taken_whole_is_not_done(void **state)
{
    (void)state;
    begin(never_come, NULL); /* the server closes where a request is longer than it likes */
    char *body = malloc(LARGE_BYTES + 1);
    assert_non_null(body);
    memset(body, ' ', LARGE_BYTES);
    body[LARGE_BYTES] = '\0';
    struct http_request request = post_of(body);
    perform(&request);
    assert_int_equal(request.status, 0);
    assert_false(request.may_be_done);
    assert_int_equal(http_server_requests(server), 0);
    http_request_finish(&request);
    free(body);
    end();
}

static void nobody_there_is_not_done(void **state)
{
    (void)state;
    begin(answer_well, NULL);
    http_server_stop(server);
    struct http_request request = post_of("{}");
    perform(&request);
    assert_int_equal(request.status, 0);
    assert_false(request.may_be_done);
    assert_non_null(strstr(request.failure, "127.0.0.1"));
    http_request_finish(&request);
    request.url = "http://nobody.invalid/";
    perform(&request);
    assert_int_equal(request.status, 0);
    assert_false(request.may_be_done);
    assert_non_null(strstr(request.failure, "nobody.invalid"));
    http_request_finish(&request);
    http_free(http);
}

static bool say_too_much(struct http_exchange *exchange)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    static const char zeros[64 * 1024];
    http_exchange_say(exchange, head, sizeof head - 1);
    for (size_t i = 0; i <= HTTP_ANSWER_LIMIT / sizeof zeros; i++) {
        http_exchange_say(exchange, zeros, sizeof zeros);
    }
    return false;
}

static void an_answer_has_a_limit(void **state)
{
    (void)state;
    begin(say_too_much, NULL);
    struct http_request request = {.url = url};
    perform(&request);
    assert_int_equal(request.status, 0);
    assert_string_equal(request.failure, "the answer is too large");
    assert_false(request.is_out_of_memory);
    assert_null(request.answer.bytes);
    http_request_finish(&request);
    end();
}

/* --- Bounds ------------------------------------------------------------------------------------
 */

static bool be_silent_first(struct http_exchange *exchange)
{
    if (exchange->nth == 1) {
        http_exchange_wait_for_close(exchange);
        return false;
    }
    return answer_well(exchange);
}

static void silence_ends_with_the_call(void **state)
{
    (void)state;
    begin(be_silent_first, NULL);
    struct http_request request = post_of("{}");
    perform_shortly(&request);
    assert_int_equal(request.status, 0);
    assert_true(request.may_be_done);
    assert_string_equal(request.failure, "no answer in time");
    http_request_finish(&request);
    perform(&request);
    assert_int_equal(request.status, 200);
    http_request_finish(&request);
    assert_int_equal(http_server_connections(server), 2);
    end();
}

static void cancelling_ends_the_call_from_its_moment_on(void **state)
{
    (void)state;
    begin(be_silent_first, NULL);
    comrade_call call = contract_call();
    int64_t begin_ms = call.now_ms(call.clock);
    call.cancel_fd = eventfd(1, EFD_CLOEXEC); /* asked for already */
    call.cancellable_ms = begin_ms + SHORT_MS;
    struct http_request requests[] = {post_of("{}"), post_of("{}")};
    assert_int_equal(http_perform(http, &call, requests, 2, 1), COMRADE_OK);
    int64_t took_ms = call.now_ms(call.clock) - begin_ms;
    assert_true(took_ms >= SHORT_MS && took_ms < HANG_MS);
    assert_true(requests[0].may_be_done);
    assert_string_equal(requests[0].failure, "no answer before it was cancelled");
    assert_false(requests[1].may_be_done);
    assert_string_equal(requests[1].failure, "not sent before it was cancelled");
    assert_int_equal(http_server_requests(server), 1);
    http_request_finish(&requests[0]);
    http_request_finish(&requests[1]);
    close(call.cancel_fd);
    end();
}

static void *cancel_soon(void *user)
{
    usleep(SHORT_MS * 1000);
    assert_int_equal(eventfd_write(*(int *)user, 1), 0);
    return NULL;
}

static void cancelling_ends_a_wait(void **state)
{
    (void)state;
    begin(be_silent_first, NULL);
    comrade_call call = contract_call();
    call.cancel_fd = eventfd(0, EFD_CLOEXEC);
    call.cancellable_ms = 0;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &call.cancel_fd), 0);
    struct http_request request = post_of("{}");
    int64_t begin_ms = call.now_ms(call.clock);
    assert_int_equal(http_perform(http, &call, &request, 1, 1), COMRADE_OK);
    assert_true(call.now_ms(call.clock) - begin_ms < HANG_MS);
    assert_int_equal(request.status, 0);
    assert_string_equal(request.failure, "no answer before it was cancelled");
    pthread_join(thread, NULL);
    close(call.cancel_fd);
    http_request_finish(&request);
    end();
}

static void nothing_is_sent_when_the_call_is_over(void **state)
{
    (void)state;
    begin(answer_well, NULL);
    comrade_call call = contract_call();
    call.deadline_ms = call.now_ms(call.clock);
    struct http_request request = post_of("{}");
    assert_int_equal(http_perform(http, &call, &request, 1, 1), COMRADE_OK);
    assert_int_equal(request.status, 0);
    assert_false(request.may_be_done);
    assert_string_equal(request.failure, "not sent in time");
    assert_int_equal(http_server_connections(server), 0);
    end();
}

/* A backlog that is full: connections are neither taken nor refused. */
static void connecting_has_a_bound_of_its_own(void **state)
{
    (void)state;
    begin(answer_well, NULL);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    int fillers[4];
    for (int i = 0; i < 4; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], (struct sockaddr *)&address, len);
    }
    char full[64];
    snprintf(full, sizeof full, "http://127.0.0.1:%d/", ntohs(address.sin_port));
    struct http_request request = post_of("{}");
    request.url = full;
    request.connect_ms = SHORT_MS;
    perform(&request);
    assert_int_equal(request.status, 0);
    assert_false(request.may_be_done);
    assert_non_null(strstr(request.failure, "imeout"));
    http_request_finish(&request);
    request.connect_ms = 0;
    perform_shortly(&request);
    assert_string_equal(request.failure, "no connection in time");
    assert_false(request.may_be_done);
    http_request_finish(&request);
    for (int i = 0; i < 4; i++) {
        close(fillers[i]);
    }
    close(fd);
    end();
}

/* --- A resolver that hangs ---------------------------------------------------------------------
 */

static int release_fd = -1;

/* libcurl resolves in a thread of its own, through this. */
__attribute__((visibility("default"))) int getaddrinfo(const char *node, const char *service,
                                                       const struct addrinfo *hints,
                                                       struct addrinfo **list)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = NULL;
    void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");
    memcpy(&real, &symbol, sizeof real);
    if (node != NULL && strcmp(node, "hang.invalid") == 0) {
        eventfd_t n = 0;
        eventfd_read(release_fd, &n);
        return EAI_FAIL;
    }
    return real(node, service, hints, list);
}

static void a_resolver_that_hangs_holds_nothing_up(void **state)
{
    (void)state;
    begin(answer_well, NULL);
    release_fd = eventfd(0, EFD_CLOEXEC);
    struct http_request request = post_of("{}");
    request.url = "http://hang.invalid/";
    perform_shortly(&request);
    assert_int_equal(request.status, 0);
    assert_false(request.may_be_done);
    assert_string_equal(request.failure, "no connection in time");
    http_request_finish(&request);
    request.url = url;
    perform(&request);
    assert_int_equal(request.status, 200);
    http_request_finish(&request);
    comrade_call call = contract_call();
    int64_t begin_ms = call.now_ms(call.clock);
    end();
    assert_true(call.now_ms(call.clock) - begin_ms < HANG_MS);
    assert_int_equal(eventfd_write(release_fd, 1), 0); /* its thread may end now */
}

/* --- Surroundings ------------------------------------------------------------------------------
 */

static void a_proxy_is_for_other_machines(void **state)
{
    (void)state;
    begin(repeat_request, NULL);
    char proxy[64];
    snprintf(proxy, sizeof proxy, "127.0.0.1:%d", http_server_port(server));
    setenv("http_proxy", proxy, 1);
    struct http_request request = {.url = "http://elsewhere.invalid/x"};
    perform(&request);
    assert_non_null(strstr(buffer_text(&request.answer), "GET http://elsewhere.invalid/x HTTP"));
    http_request_finish(&request);
    request.is_direct = true;
    perform(&request);
    assert_int_equal(request.status, 0);
    http_request_finish(&request);
    setenv("http_proxy", "127.0.0.1:1", 1);
    struct http_request local = {.url = url};
    perform(&local);
    assert_int_equal(local.status, 404);
    http_request_finish(&local);
    unsetenv("http_proxy");
    end();
}

enum { FDS_MAX = 1024 };

/* Of those that were not open before the test. */
static int n_sockets(const bool were_open[FDS_MAX], bool *are_closed_on_exec)
{
    int n = 0;
    *are_closed_on_exec = true;
    for (int fd = 0; fd < FDS_MAX; fd++) {
        int type = 0;
        socklen_t len = sizeof type;
        if (!were_open[fd] && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0) {
            n++;
            *are_closed_on_exec = *are_closed_on_exec && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
        }
    }
    return n;
}

static void all_sockets_are_closed_on_exec(void **state)
{
    (void)state;
    int others[2]; /* of somebody who wants to pass them on */
    bool are_closed = true;
    bool were_open[FDS_MAX];
    for (int fd = 0; fd < FDS_MAX; fd++) {
        were_open[fd] = fcntl(fd, F_GETFD) >= 0;
    }
    begin(be_silent_first, NULL);
    assert_true(n_sockets(were_open, &are_closed) >= 1);
    struct http_request request = {.url = url};
    perform_shortly(&request); /* and all is made anew */
    http_request_finish(&request);
    perform(&request);
    http_request_finish(&request);
    assert_true(n_sockets(were_open, &are_closed) >= 3); /* both ends are here */
    assert_true(are_closed);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, others), 0);
    http_free(http);
    http = http_new();
    assert_int_equal(fcntl(others[0], F_GETFD), 0);
    assert_int_equal(fcntl(others[1], F_GETFD), 0);
    close(others[0]);
    close(others[1]);
    assert_true(n_sockets(were_open, &are_closed) >= 1);
    assert_true(are_closed);
    end();
}

static comrade_status perform_two(void *user)
{
    (void)user;
    struct http *own = http_new();
    if (own == NULL) {
        return COMRADE_NO_MEMORY;
    }
    comrade_call call = contract_call();
    struct http_request requests[] = {post_of("{}"), post_of("{}")};
    comrade_status status = http_perform(own, &call, requests, 2, 2);
    for (int i = 0; i < 2 && status == COMRADE_OK; i++) {
        assert_true(requests[i].is_out_of_memory == (requests[i].status == 0));
        assert_true(requests[i].status == 200 || strcmp(requests[i].failure, "out of memory") == 0);
        status = requests[i].is_out_of_memory ? COMRADE_NO_MEMORY : COMRADE_OK;
    }
    http_request_finish(&requests[0]);
    http_request_finish(&requests[1]);
    http_free(own);
    return status;
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    begin(answer_well, NULL);
    for_each_failed_allocation(perform_two, NULL);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_read_whole_with_its_date),
        cmocka_unit_test(a_request_says_what_is_asked_and_who_asks),
        cmocka_unit_test(a_redirection_is_not_followed),
        cmocka_unit_test(several_are_in_flight_and_no_more_than_asked),
        cmocka_unit_test(one_that_fails_fails_alone),
        cmocka_unit_test(none_is_none),
        cmocka_unit_test(half_an_answer_is_none),
        cmocka_unit_test(a_post_is_not_sent_twice),
        cmocka_unit_test(a_read_goes_out_again_where_a_kept_connection_was_closed),
        cmocka_unit_test(a_request_that_was_not_taken_whole_is_not_done),
        cmocka_unit_test(nobody_there_is_not_done),
        cmocka_unit_test(an_answer_has_a_limit),
        cmocka_unit_test(silence_ends_with_the_call),
        cmocka_unit_test(cancelling_ends_the_call_from_its_moment_on),
        cmocka_unit_test(cancelling_ends_a_wait),
        cmocka_unit_test(nothing_is_sent_when_the_call_is_over),
        cmocka_unit_test(connecting_has_a_bound_of_its_own),
        cmocka_unit_test(a_resolver_that_hangs_holds_nothing_up),
        cmocka_unit_test(a_proxy_is_for_other_machines),
        cmocka_unit_test(all_sockets_are_closed_on_exec),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
