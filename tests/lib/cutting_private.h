/* What the proxy's thread and its control functions share. */
#ifndef TESTS_LIB_CUTTING_PRIVATE_H
#define TESTS_LIB_CUTTING_PRIVATE_H

#include "lib/cutting_proxy.h"
#include "lib/cutting_stream.h"

#include <netinet/in.h>
#include <pthread.h>

enum { CONNECTIONS_MAX = 512, CUTS_MAX = 8 };

struct connection {
    int client_fd;
    int server_fd; /* -1: not needed yet */
    bool is_held;
    bool is_parked; /* cut, and the server was not told */
    bool is_doomed; /* cut_all said so */
    bool has_ended; /* one side has closed: what is under way is sent, then the other is closed */
    struct cutting_stream stream;
};

struct waiting_cut {
    struct cut cut;
    int n_seen;
};

struct cutting_proxy {
    pthread_mutex_t mutex;
    pthread_cond_t has_cut;
    pthread_t thread;
    int port;
    int target_port;
    int listener;
    int wake_fd;
    bool is_refusing;
    bool is_ending;
    unsigned held;
    struct waiting_cut cuts[CUTS_MAX];
    size_t n_cuts;
    struct cutting_counts counts;
    struct connection *connections[CONNECTIONS_MAX];
    size_t n_connections;
};

/* Ends the program if it is not true. */
void cutting_must(bool is_true, const char *what);
int cutting_new_socket(void);
struct sockaddr_in cutting_loopback(int port);
/* Closing it sends a reset. */
void cutting_reset_on_close(int fd);

/* The thread: until is_ending. */
void *cutting_run(void *proxy);
void cutting_remove_connection(struct cutting_proxy *proxy, size_t i);

#endif
