#include "agent/check_connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool add_address(const char *host, int port, struct check_target *target)
{
    struct sockaddr_storage address = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
    socklen_t len;
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((in_port_t)port);
        len = sizeof *v4;
    } else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((in_port_t)port);
        len = sizeof *v6;
    } else {
        return false;
    }
    target->addresses[target->n_addresses].address = address;
    target->addresses[target->n_addresses].len = len;
    target->n_addresses++;
    return true;
}

bool check_target_parse(const char *host, int port, struct check_target *target)
{
    struct check_target parsed = {.n_addresses = 0};
    bool is_localhost = strcmp(host, "localhost") == 0;
    bool is_parsed = add_address(is_localhost ? "127.0.0.1" : host, port, &parsed) &&
                     (!is_localhost || add_address("::1", port, &parsed));
    if (is_parsed) {
        *target = parsed;
    }
    return is_parsed;
}

void check_connection_init(struct check_connection *connection, const struct check_target *target)
{
    *connection = (struct check_connection){.target = target, .fd = -1};
}

void check_connection_close(struct check_connection *connection)
{
    if (connection->fd >= 0) {
        close(connection->fd);
        connection->fd = -1;
    }
}

/*
 * Where nobody listens, the kernel may choose the very port that is connected to as our own, and
 * TCP then connects the socket to itself. That is nobody's answer.
 */
static bool is_connected_to_itself(int fd)
{
    struct sockaddr_storage own = {0};
    struct sockaddr_storage peer = {0};
    socklen_t own_len = sizeof own;
    socklen_t peer_len = sizeof peer;
    return getsockname(fd, (struct sockaddr *)&own, &own_len) == 0 &&
           getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0 && own_len == peer_len &&
           memcmp(&own, &peer, own_len) == 0;
}

/* Begins, or asks how it went. Returns 0 when connected, EINPROGRESS, or what failed. */
static int connect_once(struct check_connection *connection)
{
    if (connection->fd < 0) {
        const struct sockaddr_storage *address =
            &connection->target->addresses[connection->tried].address;
        connection->fd =
            socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
        if (connection->fd < 0) {
            return errno;
        }
    }
    /* Asked again while it is under way, connect(2) says EALREADY, and once it is done how. */
    const struct sockaddr *to =
        (const struct sockaddr *)&connection->target->addresses[connection->tried].address;
    if (connect(connection->fd, to, connection->target->addresses[connection->tried].len) < 0 &&
        errno != EISCONN) {
        return errno == EALREADY || errno == EINTR ? EINPROGRESS : errno;
    }
    return is_connected_to_itself(connection->fd) ? ECONNREFUSED : 0;
}

enum check_connection_state check_connection_step(struct check_connection *connection)
{
    for (;;) { /* as often as there are addresses */
        int error_number = connect_once(connection);
        if (error_number == 0) {
            return CONNECTION_OPEN;
        }
        if (error_number == EINPROGRESS) {
            return CONNECTION_PENDING;
        }
        check_connection_close(connection);
        if (connection->tried == 0) {
            connection->error_number = error_number;
        }
        if (connection->tried + 1 == connection->target->n_addresses ||
            error_number != ECONNREFUSED) {
            connection->tried = 0;
            return CONNECTION_FAILED;
        }
        connection->tried++;
    }
}

void check_connection_describe(const struct check_connection *connection,
                               char text[CHECK_ADDRESS_TEXT_SIZE])
{
    const struct sockaddr_storage *address =
        &connection->target->addresses[connection->tried].address;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    char host[INET6_ADDRSTRLEN] = "";
    bool is_v4 = address->ss_family == AF_INET;
    inet_ntop(address->ss_family, is_v4 ? (const void *)&v4->sin_addr : &v6->sin6_addr, host,
              sizeof host);
    snprintf(text, CHECK_ADDRESS_TEXT_SIZE, is_v4 ? "%s:%d" : "[%s]:%d", host,
             (int)ntohs(is_v4 ? v4->sin_port : v6->sin6_port));
}
