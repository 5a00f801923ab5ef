/*
 * libcurl tells nobody which sockets it wakes itself by, and other threads open theirs meanwhile.
 * So we wake it, and see which sockets notice: one end has something to read then, the other has
 * something that was not read yet, and neither has, before and after. (The pair by which the thread
 * of a lookup reports is as open; it is gone when the lookup is.)
 */
#include "store/datastore/http_exec.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { CANDIDATES_MAX = 256 };

struct candidate {
    int fd;
    bool is_awake;
};

static bool is_quiet(int fd)
{
    int n_to_read = 0;
    int n_unread = 0;
    return ioctl(fd, FIONREAD, &n_to_read) == 0 && ioctl(fd, SIOCOUTQ, &n_unread) == 0 &&
           n_to_read == 0 && n_unread == 0;
}

static bool is_local_socket(int fd)
{
    int domain = 0;
    socklen_t len = sizeof domain;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

/* The sockets that may be the pair. */
static size_t find_candidates(struct candidate candidates[CANDIDATES_MAX])
{
    DIR *folder = opendir("/proc/self/fd");
    size_t n = 0;
    for (struct dirent *entry = NULL;
         folder != NULL && n < CANDIDATES_MAX && (entry = readdir(folder)) != NULL;) {
        int fd = (int)strtol(entry->d_name, NULL, 10);
        int flags = entry->d_name[0] == '.' ? -1 : fcntl(fd, F_GETFD);
        if (flags >= 0 && (flags & FD_CLOEXEC) == 0 && is_local_socket(fd) && is_quiet(fd)) {
            candidates[n++] = (struct candidate){.fd = fd};
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return n;
}

void http_close_on_exec(CURLM *multi)
{
    struct candidate candidates[CANDIDATES_MAX];
    size_t n = find_candidates(candidates);
    curl_multi_wakeup(multi);
    for (size_t i = 0; i < n; i++) {
        candidates[i].is_awake = !is_quiet(candidates[i].fd);
    }
    curl_multi_poll(multi, NULL, 0, 0, NULL); /* takes note that it was woken */
    for (size_t i = 0; i < n; i++) {
        if (candidates[i].is_awake && is_quiet(candidates[i].fd)) {
            fcntl(candidates[i].fd, F_SETFD, FD_CLOEXEC);
        }
    }
}
