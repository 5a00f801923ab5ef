/*
 * From fork(2) to exec(2). The keeper has one thread and no locks held by others, so the child may
 * do what it likes before exec; the large text is mapped here only, never in the keeper.
 */
#include "agent/keeper_protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

struct child {
    const struct keeper_request *request;
    int fds[KEEPER_FDS_MAX];
    int failure_fd;
};

static _Noreturn void fail(const struct child *child, enum keeper_step step)
{
    struct keeper_spawn_failure failure = {.step = step, .error_number = errno};
    /* Fits the pipe. If the keeper is gone, nobody is left to be told. */
    ssize_t n_bytes = write(child->failure_fd, &failure, sizeof failure);
    _exit(n_bytes == (ssize_t)sizeof failure ? 127 : 126);
}

/* SIGKILL when the keeper dies; and at once, if it has died since the fork. */
static void die_with(pid_t keeper)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != keeper) {
        _exit(127);
    }
}

static void move_above(const struct child *child, int *fd, int lowest)
{
    int moved = fcntl(*fd, F_DUPFD_CLOEXEC, lowest);
    if (moved < 0) {
        fail(child, KEEPER_STEP_FDS);
    }
    *fd = moved;
}

/* All sources are moved out of the way first: one may have the number of another's target. */
static void place_fds(struct child *child)
{
    const struct keeper_request *request = child->request;
    bool has_stdin = false;
    int lowest = STDERR_FILENO + 1;
    for (size_t i = 1; i < request->n_fds; i++) {
        has_stdin = has_stdin || request->targets[i] == STDIN_FILENO;
        lowest = request->targets[i] >= lowest ? request->targets[i] + 1 : lowest;
    }
    move_above(child, &child->failure_fd, lowest);
    for (size_t i = 1; i < request->n_fds; i++) {
        move_above(child, &child->fds[i], lowest);
    }
    for (size_t i = 1; i < request->n_fds; i++) {
        if (dup2(child->fds[i], request->targets[i]) < 0) {
            fail(child, KEEPER_STEP_FDS);
        }
    }
    if (!has_stdin && isatty(STDIN_FILENO)) {
        int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0) {
            fail(child, KEEPER_STEP_FDS);
        }
    }
}

/* exec(2) resets handlers, but neither what is ignored nor what is blocked. */
static void reset_signals(void)
{
    for (int number = 1; number < NSIG; number++) {
        signal(number, SIG_DFL);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Points `n` entries and a NULL at consecutive strings. Returns the text behind them. */
static char *split(char *text, size_t n, char ***strings)
{
    *strings = calloc(n + 1, sizeof **strings);
    for (size_t i = 0; i < n && *strings != NULL; i++) {
        (*strings)[i] = text;
        text += strlen(text) + 1;
    }
    return text;
}

/*
 * execvp says EACCES also when it found no command at all, but could not look into one of PATH's
 * directories. Whether there is one decides between "not found" and "may not be executed".
 */
static void tell_not_found(const char *name)
{
    const char *path = getenv("PATH");
    if (errno != EACCES || strchr(name, '/') != NULL || path == NULL) {
        return;
    }
    for (;;) {
        char candidate[PATH_MAX];
        int directory_len = (int)strcspn(path, ":");
        int len = snprintf(candidate, sizeof candidate, "%.*s%s%s", directory_len, path,
                           directory_len > 0 ? "/" : "", name);
        if (len < (int)sizeof candidate && access(candidate, F_OK) == 0) {
            errno = EACCES;
            return;
        }
        if (path[directory_len] == '\0') {
            errno = ENOENT;
            return;
        }
        path += directory_len + 1;
    }
}

static _Noreturn void become_command(struct child *child)
{
    const struct keeper_request *request = child->request;
    char *text =
        mmap(NULL, request->text_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, child->fds[0], 0);
    if (text == MAP_FAILED) {
        fail(child, KEEPER_STEP_EXEC);
    }
    place_fds(child);
    if (request->has_directory) {
        if (chdir(text) < 0) {
            fail(child, KEEPER_STEP_DIRECTORY);
        }
        text += strlen(text) + 1;
    }
    char **arguments = NULL;
    char **environment = NULL;
    text = split(text, request->n_arguments, &arguments);
    split(text, request->n_environment, &environment);
    if (arguments == NULL || environment == NULL) {
        errno = ENOMEM;
        fail(child, KEEPER_STEP_EXEC);
    }
    if (arguments[0] == NULL) {
        errno = EINVAL;
        fail(child, KEEPER_STEP_EXEC);
    }
    reset_signals();
    environ = environment; /* execvp looks for the command in this PATH */
    execvp(arguments[0], arguments);
    tell_not_found(arguments[0]);
    fail(child, KEEPER_STEP_EXEC);
}

pid_t keeper_spawn_process(const struct keeper_request *request, const int *fds,
                           const struct control_group *group, int *exec_fd)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return -1;
    }
    pid_t keeper = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        struct child child = {.request = request, .failure_fd = ends[1]};
        memcpy(child.fds, fds, request->n_fds * sizeof *fds);
        setpgid(0, 0);
        die_with(keeper);
        control_group_enter(group);
        become_command(&child);
    }
    int fork_errno = errno;
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        errno = fork_errno;
        return -1;
    }
    setpgid(pid, pid); /* in both, so that the group exists for whoever comes first */
    *exec_fd = ends[0];
    return pid;
}
