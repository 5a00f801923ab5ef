/*
 * The agent's side of the keeper: starts it, hears it, ends it, and stands in for it when it died.
 * What is asked of it is in keeper_request.c.
 */
#include "agent/keeper.h"

#include "agent/keeper_protocol.h"
#include "agent/process_tree.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { REAPED_MAX = 256, ORPHANS_PAUSE_NS = 1000000 };

struct keeper {
    int fd;
    pid_t pid;
    bool is_reaped;
    bool is_clean; /* reaped, and it had done its work */
    bool is_death_told;
    struct control_group group; /* of the same name as the keeper's; used once that is dead */
};

/* --- Start and end ------------------------------------------------------------------------- */

/* What is opened later must not become the service's standard streams by accident. */
static bool open_standard_fds(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) { /* the lowest free one */
            return false;
        }
    }
    return true;
}

/* Ignored, SIGCHLD would make the kernel reap our children without us. It is inherited so. */
static void heed_children(void)
{
    struct sigaction action;
    if (sigaction(SIGCHLD, NULL, &action) == 0 && action.sa_handler == SIG_IGN) {
        signal(SIGCHLD, SIG_DFL);
    }
}

/* Forks the keeper with all signals blocked, so that none ends it before it is set up. */
static pid_t fork_keeper(int agent_end, int keeper_end, struct control_group *group)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0) {
        close(agent_end);
        keeper_process_run(keeper_end, group);
    }
    int fork_errno = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    errno = fork_errno;
    return pid;
}

/* The keeper's first word. Returns 0, or why it could not set itself up. */
static int hear_set_up(int fd)
{
    struct keeper_event event;
    ssize_t n_bytes;
    do {
        n_bytes = recv(fd, &event, sizeof event, 0);
    } while (n_bytes < 0 && errno == EINTR);
    return n_bytes == (ssize_t)sizeof event ? event.error_number : n_bytes < 0 ? errno : ECHILD;
}

static comrade_status start_process(struct keeper *keeper, comrade_error *error)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
        return comrade_error_set(error, COMRADE_SYSTEM,
                                 "starting the process that keeps the service: socketpair: %s",
                                 strerror(errno));
    }
    keeper->fd = ends[0];
    keeper->pid = fork_keeper(ends[0], ends[1], &keeper->group);
    int start_errno = errno;
    close(ends[1]);
    if (keeper->pid > 0) {
        start_errno = hear_set_up(keeper->fd);
    }
    if (keeper->pid < 0 || start_errno != 0) {
        return comrade_error_set(error, COMRADE_SYSTEM,
                                 "starting the process that keeps the service: %s",
                                 strerror(start_errno));
    }
    return COMRADE_OK;
}

comrade_status keeper_start(const struct keeper_options *options, struct keeper **keeper,
                            comrade_error *error)
{
    if (!open_standard_fds() || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
        return comrade_error_set(error, COMRADE_SYSTEM,
                                 "preparing to keep a service: %s (Linux and /dev/null are needed)",
                                 strerror(errno));
    }
    if (!process_tree_is_visible()) {
        return comrade_error_set(error, COMRADE_SYSTEM,
                                 "looking for the processes below this one in /proc: %s; mount "
                                 "/proc (the kernel needs CONFIG_PROC_CHILDREN)",
                                 strerror(errno));
    }
    struct keeper *started = calloc(1, sizeof *started);
    if (started == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "starting a keeper: out of memory");
    }
    started->fd = -1;
    started->pid = -1;
    started->group = (struct control_group)CONTROL_GROUP_NONE;
    if (options == NULL || !options->never_uses_control_group) {
        control_group_make(&started->group);
    }
    heed_children();
    comrade_status status = start_process(started, error);
    if (status != COMRADE_OK) {
        keeper_free(started);
        return status;
    }
    *keeper = started;
    return COMRADE_OK;
}

static void note_end(struct keeper *keeper, int wait_status)
{
    keeper->is_reaped = true;
    keeper->is_clean = WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
}

/* Reaps what has ended. True when the caller has no child left. */
static bool reap_children(struct keeper *keeper)
{
    for (int i = 0; i < REAPED_MAX; i++) {
        int wait_status;
        pid_t pid = waitpid(-1, &wait_status, WNOHANG | __WALL);
        if (pid <= 0) {
            return pid < 0;
        }
        if (pid == keeper->pid) {
            note_end(keeper, wait_status);
        }
    }
    return false;
}

void keeper_reap_orphans(struct keeper *keeper)
{
    reap_children(keeper);
}

bool keeper_kill_orphans(struct keeper *keeper)
{
    struct process_tree_filter all_but_keeper = {.except = keeper->is_reaped ? 0 : keeper->pid};
    control_group_kill(&keeper->group);
    process_tree_signal(&all_but_keeper, SIGKILL);
    return reap_children(keeper);
}

/* The keeper does its work and exits once the socket has ended. */
static void wait_for_end(struct keeper *keeper)
{
    static const struct timespec pause = {.tv_nsec = ORPHANS_PAUSE_NS};
    bool is_init = getpid() == 1;
    if (is_init) {
        kill(-1, SIGKILL); /* at one moment, all of this PID namespace but this process */
    }
    if (!keeper->is_reaped) {
        kill(keeper->pid, SIGCONT); /* a stopped keeper would never notice */
        int wait_status = 0;
        while (waitpid(keeper->pid, &wait_status, 0) < 0 && errno == EINTR) {
        }
        note_end(keeper, wait_status);
    }
    while ((is_init || !keeper->is_clean) && !keeper_kill_orphans(keeper)) {
        nanosleep(&pause, NULL);
    }
}

void keeper_free(struct keeper *keeper)
{
    if (keeper == NULL) {
        return;
    }
    if (keeper->fd >= 0) {
        shutdown(keeper->fd, SHUT_RDWR);
    }
    if (keeper->pid > 0) {
        wait_for_end(keeper);
    }
    control_group_remove(&keeper->group); /* the keeper has done so, unless it was killed */
    if (keeper->fd >= 0) {
        close(keeper->fd);
    }
    free(keeper);
}

/* --- Hearing it ---------------------------------------------------------------------------- */

int keeper_fd(const struct keeper *keeper)
{
    return keeper->fd;
}

pid_t keeper_pid(const struct keeper *keeper)
{
    return keeper->pid;
}

bool keeper_has_control_group(const struct keeper *keeper)
{
    return keeper->group.fd >= 0;
}

bool keeper_next_event(struct keeper *keeper, struct keeper_event *event)
{
    struct keeper_event heard;
    ssize_t n_bytes = recv(keeper->fd, &heard, sizeof heard, MSG_DONTWAIT);
    if (n_bytes == (ssize_t)sizeof heard) {
        *event = heard;
        return true;
    }
    if (keeper->is_death_told || (n_bytes < 0 && (errno == EAGAIN || errno == EINTR))) {
        return false;
    }
    keeper->is_death_told = true;
    *event = (struct keeper_event){.kind = KEEPER_DIED, .pid = keeper->pid};
    return true;
}
