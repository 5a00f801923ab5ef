/*
 * The environment of the service.
 *
 * It gets the agent's own, then the env file's, then COMRADE_ID, COMRADE_ROLE and PORT. Variables
 * that speak to the agent stay with it: all of COMRADE_… (they are its options, and the store's URL
 * may hold a secret), and systemd's NOTIFY_SOCKET, LISTEN_… and WATCHDOG_…. Only with pass_store
 * the service is told the store, its namespace and its kind.
 */
#ifndef AGENT_ENVIRONMENT_H
#define AGENT_ENVIRONMENT_H

#include <comrade.h>

#define VARIABLES_LIMIT 10000

/* NAME=VALUE texts, NULL-terminated, each name once. */
struct variables {
    char **items; /* NULL until the first */
    size_t n;
    size_t capacity;
};

/* Sets or replaces. False when out of memory, or past the limit. */
bool variables_set(struct variables *variables, const char *name, size_t name_len,
                   const char *value);
void variables_finish(struct variables *variables);

struct environment_options {
    const char *const *inherited; /* NULL-terminated */
    const char *env_file;         /* NULL: none. Read each time */
    const char *id;
    const char *role;
    int port;                  /* 0: none */
    const char *notify_socket; /* NULL: none */
    bool passes_store;
    const char *store;
    const char *name_space; /* NULL: none */
    const char *kind;       /* NULL: the default */
};

/* The caller finishes `variables`. Errors: those of the env file; NO_MEMORY, TOO_LARGE. */
comrade_status environment_build(const struct environment_options *options,
                                 struct variables *variables, comrade_error *error);

#endif
