/* The second round trip of a batch: its rows, its announcement and the commit, all at once. */
#include "store/postgres/write.h"

#include <stdlib.h>
#include <string.h>

static const char roles_sql[] =
    "UPDATE comrade.role r SET revision = p.revision, recent = p.recent"
    " FROM json_to_recordset($3::json) AS p(role text, revision bigint, recent text)"
    " WHERE r.cluster = " POSTGRES_CLUSTER " AND r.role = p.role";
#define OWN_ROWS                                                                                   \
    " FROM json_to_recordset($3::json) AS p(id text, role text, incarnation bigint,"               \
    " sequence bigint, state text, is_alive boolean, is_available boolean, created bigint,"        \
    " pid bigint, host text, version text, metadata text, details text, updated bigint,"           \
    " request_revision bigint)"
#define INSERT_OWN                                                                                 \
    "INSERT INTO comrade.member AS m (cluster, id, role, incarnation, sequence, state, is_alive,"  \
    " is_available, created, pid, host, version, metadata, details)"                               \
    " SELECT " POSTGRES_CLUSTER ", p.id, p.role, p.incarnation, p.sequence, p.state, p.is_alive,"  \
    " p.is_available, p.created, p.pid, p.host, p.version, p.metadata, p.details" OWN_ROWS
/* One that was not there must not be there now: another role's lock does not keep it away. */
static const char new_own_sql[] = INSERT_OWN " ORDER BY p.id";
/* One that was there is; another login's is denied here, where an UPDATE would pass it over. */
static const char own_sql[] = INSERT_OWN
    " ORDER BY p.id ON CONFLICT (cluster, id) DO UPDATE SET role = excluded.role,"
    " incarnation = excluded.incarnation, sequence = excluded.sequence, state = excluded.state,"
    " is_alive = excluded.is_alive, is_available = excluded.is_available,"
    " created = excluded.created, pid = excluded.pid, host = excluded.host,"
    " version = excluded.version, metadata = excluded.metadata, details = excluded.details";
/* A new incarnation is a heartbeat too. */
static const char own_heads_sql[] =
    "INSERT INTO comrade.heartbeat AS h (cluster, id, updated, incarnation, own_sequence,"
    " request_revision)"
    " SELECT " POSTGRES_CLUSTER
    ", p.id, p.updated, p.incarnation, p.sequence, p.request_revision" OWN_ROWS
    " ORDER BY p.id ON CONFLICT (cluster, id) DO UPDATE SET incarnation = excluded.incarnation,"
    " own_sequence = excluded.own_sequence,"
    " updated = CASE WHEN h.incarnation = excluded.incarnation THEN h.updated"
    "  ELSE excluded.updated END";
static const char requests_sql[] =
    "UPDATE comrade.member m SET request_revision = p.revision, request_kind = p.kind,"
    " request_incarnation = p.incarnation, zombified_incarnation = p.zombified,"
    " requested = p.requested, request_id = p.request_id, request_user = p.by,"
    " request_host = p.host, request_database_user = session_user, request_reason = p.reason"
    " FROM json_to_recordset($3::json) AS p(id text, revision bigint, kind integer,"
    " incarnation bigint, zombified bigint, requested bigint, request_id text, by text,"
    " host text, reason text)"
    " WHERE m.cluster = " POSTGRES_CLUSTER " AND m.id = p.id";
static const char request_heads_sql[] =
    "UPDATE comrade.heartbeat h SET request_revision = p.revision"
    " FROM json_to_recordset($3::json) AS p(id text, revision bigint)"
    " WHERE h.cluster = " POSTGRES_CLUSTER " AND h.id = p.id";
static const char delete_heartbeats_sql[] =
    "DELETE FROM comrade.heartbeat h WHERE h.cluster = " POSTGRES_CLUSTER
    " AND h.id IN (SELECT json_array_elements_text($3::json))";
static const char delete_members_sql[] =
    "DELETE FROM comrade.member m WHERE m.cluster = " POSTGRES_CLUSTER
    " AND m.id IN (SELECT json_array_elements_text($3::json))";
#define SPEC_ROWS                                                                                  \
    " FROM json_to_recordset($3::json) AS p(role text, spec_version bigint, spec text)"
static const char new_specs_sql[] =
    "INSERT INTO comrade.role_spec (cluster, role, spec_version, spec)"
    " SELECT " POSTGRES_CLUSTER ", p.role, p.spec_version, p.spec" SPEC_ROWS;
static const char specs_sql[] =
    "UPDATE comrade.role_spec s SET spec_version = p.spec_version, spec = p.spec" SPEC_ROWS
    " WHERE s.cluster = " POSTGRES_CLUSTER " AND s.role = p.role";
static const char specs_revision_sql[] =
    "UPDATE comrade.cluster c SET specs_revision = greatest("
    " CASE WHEN c.specs_revision < 4611686018427387904 THEN c.specs_revision + 1 ELSE 0 END,"
    " (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)"
    " WHERE c.namespace = $1 AND c.kind = $2";
static const char announce_sql[] =
    "SELECT pg_notify('" POSTGRES_CHANNEL "', n) FROM json_array_elements_text($1::json) AS n";

/* Once full, the queue stays so, though all have read it: who asks how full it is frees it. */
static const char free_queue_sql[] = "SELECT pg_notification_queue_usage()";

enum { TEXTS_MAX = 8, NOTES_MAX = 500 };

struct plan {
    struct batch *batch;
    struct statement statements[POSTGRES_STATEMENTS_MAX];
    size_t n_statements;
    char *texts[TEXTS_MAX]; /* of the rows */
    size_t n_texts;
    bool is_failed; /* out of memory */
};

static const char *text_of(struct plan *plan, const json_t *rows)
{
    char *text = json_dumps(rows, JSON_COMPACT);
    plan->is_failed = plan->is_failed || text == NULL;
    plan->texts[plan->n_texts++] = text;
    return text;
}

/* One statement, or two that write the same rows, if there are any. */
static void add_rows(struct plan *plan, const json_t *rows, const char *sql, const char *second_sql)
{
    if (json_array_size(rows) == 0) {
        return;
    }
    const comrade_store *store = plan->batch->store;
    const char *text = text_of(plan, rows);
    plan->statements[plan->n_statements++] =
        (struct statement){sql, 3, {store->name_space, store->kind, text}};
    if (second_sql != NULL) {
        plan->statements[plan->n_statements++] =
            (struct statement){second_sql, 3, {store->name_space, store->kind, text}};
    }
}

/* So many that the queue would suffer: "look at everything" says it too. */
static void shorten_notes(struct plan *plan)
{
    json_t *notes = plan->batch->changes.notes;
    if (json_array_size(notes) <= NOTES_MAX) {
        return;
    }
    char *payload = postgres_payload(plan->batch->store, NULL, NULL);
    plan->is_failed = plan->is_failed || payload == NULL || json_array_clear(notes) != 0 ||
                      json_array_append_new(notes, json_string(payload)) != 0;
    free(payload);
}

static void make_plan(struct plan *plan, bool must_announce)
{
    const struct changes *changes = &plan->batch->changes;
    const comrade_store *store = plan->batch->store;
    add_rows(plan, changes->roles, roles_sql, NULL);
    add_rows(plan, changes->new_own, new_own_sql, own_heads_sql);
    add_rows(plan, changes->own, own_sql, own_heads_sql);
    add_rows(plan, changes->requests, requests_sql, request_heads_sql);
    add_rows(plan, changes->deletions, delete_heartbeats_sql, delete_members_sql);
    add_rows(plan, changes->new_specs, new_specs_sql, NULL);
    add_rows(plan, changes->specs, specs_sql, NULL);
    if (json_array_size(changes->new_specs) + json_array_size(changes->specs) > 0) {
        plan->statements[plan->n_statements++] =
            (struct statement){specs_revision_sql, 2, {store->name_space, store->kind}};
    }
    shorten_notes(plan);
    if (must_announce && json_array_size(changes->notes) > 0) {
        const char *text = text_of(plan, changes->notes);
        plan->statements[plan->n_statements++] = (struct statement){announce_sql, 1, {text}};
    } else if (!must_announce) {
        plan->statements[plan->n_statements++] = (struct statement){.sql = free_queue_sql};
    }
}

comrade_status batch_apply(struct batch *batch, const comrade_call *call, bool must_announce,
                           bool *is_unknown, char sql_state[6], comrade_error *error)
{
    comrade_store *store = batch->store;
    struct plan plan = {.batch = batch};
    struct answers answers = {0};
    comrade_status status;
    make_plan(&plan, must_announce);
    if (plan.is_failed) {
        status = comrade_error_set(error, COMRADE_NO_MEMORY, "%s: write: out of memory",
                                   store->shown_url);
    } else {
        status = postgres_exchange(store, call, "write", TRANSACTION_END, plan.statements,
                                   plan.n_statements, &answers, error);
        *is_unknown = status != COMRADE_OK && answers.is_cut_off;
        memcpy(sql_state, answers.sql_state, sizeof answers.sql_state);
    }
    answers_finish(&answers);
    for (size_t i = 0; i < plan.n_texts; i++) {
        free(plan.texts[i]);
    }
    return status;
}
