/*
 * `comrade run`: one service, supervised, registered, and asked to leave through the store.
 *
 * The agent is an event loop around five things that know nothing of each other: the lifecycle
 * (core: what to do next), the keeper (processes), a member (the store), the check and readiness
 * (health), and signals. agent.c waits; agent_setup.c opens and closes; agent_actions.c does what
 * the lifecycle decides; agent_process.c, agent_store.c and agent_check.c turn what happened into
 * the lifecycle's events.
 */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include "agent/exit_codes.h"
#include "agent/port.h"
#include "agent/readiness.h"
#include "core/lifecycle.h"

#include <comrade.h>

enum agent_check {
    AGENT_CHECK_NONE,
    AGENT_CHECK_TCP,    /* target: [HOST:]PORT; NULL: the service's port */
    AGENT_CHECK_HTTP,   /* target: a path on the service's port, or http://HOST[:PORT]/PATH */
    AGENT_CHECK_COMMAND /* target: for /bin/sh -c */
};

/* All is borrowed until agent_run() returns. */
struct agent_options {
    const char *store;
    const char *name_space; /* NULL: none */
    const char *kind;       /* NULL: the default */
    int64_t heartbeat_ms;   /* 0: the default */

    const char *role;
    const char *id; /* NULL: ROLE-HOST-N */
    bool takes_over;
    const char *const *meta; /* "key=value" */
    size_t n_meta;
    const char *advertise; /* IP[:PORT]; NULL: chosen, see address.h */
    int port;              /* 0: none; PORT_AUTO */

    const char *const *command;     /* NULL-terminated, not empty */
    const char *const *environment; /* NULL-terminated: the agent's own */
    const char *env_file;           /* NULL: none */
    bool passes_store;
    bool keeps_stderr_tail;

    enum ready_kind ready;
    int ready_fd; /* READY_FD: the number that the service knows, from 3 */
    enum agent_check check;
    const char *check_target;
    int64_t check_interval_ms;
    int64_t check_timeout_ms;
    struct lifecycle_options lifecycle;
};

/*
 * Runs the service until it is over, and returns the exit code (see exit_codes.h). Where the agent
 * could not begin, that is RUN_EXIT_FAILED or RUN_EXIT_FENCED, and `error` says why; otherwise it
 * is untouched, and the log has told everything.
 * Call it before there is any thread. It blocks all signals, and leaves them blocked.
 */
int agent_run(const struct agent_options *options, comrade_error *error);

#endif
