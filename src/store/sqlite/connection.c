/*
 * The connection: opened by the first call, and again whenever the file at the path is no longer
 * the one that is open. SQLite itself would go on writing into a file that was replaced or deleted,
 * and nobody would ever read it; so each call compares device and inode first.
 */
#include "store/sqlite/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    PROGRESS_STEPS = 20000,
    BUSY_FIRST_US = 200,
    BUSY_MAX_US = 5000,
    LOOKASIDE_SLOT_BYTES = 256,
    LOOKASIDE_SLOTS = 64,
};

static const char *const statement_texts[N_STATEMENTS] = {
#define STATEMENT_TEXT(name, sql) sql,
    STATEMENT_MAP(STATEMENT_TEXT)
#undef STATEMENT_TEXT
};

/* --- Statements ------------------------------------------------------------------------------- */

sqlite3_stmt *sqlite_statement(comrade_store *store, enum statement name)
{
    sqlite3_stmt **statement = &store->statements[name];
    if (*statement == NULL) {
        sqlite3_prepare_v3(store->database, statement_texts[name], -1, SQLITE_PREPARE_PERSISTENT,
                           statement, NULL);
        return *statement;
    }
    sqlite3_reset(*statement);
    sqlite3_clear_bindings(*statement);
    return *statement;
}

int sqlite_run(comrade_store *store, enum statement name, const int64_t *values, size_t n_values)
{
    sqlite3_stmt *statement = sqlite_statement(store, name);
    if (statement == NULL) {
        return sqlite3_extended_errcode(store->database);
    }
    for (size_t i = 0; i < n_values; i++) {
        sqlite3_bind_int64(statement, (int)i + 1, values[i]);
    }
    int result = sqlite3_step(statement);
    sqlite3_reset(statement);
    return result == SQLITE_DONE ? SQLITE_OK : result;
}

int sqlite_read_number(comrade_store *store, enum statement name, int64_t *number)
{
    sqlite3_stmt *statement = sqlite_statement(store, name);
    if (statement == NULL) {
        return sqlite3_extended_errcode(store->database);
    }
    if (sqlite3_bind_parameter_count(statement) > 0) {
        sqlite3_bind_int64(statement, 1, store->cluster);
    }
    int code = sqlite3_step(statement);
    *number = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_reset(statement);
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

void sqlite_roll_back(comrade_store *store)
{
    if (store->database != NULL && !sqlite3_get_autocommit(store->database)) {
        sqlite_run(store, STATEMENT_ROLLBACK, NULL, 0);
    }
}

int64_t sqlite_now_ms(const comrade_store *store)
{
    return store->wall_ms(store->clock);
}

/* --- Bounds ----------------------------------------------------------------------------------- */

/* Another process writes: wait a little, longer each time, as long as the call may last. */
static int on_busy(void *user, int n_tries)
{
    comrade_store *store = user;
    if (store->call == NULL || comrade_call_is_over(store->call)) {
        return 0;
    }
    long pause_us = BUSY_FIRST_US;
    for (int i = 0; i < n_tries && pause_us < BUSY_MAX_US; i++) {
        pause_us += pause_us / 2;
    }
    /* Those who wait must not wake together: the address differs from process to process. */
    pause_us += (long)(((uintptr_t)store >> 4) % (uintptr_t)pause_us);
    struct timespec pause = {0, pause_us * 1000};
    nanosleep(&pause, NULL);
    return 1;
}

static int on_progress(void *user)
{
    comrade_store *store = user;
    return store->call != NULL && comrade_call_is_over(store->call);
}

/* --- Errors ----------------------------------------------------------------------------------- */

static comrade_status explain(comrade_store *store, int result, const char *what,
                              comrade_error *error)
{
    const char *url = store->shown_url;
    const char *said =
        store->database == NULL ? sqlite3_errstr(result) : sqlite3_errmsg(store->database);
    switch (result & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return comrade_error_set(error, COMRADE_UNAVAILABLE,
                                 "%s: %s: the database was locked by another process for too long",
                                 url, what);
    case SQLITE_INTERRUPT:
        return comrade_error_set(error, COMRADE_UNAVAILABLE, "%s: %s: not done in time", url, what);
    case SQLITE_FULL:
        return comrade_error_set(error, COMRADE_UNAVAILABLE,
                                 "%s: %s: the disk is full; nothing was written", url, what);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return comrade_error_set(error, COMRADE_DENIED,
                                 "%s: %s: no permission to write; the user needs write access to "
                                 "the file and to its directory",
                                 url, what);
    case SQLITE_NOTADB:
        return comrade_error_set(error, COMRADE_BROKEN,
                                 "%s: %s: the file is not a SQLite database; nothing was changed",
                                 url, what);
    case SQLITE_CORRUPT:
        return comrade_error_set(
            error, COMRADE_BROKEN,
            "%s: %s: the database is damaged (%s); put back a copy, or move it "
            "away: running members register again by themselves",
            url, what, said);
    case SQLITE_NOMEM:
        return comrade_error_set(error, COMRADE_NO_MEMORY, "%s: %s: out of memory", url, what);
    case SQLITE_TOOBIG:
        return comrade_error_set(error, COMRADE_TOO_LARGE, "%s: %s: %s", url, what, said);
    default:
        return comrade_error_set(error, COMRADE_UNAVAILABLE, "%s: %s: %s", url, what, said);
    }
}

comrade_status sqlite_fail(comrade_store *store, int result, const char *what, comrade_error *error)
{
    comrade_status status = explain(store, result, what, error);
    sqlite_roll_back(store);
    switch (result & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_INTERRUPT:
    case SQLITE_FULL:
    case SQLITE_TOOBIG:
        break; /* the connection is as good as before */
    default:
        sqlite_drop(store);
        break;
    }
    return status;
}

/* --- Opening ---------------------------------------------------------------------------------- */

void sqlite_drop(comrade_store *store)
{
    for (size_t i = 0; i < N_STATEMENTS; i++) {
        sqlite3_finalize(store->statements[i]);
        store->statements[i] = NULL;
    }
    sqlite3_close_v2(store->database);
    store->database = NULL;
    store->last_change = -1;
    sqlite_forget_heads(store);
}

/* SQLite says only "unable to open": find out what a person would want to know. */
static comrade_status explain_open(const comrade_store *store, comrade_error *error)
{
    struct stat found;
    const char *slash = strrchr(store->path, '/');
    size_t folder_len = slash == NULL ? 0 : (size_t)(slash - store->path);
    char *folder = folder_len == 0 ? strdup("/") : strndup(store->path, folder_len);
    comrade_status status = COMRADE_UNAVAILABLE;
    if (folder == NULL) {
        status = comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory");
    } else if (stat(store->path, &found) == 0 && S_ISDIR(found.st_mode)) {
        status = comrade_error_set(error, COMRADE_INVALID,
                                   "%s: this is a directory; name a file in it", store->shown_url);
    } else if (stat(folder, &found) != 0 || !S_ISDIR(found.st_mode)) {
        comrade_error_set(error, status, "%s: the directory %s does not exist; create it first",
                          store->shown_url, folder);
    } else if (access(folder, W_OK | X_OK) != 0 || access(store->path, R_OK) != 0) {
        status = comrade_error_set(error, COMRADE_DENIED,
                                   "%s: no permission: the user needs write access to the file and "
                                   "to the directory %s",
                                   store->shown_url, folder);
    } else {
        comrade_error_set(error, status, "%s: cannot be opened: %s", store->shown_url,
                          strerror(errno));
    }
    free(folder);
    return status;
}

static int set_up(comrade_store *store)
{
    sqlite3_db_config(store->database, SQLITE_DBCONFIG_LOOKASIDE, NULL, LOOKASIDE_SLOT_BYTES,
                      LOOKASIDE_SLOTS);
    sqlite3_extended_result_codes(store->database, 1);
    sqlite3_busy_handler(store->database, on_busy, store);
    sqlite3_progress_handler(store->database, PROGRESS_STEPS, on_progress, store);
    store->is_read_only = sqlite3_db_readonly(store->database, "main") == 1;
    store->is_synchronous = false;
    return sqlite3_exec(store->database,
                        "PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = OFF; "
                        "PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;",
                        NULL, NULL, NULL);
}

/* Two who create the file at once may see each other's half: that is BUSY, and tried again. */
static int prepare(comrade_store *store, comrade_status *status, comrade_error *error)
{
    for (int n_tries = 0;; n_tries++) {
        int result = sqlite_schema(store, status, error);
        int kind = result & 0xff;
        if ((kind != SQLITE_BUSY && kind != SQLITE_LOCKED && kind != SQLITE_SCHEMA) ||
            on_busy(store, n_tries) == 0) {
            return result;
        }
        sqlite_roll_back(store);
    }
}

static comrade_status open_database(comrade_store *store, comrade_error *error)
{
    int result =
        sqlite3_open_v2(store->path, &store->database,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    comrade_status status = COMRADE_OK;
    struct stat found;
    if (result == SQLITE_OK) {
        result = set_up(store);
    }
    if (result == SQLITE_OK) {
        result = prepare(store, &status, error);
    }
    if (result == SQLITE_OK && status == COMRADE_OK && stat(store->path, &found) == 0) {
        store->device = found.st_dev;
        store->inode = found.st_ino;
        return COMRADE_OK;
    }
    if (status != COMRADE_OK) {
        sqlite_drop(store);
        return status;
    }
    if (result == SQLITE_OK || (result & 0xff) == SQLITE_CANTOPEN) {
        sqlite_drop(store);
        return explain_open(store, error);
    }
    status = sqlite_fail(store, result, "cannot be opened", error);
    sqlite_drop(store);
    return status;
}

static bool was_replaced(const comrade_store *store)
{
    struct stat found;
    return stat(store->path, &found) != 0 || found.st_dev != store->device ||
           found.st_ino != store->inode;
}

comrade_status sqlite_use(comrade_store *store, const comrade_call *call, comrade_error *error)
{
    store->call = call;
    if (store->database != NULL && was_replaced(store)) {
        sqlite_drop(store);
    }
    return store->database != NULL ? COMRADE_OK : open_database(store, error);
}

void sqlite_release(comrade_store *store)
{
    store->call = NULL;
}

/* --- The driver ------------------------------------------------------------------------------- */

/* sqlite:PATH, sqlite://PATH. A relative path is made explicit, so that none has another meaning
   to SQLite (":memory:"). */
static char *path_of(const char *url)
{
    const char *path = strchr(url, ':') + 1;
    if (strncmp(path, "//", 2) == 0) {
        path += 2;
    }
    char *copy = NULL;
    if (path[0] == '/') {
        return strdup(path);
    }
    return asprintf(&copy, "./%s", path) < 0 ? NULL : copy;
}

static void sqlite_close(comrade_store *store)
{
    if (store == NULL) {
        return;
    }
    sqlite_drop(store);
    sqlite_unwatch(store);
    if (store->notify_fd >= 0) {
        close(store->notify_fd);
    }
    free(store->path);
    free(store->notify_path);
    free(store->shown_url);
    free(store->name_space);
    free(store->kind);
    free(store);
}

static comrade_status sqlite_open(const comrade_store_config *config, const comrade_call *call,
                                  comrade_store **store, comrade_error *error)
{
    comrade_store *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "%s: out of memory", config->shown_url);
    }
    made->notify_fd = -1;
    made->inotify_fd = -1;
    made->last_change = -1;
    made->wall_ms = config->wall_ms;
    made->clock = config->clock;
    made->path = path_of(config->url);
    made->shown_url = strdup(config->shown_url);
    made->name_space = strdup(config->name_space);
    made->kind = strdup(config->kind);
    comrade_status status = COMRADE_OK;
    if (made->path == NULL || made->shown_url == NULL || made->name_space == NULL ||
        made->kind == NULL || asprintf(&made->notify_path, "%s-notify", made->path) < 0) {
        made->notify_path = NULL;
        status =
            comrade_error_set(error, COMRADE_NO_MEMORY, "%s: out of memory", config->shown_url);
    } else if (strcmp(made->path, "./") == 0) {
        status = comrade_error_set(error, COMRADE_INVALID,
                                   "%s names no file; write sqlite:/var/lib/comrade/comrade.db",
                                   config->shown_url);
    } else {
        status = sqlite_use(made, call, error);
    }
    sqlite_release(made);
    if (status != COMRADE_OK) {
        sqlite_close(made);
        return status;
    }
    *store = made;
    return COMRADE_OK;
}

const comrade_store_driver sqlite_driver = {
    .abi = COMRADE_STORE_ABI,
    .scheme = "sqlite",
    .open = sqlite_open,
    .close = sqlite_close,
    .heartbeat = sqlite_heartbeat,
    .write = sqlite_write,
    .snapshot = sqlite_snapshot,
    .watch = sqlite_watch,
    .drain = sqlite_drain,
    .check = sqlite_check,
};
