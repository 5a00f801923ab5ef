/* One command at a time: real shells, and a clock that the test steps. */
#include "cli/command_runner.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATH_SIZE = 64, COMMAND_SIZE = 512, HANG_MS = 60 * 1000 };

static const struct cli cli = {.program = "test"};

struct scene {
    char path[PATH_SIZE]; /* what the commands write */
    char command[COMMAND_SIZE];
    int wait_fd;
    struct command_runner runner;
    int64_t now_ms;
};

static int open_scene(void **state)
{
    static struct scene scene;
    scene = (struct scene){.now_ms = 1000};
    snprintf(scene.path, sizeof scene.path, "/tmp/comrade-runner-XXXXXX");
    int fd = mkstemp(scene.path);
    scene.wait_fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0 || scene.wait_fd < 0) {
        return -1;
    }
    close(fd);
    *state = &scene;
    return 0;
}

static int close_scene(void **state)
{
    struct scene *scene = *state;
    command_runner_finish(&scene->runner);
    close(scene->wait_fd);
    return unlink(scene->path);
}

/* The script has the path of the file in $1. */
static void begin(struct scene *scene, enum command_mode mode, const char *script)
{
    snprintf(scene->command, sizeof scene->command, "set -- %s; %s", scene->path, script);
    command_runner_init(&scene->runner, &cli, scene->command, mode, scene->wait_fd);
}

static void add(struct scene *scene, const char *text)
{
    assert_int_equal(command_runner_add(&scene->runner, text, NULL), COMRADE_OK);
}

/* Waits for the end of the command that runs; true: all is done. */
static bool wait_for_end(struct scene *scene)
{
    pid_t pid = scene->runner.pid;
    bool is_done = false;
    assert_int_not_equal(pid, 0);
    while (scene->runner.pid == pid) {
        struct pollfd ready = {.fd = scene->wait_fd, .events = POLLIN};
        assert_int_equal(poll(&ready, 1, HANG_MS), 1);
        is_done = command_runner_step(&scene->runner, scene->now_ms);
    }
    return is_done;
}

static void expect_written(const struct scene *scene, const char *expected)
{
    char text[256] = "";
    FILE *file = fopen(scene->path, "re");
    assert_non_null(file);
    size_t len = fread(text, 1, sizeof text - 1, file);
    text[len] = '\0';
    fclose(file);
    assert_string_equal(text, expected);
}

/* What is printed to stderr from here on goes to nowhere: the texts are tested with processes. */
static int silence(void **state)
{
    (void)state;
    return freopen("/dev/null", "we", stderr) == NULL ? -1 : 0;
}

static void nothing_runs_unasked(void **state)
{
    struct scene *scene = *state;
    begin(scene, COMMAND_LATEST, "echo ran >>$1");
    assert_int_equal(command_runner_due_ms(&scene->runner, scene->now_ms), INT64_MAX);
    assert_false(command_runner_step(&scene->runner, scene->now_ms));
    assert_int_equal(scene->runner.pid, 0);
    expect_written(scene, "");
}

static void the_text_comes_on_standard_input(void **state)
{
    struct scene *scene = *state;
    begin(scene, COMMAND_LATEST, "cat >>$1");
    add(scene, "$(touch /tmp/evil) `id`\n; two\n");
    assert_int_equal(command_runner_due_ms(&scene->runner, scene->now_ms), scene->now_ms);
    assert_false(command_runner_step(&scene->runner, scene->now_ms));
    assert_true(wait_for_end(scene));
    expect_written(scene, "$(touch /tmp/evil) `id`\n; two\n");
}

static void without_a_text_there_is_nothing_to_read(void **state)
{
    struct scene *scene = *state;
    begin(scene, COMMAND_LATEST, "cat >>$1; echo end >>$1");
    add(scene, NULL);
    command_runner_step(&scene->runner, scene->now_ms);
    assert_true(wait_for_end(scene));
    expect_written(scene, "end\n");
}

static void changes_during_a_run_make_one_more(void **state)
{
    struct scene *scene = *state;
    begin(scene, COMMAND_LATEST, "cat >>$1");
    add(scene, "1 ");
    command_runner_step(&scene->runner, scene->now_ms);
    add(scene, "2 ");
    add(scene, "3 ");
    add(scene, "4 ");
    assert_false(wait_for_end(scene)); /* the next one has begun */
    assert_true(wait_for_end(scene));
    assert_int_equal(scene->runner.pid, 0);
    expect_written(scene, "1 4 ");
}

static void a_failure_is_tried_again_later_and_later(void **state)
{
    struct scene *scene = *state;
    begin(scene, COMMAND_LATEST, "cat >>$1; test $(wc -c <$1) -ge 3");
    add(scene, "x");
    command_runner_step(&scene->runner, scene->now_ms);
    for (int64_t delay_ms = 1000; delay_ms <= 2000; delay_ms *= 2) {
        assert_false(wait_for_end(scene));
        assert_int_equal(scene->runner.pid, 0);
        int64_t due_ms = command_runner_due_ms(&scene->runner, scene->now_ms);
        assert_int_equal(due_ms, scene->now_ms + delay_ms);
        command_runner_step(&scene->runner, due_ms - 1);
        assert_int_equal(scene->runner.pid, 0);
        scene->now_ms = due_ms;
        command_runner_step(&scene->runner, scene->now_ms);
    }
    assert_true(wait_for_end(scene));
    expect_written(scene, "xxx");
}

static void the_next_change_does_not_wait_for_that(void **state)
{
    struct scene *scene = *state;
    begin(scene, COMMAND_LATEST, "cat >>$1; test $(wc -c <$1) -ge 2");
    add(scene, "x");
    command_runner_step(&scene->runner, scene->now_ms);
    assert_false(wait_for_end(scene));
    add(scene, "y");
    command_runner_step(&scene->runner, scene->now_ms);
    assert_true(wait_for_end(scene));
    expect_written(scene, "xy");
}

static void each_line_has_its_run_in_its_order(void **state)
{
    struct scene *scene = *state;
    begin(scene, COMMAND_EACH, "cat >>$1; test $(wc -c <$1) -ne 4"); /* the second fails */
    add(scene, "1\n");
    add(scene, "2\n");
    add(scene, "3\n");
    command_runner_step(&scene->runner, scene->now_ms);
    assert_false(wait_for_end(scene));
    assert_false(wait_for_end(scene));
    assert_true(wait_for_end(scene));
    expect_written(scene, "1\n2\n3\n");
}

static void what_waits_has_a_limit(void **state)
{
    struct scene *scene = *state;
    begin(scene, COMMAND_EACH, "true");
    for (size_t i = 0; i < COMMAND_WAITING_MAX + 10; i++) {
        add(scene, "line\n");
    }
    assert_int_equal(scene->runner.n_waiting, COMMAND_WAITING_MAX);
    command_runner_close(&scene->runner);
    assert_int_equal(scene->runner.n_waiting, 0);
    assert_int_equal(scene->runner.n_bytes, 0);
}

static void what_is_dropped_is_printed(void **state)
{
    struct scene *scene = *state;
    begin(scene, COMMAND_EACH, "true");
    snprintf(scene->command, sizeof scene->command, "mail");
    add(scene, "{\"id\":\"app-1\"}\n");
    assert_non_null(freopen(scene->path, "we", stderr));
    command_runner_close(&scene->runner);
    silence(NULL);
    expect_written(scene, "test: `mail` is not run for the next line: the watching ends\n"
                          "{\"id\":\"app-1\"}\n");
}

static void what_waits_has_a_limit_in_bytes(void **state)
{
    struct scene *scene = *state;
    size_t len = COMMAND_WAITING_MAX_BYTES / 2 - 1;
    char *text = malloc(len + 1);
    assert_non_null(text);
    memset(text, 'x', len);
    text[len] = '\0';
    begin(scene, COMMAND_EACH, "true");
    for (size_t i = 0; i < 3; i++) {
        add(scene, text);
    }
    free(text);
    assert_int_equal(scene->runner.n_waiting, 2);
}

static void after_closing_no_other_is_started(void **state)
{
    struct scene *scene = *state;
    begin(scene, COMMAND_LATEST, "echo ran >>$1; exit 1");
    add(scene, NULL);
    command_runner_step(&scene->runner, scene->now_ms);
    add(scene, NULL);
    command_runner_close(&scene->runner);
    assert_false(wait_for_end(scene));
    assert_int_equal(command_runner_due_ms(&scene->runner, scene->now_ms), INT64_MAX);
    command_runner_step(&scene->runner, scene->now_ms + 1000 * 1000);
    assert_int_equal(scene->runner.pid, 0);
    expect_written(scene, "ran\n");
}

static void a_signal_reaches_all_of_it(void **state)
{
    struct scene *scene = *state;
    begin(scene, COMMAND_LATEST, "sleep 1000 | sleep 1000");
    add(scene, NULL);
    command_runner_step(&scene->runner, scene->now_ms);
    command_runner_close(&scene->runner);
    command_runner_signal(&scene->runner, SIGTERM);
    assert_false(wait_for_end(scene));
    assert_int_equal(scene->runner.pid, 0);
}

static void its_signals_are_those_of_a_login(void **state)
{
    struct scene *scene = *state;
    sigset_t blocked;
    sigset_t before;
    sigfillset(&blocked);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    /* The C library's own two, 32 and 33, it leaves ignored. */
    begin(scene, COMMAND_LATEST,
          "grep -E 'SigBlk|SigIgn' /proc/self/status | tr -d '\\t' | sed s/18/00/ >>$1");
    add(scene, NULL);
    command_runner_step(&scene->runner, scene->now_ms);
    assert_true(wait_for_end(scene));
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    expect_written(scene, "SigBlk:0000000000000000\nSigIgn:0000000000000000\n");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_scene, close_scene)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(nothing_runs_unasked),
        CASE(the_text_comes_on_standard_input),
        CASE(without_a_text_there_is_nothing_to_read),
        CASE(changes_during_a_run_make_one_more),
        CASE(a_failure_is_tried_again_later_and_later),
        CASE(the_next_change_does_not_wait_for_that),
        CASE(each_line_has_its_run_in_its_order),
        CASE(what_waits_has_a_limit),
        CASE(what_waits_has_a_limit_in_bytes),
        CASE(what_is_dropped_is_printed),
        CASE(after_closing_no_other_is_started),
        CASE(a_signal_reaches_all_of_it),
        CASE(its_signals_are_those_of_a_login),
    };
    return cmocka_run_group_tests(tests, silence, NULL);
}
