/*
 * What is true of a member, judged by the store's clock alone: no host's own clock takes part.
 */
#ifndef CORE_HEALTH_H
#define CORE_HEALTH_H

#include <comrade/store.h>

enum {
    HEALTH_FRESH_MS = 60 * 1000, /* a heartbeat younger than this is fresh */
    HEALTH_STALE_MS = 60 * 60 * 1000,
};

/* What a client's own health check said of a member, where it has one. */
enum verdict { VERDICT_NONE, VERDICT_HEALTHY, VERDICT_UNHEALTHY };

/*
 * Has the member's heartbeat arrived less than `limit_ms` before `now_ms`? One from the future is
 * not fresh: the store's clock has been set back, or an old backup is being looked at.
 */
bool health_is_fresh(const comrade_record *record, int64_t now_ms, int64_t limit_ms);
/* In rotation: it says so itself, and nobody has zombified this incarnation. */
bool health_is_alive(const comrade_record *record);
/* Has this incarnation been asked for something? */
bool health_is_requested(const comrade_record *record);
/* Fresh, with no failed check of its own; or as the verdict says. */
bool health_is_healthy(const comrade_record *record, int64_t now_ms, enum verdict verdict);
bool health_is_stale(const comrade_record *record, int64_t now_ms);
/*
 * What the disruption budget counts: alive, healthy, ready for long enough, and not asked to leave.
 * Fresh means here: younger than 60 s less two deadlines of a call, so that a heartbeat and a
 * decision that are both under way cannot disagree. A verdict can only take away.
 */
bool health_is_available(const comrade_record *record, int64_t now_ms, int64_t call_timeout_ms,
                         enum verdict verdict);

#endif
