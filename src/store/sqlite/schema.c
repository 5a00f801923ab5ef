/*
 * The schema, and how it came to be. A migration only adds, so that processes of the version before
 * go on working beside it; one that they could not bear raises `oldest_reader`.
 * To add one: a text at the end of `migrations`, and SQLITE_SCHEMA_VERSION one higher.
 */
#include "store/sqlite/internal.h"

#include <string.h>

static const char *const migrations[SQLITE_SCHEMA_VERSION] = {
    /* 1 */
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "INSERT INTO meta VALUES ('oldest_reader', 1);"
    "CREATE TABLE cluster (id INTEGER PRIMARY KEY, namespace TEXT NOT NULL, kind TEXT NOT NULL,"
    "  specs_revision INTEGER NOT NULL DEFAULT 1, UNIQUE (namespace, kind));"
    "CREATE TABLE role (cluster INTEGER NOT NULL, role TEXT NOT NULL, revision INTEGER NOT NULL,"
    "  spec_version INTEGER NOT NULL, spec TEXT NOT NULL, recent TEXT NOT NULL,"
    "  PRIMARY KEY (cluster, role)) WITHOUT ROWID;"
    /* Keys are never used again: a heartbeat remembers them. */
    "CREATE TABLE member (key INTEGER PRIMARY KEY AUTOINCREMENT, cluster INTEGER NOT NULL,"
    "  id TEXT NOT NULL, role TEXT NOT NULL, incarnation INTEGER NOT NULL,"
    "  sequence INTEGER NOT NULL, state TEXT NOT NULL, is_alive INTEGER NOT NULL,"
    "  is_available INTEGER NOT NULL, created INTEGER NOT NULL, pid INTEGER NOT NULL,"
    "  host TEXT NOT NULL, version TEXT NOT NULL, metadata TEXT NOT NULL, details TEXT NOT NULL,"
    "  request_revision INTEGER NOT NULL DEFAULT 0, request_kind INTEGER NOT NULL DEFAULT 0,"
    "  request_incarnation INTEGER NOT NULL DEFAULT 0,"
    "  zombified_incarnation INTEGER NOT NULL DEFAULT 0, requested INTEGER NOT NULL DEFAULT 0,"
    "  request_id TEXT NOT NULL DEFAULT '', request_user TEXT NOT NULL DEFAULT '',"
    "  request_host TEXT NOT NULL DEFAULT '', request_reason TEXT NOT NULL DEFAULT '',"
    "  UNIQUE (cluster, id));"
    "CREATE INDEX member_by_role ON member (cluster, role, id);"
    /* Narrow and apart: it is all that a heartbeat writes. */
    "CREATE TABLE heartbeat (key INTEGER PRIMARY KEY, updated INTEGER NOT NULL,"
    "  incarnation INTEGER NOT NULL, own_sequence INTEGER NOT NULL,"
    "  request_revision INTEGER NOT NULL);"
    /* What was written last, for those who watch; trimmed by every write. */
    "CREATE TABLE change (sequence INTEGER PRIMARY KEY AUTOINCREMENT, written INTEGER NOT NULL,"
    "  cluster INTEGER NOT NULL, role TEXT NOT NULL, id TEXT NOT NULL);",
};

static int read_number(comrade_store *store, const char *sql, int64_t *number)
{
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL);
    if (result == SQLITE_OK) {
        result = sqlite3_step(statement);
        if (result == SQLITE_ROW) {
            *number = sqlite3_column_int64(statement, 0);
            result = SQLITE_OK;
        }
    }
    sqlite3_finalize(statement);
    return result == SQLITE_DONE ? SQLITE_OK : result;
}

static int run_text(comrade_store *store, const char *sql)
{
    return sqlite3_exec(store->database, sql, NULL, NULL, NULL);
}

/* Somebody else's database must not be touched: only an empty one is taken. */
static int check_owner(comrade_store *store, comrade_status *status, comrade_error *error)
{
    int64_t application = 0;
    int64_t n_objects = 0;
    /* In this order: who makes the tables also signs them, perhaps between our two looks. */
    int result = read_number(store, "SELECT count(*) FROM sqlite_master", &n_objects);
    if (result == SQLITE_OK) {
        result = read_number(store, "PRAGMA application_id", &application);
    }
    if (result == SQLITE_OK && application != SQLITE_APPLICATION_ID && n_objects > 0) {
        *status = comrade_error_set(error, COMRADE_BROKEN,
                                    "%s: this is another program's database; nothing was changed, "
                                    "name a file of its own",
                                    store->shown_url);
    }
    return result;
}

static int check_version(comrade_store *store, int64_t *version, comrade_status *status,
                         comrade_error *error)
{
    int64_t oldest_reader = 0;
    int result = read_number(store, "PRAGMA user_version", version);
    if (result == SQLITE_OK && *version > SQLITE_SCHEMA_VERSION) {
        result = read_number(store, "SELECT value FROM meta WHERE name = 'oldest_reader'",
                             &oldest_reader);
    }
    if (result == SQLITE_OK && oldest_reader > SQLITE_SCHEMA_VERSION) {
        *status = comrade_error_set(error, COMRADE_SCHEMA_TOO_NEW,
                                    "%s: its schema is version %lld and needs a Comrade that knows "
                                    "version %lld; this one (%s) knows %d: upgrade it",
                                    store->shown_url, (long long)*version, (long long)oldest_reader,
                                    comrade_version(), SQLITE_SCHEMA_VERSION);
    }
    return result;
}

/* In one transaction, begun with the write lock: of many who come at once, one does it. */
static int migrate(comrade_store *store, comrade_status *status, comrade_error *error)
{
    char version_text[96];
    int64_t version = 0;
    int result = run_text(store, "BEGIN IMMEDIATE");
    if (result == SQLITE_OK) {
        result = check_owner(store, status, error);
    }
    if (result == SQLITE_OK && *status == COMRADE_OK) {
        result = check_version(store, &version, status, error);
    }
    for (; result == SQLITE_OK && *status == COMRADE_OK && version < SQLITE_SCHEMA_VERSION;
         version++) {
        result = run_text(store, migrations[version]);
        sqlite3_snprintf(sizeof version_text, version_text,
                         "PRAGMA application_id = %d; PRAGMA user_version = %d",
                         SQLITE_APPLICATION_ID, (int)version + 1);
        if (result == SQLITE_OK) {
            result = run_text(store, version_text);
        }
    }
    if (result == SQLITE_OK && *status == COMRADE_OK) {
        return run_text(store, "COMMIT");
    }
    sqlite_roll_back(store);
    return result;
}

static int find_cluster(comrade_store *store)
{
    static const char find[] = "SELECT id FROM cluster WHERE namespace = ?1 AND kind = ?2";
    static const char make[] = "INSERT OR IGNORE INTO cluster (namespace, kind) VALUES (?1, ?2)";
    const char *const texts[] = {find, make, find};
    int result = SQLITE_OK;
    store->cluster = 0;
    for (size_t i = 0; i < 3 && store->cluster == 0 && result == SQLITE_OK; i++) {
        if (i == 1 && store->is_read_only) {
            break; /* nobody was ever here, and we cannot be the first */
        }
        sqlite3_stmt *statement = NULL;
        result = sqlite3_prepare_v2(store->database, texts[i], -1, &statement, NULL);
        if (result == SQLITE_OK) {
            sqlite3_bind_text(statement, 1, store->name_space, -1, SQLITE_STATIC);
            sqlite3_bind_text(statement, 2, store->kind, -1, SQLITE_STATIC);
            result = sqlite3_step(statement);
        }
        if (result == SQLITE_ROW) {
            store->cluster = sqlite3_column_int64(statement, 0);
        }
        result = result == SQLITE_ROW || result == SQLITE_DONE ? SQLITE_OK : result;
        sqlite3_finalize(statement);
    }
    return result;
}

int sqlite_schema(comrade_store *store, comrade_status *status, comrade_error *error)
{
    int64_t version = 0;
    int result = check_owner(store, status, error);
    if (result == SQLITE_OK && *status == COMRADE_OK) {
        result = check_version(store, &version, status, error);
    }
    if (result == SQLITE_OK && *status == COMRADE_OK && version == 0 && store->must_exist) {
        *status = sqlite_explain_missing(store, error);
    }
    if (result != SQLITE_OK || *status != COMRADE_OK) {
        return result;
    }
    if (!store->is_read_only) {
        result = run_text(store, "PRAGMA journal_mode = WAL");
    }
    if (result == SQLITE_OK && version < SQLITE_SCHEMA_VERSION) {
        result = migrate(store, status, error);
    }
    return result != SQLITE_OK || *status != COMRADE_OK ? result : find_cluster(store);
}
