#include "cli/stop_wait.h"

#include "base/error.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

static bool open_fds(struct stop_wait *wait, const sigset_t *signals)
{
    struct epoll_event readable = {.events = EPOLLIN};
    struct epoll_event reader = {.events = EPOLLERR};
    wait->signal_fd = signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK);
    wait->fd = wait->signal_fd < 0 ? -1 : epoll_create1(EPOLL_CLOEXEC);
    if (wait->fd < 0 || epoll_ctl(wait->fd, EPOLL_CTL_ADD, wait->signal_fd, &readable) != 0) {
        return false;
    }
    if (wait->has_reader) {
        epoll_ctl(wait->fd, EPOLL_CTL_ADD, STDOUT_FILENO, &reader); /* EPERM: a file has none */
    }
    return true;
}

static void close_fds(struct stop_wait *wait)
{
    if (wait->fd >= 0) {
        close(wait->fd);
    }
    if (wait->signal_fd >= 0) {
        close(wait->signal_fd);
    }
}

comrade_status stop_wait_open(struct stop_wait *wait, bool has_reader, comrade_error *error)
{
    struct stop_wait made = {.fd = -1, .signal_fd = -1, .has_reader = has_reader};
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, &made.before);
    if (!open_fds(&made, &signals)) {
        int problem = errno;
        close_fds(&made);
        sigprocmask(SIG_SETMASK, &made.before, NULL);
        return comrade_error_set(error, COMRADE_SYSTEM, "cannot wait for signals: %s",
                                 strerror(problem));
    }
    *wait = made;
    return COMRADE_OK;
}

void stop_wait_close(struct stop_wait *wait)
{
    stop_wait_signals(wait); /* else they would end the program, or the shell, below */
    close_fds(wait);
    sigprocmask(SIG_SETMASK, &wait->before, NULL);
}

unsigned stop_wait_signals(struct stop_wait *wait)
{
    struct signalfd_siginfo taken;
    while (read(wait->signal_fd, &taken, sizeof taken) == (ssize_t)sizeof taken) {
        wait->n_signals++;
    }
    return wait->n_signals;
}

bool stop_wait_has_ended(struct stop_wait *wait)
{
    struct pollfd reader = {.fd = wait->has_reader ? STDOUT_FILENO : -1};
    return stop_wait_signals(wait) > 0 ||
           (poll(&reader, 1, 0) > 0 && (reader.revents & POLLERR) != 0);
}
