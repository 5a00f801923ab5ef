/*
 * stamp FILE: a service that does nothing but append the CLOCK_MONOTONIC time, in ns, at which its
 * SIGTERM arrived, and leave. Its start is stamped as well: "start NS", "term NS".
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static void stamp(const char *path, const char *what)
{
    struct timespec now;
    char line[96];
    clock_gettime(CLOCK_MONOTONIC, &now);
    int len = snprintf(line, sizeof line, "%s %lld %d\n", what,
                       (long long)now.tv_sec * 1000000000 + now.tv_nsec, (int)getpid());
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, line, (size_t)len) != len) {
        perror(path);
    }
    close(fd);
}

int main(int argc, char **argv)
{
    sigset_t signals;
    int signal_number;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    if (argc != 2) {
        return 2;
    }
    stamp(argv[1], "start");
    sigwait(&signals, &signal_number);
    stamp(argv[1], "term");
    return 0;
}
