/*
 * The keeper process: a loop of "reap, kill if asked, wait".
 *
 * waitpid(2) is the proof. The keeper is a subreaper, so each process below it is its child or will
 * be once its parent is dead; when waitpid says ECHILD there is none, and none can appear. Killing
 * repeats until then, without ever waiting for one process, so the agent is heard meanwhile.
 *
 * It holds no memory that grows. It sends events with a blocking send(2): an agent that does not
 * read them for hundreds of events halts it, and one that dies ends the wait with an error.
 */
#include "agent/keeper_protocol.h"
#include "agent/process_tree.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    HOT_PASSES = 32,    /* fruitless kill passes before it begins to wait between them … */
    WAIT_MAX_MS = 20,   /* … 1, 2, 3 … ms; SIGCHLD ends the wait anyhow */
    REAPED_MAX = 256,   /* in a turn, before the agent is listened to again */
    REQUESTS_MAX = 64,  /* likewise */
    KILL_PRIORITY = -20 /* where it is permitted */
};

struct slot {
    pid_t pid;   /* 0: free */
    pid_t group; /* the one started last, which may outlive `pid`; 0: none */
    int exec_fd; /* while it is not known whether exec(2) succeeded; else -1 */
    struct keeper_spawn_failure failure; /* error_number 0: none */
};

struct keeper_process {
    int socket;
    int signal_fd; /* SIGCHLD */
    struct control_group *group;
    struct slot slots[KEEPER_SLOTS];
    int priority; /* what it was before the killing */
    int n_fruitless;
    bool is_killing;
    bool is_agent_gone;
    bool owes_tree_gone;
};

enum children { CHILDREN_NONE, CHILDREN_LEFT, CHILDREN_TO_REAP };

static void tell(struct keeper_process *self, const struct keeper_event *event)
{
    while (!self->is_agent_gone && send(self->socket, event, sizeof *event, MSG_NOSIGNAL) < 0 &&
           errno == EINTR) {
    }
    /* If the agent is gone, the next read of the socket says so. */
}

/* --- The slots ----------------------------------------------------------------------------- */

static enum keeper_slot slot_number(const struct keeper_process *self, const struct slot *slot)
{
    return slot == &self->slots[KEEPER_SERVICE] ? KEEPER_SERVICE : KEEPER_CHECK;
}

/* Learns from the pipe whether exec(2) has succeeded. A failure is told once the child is reaped,
   so that the slot is free by then. */
static void learn_exec(struct keeper_process *self, struct slot *slot)
{
    struct keeper_spawn_failure failure;
    ssize_t n_bytes = read(slot->exec_fd, &failure, sizeof failure);
    close(slot->exec_fd);
    slot->exec_fd = -1;
    if (n_bytes == (ssize_t)sizeof failure) {
        slot->failure = failure;
        return;
    }
    tell(self, &(struct keeper_event){
                   .kind = KEEPER_SPAWNED, .slot = slot_number(self, slot), .pid = slot->pid});
}

static void tell_failure(struct keeper_process *self, enum keeper_slot slot, enum keeper_step step,
                         int error_number)
{
    tell(self, &(struct keeper_event){.kind = KEEPER_SPAWN_FAILED,
                                      .slot = slot,
                                      .step = step,
                                      .error_number = error_number});
}

static void empty_slot(struct keeper_process *self, struct slot *slot, int wait_status)
{
    if (slot->exec_fd >= 0) {
        learn_exec(self, slot);
    }
    pid_t pid = slot->pid;
    slot->pid = 0;
    if (slot->failure.error_number != 0) {
        slot->group = 0;
        tell_failure(self, slot_number(self, slot), slot->failure.step, slot->failure.error_number);
        return;
    }
    if (slot_number(self, slot) == KEEPER_SERVICE) {
        self->owes_tree_gone = true;
    }
    tell(self, &(struct keeper_event){.kind = KEEPER_EXITED,
                                      .slot = slot_number(self, slot),
                                      .pid = pid,
                                      .wait_status = wait_status});
}

static void spawn(struct keeper_process *self, const struct keeper_request *request, const int *fds)
{
    struct slot *slot = &self->slots[request->slot];
    if (slot->pid != 0 || self->is_killing) {
        tell_failure(self, request->slot, KEEPER_STEP_FORK, EBUSY);
        return;
    }
    int exec_fd;
    pid_t pid = keeper_spawn_process(request, fds, self->group, &exec_fd);
    if (pid < 0) {
        tell_failure(self, request->slot, KEEPER_STEP_FORK, errno);
        return;
    }
    *slot = (struct slot){.pid = pid, .group = pid, .exec_fd = exec_fd};
}

/* --- Reaping and killing ------------------------------------------------------------------- */

static enum children reap(struct keeper_process *self)
{
    for (int i = 0; i < REAPED_MAX; i++) {
        int wait_status;
        pid_t pid = waitpid(-1, &wait_status, WNOHANG | __WALL);
        if (pid == 0) {
            return CHILDREN_LEFT;
        }
        if (pid < 0) { /* ECHILD; with WNOHANG there is no other */
            return CHILDREN_NONE;
        }
        self->n_fruitless = 0;
        for (size_t j = 0; j < KEEPER_SLOTS; j++) {
            if (self->slots[j].pid == pid) {
                empty_slot(self, &self->slots[j], wait_status);
            }
        }
    }
    return CHILDREN_TO_REAP;
}

static void begin_kill(struct keeper_process *self)
{
    if (!self->is_killing) {
        self->is_killing = true;
        self->n_fruitless = 0;
        self->priority = getpriority(PRIO_PROCESS, 0);
        setpriority(PRIO_PROCESS, 0, KILL_PRIORITY);
    }
}

static void end_kill(struct keeper_process *self)
{
    if (self->is_killing) {
        self->is_killing = false;
        control_group_thaw(self->group);
        setpriority(PRIO_PROCESS, 0, self->priority);
    }
}

static void kill_once(struct keeper_process *self)
{
    control_group_kill(self->group);
    process_tree_signal(&(struct process_tree_filter){0}, SIGKILL);
    self->n_fruitless++;
}

static void signal_group(const struct slot *slot, int signal)
{
    if (slot->pid != 0) {
        kill(-slot->pid, signal); /* not reaped yet, so the number is still this group's */
    } else if (slot->group != 0) {
        process_tree_signal(&(struct process_tree_filter){.group = slot->group}, signal);
    }
}

/* --- The agent ----------------------------------------------------------------------------- */

static void lose_agent(struct keeper_process *self)
{
    self->is_agent_gone = true;
    begin_kill(self);
}

static void obey(struct keeper_process *self, const struct keeper_request *request, const int *fds,
                 size_t n_fds)
{
    switch (request->kind) {
    case KEEPER_REQUEST_SPAWN:
        if (n_fds != request->n_fds) { /* the kernel drops those for which there is no room */
            tell_failure(self, request->slot, KEEPER_STEP_FDS, EMFILE);
        } else {
            spawn(self, request, fds);
        }
        break;
    case KEEPER_REQUEST_SIGNAL_GROUP:
        signal_group(&self->slots[request->slot], request->signal);
        break;
    case KEEPER_REQUEST_SIGNAL_TREE:
        process_tree_signal(&(struct process_tree_filter){0}, request->signal);
        break;
    case KEEPER_REQUEST_KILL_TREE:
        self->owes_tree_gone = true;
        begin_kill(self);
        break;
    }
}

/* Takes one request. False when the loop has to turn before the next: there is none, or a kill was
   begun. Where nobody is left to be killed that turn ends it, so that a spawn right behind it, by
   an agent that has heard TREE_GONE already, finds the way free. */
static bool hear_agent(struct keeper_process *self)
{
    struct keeper_request request;
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(KEEPER_FDS_MAX * sizeof(int))];
    } control;
    struct iovec data = {.iov_base = &request, .iov_len = sizeof request};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t n_bytes = recvmsg(self->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n_bytes != (ssize_t)sizeof request) {
        if (n_bytes >= 0 || (errno != EAGAIN && errno != EINTR)) {
            lose_agent(self);
        }
        return false;
    }
    int fds[KEEPER_FDS_MAX];
    size_t n_fds = 0;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header != NULL && header->cmsg_type == SCM_RIGHTS) {
        n_fds = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(header), n_fds * sizeof(int));
    }
    obey(self, &request, fds, n_fds);
    for (size_t i = 0; i < n_fds; i++) {
        close(fds[i]);
    }
    return request.kind != KEEPER_REQUEST_KILL_TREE;
}

/* --- The loop ------------------------------------------------------------------------------ */

static int wait_ms(const struct keeper_process *self, enum children children)
{
    if (children == CHILDREN_TO_REAP) {
        return 0;
    }
    if (!self->is_killing) {
        return -1;
    }
    int n_waits = self->n_fruitless - HOT_PASSES;
    return n_waits <= 0 ? 0 : n_waits < WAIT_MAX_MS ? n_waits : WAIT_MAX_MS;
}

static void wait_for_something(struct keeper_process *self, int timeout_ms)
{
    struct pollfd fds[2 + KEEPER_SLOTS] = {
        {.fd = self->is_agent_gone ? -1 : self->socket, .events = POLLIN},
        {.fd = self->signal_fd, .events = POLLIN},
    };
    for (size_t i = 0; i < KEEPER_SLOTS; i++) {
        fds[2 + i] = (struct pollfd){.fd = self->slots[i].exec_fd, .events = POLLIN};
    }
    if (poll(fds, 2 + KEEPER_SLOTS, timeout_ms) <= 0) {
        return;
    }
    struct signalfd_siginfo ignored; /* the next turn reaps in any case */
    while (fds[1].revents != 0 &&
           read(self->signal_fd, &ignored, sizeof ignored) == (ssize_t)sizeof ignored) {
    }
    for (size_t i = 0; i < KEEPER_SLOTS; i++) {
        if (fds[2 + i].revents != 0) {
            learn_exec(self, &self->slots[i]);
        }
    }
    for (int i = 0; fds[0].revents != 0 && i < REQUESTS_MAX && hear_agent(self); i++) {
    }
}

static _Noreturn void run(struct keeper_process *self)
{
    for (;;) {
        enum children children = reap(self);
        if (children == CHILDREN_NONE) {
            end_kill(self);
            if (self->is_agent_gone) {
                control_group_remove(self->group);
                _exit(0);
            }
            if (self->owes_tree_gone) {
                self->owes_tree_gone = false;
                tell(self, &(struct keeper_event){.kind = KEEPER_TREE_GONE});
            }
        } else if (self->is_killing) {
            kill_once(self);
        }
        wait_for_something(self, wait_ms(self, children));
    }
}

static int compare_fds(const void *left, const void *right)
{
    return *(const int *)left - *(const int *)right;
}

/* Descriptors that the agent inherited, or holds for itself, are no business of the service's. */
static void close_all_but(int socket, const struct control_group *group)
{
    int kept[] = {STDERR_FILENO, socket, group->parent_fd, group->fd};
    size_t n_kept = sizeof kept / sizeof kept[0];
    qsort(kept, n_kept, sizeof kept[0], compare_fds);
    for (size_t i = 0; i < n_kept; i++) {
        if (kept[i] < STDERR_FILENO) {
            continue;
        }
        unsigned first = (unsigned)kept[i] + 1;
        unsigned last = i + 1 < n_kept ? (unsigned)kept[i + 1] - 1 : ~0U;
        if (first <= last) {
            close_range(first, last, 0);
        }
    }
}

/* All signals are blocked already: the agent did so around the fork. */
static bool set_up(struct keeper_process *self)
{
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    close_all_but(self->socket, self->group);
    /* Its own group: SIGKILL for the agent's group must not take both. */
    setpgid(0, 0);
    prctl(PR_SET_NAME, "comrade-keeper");
    self->signal_fd = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
    return self->signal_fd >= 0 && prctl(PR_SET_CHILD_SUBREAPER, 1) == 0;
}

_Noreturn void keeper_process_run(int socket, struct control_group *group)
{
    struct keeper_process self = {
        .socket = socket, .group = group, .slots = {{.exec_fd = -1}, {.exec_fd = -1}}};
    int error_number = set_up(&self) ? 0 : errno;
    tell(&self, &(struct keeper_event){.error_number = error_number});
    if (error_number != 0) {
        _exit(1);
    }
    run(&self);
}
