#include "agent/stderr_tail.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { LONG_MS = 60000, MEGABYTE = 1024 * 1024 };

struct stream {
    struct stderr_tail *tail;
    int out_read;
    int out_write;
};

static struct stream stream_new(void)
{
    struct stream stream;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    stream.out_read = fds[0];
    stream.out_write = fds[1];
    assert_int_equal(stderr_tail_new(fds[1], &stream.tail, NULL), COMRADE_OK);
    return stream;
}

static void say(const struct stream *stream, const char *text)
{
    ssize_t len = (ssize_t)strlen(text);
    assert_int_equal(write(stderr_tail_fd(stream->tail), text, (size_t)len), len);
}

static void what_is_written_is_passed_on_and_kept(void **state)
{
    (void)state;
    struct stream stream = stream_new();
    char bytes[STDERR_TAIL_BYTES];
    bool is_cut = true;
    say(&stream, "hello\n");
    assert_int_equal(stderr_tail_copy(stream.tail, LONG_MS, bytes, &is_cut), 6);
    assert_memory_equal(bytes, "hello\n", 6);
    assert_false(is_cut);
    assert_int_equal(read(stream.out_read, bytes, sizeof bytes), 6);
    stderr_tail_clear(stream.tail);
    assert_int_equal(stderr_tail_copy(stream.tail, LONG_MS, bytes, NULL), 0);
    stderr_tail_free(stream.tail, LONG_MS);
    close(stream.out_read);
    close(stream.out_write);
}

static void only_the_end_is_kept(void **state)
{
    (void)state;
    struct stream stream = stream_new();
    char line[101];
    for (int i = 0; i < 100; i++) {
        memset(line, 'a' + i % 26, 100);
        line[100] = '\0';
        say(&stream, line);
    }
    char bytes[STDERR_TAIL_BYTES];
    bool is_cut = false;
    assert_int_equal(stderr_tail_copy(stream.tail, LONG_MS, bytes, &is_cut), STDERR_TAIL_BYTES);
    assert_true(is_cut);
    for (int i = 0; i < STDERR_TAIL_BYTES; i++) {
        int at = 10000 - STDERR_TAIL_BYTES + i;
        assert_int_equal(bytes[i], 'a' + at / 100 % 26);
    }
    stderr_tail_free(stream.tail, LONG_MS);
    close(stream.out_read);
    close(stream.out_write);
}

/* Back-pressure: with nobody reading, no more is taken than the two pipes and one chunk hold. */
static void a_slow_reader_holds_the_writer_up(void **state)
{
    (void)state;
    struct stream stream = stream_new();
    int fd = stderr_tail_fd(stream.tail);
    char chunk[4096] = {0};
    size_t total = 0;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    struct pollfd writable = {.fd = fd, .events = POLLOUT};
    while (poll(&writable, 1, 300) == 1 && total < 10 * MEGABYTE) {
        ssize_t n = write(fd, chunk, sizeof chunk);
        total += n > 0 ? (size_t)n : 0;
    }
    assert_true(total < MEGABYTE);
    /* Its reader never comes: the end is not waited for. */
    stderr_tail_free(stream.tail, 0);
    close(stream.out_read);
    close(stream.out_write);
}

static void nobody_reading_does_not_hang_the_writer(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    struct stream stream = stream_new();
    close(stream.out_read);
    char chunk[4096];
    memset(chunk, 'x', sizeof chunk);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(write(stderr_tail_fd(stream.tail), chunk, sizeof chunk), sizeof chunk);
    }
    char bytes[STDERR_TAIL_BYTES];
    assert_int_equal(stderr_tail_copy(stream.tail, LONG_MS, bytes, NULL), STDERR_TAIL_BYTES);
    stderr_tail_free(stream.tail, LONG_MS);
    close(stream.out_write);
}

static void what_was_written_last_is_passed_on_before_the_end(void **state)
{
    (void)state;
    struct stream stream = stream_new();
    for (int i = 0; i < 100; i++) {
        say(&stream, "0123456789");
    }
    stderr_tail_free(stream.tail, LONG_MS);
    close(stream.out_write);
    char bytes[2000];
    size_t total = 0;
    ssize_t n;
    while ((n = read(stream.out_read, bytes, sizeof bytes)) > 0) {
        total += (size_t)n;
    }
    assert_int_equal(total, 1000);
    close(stream.out_read);
}

static void a_writer_that_stays_does_not_keep_it_from_ending(void **state)
{
    (void)state;
    struct stream stream = stream_new();
    int kept = dup(stderr_tail_fd(stream.tail));
    stderr_tail_free(stream.tail, 10);
    close(kept);
    close(stream.out_read);
    close(stream.out_write);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_passed_on_and_kept),
        cmocka_unit_test(only_the_end_is_kept),
        cmocka_unit_test(a_slow_reader_holds_the_writer_up),
        cmocka_unit_test(nobody_reading_does_not_hang_the_writer),
        cmocka_unit_test(what_was_written_last_is_passed_on_before_the_end),
        cmocka_unit_test(a_writer_that_stays_does_not_keep_it_from_ending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
