#include "contract/postgres_logins.h"

#include "base/buffer.h"
#include "store/url.h"

#include <ctype.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SQL_LIMIT = 256 * 1024 };

static struct postgres_server *server;

bool logins_start_server(const struct postgres_options *options)
{
    server = postgres_server_start(options);
    return server != NULL;
}

void logins_stop_server(void)
{
    postgres_server_stop(server);
}

struct postgres_server *logins_server(void)
{
    return server;
}

static void append(void *user, const char *text)
{
    buffer_append_text(user, text);
}

void logins_run_setup_text(const char *url)
{
    struct buffer sql;
    buffer_init(&sql, SQL_LIMIT);
    postgres_driver.setup_text(append, &sql);
    postgres_server_run(server, url, buffer_text(&sql));
    buffer_finish(&sql);
}

void logins_make_database(char url[POSTGRES_URL_SIZE])
{
    postgres_server_fresh_database(server, url);
    logins_run_setup_text(url);
}

static void append_quoted(struct buffer *sql, const char *name)
{
    buffer_append(sql, "\"", 1);
    for (; *name != '\0'; name++) {
        buffer_append(sql, "\"\"", *name == '"' ? 2 : 0);
        buffer_append(sql, name, *name == '"' ? 0 : 1);
    }
    buffer_append(sql, "\"", 1);
}

/* The same place, for another user. */
static void change_user(char url[POSTGRES_URL_SIZE], const char *name)
{
    char encoded[POSTGRES_URL_SIZE] = "";
    char made[POSTGRES_URL_SIZE];
    for (size_t len = 0; *name != '\0' && len + 4 < sizeof encoded; name++) {
        unsigned char byte = (unsigned char)*name;
        len += (size_t)snprintf(encoded + len, sizeof encoded - len,
                                isalnum(byte) ? "%c" : "%%%02X", byte);
    }
    int len = snprintf(made, sizeof made, "postgres://%s%s", encoded, strchr(url, '@'));
    assert_true(len < POSTGRES_URL_SIZE);
    memcpy(url, made, (size_t)len + 1);
}

void logins_make(const char *name, const char *groups, char url[POSTGRES_URL_SIZE])
{
    struct buffer sql;
    buffer_init(&sql, SQL_LIMIT);
    buffer_append_text(&sql, "DROP ROLE IF EXISTS ");
    append_quoted(&sql, name);
    buffer_append_text(&sql, "; CREATE ROLE ");
    append_quoted(&sql, name);
    buffer_append_text(&sql, " LOGIN");
    buffer_append_format(&sql, "%s%s", groups == NULL ? "" : " IN ROLE ",
                         groups == NULL ? "" : groups);
    postgres_server_run(server, NULL, buffer_text(&sql));
    buffer_finish(&sql);
    change_user(url, name);
}

comrade_status logins_open(const char *url, int64_t within_ms, comrade_store **store,
                           comrade_error *error)
{
    char *shown = url_redact(url);
    assert_non_null(shown);
    comrade_store_config config = {.size = sizeof config,
                                   .url = url,
                                   .shown_url = shown,
                                   .name_space = "",
                                   .kind = "ComradeServer",
                                   .wall_ms = contract_wall_ms};
    comrade_call call = contract_call();
    call.deadline_ms = call.now_ms(call.clock) + within_ms;
    comrade_status status = postgres_driver.open(&config, &call, store, error);
    free(shown);
    return status;
}

const char *logins_run(const char *url, const char *sql)
{
    static char state[16];
    PGconn *connection = PQconnectdb(url);
    if (PQstatus(connection) != CONNECTION_OK) {
        fail_msg("%s: %s", url, PQerrorMessage(connection));
    }
    PGresult *result = PQexec(connection, sql);
    const char *failure = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    bool is_empty = strcmp(PQcmdTuples(result), "0") == 0;
    snprintf(state, sizeof state, "%s", failure != NULL ? failure : is_empty ? "nothing" : "");
    PQclear(result);
    PQfinish(connection);
    return state;
}
