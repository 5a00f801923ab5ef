/*
 * What the exit codes of `comrade run` mean, in one place; those of the other verbs are in
 * cli/cli.h. Once the service has been started, it is the service's own code, or 128 + the signal
 * that killed it, unless one of these says otherwise. A service manager must not start it again
 * after 90 and 91: see packaging/comrade@.service.
 */
#ifndef AGENT_EXIT_CODES_H
#define AGENT_EXIT_CODES_H

enum run_exit_code {
    RUN_EXIT_FAILED = 1,  /* the service could not be started, but for the reasons below; or it
                             exited with 0 after it was stopped for not being ready in time, or for
                             being unhealthy. (Where the agent itself could not begin, the code is
                             that of other verbs: 2 usage, 5 store, …) */
    RUN_EXIT_KILLED = 90, /* it left because of a kill request */
    RUN_EXIT_FENCED = 91, /* its id is running elsewhere, or was taken over */
    RUN_EXIT_NOT_EXECUTABLE = 126, /* the command exists and could not be executed */
    RUN_EXIT_NO_COMMAND = 127,     /* there is no such command */
    RUN_EXIT_SIGNAL = 128          /* plus the signal */
};

#endif
