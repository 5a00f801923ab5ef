/*
 * The service's standard error, passed through, with its last few kilobytes kept for `show`.
 *
 * A thread reads a pipe and writes what it read, in order, to the agent's own standard error. When
 * that is slow the thread waits, the pipe fills, and the service waits: back-pressure, as without
 * it, and no memory. When nobody is there any more (EPIPE …) it reads on and throws away, so that
 * the service does not hang. The agent's thread is never held up by either.
 */
#ifndef AGENT_STDERR_TAIL_H
#define AGENT_STDERR_TAIL_H

#include <comrade.h>

#define STDERR_TAIL_BYTES 4096

struct stderr_tail;

/* Starts the thread. `out_fd` is borrowed. Errors: SYSTEM, NO_MEMORY. */
comrade_status stderr_tail_new(int out_fd, struct stderr_tail **tail, comrade_error *error);
/*
 * Ends the thread. The pipe's writers should be gone by now; what is left in it is still passed on,
 * for which it waits at most `wait_ms`. Accepts NULL.
 */
void stderr_tail_free(struct stderr_tail *tail, int64_t wait_ms);
/* The service's end. Borrowed. */
int stderr_tail_fd(const struct stderr_tail *tail);
/* Forgets what was kept: a new process begins. */
void stderr_tail_clear(struct stderr_tail *tail);
/*
 * Copies the last bytes that were written, after waiting at most `wait_ms` for those that are
 * still in the pipe. Returns how many. `is_cut` (may be NULL): something came before them.
 */
size_t stderr_tail_copy(struct stderr_tail *tail, int64_t wait_ms, char bytes[STDERR_TAIL_BYTES],
                        bool *is_cut);

#endif
