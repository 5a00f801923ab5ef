/*
 * Which version of the schema the database has, and how it gets the one that is wanted. Whoever
 * comes first makes it, under a lock that the others wait for; they then find that there is nothing
 * to do. The same text is what an owner runs who gives nobody the right to.
 */
#include "store/postgres/internal.h"

#include <string.h>

enum { SETUP_LIMIT = 256 * 1024 };

/* One text, in pieces. The number of the lock is "Comrade" in ASCII. Whether the schema is there is
   asked of the table behind the lock: what a session has in its cache may be of before. Nothing
   that somebody has put into another schema is to be called in the owner's name, nor kept in a
   default or a policy. */
static void tell_migrations(void (*on_text)(void *user, const char *text), void *user)
{
    char number[16];
    on_text(user, "SET LOCAL search_path = pg_catalog, pg_temp;\n"
                  "SELECT pg_advisory_xact_lock(x'436f6d72616465'::bigint);\n"
                  "DO $migration$ BEGIN\n"
                  "IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'comrade') THEN\n"
                  "CREATE SCHEMA comrade;\n"
                  "END IF;\n"
                  "END $migration$;\n"
                  "CREATE TABLE IF NOT EXISTS comrade.meta (\n"
                  "  name text PRIMARY KEY, value integer NOT NULL);\n"
                  "INSERT INTO comrade.meta VALUES ('version', 0), ('oldest_reader', 0)\n"
                  "  ON CONFLICT DO NOTHING;\n");
    for (int i = 0; i < postgres_n_migrations; i++) {
        snprintf(number, sizeof number, "%d", i + 1);
        on_text(user, "DO $migration$ BEGIN\n"
                      "IF (SELECT value FROM comrade.meta WHERE name = 'version') < ");
        on_text(user, number);
        on_text(user, " THEN\n");
        on_text(user, postgres_migrations[i]);
        on_text(user, "UPDATE comrade.meta SET value = ");
        on_text(user, number);
        on_text(user, " WHERE name = 'version';\nEND IF;\nEND $migration$;\n");
    }
    snprintf(number, sizeof number, "%d", postgres_oldest_reader);
    on_text(user, "UPDATE comrade.meta SET value = ");
    on_text(user, number);
    on_text(user, " WHERE name = 'oldest_reader' AND value < ");
    on_text(user, number);
    on_text(user, ";\n");
}

void postgres_setup_text(void (*on_text)(void *user, const char *text), void *user)
{
    on_text(user,
            "-- What Comrade keeps in a database, and who may do what in it. Running it again\n"
            "-- changes nothing. Afterwards, for the login of your services and of people:\n"
            "--   GRANT comrade_member TO the_services; GRANT comrade_admin TO the_people;\n"
            "-- Whoever runs it needs the right to create roles, unless the groups are there.\n"
            "BEGIN ISOLATION LEVEL READ COMMITTED;\n");
    tell_migrations(on_text, user);
    on_text(user, postgres_rights);
    on_text(user, "COMMIT;\n");
}

static void append(void *user, const char *text)
{
    buffer_append_text(user, text);
}

static comrade_status run(comrade_store *store, const comrade_call *call, const char *what,
                          const struct buffer *sql, char sql_state[6], comrade_error *error)
{
    if (sql->is_failed) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "%s: %s: out of memory",
                                 store->shown_url, what);
    }
    comrade_status status =
        postgres_run_text(store, call, what, buffer_text(sql), sql_state, error);
    if (status != COMRADE_OK) {
        postgres_roll_back(store, call);
    }
    return status;
}

static comrade_status migrate(comrade_store *store, const comrade_call *call, int64_t version,
                              comrade_error *error)
{
    char sql_state[6] = "";
    struct buffer sql;
    buffer_init(&sql, SETUP_LIMIT);
    buffer_append_text(&sql, "BEGIN ISOLATION LEVEL READ COMMITTED;\n");
    tell_migrations(append, &sql);
    buffer_append_text(&sql, "COMMIT;\n");
    comrade_status status =
        run(store, call, version == 0 ? "make the schema" : "upgrade the schema", &sql, sql_state,
            error);
    buffer_finish(&sql);
    if (status == COMRADE_DENIED && strcmp(sql_state, "42501") == 0) {
        status = comrade_error_set(
            error, COMRADE_DENIED,
            "%s: the schema \"comrade\" %s, and this user may not do it; let the database's owner "
            "run: comrade store init --print-sql | psql -qX -v ON_ERROR_STOP=1 DATABASE",
            store->shown_url, version == 0 ? "is not there yet" : "is of an older version");
    }
    return status;
}

static comrade_status judge_version(comrade_store *store, const comrade_call *call,
                                    const PGresult *meta, comrade_error *error)
{
    int64_t version = 0;
    int64_t oldest_reader = 0;
    for (int i = 0; i < PQntuples(meta); i++) {
        bool is_version = strcmp(result_text(meta, i, 0), "version") == 0;
        *(is_version ? &version : &oldest_reader) = result_number(meta, i, 1);
    }
    if (oldest_reader > postgres_n_migrations) {
        return comrade_error_set(
            error, COMRADE_SCHEMA_TOO_NEW,
            "%s: the database is used by a newer Comrade, and this one (schema "
            "%d) cannot use it (it needs %lld); install a newer one here",
            store->shown_url, postgres_n_migrations, (long long)oldest_reader);
    }
    bool must_migrate = version < postgres_n_migrations && !store->must_exist;
    return must_migrate ? migrate(store, call, version, error) : COMRADE_OK;
}

static comrade_status make(comrade_store *store, const comrade_call *call, comrade_error *error)
{
    if (store->must_exist) {
        return comrade_error_set(
            error, COMRADE_UNAVAILABLE,
            "%s: no Comrade schema in this database yet; it is made by the first "
            "`comrade run`, or by `comrade store init`, of a login that may create it",
            store->shown_url);
    }
    return migrate(store, call, 0, error);
}

comrade_status postgres_need_schema(comrade_store *store, const comrade_call *call,
                                    comrade_error *error)
{
    enum { BACKEND_AT, META_AT, N_STATEMENTS };
    static const struct statement statements[N_STATEMENTS] = {
        [BACKEND_AT] = {.sql = "SELECT pg_backend_pid()"},
        [META_AT] = {.sql = "SELECT name, value FROM comrade.meta"
                            " WHERE name IN ('version', 'oldest_reader')"},
    };
    struct answers answers;
    comrade_status status =
        postgres_exchange(store, call, "read the schema's version", TRANSACTION_WHOLE, statements,
                          N_STATEMENTS, &answers, error);
    if (answers.n_results > BACKEND_AT && PQntuples(answers.results[BACKEND_AT]) == 1 &&
        store->connection != NULL) {
        int64_t backend = result_number(answers.results[BACKEND_AT], 0, 0);
        store->prepared.is_allowed =
            !store->is_pooled && backend == PQbackendPID(store->connection);
    }
    if (status == COMRADE_OK) {
        status = judge_version(store, call, answers.results[META_AT], error);
    } else if (sql_state_is_schema(answers.sql_state) && store->connection != NULL) {
        status = make(store, call, error);
    }
    answers_finish(&answers);
    store->is_schema_known = status == COMRADE_OK;
    return status;
}

comrade_status postgres_set_up(comrade_store *store, const comrade_call *call, comrade_error *error)
{
    char sql_state[6] = "";
    struct buffer sql;
    comrade_status status = postgres_use(store, call, error);
    if (status != COMRADE_OK) {
        return status;
    }
    buffer_init(&sql, SETUP_LIMIT);
    postgres_setup_text(append, &sql);
    status = run(store, call, "set up the rights", &sql, sql_state, error);
    buffer_finish(&sql);
    if (status == COMRADE_DENIED && strcmp(sql_state, "42501") == 0) {
        status = comrade_error_set(
            error, COMRADE_DENIED,
            "%s: the schema is there, and its owner can use it; the groups comrade_reader, "
            "comrade_member and comrade_admin need one that may create roles, who runs: comrade "
            "store "
            "init --print-sql | psql -qX -v ON_ERROR_STOP=1 DATABASE",
            store->shown_url);
    }
    return status;
}

comrade_status postgres_remove(comrade_store *store, const comrade_call *call, comrade_error *error)
{
    char sql_state[6] = "";
    struct buffer sql;
    comrade_status status = postgres_use(store, call, error);
    if (status != COMRADE_OK) {
        return status;
    }
    buffer_init(&sql, SETUP_LIMIT);
    buffer_append_text(&sql, "BEGIN ISOLATION LEVEL READ COMMITTED;\n");
    buffer_append_text(&sql, postgres_removal);
    buffer_append_text(&sql, "COMMIT;\n");
    status = run(store, call, "drop the schema", &sql, sql_state, error);
    buffer_finish(&sql);
    store->is_schema_known = false;
    if (status == COMRADE_DENIED && strcmp(sql_state, "42501") == 0) {
        status = comrade_error_set(error, COMRADE_DENIED,
                                   "%s: drop the schema: only its owner may, or a "
                                   "superuser; name one of them in the URL",
                                   store->shown_url);
    }
    return status;
}
