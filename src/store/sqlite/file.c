/*
 * The file at the path, and the files beside it. Their owner may put a backup in its place, or
 * delete it, while members run; what SQLite kept beside the old file (-wal, -shm) is then still
 * there, and would be taken for the new one's: old pages would come back, or the new file be
 * damaged. So the notify file records which inodes belong together, and whoever opens a file that
 * is another than the recorded one first removes the recorded -wal and -shm. (A new file may get
 * the inode of a deleted one that nobody has open; it is told apart by when it was born.) Those who
 * have the old file open go on with the old ones, which have no name any more, until their next
 * call notices. A -wal that came with the new file has another inode, and is kept.
 *
 * The lock on the notify file makes looking, removing and opening one step.
 */
#include "store/sqlite/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RECORD_SIZE = 128 };

/* What was open together; inode 0: none. */
struct belonging {
    uint64_t device;
    uint64_t database;
    uint64_t born_ns; /* of the database; 0: the file system does not say */
    uint64_t log;
    uint64_t shared_memory;
};

char *sqlite_path_of(const char *url)
{
    const char *path = strchr(url, ':') + 1;
    if (strncmp(path, "//", 2) == 0) {
        path += 2;
    }
    if (path[0] == '/') {
        return strdup(path);
    }
    /* Made absolute now: a program may change its directory, and ":memory:" is a file's name. */
    char *folder = getcwd(NULL, 0);
    char *absolute = NULL;
    if (folder == NULL || asprintf(&absolute, "%s/%s", folder, path) < 0) {
        absolute = NULL;
    }
    free(folder);
    return absolute;
}

/*
 * The log is as good as the file: without it, what was written last is not there for others. And in
 * the shared memory are the locks: those who use another one do not see ours.
 */
bool sqlite_was_replaced(const comrade_store *store)
{
    struct stat found;
    bool is_other = stat(store->path, &found) != 0 || found.st_dev != store->device ||
                    found.st_ino != store->inode;
    for (size_t i = 0; i < N_BESIDE && !is_other; i++) {
        const struct beside *beside = &store->beside[i];
        is_other = beside->inode != 0 &&
                   (stat(beside->path, &found) != 0 || found.st_ino != beside->inode);
    }
    return is_other;
}

/* --- The notify file -------------------------------------------------------------------------- */

/* Beside the database itself, not beside a link to it: all must agree on it. */
static bool name_notify_file(comrade_store *store)
{
    char *real = realpath(store->path, NULL);
    char *name = NULL;
    bool is_named = asprintf(&name, "%s-notify", real == NULL ? store->path : real) >= 0;
    free(real);
    if (is_named) {
        free(store->notify_path);
        store->notify_path = name;
    }
    return is_named;
}

static bool is_notify_file_current(const comrade_store *store)
{
    struct stat opened;
    struct stat found;
    return store->notify_fd >= 0 && fstat(store->notify_fd, &opened) == 0 &&
           stat(store->notify_path, &found) == 0 && opened.st_ino == found.st_ino &&
           opened.st_dev == found.st_dev;
}

/* Whoever may write the database may touch the file: it gets the same owner, group and rights. */
static void share_notify_file(const comrade_store *store)
{
    struct stat database;
    struct stat made;
    if (stat(store->path, &database) != 0 || fstat(store->notify_fd, &made) != 0) {
        return;
    }
    if (made.st_uid != database.st_uid || made.st_gid != database.st_gid) {
        bool is_root = geteuid() == 0;
        int result =
            fchown(store->notify_fd, is_root ? database.st_uid : (uid_t)-1, database.st_gid);
        (void)result; /* who may not give it away has no right to */
    }
    if ((made.st_mode & 0777) != (database.st_mode & 0666)) {
        fchmod(store->notify_fd, database.st_mode & 0666);
    }
}

/* A link to another file, laid there by somebody, must not be written, still less given away. */
static bool is_plain_file(int fd)
{
    struct stat found;
    return fstat(fd, &found) == 0 && S_ISREG(found.st_mode) && found.st_nlink <= 1;
}

bool sqlite_need_notify_file(comrade_store *store, bool may_create)
{
    if (store->notify_path == NULL) {
        return false;
    }
    if (is_notify_file_current(store)) {
        return true;
    }
    if (store->notify_fd >= 0) {
        close(store->notify_fd);
    }
    store->notify_fd =
        open(store->notify_path,
             O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (may_create ? O_CREAT : 0), 0600);
    if (store->notify_fd >= 0 && !is_plain_file(store->notify_fd)) {
        close(store->notify_fd);
        store->notify_fd = -1;
    }
    if (store->notify_fd >= 0 && may_create) {
        share_notify_file(store);
    }
    return store->notify_fd >= 0;
}

/* --- What belongs together -------------------------------------------------------------------- */

/* The path of the database's file with this ending; the caller frees it. */
static char *path_beside(const comrade_store *store, const char *ending)
{
    char *path = NULL;
    int len = (int)(strlen(store->notify_path) - strlen("-notify"));
    return asprintf(&path, "%.*s%s", len, store->notify_path, ending) < 0 ? NULL : path;
}

static void know_files_beside(comrade_store *store)
{
    static const char *const endings[N_BESIDE] = {"-wal", "-shm"};
    for (size_t i = 0; i < N_BESIDE; i++) {
        struct beside *beside = &store->beside[i];
        struct stat found;
        free(beside->path);
        beside->path = store->notify_path == NULL ? NULL : path_beside(store, endings[i]);
        bool is_there = beside->path != NULL && stat(beside->path, &found) == 0;
        beside->inode = is_there ? found.st_ino : 0;
    }
}

static uint64_t inode_beside(const comrade_store *store, const char *ending)
{
    char *path = path_beside(store, ending);
    struct stat found;
    uint64_t inode = path != NULL && stat(path, &found) == 0 ? (uint64_t)found.st_ino : 0;
    free(path);
    return inode;
}

static void remove_beside(const comrade_store *store, const char *ending, uint64_t inode)
{
    char *path = path_beside(store, ending);
    if (path != NULL && inode != 0 && inode_beside(store, ending) == inode) {
        unlink(path);
    }
    free(path);
}

static uint64_t born_ns(const comrade_store *store)
{
    struct statx found;
    if (statx(AT_FDCWD, store->path, 0, STATX_BTIME, &found) != 0 ||
        (found.stx_mask & STATX_BTIME) == 0) {
        return 0;
    }
    return (uint64_t)found.stx_btime.tv_sec * 1000000000 + found.stx_btime.tv_nsec;
}

static bool read_belonging(const comrade_store *store, struct belonging *recorded)
{
    char text[RECORD_SIZE];
    ssize_t n = pread(store->notify_fd, text, sizeof text - 1, 0);
    if (n <= 0) {
        return false;
    }
    text[n] = '\0';
    return sscanf(text, "open %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 "\n",
                  &recorded->device, &recorded->database, &recorded->born_ns, &recorded->log,
                  &recorded->shared_memory) == 5;
}

/* A failure (no room on the disk) costs the next one who replaces the file his protection. */
static void write_belonging(const comrade_store *store, const struct belonging *now)
{
    char text[RECORD_SIZE];
    int len = snprintf(text, sizeof text,
                       "open %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
                       now->device, now->database, now->born_ns, now->log, now->shared_memory);
    memset(text + len, ' ', sizeof text - (size_t)len);
    ssize_t n = pwrite(store->notify_fd, text, sizeof text, 0);
    (void)n;
}

static void remove_leftovers(const comrade_store *store)
{
    struct belonging recorded;
    struct stat found;
    bool is_there = stat(store->path, &found) == 0;
    if (!read_belonging(store, &recorded) ||
        (is_there && found.st_dev == recorded.device && found.st_ino == recorded.database &&
         born_ns(store) == recorded.born_ns)) {
        return;
    }
    remove_beside(store, "-wal", recorded.log);
    remove_beside(store, "-shm", recorded.shared_memory);
}

/* The file is locked, and still the one at its path. */
static bool lock(comrade_store *store, bool may_create)
{
    for (int n_tries = 0;; n_tries++) {
        if (!sqlite_need_notify_file(store, may_create)) {
            return false;
        }
        int result = flock(store->notify_fd, LOCK_EX | LOCK_NB);
        if (result == 0 && is_notify_file_current(store)) {
            return true;
        }
        if (result != 0 && errno != EWOULDBLOCK && errno != EINTR) {
            return false; /* a file system without locks: go on without */
        }
        if (!sqlite_wait(store, n_tries)) {
            return false;
        }
    }
}

bool sqlite_claim(comrade_store *store)
{
    name_notify_file(store);
    if (lock(store, false)) {
        remove_leftovers(store);
        return true;
    }
    return store->call == NULL || !comrade_call_is_over(store->call);
}

void sqlite_unclaim(comrade_store *store)
{
    bool is_ours = store->database != NULL && !store->is_read_only;
    if (store->database != NULL) {
        name_notify_file(store); /* again: a link may have led to no file before */
        know_files_beside(store);
    }
    if (is_ours && lock(store, true) && !sqlite_was_replaced(store)) {
        share_notify_file(store);
        struct belonging recorded = {0};
        struct belonging now = {store->device, store->inode, born_ns(store),
                                inode_beside(store, "-wal"), inode_beside(store, "-shm")};
        if (!read_belonging(store, &recorded) || memcmp(&recorded, &now, sizeof now) != 0) {
            write_belonging(store, &now);
        }
    }
    if (store->notify_fd >= 0) {
        flock(store->notify_fd, LOCK_UN);
    }
}
