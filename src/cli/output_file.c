#include "cli/output_file.h"

#include "base/buffer.h"
#include "base/env.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE_BYTES = 16 * 1024, MODE_BITS = 0777 };

/* --- Where it is ------------------------------------------------------------------------------ */

static char *joined(const char *folder, const char *before, const char *name, const char *behind)
{
    struct buffer text;
    buffer_init(&text, PATH_MAX);
    buffer_append_format(&text, "%s/%s%s%s", folder, before, name, behind);
    char *taken = buffer_take(&text);
    buffer_finish(&text);
    return taken;
}

static comrade_status check_folder(const char *path, const char *folder, comrade_error *error)
{
    struct stat found;
    if (stat(folder, &found) != 0) {
        return comrade_error_set(error, COMRADE_INVALID, "cannot write %s: the folder %s: %s", path,
                                 folder, strerror(errno));
    }
    if (access(folder, W_OK | X_OK) != 0) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "cannot write %s: it is replaced by a new file, and none can be "
                                 "made in %s: %s",
                                 path, folder, strerror(errno));
    }
    return COMRADE_OK;
}

/* Of an existing file where its links lead; they shall not be replaced. */
static comrade_status resolve(const char *path, char **resolved, comrade_error *error)
{
    struct stat found;
    if (stat(path, &found) == 0 && !S_ISREG(found.st_mode)) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "cannot write %s: it is there, and no regular file", path);
    }
    char *real = realpath(path, NULL);
    if (real == NULL && errno != ENOENT) {
        return comrade_error_set(error, COMRADE_INVALID, "cannot write %s: %s", path,
                                 strerror(errno));
    }
    real = real == NULL ? strdup(path) : real;
    if (real == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for a path");
    }
    *resolved = real;
    return COMRADE_OK;
}

static comrade_status set_paths(struct output_file *file, comrade_error *error)
{
    char random[32];
    const char *slash = strrchr(file->path, '/');
    const char *name = slash == NULL ? file->path : slash + 1;
    if (name[0] == '\0') {
        return comrade_error_set(error, COMRADE_INVALID, "\"%s\" names no file", file->path);
    }
    snprintf(random, sizeof random, ".%016" PRIx64 ".new", env_random(&env_system));
    file->folder = slash == NULL ? strdup(".") : strndup(file->path, (size_t)(slash - file->path));
    if (file->folder == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for a path");
    }
    file->new_path = joined(file->folder, ".", name, random);
    file->mark = joined(file->folder, ".", name, ".exec-due");
    if (file->new_path == NULL || file->mark == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for a path");
    }
    return check_folder(file->path, file->folder[0] == '\0' ? "/" : file->folder, error);
}

comrade_status output_file_init(struct output_file *file, const char *path, comrade_error *error)
{
    struct output_file made = {0};
    comrade_status status = resolve(path, &made.path, error);
    if (status == COMRADE_OK) {
        status = set_paths(&made, error);
    }
    if (status != COMRADE_OK) {
        output_file_finish(&made);
        return status;
    }
    *file = made;
    return COMRADE_OK;
}

void output_file_finish(struct output_file *file)
{
    free(file->path);
    free(file->folder);
    free(file->new_path);
    free(file->mark);
    *file = (struct output_file){0};
}

/* --- What it holds ---------------------------------------------------------------------------- */

static bool is_read_as(int fd, const char *text, size_t len)
{
    char piece[PIECE_BYTES];
    size_t at = 0;
    for (;;) {
        ssize_t n_bytes = read(fd, piece, sizeof piece);
        if (n_bytes < 0 && errno == EINTR) {
            continue;
        }
        if (n_bytes <= 0) {
            return n_bytes == 0 && at == len;
        }
        if ((size_t)n_bytes > len - at || memcmp(piece, text + at, (size_t)n_bytes) != 0) {
            return false;
        }
        at += (size_t)n_bytes;
    }
}

bool output_file_holds(const struct output_file *file, const char *text)
{
    int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return false;
    }
    bool is_same = is_read_as(fd, text, strlen(text));
    close(fd);
    return is_same;
}

/* --- Writing it ------------------------------------------------------------------------------- */

static bool write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n_bytes = write(fd, text, len);
        if (n_bytes < 0 && errno != EINTR) {
            return false;
        }
        text += n_bytes > 0 ? n_bytes : 0;
        len -= n_bytes > 0 ? (size_t)n_bytes : 0;
    }
    return true;
}

/* Only root can give a file away; where we cannot, it is ours, which is no failure. */
static bool take_over_mode(int fd, const char *path)
{
    struct stat old;
    if (stat(path, &old) != 0) {
        return true;
    }
    if (fchown(fd, old.st_uid, old.st_gid) != 0 && errno != EPERM) {
        return false;
    }
    return fchmod(fd, old.st_mode & MODE_BITS) == 0;
}

/* The name is on the disk only with its folder. A file system that cannot do that needs not. */
static void sync_folder(const char *folder)
{
    int fd = open(folder[0] == '\0' ? "/" : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

comrade_status output_file_write(const struct output_file *file, const char *text,
                                 comrade_error *error)
{
    /* What is left of a write that failed is ours: the name is random. */
    unlink(file->new_path);
    int fd = open(file->new_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    bool is_done = fd >= 0 && write_all(fd, text, strlen(text)) && take_over_mode(fd, file->path) &&
                   fsync(fd) == 0 && rename(file->new_path, file->path) == 0;
    int problem = errno;
    if (fd >= 0) {
        close(fd);
    }
    if (!is_done) {
        unlink(file->new_path);
        return comrade_error_set(error, COMRADE_SYSTEM, "cannot write %s: %s", file->path,
                                 strerror(problem));
    }
    sync_folder(file->folder);
    return COMRADE_OK;
}

/* --- The mark --------------------------------------------------------------------------------- */

comrade_status output_file_set_mark(const struct output_file *file, comrade_error *error)
{
    int fd = open(file->mark, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0) {
        return comrade_error_set(error, COMRADE_SYSTEM, "cannot write %s: %s", file->mark,
                                 strerror(errno));
    }
    close(fd);
    return COMRADE_OK;
}

void output_file_clear_mark(const struct output_file *file)
{
    unlink(file->mark);
}

bool output_file_is_marked(const struct output_file *file)
{
    return access(file->mark, F_OK) == 0;
}
