/*
 * A server that speaks Google Cloud Datastore's REST v1, for a test program: of its own, in memory,
 * on a free loopback port. It is gone when the program ends in whatever way. datastore_server.py is
 * the server, and says which commands it obeys; this is its remote control.
 *
 * Whatever fails, fails the test, or ends a program that is not in one. One thread at a time may
 * use a server.
 */
#ifndef TESTS_LIB_DATASTORE_SERVER_H
#define TESTS_LIB_DATASTORE_SERVER_H

struct datastore_server;

enum { DATASTORE_URL_SIZE = 512 };

/* Takes about 0.1 s. arguments: for the server, NULL at the end; NULL: none. */
struct datastore_server *datastore_server_start(const char *const *arguments);
/* NULL is fine. */
void datastore_server_stop(struct datastore_server *server);

int datastore_server_port(const struct datastore_server *server);
/*
 * datastore://PROJECT?endpoint=http://127.0.0.1:PORT&namespace=fresh-N of a project that nobody has
 * used: each call names a new one. `url` has DATASTORE_URL_SIZE bytes.
 */
void datastore_server_fresh_url(struct datastore_server *server, char *url);
/* The same for a given project, without a namespace. */
void datastore_server_url(const struct datastore_server *server, const char *project, char *url);

/* Gives a command, as printf writes it. Returns the answer's JSON, "" if it has none; to be freed.
 */
__attribute__((format(printf, 2, 3))) char *
datastore_server_ask(const struct datastore_server *server, const char *format, ...);
/* The same, where the answer does not matter. */
__attribute__((format(printf, 2, 3))) void
datastore_server_tell(const struct datastore_server *server, const char *format, ...);

/*
 * How often a method was called ("commit", "lookup", "runQuery", …, "calls" for all), or how many
 * entities were billed ("reads", "small", "writes", "deletes"), since the start or the last reset.
 */
long long datastore_server_count(const struct datastore_server *server, const char *what);
void datastore_server_reset_counts(const struct datastore_server *server);
/* Stops its process, as SIGSTOP does, and lets it go on. It obeys no command meanwhile. */
void datastore_server_pause(const struct datastore_server *server);
void datastore_server_resume(const struct datastore_server *server);
/* Forgets all entities. */
void datastore_server_wipe(const struct datastore_server *server);

#endif
