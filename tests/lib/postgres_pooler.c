#include "lib/postgres_pooler.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { TRIES_MAX = 3, START_LIMIT_MS = 20000, PATH_SIZE = 128 };

struct postgres_pooler {
    pid_t pid;
    int port;
    char folder[64];
};

/* --- Its port ----------------------------------------------------------------------------------
 */

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int free_port(void)
{
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static bool is_listening(int port)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    bool is_connected = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return is_connected;
}

/* --- Its process -------------------------------------------------------------------------------
 */

static const char *program(void)
{
    static const char *const paths[] = {"/usr/sbin/pgbouncer", "/usr/bin/pgbouncer",
                                        "/usr/local/bin/pgbouncer"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        if (access(paths[i], X_OK) == 0) {
            return paths[i];
        }
    }
    return NULL;
}

static void write_files(const struct postgres_pooler *pooler, const struct postgres_server *server,
                        const char *mode, int n_connections, const char *const *users)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/users", pooler->folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (; *users != NULL; users++) {
        fprintf(file, "\"%s\" \"\"\n", *users);
    }
    assert_int_equal(fclose(file), 0);
    snprintf(path, sizeof path, "%s/pgbouncer.ini", pooler->folder);
    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file,
            "[databases]\n* = host=127.0.0.1 port=%d\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            "listen_port = %d\nunix_socket_dir =\nauth_type = trust\nauth_file = %s/users\n"
            "logfile = %s/log\npool_mode = %s\ndefault_pool_size = %d\n",
            postgres_server_port(server), pooler->port, pooler->folder, pooler->folder, mode,
            n_connections);
    assert_int_equal(fclose(file), 0);
}

/* It refuses to be root, like the server. */
static pid_t spawn(const struct postgres_pooler *pooler, const struct stat *owner)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/pgbouncer.ini", pooler->folder);
    pid_t pid = fork();
    if (pid == 0) {
        bool is_ready =
            geteuid() != 0 || (setgid(owner->st_gid) == 0 && setuid(owner->st_uid) == 0);
        if (is_ready && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0) {
            execl(program(), "pgbouncer", "-q", path, (char *)NULL);
        }
        _exit(127);
    }
    return pid;
}

/* False: it has ended, as when its port was taken meanwhile. */
static bool await(struct postgres_pooler *pooler)
{
    for (int i = 0; i < START_LIMIT_MS; i += 5) {
        if (is_listening(pooler->port)) {
            return true;
        }
        if (waitpid(pooler->pid, NULL, WNOHANG) == pooler->pid) {
            pooler->pid = -1;
            return false;
        }
        usleep(5000);
    }
    return false;
}

struct postgres_pooler *postgres_pooler_start(const struct postgres_server *server,
                                              const char *mode, int n_connections,
                                              const char *const *users)
{
    if (program() == NULL) {
        return NULL;
    }
    struct postgres_pooler *pooler = calloc(1, sizeof *pooler);
    struct stat owner;
    char data[PATH_SIZE * 2];
    assert_non_null(pooler);
    snprintf(data, sizeof data, "%s/data", postgres_server_folder(server));
    assert_int_equal(stat(data, &owner), 0);
    snprintf(pooler->folder, sizeof pooler->folder, "/tmp/comrade-pooler-XXXXXX");
    assert_non_null(mkdtemp(pooler->folder));
    assert_int_equal(chown(pooler->folder, owner.st_uid, owner.st_gid), 0);
    bool is_up = false;
    for (int i = 0; i < TRIES_MAX && !is_up; i++) {
        pooler->port = free_port();
        write_files(pooler, server, mode, n_connections, users);
        pooler->pid = spawn(pooler, &owner);
        is_up = pooler->pid > 0 && await(pooler);
    }
    if (!is_up) {
        fail_msg("PgBouncer did not start: see %s/log", pooler->folder);
    }
    return pooler;
}

static int remove_file(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    return remove(path);
}

void postgres_pooler_stop(struct postgres_pooler *pooler)
{
    if (pooler == NULL) {
        return;
    }
    if (pooler->pid > 0) {
        kill(pooler->pid, SIGTERM);
        waitpid(pooler->pid, NULL, 0);
    }
    nftw(pooler->folder, remove_file, 8, FTW_DEPTH | FTW_PHYS);
    free(pooler);
}

void postgres_pooler_url(const struct postgres_pooler *pooler, const char *url, char *through)
{
    const char *colon = strrchr(url, ':');
    const char *slash = colon == NULL ? NULL : strchr(colon, '/');
    assert_non_null(slash);
    int len = snprintf(through, POSTGRES_URL_SIZE, "%.*s:%d%s", (int)(colon - url), url,
                       pooler->port, slash);
    assert_true(len < POSTGRES_URL_SIZE);
}
