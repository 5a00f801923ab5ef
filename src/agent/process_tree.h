/*
 * The processes below the calling one: signalling them, and reaping those that come to it.
 *
 * Needs /proc with task/TID/children (Linux 3.5 with CONFIG_PROC_CHILDREN, as distributions have
 * it). A PID is signalled only while it cannot belong to anybody else: a child of the caller is not
 * reaped meanwhile, and of a deeper descendant a pidfd is held.
 */
#ifndef AGENT_PROCESS_TREE_H
#define AGENT_PROCESS_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct process_tree_filter {
    pid_t group;  /* only members of this process group; 0: all */
    pid_t except; /* not this child of the caller, nor what is below it; 0: none */
};

/* Can the tree be walked on this machine? Sets errno if not. */
bool process_tree_is_visible(void);

/*
 * One walk from the caller downwards, signalling parents before their children are looked at.
 * Returns how many were signalled. What moves during the walk may be missed, so a killer repeats
 * it until waitpid(2) finds no child. Deeper than 24 levels it sees nobody, which for a killer does
 * not matter either: as parents die, their children come up.
 */
size_t process_tree_signal(const struct process_tree_filter *filter, int signal);

#endif
