/*
 * Heartbeats: one statement, one round trip, one version of a narrow row each, in the order of the
 * ids. A crash of the server may lose the last of them, and nobody would notice: so the commit does
 * not wait for the disk.
 */
#include "store/postgres/internal.h"

#include <string.h>

enum { PARAMETER_LIMIT = 16 * 1024 * 1024, TRIES_MAX = 3 };

/*
 * A row a beat that was written: its number, and the heads. Those whose update found nothing are
 * looked up, if there are any, for a later incarnation; they have no heads. One of the beat's own
 * incarnation, which was not written nevertheless, is gone for this login: it is another's, or was
 * changed at this very moment.
 */
static const char beat_sql[] =
    "WITH here AS MATERIALIZED (SELECT c.id, c.specs_revision, " POSTGRES_BEGAN_MS " AS now_ms,"
    "    set_config('synchronous_commit', 'off', true)"
    "  FROM comrade.cluster c WHERE c.namespace = $1 AND c.kind = $2),"
    " beat AS (UPDATE comrade.heartbeat h SET updated = here.now_ms"
    "  FROM here, unnest($3::text[], $4::bigint[]) WITH ORDINALITY AS b(id, incarnation, n)"
    "  WHERE h.cluster = here.id AND h.id = b.id AND h.incarnation = b.incarnation"
    "  RETURNING b.n, h.own_sequence, h.request_revision)"
    " SELECT n, own_sequence, request_revision FROM beat"
    " UNION ALL"
    " SELECT b.n, NULL, NULL"
    "  FROM unnest($3::text[], $4::bigint[]) WITH ORDINALITY AS b(id, incarnation, n)"
    "  JOIN comrade.heartbeat h"
    "    ON h.cluster = (SELECT here.id FROM here) AND h.id = b.id"
    "  WHERE (SELECT count(*) FROM beat) < cardinality($3::text[])"
    "    AND b.n NOT IN (SELECT beat.n FROM beat) AND h.incarnation > b.incarnation";

/* What the batch as a whole is told; in the same transaction, and so with the same time. */
static const char summary_sql[] =
    "SELECT coalesce((SELECT c.specs_revision FROM comrade.cluster c"
    "  WHERE c.namespace = $1 AND c.kind = $2), 1), " POSTGRES_BEGAN_MS;

static void read_beat(const PGresult *rows, int row, size_t n_beats, comrade_beat_result *results)
{
    size_t n = (size_t)result_number(rows, row, 0) - 1;
    if (n >= n_beats) {
        return;
    }
    if (PQgetisnull(rows, row, 1) != 0) {
        results[n].status = COMRADE_FENCED;
    } else {
        results[n] = (comrade_beat_result){.status = COMRADE_OK,
                                           .own_sequence = result_number(rows, row, 1),
                                           .request_revision = result_number(rows, row, 2)};
    }
}

static void read_answers(const struct answers *answers, size_t n_beats,
                         comrade_beat_result *results, comrade_beat_summary *summary)
{
    const PGresult *rows = answers->results[0];
    const PGresult *whole = answers->results[1];
    for (size_t i = 0; i < n_beats; i++) {
        results[i] = (comrade_beat_result){.status = COMRADE_GONE};
    }
    for (int row = 0; row < PQntuples(rows); row++) {
        read_beat(rows, row, n_beats, results);
    }
    *summary = (comrade_beat_summary){
        .specs_revision = result_number(whole, 0, 0),
        .now_ms = result_number(whole, 0, 1),
    };
}

comrade_status postgres_heartbeat(comrade_store *store, const comrade_call *call,
                                  const comrade_beat *beats, size_t n_beats,
                                  comrade_beat_result *results, comrade_beat_summary *summary,
                                  comrade_error *error)
{
    struct buffer ids, incarnations;
    buffer_init(&ids, PARAMETER_LIMIT);
    buffer_init(&incarnations, PARAMETER_LIMIT);
    for (size_t i = 0; i < n_beats; i++) {
        array_append_text(&ids, beats[i].id);
        array_append_number(&incarnations, beats[i].incarnation);
    }
    array_end(&ids);
    array_end(&incarnations);
    const struct statement statements[] = {
        {beat_sql,
         4,
         {store->name_space, store->kind, buffer_text(&ids), buffer_text(&incarnations)}},
        {summary_sql, 2, {store->name_space, store->kind}},
    };
    comrade_status status =
        ids.is_failed || incarnations.is_failed
            ? comrade_error_set(error, COMRADE_NO_MEMORY, "%s: heartbeat: out of memory",
                                store->shown_url)
            : COMRADE_OK;
    bool must_try = status == COMRADE_OK;
    for (int i = 0; i < TRIES_MAX && must_try; i++) {
        struct answers answers = {0};
        status = postgres_use(store, call, error);
        if (status == COMRADE_OK) {
            status = postgres_exchange(store, call, "heartbeat", statements, 2, &answers, error);
        }
        if (status == COMRADE_OK) {
            read_answers(&answers, n_beats, results, summary);
        }
        bool is_schema = sql_state_is_schema(answers.sql_state);
        store->is_schema_known = store->is_schema_known && !is_schema;
        must_try = is_schema || sql_state_is_collision(answers.sql_state);
        answers_finish(&answers);
    }
    buffer_finish(&ids);
    buffer_finish(&incarnations);
    return status;
}
