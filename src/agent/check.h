/*
 * One health check, run again and again from an event loop, without blocking and without a thread.
 *
 *   check_begin(check, now_ms);
 *   while (check_step(check, now_ms) == CHECK_RUNNING) wait for check_fd() to report one of
 *   check_events(), for check_deadline_ms(), or (commands) until check_take_event() took an event.
 *
 * It does not know how often it is run, nor what its result means: that is the lifecycle's. A
 * result is final until the next check_begin(); a time-out is a failure. All calls come from one
 * thread. An HTTP check passes on a status from 200 to 399, and reads no more than 64 KB to learn
 * it; a TCP check passes when the connection is accepted; a command passes when it exits with 0.
 *
 * Command checks of one keeper share its one slot: run one at a time. After a time-out the
 * command's process group is killed; what left that group lives until the keeper's tree is killed.
 */
#ifndef AGENT_CHECK_H
#define AGENT_CHECK_H

#include "agent/keeper.h"

#include <stdint.h>

struct check;

enum check_kind { CHECK_HTTP, CHECK_TCP, CHECK_COMMAND };
enum check_result { CHECK_RUNNING, CHECK_PASSED, CHECK_FAILED };

#define CHECK_INTERVAL_DEFAULT_MS 5000
#define CHECK_TIMEOUT_DEFAULT_MS 2000
#define CHECK_PATH_MAX_BYTES 2048

struct check_options {
    enum check_kind kind;
    int port;         /* HTTP, TCP: 1 to 65535 */
    const char *host; /* HTTP, TCP: a numeric address, or "localhost": 127.0.0.1, and ::1 where
                         that refuses. NULL: localhost. Copied */
    const char *path; /* HTTP: begins with '/', printable ASCII without blanks. NULL: "/". Copied */
    int64_t timeout_ms;    /* from check_begin() to the result; at least 1 */
    struct keeper *keeper; /* COMMAND: runs it in its KEEPER_CHECK slot. Borrowed */
    /* COMMAND: what to run; `slot` is ignored. Borrowed until check_free(): what it points to may
       be changed between two runs (the environment is read again at each start). */
    const struct keeper_command *command;
};
#define CHECK_OPTIONS_INIT                                                                         \
    {                                                                                              \
        CHECK_TCP, 0, NULL, NULL, CHECK_TIMEOUT_DEFAULT_MS, NULL, NULL                             \
    }

/* Errors: INVALID (says which option), NO_MEMORY. The caller frees the check. */
comrade_status check_new(const struct check_options *options, struct check **check,
                         comrade_error *error);
/* Cancels first. Accepts NULL. */
void check_free(struct check *check);

/* Starts a run; one that was under way is cancelled. Whatever fails is told by check_step(). */
void check_begin(struct check *check, int64_t now_ms);
/* Ends a run without a result: closes its connection, or kills its command's process group. */
void check_cancel(struct check *check);
/* Does what can be done without waiting. FAILED when no run was begun, or it was cancelled. */
enum check_result check_step(struct check *check, int64_t now_ms);

/* What to wait for while RUNNING: a descriptor (it may change with each step; -1: none) and
   poll(2)'s events for it; and the time (monotonic, as now_ms) at which to step in any case. */
int check_fd(const struct check *check);
short check_events(const struct check *check);
int64_t check_deadline_ms(const struct check *check);

/*
 * Shows the check an event of the keeper. True if it was about this check's command and is dealt
 * with; step the check then. Show it every event of KEEPER_CHECK, also when no run is under way.
 */
bool check_take_event(struct check *check, const struct keeper_event *event);

/* Why the last run failed, for people, such as "GET http://127.0.0.1:3000/: status 503"; one line
   without control characters; "" while it runs, when it was cancelled, and when it passed.
   Borrowed until the next call. */
const char *check_reason(const struct check *check);

#endif
