/*
 * Who this member is: an id, and the lock that keeps another agent of this host from being it.
 *
 * Without an id given it is ROLE-HOST-N, N being the lowest number whose lock is free: after a
 * crash the same id comes back. The locks of one store, namespace and kind are apart from others'.
 */
#ifndef AGENT_IDENTITY_H
#define AGENT_IDENTITY_H

#include <comrade.h>

#define IDENTITY_LIMIT 10000 /* members of one role, on one host */

struct identity {
    char id[COMRADE_ID_MAX_BYTES + 1];
    int number; /* its N; 0: the id was given */
    int directory_fd;
    int lock_fd; /* -1: another agent still has the lock, and is about to be fenced */
};

struct identity_options {
    const char *role;
    const char *id;   /* NULL: ROLE-HOST-N */
    const char *host; /* the machine's name */
    const char *store;
    const char *name_space; /* NULL: none */
    const char *kind;       /* NULL: the default */
    bool takes_over;        /* an id that is running on this host is no error */
    const char *directory;  /* for lock files; NULL: see run_directory.h */
};

/* Errors: INVALID, TOO_LARGE (the id or role); IN_USE (says pid and what to do); SYSTEM, DENIED. */
comrade_status identity_take(const struct identity_options *options, struct identity *identity,
                             comrade_error *error);
/* The next number whose lock is free, for an id that was not given. Untouched on failure. */
comrade_status identity_take_next(const struct identity_options *options, struct identity *identity,
                                  comrade_error *error);
/* Tries once more to get a lock that another agent had. True when it is held. */
bool identity_lock(struct identity *identity);
void identity_release(struct identity *identity);

/* The machine's name as an id may hold it: cut to fit, and never empty. */
void identity_host(char host[COMRADE_NAME_MAX_BYTES + 1]);

#endif
