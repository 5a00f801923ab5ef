/*
 * postgres_idle URL: the baseline of a process's memory: a program on libpq that is connected,
 * listens, and does nothing. Says "ready" once.
 */
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    PGconn *connection = PQconnectdb(argc == 2 ? argv[1] : "");
    PGresult *result = PQexec(connection, "LISTEN comrade");
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        fprintf(stderr, "postgres_idle: %s\n", PQerrorMessage(connection));
        return 1;
    }
    PQclear(result);
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct pollfd socket = {.fd = PQsocket(connection), .events = POLLIN};
        poll(&socket, 1, -1);
        if (PQconsumeInput(connection) == 0) {
            return 0;
        }
        for (PGnotify *heard; (heard = PQnotifies(connection)) != NULL; PQfreemem(heard)) {
        }
    }
}
