/*
 * Other processes for a test: forked, and heard over a pipe. cmocka's asserts work in them, too: a
 * failed one ends the process with a status that is not 0.
 *
 * A fork copies SQLite's table of open files, and with it wrong ideas of who holds which lock:
 * start a process that uses a file before this one opens it.
 */
#ifndef CONTRACT_PROCESS_H
#define CONTRACT_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

struct process;

/* Runs `body` in a child, whose exit status is what it returns. Fails the test if it cannot. */
struct process *process_start(int (*body)(void *user), void *user);
/* The next number that the child tells; -1: it has ended. */
long process_hear(struct process *process);
void process_ask(struct process *process);
void process_kill(struct process *process); /* SIGKILL */
/* Stops asking, waits for it, frees it; the exit status, or 128 + signal. */
int process_join(struct process *process);

/* In the child. False: the parent wants no more. */
bool process_tell(long number);
bool process_is_told(void); /* waits to be asked */

#endif
