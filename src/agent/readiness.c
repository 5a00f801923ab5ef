#include "agent/readiness.h"

#include "base/error.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MESSAGE_BYTES = 4096, MESSAGES_PER_STEP = 64, GENERATIONS = 64, PASSED_FDS = 32 };

static comrade_status open_socket(struct readiness *readiness, const struct env *env,
                                  comrade_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int one = 1;
    snprintf(readiness->address, sizeof readiness->address, "@comrade/notify/%016llx",
             (unsigned long long)env_random(env));
    size_t len = strlen(readiness->address);
    memcpy(address.sun_path, readiness->address, len);
    address.sun_path[0] = '\0';
    readiness->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (readiness->fd < 0 ||
        setsockopt(readiness->fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof one) != 0 ||
        bind(readiness->fd, (const struct sockaddr *)&address,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) != 0) {
        comrade_error_set(error, COMRADE_SYSTEM, "cannot open a socket for sd_notify: %s",
                          strerror(errno));
        readiness_finish(readiness);
        return COMRADE_SYSTEM;
    }
    return COMRADE_OK;
}

comrade_status readiness_init(struct readiness *readiness, enum ready_kind kind,
                              const struct env *env, comrade_error *error)
{
    *readiness = (struct readiness){.kind = kind, .fd = -1, .service_fd = -1, .address = ""};
    return kind == READY_NOTIFY ? open_socket(readiness, env, error) : COMRADE_OK;
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

void readiness_finish(struct readiness *readiness)
{
    close_fd(&readiness->fd);
    close_fd(&readiness->service_fd);
}

comrade_status readiness_begin(struct readiness *readiness, comrade_error *error)
{
    if (readiness->kind == READY_NOTIFY) {
        /* Nobody is below us now, so nothing that waits here is believed. */
        readiness_step(readiness, 0);
        return COMRADE_OK;
    }
    if (readiness->kind != READY_FD) {
        return COMRADE_OK;
    }
    readiness_finish(readiness);
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return comrade_error_set(error, COMRADE_SYSTEM, "cannot make a pipe for readiness: %s",
                                 strerror(errno));
    }
    readiness->fd = fds[0];
    readiness->service_fd = fds[1];
    /* Only our end: both ends of a pipe are descriptions of their own. */
    fcntl(readiness->fd, F_SETFL, O_NONBLOCK);
    return COMRADE_OK;
}

void readiness_spawned(struct readiness *readiness)
{
    close_fd(&readiness->service_fd);
}

static pid_t parent_of(pid_t pid)
{
    char path[64], text[512];
    int parent = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    ssize_t len = read(fd, text, sizeof text - 1);
    close(fd);
    if (len <= 0) {
        return 0;
    }
    text[len] = '\0';
    /* "pid (name) state ppid …", where the name may hold anything. */
    const char *end = strrchr(text, ')');
    if (end == NULL || sscanf(end + 1, " %*c %d", &parent) != 1) {
        return 0;
    }
    return (pid_t)parent;
}

bool process_is_below(pid_t pid, pid_t ancestor)
{
    for (int i = 0; i < GENERATIONS && pid > 1 && ancestor > 0; i++) {
        pid = parent_of(pid);
        if (pid == ancestor) {
            return true;
        }
    }
    return false;
}

/* The sender's PID, 0 if the kernel says none. */
static pid_t sender_of(struct msghdr *message)
{
    struct ucred sender = {0};
    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at != NULL; at = CMSG_NXTHDR(message, at)) {
        if (at->cmsg_level == SOL_SOCKET && at->cmsg_type == SCM_CREDENTIALS) {
            memcpy(&sender, CMSG_DATA(at), sizeof sender);
        }
    }
    return sender.pid;
}

/* That is how the sender of BARRIER=1 learns that its messages have been read. */
static void close_passed_fds(struct msghdr *message)
{
    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at != NULL; at = CMSG_NXTHDR(message, at)) {
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        for (size_t i = 0; i < (at->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(at) + i * sizeof fd, sizeof fd);
            close(fd);
        }
    }
}

static bool says_ready(const char *text)
{
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        size_t len = strcspn(line, "\n");
        if (len == 7 && strncmp(line, "READY=1", len) == 0) {
            return true;
        }
    }
    return false;
}

/* -1 when there is no message. */
static int read_message(int fd, pid_t ancestor)
{
    char text[MESSAGE_BYTES + 1];
    union {
        char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(PASSED_FDS * sizeof(int))];
        struct cmsghdr aligned;
    } control;
    struct iovec part = {text, MESSAGE_BYTES};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t len = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    if (len < 0) {
        return errno == EINTR ? 0 : -1;
    }
    text[len] = '\0';
    /* The sender is looked up before its descriptors are closed: it may wait for that before it
       exits, as systemd-notify(1) does. */
    bool is_ready = says_ready(text);
    pid_t pid = sender_of(&message);
    bool is_ours = is_ready && process_is_below(pid, ancestor);
    close_passed_fds(&message);
    if (is_ready && !is_ours && ancestor > 0) {
        LOG(LOG_LEVEL_WARN, "notify-ignored", LOG_NUMBER("sender_pid", pid),
            LOG_TEXT("reason", "READY=1 is believed only of a living descendant of the service"));
    }
    return is_ready && is_ours;
}

static bool read_line(struct readiness *readiness)
{
    char bytes[256];
    for (int i = 0; i < MESSAGES_PER_STEP; i++) {
        ssize_t len = read(readiness->fd, bytes, sizeof bytes);
        if (len > 0 && memchr(bytes, '\n', (size_t)len) != NULL) {
            close_fd(&readiness->fd);
            return true;
        }
        if (len == 0 || (len < 0 && errno != EAGAIN && errno != EINTR)) {
            close_fd(&readiness->fd); /* Closed without a word: it will be too late some day. */
            return false;
        }
        if (len < 0) {
            return false;
        }
    }
    return false;
}

bool readiness_step(struct readiness *readiness, pid_t ancestor)
{
    if (readiness->fd < 0) {
        return false;
    }
    if (readiness->kind == READY_FD) {
        return read_line(readiness);
    }
    bool is_ready = false;
    for (int i = 0; i < MESSAGES_PER_STEP; i++) {
        int answer = read_message(readiness->fd, ancestor);
        if (answer < 0) {
            break;
        }
        is_ready = is_ready || answer == 1;
    }
    return is_ready;
}
