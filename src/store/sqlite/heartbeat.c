/*
 * Heartbeats: one transaction a batch. The heads that the batch before found are still true if no
 * change was written since (every write adds one to the change table), and then an update by
 * integer key a member is all there is to do.
 */
#include "store/sqlite/internal.h"

#include <stdlib.h>
#include <string.h>

void sqlite_forget_heads(comrade_store *store)
{
    for (size_t i = 0; i < store->n_known; i++) {
        free(store->known[i].id);
    }
    free(store->known);
    store->known = NULL;
    store->n_known = 0;
    store->known_change.sequence = -1;
}

/* Makes room for what this batch finds. Without memory everything is looked up each time. */
static void expect_batch(comrade_store *store, size_t n_beats)
{
    if (store->n_known != n_beats) {
        sqlite_forget_heads(store);
        store->known = calloc(n_beats, sizeof *store->known);
        store->n_known = store->known == NULL ? 0 : n_beats;
    }
}

static int find_heads(comrade_store *store, const char *id, struct known_heads *heads)
{
    sqlite3_stmt *find = sqlite_statement(store, STATEMENT_HEADS);
    *heads = (struct known_heads){0};
    if (find == NULL) {
        return sqlite3_extended_errcode(store->database);
    }
    sqlite3_bind_int64(find, 1, store->cluster);
    sqlite3_bind_text(find, 2, id, -1, SQLITE_STATIC);
    int code = sqlite3_step(find);
    if (code == SQLITE_ROW) {
        heads->key = sqlite3_column_int64(find, 0);
        heads->incarnation = sqlite3_column_int64(find, 1);
        heads->own_sequence = sqlite3_column_int64(find, 2);
        heads->request_revision = sqlite3_column_int64(find, 3);
    }
    sqlite3_reset(find);
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

static void remember(comrade_store *store, size_t i, const char *id,
                     const struct known_heads *heads)
{
    if (i >= store->n_known) {
        return;
    }
    struct known_heads *known = &store->known[i];
    bool is_same = known->id != NULL && strcmp(known->id, id) == 0;
    char *kept = is_same ? known->id : strdup(id);
    if (!is_same) {
        free(known->id);
    }
    *known = *heads;
    known->id = kept;
}

/* `update` has its time bound already: of ten thousand a batch, each call counts. */
static int touch(comrade_store *store, sqlite3_stmt *update, int64_t key, bool *is_touched)
{
    sqlite3_bind_int64(update, 1, key);
    int code = sqlite3_step(update);
    sqlite3_reset(update);
    *is_touched = code == SQLITE_DONE && sqlite3_changes(store->database) == 1;
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static comrade_status compare(const struct known_heads *heads, const comrade_beat *beat)
{
    return heads->incarnation == beat->incarnation  ? COMRADE_OK
           : heads->incarnation > beat->incarnation ? COMRADE_FENCED
                                                    : COMRADE_GONE;
}

static int beat_one(comrade_store *store, sqlite3_stmt *update, const comrade_beat *beat, size_t i,
                    bool is_known, comrade_beat_result *result)
{
    struct known_heads heads = {0};
    int code = SQLITE_OK;
    bool is_touched = false;
    if (is_known && i < store->n_known && store->known[i].id != NULL &&
        store->known[i].incarnation == beat->incarnation &&
        strcmp(store->known[i].id, beat->id) == 0) {
        heads = store->known[i];
        code = touch(store, update, heads.key, &is_touched);
    }
    if (code == SQLITE_OK && !is_touched) {
        code = find_heads(store, beat->id, &heads);
        if (code == SQLITE_OK && compare(&heads, beat) == COMRADE_OK) {
            code = touch(store, update, heads.key, &is_touched);
        }
        remember(store, i, beat->id, &heads);
    }
    *result = (comrade_beat_result){.status = compare(&heads, beat)};
    if (result->status == COMRADE_OK) {
        result->own_sequence = heads.own_sequence;
        result->request_revision = heads.request_revision;
    }
    return code;
}

static bool is_same(const struct change_mark *a, const struct change_mark *b)
{
    return a->sequence == b->sequence && a->written_ms == b->written_ms;
}

static int beat_all(comrade_store *store, const comrade_beat *beats, size_t n_beats,
                    comrade_beat_result *results, int64_t now_ms)
{
    struct change_mark last;
    sqlite3_stmt *update = sqlite_statement(store, STATEMENT_BEAT);
    if (update == NULL) {
        return sqlite3_extended_errcode(store->database);
    }
    sqlite3_bind_int64(update, 2, now_ms);
    int code = sqlite_read_last_change(store, &last);
    bool is_known =
        code == SQLITE_OK && n_beats == store->n_known && is_same(&last, &store->known_change);
    expect_batch(store, n_beats);
    for (size_t i = 0; i < n_beats && code == SQLITE_OK; i++) {
        code = beat_one(store, update, &beats[i], i, is_known, &results[i]);
    }
    if (code == SQLITE_OK) {
        store->known_change = last;
    } else {
        store->known_change.sequence = -1;
    }
    return code;
}

comrade_status sqlite_heartbeat(comrade_store *store, const comrade_call *call,
                                const comrade_beat *beats, size_t n_beats,
                                comrade_beat_result *results, comrade_beat_summary *summary,
                                comrade_error *error)
{
    comrade_status status = sqlite_use(store, call, error);
    if (status != COMRADE_OK) {
        sqlite_release(store);
        return status;
    }
    int64_t specs_revision = 0;
    /* Losing the last heartbeats in a power cut loses nothing: the processes are gone as well. */
    int code = sqlite_set_durable(store, false);
    if (code == SQLITE_OK) {
        code = sqlite_begin(store, STATEMENT_BEGIN_WRITE, &specs_revision);
    }
    int64_t now_ms = sqlite_now_ms(store);
    if (code == SQLITE_OK) {
        code = beat_all(store, beats, n_beats, results, now_ms);
    }
    if (code == SQLITE_OK) {
        code = sqlite_run(store, STATEMENT_COMMIT, NULL, 0);
    }
    if (code == SQLITE_OK) {
        *summary = (comrade_beat_summary){now_ms, specs_revision};
    } else {
        status = sqlite_fail(store, code, "heartbeat", error);
    }
    sqlite_release(store);
    return status;
}
