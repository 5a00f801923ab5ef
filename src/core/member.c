#include "core/member.h"

#include "core/health.h"

#include <stdlib.h>
#include <string.h>

static bool set_text(char **text, const char *value)
{
    char *copy = strdup(value);
    if (copy == NULL) {
        return false;
    }
    free(*text);
    *text = copy;
    return true;
}

comrade_status member_init(struct member *member, const struct member_options *options,
                           comrade_error *error)
{
    struct member made = {
        .takeover = options->takeover,
        .state = options->is_ready ? COMRADE_STATE_UP : COMRADE_STATE_STARTING,
        .is_alive = options->is_ready,
        .is_available = options->is_ready,
        .pid = options->pid,
        .phase = MEMBER_IDLE,
        .sequence = 1,
    };
    snapshot_init(&made.shutdown);
    snapshot_init(&made.restart);
    if (!set_text(&made.id, options->id) || !set_text(&made.role, options->role) ||
        !set_text(&made.host, options->host) || !set_text(&made.metadata, options->metadata) ||
        !set_text(&made.details, "{}")) {
        member_finish(&made);
        return comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for member \"%s\"",
                                 options->id);
    }
    *member = made;
    return COMRADE_OK;
}

void member_finish(struct member *member)
{
    free(member->id);
    free(member->role);
    free(member->host);
    free(member->metadata);
    free(member->details);
    snapshot_finish(&member->shutdown);
    snapshot_finish(&member->restart);
    memset(member, 0, sizeof *member);
}

void member_start(struct member *member)
{
    if (member->phase == MEMBER_IDLE) {
        member->phase = MEMBER_LOOKING;
    }
}

static bool is_dirty(const struct member *member)
{
    return member->committed_sequence < member->sequence;
}

void member_end(struct member *member, comrade_status status)
{
    if (member->phase != MEMBER_ENDED) {
        member->phase = MEMBER_ENDED;
        member->end_status = status;
    }
}

void member_stop(struct member *member)
{
    member->is_stopping = true;
    if (member->phase != MEMBER_REGISTERED || !is_dirty(member)) {
        member_end(member, COMRADE_CANCELED);
    }
}

int64_t member_report(struct member *member, const comrade_report *report)
{
    char *metadata = report->metadata == NULL ? NULL : strdup(report->metadata);
    char *details = report->details == NULL ? NULL : strdup(report->details);
    if ((report->metadata != NULL && metadata == NULL) ||
        (report->details != NULL && details == NULL)) {
        free(metadata);
        free(details);
        return 0;
    }
    if (metadata != NULL) {
        free(member->metadata);
        member->metadata = metadata;
    }
    if (details != NULL) {
        free(member->details);
        member->details = details;
    }
    member->state = report->state;
    member->is_alive = report->is_alive;
    member->is_available = report->is_available;
    if (report->pid >= 0) {
        member->pid = report->pid;
    }
    return ++member->sequence;
}

/* --- What it needs ---------------------------------------------------------------------------- */

bool member_needs_read(const struct member *member)
{
    return member->phase == MEMBER_LOOKING ||
           (member->phase == MEMBER_REGISTERED && member->must_read && !member->is_stopping);
}

bool member_needs_write(const struct member *member)
{
    return member->phase == MEMBER_CLAIMING ||
           (member->phase == MEMBER_REGISTERED && is_dirty(member));
}

bool member_needs_beat(const struct member *member)
{
    return member->phase == MEMBER_REGISTERED && !member->is_stopping;
}

/* --- Claiming the id -------------------------------------------------------------------------- */

/* Any of the claims since the first whose answer was lost may have been applied, even late. */
static bool is_open_claim(const struct member *member, const comrade_record *record)
{
    return member->open_claim != 0 && record->own.incarnation >= member->open_claim &&
           record->own.incarnation <= member->incarnation;
}

static bool is_running_elsewhere(const struct member *member, const comrade_record *record,
                                 int64_t now_ms, bool is_owner_gone)
{
    if (record->own.state == COMRADE_STATE_STOPPED || is_owner_gone ||
        !health_is_fresh(record, now_ms, HEALTH_FRESH_MS)) {
        return false;
    }
    bool is_same_host = strcmp(record->own.host, member->host) == 0;
    /* An own claim whose answer was lost looks like somebody else's. */
    bool is_own = is_same_host && record->own.pid == member->pid &&
                  (member->pid != 0 || is_open_claim(member, record));
    switch (member->takeover) {
    case COMRADE_TAKEOVER_ALWAYS:
        return false;
    case COMRADE_TAKEOVER_SAME_HOST:
        return !is_same_host || (record->own.pid > 0 && !is_own);
    case COMRADE_TAKEOVER_DEAD:
        return !is_own;
    }
    return true;
}

static void refuse(struct member *member, const comrade_record *record, int64_t now_ms)
{
    bool is_same_host = strcmp(record->own.host, member->host) == 0;
    if (member->takeover == COMRADE_TAKEOVER_SAME_HOST && is_same_host) {
        comrade_error_set(
            &member->error, COMRADE_IN_USE,
            "id \"%s\" is running on this host as process %lld, and not under our "
            "lock: its agent is another user's, or spells the store's URL differently",
            member->id, (long long)record->own.pid);
        return;
    }
    comrade_error_set(&member->error, COMRADE_IN_USE,
                      "id \"%s\" is running elsewhere: role \"%s\" on host \"%s\", pid %lld, "
                      "last heartbeat %lld ms ago",
                      member->id, record->role, record->own.host, (long long)record->own.pid,
                      (long long)(now_ms - record->updated_ms));
}

static void look(struct member *member, const comrade_record *record, int64_t now_ms,
                 bool is_owner_gone)
{
    if (record != NULL && is_running_elsewhere(member, record, now_ms, is_owner_gone)) {
        refuse(member, record, now_ms);
        member->events |= MEMBER_EVENT_IN_USE;
        member_end(member, COMRADE_IN_USE);
        return;
    }
    int64_t stored = record == NULL ? 0 : record->own.incarnation;
    member->expected_incarnation = stored;
    member->incarnation = stored >= now_ms ? stored + 1 : now_ms;
    member->request_revision = record == NULL ? 0 : record->request.revision;
    member->created_ms = 0;
    member->phase = MEMBER_CLAIMING;
}

/* --- What is asked of it ---------------------------------------------------------------------- */

static void tell_shutdown(struct member *member)
{
    if (member->is_asked && !member->has_told_shutdown) {
        member->has_told_shutdown = true;
        member->events |=
            member->asked == COMRADE_REQUEST_RESTART ? MEMBER_EVENT_RESTART : MEMBER_EVENT_SHUTDOWN;
    }
}

static void ask_to_leave(struct member *member, const comrade_record *record, int64_t now_ms)
{
    if (!member->is_asked) {
        member->is_asked = true;
        member->shutdown_sequence = ++member->sequence;
    }
    bool is_restart = record->request.kind == COMRADE_REQUEST_RESTART;
    struct snapshot *read = is_restart ? &member->restart : &member->shutdown;
    member->asked = record->request.kind;
    member->has_told_shutdown = false;
    read->now_ms = now_ms;
    /* Who asked and why is told with the event; without memory it is told without them. */
    if (snapshot_add_record(read, record) != COMRADE_OK) {
        snapshot_finish(read);
    }
}

static void obey(struct member *member, const comrade_record *record, int64_t now_ms)
{
    member->request_revision = record->request.revision;
    /* Who has been told to come back may still be told to stay away. */
    bool is_news = !member->is_asked || (member->asked == COMRADE_REQUEST_RESTART &&
                                         record->request.kind == COMRADE_REQUEST_KILL);
    if (is_news && health_is_requested(record) && record->own.incarnation == member->incarnation) {
        ask_to_leave(member, record, now_ms);
        if (member->committed_sequence >= member->shutdown_sequence) {
            tell_shutdown(member);
        }
    }
    if (!member->is_zombified && record->request.zombified_incarnation == member->incarnation) {
        member->is_zombified = true;
        member->sequence++;
        member->events |= MEMBER_EVENT_ZOMBIFIED;
    }
}

static void end_fenced(struct member *member)
{
    member_end(member, COMRADE_FENCED);
    member->events |= MEMBER_EVENT_FENCED;
}

static void lose(struct member *member)
{
    if (!member->is_lost) {
        member->is_lost = true;
        member->events |= MEMBER_EVENT_LOST;
    }
    member->committed_sequence = 0;
}

void member_on_read(struct member *member, const comrade_record *record, int64_t now_ms,
                    bool is_owner_gone)
{
    if (member->phase == MEMBER_LOOKING) {
        look(member, record, now_ms, is_owner_gone);
        return;
    }
    if (member->phase != MEMBER_REGISTERED) {
        return;
    }
    member->must_read = false;
    if (record == NULL || record->own.incarnation < member->incarnation) {
        lose(member);
    } else if (record->own.incarnation > member->incarnation) {
        end_fenced(member);
    } else {
        obey(member, record, now_ms);
    }
}

void member_on_change(struct member *member)
{
    member->must_read = true;
    member->announced_by_ms = 0;
}

/* --- Writing and heartbeats ------------------------------------------------------------------- */

/* Once asked to leave or zombified it is not alive, whatever is reported afterwards. */
static comrade_own own_part(const struct member *member)
{
    comrade_own own = {
        .incarnation = member->incarnation,
        .sequence = member->sequence,
        .state = member->state,
        .is_alive = member->is_alive && !member->is_asked && !member->is_zombified,
        .is_available = member->is_available && !member->is_asked && !member->is_zombified,
        .created_ms = member->created_ms,
        .pid = member->pid,
        .host = member->host,
        .version = comrade_version(),
        .metadata = member->metadata,
        .details = member->details,
    };
    bool has_not_begun = own.state == COMRADE_STATE_STARTING || own.state == COMRADE_STATE_UP ||
                         own.state == COMRADE_STATE_UNHEALTHY;
    if (member->is_asked && has_not_begun) {
        own.state = COMRADE_STATE_DRAINING;
    }
    return own;
}

void member_write(struct member *member, int64_t monotonic_ms, comrade_write *write,
                  comrade_change *change, comrade_own *own)
{
    if (member->is_asked && member->shutdown_sent_ms == 0) {
        member->shutdown_sent_ms = monotonic_ms;
    }
    *own = own_part(member);
    *change = (comrade_change){
        .kind = COMRADE_PUT_OWN,
        .id = member->id,
        .own = own,
        .expect_incarnation =
            member->phase == MEMBER_CLAIMING ? member->expected_incarnation : COMRADE_ANYTHING,
        .expect_request_revision = COMRADE_ANYTHING,
        .expect_updated_ms = COMRADE_ANYTHING,
        .expect_spec_version = COMRADE_ANYTHING,
    };
    *write = (comrade_write){
        .role = member->role,
        .expect_revision = COMRADE_ANYTHING,
        .changes = change,
        .n_changes = 1,
    };
}

static void come_back(struct member *member)
{
    if (member->is_lost || member->is_troubled) {
        member->is_lost = false;
        member->is_troubled = false;
        member->events |= MEMBER_EVENT_RESTORED;
    }
}

static void commit(struct member *member, int64_t sequence)
{
    if (member->committed_sequence < sequence) {
        member->committed_sequence = sequence;
    }
    if (member->is_asked && member->committed_sequence >= member->shutdown_sequence) {
        tell_shutdown(member);
    }
    if (member->is_stopping && !is_dirty(member)) {
        member_end(member, COMRADE_CANCELED);
    }
}

/* Said once, and tried again. */
static void on_refused(struct member *member, comrade_status status)
{
    comrade_error error = {COMRADE_OK, ""};
    comrade_error_set(&error, status, "the record of \"%s\" was not written: %s", member->id,
                      comrade_status_text(status));
    member_on_failed(member, &error);
}

static void on_claimed(struct member *member, int64_t sequence, const comrade_write_result *result)
{
    switch (result->status) {
    case COMRADE_OK:
        break;
    case COMRADE_CONFLICT:
    case COMRADE_GONE:
    case COMRADE_FENCED:
        member->phase = MEMBER_LOOKING; /* somebody was faster: look again */
        return;
    default:
        member->phase = MEMBER_LOOKING;
        on_refused(member, result->status);
        return;
    }
    member->open_claim = 0;
    member->created_ms = result->now_ms;
    member->phase = MEMBER_REGISTERED;
    member->is_troubled = false;
    member->events |= MEMBER_EVENT_REGISTERED;
    commit(member, sequence);
}

void member_on_written(struct member *member, int64_t sequence, const comrade_write_result *result)
{
    if (member->phase == MEMBER_CLAIMING) {
        on_claimed(member, sequence, result);
        return;
    }
    if (member->phase != MEMBER_REGISTERED) {
        return;
    }
    switch (result->status) {
    case COMRADE_OK:
        come_back(member);
        commit(member, sequence);
        break;
    case COMRADE_FENCED:
        end_fenced(member);
        break;
    default:
        on_refused(member, result->status);
        break;
    }
}

/* What was announced is to be read already. */
static void compare_requests(struct member *member, int64_t request_revision,
                             int64_t announced_by_ms)
{
    bool is_news = request_revision != member->request_revision;
    if (is_news && !member->must_read && member->announced_by_ms == 0) {
        member->announced_by_ms = announced_by_ms;
    }
    member->must_read |= is_news;
}

void member_on_beat(struct member *member, const comrade_beat_result *result,
                    int64_t announced_by_ms)
{
    if (member->phase != MEMBER_REGISTERED) {
        return;
    }
    switch (result->status) {
    case COMRADE_FENCED:
        end_fenced(member);
        return;
    case COMRADE_GONE:
        lose(member);
        return;
    default:
        break;
    }
    if (result->own_sequence > member->sequence) {
        member->sequence = result->own_sequence + 1; /* what we say must be the later */
    }
    if (result->own_sequence < member->committed_sequence) {
        lose(member); /* an old backup: its own part is not ours of now */
        return;
    }
    compare_requests(member, result->request_revision, announced_by_ms);
    if (!is_dirty(member)) {
        come_back(member); /* else it is the write that must succeed */
    }
}

void member_on_failed(struct member *member, const comrade_error *error)
{
    if (member->phase == MEMBER_CLAIMING) {
        member->phase = MEMBER_LOOKING; /* the claim may have been applied */
        member->open_claim = member->open_claim == 0 ? member->incarnation : member->open_claim;
    }
    if (!member->is_troubled && member->phase != MEMBER_ENDED) {
        member->error = *error;
        member->is_troubled = true;
        member->events |= MEMBER_EVENT_ERROR;
    }
}

static int64_t shutdown_due_ms(const struct member *member)
{
    bool is_waiting = member->phase == MEMBER_REGISTERED && member->is_asked &&
                      !member->has_told_shutdown && member->shutdown_sent_ms != 0;
    return is_waiting ? member->shutdown_sent_ms + MEMBER_SHUTDOWN_PATIENCE_MS : INT64_MAX;
}

void member_on_time(struct member *member, int64_t monotonic_ms)
{
    if (monotonic_ms >= shutdown_due_ms(member)) {
        tell_shutdown(member);
    }
}

static int64_t announcement_due_ms(const struct member *member)
{
    bool is_waiting = member->phase == MEMBER_REGISTERED && member->announced_by_ms != 0;
    return is_waiting ? member->announced_by_ms : INT64_MAX;
}

bool member_take_unannounced(struct member *member, int64_t monotonic_ms)
{
    bool is_overdue = monotonic_ms >= announcement_due_ms(member);
    member->announced_by_ms = is_overdue ? 0 : member->announced_by_ms;
    return is_overdue;
}

int64_t member_next_time(const struct member *member)
{
    int64_t shutdown_ms = shutdown_due_ms(member);
    int64_t announcement_ms = announcement_due_ms(member);
    return shutdown_ms < announcement_ms ? shutdown_ms : announcement_ms;
}
