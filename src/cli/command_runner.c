#include "cli/command_runner.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLOW_MS = 60 * 1000, POLL_MS = 50, HOW_SIZE = 128 };

struct command_input {
    struct command_input *next;
    bool has_text;
    size_t len;
    char text[];
};

void command_runner_init(struct command_runner *runner, const struct cli *cli, const char *command,
                         enum command_mode mode, int wait_fd)
{
    *runner = (struct command_runner){
        .cli = cli, .command = command, .mode = mode, .wait_fd = wait_fd, .pid_fd = -1};
    /* Whoever started us may ignore it, and then no exit code would be kept for us. */
    signal(SIGCHLD, SIG_DFL);
}

/* --- What waits ------------------------------------------------------------------------------- */

static struct command_input *take_first(struct command_runner *runner)
{
    struct command_input *taken = runner->first;
    runner->first = taken->next;
    runner->last = runner->first == NULL ? NULL : runner->last;
    runner->n_waiting--;
    runner->n_bytes -= taken->len;
    taken->next = NULL;
    return taken;
}

static void put_last(struct command_runner *runner, struct command_input *input)
{
    if (runner->last == NULL) {
        runner->first = input;
    } else {
        runner->last->next = input;
    }
    runner->last = input;
    runner->n_waiting++;
    runner->n_bytes += input->len;
}

static void drop(const struct command_runner *runner, const char *why, const char *text)
{
    cli_fail(runner->cli, 0, "`%s` is not run for the next line: %s", runner->command, why);
    fputs(text, stderr);
}

static void drop_waiting(struct command_runner *runner, const char *why)
{
    while (runner->first != NULL) {
        struct command_input *input = take_first(runner);
        if (runner->mode == COMMAND_EACH && why != NULL) {
            drop(runner, why, input->text);
        }
        free(input);
    }
}

comrade_status command_runner_add(struct command_runner *runner, const char *text,
                                  comrade_error *error)
{
    size_t len = text == NULL ? 0 : strlen(text);
    if (runner->mode == COMMAND_EACH && (runner->n_waiting == COMMAND_WAITING_MAX ||
                                         len > COMMAND_WAITING_MAX_BYTES - runner->n_bytes)) {
        drop(runner, "too many wait for it", text);
        return COMRADE_OK;
    }
    struct command_input *input = calloc(1, sizeof *input + len + 1);
    if (input == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for a command's input");
    }
    input->has_text = text != NULL;
    input->len = len;
    if (text != NULL) {
        memcpy(input->text, text, len + 1);
    }
    if (runner->mode == COMMAND_LATEST) {
        drop_waiting(runner, NULL);
    }
    put_last(runner, input);
    runner->is_retry = false;
    return COMRADE_OK;
}

void command_runner_close(struct command_runner *runner)
{
    runner->is_closed = true;
    drop_waiting(runner, "the watching ends");
}

void command_runner_finish(struct command_runner *runner)
{
    drop_waiting(runner, NULL);
    free(runner->running);
    runner->running = NULL;
}

/* --- Starting --------------------------------------------------------------------------------- */

/* A descriptor to read the input from, or -1 with errno. */
static int open_input(const struct command_input *input)
{
    if (!input->has_text) {
        return open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    int fd = memfd_create("comrade-watch", MFD_CLOEXEC);
    size_t at = 0;
    while (fd >= 0 && at < input->len) {
        ssize_t n_bytes = write(fd, input->text + at, input->len - at);
        if (n_bytes < 0 && errno != EINTR) {
            int problem = errno;
            close(fd);
            errno = problem;
            return -1;
        }
        at += n_bytes > 0 ? (size_t)n_bytes : 0;
    }
    if (fd >= 0) {
        lseek(fd, 0, SEEK_SET);
    }
    return fd;
}

/* Signals as they are at a login: nothing blocked, nothing ignored. Returns 0 or an errno. */
static int spawn(const struct command_runner *runner, int input_fd, pid_t *pid)
{
    char shell[] = "sh", option[] = "-c";
    char *command = strdup(runner->command);
    char *argv[] = {shell, option, command, NULL};
    sigset_t all;
    sigset_t none;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_init(&actions);
    int problem = command == NULL
                      ? ENOMEM
                      : posix_spawn_file_actions_adddup2(&actions, input_fd, STDIN_FILENO);
    if (problem == 0) {
        problem = posix_spawn(pid, "/bin/sh", &actions, &attributes, argv, environ);
    }
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    free(command);
    return problem;
}

/* Without a descriptor for it (an old kernel) the command is looked at again and again. */
static void watch_process(struct command_runner *runner)
{
    struct epoll_event ended = {.events = EPOLLIN};
    runner->pid_fd = (int)syscall(SYS_pidfd_open, runner->pid, 0);
    if (runner->pid_fd >= 0 &&
        epoll_ctl(runner->wait_fd, EPOLL_CTL_ADD, runner->pid_fd, &ended) != 0) {
        close(runner->pid_fd);
        runner->pid_fd = -1;
    }
}

/* What failed to run, or to start, is tried again, unless something newer waits. */
static void failed(struct command_runner *runner, int64_t now_ms, const char *how)
{
    if (runner->mode == COMMAND_EACH || runner->is_closed) {
        cli_fail(runner->cli, 0, "`%s` %s", runner->command, how);
        free(runner->running);
        runner->running = NULL;
        return;
    }
    retry_failed(&runner->retry, now_ms);
    cli_fail(runner->cli, 0, "`%s` %s; it is run again with the next change, or in %lld s",
             runner->command, how, (long long)runner->retry.delay_ms / 1000);
    if (runner->n_waiting == 0) {
        put_last(runner, runner->running);
        runner->is_retry = true;
    } else {
        free(runner->running);
    }
    runner->running = NULL;
}

static void start(struct command_runner *runner, int64_t now_ms)
{
    runner->running = take_first(runner);
    runner->began_ms = now_ms;
    runner->is_slow = false;
    runner->is_retry = false;
    char how[HOW_SIZE];
    int input_fd = open_input(runner->running);
    int problem = input_fd < 0 ? errno : spawn(runner, input_fd, &runner->pid);
    if (input_fd >= 0) {
        close(input_fd);
    }
    if (problem != 0) {
        runner->pid = 0;
        snprintf(how, sizeof how, "cannot be started: %s", strerror(problem));
        failed(runner, now_ms, how);
        return;
    }
    watch_process(runner);
}

/* --- Ending ----------------------------------------------------------------------------------- */

/* True: it has succeeded. */
static bool end(struct command_runner *runner, const siginfo_t *ending, int64_t now_ms)
{
    char how[HOW_SIZE];
    if (runner->pid_fd >= 0) {
        close(runner->pid_fd);
    }
    runner->pid_fd = -1;
    runner->pid = 0;
    if (ending->si_code != CLD_EXITED || ending->si_status != 0) {
        snprintf(how, sizeof how, "%s %d",
                 ending->si_code == CLD_EXITED ? "exited with code" : "was ended by signal",
                 ending->si_status);
        failed(runner, now_ms, how);
        return false;
    }
    if (runner->retry.delay_ms > 0) {
        cli_fail(runner->cli, 0, "`%s` has succeeded", runner->command);
    }
    retry_end(&runner->retry);
    free(runner->running);
    runner->running = NULL;
    return true;
}

static void say_slow(struct command_runner *runner, int64_t now_ms)
{
    if (!runner->is_slow && now_ms - runner->began_ms >= SLOW_MS) {
        cli_fail(runner->cli, 0, "`%s` has been running for %d s; later changes wait for it",
                 runner->command, SLOW_MS / 1000);
        runner->is_slow = true;
    }
}

bool command_runner_step(struct command_runner *runner, int64_t now_ms)
{
    bool has_succeeded = false;
    siginfo_t ending = {0};
    if (runner->pid != 0) {
        if (waitid(P_PID, (id_t)runner->pid, &ending, WEXITED | WNOHANG) == 0 &&
            ending.si_pid == 0) {
            say_slow(runner, now_ms);
            return false;
        }
        has_succeeded = end(runner, &ending, now_ms);
    }
    if (runner->n_waiting > 0 && !runner->is_closed &&
        (!runner->is_retry || retry_is_due(&runner->retry, now_ms))) {
        start(runner, now_ms);
        return false;
    }
    return has_succeeded && runner->n_waiting == 0;
}

int64_t command_runner_due_ms(const struct command_runner *runner, int64_t now_ms)
{
    if (runner->pid != 0) {
        return runner->pid_fd < 0 ? now_ms + POLL_MS
               : runner->is_slow  ? INT64_MAX
                                  : runner->began_ms + SLOW_MS;
    }
    if (runner->n_waiting == 0 || runner->is_closed) {
        return INT64_MAX;
    }
    return runner->is_retry ? retry_due_ms(&runner->retry) : now_ms;
}

void command_runner_signal(const struct command_runner *runner, int number)
{
    if (runner->pid != 0) {
        kill(-runner->pid, number);
    }
}
