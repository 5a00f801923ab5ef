/*
 * The remote control of postgres_server.py: a socket to its standard input and output, a line each
 * way a command. The keeper sees the end of it, or of this process, whatever ends it.
 */
#include "lib/postgres_server.h"

#include <libpq-fe.h>
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

enum { LINE_SIZE = 1024, ARGUMENTS_MAX = 64, PATH_SIZE = 256 };

struct postgres_server {
    FILE *keeper; /* both ways */
    pid_t pid;    /* the keeper's */
    int port;
    int version;
    int n_databases;
    char folder[PATH_SIZE];
};

/* A failed test where there is one. What starts a server in main() has no test to fail. */
__attribute__((format(printf, 1, 2), noreturn)) static void give_up(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("postgres_server: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    fail();
    abort();
}

/* --- The keeper ------------------------------------------------------------------------------- */

static void add(char **arguments, size_t *n, const char *argument)
{
    if (*n == ARGUMENTS_MAX || (arguments[*n] = strdup(argument)) == NULL) {
        give_up("too many options");
    }
    *n += 1;
}

static void add_number(char **arguments, size_t *n, const char *option, int number)
{
    char text[32];
    snprintf(text, sizeof text, "%d", number);
    add(arguments, n, option);
    add(arguments, n, text);
}

static void add_list(char **arguments, size_t *n, const char *option, const char *const *values)
{
    for (; values != NULL && *values != NULL; values++) {
        add(arguments, n, option);
        add(arguments, n, *values);
    }
}

static pid_t spawn(char *const *arguments, int fd)
{
    posix_spawn_file_actions_t actions;
    pid_t pid = -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd, 0);
    posix_spawn_file_actions_adddup2(&actions, fd, 1);
    int failure = posix_spawn(&pid, arguments[0], &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    return failure == 0 ? pid : -1;
}

static void start_keeper(struct postgres_server *server, const struct postgres_options *options)
{
    char *arguments[ARGUMENTS_MAX + 1] = {NULL};
    size_t n = 0;
    int fds[2];
    add(arguments, &n, SERVER_KEEPER);
    if (options != NULL && options->max_connections > 0) {
        add_number(arguments, &n, "--max-connections", options->max_connections);
    }
    if (options != NULL && options->standby_of > 0) {
        add_number(arguments, &n, "--standby-of", options->standby_of);
    }
    add_list(arguments, &n, "--set", options == NULL ? NULL : options->settings);
    add_list(arguments, &n, "--hba", options == NULL ? NULL : options->hba);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0 ||
        (server->pid = spawn(arguments, fds[1])) < 0 ||
        (server->keeper = fdopen(fds[0], "r+")) == NULL) {
        give_up("%s cannot be run", SERVER_KEEPER);
    }
    close(fds[1]);
    for (size_t i = 0; i < n; i++) {
        free(arguments[i]);
    }
}

static void hear(struct postgres_server *server, char line[LINE_SIZE])
{
    if (fgets(line, LINE_SIZE, server->keeper) == NULL) {
        snprintf(line, LINE_SIZE, "nothing");
    }
    line[strcspn(line, "\n")] = '\0';
}

static void order(struct postgres_server *server, const char *command)
{
    char line[LINE_SIZE];
    if (send(fileno(server->keeper), command, strlen(command), MSG_NOSIGNAL) < 0) {
        give_up("the keeper of the server is gone");
    }
    hear(server, line);
    if (strcmp(line, "ok") != 0) {
        give_up("%.*s: %s", (int)strcspn(command, "\n"), command, line);
    }
}

struct postgres_server *postgres_server_start(const struct postgres_options *options)
{
    struct postgres_server *server = calloc(1, sizeof *server);
    char line[LINE_SIZE];
    if (server == NULL) {
        give_up("out of memory");
    }
    start_keeper(server, options);
    hear(server, line);
    if (sscanf(line, "ready %d %255s %d", &server->port, server->folder, &server->version) == 3) {
        return server;
    }
    if (strncmp(line, "none ", strlen("none ")) != 0) {
        give_up("no server could be started: %s", line);
    }
    printf("# %s\n", line + strlen("none "));
    postgres_server_stop(server);
    return NULL;
}

void postgres_server_stop(struct postgres_server *server)
{
    if (server == NULL) {
        return;
    }
    shutdown(fileno(server->keeper), SHUT_WR);
    waitpid(server->pid, NULL, 0);
    fclose(server->keeper);
    free(server);
}

int postgres_server_skip_tests(const struct CMUnitTest *tests, size_t n_tests)
{
    printf("1..%zu\n", n_tests);
    for (size_t i = 0; i < n_tests; i++) {
        printf("ok %zu - %s # SKIP no PostgreSQL server is installed\n", i + 1, tests[i].name);
    }
    return 0;
}

void postgres_server_take_down(struct postgres_server *server, enum postgres_down how)
{
    switch (how) {
    case POSTGRES_DOWN_FAST:
        order(server, "down fast\n");
        break;
    case POSTGRES_DOWN_IMMEDIATE:
        order(server, "down immediate\n");
        break;
    case POSTGRES_DOWN_KILL:
        order(server, "down kill\n");
        break;
    }
}

void postgres_server_bring_up(struct postgres_server *server)
{
    order(server, "up\n");
}

void postgres_server_kill(struct postgres_server *server)
{
    postgres_server_take_down(server, POSTGRES_DOWN_KILL);
    postgres_server_bring_up(server);
}

void postgres_server_restart(struct postgres_server *server)
{
    postgres_server_take_down(server, POSTGRES_DOWN_IMMEDIATE);
    postgres_server_bring_up(server);
}

void postgres_server_pause(struct postgres_server *server)
{
    order(server, "pause\n");
}

void postgres_server_resume(struct postgres_server *server)
{
    order(server, "resume\n");
}

/* --- What it is ------------------------------------------------------------------------------- */

int postgres_server_version(const struct postgres_server *server)
{
    return server->version;
}

int postgres_server_port(const struct postgres_server *server)
{
    return server->port;
}

const char *postgres_server_folder(const struct postgres_server *server)
{
    return server->folder;
}

void postgres_server_url(const struct postgres_server *server, const char *user,
                         const char *database, char *url)
{
    snprintf(url, POSTGRES_URL_SIZE, "postgres://%s@127.0.0.1:%d/%s", user, server->port, database);
}

/* --- SQL -------------------------------------------------------------------------------------- */

/* The name behind the last slash of a URL, without its parameters. */
static void database_of(const char *url, char name[64])
{
    const char *slash = url == NULL ? NULL : strrchr(url, '/');
    const char *text = slash == NULL ? "postgres" : slash + 1;
    snprintf(name, 64, "%.*s", (int)strcspn(text, "?"), text);
}

static char *copy(const char *text)
{
    char *made = strdup(text);
    if (made == NULL) {
        give_up("out of memory");
    }
    return made;
}

static void say_nothing(void *user, const char *message)
{
    (void)user;
    (void)message;
}

static char *run_sql(const struct postgres_server *server, const char *url, const char *sql,
                     bool *has_failed)
{
    char target[PATH_SIZE * 2];
    char database[64];
    database_of(url, database);
    snprintf(target, sizeof target,
             "host=%s/socket port=%d user=postgres dbname=%s application_name=test", server->folder,
             server->port, database);
    PGconn *connection = PQconnectdb(target);
    PQsetNoticeProcessor(connection, say_nothing, NULL);
    if (PQstatus(connection) != CONNECTION_OK) {
        give_up("%s", PQerrorMessage(connection));
    }
    PGresult *result = PQexec(connection, sql);
    ExecStatusType status = PQresultStatus(result);
    *has_failed = status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK;
    char *text;
    if (*has_failed) {
        text = copy(PQerrorMessage(connection));
    } else if (status == PGRES_TUPLES_OK && PQntuples(result) > 0) {
        text = copy(PQgetvalue(result, 0, 0));
    } else {
        text = copy("");
    }
    PQclear(result);
    PQfinish(connection);
    return text;
}

char *postgres_server_sql(const struct postgres_server *server, const char *url, const char *sql)
{
    bool has_failed;
    char *text = run_sql(server, url, sql, &has_failed);
    if (has_failed) {
        give_up("%s: %s", sql, text);
    }
    return text;
}

char *postgres_server_sql_fails(const struct postgres_server *server, const char *url,
                                const char *sql)
{
    bool has_failed;
    char *text = run_sql(server, url, sql, &has_failed);
    if (!has_failed) {
        give_up("this was to fail: %s", sql);
    }
    return text;
}

long long postgres_server_number(const struct postgres_server *server, const char *url,
                                 const char *sql)
{
    char *text = postgres_server_sql(server, url, sql);
    long long number = strtoll(text, NULL, 10);
    free(text);
    return number;
}

void postgres_server_run(const struct postgres_server *server, const char *url, const char *sql)
{
    free(postgres_server_sql(server, url, sql));
}

void postgres_server_fresh_database(struct postgres_server *server, char *url)
{
    char name[32];
    char sql[128];
    snprintf(name, sizeof name, "fresh_%d", server->n_databases++);
    snprintf(sql, sizeof sql, "CREATE DATABASE %s OWNER comrade", name);
    postgres_server_run(server, NULL, sql);
    postgres_server_url(server, "comrade", name, url);
}
