/* When to try again what failed: after 1, 2, 4 … 60 s. */
#ifndef CLI_RETRY_H
#define CLI_RETRY_H

#include <stdbool.h>
#include <stdint.h>

enum { RETRY_FIRST_MS = 1000, RETRY_LAST_MS = 60 * 1000 };

struct retry {
    int64_t delay_ms; /* 0: the last try did not fail */
    int64_t due_ms;   /* monotonic, while delay_ms is not 0 */
};

static inline void retry_failed(struct retry *retry, int64_t now_ms)
{
    int64_t doubled_ms = retry->delay_ms * 2;
    retry->delay_ms = doubled_ms < RETRY_FIRST_MS  ? RETRY_FIRST_MS
                      : doubled_ms > RETRY_LAST_MS ? RETRY_LAST_MS
                                                   : doubled_ms;
    retry->due_ms = now_ms + retry->delay_ms;
}

static inline bool retry_is_due(const struct retry *retry, int64_t now_ms)
{
    return retry->delay_ms > 0 && now_ms >= retry->due_ms;
}

static inline int64_t retry_due_ms(const struct retry *retry)
{
    return retry->delay_ms > 0 ? retry->due_ms : INT64_MAX;
}

static inline void retry_end(struct retry *retry)
{
    *retry = (struct retry){0};
}

#endif
