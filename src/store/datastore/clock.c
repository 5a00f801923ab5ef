/*
 * The server's clock. It is asked for nothing: every answer of a read or a commit says when it was
 * made, and between two answers this machine's monotonic clock goes on from there. A machine whose
 * wall clock lies is not heard.
 */
#include "store/datastore/internal.h"

#include <stdio.h>
#include <time.h>

int64_t datastore_now_ms(const comrade_store *store, const comrade_call *call)
{
    if (!store->clock.is_known) {
        return store->wall_ms(store->wall_clock);
    }
    return store->clock.server_ms + call->now_ms(call->clock) - store->clock.monotonic_ms;
}

void datastore_clock_set(comrade_store *store, int64_t server_ms, int64_t sent_ms,
                         int64_t answered_ms)
{
    store->clock = (struct clock){.is_known = true,
                                  .server_ms = server_ms,
                                  .monotonic_ms = sent_ms + (answered_ms - sent_ms) / 2};
}

int64_t datastore_time_ms(const char *text)
{
    struct tm parts = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
    if (rest == NULL) {
        return 0;
    }
    int64_t ms = 0;
    if (*rest == '.') {
        int64_t unit_ms = 100;
        for (rest++; *rest >= '0' && *rest <= '9'; rest++, unit_ms /= 10) {
            ms += (*rest - '0') * unit_ms;
        }
    }
    /* Google says Z, others +00:00. */
    rest = strptime(rest, "%z", &parts);
    int64_t ahead_s = parts.tm_gmtoff;
    return rest != NULL && *rest == '\0' ? ((int64_t)timegm(&parts) - ahead_s) * 1000 + ms : 0;
}
