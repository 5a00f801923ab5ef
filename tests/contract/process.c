#include "contract/process.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct process {
    pid_t pid;
    int fd;
};

static int parent_fd = -1; /* in the child */

static void run_child(int fd, int (*body)(void *user), void *user)
{
    parent_fd = fd;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    /* A failed assert must end this process, not go on with the parent's next test. */
    setenv("CMOCKA_TEST_ABORT", "1", 1);
    int status = body(user);
    fflush(NULL);
    _exit(status);
}

struct process *process_start(int (*body)(void *user), void *user)
{
    struct process *process = malloc(sizeof *process);
    int fds[2];
    assert_non_null(process);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    fflush(NULL);
    process->pid = fork();
    assert_true(process->pid >= 0);
    if (process->pid == 0) {
        close(fds[0]);
        run_child(fds[1], body, user);
    }
    close(fds[1]);
    process->fd = fds[0];
    return process;
}

long process_hear(struct process *process)
{
    long number;
    return read(process->fd, &number, sizeof number) == sizeof number ? number : -1;
}

void process_ask(struct process *process)
{
    assert_int_equal(write(process->fd, "", 1), 1);
}

void process_kill(struct process *process)
{
    kill(process->pid, SIGKILL);
}

int process_join(struct process *process)
{
    int status = 0;
    shutdown(process->fd, SHUT_WR);
    while (process_hear(process) != -1) {
    }
    close(process->fd);
    waitpid(process->pid, &status, 0);
    free(process);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

bool process_tell(long number)
{
    return write(parent_fd, &number, sizeof number) == sizeof number;
}

bool process_is_told(void)
{
    char byte;
    return read(parent_fd, &byte, 1) == 1;
}
