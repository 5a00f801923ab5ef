/*
 * A check is at one of four places: at rest, connecting, in an HTTP exchange, or waiting for a
 * command. The deadline is looked at first in each step, so that no answer counts that came late.
 */
#include "agent/check.h"

#include "agent/check_connection.h"
#include "agent/check_http.h"

#include "base/error.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { PORT_MAX = 65535, NAME_SIZE = 256 };

enum place { PLACE_REST, PLACE_CONNECT, PLACE_HTTP, PLACE_COMMAND };

struct check {
    enum check_kind kind;
    int64_t timeout_ms;
    struct check_target target;
    char *path;    /* HTTP: the path; else NULL */
    char *request; /* HTTP: the whole request; else NULL */
    struct keeper *keeper;
    const struct keeper_command *command;

    enum place place;
    enum check_result result; /* of the last run, once at rest */
    int64_t deadline_ms;
    struct check_connection connection;
    struct check_http http;
    short events;
    bool is_slot_taken;      /* our command has the keeper's slot, wanted or not */
    bool is_end_known;       /* of the command of this run … */
    struct keeper_event end; /* … and what it was */
    comrade_error failure;
};

/* --- Making and freeing -------------------------------------------------------------------- */

static bool is_path(const char *path)
{
    size_t len = strlen(path);
    for (size_t i = 0; i < len; i++) {
        if (path[i] <= ' ' || path[i] > '~') {
            return false;
        }
    }
    return path[0] == '/' && len <= CHECK_PATH_MAX_BYTES;
}

static comrade_status take_target(struct check *check, const struct check_options *options,
                                  comrade_error *error)
{
    const char *host = options->host == NULL ? "localhost" : options->host;
    if (options->port < 1 || options->port > PORT_MAX) {
        return comrade_error_set(error, COMRADE_INVALID, "a check's port is 1 to %d, not %d",
                                 PORT_MAX, options->port);
    }
    if (!check_target_parse(host, options->port, &check->target)) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "a check's host is a numeric address or localhost, not \"%.100s\"",
                                 host);
    }
    return COMRADE_OK;
}

static comrade_status take_path(struct check *check, const struct check_options *options,
                                comrade_error *error)
{
    const char *path = options->path == NULL ? "/" : options->path;
    if (!is_path(path)) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "a check's path begins with '/', holds printable ASCII without "
                                 "blanks and at most %d bytes; not \"%.100s\"",
                                 CHECK_PATH_MAX_BYTES, path);
    }
    char address[CHECK_ADDRESS_TEXT_SIZE];
    check_connection_init(&check->connection, &check->target);
    check_connection_describe(&check->connection, address);
    if (options->host == NULL || strcmp(options->host, "localhost") == 0) {
        snprintf(address, sizeof address, "localhost:%d", options->port);
    }
    check->path = strdup(path);
    if (check->path == NULL ||
        asprintf(&check->request,
                 "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: comrade/%s\r\nAccept: */*\r\n"
                 "Connection: close\r\n\r\n",
                 path, address, comrade_version()) < 0) {
        check->request = NULL;
        return comrade_error_set(error, COMRADE_NO_MEMORY, "preparing a check: out of memory");
    }
    return COMRADE_OK;
}

static comrade_status take_command(struct check *check, const struct check_options *options,
                                   comrade_error *error)
{
    const struct keeper_command *command = options->command;
    if (options->keeper == NULL || command == NULL || command->argv == NULL ||
        command->argv[0] == NULL) {
        return comrade_error_set(error, COMRADE_INVALID, "a check's command is not given");
    }
    check->keeper = options->keeper;
    check->command = command;
    return COMRADE_OK;
}

static comrade_status take_options(struct check *check, const struct check_options *options,
                                   comrade_error *error)
{
    if (options->timeout_ms < 1) {
        return comrade_error_set(error, COMRADE_INVALID, "a check's timeout is 1 ms at least");
    }
    comrade_status status = COMRADE_OK;
    switch (options->kind) {
    case CHECK_HTTP:
        status = take_target(check, options, error);
        return status == COMRADE_OK ? take_path(check, options, error) : status;
    case CHECK_TCP:
        return take_target(check, options, error);
    case CHECK_COMMAND:
        return take_command(check, options, error);
    }
    return COMRADE_INVALID;
}

comrade_status check_new(const struct check_options *options, struct check **check,
                         comrade_error *error)
{
    struct check *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "preparing a check: out of memory");
    }
    made->kind = options->kind;
    made->timeout_ms = options->timeout_ms;
    made->result = CHECK_FAILED;
    check_connection_init(&made->connection, &made->target);
    comrade_status status = take_options(made, options, error);
    if (status != COMRADE_OK) {
        check_free(made);
        return status;
    }
    *check = made;
    return COMRADE_OK;
}

void check_free(struct check *check)
{
    if (check == NULL) {
        return;
    }
    check_cancel(check);
    free(check->path);
    free(check->request);
    free(check);
}

/* --- A run --------------------------------------------------------------------------------- */

/* What was checked, for people. */
static void name_check(const struct check *check, char name[NAME_SIZE])
{
    char address[CHECK_ADDRESS_TEXT_SIZE];
    switch (check->kind) {
    case CHECK_HTTP:
        check_connection_describe(&check->connection, address);
        snprintf(name, NAME_SIZE, "GET http://%s%.100s", address, check->path);
        break;
    case CHECK_TCP:
        check_connection_describe(&check->connection, address);
        snprintf(name, NAME_SIZE, "connecting to %s", address);
        break;
    case CHECK_COMMAND:
        snprintf(name, NAME_SIZE, "check command %.100s", check->command->argv[0]);
        break;
    }
}

static void end_run(struct check *check, enum check_result result)
{
    check_connection_close(&check->connection);
    check->place = PLACE_REST;
    check->result = result;
}

__attribute__((format(printf, 2, 3))) static void fail(struct check *check, const char *format, ...)
{
    char name[NAME_SIZE];
    char what[NAME_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    name_check(check, name);
    comrade_error_set(&check->failure, COMRADE_UNAVAILABLE, "%s: %s", name, what);
    end_run(check, CHECK_FAILED);
}

static void begin_command(struct check *check)
{
    if (check->is_slot_taken) {
        fail(check, "the run before this one has not ended");
        return;
    }
    struct keeper_command command = *check->command;
    comrade_error error;
    command.slot = KEEPER_CHECK;
    if (keeper_spawn(check->keeper, &command, &error) != COMRADE_OK) {
        fail(check, "%s", error.message);
        return;
    }
    check->is_slot_taken = true;
}

void check_begin(struct check *check, int64_t now_ms)
{
    check_cancel(check);
    check->deadline_ms = now_ms + check->timeout_ms;
    check->events = POLLOUT;
    check->is_end_known = false;
    switch (check->kind) {
    case CHECK_HTTP:
    case CHECK_TCP:
        check->place = PLACE_CONNECT;
        check_connection_init(&check->connection, &check->target);
        break;
    case CHECK_COMMAND:
        check->place = PLACE_COMMAND;
        begin_command(check);
        break;
    }
}

/* The keeper may be gone by now; then there is nobody to kill. */
static void kill_command(struct check *check)
{
    if (check->is_slot_taken) {
        keeper_signal_group(check->keeper, KEEPER_CHECK, SIGKILL, NULL);
    }
}

void check_cancel(struct check *check)
{
    if (check->place == PLACE_COMMAND) {
        kill_command(check);
    }
    check->failure.message[0] = '\0';
    end_run(check, CHECK_FAILED);
}

static void step_http(struct check *check)
{
    switch (check_http_step(&check->http, check->connection.fd)) {
    case HTTP_SENDING:
        check->events = POLLOUT;
        break;
    case HTTP_RECEIVING:
        check->events = POLLIN;
        break;
    case HTTP_ANSWERED:
        if (check->http.status < 400) {
            end_run(check, CHECK_PASSED);
        } else {
            fail(check, "status %d", check->http.status);
        }
        break;
    case HTTP_FAILED:
        fail(check, "%s", check->http.failure);
        break;
    }
}

static void step_connect(struct check *check)
{
    switch (check_connection_step(&check->connection)) {
    case CONNECTION_PENDING:
        break;
    case CONNECTION_FAILED:
        fail(check, "%s", strerror(check->connection.error_number));
        break;
    case CONNECTION_OPEN:
        if (check->kind == CHECK_TCP) {
            end_run(check, CHECK_PASSED);
        } else {
            check_http_init(&check->http, check->request);
            check->place = PLACE_HTTP;
            step_http(check);
        }
        break;
    }
}

static void step_command(struct check *check)
{
    if (!check->is_end_known) {
        return;
    }
    int wait_status = check->end.wait_status;
    if (check->end.kind == KEEPER_SPAWN_FAILED) {
        fail(check, "cannot be started: %s", strerror(check->end.error_number));
    } else if (WIFSIGNALED(wait_status)) {
        fail(check, "killed by signal %d", WTERMSIG(wait_status));
    } else if (WEXITSTATUS(wait_status) != 0) {
        fail(check, "exit code %d", WEXITSTATUS(wait_status));
    } else {
        end_run(check, CHECK_PASSED);
    }
}

enum check_result check_step(struct check *check, int64_t now_ms)
{
    if (check->place != PLACE_REST && now_ms >= check->deadline_ms) {
        kill_command(check);
        fail(check, "no answer within %lld ms", (long long)check->timeout_ms);
    }
    switch (check->place) {
    case PLACE_CONNECT:
        step_connect(check);
        break;
    case PLACE_HTTP:
        step_http(check);
        break;
    case PLACE_COMMAND:
        step_command(check);
        break;
    case PLACE_REST:
        break;
    }
    return check->place == PLACE_REST ? check->result : CHECK_RUNNING;
}

bool check_take_event(struct check *check, const struct keeper_event *event)
{
    bool is_end = event->kind == KEEPER_EXITED || event->kind == KEEPER_SPAWN_FAILED;
    bool is_ours = event->slot == KEEPER_CHECK && check->is_slot_taken &&
                   (is_end || event->kind == KEEPER_SPAWNED);
    if (!is_ours || !is_end) {
        return is_ours;
    }
    check->is_slot_taken = false;
    if (check->place == PLACE_COMMAND) { /* else a run that has timed out or was cancelled */
        check->is_end_known = true;
        check->end = *event;
    }
    return true;
}

/* --- What it waits for --------------------------------------------------------------------- */

int check_fd(const struct check *check)
{
    return check->connection.fd;
}

short check_events(const struct check *check)
{
    return check->events;
}

int64_t check_deadline_ms(const struct check *check)
{
    return check->deadline_ms;
}

const char *check_reason(const struct check *check)
{
    return check->place == PLACE_REST && check->result == CHECK_FAILED ? check->failure.message
                                                                       : "";
}
