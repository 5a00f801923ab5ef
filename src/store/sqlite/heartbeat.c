/*
 * Heartbeats: one transaction a batch, two look-ups by integer key a member. Which key an id has is
 * remembered from the batch before; the key alone proves nothing, so the incarnation is compared.
 */
#include "store/sqlite/internal.h"

#include <stdlib.h>
#include <string.h>

void sqlite_forget_keys(comrade_store *store)
{
    for (size_t i = 0; i < store->n_known; i++) {
        free(store->known[i].id);
    }
    free(store->known);
    store->known = NULL;
    store->n_known = 0;
}

/* Without memory, or for another batch than the last, keys are looked up each time. */
static void remember(comrade_store *store, size_t i, size_t n_beats, const char *id, int64_t key)
{
    if (store->n_known != n_beats) {
        sqlite_forget_keys(store);
        store->known = calloc(n_beats, sizeof *store->known);
        store->n_known = store->known == NULL ? 0 : n_beats;
    }
    if (i < store->n_known) {
        free(store->known[i].id);
        store->known[i].id = strdup(id);
        store->known[i].key = key;
    }
}

static int find_key(comrade_store *store, const char *id, int64_t *key)
{
    sqlite3_stmt *find = sqlite_statement(store, STATEMENT_FIND_KEY);
    if (find == NULL) {
        return sqlite3_extended_errcode(store->database);
    }
    sqlite3_bind_int64(find, 1, store->cluster);
    sqlite3_bind_text(find, 2, id, -1, SQLITE_STATIC);
    int result = sqlite3_step(find);
    *key = result == SQLITE_ROW ? sqlite3_column_int64(find, 0) : 0;
    sqlite3_reset(find);
    return result == SQLITE_ROW || result == SQLITE_DONE ? SQLITE_OK : result;
}

static int read_heads(comrade_store *store, int64_t key, int64_t *incarnation,
                      comrade_beat_result *result)
{
    sqlite3_stmt *heads = sqlite_statement(store, STATEMENT_HEADS);
    if (heads == NULL) {
        return sqlite3_extended_errcode(store->database);
    }
    sqlite3_bind_int64(heads, 1, key);
    int code = sqlite3_step(heads);
    *incarnation = 0;
    if (code == SQLITE_ROW) {
        *incarnation = sqlite3_column_int64(heads, 0);
        result->own_sequence = sqlite3_column_int64(heads, 1);
        result->request_revision = sqlite3_column_int64(heads, 2);
    }
    sqlite3_reset(heads);
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

static int beat_one(comrade_store *store, const comrade_beat *beat, size_t i, size_t n_beats,
                    int64_t now_ms, comrade_beat_result *result)
{
    bool is_known = n_beats == store->n_known && store->known[i].id != NULL &&
                    strcmp(store->known[i].id, beat->id) == 0;
    int64_t key = is_known ? store->known[i].key : 0;
    int64_t incarnation = 0;
    int code = SQLITE_OK;
    if (is_known) {
        code = read_heads(store, key, &incarnation, result);
    }
    if (code == SQLITE_OK && incarnation != beat->incarnation) {
        code = find_key(store, beat->id, &key);
        if (code == SQLITE_OK) {
            code = read_heads(store, key, &incarnation, result);
        }
    }
    if (code != SQLITE_OK) {
        return code;
    }
    if (incarnation != beat->incarnation) {
        *result = (comrade_beat_result){.status = incarnation > beat->incarnation ? COMRADE_FENCED
                                                                                  : COMRADE_GONE};
        return SQLITE_OK;
    }
    if (!is_known) {
        remember(store, i, n_beats, beat->id, key);
    }
    result->status = COMRADE_OK;
    return sqlite_run(store, STATEMENT_BEAT, (const int64_t[]){key, now_ms}, 2);
}

static int read_specs_revision(comrade_store *store, int64_t *revision)
{
    sqlite3_stmt *specs = sqlite_statement(store, STATEMENT_SPECS_REVISION);
    if (specs == NULL) {
        return sqlite3_extended_errcode(store->database);
    }
    sqlite3_bind_int64(specs, 1, store->cluster);
    int code = sqlite3_step(specs);
    *revision = code == SQLITE_ROW ? sqlite3_column_int64(specs, 0) : 0;
    sqlite3_reset(specs);
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

/* Losing the last heartbeats in a power cut loses nothing: the processes are gone as well. */
static int begin(comrade_store *store)
{
    int code = SQLITE_OK;
    if (store->is_synchronous) {
        code = sqlite3_exec(store->database, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL);
        store->is_synchronous = code != SQLITE_OK;
    }
    return code == SQLITE_OK ? sqlite_run(store, STATEMENT_BEGIN_WRITE, NULL, 0) : code;
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
    int code = begin(store);
    int64_t now_ms = sqlite_now_ms(store);
    int64_t specs_revision = 0;
    for (size_t i = 0; i < n_beats && code == SQLITE_OK; i++) {
        code = beat_one(store, &beats[i], i, n_beats, now_ms, &results[i]);
    }
    if (code == SQLITE_OK) {
        code = read_specs_revision(store, &specs_revision);
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
