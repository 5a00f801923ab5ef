/*
 * What the agent and its keeper say to each other, and the parts of the keeper process. Only
 * keeper*.c include this. Both ends are one program, forked: structs cross as they are.
 *
 * Requests go down, struct keeper_event comes up, one a datagram. The keeper's first datagram says
 * with its error_number whether it could set itself up. End of file means the other is gone.
 */
#ifndef AGENT_KEEPER_PROTOCOL_H
#define AGENT_KEEPER_PROTOCOL_H

#include "agent/control_group.h"
#include "agent/keeper.h"

#define KEEPER_FDS_MAX (1 + 3 + KEEPER_EXTRA_FDS_MAX)
#define KEEPER_TEXT_MAX_BYTES ((size_t)64 * 1024 * 1024)

enum keeper_request_kind {
    KEEPER_REQUEST_SPAWN,
    KEEPER_REQUEST_SIGNAL_GROUP,
    KEEPER_REQUEST_SIGNAL_TREE,
    KEEPER_REQUEST_KILL_TREE
};

/*
 * A spawn carries n_fds descriptors. The first is a memory file of text_bytes: working directory
 * (if any), arguments and environment, each NUL-terminated. The others belong at their targets.
 */
struct keeper_request {
    enum keeper_request_kind kind;
    enum keeper_slot slot;
    int signal;
    bool has_directory;
    size_t n_arguments;
    size_t n_environment;
    size_t text_bytes;
    size_t n_fds;
    int targets[KEEPER_FDS_MAX]; /* [0] is unused */
};

/* The whole life of the keeper process, from fork to exit. `socket` is its end of the pair. */
_Noreturn void keeper_process_run(int socket, struct control_group *group);

/* How the child of the keeper tells why it could not become the command; nothing if it could. */
struct keeper_spawn_failure {
    enum keeper_step step;
    int error_number;
};

/*
 * Forks, and becomes the command in the child. Returns its PID, and a descriptor that ends with
 * exec(2) or gives one struct keeper_spawn_failure; or -1 and errno. `fds` stay the caller's.
 */
pid_t keeper_spawn_process(const struct keeper_request *request, const int *fds,
                           const struct control_group *group, int *exec_fd);

#endif
