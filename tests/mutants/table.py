"""The mutants: one way each to break the code, and the case that must notice.

To add one: a row. `old` stands exactly once in `file`; `case` is the cmocka case of `executable`
(FOLDER_FILE, see tests/CMakeLists.txt) that fails because of it, and for that reason.
"""
from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    name: str
    breaks: str  # which promise or rule, in words
    file: str
    old: str
    new: str
    executable: str
    case: str


OPERATION = "unit_operation_test"
CLUSTER = "cluster_cluster_test"
MEMBER = "unit_member_test"
SQLITE = "contract_sqlite_test"
SIMULATION = "sim_sim_test"
PROMISES = "the_promises_hold_after_every_step"
LIFECYCLE = "unit_lifecycle_test"

MUTANTS = (
    # --- The budget ---
    Mutant("the-crashed-are-counted", "only fresh heartbeats count as available",
           "src/core/health.c",
           "health_is_fresh(record, now_ms, HEALTH_FRESH_MS - 2 * call_timeout_ms);",
           "(now_ms + call_timeout_ms) != 0;",
           OPERATION, "the_crashed_are_not_counted"),
    Mutant("a-heartbeat-counts-for-all-of-its-minute",
           "the budget trusts a heartbeat two deadlines less, for the time a decision takes",
           "src/core/health.c", "HEALTH_FRESH_MS - 2 * call_timeout_ms", "HEALTH_FRESH_MS",
           OPERATION, "the_budget_trusts_a_heartbeat_two_deadlines_less"),
    Mutant("the-future-is-fresh", "a heartbeat from the future is not fresh",
           "src/core/health.c",
           "return record->updated_ms <= now_ms && now_ms - record->updated_ms < limit_ms;",
           "return now_ms - record->updated_ms < limit_ms;",
           OPERATION, "a_heartbeat_from_the_future_is_not_fresh"),
    Mutant("the-asked-are-counted", "who has been asked to leave is not available",
           "src/core/health.c",
           "return health_is_alive(record) && !health_is_requested(record) && ",
           "return health_is_alive(record) && ",
           OPERATION, "a_member_that_is_asked_already_does_not_count"),
    Mutant("the-revision-is-not-checked", "two administrators cannot spend the same budget",
           "src/core/operation_requests.c",
           "return request_of(operation, victim, true, role_revision(operation));",
           "return request_of(operation, victim, true, COMRADE_ANYTHING);",
           OPERATION, "kill_oldest_names_the_revision_it_saw"),
    Mutant("a-client-lowers-the-minimum", "the role spec's minimum holds for everybody",
           "src/core/budget.c",
           "budget.spec_minimum > client_minimum ? budget.spec_minimum : client_minimum",
           "client_minimum != SPEC_UNSET ? client_minimum : budget.spec_minimum",
           OPERATION, "a_client_minimum_can_raise_but_not_lower"),
    Mutant("no-minimum-is-implied", "kill-oldest keeps one where nobody set a minimum",
           "src/core/operation_requests.c", "IMPLIED_MINIMUM = 1", "IMPLIED_MINIMUM = 0",
           OPERATION, "without_a_minimum_kill_oldest_keeps_one"),

    # --- Whom, and how often ---
    Mutant("the-incarnation-is-not-compared", "a request is for one incarnation alone",
           "src/core/health.c",
           "record->request.kind != COMRADE_REQUEST_NONE &&\n"
           "           record->request.incarnation == record->own.incarnation;",
           "record->request.kind != COMRADE_REQUEST_NONE;",
           OPERATION, "a_request_for_an_earlier_incarnation_means_nothing"),
    Mutant("ties-are-decided-at-random", "two callers choose the same victim",
           "src/core/operation_requests.c", "strcmp(record->id, found->id) < 0",
           "strcmp(record->id, found->id) > 0",
           OPERATION, "equal_ages_are_decided_by_id"),
    Mutant("the-silent-are-killed", "a request goes to somebody who can hear it",
           "src/core/operation_requests.c",
           "(!is_silent || operation->query.healthy == COMRADE_NO)",
           "(!is_silent || operation->query.healthy != COMRADE_YES)",
           OPERATION, "a_silent_member_is_no_victim"),
    Mutant("a-second-kill-moves-the-first", "asking again leaves the first request as it is",
           "src/core/operation_requests.c",
           "    if (health_is_requested(victim)) {\n        return end_with(operation, victim);",
           "    if (victim->id[0] == 0) {\n        return end_with(operation, victim);",
           OPERATION, "a_second_kill_leaves_the_first_request_as_it_is"),
    Mutant("a-lost-answer-is-simply-repeated", "a write whose answer was lost is made final first",
           "src/core/operation.c",
           "    operation->is_finalising = true;\n    return operation_write(operation, NULL,"
           " role == NULL ? 0 : role->revision);",
           "    operation->is_settling = false;\n    return rows[operation->kind].decide(operation);",
           OPERATION, "a_lost_answer_is_made_final_before_it_is_tried_again"),
    Mutant("conflicts-are-retried-for-ever", "every retry has a limit",
           "src/core/operation.c", "operation->n_conflicts++ >= CONFLICTS_MAX",
           "operation->n_conflicts++ < 0",
           OPERATION, "a_conflict_is_looked_at_again_and_ends_busy"),
    Mutant("clear-stale-does-not-wait", "after an outage everybody looks stale",
           "src/core/operation_clear.c", "operation->n_probes < PROBES",
           "operation->n_probes > PROBES",
           OPERATION, "clear_stale_waits_one_interval_and_names_what_it_saw"),
    Mutant("clear-stale-deletes-whoever-came-back", "a member that came back survives",
           "src/core/operation_clear.c",
           "noted == NULL || noted->updated_ms != record->updated_ms ||\n"
           "            !is_clearable(operation, record)", "noted == NULL",
           OPERATION, "clear_stale_waits_one_interval_and_names_what_it_saw"),

    # --- The member ---
    Mutant("shutdown-before-it-is-committed", "alive:false is committed before shutdown is told",
           "src/core/member.c",
           "member->is_asked && member->committed_sequence >= member->shutdown_sequence",
           "member->is_asked && member->committed_sequence != member->shutdown_sequence",
           MEMBER, "shutdown_is_told_once_alive_false_is_committed"),
    Mutant("shutdown-is-told-again", "shutdown arrives once",
           "src/core/member.c", "        member->has_told_shutdown = true;\n", "",
           MEMBER, "shutdown_is_told_once_for_an_incarnation"),
    Mutant("a-silent-store-hides-a-kill", "shutdown is told five seconds after it was first sent",
           "src/core/member.c",
           "member->shutdown_sent_ms + MEMBER_SHUTDOWN_PATIENCE_MS : INT64_MAX", "INT64_MAX : INT64_MAX",
           MEMBER, "a_store_that_does_not_answer_delays_shutdown_by_five_seconds"),
    Mutant("a-heartbeat-does-not-look-at-requests", "a lost push is made up for by a heartbeat",
           "src/core/member.c",
           "    member->must_read |= result->request_revision != member->request_revision;\n", "",
           MEMBER, "a_heartbeat_that_reveals_a_request_has_it_read"),
    Mutant("an-earlier-incarnation-s-kill-is-obeyed", "a request is for one incarnation alone",
           "src/core/member.c", "if (!member->is_asked && health_is_requested(record) &&",
           "if (!member->is_asked && record->request.kind != COMRADE_REQUEST_NONE &&",
           MEMBER, "a_request_for_an_earlier_incarnation_is_not_heard"),
    Mutant("a-report-brings-it-back", "whoever was asked to leave stays off the list",
           "src/core/member.c",
           ".is_alive = member->is_alive && !member->is_asked && !member->is_zombified,",
           ".is_alive = member->is_alive && !member->is_zombified,",
           MEMBER, "no_report_brings_back_who_was_asked_to_leave"),
    Mutant("the-deleted-stay-away", "a running member is back, whole, after a wipe",
           "src/core/member.c", "    member->committed_sequence = 0;\n", "",
           MEMBER, "a_deleted_record_is_written_again_whole"),
    Mutant("an-old-backup-is-believed", "a store restored from a backup is put right",
           "src/core/member.c", "result->own_sequence < member->committed_sequence",
           "result->own_sequence < 0",
           MEMBER, "an_old_backup_is_put_right"),
    Mutant("the-fenced-fight", "a member that finds itself fenced gives way",
           "src/core/member.c",
           "    case COMRADE_FENCED:\n        end_fenced(member);\n        return;\n", "",
           MEMBER, "the_fenced_do_not_fight"),
    Mutant("incarnations-go-back", "an incarnation is later than the one before",
           "src/core/member.c", "stored >= now_ms ? stored + 1 : now_ms", "now_ms",
           MEMBER, "the_incarnation_is_later_than_the_stored_one_and_the_clock"),
    Mutant("whoever-comes-takes-the-id", "an id that is running elsewhere is refused",
           "src/core/member.c", "        return !is_own;", "        return is_own;",
           MEMBER, "only_a_dead_owner_loses_its_id"),
    Mutant("the-namespace-is-ignored", "another namespace is another world",
           "src/cluster/worker.c", ".name_space = cluster->name_space,", '.name_space = "",',
           CLUSTER, "another_namespace_is_another_world"),

    # --- The embedded store ---
    Mutant("sqlite-s-heartbeat-erases-a-request", "a heartbeat never erases a request",
           "src/store/sqlite/internal.h", "UPDATE heartbeat SET updated = ?2 WHERE key = ?1",
           "UPDATE heartbeat SET updated = ?2, request_revision = 0 WHERE key = ?1",
           SQLITE, "a_heartbeat_erases_no_request_and_bumps_no_revision"),
    Mutant("sqlite-does-not-compare-revisions", "the budget holds, however many act at once",
           "src/store/sqlite/write.c",
           "*verdict = expects(write->expect_revision, role->revision) ? COMRADE_OK : COMRADE_CONFLICT;",
           "*verdict = COMRADE_OK;",
           SQLITE, "a_write_that_expects_another_revision_is_a_conflict"),
    Mutant("sqlite-deletes-who-came-back", "a delete needs the heartbeat that was seen",
           "src/store/sqlite/write.c",
           "!expects(change->expect_updated_ms, stored->updated_ms)", "stored->updated_ms < 0",
           SQLITE, "a_delete_needs_the_heartbeat_that_was_seen"),
    Mutant("sqlite-believes-old-heads", "a heartbeat tells what others wrote in between",
           "src/store/sqlite/heartbeat.c",
           "return a->sequence == b->sequence && a->written_ms == b->written_ms;",
           "return a->sequence >= b->sequence;",
           SQLITE, "heartbeats_notice_what_others_wrote_in_between"),
    Mutant("sqlite-fences-nobody", "of two processes with one id the earlier gives way",
           "src/store/sqlite/heartbeat.c",
           "heads->incarnation > beat->incarnation ? COMRADE_FENCED",
           "heads->incarnation > beat->incarnation ? COMRADE_OK",
           SQLITE, "a_heartbeat_says_gone_or_fenced"),

    # --- Seen from outside: many members, administrators and faults, checked after every step ---
    Mutant("a-heartbeat-erases-a-request", "a heartbeat never erases a request", "src/store/memory/memory.c",
           "            entry->record.updated_ms = summary->now_ms;\n",
           "            entry->record.updated_ms = summary->now_ms;\n"
           "            entry->record.request.kind = COMRADE_REQUEST_NONE;\n",
           SIMULATION, PROMISES),
    Mutant("the-store-does-not-compare-revisions", "the budget holds, however many act at once",
           "src/store/memory/memory_data.c",
           "if (!expects(write->expect_revision, stored == NULL ? 0 : stored->revision)) {",
           "if (data == NULL) {",
           SIMULATION, PROMISES),
    Mutant("the-deleted-stay-away-from-the-list", "the store may lose a running member, and gets it back", "src/core/member.c",
           "    member->committed_sequence = 0;\n", "",
           SIMULATION, PROMISES),
    Mutant("a-dead-life-s-kill-is-obeyed", "a kill never reaches a later life of the same id", "src/core/health.c",
           "record->request.kind != COMRADE_REQUEST_NONE &&\n"
           "           record->request.incarnation == record->own.incarnation;",
           "record->request.kind != COMRADE_REQUEST_NONE;",
           SIMULATION, PROMISES),

    # --- The lifecycle of a process ---
    Mutant("alive-false-after-term", "gone from the list before it is told to stop",
           "src/core/lifecycle.c",
           "    ROW(UP, BIT(LEAVE) | BIT(HURRY), ANY, WITHDRAWING, WITHDRAW, REPORT,",
           "    ROW(UP, BIT(LEAVE) | BIT(HURRY), ANY, WITHDRAWING, WITHDRAW, REPORT | TERM_GROUP,",
           LIFECYCLE, "it_is_gone_from_the_list_before_it_is_told_to_stop"),
    Mutant("a-silent-store-keeps-it-for-ever", "the store is waited for five seconds and no more",
           "src/core/lifecycle.c",
           "ROW(WITHDRAWING, BIT(TIMER), ANY, DRAINING, DRAIN, 0,",
           "ROW(WITHDRAWING, BIT(TIMER), ANY, WITHDRAWING, WITHDRAW, 0,",
           LIFECYCLE, "a_silent_store_is_waited_for_five_seconds"),
    Mutant("a-time-out-is-a-success", "not ready in time is a failed start",
           "src/core/lifecycle.c", "bool is_late = row->state == LIFECYCLE_STARTING &&",
           "bool is_late = row->state == LIFECYCLE_STOPPED &&",
           LIFECYCLE, "not_ready_in_time_is_a_failed_start"),
    Mutant("ready-is-counted-at-once", "listed at once, counted after min-healthy-time",
           "src/core/lifecycle.c",
           "{COMRADE_STATE_UP, true, lifecycle->is_available}", "{COMRADE_STATE_UP, true, true}",
           LIFECYCLE, "ready_is_listed_at_once_and_counted_later"),
    Mutant("restarts-do-not-back-off", "a process that fails again and again is started ever later",
           "src/core/lifecycle.c", "        lifecycle->backoff_step++;", "        ;",
           LIFECYCLE, "restarts_back_off_to_a_minute"),

    # --- Text ---
    Mutant("control-characters-pass", "bad input never reaches a terminal unescaped",
           "src/base/text.c", "return rune < 0x20 ||", "return rune < 0x01 ||",
           "unit_text_test", "a_terminal_escape_is_shown_escaped"),
)
