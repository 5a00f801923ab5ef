/*
 * Requests over HTTP: several at a time, and true about what the server may have seen. The server
 * is in the test, and does what no server should.
 */
#include "contract/datastore_wire.h"

#include "contract/contract.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { LARGE_BYTES = 8 * 1024 * 1024 };

/* --- Answers -----------------------------------------------------------------------------------
 */

static void an_answer_is_read_whole_with_its_date(void **state)
{
    (void)state;
    wire_begin(answer_well, NULL);
    http_server_shift_date(wire.server, 86400);
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
    wire_end();
}

static void a_request_says_what_is_asked_and_who_asks(void **state)
{
    (void)state;
    wire_begin(repeat_request, NULL);
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

    struct http_request get = {.url = wire.url};
    perform(&get);
    text = buffer_text(&get.answer);
    assert_non_null(strstr(text, "GET /v1 HTTP/1.1\r\n"));
    assert_null(strstr(text, "Authorization")); /* nothing is left of the one before */
    assert_null(strstr(text, "Content-"));
    http_request_finish(&get);
    assert_int_equal(http_server_connections(wire.server), 1);
    wire_end();
}

static bool send_elsewhere(struct http_exchange *exchange)
{
    char headers[128];
    snprintf(headers, sizeof headers, "Location: %s/else\r\n", wire.url);
    http_exchange_answer(exchange, 302, headers, "");
    return true;
}

static void a_redirection_is_not_followed(void **state)
{
    (void)state;
    wire_begin(send_elsewhere, NULL);
    struct http_request request = {.url = wire.url};
    perform(&request);
    assert_int_equal(request.status, 302);
    assert_int_equal(http_server_requests(wire.server), 1);
    http_request_finish(&request);
    struct http_request file = {.url = "file:///etc/hostname"};
    perform(&file);
    assert_int_equal(file.status, 0);
    assert_non_null(strstr(file.failure, "not supported"));
    wire_end();
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
    wire_begin(meet, &meeting);
    struct http_request requests[MANY];
    char bodies[MANY][8];
    for (int i = 0; i < MANY; i++) {
        snprintf(bodies[i], sizeof bodies[i], "{%d}", i);
        requests[i] = post_of(bodies[i]);
    }
    comrade_call call = contract_call();
    assert_int_equal(http_perform(wire.http, &call, requests, MANY, IN_FLIGHT), COMRADE_OK);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(requests[i].status, 200);
        assert_string_equal(buffer_text(&requests[i].answer), bodies[i]); /* its own */
        http_request_finish(&requests[i]);
    }
    assert_int_equal(meeting.n_most, IN_FLIGHT);
    assert_false(meeting.is_missed);
    assert_true(http_server_connections(wire.server) <= IN_FLIGHT); /* and they are used again */
    wire_end();
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
    wire_begin(refuse_the_second, NULL);
    struct http_request requests[] = {post_of("first"), post_of("second"), post_of("third")};
    comrade_call call = contract_call();
    assert_int_equal(http_perform(wire.http, &call, requests, 3, 1), COMRADE_OK);
    assert_int_equal(requests[0].status, 200);
    assert_int_equal(requests[1].status, 0);
    assert_true(requests[1].may_be_done);
    assert_int_equal(requests[2].status, 200);
    for (int i = 0; i < 3; i++) {
        http_request_finish(&requests[i]);
    }
    wire_end();
}

static void none_is_none(void **state)
{
    (void)state;
    wire_begin(answer_well, NULL);
    comrade_call call = contract_call();
    assert_int_equal(http_perform(wire.http, &call, NULL, 0, 4), COMRADE_OK);
    wire_end();
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
        wire_begin(say_half, half);
        struct http_request request = post_of("{}");
        perform(&request);
        if (request.status != 0) {
            fail_msg("taken for an answer: %s", halves[i]);
        }
        assert_true(request.may_be_done);
        assert_true(request.failure[0] != '\0');
        assert_int_equal(request.answer.len, 0);
        http_request_finish(&request);
        wire_end();
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
    wire_begin(close_the_second, NULL);
    struct http_request request = post_of("{}");
    perform(&request);
    assert_int_equal(request.status, 200);
    http_request_finish(&request);
    perform(&request); /* over the connection that was kept, which is closed without an answer */
    assert_int_equal(request.status, 0);
    assert_true(request.may_be_done);
    assert_string_equal(request.failure, "the connection was closed before the answer");
    assert_int_equal(http_server_requests(wire.server), 2);
    http_request_finish(&request);
    perform(&request);
    assert_int_equal(request.status, 200);
    http_request_finish(&request);
    wire_end();
}

static void a_read_goes_out_again_where_a_kept_connection_was_closed(void **state)
{
    (void)state;
    wire_begin(close_the_second, NULL);
    struct http_request request = post_of("{}");
    request.is_repeatable = true;
    for (int i = 0; i < 2; i++) {
        perform(&request);
        assert_int_equal(request.status, 200);
        assert_string_equal(buffer_text(&request.answer), "{}");
        http_request_finish(&request);
    }
    assert_int_equal(http_server_requests(wire.server), 3);
    wire_end();
}

static bool never_come(struct http_exchange *exchange)
{
    (void)exchange;
    return false;
}

static void a_request_that_was_not_taken_whole_is_not_done(void **state)
{
    (void)state;
    wire_begin(never_come, NULL); /* the server closes where a request is longer than it likes */
    char *body = malloc(LARGE_BYTES + 1);
    assert_non_null(body);
    memset(body, ' ', LARGE_BYTES);
    body[LARGE_BYTES] = '\0';
    struct http_request request = post_of(body);
    perform(&request);
    assert_int_equal(request.status, 0);
    assert_false(request.may_be_done);
    assert_int_equal(http_server_requests(wire.server), 0);
    http_request_finish(&request);
    free(body);
    wire_end();
}

static void nobody_there_is_not_done(void **state)
{
    (void)state;
    wire_begin(answer_well, NULL);
    http_server_stop(wire.server);
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
    http_free(wire.http);
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
    wire_begin(say_too_much, NULL);
    struct http_request request = {.url = wire.url};
    perform(&request);
    assert_int_equal(request.status, 0);
    assert_string_equal(request.failure, "the answer is too large");
    assert_false(request.is_out_of_memory);
    assert_null(request.answer.bytes);
    http_request_finish(&request);
    wire_end();
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
