/* What a user of the keeper sees: spawns, what the process is given, signals and events. */
#include "keeper_fixture.h"
#include "lib/allocation.h"
#include "lib/unruly.h"

#include "agent/control_group.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct keeper *start(void)
{
    struct keeper *keeper = NULL;
    comrade_error error = {0};
    if (keeper_start(NULL, &keeper, &error) != COMRADE_OK) {
        print_error("%s\n", error.message);
    }
    assert_non_null(keeper);
    return keeper;
}

static void finish(struct keeper *keeper)
{
    keeper_free(keeper);
    assert_nobody_is_left();
}

static void a_child_is_spawned_and_its_exit_code_told(void **state)
{
    (void)state;
    struct keeper *keeper = start();
    spawn_unruly_slot(keeper, KEEPER_SERVICE, "exit", "42", -1);
    struct keeper_event event = take_event(keeper, KEEPER_EXITED);
    assert_int_equal(event.slot, KEEPER_SERVICE);
    assert_true(WIFEXITED(event.wait_status));
    assert_int_equal(WEXITSTATUS(event.wait_status), 42);
    take_event(keeper, KEEPER_TREE_GONE);
    assert_false(keeper_next_event(keeper, &event));
    finish(keeper);
}

static struct keeper_event fail_to_spawn(struct keeper *keeper, const char *command,
                                         const char *directory)
{
    const char *const argv[] = {command, NULL};
    struct keeper_command spawned = KEEPER_COMMAND_INIT;
    spawned.argv = argv;
    spawned.working_directory = directory;
    assert_int_equal(keeper_spawn(keeper, &spawned, NULL), COMRADE_OK);
    return take_event(keeper, KEEPER_SPAWN_FAILED);
}

static void a_command_that_cannot_be_executed_is_told_exactly(void **state)
{
    (void)state;
    struct keeper *keeper = start();
    static const struct {
        const char *command;
        const char *directory;
        enum keeper_step step;
        int error_number;
    } cases[] = {
        {"/nonexistent/command", NULL, KEEPER_STEP_EXEC, ENOENT},
        {"no-such-command-in-the-path", NULL, KEEPER_STEP_EXEC, ENOENT},
        {"", NULL, KEEPER_STEP_EXEC, ENOENT},
        {"/etc/passwd", NULL, KEEPER_STEP_EXEC, EACCES},
        {"/etc", NULL, KEEPER_STEP_EXEC, EACCES},
        {"/etc/passwd/command", NULL, KEEPER_STEP_EXEC, ENOTDIR},
        {"true", "/nonexistent", KEEPER_STEP_DIRECTORY, ENOENT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct keeper_event event = fail_to_spawn(keeper, cases[i].command, cases[i].directory);
        assert_int_equal(event.slot, KEEPER_SERVICE);
        assert_int_equal(event.step, cases[i].step);
        assert_int_equal(event.error_number, cases[i].error_number);
    }
    spawn_unruly_slot(keeper, KEEPER_SERVICE, "exit", "0", -1); /* the slot is free again */
    take_event(keeper, KEEPER_EXITED);
    take_event(keeper, KEEPER_TREE_GONE); /* and only this one was owed */
    finish(keeper);
}

static void look_where_it_may_not(void *user)
{
    const char *const *argv = user;
    const char *const envp[] = {"PATH=/proc/1/fd:/etc", NULL}; /* of another user */
    struct keeper_command command = KEEPER_COMMAND_INIT;
    struct keeper *keeper = NULL;
    become_nobody();
    EXPECT(keeper_start(NULL, &keeper, NULL) == COMRADE_OK);
    command.argv = argv;
    command.envp = envp;
    EXPECT(keeper_spawn(keeper, &command, NULL) == COMRADE_OK);
    struct keeper_event event = take_event(keeper, KEEPER_SPAWN_FAILED);
    keeper_free(keeper);
    _exit(event.error_number);
}

static void a_closed_directory_in_the_path_is_no_closed_command(void **state)
{
    (void)state;
    const char *absent[] = {"no-such-command", NULL};
    const char *present[] = {"passwd", NULL};
    if (geteuid() != 0) {
        skip();
    }
    int wait_status = run_process(PLACE_HERE, look_where_it_may_not, absent);
    assert_int_equal(WEXITSTATUS(wait_status), ENOENT);
    wait_status = run_process(PLACE_HERE, look_where_it_may_not, present);
    assert_int_equal(WEXITSTATUS(wait_status), EACCES);
    assert_nobody_is_left();
}

static void a_taken_slot_refuses_a_second_child(void **state)
{
    (void)state;
    struct keeper *keeper = start();
    spawn_ready(keeper, "ignore-term", 1);
    struct keeper_event event = fail_to_spawn(keeper, "true", NULL);
    assert_int_equal(event.step, KEEPER_STEP_FORK);
    assert_int_equal(event.error_number, EBUSY);
    spawn_unruly_slot(keeper, KEEPER_CHECK, "exit", "0", -1); /* the other slot is free */
    assert_int_equal(take_event(keeper, KEEPER_EXITED).slot, KEEPER_CHECK);
    finish(keeper);
}

static void the_tree_is_gone_only_after_the_last_descendant(void **state)
{
    (void)state;
    struct keeper *keeper = start();
    spawn_ready(keeper, "leaderless", 1);
    struct keeper_event event = take_event(keeper, KEEPER_EXITED);
    assert_int_equal(WEXITSTATUS(event.wait_status), 7);
    assert_false(keeper_next_event(keeper, &event));
    /* The leader is reaped, and still its group can be signalled. */
    assert_int_equal(keeper_signal_group(keeper, KEEPER_SERVICE, SIGTERM, NULL), COMRADE_OK);
    take_event(keeper, KEEPER_TREE_GONE);
    finish(keeper);
}

static void a_signal_reaches_the_group(void **state)
{
    (void)state;
    struct keeper *keeper = start();
    spawn_ready(keeper, "ignore-term", 1);
    assert_int_equal(keeper_signal_group(keeper, KEEPER_SERVICE, SIGTERM, NULL), COMRADE_OK);
    assert_int_equal(keeper_signal_group(keeper, KEEPER_CHECK, SIGKILL, NULL), COMRADE_OK);
    assert_int_equal(keeper_signal_group(keeper, KEEPER_SERVICE, SIGUSR1, NULL), COMRADE_OK);
    struct keeper_event event = take_event(keeper, KEEPER_EXITED);
    assert_true(WIFSIGNALED(event.wait_status));
    assert_int_equal(WTERMSIG(event.wait_status), SIGUSR1);
    take_event(keeper, KEEPER_TREE_GONE);
    finish(keeper);
}

static void a_signal_reaches_every_descendant(void **state)
{
    (void)state;
    struct keeper *keeper = start();
    spawn_ready(keeper, "tree", 8);
    assert_int_equal(keeper_signal_tree(keeper, SIGTERM, NULL), COMRADE_OK);
    assert_int_equal(keeper_signal_tree(keeper, SIGUSR2, NULL), COMRADE_OK);
    assert_int_equal(WTERMSIG(take_event(keeper, KEEPER_EXITED).wait_status), SIGUSR2);
    take_event(keeper, KEEPER_TREE_GONE);
    finish(keeper);
}

static void killing_a_tree_that_is_gone_answers_at_once(void **state)
{
    (void)state;
    struct keeper *keeper = start();
    assert_int_equal(keeper_kill_tree(keeper, NULL), COMRADE_OK);
    take_event(keeper, KEEPER_TREE_GONE);
    assert_int_equal(keeper_kill_tree(keeper, NULL), COMRADE_OK);
    take_event(keeper, KEEPER_TREE_GONE);
    spawn_unruly_slot(keeper, KEEPER_SERVICE, "exit", "0", -1); /* nothing is left of the kill */
    take_event(keeper, KEEPER_EXITED);
    take_event(keeper, KEEPER_TREE_GONE);
    finish(keeper);
}

static void a_spawn_right_behind_the_kill_of_a_gone_tree_works(void **state)
{
    (void)state;
    struct keeper *keeper = start();
    const char *argv[] = {"true", NULL};
    struct keeper_command command = KEEPER_COMMAND_INIT;
    command.argv = argv;
    for (int i = 0; i < 50; i++) {
        /* Stopped, the keeper hears both requests in one turn. */
        assert_int_equal(kill(keeper_pid(keeper), SIGSTOP), 0);
        assert_int_equal(keeper_kill_tree(keeper, NULL), COMRADE_OK);
        assert_int_equal(keeper_spawn(keeper, &command, NULL), COMRADE_OK);
        assert_int_equal(kill(keeper_pid(keeper), SIGCONT), 0);
        take_event(keeper, KEEPER_TREE_GONE);
        take_event(keeper, KEEPER_SPAWNED);
        take_event(keeper, KEEPER_EXITED);
        take_event(keeper, KEEPER_TREE_GONE);
    }
    finish(keeper);
}

static void a_child_sees_only_the_descriptors_it_is_given(void **state)
{
    (void)state;
    int leaked = fcntl(STDERR_FILENO, F_DUPFD, 40); /* as from a careless parent: not CLOEXEC */
    struct keeper *keeper = start();
    int leaked_later = fcntl(STDERR_FILENO, F_DUPFD, 50);
    char answer[256];
    ask_unruly(keeper, "fds", answer, sizeof answer);
    assert_string_equal(answer, "0 1 2 ");
    close(leaked);
    close(leaked_later);
    finish(keeper);
}

static void a_child_finds_passed_descriptors_at_their_targets(void **state)
{
    (void)state;
    struct keeper *keeper = start();
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    int high = fcntl(ends[1], F_DUPFD_CLOEXEC, 20);
    const char *const argv[] = {"sh", "-c", "echo three >&3; echo seven >&7; echo $A", NULL};
    const char *const envp[] = {"PATH=/usr/bin:/bin", "A=b c", NULL};
    /* One's source has the number of another's target, whatever the numbers are. */
    struct keeper_extra_fd extra[] = {{ends[1], high}, {high, 3}, {ends[1], 7}, {ends[1], 900}};
    struct keeper_command command = KEEPER_COMMAND_INIT;
    command.argv = argv;
    command.envp = envp;
    command.stdout_fd = ends[1];
    command.extra_fds = extra;
    command.n_extra_fds = sizeof extra / sizeof extra[0];
    assert_int_equal(keeper_spawn(keeper, &command, NULL), COMRADE_OK);
    close(ends[1]);
    close(high);
    take_event(keeper, KEEPER_SPAWNED);
    take_event(keeper, KEEPER_EXITED);
    take_event(keeper, KEEPER_TREE_GONE);
    char answer[64] = "";
    assert_int_equal(read(ends[0], answer, sizeof answer - 1), strlen("three\nseven\nb c\n"));
    assert_string_equal(answer, "three\nseven\nb c\n");
    char byte;
    assert_int_equal(read(ends[0], &byte, 1), 0); /* the keeper holds no end of it */
    close(ends[0]);
    finish(keeper);
}

static void wrong_commands_are_refused(void **state)
{
    (void)state;
    struct keeper *keeper = start();
    comrade_error error;
    struct keeper_command command = KEEPER_COMMAND_INIT;
    assert_int_equal(keeper_spawn(keeper, &command, &error), COMRADE_INVALID);
    const char *const argv[] = {"true", NULL};
    command.argv = argv;
    struct keeper_extra_fd twice[] = {{1, 5}, {2, 5}};
    command.extra_fds = twice;
    command.n_extra_fds = 2;
    assert_int_equal(keeper_spawn(keeper, &command, &error), COMRADE_INVALID);
    struct keeper_extra_fd standard = {1, 2};
    command.extra_fds = &standard;
    command.n_extra_fds = 1;
    assert_int_equal(keeper_spawn(keeper, &command, &error), COMRADE_INVALID);
    struct keeper_extra_fd closed = {999, 5};
    command.extra_fds = &closed;
    assert_int_equal(keeper_spawn(keeper, &command, &error), COMRADE_SYSTEM);
    finish(keeper);
}

static void a_megabyte_of_environment_arrives(void **state)
{
    (void)state;
    enum { STRINGS = 16, STRING_BYTES = 64 * 1024 };
    struct keeper *keeper = start();
    const char *envp[STRINGS * 4 + 1] = {NULL};
    for (size_t i = 0; i < STRINGS * 4; i++) {
        char *string = malloc(STRING_BYTES);
        assert_non_null(string);
        memset(string, 'x', STRING_BYTES);
        string[0] = 'A';
        string[1] = '=';
        string[STRING_BYTES - 1] = '\0';
        envp[i] = string;
    }
    const char *const argv[] = {"/proc/self/exe", "unruly", "environment", NULL};
    struct keeper_command command = KEEPER_COMMAND_INIT;
    command.argv = argv;
    command.envp = envp;
    /* Four megabytes are more than the kernel takes, and that is told exactly. */
    assert_int_equal(keeper_spawn(keeper, &command, NULL), COMRADE_OK);
    struct keeper_event event = take_event(keeper, KEEPER_SPAWN_FAILED);
    assert_int_equal(event.step, KEEPER_STEP_EXEC);
    assert_int_equal(event.error_number, E2BIG);

    const char *last = envp[STRINGS];
    envp[STRINGS] = NULL;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    command.stdout_fd = ends[1];
    assert_int_equal(keeper_spawn(keeper, &command, NULL), COMRADE_OK);
    close(ends[1]);
    take_event(keeper, KEEPER_SPAWNED);
    take_event(keeper, KEEPER_EXITED);
    char answer[32] = "";
    assert_true(read(ends[0], answer, sizeof answer - 1) > 0);
    assert_int_equal(strtol(answer, NULL, 10), STRINGS * STRING_BYTES);
    close(ends[0]);
    envp[STRINGS] = last;
    for (size_t i = 0; i < STRINGS * 4; i++) {
        free((char *)(uintptr_t)envp[i]);
    }
    finish(keeper);
}

static void ask_for_signals(void *user)
{
    (void)user;
    sigset_t some;
    sigemptyset(&some);
    sigaddset(&some, SIGUSR1);
    sigaddset(&some, SIGTERM);
    signal(SIGHUP, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &some, NULL);
    struct keeper *keeper = NULL;
    EXPECT(keeper_start(NULL, &keeper, NULL) == COMRADE_OK);
    char answer[64];
    ask_unruly(keeper, "signals", answer, sizeof answer);
    EXPECT(strcmp(answer, "0 0 leader") == 0);
    keeper_free(keeper);
}

static void a_child_has_all_signals_at_their_default(void **state)
{
    (void)state;
    assert_int_equal(run_process(PLACE_HERE, ask_for_signals, NULL), 0);
    assert_nobody_is_left();
}

static void ask_for_stdin_on_terminal(void *user)
{
    (void)user;
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    EXPECT(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    int other_end = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
    EXPECT(other_end >= 0 && dup2(other_end, STDIN_FILENO) == STDIN_FILENO);
    struct keeper *keeper = NULL;
    EXPECT(keeper_start(NULL, &keeper, NULL) == COMRADE_OK);
    char answer[64];
    ask_unruly(keeper, "stdin", answer, sizeof answer);
    EXPECT(strcmp(answer, "/dev/null") == 0);
    keeper_free(keeper);
}

static void a_terminal_is_not_passed_as_stdin(void **state)
{
    (void)state;
    assert_int_equal(run_process(PLACE_HERE, ask_for_stdin_on_terminal, NULL), 0);
    assert_nobody_is_left();
}

static void start_with_closed_streams(void *user)
{
    (void)user;
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    struct keeper *keeper = NULL;
    EXPECT(keeper_start(NULL, &keeper, NULL) == COMRADE_OK);
    char answer[64];
    ask_unruly(keeper, "fds", answer, sizeof answer);
    EXPECT(strcmp(answer, "0 1 2 ") == 0);
    keeper_free(keeper);
}

static void closed_standard_streams_do_no_harm(void **state)
{
    (void)state;
    assert_int_equal(run_process(PLACE_HERE, start_with_closed_streams, NULL), 0);
    assert_nobody_is_left();
}

static void a_child_starts_in_its_directory(void **state)
{
    (void)state;
    struct keeper *keeper = start();
    const char *const argv[] = {"pwd", NULL};
    struct keeper_command command = KEEPER_COMMAND_INIT;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    command.argv = argv;
    command.working_directory = "/usr/lib";
    command.stdout_fd = ends[1];
    assert_int_equal(keeper_spawn(keeper, &command, NULL), COMRADE_OK);
    close(ends[1]);
    take_event(keeper, KEEPER_SPAWNED);
    take_event(keeper, KEEPER_EXITED);
    char answer[64] = "";
    assert_true(read(ends[0], answer, sizeof answer - 1) > 0);
    assert_string_equal(answer, "/usr/lib\n");
    close(ends[0]);
    finish(keeper);
}

static comrade_status start_and_free(void *user)
{
    (void)user;
    struct keeper *keeper = NULL;
    comrade_status status = keeper_start(NULL, &keeper, NULL);
    keeper_free(keeper);
    return status;
}

static void memory_that_runs_out_is_told(void **state)
{
    (void)state;
    for_each_failed_allocation(start_and_free, NULL);
    assert_nobody_is_left();
}

static void the_control_group_is_removed(void **state)
{
    (void)state;
    struct control_group group;
    if (!control_group_make(&group)) {
        skip(); /* this machine gives us none */
    }
    char name[sizeof group.name];
    memcpy(name, group.name, sizeof name);
    int parent_fd = fcntl(group.parent_fd, F_DUPFD_CLOEXEC, 0);
    assert_int_equal(faccessat(parent_fd, name, F_OK, 0), 0);
    assert_int_equal(mkdirat(group.fd, "below", 0755), 0); /* as a container engine would */
    control_group_remove(&group);
    assert_int_equal(faccessat(parent_fd, name, F_OK, 0), -1);

    struct keeper *keeper = start();
    assert_true(keeper_has_control_group(keeper));
    spawn_ready(keeper, "tree", 8);
    assert_int_equal(faccessat(parent_fd, name, F_OK, 0), 0);
    finish(keeper);
    assert_int_equal(faccessat(parent_fd, name, F_OK, 0), -1);
    close(parent_fd);
}

int main(int argc, char **argv)
{
    unruly_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_is_spawned_and_its_exit_code_told),
        cmocka_unit_test(a_command_that_cannot_be_executed_is_told_exactly),
        cmocka_unit_test(a_closed_directory_in_the_path_is_no_closed_command),
        cmocka_unit_test(a_taken_slot_refuses_a_second_child),
        cmocka_unit_test(the_tree_is_gone_only_after_the_last_descendant),
        cmocka_unit_test(a_signal_reaches_the_group),
        cmocka_unit_test(a_signal_reaches_every_descendant),
        cmocka_unit_test(killing_a_tree_that_is_gone_answers_at_once),
        cmocka_unit_test(a_spawn_right_behind_the_kill_of_a_gone_tree_works),
        cmocka_unit_test(a_child_sees_only_the_descriptors_it_is_given),
        cmocka_unit_test(a_child_finds_passed_descriptors_at_their_targets),
        cmocka_unit_test(wrong_commands_are_refused),
        cmocka_unit_test(a_megabyte_of_environment_arrives),
        cmocka_unit_test(a_child_has_all_signals_at_their_default),
        cmocka_unit_test(a_terminal_is_not_passed_as_stdin),
        cmocka_unit_test(closed_standard_streams_do_no_harm),
        cmocka_unit_test(a_child_starts_in_its_directory),
        cmocka_unit_test(memory_that_runs_out_is_told),
        cmocka_unit_test(the_control_group_is_removed),
    };
    return cmocka_run_group_tests(tests, keeper_fixture_setup, NULL);
}
