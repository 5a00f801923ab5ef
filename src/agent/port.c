#include "agent/port.h"

#include "agent/run_directory.h"
#include "base/error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ATTEMPTS = 100 };

/* Binds, and lets go. The bound port, or -1 with errno set. */
static int try_bind(const struct sockaddr *address, socklen_t size)
{
    struct sockaddr_in6 bound = {0};
    socklen_t bound_size = sizeof bound;
    int one = 1;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    /* Connections that linger from before do not make a port used; who listens on it does. */
    int port = -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        (address->sa_family != AF_INET6 ||
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) == 0) &&
        bind(fd, address, size) == 0 &&
        getsockname(fd, (struct sockaddr *)&bound, &bound_size) == 0) {
        port = ntohs(bound.sin6_port); /* At the same place for both families. */
    }
    int saved_errno = errno;
    close(fd);
    errno = saved_errno;
    return port;
}

static int try_bind_4(in_addr_t ip, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(ip);
    return try_bind((const struct sockaddr *)&address, sizeof address);
}

static int try_bind_6(struct in6_addr ip, int port)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    address.sin6_addr = ip;
    return try_bind((const struct sockaddr *)&address, sizeof address);
}

/* On the loopback, where the service will be checked: a listener on another address of this
   machine is nobody's concern, one on all of them is seen here. */
static bool is_in_use(int port)
{
    if (try_bind_4(INADDR_LOOPBACK, port) < 0 && errno == EADDRINUSE) {
        return true;
    }
    return try_bind_6(in6addr_loopback, port) < 0 && errno == EADDRINUSE;
}

static comrade_status take_auto(const char *directory, struct port *port, comrade_error *error)
{
    int directory_fd;
    comrade_status status = run_directory_open(directory, "ports", &directory_fd, error);
    if (status != COMRADE_OK) {
        return status;
    }
    status =
        comrade_error_set(error, COMRADE_IN_USE, "cannot find a free port; give one: --port N");
    for (int i = 0; i < ATTEMPTS; i++) {
        int number = try_bind_4(INADDR_ANY, 0);
        if (number < 0) {
            status = comrade_error_set(error, COMRADE_SYSTEM, "cannot find a free port: %s",
                                       strerror(errno));
            break;
        }
        char name[16];
        struct port taken = {number, -1};
        snprintf(name, sizeof name, "%d", number);
        comrade_status locked = run_lock_take(directory_fd, name, &taken.lock_fd, NULL, error);
        /* Looked at again under the lock: who had the lock before may have let its child bind. */
        if (locked == COMRADE_OK && !is_in_use(number)) {
            *port = taken;
            status = COMRADE_OK;
            break;
        }
        port_release(&taken);
        if (locked == COMRADE_SYSTEM) {
            status = locked;
            break;
        }
    }
    close(directory_fd);
    return status;
}

comrade_status port_take(int wanted, const char *directory, struct port *port, comrade_error *error)
{
    if (wanted == PORT_AUTO) {
        return take_auto(directory, port, error);
    }
    if (is_in_use(wanted)) {
        return comrade_error_set(error, COMRADE_IN_USE,
                                 "port %d is in use by another process; stop that, choose another "
                                 "port, or let one be found with --port auto",
                                 wanted);
    }
    *port = (struct port){wanted, -1};
    return COMRADE_OK;
}

void port_release(struct port *port)
{
    if (port->lock_fd >= 0) {
        close(port->lock_fd);
        port->lock_fd = -1;
    }
}
