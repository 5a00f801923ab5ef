/*
 * The agents of one user on one machine agree through lock files in a directory of that user:
 * /run/comrade (root), $XDG_RUNTIME_DIR/comrade, or /tmp/comrade-UID. A lock is held by an open
 * file, so that it ends with its process, however that ends; the files stay, empty of meaning.
 */
#ifndef AGENT_RUN_DIRECTORY_H
#define AGENT_RUN_DIRECTORY_H

#include <comrade.h>

#include <sys/types.h>

#define RUN_DIRECTORY_PATH_SIZE 1024

/*
 * Opens the directory `name` below the user's, making what is missing. `parent` NULL: the place
 * above. Refuses one that others could write to, or that is not ours. The caller closes `fd`.
 * Errors: SYSTEM, DENIED, TOO_LARGE.
 */
comrade_status run_directory_open(const char *parent, const char *name, int *fd,
                                  comrade_error *error);

/*
 * Takes the lock of a file, without waiting, and writes our pid into it. The caller closes `fd`,
 * which is the lock. Errors: IN_USE (`holder`, may be NULL, is the pid that has it; 0 if that
 * cannot be told), SYSTEM.
 */
comrade_status run_lock_take(int directory_fd, const char *name, int *fd, pid_t *holder,
                             comrade_error *error);

#endif
