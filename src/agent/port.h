/*
 * The service's port: a given one that must be free, or one that is found and then kept, by a lock
 * among this user's agents, until the agent ends. The service itself binds it.
 */
#ifndef AGENT_PORT_H
#define AGENT_PORT_H

#include <comrade.h>

#define PORT_AUTO (-1)

struct port {
    int number;
    int lock_fd; /* -1: a given port has no lock */
};

/*
 * `wanted` is a number, or PORT_AUTO. `directory` for lock files; NULL: see run_directory.h.
 * Errors: IN_USE (names the port), SYSTEM, DENIED.
 */
comrade_status port_take(int wanted, const char *directory, struct port *port,
                         comrade_error *error);
void port_release(struct port *port);

#endif
