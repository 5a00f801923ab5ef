#include "agent/readiness.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { LONG_MS = 60000 };

static struct readiness readiness_new(enum ready_kind kind)
{
    struct readiness readiness;
    assert_int_equal(readiness_init(&readiness, kind, &env_system, NULL), COMRADE_OK);
    assert_int_equal(readiness_begin(&readiness, NULL), COMRADE_OK);
    return readiness;
}

static void wait_readable(const struct readiness *readiness)
{
    struct pollfd wait = {.fd = readiness->fd, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, LONG_MS), 1);
}

static int notify(const struct readiness *readiness, const char *text)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(readiness->address);
    memcpy(address.sun_path, readiness->address, len);
    address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    ssize_t n = sendto(fd, text, strlen(text), 0, (const struct sockaddr *)&address,
                       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
    close(fd);
    return n == (ssize_t)strlen(text) ? 0 : -1;
}

/* The child sends and lives until it is killed: who has gone cannot be looked up. */
static pid_t notify_from_child(const struct readiness *readiness, const char *text)
{
    pid_t child = fork();
    if (child == 0) {
        if (notify(readiness, text) != 0) {
            _exit(1);
        }
        for (;;) {
            pause();
        }
    }
    return child;
}

static void end_child(pid_t child)
{
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void a_descendant_says_that_it_is_ready(void **state)
{
    (void)state;
    const char *const texts[] = {"READY=1", "STATUS=fine\nREADY=1\n", "READY=1\nMAINPID=7"};
    struct readiness readiness = readiness_new(READY_NOTIFY);
    assert_int_equal(readiness.address[0], '@');
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        pid_t child = notify_from_child(&readiness, texts[i]);
        wait_readable(&readiness);
        assert_true(readiness_step(&readiness, getpid()));
        end_child(child);
    }
    readiness_finish(&readiness);
}

static void other_words_do_not_make_it_ready(void **state)
{
    (void)state;
    const char *const texts[] = {"STATUS=READY=1", "READY=10", "READY=0", "", "XREADY=1"};
    struct readiness readiness = readiness_new(READY_NOTIFY);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        pid_t child = notify_from_child(&readiness, texts[i]);
        wait_readable(&readiness);
        assert_false(readiness_step(&readiness, getpid()));
        end_child(child);
    }
    readiness_finish(&readiness);
}

static void a_stranger_is_not_believed(void **state)
{
    (void)state;
    struct readiness readiness = readiness_new(READY_NOTIFY);
    pid_t other = fork();
    if (other == 0) {
        for (;;) {
            pause();
        }
    }
    /* We are not below that child. */
    assert_int_equal(notify(&readiness, "READY=1"), 0);
    wait_readable(&readiness);
    assert_false(readiness_step(&readiness, other));
    end_child(other);
    readiness_finish(&readiness);
}

static void what_an_earlier_process_said_is_forgotten(void **state)
{
    (void)state;
    struct readiness readiness = readiness_new(READY_NOTIFY);
    pid_t child = notify_from_child(&readiness, "READY=1");
    wait_readable(&readiness);
    assert_int_equal(readiness_begin(&readiness, NULL), COMRADE_OK);
    assert_false(readiness_step(&readiness, getpid()));
    end_child(child);
    readiness_finish(&readiness);
}

static void a_newline_on_the_descriptor_makes_it_ready(void **state)
{
    (void)state;
    struct readiness readiness = readiness_new(READY_FD);
    int service = dup(readiness.service_fd);
    readiness_spawned(&readiness);
    assert_int_equal(write(service, "almost", 6), 6);
    assert_false(readiness_step(&readiness, getpid()));
    assert_int_equal(write(service, " there\n", 7), 7);
    assert_true(readiness_step(&readiness, getpid()));
    assert_int_equal(readiness.fd, -1);
    close(service);
    readiness_finish(&readiness);
}

static void a_closed_descriptor_is_not_ready_and_not_waited_on(void **state)
{
    (void)state;
    struct readiness readiness = readiness_new(READY_FD);
    readiness_spawned(&readiness);
    wait_readable(&readiness);
    assert_false(readiness_step(&readiness, getpid()));
    assert_int_equal(readiness.fd, -1);
    assert_int_equal(readiness_begin(&readiness, NULL), COMRADE_OK);
    assert_true(readiness.fd >= 0);
    readiness_finish(&readiness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_descendant_says_that_it_is_ready),
        cmocka_unit_test(other_words_do_not_make_it_ready),
        cmocka_unit_test(a_stranger_is_not_believed),
        cmocka_unit_test(what_an_earlier_process_said_is_forgotten),
        cmocka_unit_test(a_newline_on_the_descriptor_makes_it_ready),
        cmocka_unit_test(a_closed_descriptor_is_not_ready_and_not_waited_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
