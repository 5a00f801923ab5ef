/*
 * A server with an owner's schema and several logins, for the tests of rights: who may do what,
 * through the driver and by SQL. One server a program; a fresh database a test.
 */
#ifndef CONTRACT_POSTGRES_LOGINS_H
#define CONTRACT_POSTGRES_LOGINS_H

#include "contract/cases.h"
#include "lib/postgres_server.h"
#include "store/postgres/postgres.h"

/* For main(): false where there is no server. */
bool logins_start_server(const struct postgres_options *options);
void logins_stop_server(void);
struct postgres_server *logins_server(void);

/*
 * Makes an empty database, and runs in it what `comrade store init --print-sql` prints, as the
 * superuser. `url` is that of "comrade", who owns the database and no schema.
 */
void logins_make_database(char url[POSTGRES_URL_SIZE]);
void logins_run_setup_text(const char *url);
/*
 * Makes a login (with a name that SQL has to quote, if you like) with the groups, which are
 * comma-separated; NULL: none. `url` becomes that of the same database as before, for it.
 */
void logins_make(const char *name, const char *groups, char url[POSTGRES_URL_SIZE]);

/* Opens as the store layer does, which hides the URL's secrets; the call has so much time. */
comrade_status logins_open(const char *url, int64_t within_ms, comrade_store **store,
                           comrade_error *error);

/* One statement as the login of the URL: the SQLSTATE it failed with, "" if it did not, or
   "nothing" if it worked and changed no row. */
const char *logins_run(const char *url, const char *sql);

#define assert_denied_sql(url, sql) assert_string_equal(logins_run(url, sql), "42501")
#define assert_allowed_sql(url, sql) assert_string_equal(logins_run(url, sql), "")

#endif
