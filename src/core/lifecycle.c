/*
 * The table, and the step that follows it. All decisions are rows; the step only keeps the few
 * numbers that guards look at: checks in a row, time up, the place in the back-off.
 *
 * Why it never gets stuck: each state that waits for something outside (a process, the store)
 * either has a timer, or has sent SIGKILL to the whole tree and waits for the kernel alone.
 */
#include "core/lifecycle.h"

#include <assert.h>

#define BIT(event) LIFECYCLE_BIT(LIFECYCLE_EVENT_##event)
#define ANY_CHECK (BIT(CHECK_PASSED) | BIT(CHECK_FAILED))
#define ANY_LEAVE (BIT(LEAVE) | BIT(EVICT) | BIT(HURRY))

/* ROW(state, events, guard, next, timer, actions, reason) */
#define ROW(state, events, guard, next, timer, actions, reason)                                    \
    {                                                                                              \
        LIFECYCLE_##state, events, LIFECYCLE_IF_##guard, LIFECYCLE_##next,                         \
            LIFECYCLE_TIMER_##timer, actions, reason                                               \
    }
#define STAY(state, events, reason) ROW(state, events, ANY, state, KEEP, 0, reason)
#define REPORT LIFECYCLE_REPORT
#define RENEW LIFECYCLE_RENEW
#define TERM_GROUP LIFECYCLE_TERM_GROUP
#define TERM_TREE LIFECYCLE_TERM_TREE
#define KILL_TREE LIFECYCLE_KILL_TREE

/*
 * How to add a row: rows of one state stand together. For a state and an event, the first row
 * whose guard holds is followed, and the last of them has the guard ANY. `timer` is what the one
 * timer means from then on. What is of no consequence is said so with STAY: nothing is decided
 * by leaving it out. Then write the rule as a test in lifecycle_test.c, and run it once with
 * UPDATE_DOCS=1 to write docs/LIFECYCLE.md again.
 */
/* clang-format off */
static const struct lifecycle_row rows[] = {
    ROW(STOPPED, BIT(START), ANY, STARTING, READY, REPORT | LIFECYCLE_SPAWN, "it is wanted"),
    ROW(STOPPED, BIT(RESTART), ASKED, STARTING, READY, RENEW | REPORT | LIFECYCLE_SPAWN,
        "it has not been started yet"),
    STAY(STOPPED, BIT(RESTART), "it is about to leave"),
    ROW(STOPPED, BIT(LEAVE) | BIT(EVICT), ANY, STOPPED, NONE, REPORT | LIFECYCLE_EXIT,
        "nothing runs, so nothing has to be drained"),
    ROW(STOPPED, BIT(HURRY) | BIT(KILL), ANY, STOPPED, NONE, LIFECYCLE_EXIT_NOW,
        "the store is not waited for"),
    STAY(STOPPED, BIT(SPAWN_FAILED) | BIT(READY) | ANY_CHECK | BIT(EXITED) | BIT(TREE_GONE) |
         BIT(TIMER) | BIT(COMMITTED), "late news of a process that is gone"),

    ROW(STARTING, BIT(READY), ANY, UP, MIN_HEALTHY, REPORT, "it is listed at once"),
    ROW(STARTING, BIT(SPAWN_FAILED), FIRST_START, STOPPED, NONE, REPORT | LIFECYCLE_EXIT,
        "a command that never worked is an error of whoever typed it"),
    ROW(STARTING, BIT(SPAWN_FAILED), RESTARTS, BACKOFF, BACKOFF, REPORT,
        "it worked before and may work again"),
    ROW(STARTING, BIT(SPAWN_FAILED), ANY, STOPPED, NONE, REPORT | LIFECYCLE_EXIT,
        "it is not to be started again"),
    ROW(STARTING, BIT(EXITED), ANY, CLEARING, NONE, REPORT | KILL_TREE,
        "it exited before it was ready"),
    ROW(STARTING, BIT(TIMER), ANY, STOPPING, STOP, REPORT | TERM_GROUP,
        "it was not ready in time: a failed start"),
    ROW(STARTING, ANY_LEAVE, ANY, STOPPING, STOP, REPORT | TERM_GROUP,
        "nobody was told of it yet, so nothing has to be drained"),
    ROW(STARTING, BIT(RESTART), ANY, STOPPING, STOP, REPORT | TERM_GROUP,
        "nobody was told of it yet, so nothing has to be drained"),
    ROW(STARTING, BIT(KILL), ANY, STOPPING, NONE, REPORT | KILL_TREE, "the third SIGTERM"),
    STAY(STARTING, BIT(START) | ANY_CHECK | BIT(TREE_GONE) | BIT(COMMITTED),
         "only readiness counts until it is ready"),

    ROW(UP, BIT(TIMER), ANY, UP, NONE, REPORT | LIFECYCLE_COUNT,
        "healthy for long enough to be counted by the budget"),
    ROW(UP, BIT(CHECK_FAILED), REPLACED, WITHDRAWING, WITHDRAW, REPORT,
        "unhealthy, and such processes are started again"),
    ROW(UP, BIT(CHECK_FAILED), FAILING, UNHEALTHY, NONE, REPORT, "too many failed checks in a row"),
    ROW(UP, BIT(CHECK_FAILED), AVAILABLE, UP, KEEP, 0, "one failed check alone changes nothing"),
    ROW(UP, BIT(CHECK_FAILED), ANY, UP, MIN_HEALTHY, 0,
        "the time until it is counted begins again"),
    ROW(UP, BIT(EXITED), ANY, CLEARING, NONE, REPORT | KILL_TREE, "it exited by itself"),
    ROW(UP, BIT(LEAVE) | BIT(HURRY), ANY, WITHDRAWING, WITHDRAW, REPORT,
        "gone from the list before gone"),
    ROW(UP, BIT(EVICT) | BIT(RESTART), ANY, DRAINING, DRAIN, REPORT, "it is off the list already"),
    ROW(UP, BIT(KILL), ANY, STOPPING, NONE, REPORT | KILL_TREE, "the third SIGTERM"),
    STAY(UP, BIT(START) | BIT(SPAWN_FAILED) | BIT(READY) | BIT(CHECK_PASSED) | BIT(TREE_GONE) |
         BIT(COMMITTED), "it runs as it should"),

    ROW(UNHEALTHY, BIT(CHECK_PASSED), RECOVERED, UP, MIN_HEALTHY, REPORT,
        "enough checks in a row have passed"),
    STAY(UNHEALTHY, ANY_CHECK, "not enough checks in a row have passed"),
    ROW(UNHEALTHY, BIT(EXITED), ANY, CLEARING, NONE, REPORT | KILL_TREE, "it exited by itself"),
    ROW(UNHEALTHY, BIT(LEAVE) | BIT(HURRY), ANY, WITHDRAWING, WITHDRAW, REPORT,
        "gone from the list before gone"),
    ROW(UNHEALTHY, BIT(EVICT) | BIT(RESTART), ANY, DRAINING, DRAIN, REPORT, "it is off the list already"),
    ROW(UNHEALTHY, BIT(KILL), ANY, STOPPING, NONE, REPORT | KILL_TREE, "the third SIGTERM"),
    STAY(UNHEALTHY, BIT(START) | BIT(SPAWN_FAILED) | BIT(READY) | BIT(TREE_GONE) | BIT(TIMER) |
         BIT(COMMITTED), "only its checks can mend it"),

    ROW(WITHDRAWING, BIT(COMMITTED), ANY, DRAINING, DRAIN, 0, "all can see that it is off the list"),
    ROW(WITHDRAWING, BIT(TIMER), ANY, DRAINING, DRAIN, 0, "the store does not answer"),
    ROW(WITHDRAWING, BIT(EVICT) | BIT(RESTART), ANY, DRAINING, DRAIN, 0, "there is nothing left to be committed"),
    ROW(WITHDRAWING, BIT(HURRY), ANY, STOPPING, STOP, REPORT | TERM_GROUP,
        "the second SIGTERM skips the waits"),
    ROW(WITHDRAWING, BIT(KILL), ANY, STOPPING, NONE, REPORT | KILL_TREE, "the third SIGTERM"),
    ROW(WITHDRAWING, BIT(EXITED), ANY, STOPPING, STOP, REPORT | TERM_TREE,
        "it left by itself; its descendants are told to"),
    STAY(WITHDRAWING, BIT(START) | BIT(SPAWN_FAILED) | BIT(READY) | ANY_CHECK | BIT(TREE_GONE) |
         BIT(LEAVE), "it is leaving the list already"),

    ROW(DRAINING, BIT(TIMER), ANY, STOPPING, STOP, REPORT | TERM_GROUP, "the drain delay is over"),
    ROW(DRAINING, BIT(HURRY), ANY, STOPPING, STOP, REPORT | TERM_GROUP,
        "the second SIGTERM skips the waits"),
    ROW(DRAINING, BIT(KILL), ANY, STOPPING, NONE, REPORT | KILL_TREE, "the third SIGTERM"),
    ROW(DRAINING, BIT(EXITED), ANY, STOPPING, STOP, REPORT | TERM_TREE,
        "it left by itself; its descendants are told to"),
    STAY(DRAINING, BIT(START) | BIT(SPAWN_FAILED) | BIT(READY) | ANY_CHECK | BIT(TREE_GONE) |
         BIT(COMMITTED) | BIT(LEAVE) | BIT(EVICT) | BIT(RESTART), "it is draining already"),

    ROW(STOPPING, BIT(EXITED), ANY, STOPPING, KEEP, TERM_TREE,
        "its descendants are told to stop as well"),
    ROW(STOPPING, BIT(TIMER), ANY, STOPPING, NONE, KILL_TREE, "it did not stop in time"),
    ROW(STOPPING, BIT(KILL), ANY, STOPPING, NONE, KILL_TREE, "the third SIGTERM"),
    ROW(STOPPING, BIT(TREE_GONE) | BIT(SPAWN_FAILED), ASKED, STARTING, READY,
        RENEW | REPORT | LIFECYCLE_SPAWN, "its restart was asked for"),
    ROW(STOPPING, BIT(TREE_GONE) | BIT(SPAWN_FAILED), RESTARTS, BACKOFF, BACKOFF, REPORT,
        "it was stopped because it failed, and is started again"),
    ROW(STOPPING, BIT(TREE_GONE) | BIT(SPAWN_FAILED), ANY, STOPPED, NONE, REPORT | LIFECYCLE_EXIT,
        "no descendant is left"),
    STAY(STOPPING, BIT(START) | BIT(READY) | ANY_CHECK | BIT(COMMITTED) | ANY_LEAVE | BIT(RESTART),
         "it is stopping already"),

    ROW(CLEARING, BIT(TREE_GONE), ASKED, STARTING, READY, RENEW | REPORT | LIFECYCLE_SPAWN,
        "its restart was asked for"),
    ROW(CLEARING, BIT(TREE_GONE), RESTARTS, BACKOFF, BACKOFF, REPORT, "it is started again"),
    ROW(CLEARING, BIT(TREE_GONE), ANY, STOPPED, NONE, REPORT | LIFECYCLE_EXIT,
        "it is not to be started again"),
    STAY(CLEARING, BIT(START) | BIT(SPAWN_FAILED) | BIT(READY) | ANY_CHECK | BIT(EXITED) |
         BIT(TIMER) | BIT(COMMITTED) | ANY_LEAVE | BIT(RESTART) | BIT(KILL), "its leftovers are being killed"),

    ROW(BACKOFF, BIT(TIMER), ANY, STARTING, READY, REPORT | LIFECYCLE_SPAWN,
        "the wait before the restart is over"),
    ROW(BACKOFF, BIT(RESTART), ANY, STARTING, READY, RENEW | REPORT | LIFECYCLE_SPAWN,
        "its restart was asked for: it waits no longer"),
    ROW(BACKOFF, ANY_LEAVE | BIT(KILL), ANY, STOPPED, NONE, REPORT | LIFECYCLE_EXIT,
        "nothing runs, so nothing has to be drained"),
    STAY(BACKOFF, BIT(START) | BIT(SPAWN_FAILED) | BIT(READY) | ANY_CHECK | BIT(EXITED) |
         BIT(TREE_GONE) | BIT(COMMITTED), "late news of a process that is gone"),
};
/* clang-format on */
enum { N_ROWS = sizeof rows / sizeof rows[0] };

const struct lifecycle_row *lifecycle_row_at(size_t i)
{
    return i < N_ROWS ? &rows[i] : NULL;
}

void lifecycle_init(struct lifecycle *lifecycle, const struct lifecycle_options *options)
{
    *lifecycle = (struct lifecycle){
        .options = *options, .state = LIFECYCLE_STOPPED, .deadline_ms = LIFECYCLE_NO_DEADLINE};
}

static bool restarts(const struct lifecycle *lifecycle)
{
    if (lifecycle->is_leaving) {
        return false;
    }
    switch (lifecycle->options.restart) {
    case LIFECYCLE_NEVER:
        return false;
    case LIFECYCLE_ON_FAILURE:
        return lifecycle->is_failure;
    case LIFECYCLE_ALWAYS:
        return true;
    }
    return false;
}

static bool guard_holds(const struct lifecycle *lifecycle, enum lifecycle_guard guard)
{
    bool is_failing = lifecycle->n_failures >= lifecycle->options.n_failures;
    switch (guard) {
    case LIFECYCLE_IF_ANY:
        return true;
    case LIFECYCLE_IF_FIRST_START:
        return lifecycle->n_spawns == 1;
    case LIFECYCLE_IF_ASKED:
        return lifecycle->is_restarting && !lifecycle->is_leaving;
    case LIFECYCLE_IF_RESTARTS:
        return restarts(lifecycle);
    case LIFECYCLE_IF_FAILING:
        return is_failing;
    case LIFECYCLE_IF_REPLACED:
        return is_failing && lifecycle->options.restarts_unhealthy;
    case LIFECYCLE_IF_RECOVERED:
        return lifecycle->n_successes >= lifecycle->options.n_successes;
    case LIFECYCLE_IF_AVAILABLE:
        return lifecycle->is_available;
    }
    return false;
}

static const struct lifecycle_row *row_find(const struct lifecycle *lifecycle,
                                            enum lifecycle_event event)
{
    size_t i = 0;
    while (rows[i].state != lifecycle->state || (rows[i].events & LIFECYCLE_BIT(event)) == 0 ||
           !guard_holds(lifecycle, rows[i].guard)) {
        i++;
        assert(i < N_ROWS); /* A test looks at every state and event. */
    }
    return &rows[i];
}

/* 1, 2, 4 … 60 s, ±25 %; none at all the first time that a healthy process exits. */
static int64_t backoff_delay_ms(struct lifecycle *lifecycle, uint64_t random)
{
    bool is_first = !lifecycle->has_restarted;
    lifecycle->has_restarted = true;
    if (is_first && lifecycle->was_up_ms >= LIFECYCLE_HEALTHY_MS) {
        return 0;
    }
    int64_t delay_ms = INT64_C(1000) << lifecycle->backoff_step;
    if (delay_ms >= LIFECYCLE_BACKOFF_MAX_MS) {
        delay_ms = LIFECYCLE_BACKOFF_MAX_MS;
    } else {
        lifecycle->backoff_step++;
    }
    return delay_ms * (int64_t)(75 + random % 51) / 100;
}

static void timer_arm(struct lifecycle *lifecycle, enum lifecycle_timer timer,
                      const struct lifecycle_input *input)
{
    const struct lifecycle_options *options = &lifecycle->options;
    switch (timer) {
    case LIFECYCLE_TIMER_KEEP:
        return;
    case LIFECYCLE_TIMER_NONE:
        lifecycle->deadline_ms = LIFECYCLE_NO_DEADLINE;
        return;
    case LIFECYCLE_TIMER_READY:
        lifecycle->deadline_ms = input->now_ms + options->ready_timeout_ms;
        return;
    case LIFECYCLE_TIMER_MIN_HEALTHY:
        lifecycle->deadline_ms = input->now_ms + options->min_healthy_ms;
        return;
    case LIFECYCLE_TIMER_WITHDRAW:
        lifecycle->deadline_ms = input->now_ms + options->withdraw_timeout_ms;
        return;
    case LIFECYCLE_TIMER_DRAIN:
        lifecycle->deadline_ms = input->now_ms + options->drain_delay_ms;
        return;
    case LIFECYCLE_TIMER_STOP:
        lifecycle->deadline_ms = input->now_ms + options->stop_timeout_ms;
        return;
    case LIFECYCLE_TIMER_BACKOFF:
        lifecycle->deadline_ms = input->now_ms + backoff_delay_ms(lifecycle, input->random);
        return;
    }
}

/* What an event means whatever the state: the numbers that the guards look at. */
static void event_note(struct lifecycle *lifecycle, const struct lifecycle_input *input)
{
    switch (input->event) {
    case LIFECYCLE_EVENT_CHECK_PASSED:
        lifecycle->n_failures = 0;
        lifecycle->n_successes++;
        return;
    case LIFECYCLE_EVENT_CHECK_FAILED:
        lifecycle->n_successes = 0;
        lifecycle->n_failures++;
        return;
    case LIFECYCLE_EVENT_SPAWN_FAILED:
        lifecycle->is_failure = true;
        return;
    case LIFECYCLE_EVENT_EXITED:
        lifecycle->is_failure = lifecycle->has_timed_out || input->is_failure;
        return;
    case LIFECYCLE_EVENT_LEAVE:
    case LIFECYCLE_EVENT_EVICT:
    case LIFECYCLE_EVENT_HURRY:
    case LIFECYCLE_EVENT_KILL:
        lifecycle->is_leaving = true;
        return;
    case LIFECYCLE_EVENT_RESTART:
        lifecycle->is_restarting = true;
        return;
    case LIFECYCLE_EVENT_START:
    case LIFECYCLE_EVENT_READY:
    case LIFECYCLE_EVENT_TREE_GONE:
    case LIFECYCLE_EVENT_TIMER:
    case LIFECYCLE_EVENT_COMMITTED:
    case LIFECYCLE_EVENTS:
        return;
    }
}

static void up_leave(struct lifecycle *lifecycle, int64_t now_ms)
{
    lifecycle->is_available = false;
    lifecycle->was_up_ms = now_ms - lifecycle->up_since_ms;
    if (lifecycle->was_up_ms >= LIFECYCLE_STABLE_MS) {
        lifecycle->has_restarted = false;
        lifecycle->backoff_step = 0;
    }
}

static void state_enter(struct lifecycle *lifecycle, enum lifecycle_state next, int64_t now_ms)
{
    if (lifecycle->state == LIFECYCLE_UP) {
        up_leave(lifecycle, now_ms);
    }
    lifecycle->state = next;
    lifecycle->n_failures = 0;
    lifecycle->n_successes = 0;
    if (next == LIFECYCLE_UP) {
        lifecycle->up_since_ms = now_ms;
    } else if (next == LIFECYCLE_STARTING) {
        lifecycle->n_spawns++;
        lifecycle->was_up_ms = 0;
        lifecycle->is_failure = false;
        lifecycle->has_timed_out = false;
        lifecycle->is_restarting = false;
    }
}

const struct lifecycle_row *lifecycle_step(struct lifecycle *lifecycle,
                                           const struct lifecycle_input *input)
{
    event_note(lifecycle, input);
    const struct lifecycle_row *row = row_find(lifecycle, input->event);
    /* Stopped by us although nobody asked it to leave: it was too late, or unhealthy. */
    bool is_late = row->state == LIFECYCLE_STARTING && row->next == LIFECYCLE_STOPPING &&
                   !lifecycle->is_restarting;
    bool is_replaced = row->guard == LIFECYCLE_IF_REPLACED;
    if (!lifecycle->is_leaving && (is_late || is_replaced)) {
        lifecycle->has_timed_out = true;
        lifecycle->is_failure = true;
    }
    if (row->next != lifecycle->state) {
        state_enter(lifecycle, row->next, input->now_ms);
    } else if (row->state == LIFECYCLE_UP && input->event == LIFECYCLE_EVENT_CHECK_FAILED) {
        lifecycle->up_since_ms = input->now_ms;
    }
    if ((row->actions & LIFECYCLE_COUNT) != 0) {
        lifecycle->is_available = true;
    }
    timer_arm(lifecycle, row->timer, input);
    return row;
}

struct lifecycle_view lifecycle_view(const struct lifecycle *lifecycle)
{
    switch (lifecycle->state) {
    case LIFECYCLE_STARTING:
        return (struct lifecycle_view){COMRADE_STATE_STARTING, false, false};
    case LIFECYCLE_UP:
        return (struct lifecycle_view){COMRADE_STATE_UP, true, lifecycle->is_available};
    case LIFECYCLE_UNHEALTHY:
        return (struct lifecycle_view){COMRADE_STATE_UNHEALTHY, true, false};
    case LIFECYCLE_WITHDRAWING:
    case LIFECYCLE_DRAINING:
        return (struct lifecycle_view){COMRADE_STATE_DRAINING, false, false};
    case LIFECYCLE_STOPPING:
        return (struct lifecycle_view){COMRADE_STATE_STOPPING, false, false};
    case LIFECYCLE_CLEARING:
    case LIFECYCLE_BACKOFF:
        return (struct lifecycle_view){COMRADE_STATE_BACKOFF, false, false};
    case LIFECYCLE_STOPPED:
    case LIFECYCLE_STATES:
        break;
    }
    return (struct lifecycle_view){COMRADE_STATE_STOPPED, false, false};
}

bool lifecycle_is_checked(enum lifecycle_state state)
{
    return state == LIFECYCLE_STARTING || state == LIFECYCLE_UP || state == LIFECYCLE_UNHEALTHY;
}
