#include "lib/unruly.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Tells the test that the tree stands, on standard output, if that is a pipe. */
static void say_ready(void)
{
    ssize_t n_bytes = write(STDOUT_FILENO, "ready\n", 6);
    (void)n_bytes;
}

static _Noreturn void sleep_for_ever(void)
{
    for (;;) {
        pause();
    }
}

static _Noreturn void ignore_term(void)
{
    signal(SIGTERM, SIG_IGN);
    say_ready();
    sleep_for_ever();
}

/* The service stays; a child of its own session ignores everything that can be ignored. */
static _Noreturn void setsid_escapee(void)
{
    if (fork() == 0) {
        setsid();
        for (int number = 1; number < NSIG; number++) {
            signal(number, SIG_IGN);
        }
        say_ready();
    }
    sleep_for_ever();
}

/* daemon(3): the service ends at once, its daemon lives on in a session of its own. */
static _Noreturn void daemon_escapee(void)
{
    if (fork() != 0) {
        _exit(0);
    }
    setsid();
    if (fork() != 0) {
        _exit(0);
    }
    say_ready();
    sleep_for_ever();
}

/* Forks, lets the parent exit, and so on, for ever: no link lives longer than a fork takes. */
static _Noreturn void chain(void)
{
    for (;;) {
        pid_t pid = fork();
        if (pid > 0) {
            _exit(0);
        }
        if (pid == 0) {
            setsid();
        }
    }
}

/* As above, but a link exits only after the next one has forked the one after it. */
static _Noreturn void careful_chain(void)
{
    int before[2] = {-1, -1};
    for (;;) {
        int ends[2];
        if (pipe(ends) < 0) {
            continue;
        }
        pid_t pid = fork();
        if (pid < 0) {
            close(ends[0]);
            close(ends[1]);
            continue;
        }
        if (pid > 0) {
            char byte;
            if (before[1] >= 0 && write(before[1], "x", 1) < 1) {
                _exit(1);
            }
            close(ends[1]);
            _exit(read(ends[0], &byte, 1) == 1 ? 0 : 1);
        }
        setsid();
        close(ends[0]);
        close(before[1]);
        before[1] = ends[1];
    }
}

/* Each child is made a sibling: it is the keeper's own child from its first moment. */
static _Noreturn void sibling_chain(void)
{
    for (;;) {
        if (syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0) > 0) {
            _exit(0);
        }
    }
}

/* Both sides of each fork go on forking, up to the limit of the user's processes. */
static _Noreturn void bomb(void)
{
    struct rlimit limit = {.rlim_cur = 60, .rlim_max = 60};
    setrlimit(RLIMIT_NPROC, &limit);
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        if (fork() == 0) {
            setsid();
        }
    }
}

/* Three levels, each of which ignores SIGTERM and has a session of its own, and two children. */
static _Noreturn void tree(void)
{
    int depth = 0;
    signal(SIGTERM, SIG_IGN);
    for (int n_children = 0; n_children < 2 && depth < 3; n_children++) {
        if (fork() == 0) {
            setsid();
            depth++;
            n_children = -1; /* a new parent, with none yet */
        }
    }
    if (depth == 3) {
        say_ready();
    }
    sleep_for_ever();
}

static _Noreturn void stopped(void)
{
    if (fork() == 0) {
        setsid();
        say_ready();
        raise(SIGSTOP);
        sleep_for_ever();
    }
    raise(SIGSTOP);
    sleep_for_ever();
}

/* The leader of the group ends, a member of the group does not. */
static _Noreturn void leaderless(void)
{
    if (fork() == 0) {
        say_ready();
        sleep_for_ever();
    }
    _exit(7);
}

static int compare_numbers(const void *left, const void *right)
{
    return *(const int *)left - *(const int *)right;
}

static _Noreturn void tell_fds(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int fds[256];
    size_t n = 0;
    const struct dirent *entry;
    while (directory != NULL && n < 256 && (entry = readdir(directory)) != NULL) {
        int fd = (int)strtol(entry->d_name, NULL, 10);
        if (entry->d_name[0] != '.' && fd != dirfd(directory)) {
            fds[n++] = fd;
        }
    }
    qsort(fds, n, sizeof fds[0], compare_numbers);
    for (size_t i = 0; i < n; i++) {
        dprintf(STDOUT_FILENO, "%d ", fds[i]);
    }
    _exit(0);
}

static _Noreturn void tell_environment(void)
{
    size_t n_bytes = 0;
    for (char **entry = environ; *entry != NULL; entry++) {
        n_bytes += strlen(*entry) + 1;
    }
    dprintf(STDOUT_FILENO, "%zu", n_bytes);
    _exit(0);
}

/* Blocked and ignored signals, and whether the process leads its group and hears its parent die. */
static _Noreturn void tell_signals(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        unsigned long long mask;
        if (sscanf(line, "SigBlk: %llx", &mask) == 1 || sscanf(line, "SigIgn: %llx", &mask) == 1) {
            dprintf(STDOUT_FILENO, "%llx ", mask);
        }
    }
    dprintf(STDOUT_FILENO, "%s", getpgrp() == getpid() ? "leader" : "member");
    _exit(0);
}

static _Noreturn void tell_stdin(void)
{
    char path[256] = "";
    ssize_t n_bytes = readlink("/proc/self/fd/0", path, sizeof path - 1);
    dprintf(STDOUT_FILENO, "%.*s", (int)n_bytes, path);
    _exit(0);
}

static _Noreturn void tell_directory(void)
{
    char path[256];
    dprintf(STDOUT_FILENO, "%s", getcwd(path, sizeof path));
    _exit(0);
}

void unruly_main(int argc, char **argv)
{
    if (argc < 3 || strcmp(argv[1], "unruly") != 0) {
        return;
    }
    static const struct {
        const char *kind;
        void (*run)(void);
    } kinds[] = {
        {"ignore-term", ignore_term},
        {"setsid", setsid_escapee},
        {"daemon", daemon_escapee},
        {"chain", chain},
        {"careful-chain", careful_chain},
        {"sibling-chain", sibling_chain},
        {"bomb", bomb},
        {"tree", tree},
        {"stopped", stopped},
        {"leaderless", leaderless},
        {"fds", tell_fds},
        {"environment", tell_environment},
        {"signals", tell_signals},
        {"stdin", tell_stdin},
        {"directory", tell_directory},
    };
    if (strcmp(argv[2], "exit") == 0) {
        _exit(argc > 3 ? (int)strtol(argv[3], NULL, 10) : 0);
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(argv[2], kinds[i].kind) == 0) {
            kinds[i].run();
        }
    }
    _exit(99);
}
