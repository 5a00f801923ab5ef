/*
 * One call to the store with everything that came of it. The blocking forms of the API keep the
 * outcome's members and numbers to themselves; here a verb gets them, can be interrupted, and
 * follows other events of the cluster meanwhile. Each asker has a client of its own, so that
 * freeing it ends what it asked, even inside the shell, where the cluster lives on.
 */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include "cli/cli.h"

struct ask {
    struct cli *cli;
    comrade_client *client; /* for the submit */
    bool is_done;
    comrade_status status;
    comrade_error error;
    comrade_members *members; /* owned; NULL if the call tells none */
    int available;
    int min_members;
};

/* Errors: NO_MEMORY, SYSTEM. ask_finish() is the caller's, also after a failure. */
comrade_status ask_init(struct ask *ask, struct cli *cli);
void ask_finish(struct ask *ask);
/* What a submit is given as `done`, with the ask as `user`. */
void ask_done(void *user, comrade_outcome *outcome);
/* Takes the status of the submit, and waits until the answer is there. Returns its status; then
 * ask.error is set unless that is OK. TIMED_OUT: the answer may still come, and is ignored. */
comrade_status ask_wait(struct ask *ask, comrade_status submitted, int64_t timeout_ms);

/* Runs callbacks until `deadline_ms` (monotonic) or something has happened. */
void cluster_wait(comrade_cluster *cluster, int other_fd, int64_t deadline_ms);

#endif
