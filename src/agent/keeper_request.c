/*
 * What the agent asks of its keeper. Requests are sent without waiting: a keeper that does not take
 * them is stuck, and that is told. A command's text goes as a memory file beside the request, so
 * that it may be as large as exec(2) takes, and costs the keeper nothing.
 */
#include "agent/keeper_protocol.h"

#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TARGET_MAX = 1000 };

static comrade_status send_request(const struct keeper *keeper,
                                   const struct keeper_request *request, const int *fds,
                                   comrade_error *error)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(KEEPER_FDS_MAX * sizeof(int))];
    } control = {0};
    struct keeper_request copy = *request;
    struct iovec data = {.iov_base = &copy, .iov_len = sizeof copy};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    if (request->n_fds > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(request->n_fds * sizeof(int));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(request->n_fds * sizeof(int));
        memcpy(CMSG_DATA(&control.header), fds, request->n_fds * sizeof(int));
    }
    ssize_t n_bytes;
    do {
        n_bytes = sendmsg(keeper_fd(keeper), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n_bytes < 0 && errno == EINTR);
    if (n_bytes >= 0) {
        return COMRADE_OK;
    }
    comrade_status status = errno == EAGAIN                         ? COMRADE_BUSY
                            : errno == EPIPE || errno == ECONNRESET ? COMRADE_GONE
                                                                    : COMRADE_SYSTEM;
    return comrade_error_set(error, status,
                             "asking the process that keeps the service (pid %d): %s",
                             (int)keeper_pid(keeper), strerror(errno));
}

comrade_status keeper_signal_group(struct keeper *keeper, enum keeper_slot slot, int signal,
                                   comrade_error *error)
{
    struct keeper_request request = {
        .kind = KEEPER_REQUEST_SIGNAL_GROUP, .slot = slot, .signal = signal};
    return send_request(keeper, &request, NULL, error);
}

comrade_status keeper_signal_tree(struct keeper *keeper, int signal, comrade_error *error)
{
    struct keeper_request request = {.kind = KEEPER_REQUEST_SIGNAL_TREE, .signal = signal};
    return send_request(keeper, &request, NULL, error);
}

comrade_status keeper_kill_tree(struct keeper *keeper, comrade_error *error)
{
    struct keeper_request request = {.kind = KEEPER_REQUEST_KILL_TREE};
    return send_request(keeper, &request, NULL, error);
}

/* --- Spawning ------------------------------------------------------------------------------ */

static void add_fd(struct keeper_request *request, int *fds, int fd, int target)
{
    if (fd >= 0) {
        fds[request->n_fds] = fd;
        request->targets[request->n_fds++] = target;
    }
}

static comrade_status add_fds(const struct keeper_command *command, struct keeper_request *request,
                              int *fds, comrade_error *error)
{
    if (command->n_extra_fds > KEEPER_EXTRA_FDS_MAX) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "starting %s: more than %d descriptors to pass", command->argv[0],
                                 KEEPER_EXTRA_FDS_MAX);
    }
    add_fd(request, fds, command->stdin_fd, STDIN_FILENO);
    add_fd(request, fds, command->stdout_fd, STDOUT_FILENO);
    add_fd(request, fds, command->stderr_fd, STDERR_FILENO);
    for (size_t i = 0; i < command->n_extra_fds; i++) {
        const struct keeper_extra_fd *extra = &command->extra_fds[i];
        bool is_wrong =
            extra->fd < 0 || extra->target <= STDERR_FILENO || extra->target > TARGET_MAX;
        for (size_t j = 0; j < i; j++) {
            is_wrong = is_wrong || command->extra_fds[j].target == extra->target;
        }
        if (is_wrong) {
            return comrade_error_set(error, COMRADE_INVALID,
                                     "starting %s: descriptor %d cannot be passed as %d",
                                     command->argv[0], extra->fd, extra->target);
        }
        add_fd(request, fds, extra->fd, extra->target);
    }
    return COMRADE_OK;
}

/* A memory file. Whether all was written is asked once, at the end. */
struct text_file {
    FILE *file;
    size_t n_bytes;
};

static void write_text(struct text_file *text, const char *string)
{
    size_t n_bytes = strlen(string) + 1;
    text->n_bytes += n_bytes;
    if (text->n_bytes <= KEEPER_TEXT_MAX_BYTES) {
        fwrite(string, 1, n_bytes, text->file);
    }
}

static size_t write_texts(struct text_file *text, const char *const *strings)
{
    size_t n = 0;
    for (; strings[n] != NULL && text->n_bytes <= KEEPER_TEXT_MAX_BYTES; n++) {
        write_text(text, strings[n]);
    }
    return n;
}

static comrade_status write_command(const struct keeper_command *command,
                                    struct keeper_request *request, FILE *file,
                                    comrade_error *error)
{
    struct text_file text = {.file = file};
    request->has_directory = command->working_directory != NULL;
    if (request->has_directory) {
        write_text(&text, command->working_directory);
    }
    request->n_arguments = write_texts(&text, command->argv);
    request->n_environment =
        write_texts(&text, command->envp != NULL ? command->envp : (const char *const *)environ);
    request->text_bytes = text.n_bytes;
    if (text.n_bytes > KEEPER_TEXT_MAX_BYTES) {
        return comrade_error_set(error, COMRADE_TOO_LARGE,
                                 "starting %.200s: arguments and environment exceed 64 MB",
                                 command->argv[0]);
    }
    if (fflush(file) != 0 || ferror(file)) {
        return comrade_error_set(error, COMRADE_NO_MEMORY,
                                 "starting %.200s: no memory for its arguments and environment: %s",
                                 command->argv[0], strerror(errno));
    }
    return COMRADE_OK;
}

comrade_status keeper_spawn(struct keeper *keeper, const struct keeper_command *command,
                            comrade_error *error)
{
    if (command->argv == NULL || command->argv[0] == NULL) {
        return comrade_error_set(error, COMRADE_INVALID, "starting a process: no command given");
    }
    struct keeper_request request = {
        .kind = KEEPER_REQUEST_SPAWN, .slot = command->slot, .n_fds = 1};
    int fds[KEEPER_FDS_MAX];
    int memory_fd = memfd_create("comrade-command", MFD_CLOEXEC);
    FILE *file = memory_fd < 0 ? NULL : fdopen(memory_fd, "w");
    if (file == NULL) {
        comrade_error_set(error, COMRADE_SYSTEM, "starting %.200s: memfd_create: %s",
                          command->argv[0], strerror(errno));
        if (memory_fd >= 0) {
            close(memory_fd);
        }
        return COMRADE_SYSTEM;
    }
    fds[0] = memory_fd;
    comrade_status status = add_fds(command, &request, fds, error);
    if (status == COMRADE_OK) {
        status = write_command(command, &request, file, error);
    }
    if (status == COMRADE_OK) {
        status = send_request(keeper, &request, fds, error);
    }
    fclose(file);
    return status;
}
