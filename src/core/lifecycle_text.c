/* The words for the lifecycle's table: for logs, tests and the documentation made from it. */
#include "core/lifecycle.h"

const char *lifecycle_state_name(enum lifecycle_state state)
{
    switch (state) {
#define CASE(name, text)                                                                           \
    case LIFECYCLE_##name:                                                                         \
        return text;
        LIFECYCLE_STATE_MAP(CASE)
#undef CASE
    case LIFECYCLE_STATES:
        break;
    }
    return "state?";
}

const char *lifecycle_event_name(enum lifecycle_event event)
{
    switch (event) {
#define CASE(name, text)                                                                           \
    case LIFECYCLE_EVENT_##name:                                                                   \
        return text;
        LIFECYCLE_EVENT_MAP(CASE)
#undef CASE
    case LIFECYCLE_EVENTS:
        break;
    }
    return "event?";
}

const char *lifecycle_guard_text(enum lifecycle_guard guard)
{
    switch (guard) {
    case LIFECYCLE_IF_ANY:
        return "";
    case LIFECYCLE_IF_FIRST_START:
        return "first start";
    case LIFECYCLE_IF_ASKED:
        return "a restart was asked for";
    case LIFECYCLE_IF_RESTARTS:
        return "is to be started again";
    case LIFECYCLE_IF_FAILING:
        return "third in a row";
    case LIFECYCLE_IF_REPLACED:
        return "third in a row, --restart-unhealthy";
    case LIFECYCLE_IF_RECOVERED:
        return "second in a row";
    case LIFECYCLE_IF_AVAILABLE:
        return "is available";
    }
    return "guard?";
}

const char *lifecycle_timer_text(enum lifecycle_timer timer)
{
    switch (timer) {
    case LIFECYCLE_TIMER_KEEP:
        return "";
    case LIFECYCLE_TIMER_NONE:
        return "none";
    case LIFECYCLE_TIMER_READY:
        return "ready timeout";
    case LIFECYCLE_TIMER_MIN_HEALTHY:
        return "min healthy time";
    case LIFECYCLE_TIMER_WITHDRAW:
        return "5 s for the store";
    case LIFECYCLE_TIMER_DRAIN:
        return "drain delay";
    case LIFECYCLE_TIMER_STOP:
        return "stop timeout";
    case LIFECYCLE_TIMER_BACKOFF:
        return "back-off";
    }
    return "timer?";
}
