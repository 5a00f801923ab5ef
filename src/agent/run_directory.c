#include "agent/run_directory.h"

#include "base/error.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static bool default_parent(char path[RUN_DIRECTORY_PATH_SIZE])
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    int len;
    if (geteuid() == 0 && access("/run", W_OK) == 0) {
        len = snprintf(path, RUN_DIRECTORY_PATH_SIZE, "/run/comrade");
    } else if (geteuid() != 0 && runtime != NULL && runtime[0] == '/') {
        len = snprintf(path, RUN_DIRECTORY_PATH_SIZE, "%s/comrade", runtime);
    } else {
        len = snprintf(path, RUN_DIRECTORY_PATH_SIZE, "/tmp/comrade-%u", (unsigned)geteuid());
    }
    return len < RUN_DIRECTORY_PATH_SIZE;
}

/* In /tmp anybody may have made the directory before us: it must be ours, and ours alone. */
static comrade_status open_private(const char *path, int at_fd, const char *name, int *fd,
                                   comrade_error *error)
{
    if (mkdirat(at_fd, name, 0700) != 0 && errno != EEXIST) {
        return comrade_error_set(
            error, COMRADE_SYSTEM, "cannot make the directory %s for lock files: %s%s", path,
            strerror(errno), geteuid() == 0 ? "" : " (XDG_RUNTIME_DIR chooses its place)");
    }
    int opened = openat(at_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat info;
    if (opened < 0 || fstat(opened, &info) != 0) {
        comrade_error_set(error, COMRADE_SYSTEM, "cannot open the directory %s for lock files: %s",
                          path, strerror(errno));
        if (opened >= 0) {
            close(opened);
        }
        return COMRADE_SYSTEM;
    }
    if (info.st_uid != geteuid() || (info.st_mode & 022) != 0) {
        close(opened);
        return comrade_error_set(error, COMRADE_DENIED,
                                 "the directory %s for lock files must belong to user %u and be "
                                 "writable by nobody else; remove it, or change that",
                                 path, (unsigned)geteuid());
    }
    *fd = opened;
    return COMRADE_OK;
}

comrade_status run_directory_open(const char *parent, const char *name, int *fd,
                                  comrade_error *error)
{
    char path[RUN_DIRECTORY_PATH_SIZE];
    if (parent == NULL) {
        if (!default_parent(path)) {
            return comrade_error_set(error, COMRADE_TOO_LARGE, "XDG_RUNTIME_DIR is too long");
        }
        parent = path;
    }
    int parent_fd;
    comrade_status status = open_private(parent, AT_FDCWD, parent, &parent_fd, error);
    if (status != COMRADE_OK) {
        return status;
    }
    status = open_private(parent, parent_fd, name, fd, error);
    close(parent_fd);
    return status;
}

static pid_t lock_holder(int fd)
{
    char text[32];
    ssize_t len = pread(fd, text, sizeof text - 1, 0);
    int64_t pid = 0;
    if (len > 0) {
        text[len] = '\0';
        text[strcspn(text, "\n")] = '\0';
        text_to_number(text, 1, INT32_MAX, &pid);
    }
    return (pid_t)pid;
}

comrade_status run_lock_take(int directory_fd, const char *name, int *fd, pid_t *holder,
                             comrade_error *error)
{
    int opened = openat(directory_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (opened < 0) {
        return comrade_error_set(error, COMRADE_SYSTEM, "cannot open the lock file %s: %s", name,
                                 strerror(errno));
    }
    comrade_status status = COMRADE_OK;
    if (flock(opened, LOCK_EX | LOCK_NB) != 0) {
        status = errno == EWOULDBLOCK ? COMRADE_IN_USE : COMRADE_SYSTEM;
        comrade_error_set(error, status, "cannot lock the file %s: %s", name, strerror(errno));
        if (holder != NULL) {
            *holder = lock_holder(opened);
        }
        close(opened);
        return status;
    }
    /* The pid is for people alone: not being able to write it does no harm. */
    if (ftruncate(opened, 0) != 0 || dprintf(opened, "%d\n", (int)getpid()) < 0) {
        errno = 0;
    }
    *fd = opened;
    return COMRADE_OK;
}
