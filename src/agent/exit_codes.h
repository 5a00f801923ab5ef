/* What the program's exit codes mean, in one place. */
#ifndef AGENT_EXIT_CODES_H
#define AGENT_EXIT_CODES_H

/* Of every verb but `run`, and of `run` before it has started anything. */
enum exit_code {
    EXIT_CODE_DONE = 0,
    EXIT_CODE_FAILED = 1,
    EXIT_CODE_USAGE = 2,
    EXIT_CODE_REFUSED = 3,     /* by the disruption budget */
    EXIT_CODE_NOT_FOUND = 4,   /* no such member */
    EXIT_CODE_UNAVAILABLE = 5, /* the store */
    EXIT_CODE_BUSY = 6         /* too many conflicts */
};

/*
 * Of `run`: the code of the service, or 128 + the signal that killed it, except for these.
 * 1 is also a service that exited with 0 after it was stopped for not being ready in time, or for
 * being unhealthy. A service manager must not start it again after 90 and 91.
 */
enum run_exit_code {
    RUN_EXIT_KILLED = 90,          /* it left because of a kill request */
    RUN_EXIT_FENCED = 91,          /* its id is running elsewhere, or was taken over */
    RUN_EXIT_NOT_EXECUTABLE = 126, /* the command exists and could not be executed */
    RUN_EXIT_NO_COMMAND = 127,     /* there is no such command */
    RUN_EXIT_SIGNAL = 128          /* plus the signal */
};

#endif
