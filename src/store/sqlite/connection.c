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

static int check_cluster(comrade_store *store, int64_t *specs_revision)
{
    sqlite3_stmt *find = sqlite_statement(store, STATEMENT_FIND_CLUSTER);
    if (find == NULL) {
        return sqlite3_extended_errcode(store->database);
    }
    sqlite3_bind_int64(find, 1, store->cluster);
    sqlite3_bind_text(find, 2, store->name_space, -1, SQLITE_STATIC);
    sqlite3_bind_text(find, 3, store->kind, -1, SQLITE_STATIC);
    int code = sqlite3_step(find);
    *specs_revision = code == SQLITE_ROW ? sqlite3_column_int64(find, 0) : 0;
    sqlite3_reset(find);
    bool is_missing = code == SQLITE_DONE && store->cluster != 0;
    return is_missing                                  ? SQLITE_NOTFOUND
           : code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK
                                                       : code;
}

int sqlite_begin(comrade_store *store, enum statement name, int64_t *specs_revision)
{
    int code = sqlite_run(store, name, NULL, 0);
    return code == SQLITE_OK ? check_cluster(store, specs_revision) : code;
}

int sqlite_set_durable(comrade_store *store, bool is_durable)
{
    if (store->is_synchronous == is_durable) {
        return SQLITE_OK;
    }
    int code = sqlite3_exec(
        store->database, is_durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL",
        NULL, NULL, NULL);
    store->is_synchronous = code == SQLITE_OK ? is_durable : store->is_synchronous;
    return code;
}

int sqlite_read_last_change(comrade_store *store, struct change_mark *mark)
{
    sqlite3_stmt *last = sqlite_statement(store, STATEMENT_LAST_CHANGE);
    if (last == NULL) {
        return sqlite3_extended_errcode(store->database);
    }
    int code = sqlite3_step(last);
    *mark = (struct change_mark){0};
    if (code == SQLITE_ROW) {
        *mark = (struct change_mark){sqlite3_column_int64(last, 0), sqlite3_column_int64(last, 1)};
    }
    sqlite3_reset(last);
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

/* A little longer each time, as long as the call may last. */
bool sqlite_wait(comrade_store *store, int n_tries)
{
    if (store->call == NULL || comrade_call_is_over(store->call)) {
        return false;
    }
    long pause_us = BUSY_FIRST_US;
    for (int i = 0; i < n_tries && pause_us < BUSY_MAX_US; i++) {
        pause_us += pause_us / 2;
    }
    /* Those who wait must not wake together: the address differs from process to process. */
    pause_us += (long)(((uintptr_t)store >> 4) % (uintptr_t)pause_us);
    struct timespec pause = {0, pause_us * 1000};
    nanosleep(&pause, NULL);
    return true;
}

/* Another process writes. */
static int on_busy(void *user, int n_tries)
{
    return sqlite_wait(user, n_tries);
}

static int on_progress(void *user)
{
    comrade_store *store = user;
    return store->call != NULL && comrade_call_is_over(store->call);
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
    store->last_change.sequence = -1;
    sqlite_forget_heads(store);
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
    /* The log stays, empty, when the last one leaves: who may only read needs it to be there. */
    int is_kept = 1;
    sqlite3_file_control(store->database, "main", SQLITE_FCNTL_PERSIST_WAL, &is_kept);
    return sqlite3_exec(store->database,
                        "PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = OFF; "
                        "PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF; "
                        "PRAGMA cache_size = -4000; PRAGMA journal_size_limit = 4194304;",
                        NULL, NULL, NULL);
}

/* Two who create the file at once may see each other's half: that is BUSY, and tried again. */
static int prepare(comrade_store *store, comrade_status *status, comrade_error *error)
{
    for (int n_tries = 0;; n_tries++) {
        int result = sqlite_schema(store, status, error);
        int kind = result & 0xff;
        if ((kind != SQLITE_BUSY && kind != SQLITE_LOCKED && kind != SQLITE_SCHEMA) ||
            !sqlite_wait(store, n_tries)) {
            return result;
        }
        sqlite_roll_back(store);
    }
}

/* SQLITE_BUSY: the file was replaced while it was being opened. */
static int identify(comrade_store *store)
{
    struct stat found;
    int has_moved = 1;
    if (stat(store->path, &found) != 0) {
        return SQLITE_BUSY;
    }
    store->device = found.st_dev;
    store->inode = found.st_ino;
    int result = sqlite3_file_control(store->database, "main", SQLITE_FCNTL_HAS_MOVED, &has_moved);
    return result == SQLITE_OK && has_moved ? SQLITE_BUSY : result;
}

static comrade_status open_claimed(comrade_store *store, comrade_error *error)
{
    comrade_status status = COMRADE_OK;
    int result = sqlite3_open_v2(store->path, &store->database,
                                 SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
                                     (store->must_exist ? 0 : SQLITE_OPEN_CREATE),
                                 NULL);
    if (result == SQLITE_OK) {
        result = set_up(store);
    }
    if (result == SQLITE_OK) {
        result = prepare(store, &status, error);
    }
    if (result == SQLITE_OK && status == COMRADE_OK) {
        result = identify(store);
    }
    if (result == SQLITE_OK && status == COMRADE_OK) {
        return COMRADE_OK;
    }
    if (status == COMRADE_OK && (result & 0xff) == SQLITE_CANTOPEN) {
        status = sqlite_explain_open(store, error);
    } else if (status == COMRADE_OK) {
        status = sqlite_fail(store, result, "cannot be opened", error);
    }
    sqlite_drop(store);
    return status;
}

static comrade_status open_database(comrade_store *store, comrade_error *error)
{
    if (!sqlite_claim(store)) {
        return sqlite_fail(store, SQLITE_BUSY, "cannot be opened", error);
    }
    comrade_status status = open_claimed(store, error);
    sqlite_unclaim(store);
    if (status == COMRADE_OK && store->was_open) {
        sqlite_watch_again(store);
    }
    store->was_open |= status == COMRADE_OK;
    return status;
}

comrade_status sqlite_use(comrade_store *store, const comrade_call *call, comrade_error *error)
{
    store->call = call;
    if (store->database != NULL && sqlite_was_replaced(store)) {
        sqlite_drop(store);
    }
    return store->database != NULL ? COMRADE_OK : open_database(store, error);
}

void sqlite_release(comrade_store *store)
{
    store->call = NULL;
}

/* --- The driver ------------------------------------------------------------------------------- */

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
    for (size_t i = 0; i < N_BESIDE; i++) {
        free(store->beside[i].path);
    }
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
    made->watch_fd = -1;
    made->last_change.sequence = -1;
    made->known_change.sequence = -1;
    made->wall_ms = config->wall_ms;
    made->clock = config->clock;
    made->must_exist = config->must_exist;
    made->path = sqlite_path_of(config->url);
    made->shown_url = strdup(config->shown_url);
    made->name_space = strdup(config->name_space);
    made->kind = strdup(config->kind);
    comrade_status status = COMRADE_OK;
    if (made->path == NULL || made->shown_url == NULL || made->name_space == NULL ||
        made->kind == NULL) {
        status =
            comrade_error_set(error, COMRADE_NO_MEMORY, "%s: out of memory", config->shown_url);
    } else if (made->path[strlen(made->path) - 1] == '/') {
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

/* A file is its owner's: whether something else is needed of it is not for us to say. */
static comrade_status refuse_to_drop(comrade_store *store, const comrade_call *call,
                                     comrade_error *error)
{
    (void)call;
    return comrade_error_set(error, COMRADE_UNSUPPORTED,
                             "%s: remove this store by hand, when nobody runs with it any more: "
                             "delete the file %s and, beside it, those that end in -wal, -shm and "
                             "-notify",
                             store->shown_url, store->path);
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
    .drop = refuse_to_drop,
};
