/*
 * Finds and uses our control group. /proc/self/cgroup has a line "0::/path" for version 2, also on
 * hybrid machines; /proc/self/mountinfo says where that hierarchy is mounted, and which part of it:
 * in a container the mount's root may itself be a path, which is then a prefix of ours.
 */
#include "agent/control_group.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { REMOVE_DEPTH_MAX = 8, ENTRIES_MAX = 65536 };

/* The rest of the line "0::/path" of /proc/self/cgroup. */
static bool find_own_path(char *path, size_t size)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    char line[PATH_MAX + 16];
    bool is_found = false;
    while (file != NULL && !is_found && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        is_found = strncmp(line, "0::/", 4) == 0 && strlen(line + 3) < size;
        if (is_found) {
            memcpy(path, line + 3, strlen(line + 3) + 1);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    /* "/../x" lies outside of our cgroup namespace: there is no path to it. */
    return is_found && strncmp(path, "/..", 3) != 0;
}

/* mountinfo writes blank, tab, newline and backslash as three octal digits. */
static void decode_mount_path(char *path)
{
    char *to = path;
    for (const char *from = path; *from != '\0'; to++) {
        if (from[0] == '\\' && strspn(from + 1, "01234567") >= 3) {
            *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/* Appends what `own` has below the mount's `root` to the mount point. */
static bool join(const char *mount_point, const char *root, const char *own, char *path,
                 size_t size)
{
    size_t root_len = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (strncmp(own, root, root_len) != 0 || (own[root_len] != '/' && own[root_len] != '\0')) {
        return false;
    }
    int len = snprintf(path, size, "%s%s", mount_point, own + root_len);
    return len > 0 && (size_t)len < size;
}

/* The directory of the group that we are in. */
static bool find_own_directory(char *directory, size_t size)
{
    char own[PATH_MAX];
    if (!find_own_path(own, sizeof own)) {
        return false;
    }
    FILE *file = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t line_size = 0;
    bool is_found = false;
    while (file != NULL && !is_found && getline(&line, &line_size, file) >= 0) {
        char root[PATH_MAX];
        char mount_point[PATH_MAX];
        const char *kind = strstr(line, " - ");
        if (kind == NULL || strncmp(kind, " - cgroup2 ", 11) != 0 ||
            sscanf(line, "%*d %*d %*s %4095s %4095s", root, mount_point) != 2) {
            continue;
        }
        decode_mount_path(root);
        decode_mount_path(mount_point);
        is_found = join(mount_point, root, own, directory, size);
    }
    free(line);
    if (file != NULL) {
        fclose(file);
    }
    return is_found;
}

static bool write_file(int directory_fd, const char *name, const char *text)
{
    int fd = openat(directory_fd, name, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    bool is_written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return is_written;
}

/* A group of our name that is there already is one that an earlier process of our PID left. */
static bool make_directory(const struct control_group *group)
{
    if (mkdirat(group->parent_fd, group->name, 0755) == 0) {
        return true;
    }
    return errno == EEXIST && unlinkat(group->parent_fd, group->name, AT_REMOVEDIR) == 0 &&
           mkdirat(group->parent_fd, group->name, 0755) == 0;
}

bool control_group_make(struct control_group *group)
{
    struct control_group made = CONTROL_GROUP_NONE;
    char directory[PATH_MAX];
    *group = made;
    if (!find_own_directory(directory, sizeof directory)) {
        return false;
    }
    snprintf(made.name, sizeof made.name, "comrade-%d", (int)getpid());
    made.parent_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (made.parent_fd < 0 || !make_directory(&made)) {
        control_group_close(&made);
        return false;
    }
    made.fd = openat(made.parent_fd, made.name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (made.fd < 0 || faccessat(made.fd, "cgroup.procs", W_OK, AT_EACCESS) < 0) {
        control_group_remove(&made);
        return false;
    }
    *group = made;
    return true;
}

bool control_group_enter(const struct control_group *group)
{
    return group->fd >= 0 && write_file(group->fd, "cgroup.procs", "0");
}

void control_group_kill(const struct control_group *group)
{
    if (group->fd >= 0 && !write_file(group->fd, "cgroup.kill", "1")) {
        write_file(group->fd, "cgroup.freeze", "1");
    }
}

void control_group_thaw(const struct control_group *group)
{
    if (group->fd >= 0) {
        write_file(group->fd, "cgroup.freeze", "0");
    }
}

/* rmdir(2) from the bottom up; what is not empty stays. */
static void remove_directory(int parent_fd, const char *name, int depth)
{
    if (unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || depth == REMOVE_DEPTH_MAX) {
        return;
    }
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (directory == NULL) {
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    const struct dirent *entry;
    for (int i = 0; i < ENTRIES_MAX && (entry = readdir(directory)) != NULL; i++) {
        if (entry->d_type == DT_DIR && strcmp(entry->d_name, ".") != 0 &&
            strcmp(entry->d_name, "..") != 0) {
            remove_directory(fd, entry->d_name, depth + 1);
        }
    }
    closedir(directory);
    unlinkat(parent_fd, name, AT_REMOVEDIR);
}

void control_group_remove(struct control_group *group)
{
    if (group->parent_fd >= 0) {
        remove_directory(group->parent_fd, group->name, 0);
    }
    control_group_close(group);
}

void control_group_close(struct control_group *group)
{
    if (group->fd >= 0) {
        close(group->fd);
    }
    if (group->parent_fd >= 0) {
        close(group->parent_fd);
    }
    *group = (struct control_group)CONTROL_GROUP_NONE;
}
