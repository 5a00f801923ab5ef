/* What SQLite's result codes mean to the one who named the file, and what he can do about it. */
#include "store/sqlite/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Over before its deadline: somebody wanted the thread for something else. */
static bool is_cancelled(const comrade_store *store)
{
    const comrade_call *call = store->call;
    return call != NULL && comrade_call_is_over(call) &&
           call->now_ms(call->clock) < call->deadline_ms;
}

static comrade_status explain(comrade_store *store, int result, const char *what,
                              comrade_error *error)
{
    const char *url = store->shown_url;
    const char *said =
        store->database == NULL ? sqlite3_errstr(result) : sqlite3_errmsg(store->database);
    switch (result & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        if (is_cancelled(store)) {
            return comrade_error_set(error, COMRADE_CANCELED, "%s: %s: cancelled", url, what);
        }
        return comrade_error_set(error, COMRADE_UNAVAILABLE,
                                 "%s: %s: the database was locked by another process for too long",
                                 url, what);
    case SQLITE_INTERRUPT:
        return comrade_error_set(error,
                                 is_cancelled(store) ? COMRADE_CANCELED : COMRADE_UNAVAILABLE,
                                 "%s: %s: not done in time", url, what);
    case SQLITE_NOTFOUND:
        return comrade_error_set(error, COMRADE_UNAVAILABLE,
                                 "%s: %s: an older copy was put back; it is opened again", url,
                                 what);
    case SQLITE_FULL:
        return comrade_error_set(error, COMRADE_UNAVAILABLE,
                                 "%s: %s: the disk is full; nothing was written", url, what);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return comrade_error_set(error, COMRADE_DENIED,
                                 "%s: %s: no permission to write; the user needs write access to "
                                 "the file, to the -wal and -shm beside it and to the directory",
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

static bool may_not(const char *path, int mode)
{
    return access(path, mode) != 0 && (errno == EACCES || errno == EPERM);
}

comrade_status sqlite_explain_missing(const comrade_store *store, comrade_error *error)
{
    return comrade_error_set(error, COMRADE_UNAVAILABLE,
                             "%s: there is no store at this path yet; it is made by the first "
                             "`comrade run` or `comrade store init`",
                             store->shown_url);
}

/* SQLite says only "unable to open": find out what a person would want to know. */
comrade_status sqlite_explain_open(const comrade_store *store, comrade_error *error)
{
    struct stat found;
    int cause = store->database == NULL ? 0 : sqlite3_system_errno(store->database);
    const char *slash = strrchr(store->path, '/');
    size_t folder_len = slash == NULL ? 0 : (size_t)(slash - store->path);
    char *folder = folder_len == 0 ? strdup("/") : strndup(store->path, folder_len);
    comrade_status status = COMRADE_UNAVAILABLE;
    if (folder == NULL) {
        status = comrade_error_set(error, COMRADE_NO_MEMORY, "%s: out of memory", store->shown_url);
    } else if (stat(store->path, &found) == 0 && S_ISDIR(found.st_mode)) {
        status = comrade_error_set(error, COMRADE_INVALID,
                                   "%s: this is a directory; name a file in it", store->shown_url);
    } else if (store->must_exist && stat(folder, &found) == 0 &&
               /* It was not there, although somebody may be making it by now. */
               (cause == ENOENT || (access(store->path, F_OK) != 0 && errno == ENOENT))) {
        status = sqlite_explain_missing(store, error);
    } else if (may_not(folder, W_OK | X_OK) || may_not(store->path, R_OK) || cause == EACCES) {
        status = comrade_error_set(error, COMRADE_DENIED,
                                   "%s: no permission: the user needs write access to the file, to "
                                   "the -wal and -shm beside it and to the directory %s",
                                   store->shown_url, folder);
    } else if (stat(folder, &found) != 0 || !S_ISDIR(found.st_mode)) {
        comrade_error_set(error, status, "%s: the directory %s does not exist; create it first",
                          store->shown_url, folder);
    } else {
        /* SQLite tried once more, to read only, and knows what that said. */
        cause = access(folder, W_OK) != 0 ? errno : cause;
        comrade_error_set(error, status, "%s: cannot be opened: %s", store->shown_url,
                          cause == 0 ? "SQLite does not say why" : strerror(cause));
    }
    free(folder);
    return status;
}
