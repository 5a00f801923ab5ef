#include "keeper_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
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
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { HANG_S = 200 };

void expect(bool is_true, const char *text, const char *file, int line)
{
    if (!is_true) {
        fprintf(stderr, "%s:%d: process %d expected: %s (errno: %s)\n", file, line, (int)getpid(),
                text, strerror(errno));
        _exit(1);
    }
}

struct keeper_event take_event(struct keeper *keeper, enum keeper_event_kind kind)
{
    struct keeper_event event;
    while (!keeper_next_event(keeper, &event)) {
        struct pollfd readable = {.fd = keeper_fd(keeper), .events = POLLIN};
        EXPECT(poll(&readable, 1, EVENT_TIMEOUT_MS) != 0);
    }
    if (event.kind != kind) {
        fprintf(stderr, "event %d came, %d was expected; errno %d in step %d\n", (int)event.kind,
                (int)kind, event.error_number, (int)event.step);
    }
    EXPECT(event.kind == kind);
    return event;
}

void spawn_unruly_slot(struct keeper *keeper, enum keeper_slot slot, const char *kind,
                       const char *argument, int output_fd)
{
    const char *const argv[] = {"/proc/self/exe", "unruly", kind, argument, NULL};
    struct keeper_command command = KEEPER_COMMAND_INIT;
    command.slot = slot;
    command.argv = argv;
    command.stdout_fd = output_fd;
    EXPECT(keeper_spawn(keeper, &command, NULL) == COMRADE_OK);
    struct keeper_event event = take_event(keeper, KEEPER_SPAWNED);
    EXPECT(event.slot == slot && event.pid > 0);
}

void spawn_unruly(struct keeper *keeper, const char *kind)
{
    spawn_unruly_slot(keeper, KEEPER_SERVICE, kind, NULL, -1);
}

/* Reads until `n_bytes` are there or the stream ends. */
static size_t read_fully(int fd, char *bytes, size_t n_bytes)
{
    size_t n_read = 0;
    while (n_read < n_bytes) {
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        EXPECT(poll(&readable, 1, EVENT_TIMEOUT_MS) == 1);
        ssize_t n = read(fd, bytes + n_read, n_bytes - n_read);
        if (n <= 0) {
            break;
        }
        n_read += (size_t)n;
    }
    return n_read;
}

void spawn_ready(struct keeper *keeper, const char *kind, int n_ready)
{
    char words[256];
    size_t n_bytes = (size_t)n_ready * strlen("ready\n");
    int ends[2];
    EXPECT(n_bytes < sizeof words && pipe2(ends, O_CLOEXEC) == 0);
    spawn_unruly_slot(keeper, KEEPER_SERVICE, kind, NULL, ends[1]);
    close(ends[1]);
    EXPECT(read_fully(ends[0], words, n_bytes) == n_bytes);
    close(ends[0]);
}

void ask_unruly(struct keeper *keeper, const char *kind, char *answer, size_t size)
{
    int ends[2];
    EXPECT(pipe2(ends, O_CLOEXEC) == 0);
    spawn_unruly_slot(keeper, KEEPER_SERVICE, kind, NULL, ends[1]);
    close(ends[1]);
    answer[read_fully(ends[0], answer, size - 1)] = '\0';
    close(ends[0]);
    EXPECT(WIFEXITED(take_event(keeper, KEEPER_EXITED).wait_status));
    take_event(keeper, KEEPER_TREE_GONE);
}

static int wait_for(pid_t pid)
{
    int wait_status;
    EXPECT(pid > 0);
    while (waitpid(pid, &wait_status, 0) < 0) {
        EXPECT(errno == EINTR);
    }
    return wait_status;
}

int run_process(enum process_place place, void (*body)(void *user), void *user)
{
    pid_t pid = fork();
    if (pid != 0) {
        return wait_for(pid);
    }
    alarm(HANG_S);
    if (place == PLACE_INIT) {
        EXPECT(unshare(CLONE_NEWPID | CLONE_NEWNS) == 0);
        pid_t init = fork();
        if (init != 0) {
            int wait_status = wait_for(init);
            _exit(WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 1);
        }
        alarm(HANG_S);
        EXPECT(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
        EXPECT(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0);
    }
    body(user);
    _exit(0);
}

void become_nobody(void)
{
    EXPECT(setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    EXPECT(prctl(PR_SET_DUMPABLE, 1) == 0); /* as after a login */
}

void assert_nobody_is_left(void)
{
    static const struct timespec pause = {.tv_nsec = 10000000};
    pid_t pid = 0;
    for (int i = 0; i < 6000; i++) {
        while ((pid = waitpid(-1, NULL, WNOHANG | __WALL)) > 0) {
        }
        if (pid < 0) {
            EXPECT(errno == ECHILD);
            return;
        }
        nanosleep(&pause, NULL);
    }
    EXPECT(pid < 0);
}

int keeper_fixture_setup(void **state)
{
    (void)state;
    alarm(HANG_S);
    return prctl(PR_SET_CHILD_SUBREAPER, 1);
}
