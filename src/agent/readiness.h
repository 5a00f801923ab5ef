/*
 * How the agent hears that the service is ready, when the service says so itself: a datagram as
 * systemd's sd_notify(3) sends it, or a line on a descriptor as s6 knows it.
 *
 * The socket has an abstract name: a service that has given up its privileges could not reach into
 * a private directory. So anybody of this network namespace may send; READY=1 is believed only of a
 * descendant of ours, by the PID that the kernel vouches for.
 */
#ifndef AGENT_READINESS_H
#define AGENT_READINESS_H

#include "base/env.h"

#include <comrade.h>

#include <sys/types.h>

enum ready_kind {
    READY_UP,     /* when its command has been executed */
    READY_CHECK,  /* when its health check passes */
    READY_NOTIFY, /* READY=1 at NOTIFY_SOCKET */
    READY_FD      /* a newline on the descriptor N */
};

struct readiness {
    enum ready_kind kind;
    int fd;           /* to be read from; -1: none */
    int service_fd;   /* READY_FD: the service's end, between begin and spawned; else -1 */
    char address[48]; /* READY_NOTIFY: for NOTIFY_SOCKET; else "" */
};

/* Errors: SYSTEM. */
comrade_status readiness_init(struct readiness *readiness, enum ready_kind kind,
                              const struct env *env, comrade_error *error);
void readiness_finish(struct readiness *readiness);

/* Before each spawn: forgets what an earlier process said. Errors: SYSTEM. */
comrade_status readiness_begin(struct readiness *readiness, comrade_error *error);
/* After it: the service has its end, and ours is closed. */
void readiness_spawned(struct readiness *readiness);

/* When `fd` is readable. True if the service, a descendant of `ancestor`, says that it is ready. */
bool readiness_step(struct readiness *readiness, pid_t ancestor);

/* Is `pid` below `ancestor`, by the process table of this moment? */
bool process_is_below(pid_t pid, pid_t ancestor);

#endif
