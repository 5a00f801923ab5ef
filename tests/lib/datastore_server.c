/*
 * A socket to the standard input and output of datastore_server.py, a line each way a command. The
 * server sees the end of it, or of this process, whatever ends it.
 */
#include "lib/datastore_server.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { COMMAND_SIZE = 1024, ARGUMENTS_MAX = 32 };

struct datastore_server {
    FILE *stream; /* both ways */
    pid_t pid;
    int port;
    int n_urls;
};

/* A failed test where there is one. What starts a server in main() has no test to fail. */
__attribute__((format(printf, 1, 2), noreturn)) static void give_up(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("datastore_server: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    fail();
    abort();
}

static void add(char **arguments, size_t *n, const char *argument)
{
    if (*n == ARGUMENTS_MAX || (arguments[*n] = strdup(argument)) == NULL) {
        give_up("too many arguments");
    }
    *n += 1;
}

static pid_t spawn(const char *const *options, int fd)
{
    char *arguments[ARGUMENTS_MAX + 1] = {NULL};
    size_t n = 0;
    posix_spawn_file_actions_t actions;
    pid_t pid = -1;
    add(arguments, &n, SERVER_KEEPER);
    while (options != NULL && *options != NULL) {
        add(arguments, &n, *options++);
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd, 0);
    posix_spawn_file_actions_adddup2(&actions, fd, 1);
    int failure = posix_spawn(&pid, arguments[0], &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    while (n > 0) {
        free(arguments[--n]);
    }
    return failure == 0 ? pid : -1;
}

/* A line without its end, to be freed. */
static char *hear(const struct datastore_server *server)
{
    char *line = NULL;
    size_t size = 0;
    if (getline(&line, &size, server->stream) < 0) {
        give_up("the server is gone");
    }
    line[strcspn(line, "\n")] = '\0';
    return line;
}

struct datastore_server *datastore_server_start(const char *const *arguments)
{
    struct datastore_server *server = calloc(1, sizeof *server);
    int fds[2];
    if (server == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0 ||
        (server->pid = spawn(arguments, fds[1])) < 0 ||
        (server->stream = fdopen(fds[0], "r+")) == NULL) {
        give_up("%s cannot be run", SERVER_KEEPER);
    }
    close(fds[1]);
    char *line = hear(server);
    if (sscanf(line, "ready %d", &server->port) != 1) {
        give_up("no server could be started: %s", line);
    }
    free(line);
    return server;
}

void datastore_server_stop(struct datastore_server *server)
{
    if (server == NULL) {
        return;
    }
    shutdown(fileno(server->stream), SHUT_WR);
    while (waitpid(server->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    fclose(server->stream);
    free(server);
}

int datastore_server_port(const struct datastore_server *server)
{
    return server->port;
}

void datastore_server_url(const struct datastore_server *server, const char *project, char *url)
{
    snprintf(url, DATASTORE_URL_SIZE, "datastore://%s?endpoint=http://127.0.0.1:%d", project,
             server->port);
}

void datastore_server_fresh_url(struct datastore_server *server, char *url)
{
    snprintf(url, DATASTORE_URL_SIZE,
             "datastore://fresh-%d?endpoint=http://127.0.0.1:%d&namespace=fresh-%d", server->n_urls,
             server->port, server->n_urls);
    server->n_urls++;
}

__attribute__((format(printf, 2, 0))) static char *ask(const struct datastore_server *server,
                                                       const char *format, va_list arguments)
{
    char command[COMMAND_SIZE];
    int len = vsnprintf(command, sizeof command - 1, format, arguments);
    if (len < 0 || (size_t)len >= sizeof command - 1) {
        give_up("%s: a command is too long", format);
    }
    command[len] = '\n';
    if (send(fileno(server->stream), command, (size_t)len + 1, MSG_NOSIGNAL) != len + 1) {
        give_up("the server is gone");
    }
    char *line = hear(server);
    if (strncmp(line, "ok", 2) != 0) {
        give_up("%.*s: %s", len, command, line);
    }
    memmove(line, line + (line[2] == ' ' ? 3 : 2), strlen(line) - (line[2] == ' ' ? 2 : 1));
    return line;
}

char *datastore_server_ask(const struct datastore_server *server, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *answer = ask(server, format, arguments);
    va_end(arguments);
    return answer;
}

void datastore_server_tell(const struct datastore_server *server, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    free(ask(server, format, arguments));
    va_end(arguments);
}

/* Not by jansson, whose allocations a test may have made fail. */
long long datastore_server_count(const struct datastore_server *server, const char *what)
{
    char name[64];
    char *answer = datastore_server_ask(server, "counts");
    snprintf(name, sizeof name, "\"%s\": ", what);
    const char *found = strstr(answer, name);
    long long count = found == NULL ? 0 : strtoll(found + strlen(name), NULL, 10);
    free(answer);
    return count;
}

void datastore_server_reset_counts(const struct datastore_server *server)
{
    datastore_server_tell(server, "counts reset");
}

void datastore_server_wipe(const struct datastore_server *server)
{
    datastore_server_tell(server, "wipe");
}

void datastore_server_pause(const struct datastore_server *server)
{
    kill(server->pid, SIGSTOP);
    siginfo_t stopped;
    while (waitid(P_PID, (id_t)server->pid, &stopped, WSTOPPED) < 0 && errno == EINTR) {
    }
}

void datastore_server_resume(const struct datastore_server *server)
{
    kill(server->pid, SIGCONT);
}
