#include "core/health.h"

bool health_is_fresh(const comrade_record *record, int64_t now_ms, int64_t limit_ms)
{
    return record->updated_ms <= now_ms && now_ms - record->updated_ms < limit_ms;
}

bool health_is_alive(const comrade_record *record)
{
    return record->own.is_alive && record->request.zombified_incarnation != record->own.incarnation;
}

bool health_is_requested(const comrade_record *record)
{
    return record->request.kind != COMRADE_REQUEST_NONE &&
           record->request.incarnation == record->own.incarnation;
}

static bool has_failed_check(const comrade_record *record)
{
    switch (record->own.state) {
    case COMRADE_STATE_UP:
    case COMRADE_STATE_DRAINING:
    case COMRADE_STATE_STOPPING:
        return false;
    case COMRADE_STATE_STARTING:
    case COMRADE_STATE_UNHEALTHY:
    case COMRADE_STATE_STOPPED:
    case COMRADE_STATE_BACKOFF:
        return true;
    }
    return true;
}

bool health_is_healthy(const comrade_record *record, int64_t now_ms, enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_HEALTHY:
        return true;
    case VERDICT_UNHEALTHY:
        return false;
    case VERDICT_NONE:
        break;
    }
    return health_is_fresh(record, now_ms, HEALTH_FRESH_MS) && !has_failed_check(record);
}

bool health_is_stale(const comrade_record *record, int64_t now_ms)
{
    return record->updated_ms <= now_ms && now_ms - record->updated_ms > HEALTH_STALE_MS;
}

bool health_is_available(const comrade_record *record, int64_t now_ms, int64_t call_timeout_ms,
                         enum verdict verdict)
{
    return health_is_alive(record) && !health_is_requested(record) && record->own.is_available &&
           !has_failed_check(record) && verdict != VERDICT_UNHEALTHY &&
           health_is_fresh(record, now_ms, HEALTH_FRESH_MS - 2 * call_timeout_ms);
}
