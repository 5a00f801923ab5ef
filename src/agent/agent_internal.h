/* What the agent's files share. Not for others. */
#ifndef AGENT_AGENT_INTERNAL_H
#define AGENT_AGENT_INTERNAL_H

#include "agent/agent.h"
#include "agent/check.h"
#include "agent/environment.h"
#include "agent/identity.h"
#include "agent/keeper.h"
#include "agent/port.h"
#include "agent/stderr_tail.h"
#include "base/log.h"

enum {
    FIRST_SPAWN_WAIT_MS = 1000, /* how long the store may take before the service is started */
    LAST_REPORT_WAIT_MS = 2000, /* how long it may take at the end */
    TAIL_WAIT_MS = 20,          /* for what the service wrote last */
    LAST_OUTPUT_WAIT_MS = 2000, /* the same, at the end */
    CLAIM_PATIENCE_MS = 1000,   /* how long a dead agent's service may take to die */
    CLAIM_RETRY_MS = 100,
    START_CHECK_MS = 100, /* between checks before it is ready */
    LOCK_RETRY_MS = 100
};

/* Why it leaves: the first reason is the one that the exit code tells. */
enum agent_leaving { LEAVING_NOT, LEAVING_SIGNAL, LEAVING_KILLED, LEAVING_FENCED };

struct agent {
    const struct agent_options *options;
    const struct env *env;
    int64_t now_ms; /* monotonic; one a turn of the loop */
    struct lifecycle lifecycle;
    comrade_error *error; /* the caller's */

    /* Processes. */
    struct keeper *keeper;
    bool is_spawning;  /* until SPAWNED or SPAWN_FAILED */
    pid_t service_pid; /* 0: it does not run */
    bool kills_orphans;
    int signal_fd;
    int n_terms; /* SIGTERM and SIGINT so far */
    struct variables variables;
    struct readiness readiness;
    struct stderr_tail *tail; /* NULL: standard error is inherited */
    struct port port;

    /* The last exit. */
    bool has_exit;
    int wait_status;
    int64_t exited_at_ms; /* since 1970 */
    char tail_bytes[STDERR_TAIL_BYTES];
    size_t tail_len;
    bool is_tail_cut;
    int spawn_code; /* exit code if the first start fails */
    char spawn_error[256];

    /* The store. */
    struct identity identity;
    comrade_cluster *cluster;
    comrade_member *member;
    int64_t claim_by_ms;     /* until then a refused claim is tried again; 0: none was */
    int64_t claim_again_ms;  /* INT64_MAX: it need not be */
    bool has_heard;          /* REGISTERED or ERROR: the service may be started */
    bool is_fenced;          /* the record is another's: nothing is written */
    int n_withdrawn_pending; /* reports whose commit ends WITHDRAWING */
    int n_stopped_pending;

    /* Checks. */
    struct check *check; /* NULL: none */
    bool is_checking;
    int64_t next_check_ms;
    int null_fd;
    struct keeper_command check_command;
    const char *check_argv[4];
    char check_reason[256];

    /* The end. */
    enum agent_leaving leaving;
    int64_t spawn_by_ms;
    int64_t lock_retry_ms;
    bool is_exiting;
    int64_t exit_by_ms;
    bool is_done;
};

/* agent_setup.c. On failure the error has been set, and agent_close() is still to be called. */
comrade_status agent_open(struct agent *agent, const struct agent_options *options,
                          comrade_error *error);
void agent_close(struct agent *agent);

/* agent_claim.c */
comrade_status agent_take_id(struct agent *agent, comrade_error *error);
/* Registers `agent->member` under the id. */
comrade_status agent_claim(struct agent *agent, comrade_error *error);
/* Registers it anew, as the next incarnation. */
void agent_renew(struct agent *agent);
/* The id is in use. Is there another try, with it or the next? Else it is to be given up. */
bool agent_claim_later(struct agent *agent, const comrade_error *why);
void agent_claim_again(struct agent *agent);

/* agent_actions.c */
void agent_step(struct agent *agent, enum lifecycle_event event);
void agent_leave(struct agent *agent, enum agent_leaving why, enum lifecycle_event event);
int agent_exit_code(const struct agent *agent);

/* agent_process.c */
void agent_spawn(struct agent *agent);
void agent_signal(struct agent *agent, unsigned actions);
void agent_take_keeper_events(struct agent *agent);
void agent_take_signals(struct agent *agent);
void agent_kill_orphans(struct agent *agent);

/* agent_store.c */
void agent_on_event(void *user, const comrade_event *event);
void agent_on_push(void *user, const comrade_error *error);
void agent_report(struct agent *agent);

/* agent_check.c */
comrade_status agent_check_open(struct agent *agent, comrade_error *error);
/* Begins or ends checking as the lifecycle's state wants it, and tells results. */
void agent_check_turn(struct agent *agent);
/* When the next turn is due; INT64_MAX: never. */
int64_t agent_check_due_ms(const struct agent *agent);

#endif
