/*
 * The keeper: a tiny process between the agent and the service, so that no descendant survives.
 *
 *   agent ── keeper ── service ── whatever it starts, daemons included
 *
 * The keeper is the service's parent and a child subreaper: every orphan below it becomes its
 * child, whatever it did to escape (setsid, double fork). It kills by control group where one can
 * be made, and by walking the process tree everywhere, until waitpid(2) says that it has no child
 * left: that is exact. It does so when it is asked, and when the agent is gone, however it went:
 * the kernel closes the agent's end of their socket. If the keeper itself is killed, its children
 * get SIGKILL from the kernel, and whatever else was below comes to the agent, which is a subreaper
 * too: see keeper_kill_orphans(). Only who sends SIGKILL to both at once can leave a process
 * behind.
 *
 * Calls never wait for a process, except keeper_start() (for the fork) and keeper_free(). What
 * happened arrives as events behind keeper_fd(). All calls come from one thread.
 *
 * A process that the keeper may not signal (one that became another user by a set-user-ID program)
 * is waited for, and killed only by control group.
 */
#ifndef AGENT_KEEPER_H
#define AGENT_KEEPER_H

#include <comrade.h>

#include <sys/types.h>

struct keeper;

enum keeper_slot { KEEPER_SERVICE, KEEPER_CHECK };
#define KEEPER_SLOTS 2
#define KEEPER_EXTRA_FDS_MAX 16

struct keeper_options {
    bool never_uses_control_group; /* kill by walking the tree only: for tests and odd machines */
};

/* `fd` of the agent appears as `target` in the process. */
struct keeper_extra_fd {
    int fd;
    int target; /* 3 to 1000, each once */
};

/* All pointers are borrowed for the call. */
struct keeper_command {
    enum keeper_slot slot;
    const char *const *argv;       /* NULL-terminated; argv[0] is looked up in envp's PATH */
    const char *const *envp;       /* NULL-terminated; the whole environment; NULL: the agent's */
    const char *working_directory; /* NULL: the agent's at keeper_start() */
    int stdin_fd;                  /* -1: the agent's, or /dev/null where that is a terminal: the
                                      process is in a background group and would be stopped */
    int stdout_fd;                 /* -1: the agent's */
    int stderr_fd;                 /* -1: the agent's */
    const struct keeper_extra_fd *extra_fds;
    size_t n_extra_fds; /* at most KEEPER_EXTRA_FDS_MAX */
};
#define KEEPER_COMMAND_INIT                                                                        \
    {                                                                                              \
        KEEPER_SERVICE, NULL, NULL, NULL, -1, -1, -1, NULL, 0                                      \
    }

enum keeper_event_kind {
    KEEPER_SPAWNED,      /* slot, pid: exec(2) has succeeded */
    KEEPER_SPAWN_FAILED, /* slot, error_number, step: the slot is free again, no EXITED follows */
    KEEPER_EXITED,       /* slot, pid, wait_status: the process is reaped; the slot is free. Others
                            of its group may live on */
    KEEPER_TREE_GONE,    /* no descendant is left; see below */
    KEEPER_DIED          /* the keeper is gone (told once); the tree may live: kill_orphans() */
};

/* What a spawn was doing when it failed. */
enum keeper_step {
    KEEPER_STEP_FORK, /* EAGAIN, ENOMEM; EBUSY: the slot is taken, or the tree is being killed */
    KEEPER_STEP_FDS,  /* a descriptor could not be put in its place */
    KEEPER_STEP_DIRECTORY, /* chdir(2) to the working directory */
    KEEPER_STEP_EXEC       /* ENOENT: no such command; EACCES, ENOEXEC, E2BIG …: not executable */
};

struct keeper_event {
    enum keeper_event_kind kind;
    enum keeper_slot slot;
    enum keeper_step step;
    pid_t pid;
    int wait_status; /* for WIFEXITED() and the like */
    int error_number;
};

/*
 * TREE_GONE is owed once KEEPER_SERVICE has EXITED, and once keeper_kill_tree() was called. It is
 * sent, and no longer owed, as soon as the keeper has no descendant at all (of either slot, or
 * orphaned): at once where there is none already. It always comes after the EXITED events of those
 * whose end it tells, and no spawn is pending when it is sent.
 */

/*
 * Forks the keeper and makes the calling process a child subreaper. Call it before there is any
 * thread, and early: the keeper shares the memory of this moment. Opens /dev/null on those of 0, 1
 * and 2 that are closed, and puts SIGCHLD back to its default if it was ignored. The keeper ignores
 * all signals but SIGKILL and SIGSTOP, and keeps no descriptor but 0, 1 and 2. `options` may be
 * NULL. The caller frees the keeper. Errors: SYSTEM, NO_MEMORY.
 */
comrade_status keeper_start(const struct keeper_options *options, struct keeper **keeper,
                            comrade_error *error);

/* Kills every descendant, waits until none is left, and reaps the keeper. As PID 1 it kills every
   other process of the PID namespace. Accepts NULL. */
void keeper_free(struct keeper *keeper);

/* Readable (level-triggered) while events wait. Valid until keeper_free(), and never changes. */
int keeper_fd(const struct keeper *keeper);
/* Takes the next event, without waiting. False, and `event` untouched, when there is none. */
bool keeper_next_event(struct keeper *keeper, struct keeper_event *event);
/* For logs and tests. */
pid_t keeper_pid(const struct keeper *keeper);
bool keeper_has_control_group(const struct keeper *keeper);

/*
 * Starts a process in a slot, as the leader of its own process group, with all signals at their
 * default and none blocked, and no descriptor but those named. SPAWNED or SPAWN_FAILED follows.
 * Errors (nothing was started, no event follows): INVALID, TOO_LARGE (more than 64 MB of text),
 * NO_MEMORY, SYSTEM, BUSY (the keeper is stuck), GONE (it has died).
 */
comrade_status keeper_spawn(struct keeper *keeper, const struct keeper_command *command,
                            comrade_error *error);

/*
 * Sends a signal to the process group that was started last in the slot, also when its leader has
 * exited; to every descendant of both slots; SIGKILL to every descendant until none is left, which
 * TREE_GONE tells. Nobody else is ever hit: a PID is signalled only while it cannot be reused.
 * Signalling nobody is no error. Until TREE_GONE, spawns fail with EBUSY.
 * Errors: BUSY (the keeper is stuck), GONE (it has died).
 */
comrade_status keeper_signal_group(struct keeper *keeper, enum keeper_slot slot, int signal,
                                   comrade_error *error);
comrade_status keeper_signal_tree(struct keeper *keeper, int signal, comrade_error *error);
comrade_status keeper_kill_tree(struct keeper *keeper, comrade_error *error);

/*
 * After KEEPER_DIED: kills what was below the keeper and has come to the agent. One pass that does
 * not wait; true when nothing is left. Call it again, a millisecond later, until it is.
 */
bool keeper_kill_orphans(struct keeper *keeper);

/*
 * Reaps the orphans that come to the agent: all of its PID namespace when it is PID 1. Call it on
 * SIGCHLD. Does not wait. The agent must have no other children: whatever it does not know, it
 * reaps; the keeper's own status is kept for the keeper.
 */
void keeper_reap_orphans(struct keeper *keeper);

#endif
