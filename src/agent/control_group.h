/*
 * A control group (version 2) of our own, below the one we are in: the kernel kills all that are in
 * it at once, however fast they fork. No controller is enabled. It is an accelerator, never the
 * proof: not every machine lets us make one, and a process may be moved out of it.
 */
#ifndef AGENT_CONTROL_GROUP_H
#define AGENT_CONTROL_GROUP_H

#include <stdbool.h>

struct control_group {
    int parent_fd; /* the directory of the group we are in; -1: there is no group */
    int fd;        /* the directory of our own; -1: there is no group */
    char name[32]; /* of our own, in parent_fd */
};

/* No group: each function accepts it. */
#define CONTROL_GROUP_NONE                                                                         \
    {                                                                                              \
        -1, -1, ""                                                                                 \
    }

/*
 * Makes the group "comrade-PID" of the calling process, if this machine lets us: the hierarchy is
 * mounted, writable, and our own group can be found in it. False, and no group, otherwise.
 */
bool control_group_make(struct control_group *group);
/* Moves the calling process in. */
bool control_group_enter(const struct control_group *group);
/*
 * SIGKILL for all members, atomically (Linux 5.14). Before that, freezes them, so that none can
 * fork any more and a walk of the process tree finds all of them.
 */
void control_group_kill(const struct control_group *group);
/* Lets a frozen group run again, once everybody is dead. */
void control_group_thaw(const struct control_group *group);
/* Removes the group, and groups that its members made below it, if they are empty; forgets it. */
void control_group_remove(struct control_group *group);
/* Closes the descriptors and forgets the group, which stays. */
void control_group_close(struct control_group *group);

#endif
