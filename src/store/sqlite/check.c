/* What the owner of the file should know. */
#include "store/sqlite/internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>

/* File systems on which locks and shared memory between machines are not to be trusted. */
static const char *network_name(unsigned long type)
{
    switch (type) {
    case 0x6969:
        return "NFS";
    case 0xff534d42:
    case 0xfe534d42:
    case 0x517b:
        return "SMB";
    case 0x01021997:
        return "9p";
    case 0x65735546:
        return "FUSE";
    default:
        return NULL;
    }
}

static void read_text(comrade_store *store, const char *sql, char *text, size_t size)
{
    sqlite3_stmt *statement = NULL;
    text[0] = '\0';
    if (sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
        const char *found = (const char *)sqlite3_column_text(statement, 0);
        snprintf(text, size, "%s", found == NULL ? "" : found);
    }
    sqlite3_finalize(statement);
}

comrade_status sqlite_check(comrade_store *store, const comrade_call *call,
                            void (*on_finding)(void *user, bool is_problem, const char *text),
                            void *user, comrade_error *error)
{
    comrade_status status = sqlite_use(store, call, error);
    if (status != COMRADE_OK) {
        sqlite_release(store);
        return status;
    }
    char found[128];
    char line[512];
    read_text(store, "PRAGMA user_version", found, sizeof found);
    snprintf(line, sizeof line, "schema version %s; this Comrade knows %d", found,
             SQLITE_SCHEMA_VERSION);
    on_finding(user, false, line);
    read_text(store, "PRAGMA quick_check(1)", found, sizeof found);
    if (found[0] == '\0') { /* not done in time, or not readable so far */
        status = sqlite_fail(store, sqlite3_extended_errcode(store->database), "check", error);
        sqlite_release(store);
        return status;
    }
    bool is_sound = strcmp(found, "ok") == 0;
    snprintf(line, sizeof line, "integrity: %s", found);
    on_finding(user, !is_sound, line);
    read_text(store, "PRAGMA journal_mode", found, sizeof found);
    snprintf(line, sizeof line, "journal mode %s%s", found,
             strcmp(found, "wal") == 0 ? "" : "; WAL is wanted, or readers block writers");
    on_finding(user, strcmp(found, "wal") != 0, line);
    struct statfs system;
    const char *network =
        statfs(store->path, &system) == 0 ? network_name((unsigned long)system.f_type) : NULL;
    snprintf(line, sizeof line,
             network == NULL ? "on a local file system"
                             : "on %s: SQLite's locks cannot be trusted there; use a local disk",
             network);
    on_finding(user, network != NULL, line);
    on_finding(user, store->is_read_only,
               store->is_read_only ? "this user may only read it" : "this user may write it");
    if (!store->is_read_only) {
        bool is_told = sqlite_need_notify_file(store, true);
        on_finding(user, !is_told,
                   is_told ? "changes are announced to the others at once"
                           : "the -notify file beside it cannot be written: others learn of "
                             "changes only with their next heartbeat");
    }
    on_finding(user, false,
               "requests and role specs are on the disk when acknowledged; members' own parts and "
               "heartbeats may be lost in a power cut, and come back by themselves");
    on_finding(user, false,
               "the clock is this machine's: one machine only, and a clock set back makes members "
               "look silent until it has caught up");
    sqlite_release(store);
    return COMRADE_OK;
}
