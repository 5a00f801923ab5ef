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

void sqlite_notify(comrade_store *store)
{
    /* A failure delays others to their next heartbeat; it is no reason to fail the write. */
    if (sqlite_need_notify_file(store, true)) {
        futimens(store->notify_fd, NULL);
    }
}

void sqlite_unwatch(comrade_store *store)
{
    if (store->watch_fd >= 0) {
        close(store->watch_fd);
        store->watch_fd = -1;
        store->watched_inode = 0;
    }
}

static bool add_watch(comrade_store *store, int fd)
{
    struct stat watched;
    if (!sqlite_need_notify_file(store, !store->is_read_only) ||
        fstat(store->notify_fd, &watched) != 0 ||
        inotify_add_watch(fd, store->notify_path, IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF) < 0) {
        return false;
    }
    store->watched_inode = watched.st_ino;
    return true;
}

void sqlite_watch_again(comrade_store *store)
{
    if (store->watched_inode != 0) {
        add_watch(store, store->watch_fd);
    }
    sqlite_notify(store);
}

static int watch_file(comrade_store *store)
{
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (fd >= 0 && !add_watch(store, fd)) {
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
    store->watch_fd = watch_file(store);
    if (store->watch_fd < 0) {
        store->watch_fd = start_timer();
    }
    if (store->watch_fd < 0) {
        comrade_error_set(error, COMRADE_UNAVAILABLE, "%s: cannot be watched: %s", store->shown_url,
                          strerror(errno));
    }
    /* The caller looks at everything now; drain() goes on from here. */
    if (sqlite_read_last_change(store, &store->last_change) != SQLITE_OK) {
        store->last_change.sequence = -1;
    }
    sqlite_release(store);
    return store->watch_fd;
}

/* An inotify descriptor and a timer are both read until they are empty. */
static void read_events(int fd)
{
    char events[4096];
    while (read(fd, events, sizeof events) > 0) {
    }
}

static bool is_next(const struct change_mark *last, const struct change_mark *found)
{
    return last->sequence == 0
               ? found->sequence == 1
               : found->sequence == last->sequence && found->written_ms == last->written_ms;
}

/*
 * Tells what came behind the last change told. That one must still be there, and first; else some
 * are no longer there to be told, or the table is another: false.
 */
static bool tell_changes(comrade_store *store, const comrade_watch_sink *sink)
{
    struct change_mark last = store->last_change;
    sqlite3_stmt *changes = last.sequence < 0 ? NULL : sqlite_statement(store, STATEMENT_CHANGES);
    if (changes == NULL) {
        return false;
    }
    sqlite3_bind_int64(changes, 1, last.sequence);
    bool is_first = true;
    bool is_whole = true;
    int code;
    while (is_whole && (code = sqlite3_step(changes)) == SQLITE_ROW) {
        struct change_mark found = {sqlite3_column_int64(changes, 0),
                                    sqlite3_column_int64(changes, 1)};
        is_whole = !is_first || is_next(&last, &found);
        bool is_new = is_whole && (!is_first || last.sequence == 0);
        if (is_new && sqlite3_column_int64(changes, 2) == store->cluster) {
            sink->on_change(sink->user, (const char *)sqlite3_column_text(changes, 3),
                            (const char *)sqlite3_column_text(changes, 4));
        }
        store->last_change = found;
        is_first = false;
    }
    sqlite3_reset(changes);
    return is_whole && code == SQLITE_DONE && !(is_first && last.sequence > 0);
}

comrade_status sqlite_drain(comrade_store *store, const comrade_watch_sink *sink,
                            comrade_error *error)
{
    struct stat found;
    read_events(store->watch_fd);
    if (store->watched_inode != 0 &&
        (stat(store->notify_path, &found) != 0 || found.st_ino != store->watched_inode)) {
        return comrade_error_set(error, COMRADE_UNAVAILABLE,
                                 "%s: the file that tells of changes was deleted",
                                 store->shown_url);
    }
    /* Opening may take long, and has no bounds here: the next call does it. */
    bool is_open = store->database != NULL && !sqlite_was_replaced(store);
    if (!is_open || !tell_changes(store, sink)) {
        if (!is_open || sqlite_read_last_change(store, &store->last_change) != SQLITE_OK) {
            store->last_change.sequence = -1;
        }
        sink->on_resync(sink->user);
    }
    return COMRADE_OK;
}
