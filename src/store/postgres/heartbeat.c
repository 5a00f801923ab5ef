/*
 * Heartbeats: one statement, one round trip, one version of a narrow row each. A crash of the
 * server may lose the last of them, and nobody would notice: so the commit does not wait for the
 * disk.
 *
 * Half of what a large batch costs is to compare incarnations and to tell the heads. Neither can
 * change but in a write, and every write bumps its role's revision: so as long as the revisions are
 * those of the last time, the same batch is only written, and told what it was told then. If they
 * are not, nothing is written, and the batch is asked in full.
 */
#include "store/postgres/internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    PARAMETER_LIMIT = 16 * 1024 * 1024,
    LARGE_BATCH = 100, /* to sum up the revisions of all roles must cost less than it saves */
};

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

/*
 * What the batch as a whole is told; in the same transaction, and so with the same time. The
 * revisions are looked at before the heads are, never later. $3: are they wanted? The specs are
 * counted, so that it is noticed when a hand that slipped took some away, or put back older ones;
 * where the whole cluster is gone, it is gone anew each time. The remainder is for a revision that
 * was written by hand, and may be any number.
 */
#define SPECS                                                                                      \
    "(SELECT count(*) + coalesce(sum(s.spec_version % 1000000), 0) FROM comrade.role_spec s"       \
    "  WHERE s.cluster = c.id)"
#define REVISIONS "(SELECT sum(r.revision) FROM comrade.role r WHERE r.cluster = c.id)"
static const char summary_sql[] =
    "SELECT coalesce(min(c.specs_revision + " SPECS ") % 4611686018427387904,"
    "   " POSTGRES_BEGAN_MS ")::bigint,"
    " " POSTGRES_BEGAN_MS ","
    "  min(CASE WHEN $3 THEN " REVISIONS " END)"
    " FROM comrade.cluster c WHERE c.namespace = $1 AND c.kind = $2";

/* The same batch again: $4 is what the revisions were. A claim of an id that is committed at this
   very moment may be refreshed with it, and is fresh anyway; the next batch tells of it. */
static const char again_sql[] =
    "WITH here AS MATERIALIZED (SELECT c.id, " POSTGRES_BEGAN_MS " AS now_ms,"
    "    " REVISIONS " AS revisions, set_config('synchronous_commit', 'off', true)"
    "  FROM comrade.cluster c WHERE c.namespace = $1 AND c.kind = $2)"
    " UPDATE comrade.heartbeat h SET updated = (SELECT here.now_ms FROM here)"
    "  WHERE h.cluster = (SELECT here.id FROM here) AND h.id = ANY ($3::text[])"
    "    AND (SELECT here.revisions FROM here) = $4::numeric";

/* The places of the answers. */
enum { SUMMARY_AT, BEATS_AT, N_STATEMENTS };

/* --- In full -----------------------------------------------------------------------------------
 */

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

static void read_beats(const PGresult *rows, size_t n_beats, comrade_beat_result *results)
{
    for (size_t i = 0; i < n_beats; i++) {
        results[i] = (comrade_beat_result){.status = COMRADE_GONE};
    }
    for (int row = 0; row < PQntuples(rows); row++) {
        read_beat(rows, row, n_beats, results);
    }
}

static void read_summary(const PGresult *whole, comrade_beat_summary *summary)
{
    *summary = (comrade_beat_summary){
        .specs_revision = result_number(whole, 0, 0),
        .now_ms = result_number(whole, 0, 1),
    };
}

/* --- The same again ----------------------------------------------------------------------------
 */

void postgres_forget_beats(comrade_store *store)
{
    struct remembered_beats *last = &store->last_beats;
    free(last->ids);
    free(last->incarnations);
    free(last->results);
    *last = (struct remembered_beats){0};
}

static bool is_as_before(const comrade_store *store, const comrade_beat *beats, size_t n_beats,
                         const char *ids)
{
    const struct remembered_beats *last = &store->last_beats;
    bool is_same = last->n == n_beats && n_beats > 0 && strcmp(last->ids, ids) == 0;
    for (size_t i = 0; i < n_beats && is_same; i++) {
        is_same = last->incarnations[i] == beats[i].incarnation;
    }
    return is_same;
}

/* Without memory for it, the next batch is asked in full again. */
static void remember(comrade_store *store, const comrade_beat *beats, size_t n_beats,
                     const char *ids, const char *revisions, const comrade_beat_result *results)
{
    postgres_forget_beats(store);
    struct remembered_beats *last = &store->last_beats;
    size_t len = strlen(revisions);
    bool is_whole = n_beats >= LARGE_BATCH && len > 0 && len < sizeof last->revisions;
    for (size_t i = 0; i < n_beats && is_whole; i++) {
        is_whole = results[i].status == COMRADE_OK;
    }
    if (!is_whole) {
        return;
    }
    last->ids = strdup(ids);
    last->incarnations = calloc(n_beats, sizeof *last->incarnations);
    last->results = calloc(n_beats, sizeof *last->results);
    if (last->ids == NULL || last->incarnations == NULL || last->results == NULL) {
        postgres_forget_beats(store);
        return;
    }
    for (size_t i = 0; i < n_beats; i++) {
        last->incarnations[i] = beats[i].incarnation;
        last->results[i] = results[i];
    }
    snprintf(last->revisions, sizeof last->revisions, "%s", revisions);
    last->n = n_beats;
}

/* --- The operation -----------------------------------------------------------------------------
 */

static comrade_status beat_again(comrade_store *store, const comrade_call *call, const char *ids,
                                 bool *is_done, comrade_beat_summary *summary, comrade_error *error)
{
    const char *space = store->name_space;
    const char *kind = store->kind;
    const struct statement statements[N_STATEMENTS] = {
        [SUMMARY_AT] = {summary_sql, 3, {space, kind, "false"}},
        [BEATS_AT] = {again_sql, 4, {space, kind, ids, store->last_beats.revisions}},
    };
    struct answers answers = {0};
    comrade_status status = postgres_transact(store, call, "heartbeat", TRANSACTION_WHOLE,
                                              statements, N_STATEMENTS, &answers, error);
    if (status == COMRADE_OK) {
        const char *n_written = PQcmdTuples(answers.results[BEATS_AT]);
        *is_done = strtoull(n_written, NULL, 10) == store->last_beats.n;
        read_summary(answers.results[SUMMARY_AT], summary);
    }
    answers_finish(&answers);
    return status;
}

static comrade_status beat_in_full(comrade_store *store, const comrade_call *call,
                                   const comrade_beat *beats, size_t n_beats, const char *ids,
                                   comrade_beat_result *results, comrade_beat_summary *summary,
                                   comrade_error *error)
{
    struct buffer incarnations;
    buffer_init(&incarnations, PARAMETER_LIMIT);
    for (size_t i = 0; i < n_beats; i++) {
        array_append_number(&incarnations, beats[i].incarnation);
    }
    array_end(&incarnations);
    const char *space = store->name_space;
    const char *kind = store->kind;
    const char *is_large = n_beats >= LARGE_BATCH ? "true" : "false";
    const struct statement statements[N_STATEMENTS] = {
        [SUMMARY_AT] = {summary_sql, 3, {space, kind, is_large}},
        [BEATS_AT] = {beat_sql, 4, {space, kind, ids, buffer_text(&incarnations)}},
    };
    struct answers answers = {0};
    comrade_status status = COMRADE_NO_MEMORY;
    if (incarnations.is_failed) {
        comrade_error_set(error, status, "%s: heartbeat: out of memory", store->shown_url);
    } else {
        status = postgres_transact(store, call, "heartbeat", TRANSACTION_WHOLE, statements,
                                   N_STATEMENTS, &answers, error);
    }
    if (status == COMRADE_OK) {
        read_beats(answers.results[BEATS_AT], n_beats, results);
        read_summary(answers.results[SUMMARY_AT], summary);
        remember(store, beats, n_beats, ids, result_text(answers.results[SUMMARY_AT], 0, 2),
                 results);
    }
    answers_finish(&answers);
    buffer_finish(&incarnations);
    return status;
}

comrade_status postgres_heartbeat(comrade_store *store, const comrade_call *call,
                                  const comrade_beat *beats, size_t n_beats,
                                  comrade_beat_result *results, comrade_beat_summary *summary,
                                  comrade_error *error)
{
    struct buffer array;
    buffer_init(&array, PARAMETER_LIMIT);
    for (size_t i = 0; i < n_beats; i++) {
        array_append_text(&array, beats[i].id);
    }
    array_end(&array);
    const char *ids = buffer_text(&array);
    comrade_status status = COMRADE_OK;
    bool is_done = false;
    if (array.is_failed) {
        status = comrade_error_set(error, COMRADE_NO_MEMORY, "%s: heartbeat: out of memory",
                                   store->shown_url);
    } else if (is_as_before(store, beats, n_beats, ids)) {
        status = beat_again(store, call, ids, &is_done, summary, error);
    }
    if (is_done) {
        memcpy(results, store->last_beats.results, n_beats * sizeof *results);
    } else if (status == COMRADE_OK) {
        status = beat_in_full(store, call, beats, n_beats, ids, results, summary, error);
    }
    buffer_finish(&array);
    return status;
}
