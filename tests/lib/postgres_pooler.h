/*
 * A real PgBouncer before a server of the tests: of its own, on a free loopback port, in a folder
 * of its own, which knows every login by its name alone. It ends with the program at the latest.
 * Whatever fails, fails the test.
 */
#ifndef TESTS_LIB_POSTGRES_POOLER_H
#define TESTS_LIB_POSTGRES_POOLER_H

#include "lib/postgres_server.h"

struct postgres_pooler;

/*
 * mode: "session", "transaction" or "statement". n_connections: to the server, for each pair of
 * database and user. users: their names, NULL at the end. NULL: no PgBouncer is installed.
 */
struct postgres_pooler *postgres_pooler_start(const struct postgres_server *server,
                                              const char *mode, int n_connections,
                                              const char *const *users);
/* NULL is fine. */
void postgres_pooler_stop(struct postgres_pooler *pooler);
/* The URL with the pooler's port for the server's; `through` has POSTGRES_URL_SIZE bytes. */
void postgres_pooler_url(const struct postgres_pooler *pooler, const char *url, char *through);

#endif
