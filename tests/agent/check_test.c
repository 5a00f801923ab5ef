/*
 * Checks against real sockets and commands. The server is the test itself: the kernel completes a
 * connection before it is accepted, so one thread plays both sides, in an order of its choice, and
 * steps the clock.
 */
#include "keeper_fixture.h"
#include "lib/allocation.h"
#include "lib/unruly.h"

#include "agent/check.h"
#include "agent/check_http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { STEPS_MAX = 100000, POLL_MAX_MS = 30000 };

/* --- Both sides ---------------------------------------------------------------------------- */

struct server {
    int listener;
    int port;
    int fd; /* the connection of the check */
};

static struct server serve_on(int family, int port)
{
    struct server server = {.fd = -1};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((in_port_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((in_port_t)port)};
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    v6.sin6_addr = in6addr_loopback;
    bool is_v4 = family == AF_INET;
    socklen_t len = is_v4 ? sizeof v4 : sizeof v6;
    struct sockaddr *address = is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
    server.listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server.listener < 0 || bind(server.listener, address, len) < 0) {
        server.listener = -1;
        return server;
    }
    EXPECT(listen(server.listener, 5) == 0);
    EXPECT(getsockname(server.listener, address, &len) == 0);
    server.port = ntohs(is_v4 ? v4.sin_port : v6.sin6_port);
    return server;
}

static struct server serve(void)
{
    struct server server = serve_on(AF_INET, 0);
    EXPECT(server.listener >= 0);
    return server;
}

static void stop(struct server *server)
{
    if (server->fd >= 0) {
        close(server->fd);
    }
    close(server->listener);
}

static int free_port(void)
{
    struct server server = serve();
    stop(&server);
    return server.port;
}

static struct check *make(enum check_kind kind, int port)
{
    struct check_options options = CHECK_OPTIONS_INIT;
    options.kind = kind;
    options.host = "127.0.0.1";
    options.port = port;
    options.path = "/health";
    struct check *check = NULL;
    assert_int_equal(check_new(&options, &check, NULL), COMRADE_OK);
    return check;
}

/* Steps at time 0 as its descriptor gets ready, until it has a result or nothing is to do. */
static enum check_result step_while_ready(struct check *check, int wait_ms)
{
    enum check_result result = CHECK_RUNNING;
    struct pollfd ready;
    int n_steps = 0;
    do {
        result = check_step(check, 0);
        ready = (struct pollfd){.fd = check_fd(check), .events = check_events(check)};
        EXPECT(++n_steps < STEPS_MAX);
    } while (result == CHECK_RUNNING && ready.fd >= 0 && poll(&ready, 1, wait_ms) > 0);
    return result;
}

static enum check_result step_until_result(struct check *check)
{
    enum check_result result = step_while_ready(check, POLL_MAX_MS);
    assert_int_not_equal(result, CHECK_RUNNING);
    return result;
}

/* Begins, and takes the connection and the request. */
static void take_request(struct server *server, struct check *check, char *request, size_t size)
{
    check_begin(check, 0);
    EXPECT(step_while_ready(check, 0) == CHECK_RUNNING);
    server->fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
    EXPECT(server->fd >= 0);
    EXPECT(step_while_ready(check, 0) == CHECK_RUNNING);
    struct pollfd readable = {.fd = server->fd, .events = POLLIN};
    EXPECT(poll(&readable, 1, POLL_MAX_MS) == 1);
    ssize_t n_bytes = read(server->fd, request, size - 1);
    EXPECT(n_bytes > 0);
    request[n_bytes] = '\0';
}

static void answer(struct server *server, const char *text)
{
    EXPECT(send(server->fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

static void hang_up(struct server *server)
{
    close(server->fd);
    server->fd = -1;
}

/* One run whose whole answer is `text`, after which the server hangs up. */
static enum check_result run_with_answer(const char *text, char reason[256])
{
    char request[512];
    struct server server = serve();
    struct check *check = make(CHECK_HTTP, server.port);
    take_request(&server, check, request, sizeof request);
    answer(&server, text);
    hang_up(&server);
    enum check_result result = step_until_result(check);
    snprintf(reason, 256, "%s", check_reason(check));
    check_free(check);
    stop(&server);
    return result;
}

/* --- HTTP ---------------------------------------------------------------------------------- */

static void a_status_from_200_to_399_passes(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 204 No Content\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n",
        "HTTP/1.1 399\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a chunk",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    };
    char reason[256];
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        assert_int_equal(run_with_answer(answers[i], reason), CHECK_PASSED);
        assert_string_equal(reason, "");
    }
}

static void another_status_fails_and_is_named(void **state)
{
    (void)state;
    char reason[256];
    assert_int_equal(run_with_answer("HTTP/1.1 500 Oops\x1b[31m\r\n\r\n", reason), CHECK_FAILED);
    assert_non_null(strstr(reason, "GET http://127.0.0.1:"));
    assert_non_null(strstr(reason, "/health: status 500"));
    assert_int_equal(run_with_answer("HTTP/1.1 400 No\r\n\r\n", reason), CHECK_FAILED);
    assert_int_equal(
        run_with_answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 No\r\n\r\n", reason),
        CHECK_FAILED);
    assert_non_null(strstr(reason, "status 503"));
}

static void what_is_no_answer_fails(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 abc\r\n\r\n",
        "\x16\x03\x01\xff\xff\xff\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", /* the headers do not end */
        "HTTP/1.1 200",
        "GET / HTTP/1.1\r\n\r\n",
        "200",
    };
    char reason[256];
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        assert_int_equal(run_with_answer(answers[i], reason), CHECK_FAILED);
        assert_int_not_equal(strlen(reason), 0);
    }
}

static void the_request_is_what_servers_expect(void **state)
{
    (void)state;
    char request[512];
    char host[64];
    struct server server = serve();
    struct check *check = make(CHECK_HTTP, server.port);
    take_request(&server, check, request, sizeof request);
    snprintf(host, sizeof host, "\r\nHost: 127.0.0.1:%d\r\n", server.port);
    assert_memory_equal(request, "GET /health HTTP/1.1\r\n", 22);
    assert_non_null(strstr(request, host));
    assert_non_null(strstr(request, "\r\nConnection: close\r\n"));
    assert_string_equal(request + strlen(request) - 4, "\r\n\r\n");
    check_free(check);
    stop(&server);
}

static void an_answer_may_come_byte_by_byte(void **state)
{
    (void)state;
    const char *text = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
    char request[512];
    struct server server = serve();
    struct check *check = make(CHECK_HTTP, server.port);
    take_request(&server, check, request, sizeof request);
    for (; text[1] != '\0'; text++) {
        answer(&server, (char[]){text[0], '\0'});
        assert_int_equal(step_while_ready(check, 0), CHECK_RUNNING);
    }
    answer(&server, text);
    assert_int_equal(step_until_result(check), CHECK_PASSED);
    check_free(check);
    stop(&server);
}

static void a_timeout_is_never_a_success(void **state)
{
    (void)state;
    char request[512];
    struct server server = serve();
    struct check *check = make(CHECK_HTTP, server.port);
    take_request(&server, check, request, sizeof request);
    assert_int_equal(check_deadline_ms(check), CHECK_TIMEOUT_DEFAULT_MS);
    assert_int_equal(check_step(check, CHECK_TIMEOUT_DEFAULT_MS - 1), CHECK_RUNNING);
    answer(&server, "HTTP/1.1 200 OK\r\n\r\n"); /* it is there, but too late */
    assert_int_equal(check_step(check, CHECK_TIMEOUT_DEFAULT_MS), CHECK_FAILED);
    assert_non_null(strstr(check_reason(check), "no answer within 2000 ms"));
    assert_int_equal(check_fd(check), -1);
    assert_int_equal(check_step(check, 0), CHECK_FAILED); /* and that is final */
    check_free(check);
    stop(&server);
}

static void a_flood_is_read_no_further_than_64_kb(void **state)
{
    (void)state;
    char request[512];
    char flood[8192];
    memset(flood, 'x', sizeof flood);
    struct server server = serve();
    struct check *check = make(CHECK_HTTP, server.port);
    take_request(&server, check, request, sizeof request);
    answer(&server, "HTTP/1.1 200 OK\r\nA: ");
    fcntl(server.fd, F_SETFL, O_NONBLOCK);
    enum check_result result = CHECK_RUNNING;
    size_t n_sent = 0;
    while (result == CHECK_RUNNING && n_sent < 100 * CHECK_HTTP_READ_MAX_BYTES) {
        ssize_t n_bytes = send(server.fd, flood, sizeof flood, MSG_NOSIGNAL);
        n_sent += n_bytes > 0 ? (size_t)n_bytes : 0;
        result = check_step(check, 0);
    }
    assert_int_equal(result, CHECK_FAILED);
    assert_non_null(strstr(check_reason(check), "64 KB"));
    check_free(check);
    stop(&server);
}

static void an_endless_body_does_not_matter(void **state)
{
    (void)state;
    char request[512];
    struct server server = serve();
    struct check *check = make(CHECK_HTTP, server.port);
    take_request(&server, check, request, sizeof request);
    answer(&server, "HTTP/1.1 200 OK\r\n\r\ndata");
    assert_int_equal(step_until_result(check), CHECK_PASSED);
    assert_int_equal(check_fd(check), -1);
    check_free(check);
    stop(&server);
}

/* --- Connections --------------------------------------------------------------------------- */

static void a_tcp_check_passes_when_it_is_accepted(void **state)
{
    (void)state;
    struct server server = serve();
    struct check *check = make(CHECK_TCP, server.port);
    check_begin(check, 0);
    assert_int_equal(step_until_result(check), CHECK_PASSED);
    assert_string_equal(check_reason(check), "");
    check_begin(check, 0); /* again and again */
    assert_int_equal(step_until_result(check), CHECK_PASSED);
    check_free(check);
    stop(&server);
}

static void a_refused_connection_fails(void **state)
{
    (void)state;
    static const enum check_kind kinds[] = {CHECK_TCP, CHECK_HTTP};
    for (size_t i = 0; i < 2; i++) {
        struct check *check = make(kinds[i], free_port());
        check_begin(check, 0);
        assert_int_equal(step_until_result(check), CHECK_FAILED);
        assert_non_null(strstr(check_reason(check), "127.0.0.1:"));
        assert_non_null(strstr(check_reason(check), "Connection refused"));
        check_free(check);
    }
}

static void localhost_is_tried_by_both_protocols(void **state)
{
    (void)state;
    struct server server = serve_on(AF_INET6, 0);
    if (server.listener < 0) {
        skip(); /* no IPv6 here */
    }
    struct check_options options = CHECK_OPTIONS_INIT;
    options.port = server.port;
    struct check *check = NULL;
    assert_int_equal(check_new(&options, &check, NULL), COMRADE_OK);
    check_begin(check, 0);
    assert_int_equal(step_until_result(check), CHECK_PASSED);
    stop(&server);
    check_begin(check, 0);
    assert_int_equal(step_until_result(check), CHECK_FAILED);
    assert_non_null(strstr(check_reason(check), "127.0.0.1:"));
    check_free(check);
}

static void a_connection_that_is_not_answered_times_out(void **state)
{
    (void)state;
    struct server server = serve();
    assert_int_equal(listen(server.listener, 0), 0);
    struct check *fillers[8];
    for (size_t i = 0; i < 8; i++) { /* the kernel drops what its queue cannot take */
        fillers[i] = make(CHECK_HTTP, server.port);
        check_begin(fillers[i], 0);
        assert_int_equal(step_while_ready(fillers[i], 0), CHECK_RUNNING);
    }
    struct check *check = make(CHECK_TCP, server.port);
    check_begin(check, 0);
    assert_int_equal(step_while_ready(check, 0), CHECK_RUNNING);
    assert_int_equal(check_events(check), POLLOUT);
    assert_int_equal(check_step(check, 2000), CHECK_FAILED);
    check_free(check);
    for (size_t i = 0; i < 8; i++) {
        check_free(fillers[i]);
    }
    stop(&server);
}

static void a_cancelled_check_hangs_up_and_has_no_result(void **state)
{
    (void)state;
    char request[512];
    struct server server = serve();
    struct check *check = make(CHECK_HTTP, server.port);
    take_request(&server, check, request, sizeof request);
    check_cancel(check);
    assert_int_equal(check_fd(check), -1);
    assert_int_equal(check_step(check, 0), CHECK_FAILED);
    assert_string_equal(check_reason(check), "");
    char byte;
    assert_true(read(server.fd, &byte, 1) <= 0);
    check_free(check);
    stop(&server);
}

/* In a network where only two ports can be chosen for a connection, one is the checked one. */
static void check_self_connection(void *user)
{
    (void)user;
    EXPECT(unshare(CLONE_NEWNET) == 0);
    struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    EXPECT(fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &loopback) == 0);
    int range = open("/proc/sys/net/ipv4/ip_local_port_range", O_WRONLY | O_CLOEXEC);
    EXPECT(range >= 0 && write(range, "40000 40001", 11) == 11);
    struct check *check = make(CHECK_TCP, 40000);
    for (int i = 0; i < 200; i++) {
        check_begin(check, 0);
        EXPECT(step_while_ready(check, POLL_MAX_MS) == CHECK_FAILED);
        EXPECT(strstr(check_reason(check), "refused") != NULL);
    }
    check_free(check);
}

static void a_connection_to_itself_is_no_success(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    assert_int_equal(run_process(PLACE_HERE, check_self_connection, NULL), 0);
}

/* --- Commands ------------------------------------------------------------------------------ */

struct command_check {
    struct keeper *keeper;
    struct keeper_command command;
    const char *argv[4];
    struct check *check;
};

static void make_command(struct command_check *made, const char *script)
{
    struct check_options options = CHECK_OPTIONS_INIT;
    *made = (struct command_check){.command = KEEPER_COMMAND_INIT};
    made->argv[0] = "sh";
    made->argv[1] = "-c";
    made->argv[2] = script;
    made->command.argv = made->argv;
    assert_int_equal(keeper_start(NULL, &made->keeper, NULL), COMRADE_OK);
    options.kind = CHECK_COMMAND;
    options.keeper = made->keeper;
    options.command = &made->command;
    assert_int_equal(check_new(&options, &made->check, NULL), COMRADE_OK);
}

static void finish_command(struct command_check *made)
{
    check_free(made->check);
    keeper_free(made->keeper);
    assert_nobody_is_left();
}

static void show_event(struct command_check *made, enum keeper_event_kind kind)
{
    struct keeper_event event = take_event(made->keeper, kind);
    assert_true(check_take_event(made->check, &event));
}

static enum check_result run_command(struct command_check *made)
{
    check_begin(made->check, 0);
    assert_int_equal(check_step(made->check, 0), CHECK_RUNNING);
    assert_int_equal(check_fd(made->check), -1);
    show_event(made, KEEPER_SPAWNED);
    assert_int_equal(check_step(made->check, 0), CHECK_RUNNING);
    show_event(made, KEEPER_EXITED);
    return check_step(made->check, 1999);
}

static void a_command_passes_when_it_exits_with_0(void **state)
{
    (void)state;
    struct command_check made;
    make_command(&made, "exit 0");
    assert_int_equal(run_command(&made), CHECK_PASSED);
    made.argv[2] = "exit 3";
    assert_int_equal(run_command(&made), CHECK_FAILED);
    assert_string_equal(check_reason(made.check), "check command sh: exit code 3");
    made.argv[2] = "kill -9 $$";
    assert_int_equal(run_command(&made), CHECK_FAILED);
    assert_string_equal(check_reason(made.check), "check command sh: killed by signal 9");
    made.argv[2] = "exit 0";
    assert_int_equal(run_command(&made), CHECK_PASSED);
    finish_command(&made);
}

static void a_command_that_does_not_exist_fails(void **state)
{
    (void)state;
    struct command_check made;
    make_command(&made, "");
    made.argv[0] = "/nonexistent/\x1b[31m";
    check_begin(made.check, 0);
    show_event(&made, KEEPER_SPAWN_FAILED);
    assert_int_equal(check_step(made.check, 0), CHECK_FAILED);
    assert_string_equal(check_reason(made.check),
                        "check command /nonexistent/\\x1b[31m: cannot be started: No such file or "
                        "directory");
    finish_command(&made);
}

static void a_slow_command_is_killed_with_its_children(void **state)
{
    (void)state;
    struct command_check made;
    make_command(&made, "sleep 1000 & sleep 1000");
    check_begin(made.check, 0);
    show_event(&made, KEEPER_SPAWNED);
    assert_int_equal(check_step(made.check, 2000), CHECK_FAILED);
    assert_non_null(strstr(check_reason(made.check), "no answer within 2000 ms"));
    check_begin(made.check, 5000); /* too early: its end has not been told yet */
    assert_int_equal(check_step(made.check, 5000), CHECK_FAILED);
    show_event(&made, KEEPER_EXITED);
    made.argv[2] = "exit 0";
    assert_int_equal(run_command(&made), CHECK_PASSED);
    finish_command(&made);
}

static void a_command_that_ends_too_late_fails(void **state)
{
    (void)state;
    struct command_check made;
    make_command(&made, "exit 0");
    check_begin(made.check, 0);
    show_event(&made, KEEPER_SPAWNED);
    show_event(&made, KEEPER_EXITED);
    assert_int_equal(check_step(made.check, 2000), CHECK_FAILED);
    finish_command(&made);
}

static void a_cancelled_command_is_killed(void **state)
{
    (void)state;
    struct command_check made;
    make_command(&made, "sleep 1000");
    check_begin(made.check, 0);
    show_event(&made, KEEPER_SPAWNED);
    check_cancel(made.check);
    show_event(&made, KEEPER_EXITED);
    struct keeper_event other = {.kind = KEEPER_EXITED, .slot = KEEPER_SERVICE};
    assert_false(check_take_event(made.check, &other));
    finish_command(&made);
}

/* --- Options ------------------------------------------------------------------------------- */

static void wrong_options_are_refused(void **state)
{
    (void)state;
    static const struct check_options wrong[] = {
        {CHECK_TCP, 0, NULL, NULL, 2000, NULL, NULL},
        {CHECK_TCP, 65536, NULL, NULL, 2000, NULL, NULL},
        {CHECK_TCP, 80, "example.org", NULL, 2000, NULL, NULL},
        {CHECK_TCP, 80, "", NULL, 2000, NULL, NULL},
        {CHECK_TCP, 80, "127.0.0.1", NULL, 0, NULL, NULL},
        {CHECK_HTTP, 80, NULL, "health", 2000, NULL, NULL},
        {CHECK_HTTP, 80, NULL, "", 2000, NULL, NULL},
        {CHECK_HTTP, 80, NULL, "/a b", 2000, NULL, NULL},
        {CHECK_HTTP, 80, NULL, "/a\r\nX: y", 2000, NULL, NULL},
        {CHECK_COMMAND, 0, NULL, NULL, 2000, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct check *check = NULL;
        comrade_error error = {0};
        assert_int_equal(check_new(&wrong[i], &check, &error), COMRADE_INVALID);
        assert_null(check);
        assert_int_not_equal(strlen(error.message), 0);
    }
}

static comrade_status make_and_free(void *user)
{
    (void)user;
    struct check_options options = CHECK_OPTIONS_INIT;
    options.kind = CHECK_HTTP;
    options.port = 80;
    struct check *check = NULL;
    comrade_status status = check_new(&options, &check, NULL);
    check_free(check);
    return status;
}

static void memory_that_runs_out_is_told(void **state)
{
    (void)state;
    for_each_failed_allocation(make_and_free, NULL);
}

int main(int argc, char **argv)
{
    unruly_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_status_from_200_to_399_passes),
        cmocka_unit_test(another_status_fails_and_is_named),
        cmocka_unit_test(what_is_no_answer_fails),
        cmocka_unit_test(the_request_is_what_servers_expect),
        cmocka_unit_test(an_answer_may_come_byte_by_byte),
        cmocka_unit_test(a_timeout_is_never_a_success),
        cmocka_unit_test(a_flood_is_read_no_further_than_64_kb),
        cmocka_unit_test(an_endless_body_does_not_matter),
        cmocka_unit_test(a_tcp_check_passes_when_it_is_accepted),
        cmocka_unit_test(a_refused_connection_fails),
        cmocka_unit_test(localhost_is_tried_by_both_protocols),
        cmocka_unit_test(a_connection_that_is_not_answered_times_out),
        cmocka_unit_test(a_cancelled_check_hangs_up_and_has_no_result),
        cmocka_unit_test(a_connection_to_itself_is_no_success),
        cmocka_unit_test(a_command_passes_when_it_exits_with_0),
        cmocka_unit_test(a_command_that_does_not_exist_fails),
        cmocka_unit_test(a_slow_command_is_killed_with_its_children),
        cmocka_unit_test(a_command_that_ends_too_late_fails),
        cmocka_unit_test(a_cancelled_command_is_killed),
        cmocka_unit_test(wrong_options_are_refused),
        cmocka_unit_test(memory_that_runs_out_is_told),
    };
    return cmocka_run_group_tests(tests, keeper_fixture_setup, NULL);
}
