/*
 * Push between the processes of one machine: after a write has been committed, the writer touches a
 * file beside the database, which the others watch with inotify; what was written they read from
 * the change table. Heartbeats touch nothing. Where inotify cannot be had, a timer makes the
 * reader look at the change table each second.
 */
#include "store/sqlite/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { POLL_EVERY_S = 1 };

/* Whoever may write the database may touch the file. */
static int open_notify_file(const comrade_store *store)
{
    int fd = open(store->notify_path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct stat database;
    struct stat found;
    if (fd >= 0 && stat(store->path, &database) == 0 && fstat(fd, &found) == 0 &&
        found.st_uid == geteuid() && (found.st_mode & 0777) != (database.st_mode & 0777)) {
        fchmod(fd, database.st_mode & 0666);
    }
    return fd;
}

/* Has somebody deleted it, or put another in its place? */
static bool is_notify_file_current(const comrade_store *store)
{
    struct stat opened;
    struct stat found;
    return store->notify_fd >= 0 && fstat(store->notify_fd, &opened) == 0 &&
           stat(store->notify_path, &found) == 0 && opened.st_ino == found.st_ino &&
           opened.st_dev == found.st_dev;
}

static bool need_notify_file(comrade_store *store)
{
    if (is_notify_file_current(store)) {
        return true;
    }
    if (store->notify_fd >= 0) {
        close(store->notify_fd);
    }
    store->notify_fd = open_notify_file(store);
    return store->notify_fd >= 0;
}

void sqlite_notify(comrade_store *store)
{
    /* A failure delays others to their next heartbeat; it is no reason to fail the write. */
    if (need_notify_file(store)) {
        futimens(store->notify_fd, NULL);
    }
}

void sqlite_unwatch(comrade_store *store)
{
    if (store->inotify_fd >= 0) {
        close(store->inotify_fd);
        store->inotify_fd = -1;
    }
}

static int watch_file(comrade_store *store)
{
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (fd >= 0 && (!need_notify_file(store) ||
                    inotify_add_watch(fd, store->notify_path,
                                      IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF) < 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

static int start_timer(void)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct itimerspec each = {.it_interval = {POLL_EVERY_S, 0}, .it_value = {POLL_EVERY_S, 0}};
    if (fd >= 0 && timerfd_settime(fd, 0, &each, NULL) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int sqlite_watch(comrade_store *store, const comrade_call *call, comrade_error *error)
{
    if (sqlite_use(store, call, error) != COMRADE_OK) {
        sqlite_release(store);
        return -1;
    }
    sqlite_unwatch(store);
    store->inotify_fd = watch_file(store);
    if (store->inotify_fd < 0) {
        store->inotify_fd = start_timer();
    }
    if (store->inotify_fd < 0) {
        comrade_error_set(error, COMRADE_UNAVAILABLE, "%s: cannot be watched: %s", store->shown_url,
                          strerror(errno));
    }
    store->last_change = -1; /* the caller looks at everything now; drain() goes on from here */
    sqlite3_stmt *ends = sqlite_statement(store, STATEMENT_CHANGE_ENDS);
    if (ends != NULL && sqlite3_step(ends) == SQLITE_ROW) {
        store->last_change = sqlite3_column_int64(ends, 1);
    }
    sqlite3_reset(ends);
    sqlite_release(store);
    return store->inotify_fd;
}

/* True if the watch itself has come to an end: the file was deleted or replaced. */
static bool read_events(int fd)
{
    char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    bool is_over = false;
    ssize_t n;
    while ((n = read(fd, events, sizeof events)) > 0) {
        for (char *at = events; at + sizeof(struct inotify_event) <= events + n;) {
            const struct inotify_event *event = (const struct inotify_event *)(void *)at;
            is_over |= (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) != 0;
            at += sizeof *event + event->len;
        }
    }
    return is_over;
}

/* False: some changes are no longer there to be told. */
static bool tell_changes(comrade_store *store, const comrade_watch_sink *sink)
{
    sqlite3_stmt *ends = sqlite_statement(store, STATEMENT_CHANGE_ENDS);
    int64_t oldest = 0;
    int64_t newest = -1;
    if (ends != NULL && sqlite3_step(ends) == SQLITE_ROW) {
        oldest = sqlite3_column_int64(ends, 0);
        newest = sqlite3_column_int64(ends, 1);
    }
    sqlite3_reset(ends);
    bool has_gap =
        store->last_change < 0 || newest < store->last_change || oldest > store->last_change + 1;
    if (has_gap) {
        store->last_change = newest;
        return false;
    }
    sqlite3_stmt *changes = sqlite_statement(store, STATEMENT_CHANGES);
    if (changes == NULL) {
        return false;
    }
    sqlite3_bind_int64(changes, 1, store->last_change);
    int code;
    while ((code = sqlite3_step(changes)) == SQLITE_ROW) {
        store->last_change = sqlite3_column_int64(changes, 0);
        if (sqlite3_column_int64(changes, 1) == store->cluster) {
            sink->on_change(sink->user, (const char *)sqlite3_column_text(changes, 2),
                            (const char *)sqlite3_column_text(changes, 3));
        }
    }
    sqlite3_reset(changes);
    return code == SQLITE_DONE;
}

comrade_status sqlite_drain(comrade_store *store, const comrade_watch_sink *sink,
                            comrade_error *error)
{
    if (read_events(store->inotify_fd)) {
        return comrade_error_set(error, COMRADE_UNAVAILABLE, "%s: the watched file was replaced",
                                 store->shown_url);
    }
    sqlite3 *before = store->database;
    comrade_status status = sqlite_use(store, NULL, error);
    if (status == COMRADE_OK && (store->database != before || !tell_changes(store, sink))) {
        sink->on_resync(sink->user);
    }
    sqlite_release(store);
    return status;
}
