/* Requests over HTTP stay within the call's bounds, whoever hangs, and within this process. */
#include "contract/datastore_wire.h"

#include "contract/contract.h"
#include "lib/allocation.h"

#include <arpa/inet.h>
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
#include <unistd.h>

#include <cmocka.h>

/* --- Bounds ------------------------------------------------------------------------------------
 */

static void silence_ends_with_the_call(void **state)
{
    (void)state;
    wire_begin(be_silent_first, NULL);
    struct http_request request = post_of("{}");
    perform_shortly(&request);
    assert_int_equal(request.status, 0);
    assert_true(request.may_be_done);
    assert_string_equal(request.failure, "no answer in time");
    http_request_finish(&request);
    perform(&request);
    assert_int_equal(request.status, 200);
    http_request_finish(&request);
    assert_int_equal(http_server_connections(wire.server), 2);
    wire_end();
}

static void cancelling_ends_the_call_from_its_moment_on(void **state)
{
    (void)state;
    wire_begin(be_silent_first, NULL);
    comrade_call call = contract_call();
    int64_t begin_ms = call.now_ms(call.clock);
    call.cancel_fd = eventfd(1, EFD_CLOEXEC); /* asked for already */
    call.cancellable_ms = begin_ms + SHORT_MS;
    struct http_request requests[] = {post_of("{}"), post_of("{}")};
    assert_int_equal(http_perform(wire.http, &call, requests, 2, 1), COMRADE_OK);
    int64_t took_ms = call.now_ms(call.clock) - begin_ms;
    assert_true(took_ms >= SHORT_MS && took_ms < HANG_MS);
    assert_true(requests[0].may_be_done);
    assert_string_equal(requests[0].failure, "no answer before it was cancelled");
    assert_false(requests[1].may_be_done);
    assert_string_equal(requests[1].failure, "not sent before it was cancelled");
    assert_int_equal(http_server_requests(wire.server), 1);
    http_request_finish(&requests[0]);
    http_request_finish(&requests[1]);
    close(call.cancel_fd);
    wire_end();
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
    wire_begin(be_silent_first, NULL);
    comrade_call call = contract_call();
    call.cancel_fd = eventfd(0, EFD_CLOEXEC);
    call.cancellable_ms = 0;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &call.cancel_fd), 0);
    struct http_request request = post_of("{}");
    int64_t begin_ms = call.now_ms(call.clock);
    assert_int_equal(http_perform(wire.http, &call, &request, 1, 1), COMRADE_OK);
    assert_true(call.now_ms(call.clock) - begin_ms < HANG_MS);
    assert_int_equal(request.status, 0);
    assert_string_equal(request.failure, "no answer before it was cancelled");
    pthread_join(thread, NULL);
    close(call.cancel_fd);
    http_request_finish(&request);
    wire_end();
}

static void nothing_is_sent_when_the_call_is_over(void **state)
{
    (void)state;
    wire_begin(answer_well, NULL);
    comrade_call call = contract_call();
    call.deadline_ms = call.now_ms(call.clock);
    struct http_request request = post_of("{}");
    assert_int_equal(http_perform(wire.http, &call, &request, 1, 1), COMRADE_OK);
    assert_int_equal(request.status, 0);
    assert_false(request.may_be_done);
    assert_string_equal(request.failure, "not sent in time");
    assert_int_equal(http_server_connections(wire.server), 0);
    wire_end();
}

/* A backlog that is full: connections are neither taken nor refused. */
static void connecting_has_a_bound_of_its_own(void **state)
{
    (void)state;
    wire_begin(answer_well, NULL);
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
    wire_end();
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
    wire_begin(answer_well, NULL);
    release_fd = eventfd(0, EFD_CLOEXEC);
    struct http_request request = post_of("{}");
    request.url = "http://hang.invalid/";
    perform_shortly(&request);
    assert_int_equal(request.status, 0);
    assert_false(request.may_be_done);
    assert_string_equal(request.failure, "no connection in time");
    http_request_finish(&request);
    request.url = wire.url;
    perform(&request);
    assert_int_equal(request.status, 200);
    http_request_finish(&request);
    comrade_call call = contract_call();
    int64_t begin_ms = call.now_ms(call.clock);
    wire_end();
    assert_true(call.now_ms(call.clock) - begin_ms < HANG_MS);
    assert_int_equal(eventfd_write(release_fd, 1), 0); /* its thread may end now */
}

/* --- Surroundings ------------------------------------------------------------------------------
 */

static void a_proxy_is_for_other_machines(void **state)
{
    (void)state;
    wire_begin(repeat_request, NULL);
    char proxy[64];
    snprintf(proxy, sizeof proxy, "127.0.0.1:%d", http_server_port(wire.server));
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
    struct http_request local = {.url = wire.url};
    perform(&local);
    assert_int_equal(local.status, 404);
    http_request_finish(&local);
    unsetenv("http_proxy");
    wire_end();
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
    wire_begin(be_silent_first, NULL);
    assert_true(n_sockets(were_open, &are_closed) >= 1);
    struct http_request request = {.url = wire.url};
    perform_shortly(&request); /* and all is made anew */
    http_request_finish(&request);
    perform(&request);
    http_request_finish(&request);
    assert_true(n_sockets(were_open, &are_closed) >= 3); /* both ends are here */
    assert_true(are_closed);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, others), 0);
    http_free(wire.http);
    wire.http = http_new();
    assert_int_equal(fcntl(others[0], F_GETFD), 0);
    assert_int_equal(fcntl(others[1], F_GETFD), 0);
    close(others[0]);
    close(others[1]);
    assert_true(n_sockets(were_open, &are_closed) >= 1);
    assert_true(are_closed);
    wire_end();
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
    wire_begin(answer_well, NULL);
    for_each_failed_allocation(perform_two, NULL);
    wire_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
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
