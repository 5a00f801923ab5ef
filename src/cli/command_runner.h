/*
 * Runs one command of the owner's, by `sh -c`, one at a time. What is told of members reaches it on
 * its standard input or not at all, never in its words: a store cannot run code.
 *
 * The command is started with posix_spawn(3), since the store's thread may hold any lock at the
 * time of a fork. Its input is a memory file: nobody has to feed it, and it may leave it unread. It
 * gets a process group of its own, so that ^C ends the watching, and not a reload halfway through.
 */
#ifndef CLI_COMMAND_RUNNER_H
#define CLI_COMMAND_RUNNER_H

#include "cli/cli.h"
#include "cli/retry.h"

#include <sys/types.h>

enum { COMMAND_WAITING_MAX = 1000, COMMAND_WAITING_MAX_BYTES = 16 * 1024 * 1024 };

enum command_mode {
    COMMAND_LATEST, /* what waits is replaced by what is newer; a failed run is tried again */
    COMMAND_EACH,   /* each in its order; what cannot wait is dropped and printed to stderr */
};

struct command_input;

struct command_runner {
    const struct cli *cli;
    const char *command;
    enum command_mode mode;
    int wait_fd; /* an epoll descriptor, readable when a command has ended */
    pid_t pid;   /* 0: none runs */
    int pid_fd;
    int64_t began_ms;
    bool is_slow; /* it runs for long, and that was said */
    bool is_retry;
    bool is_closed; /* no other is started */
    struct command_input *running;
    struct command_input *first; /* what waits */
    struct command_input *last;
    size_t n_waiting;
    size_t n_bytes; /* of what waits */
    struct retry retry;
};

/* `command` and `wait_fd` are borrowed. */
void command_runner_init(struct command_runner *runner, const struct cli *cli, const char *command,
                         enum command_mode mode, int wait_fd);
/* Nothing may run. */
void command_runner_finish(struct command_runner *runner);

/* Has the command run with this input, a text that is copied; NULL: none. Errors: NO_MEMORY. */
comrade_status command_runner_add(struct command_runner *runner, const char *text,
                                  comrade_error *error);
/*
 * Looks whether the command has ended, and starts the next. True: one has succeeded, and none
 * waits: what was asked is done. A failure is printed to stderr.
 */
bool command_runner_step(struct command_runner *runner, int64_t now_ms);
/* When step() is to be called though wait_fd is not readable. */
int64_t command_runner_due_ms(const struct command_runner *runner, int64_t now_ms);
/* No other is started; what waits is dropped. The one that runs may end. */
void command_runner_close(struct command_runner *runner);
/* Sends a signal to the command and what it has started. */
void command_runner_signal(const struct command_runner *runner, int number);

#endif
