/*
 * A real PostgreSQL server for a test program: of its own, on a free loopback port, in a folder of
 * its own. It is gone, with its folder, when the program ends in whatever way. A process of its own
 * (postgres_server.py) starts it and holds the power over it; this is its remote control.
 *
 * Durability against a loss of power is off, and the data in memory (/dev/shm) where there is room;
 * the setting "fsync=on" puts it on the disk. A kill loses nothing either way. The superuser is
 * "postgres"; the role "comrade" has a login, no password, and owns the fresh databases.
 *
 * Whatever fails, fails the test, or ends a program that is not in one. COMRADE_POSTGRES_BIN names
 * the binaries to use; without it they are looked for in /usr/lib/postgresql and in PATH.
 * One thread at a time may use a server.
 */
#ifndef TESTS_LIB_POSTGRES_SERVER_H
#define TESTS_LIB_POSTGRES_SERVER_H

#include <stdbool.h>
#include <stddef.h>

struct CMUnitTest;
struct postgres_server;

enum { POSTGRES_URL_SIZE = 256 };

struct postgres_options {
    int max_connections;         /* 0: 100 */
    const char *const *settings; /* "name=value" …, NULL at the end; NULL: none */
    const char *const *hba;      /* lines of pg_hba.conf before those that let all in; NULL: none */
    int standby_of; /* the port of a server of ours to be a read-only standby of; or 0 */
};

enum postgres_down {
    POSTGRES_DOWN_FAST,      /* asked: sessions are ended, a checkpoint is written */
    POSTGRES_DOWN_IMMEDIATE, /* told: its processes quit, and it recovers when it is up again */
    POSTGRES_DOWN_KILL,      /* SIGKILL to all of its processes; it recovers, too */
};

/*
 * Takes about 0.2 s, and a second more for the first of all programs. NULL: none is installed, or
 * not what a standby needs of it (says so). options: NULL for none; borrowed until it returns.
 */
struct postgres_server *postgres_server_start(const struct postgres_options *options);
/* Ends it, removes its folder. NULL is fine. */
void postgres_server_stop(struct postgres_server *server);

/* For main() where there is no server: prints each test as skipped, returns 0. */
int postgres_server_skip_tests(const struct CMUnitTest *tests, size_t n_tests);

/* 15.4 → 15 */
int postgres_server_version(const struct postgres_server *server);
int postgres_server_port(const struct postgres_server *server);
/* What it logs is in FOLDER/log, its unix socket in FOLDER/socket, its data in FOLDER/data. */
const char *postgres_server_folder(const struct postgres_server *server);

/* postgres://USER@127.0.0.1:PORT/DATABASE; `url` has POSTGRES_URL_SIZE bytes. */
void postgres_server_url(const struct postgres_server *server, const char *user,
                         const char *database, char *url);
/* Makes an empty database that `comrade` owns and nobody has used; its URL for that role. */
void postgres_server_fresh_database(struct postgres_server *server, char *url);

/*
 * Runs SQL as superuser, over a connection for this call alone, in the database that `url` names
 * (NULL: postgres). Several statements may be given, separated by semicolons: all or nothing.
 * Returns the first column of the last result's first row: "" if there is none, else to be freed.
 * The _fails form wants the SQL to fail, and returns what the server said.
 */
char *postgres_server_sql(const struct postgres_server *server, const char *url, const char *sql);
char *postgres_server_sql_fails(const struct postgres_server *server, const char *url,
                                const char *sql);
/* The same, for a whole number; 0 where there is none. */
long long postgres_server_number(const struct postgres_server *server, const char *url,
                                 const char *sql);
/* Runs SQL and has no answer. */
void postgres_server_run(const struct postgres_server *server, const char *url, const char *sql);

/* Down, and up again on the same port and data. Connections are refused meanwhile. */
void postgres_server_take_down(struct postgres_server *server, enum postgres_down how);
void postgres_server_bring_up(struct postgres_server *server);
/* Both: after a kill it is back, recovered, when this returns. */
void postgres_server_kill(struct postgres_server *server);
void postgres_server_restart(struct postgres_server *server);

/* SIGSTOP and SIGCONT to all of its processes. Connecting works meanwhile, and nothing answers. */
void postgres_server_pause(struct postgres_server *server);
void postgres_server_resume(struct postgres_server *server);

#endif
