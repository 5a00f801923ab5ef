/* The bounds of one call to a store: a deadline, and a descriptor that cancels it. */
#include <comrade/store.h>

#include <errno.h>
#include <poll.h>

static bool is_cancelled(const comrade_call *call, int64_t now_ms)
{
    if (call->cancel_fd < 0 || now_ms < call->cancellable_ms) {
        return false;
    }
    struct pollfd cancel = {.fd = call->cancel_fd, .events = POLLIN};
    return poll(&cancel, 1, 0) > 0;
}

bool comrade_call_is_over(const comrade_call *call)
{
    int64_t now_ms = call->now_ms(call->clock);
    return now_ms >= call->deadline_ms || is_cancelled(call, now_ms);
}

int comrade_call_wait(const comrade_call *call, int fd, short events)
{
    for (;;) {
        int64_t now_ms = call->now_ms(call->clock);
        if (now_ms >= call->deadline_ms || is_cancelled(call, now_ms)) {
            return 0;
        }
        bool is_cancellable = call->cancel_fd >= 0 && now_ms >= call->cancellable_ms;
        int64_t until_ms = call->deadline_ms;
        if (call->cancel_fd >= 0 && !is_cancellable && call->cancellable_ms < until_ms) {
            until_ms = call->cancellable_ms;
        }
        struct pollfd fds[2] = {{.fd = fd, .events = events},
                                {.fd = is_cancellable ? call->cancel_fd : -1, .events = POLLIN}};
        int64_t left_ms = until_ms - now_ms;
        int n = poll(fds, 2, left_ms > 60000 ? 60000 : (int)left_ms);
        if (n < 0 && errno != EINTR) {
            return -1;
        }
        if (n > 0 && fds[0].revents != 0) {
            return fds[0].revents;
        }
    }
}
