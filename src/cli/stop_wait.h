/*
 * What ends a verb that follows something: SIGINT, SIGTERM, or that the reader of stdout has gone.
 * Nothing may be printed for hours, and `comrade watch | head` should not last that long.
 */
#ifndef CLI_STOP_WAIT_H
#define CLI_STOP_WAIT_H

#include <comrade.h>

#include <signal.h>

struct stop_wait {
    int fd; /* an epoll descriptor: readable when there is something to look at. Others may add */
    int signal_fd;
    bool has_reader; /* stdout is printed to, so its reader counts */
    sigset_t before;
    unsigned n_signals;
};

/* Blocks the signals until stop_wait_close(). Errors: SYSTEM; then nothing has changed. */
comrade_status stop_wait_open(struct stop_wait *wait, bool has_reader, comrade_error *error);
void stop_wait_close(struct stop_wait *wait);

/* How many signals have come by now. */
unsigned stop_wait_signals(struct stop_wait *wait);
/* Has a signal come, or the reader gone? */
bool stop_wait_has_ended(struct stop_wait *wait);

#endif
