/*
 * Walks /proc/PID/task/TID/children.
 *
 * The hard part is to outrun a process that forks and exits in a loop. Such a chain is always in
 * one of two places: its newest link is the caller's child, or it is below one. So the walk goes
 * all the way down, and sends the signal to a parent before it lists the children: after SIGKILL
 * is pending fork(2) fails, so that the list is final, or the parent is gone and its children are
 * the caller's in the next walk. Reading a list and killing takes some ten microseconds, fork and
 * exit some hundred; each walk therefore has a good chance to hit the newest link before it has
 * forked, and one hit ends the chain.
 *
 * The second hard part is never to hit a stranger. Only the caller reaps its children, so their
 * PIDs are theirs during the walk. For anybody deeper: open a pidfd, see in /proc that its parent
 * is the one we came from, then see by the parent's own pidfd that the parent had not been reaped
 * at that time, so that its PID had not been reused either. From then on the pidfd names a
 * descendant.
 */
#include "agent/process_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DEPTH_MAX = 24, PATH_SIZE = 64, LIST_SIZE = 512, STAT_SIZE = 512, TASKS_MAX = 65536 };

struct walk {
    struct process_tree_filter filter;
    int signal;
    size_t n_signalled;
};

/* A process whose children are being visited. The caller itself, and its children: fd -1. */
struct parent {
    pid_t pid;
    int fd;
    int depth; /* 0: the caller */
};

static void visit(struct walk *walk, const struct parent *parent, pid_t pid);

/* The parent and the process group of a process, from the fields behind its parenthesised name. */
static bool read_stat(pid_t pid, pid_t *parent, pid_t *group)
{
    char path[PATH_SIZE];
    char text[STAT_SIZE];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t n_bytes = read(fd, text, sizeof text - 1);
    close(fd);
    if (n_bytes <= 0) {
        return false;
    }
    text[n_bytes] = '\0';
    const char *end_of_name = strrchr(text, ')');
    char state;
    return end_of_name != NULL &&
           sscanf(end_of_name + 1, " %c %d %d", &state, parent, group) == 3; /* pid_t is int */
}

/* Visits the children that one thread of the parent has forked. */
static void visit_children_of_task(struct walk *walk, const struct parent *parent, pid_t task)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)parent->pid, (int)task);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    char list[LIST_SIZE];
    pid_t pid = 0; /* kept across reads, which may end inside a number */
    ssize_t n_bytes;
    while ((n_bytes = read(fd, list, sizeof list)) > 0) {
        for (ssize_t i = 0; i < n_bytes; i++) {
            if (list[i] >= '0' && list[i] <= '9') {
                pid = pid * 10 + (list[i] - '0');
            } else if (pid > 0) {
                visit(walk, parent, pid);
                pid = 0;
            }
        }
    }
    close(fd);
}

static void visit_children(struct walk *walk, const struct parent *parent)
{
    char path[PATH_SIZE];
    struct stat tasks;
    snprintf(path, sizeof path, "/proc/%d/task", (int)parent->pid);
    if (stat(path, &tasks) < 0) {
        return;
    }
    if (tasks.st_nlink <= 3) { /* "." and ".." and one thread: the usual case, and the fast one */
        visit_children_of_task(walk, parent, parent->pid);
        return;
    }
    DIR *directory = opendir(path);
    if (directory == NULL) {
        return;
    }
    const struct dirent *entry;
    for (int i = 0; i < TASKS_MAX && (entry = readdir(directory)) != NULL; i++) {
        pid_t task = (pid_t)strtol(entry->d_name, NULL, 10);
        if (task > 0) {
            visit_children_of_task(walk, parent, task);
        }
    }
    closedir(directory);
}

static bool is_wanted(const struct walk *walk, pid_t pid)
{
    pid_t parent;
    pid_t group;
    return walk->filter.group == 0 ||
           (read_stat(pid, &parent, &group) && group == walk->filter.group);
}

static bool send_signal(int fd, int signal)
{
    return syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) == 0;
}

/* A descriptor that names this process and no later one of its PID, or -1. */
static int open_descendant(const struct parent *parent, pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) {
        return -1;
    }
    pid_t its_parent;
    pid_t its_group;
    bool is_ours = read_stat(pid, &its_parent, &its_group) && its_parent == parent->pid &&
                   (parent->fd < 0 || send_signal(parent->fd, 0) || errno == EPERM);
    if (!is_ours) {
        close(fd);
        return -1;
    }
    return fd;
}

static void visit(struct walk *walk, const struct parent *parent, pid_t pid)
{
    struct parent self = {.pid = pid, .fd = -1, .depth = parent->depth + 1};
    if (parent->depth == 0 && pid == walk->filter.except) {
        return;
    }
    if (parent->depth > 0) {
        self.fd = open_descendant(parent, pid);
        if (self.fd < 0) {
            return;
        }
    }
    if (is_wanted(walk, pid) &&
        (self.fd < 0 ? kill(pid, walk->signal) == 0 : send_signal(self.fd, walk->signal))) {
        walk->n_signalled++;
    }
    if (self.depth < DEPTH_MAX) {
        visit_children(walk, &self);
    }
    if (self.fd >= 0) {
        close(self.fd);
    }
}

bool process_tree_is_visible(void)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)getpid(), (int)getpid());
    return access(path, R_OK) == 0;
}

size_t process_tree_signal(const struct process_tree_filter *filter, int signal)
{
    struct walk walk = {.filter = *filter, .signal = signal};
    struct parent self = {.pid = getpid(), .fd = -1, .depth = 0};
    visit_children(&walk, &self);
    return walk.n_signalled;
}
