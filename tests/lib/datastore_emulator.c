/* It tells nobody which port it was given: it gets one that was free, and another if it ends. */
#include "lib/datastore_emulator.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRIES_MAX = 3, START_LIMIT_MS = 20000, CANNOT_RUN = 127, ADDRESS_SIZE = 32 };

struct datastore_emulator {
    pid_t pid;
    int port;
};

static void give_up(const char *problem)
{
    fprintf(stderr, "datastore_emulator: %s\n", problem);
    abort();
}

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int new_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        give_up("no socket can be made");
    }
    return fd;
}

static int free_port(void)
{
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    int fd = new_socket();
    if (bind(fd, (struct sockaddr *)&address, size) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        give_up("no port is free");
    }
    close(fd);
    return ntohs(address.sin_port);
}

/* -1: nobody listens there. */
static int connect_to(int port)
{
    struct sockaddr_in address = loopback(port);
    int fd = new_socket();
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
        return fd;
    }
    close(fd);
    return -1;
}

static bool is_listening(int port)
{
    int fd = connect_to(port);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

/* It writes a line for each request: nobody reads them. */
static pid_t spawn(int port)
{
    char address[ADDRESS_SIZE];
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
        /* A parent that has ended meanwhile sends no signal. */
        if (nothing >= 0 && dup2(nothing, 0) == 0 && dup2(nothing, 1) == 1 &&
            prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent) {
            execlp("datastore-emulator", "datastore-emulator", "--no-store-on-disk", "--host-port",
                   address, (char *)NULL);
        }
        _exit(CANNOT_RUN);
    }
    return pid;
}

enum start { START_UP, START_ENDED, START_NOT_INSTALLED };

static enum start await(const struct datastore_emulator *emulator)
{
    for (int i = 0; i < START_LIMIT_MS; i += 5) {
        bool is_up = is_listening(emulator->port);
        int status;
        if (waitpid(emulator->pid, &status, WNOHANG) == emulator->pid) {
            bool is_missing = WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_RUN;
            return is_missing ? START_NOT_INSTALLED : START_ENDED;
        }
        if (is_up) {
            return START_UP;
        }
        usleep(5000);
    }
    give_up("it does not listen");
    return START_ENDED;
}

struct datastore_emulator *datastore_emulator_start(void)
{
    struct datastore_emulator *emulator = calloc(1, sizeof *emulator);
    if (emulator == NULL) {
        give_up("out of memory");
    }
    enum start start = START_ENDED;
    for (int i = 0; i < TRIES_MAX && start == START_ENDED; i++) {
        emulator->port = free_port();
        emulator->pid = spawn(emulator->port);
        if (emulator->pid < 0) {
            give_up("no process can be made");
        }
        start = await(emulator);
    }
    if (start == START_ENDED) {
        give_up("it ends as soon as it is started");
    }
    if (start == START_NOT_INSTALLED) {
        free(emulator);
        return NULL;
    }
    return emulator;
}

void datastore_emulator_stop(struct datastore_emulator *emulator)
{
    if (emulator == NULL) {
        return;
    }
    kill(emulator->pid, SIGKILL);
    while (waitpid(emulator->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    free(emulator);
}

int datastore_emulator_port(const struct datastore_emulator *emulator)
{
    return emulator->port;
}

void datastore_emulator_wipe(const struct datastore_emulator *emulator)
{
    static const char request[] = "POST /reset HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                                  "Content-Length: 0\r\nConnection: close\r\n\r\n";
    static const char expected[] = "HTTP/1.1 200 ";
    char answer[sizeof expected - 1];
    int fd = connect_to(emulator->port);
    if (fd < 0 || send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != sizeof request - 1 ||
        recv(fd, answer, sizeof answer, MSG_WAITALL) != sizeof answer ||
        memcmp(answer, expected, sizeof answer) != 0) {
        give_up("it does not forget its entities");
    }
    close(fd);
}
