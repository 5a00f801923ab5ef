/* What this database does not promise, as it is configured, and what its owner should know. */
#include "store/postgres/internal.h"

#include <string.h>

/* A row a finding: is it a problem, and what to say. To add one: a SELECT. */
static const char findings_sql[] =
    "SELECT current_setting('fsync') = 'off', CASE current_setting('fsync') WHEN 'off'"
    "  THEN 'fsync is off: a crash of the server can lose what was acknowledged, or all of it'"
    "  ELSE 'fsync is on: what is acknowledged outlives a crash' END"
    " UNION ALL SELECT current_setting('synchronous_commit') = 'off',"
    "  CASE current_setting('synchronous_commit') WHEN 'off'"
    "  THEN 'synchronous_commit is off: a crash can lose the requests of the last second'"
    "  ELSE 'synchronous_commit is ' || current_setting('synchronous_commit') END"
    " UNION ALL SELECT pg_is_in_recovery(), CASE WHEN pg_is_in_recovery()"
    "  THEN 'this is a standby, which can only be read: name all hosts in the URL, with "
    "target_session_attrs=read-write'"
    "  ELSE 'this server takes writes' END"
    " UNION ALL SELECT false, CASE current_setting('synchronous_standby_names') WHEN ''"
    "  THEN 'no synchronous standby is named: a failover to an asynchronous one can lose the "
    "last requests; members register again by themselves'"
    "  ELSE 'synchronous standbys: ' || current_setting('synchronous_standby_names') END"
    " UNION ALL SELECT current_setting('server_version_num')::int < 130000,"
    "  'server version ' || current_setting('server_version') ||"
    "  CASE WHEN current_setting('server_version_num')::int < 130000"
    "  THEN ': 13 is the oldest that is supported' ELSE '' END"
    " UNION ALL SELECT current_setting('server_encoding') <> 'UTF8',"
    "  'encoding ' || current_setting('server_encoding') || CASE current_setting('server_encoding')"
    "  WHEN 'UTF8' THEN '' ELSE ': ids and texts may have characters that it cannot store' END"
    " UNION ALL SELECT n.used * 10 > n.allowed * 9,"
    "  n.used || ' of ' || n.allowed || ' connections are in use (each agent and program needs "
    "one)'"
    "  FROM (SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')"
    "    AS used, current_setting('max_connections')::int AS allowed) AS n"
    " UNION ALL SELECT q.used > 0.5, 'the queue of notifications is ' || "
    "round((q.used * 100)::numeric)"
    "  || ' % full' || CASE WHEN q.used > 0.5"
    "  THEN ': look for a session that listens and has had a transaction open for long; requests"
    " come with the heartbeat once it is full' ELSE '' END"
    "  FROM (SELECT pg_notification_queue_usage() AS used) AS q"
    " UNION ALL SELECT false, CASE WHEN relrowsecurity"
    "  THEN 'rights: the groups comrade_reader, comrade_member and comrade_admin are set up'"
    "  ELSE 'rights: only the owner of the schema can use it (comrade store init sets up groups)' "
    "END"
    "  FROM pg_class WHERE oid = 'comrade.member'::regclass"
    " UNION ALL SELECT false, 'this login (' || session_user || ') may read' ||"
    "  CASE WHEN has_column_privilege('comrade.member', 'incarnation', 'INSERT')"
    "   THEN ', register members' ELSE ', not register members' END ||"
    "  CASE WHEN has_column_privilege('comrade.member', 'request_kind', 'UPDATE')"
    "   THEN ', kill' ELSE ', not kill' END ||"
    "  CASE WHEN has_column_privilege('comrade.role_spec', 'spec', 'UPDATE')"
    "   THEN ', set minimums' ELSE ', not set minimums' END"
    /* A share of updates that moved a row out of its page tells of a transaction that never ends.
     */
    " UNION ALL SELECT n_tup_upd > 1000 AND n_tup_hot_upd * 10 < n_tup_upd * 9,"
    "  round(100.0 * n_tup_hot_upd / greatest(n_tup_upd, 1)) || ' % of ' || n_tup_upd ||"
    "  ' heartbeats stayed in their page' || CASE WHEN n_tup_hot_upd * 10 < n_tup_upd * 9"
    "  THEN ': look for a transaction that has been open for long' ELSE '' END"
    "  FROM pg_stat_all_tables WHERE relid = 'comrade.heartbeat'::regclass AND n_tup_upd > 0";

/* Where nobody watches, it begins to, and leaves no trace of it. */
static void check_push(comrade_store *store, const comrade_call *call,
                       void (*on_finding)(void *user, bool is_problem, const char *text),
                       void *user)
{
    comrade_error why = {0};
    bool is_watched = store->watch_fd >= 0;
    bool can_push = is_watched ? store->is_listening : postgres_watch(store, call, &why) >= 0;
    if (is_watched && !can_push) {
        comrade_error_set(&why, COMRADE_UNAVAILABLE,
                          "push: listening has just ended, and will be begun again");
    }
    if (!is_watched) {
        postgres_drop(store);
        postgres_unwatch(store);
    }
    on_finding(user, !can_push,
               can_push ? "push: a notification to itself came back" : why.message);
}

comrade_status postgres_check(comrade_store *store, const comrade_call *call,
                              void (*on_finding)(void *user, bool is_problem, const char *text),
                              void *user, comrade_error *error)
{
    static const struct statement findings = {.sql = findings_sql};
    struct answers answers = {0};
    comrade_status status = postgres_use(store, call, error);
    if (status == COMRADE_OK) {
        status = postgres_exchange(store, call, "check", TRANSACTION_READ, &findings, 1, &answers,
                                   error);
    }
    for (int i = 0; status == COMRADE_OK && i < PQntuples(answers.results[0]); i++) {
        on_finding(user, result_is_true(answers.results[0], i, 0),
                   result_text(answers.results[0], i, 1));
    }
    answers_finish(&answers);
    if (status != COMRADE_OK) {
        return status;
    }
    check_push(store, call, on_finding, user);
    return COMRADE_OK;
}
