/*
 * One TCP connection for a check, tried at each of its addresses in turn, without waiting.
 */
#ifndef AGENT_CHECK_CONNECTION_H
#define AGENT_CHECK_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define CHECK_ADDRESSES_MAX 2
#define CHECK_ADDRESS_TEXT_SIZE 64

/* Where to connect to: at most 127.0.0.1 and ::1, for "localhost". */
struct check_target {
    struct {
        struct sockaddr_storage address;
        socklen_t len;
    } addresses[CHECK_ADDRESSES_MAX];
    size_t n_addresses;
};

enum check_connection_state { CONNECTION_PENDING, CONNECTION_OPEN, CONNECTION_FAILED };

struct check_connection {
    const struct check_target *target; /* borrowed */
    size_t tried;                      /* which of its addresses is being tried */
    int fd;                            /* -1: none */
    int error_number;                  /* why the first address failed */
};

/* A numeric address, or "localhost". False if it is neither; nothing is ever looked up. */
bool check_target_parse(const char *host, int port, struct check_target *target);

void check_connection_init(struct check_connection *connection, const struct check_target *target);
/* Call when the descriptor is writable, and at first. */
enum check_connection_state check_connection_step(struct check_connection *connection);
void check_connection_close(struct check_connection *connection);
/* "127.0.0.1:80" or "[::1]:80": the address that is being tried; of a failure, the first one. */
void check_connection_describe(const struct check_connection *connection,
                               char text[CHECK_ADDRESS_TEXT_SIZE]);

#endif
