/* What is asked of members: whom to kill, under which budget; zombify; the role spec. */
#include "core/operation_internal.h"

#include <stdlib.h>
#include <string.h>

enum { IMPLIED_MINIMUM = 1, ROLL_REFUSED_MS = 1000 };

static int client_minimum(const struct operation *operation, const char *role)
{
    for (size_t i = 0; i < operation->n_minimums; i++) {
        if (strcmp(operation->minimums[i].role, role) == 0) {
            return operation->minimums[i].min_members;
        }
    }
    return SPEC_UNSET;
}

static bool is_available(const struct operation *operation, const comrade_record *record)
{
    return health_is_available(record, operation->snapshot.now_ms, operation->call_timeout_ms,
                               operation_verdict(operation, record));
}

/* Takes the role's numbers down for the caller, and returns the budget. */
static struct budget measure(struct operation *operation, int implied_minimum)
{
    struct budget budget = budget_measure(
        &operation->snapshot, operation->role, operation->verdicts,
        client_minimum(operation, operation->role), implied_minimum, operation->call_timeout_ms);
    operation->available = budget.available;
    operation->spec_min_members = budget.spec_minimum;
    return budget;
}

static enum need end_unreadable(struct operation *operation)
{
    comrade_error_set(&operation->error, COMRADE_BROKEN,
                      "the spec of role \"%s\" cannot be read, so its minimum is not known; set it "
                      "again: comrade role set ROLE --min N",
                      operation->role);
    return operation_end(operation, COMRADE_BROKEN);
}

static enum need refuse(struct operation *operation, const comrade_record *victim,
                        const struct budget *budget)
{
    int left = budget->available - (is_available(operation, victim) ? 1 : 0);
    comrade_error_set(&operation->error, COMRADE_REFUSED,
                      "not %s: \"%s\" would leave role \"%s\" with %d available of a minimum of "
                      "%d%s (%d available now; asked, draining, unhealthy, new and silent members "
                      "do not count)",
                      operation->kind == OPERATION_RESTART ? "restarted" : "killed", victim->id,
                      operation->role, left, budget->minimum,
                      budget->is_implied ? ", which is implied where nobody set one" : "",
                      budget->available);
    return operation_end(operation, COMRADE_REFUSED);
}

static bool tell_one(struct operation *operation, const char *id)
{
    free(operation->results);
    operation->n_results = 0;
    operation->results = calloc(1, sizeof *operation->results);
    if (operation->results == NULL) {
        return false;
    }
    operation->results[0] = id;
    operation->n_results = 1;
    return true;
}

static enum need end_with(struct operation *operation, const comrade_record *record)
{
    return tell_one(operation, record->id) ? operation_end(operation, COMRADE_OK)
                                           : operation_end_without_memory(operation);
}

/*
 * The id is remembered in operation->id: a later snapshot must be searched again. Of the kind NONE
 * it is zombified, and what was asked of it stays.
 */
static enum need request_of(struct operation *operation, const comrade_record *record,
                            comrade_request_kind kind, int64_t expect_revision)
{
    if (!operation_set_text(&operation->id, record->id)) {
        return operation_end_without_memory(operation);
    }
    operation->request = record->request;
    if (kind != COMRADE_REQUEST_NONE) {
        operation->request.kind = kind;
        operation->request.incarnation = record->own.incarnation;
        operation->request.requested_ms = 0;
    } else {
        operation->request.zombified_incarnation = record->own.incarnation;
    }
    if (kind != COMRADE_REQUEST_NONE || !health_is_requested(record)) {
        operation->request.request_id = operation->request_id;
        operation->request.user = operation->user;
        operation->request.host = operation->host;
        operation->request.database_user = "";
        operation->request.reason = operation->reason;
    }
    comrade_change change = {
        .kind = COMRADE_PUT_REQUEST,
        .id = operation->id,
        .request = &operation->request,
        .expect_incarnation = record->own.incarnation,
        .expect_request_revision = record->request.revision,
        .expect_updated_ms = COMRADE_ANYTHING,
        .expect_spec_version = COMRADE_ANYTHING,
    };
    return operation_write(operation, &change, expect_revision);
}

static int64_t role_revision(const struct operation *operation)
{
    const comrade_role *role = snapshot_role(&operation->snapshot, operation->role);
    return role == NULL ? 0 : role->revision;
}

static comrade_request_kind kind_asked(const struct operation *operation)
{
    return operation->kind == OPERATION_RESTART ? COMRADE_REQUEST_RESTART : COMRADE_REQUEST_KILL;
}

static enum need ask_in_budget(struct operation *operation, const comrade_record *victim,
                               int implied_minimum)
{
    struct budget budget = measure(operation, implied_minimum);
    if (budget.spec_minimum == SPEC_UNREADABLE) {
        return end_unreadable(operation);
    }
    if (!budget_allows(&budget, is_available(operation, victim))) {
        return refuse(operation, victim, &budget);
    }
    return request_of(operation, victim, kind_asked(operation), role_revision(operation));
}

/*
 * Finds the one that `id` means. False: `need` says what to do instead, which may be to look at
 * everything, for the one whose id begins so or whose id is nearest to a mistyped one.
 */
static bool find_one(struct operation *operation, const comrade_record **record, enum need *need)
{
    comrade_status status = query_find_id(&operation->snapshot, operation->id,
                                          operation->accept_prefix, record, &operation->error);
    if (status == COMRADE_OK) {
        return true;
    }
    bool has_seen_all = operation->ask.scope == COMRADE_SCOPE_ALL || operation->role != NULL;
    *need = status == COMRADE_NOT_FOUND && operation->accept_prefix && !has_seen_all
                ? operation_look_at_all(operation)
                : operation_end(operation, status);
    return false;
}

/* From here on it is this very one that is meant: an id that begins with its id is another's. */
static bool settle_on(struct operation *operation, const comrade_record *record)
{
    operation->accept_prefix = false;
    return operation_set_text(&operation->id, record->id) &&
           operation_set_text(&operation->role, record->role);
}

/* Who was asked already needs no asking; but one that would come back may be told to stay away. */
static bool is_asked_enough(const struct operation *operation, const comrade_record *victim)
{
    return health_is_requested(victim) &&
           (operation->kind == OPERATION_RESTART || victim->request.kind == COMRADE_REQUEST_KILL);
}

/* One member is to leave, for good or to come back. */
enum need decide_leave(struct operation *operation)
{
    const comrade_record *victim;
    enum need need;
    if (!find_one(operation, &victim, &need)) {
        return need;
    }
    bool is_own_request = health_is_requested(victim) &&
                          strcmp(victim->request.request_id, operation->request_id) == 0;
    if (victim->own.state == COMRADE_STATE_STOPPED && !is_own_request) {
        comrade_error_set(&operation->error, COMRADE_NOT_FOUND, "member \"%s\" has already left",
                          victim->id);
        return operation_end(operation, COMRADE_NOT_FOUND);
    }
    if (is_asked_enough(operation, victim)) {
        return end_with(operation, victim);
    }
    bool is_role_known = operation->ask.scope == COMRADE_SCOPE_ROLE;
    if (!settle_on(operation, victim)) {
        return operation_end_without_memory(operation);
    }
    if (!operation->is_budgeted) {
        return request_of(operation, victim, kind_asked(operation), COMRADE_ANYTHING);
    }
    if (!is_role_known) {
        return operation_look_at_role(operation);
    }
    return ask_in_budget(operation, victim, 0);
}

enum need decide_zombify(struct operation *operation)
{
    const comrade_record *record;
    enum need need;
    if (!find_one(operation, &record, &need)) {
        return need;
    }
    /* One that is not ready yet would list itself later; one that was asked to leave never will. */
    if (record->request.zombified_incarnation == record->own.incarnation ||
        health_is_requested(record)) {
        return end_with(operation, record);
    }
    if (!settle_on(operation, record)) {
        return operation_end_without_memory(operation);
    }
    return request_of(operation, record, COMRADE_REQUEST_NONE, COMRADE_ANYTHING);
}

/* May it be the next victim? A silent one would not hear the request. */
static bool is_candidate(const struct operation *operation, const comrade_record *record)
{
    int64_t now_ms = operation->snapshot.now_ms;
    bool is_silent = !health_is_fresh(record, now_ms, HEALTH_FRESH_MS);
    return strcmp(record->role, operation->role) == 0 && health_is_alive(record) &&
           !health_is_requested(record) && (!is_silent || operation->query.healthy == COMRADE_NO) &&
           query_matches(&operation->query, record, now_ms, operation->call_timeout_ms,
                         operation_verdict(operation, record));
}

static bool is_noted(const struct operation *operation, const comrade_record *record)
{
    const struct operation_noted *noted = operation_find_noted(operation, record);
    return noted != NULL && noted->incarnation == record->own.incarnation;
}

/* Earliest created; where that is equal, the smallest id, so that two callers choose the same. */
static const comrade_record *oldest(const struct operation *operation, bool only_noted)
{
    const comrade_record *found = NULL;
    for (size_t i = 0; i < operation->snapshot.n_records; i++) {
        const comrade_record *record = &operation->snapshot.records[i];
        if (!is_candidate(operation, record) || (only_noted && !is_noted(operation, record))) {
            continue;
        }
        if (found == NULL || record->own.created_ms < found->own.created_ms ||
            (record->own.created_ms == found->own.created_ms &&
             strcmp(record->id, found->id) < 0)) {
            found = record;
        }
    }
    return found;
}

enum need decide_kill_oldest(struct operation *operation)
{
    const comrade_record *victim = oldest(operation, false);
    if (victim == NULL) {
        measure(operation, IMPLIED_MINIMUM);
        comrade_error_set(&operation->error, COMRADE_NOT_FOUND,
                          "role \"%s\" has no member that matches, is alive, heartbeats and has "
                          "not been asked to leave",
                          operation->role);
        return operation_end(operation, COMRADE_NOT_FOUND);
    }
    return ask_in_budget(operation, victim, IMPLIED_MINIMUM);
}

static enum need end_rolling(struct operation *operation)
{
    free(operation->results);
    operation->n_results = 0;
    operation->results = calloc(operation->n_noted + 1, sizeof *operation->results);
    if (operation->results == NULL) {
        return operation_end_without_memory(operation);
    }
    for (size_t i = 0; i < operation->n_noted; i++) {
        operation->results[operation->n_results++] = operation->noted[i].id;
    }
    return operation_end(operation, COMRADE_OK);
}

enum need decide_rolling_kill(struct operation *operation)
{
    for (size_t i = 0; !operation->has_noted && i < operation->snapshot.n_records; i++) {
        const comrade_record *record = &operation->snapshot.records[i];
        if (is_candidate(operation, record) && !operation_note(operation, record)) {
            return operation_end_without_memory(operation);
        }
    }
    operation->has_noted = true;
    const comrade_record *victim = oldest(operation, true);
    if (victim == NULL) {
        return end_rolling(operation);
    }
    enum need need = ask_in_budget(operation, victim, IMPLIED_MINIMUM);
    bool is_refused = need == NEED_NOTHING && operation->status == COMRADE_REFUSED;
    return is_refused ? operation_wait(operation, ROLL_REFUSED_MS) : need;
}

enum need applied_rolling_kill(struct operation *operation)
{
    operation->n_conflicts = 0;
    operation->n_lost = 0;
    env_uuid(operation->env, operation->request_id);
    return operation_wait(operation, operation->interval_ms);
}

enum need applied_one(struct operation *operation)
{
    if (operation->kind == OPERATION_SET_ROLE) {
        operation->spec_min_members = operation->min_members;
        return operation_end(operation, COMRADE_OK);
    }
    return tell_one(operation, operation->id) ? operation_end(operation, COMRADE_OK)
                                              : operation_end_without_memory(operation);
}

enum need decide_fetch(struct operation *operation)
{
    const comrade_record *record;
    enum need need;
    return find_one(operation, &record, &need) ? end_with(operation, record) : need;
}

enum need decide_list(struct operation *operation)
{
    return operation_end(operation, COMRADE_OK);
}

enum need decide_get_role(struct operation *operation)
{
    struct budget budget = measure(operation, 0);
    return budget.spec_minimum == SPEC_UNREADABLE ? end_unreadable(operation)
                                                  : operation_end(operation, COMRADE_OK);
}

enum need decide_set_role(struct operation *operation)
{
    const comrade_role *role = snapshot_role(&operation->snapshot, operation->role);
    measure(operation, 0);
    free(operation->spec);
    operation->spec = spec_with_min_members(role, operation->min_members);
    if (operation->spec == NULL) {
        return operation_end_without_memory(operation);
    }
    comrade_change change = {
        .kind = COMRADE_PUT_SPEC,
        .spec = operation->spec,
        .spec_version = spec_next_version(role, operation->snapshot.now_ms),
        .expect_incarnation = COMRADE_ANYTHING,
        .expect_request_revision = COMRADE_ANYTHING,
        .expect_updated_ms = COMRADE_ANYTHING,
        .expect_spec_version = role == NULL ? 0 : role->spec_version,
    };
    return operation_write(operation, &change, role_revision(operation));
}
