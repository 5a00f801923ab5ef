/*
 * What a failure means to the one who gave the URL, and what he can do. A server is believed about
 * its SQLSTATE, which is the same in every language. What libpq says of a URL that it cannot read
 * may hold the password: of that, nothing quoted is shown.
 */
#include "store/postgres/internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_LIMIT = 1024 };

struct meaning {
    const char *sql_state; /* or its first characters */
    comrade_status status;
    const char *advice;
};

/* The first row that fits. To add one: before the shorter ones. */
static const struct meaning meanings[] = {
    {"28", COMRADE_DENIED,
     "check the user, the password (in the URL, PGPASSWORD or ~/.pgpass) and the server's "
     "pg_hba.conf"},
    {"42501", COMRADE_DENIED,
     "let the database's owner grant it: GRANT comrade_member TO the user of services, "
     "comrade_admin to people's, comrade_reader to those who only look"},
    {"3D000", COMRADE_UNAVAILABLE, "create the database first (createdb), or name another"},
    {"53300", COMRADE_UNAVAILABLE,
     "the server has no connection left; raise max_connections, or put a pooler in between"},
    {"53100", COMRADE_UNAVAILABLE, "the server's disk is full; make room there"},
    {"53", COMRADE_UNAVAILABLE, "the server has too little of something"},
    {"25006", COMRADE_UNAVAILABLE,
     "this server can only be read, as a standby is; name all hosts in the URL, with "
     "target_session_attrs=read-write"},
    {"57014", COMRADE_UNAVAILABLE, "the server was too slow, or a lock was held for too long"},
    {"25P03", COMRADE_UNAVAILABLE, "this process was stopped for too long"},
    {"25P04", COMRADE_UNAVAILABLE, "this process, or the way to the server, was too slow"},
    {"57P03", COMRADE_UNAVAILABLE, "the server is starting up or shutting down"},
    {"57P", COMRADE_UNAVAILABLE, "the server is being shut down or restarted"},
    {"40", COMRADE_UNAVAILABLE, "it collided with another transaction, and nothing was done"},
    {"54", COMRADE_TOO_LARGE, "the server cannot hold it"},
    {"23505", COMRADE_UNAVAILABLE, "it collided with another transaction, and nothing was done"},
    {"23", COMRADE_INVALID, "the schema does not take this value"},
    {"22", COMRADE_INVALID, "the server does not take this value; is its encoding UTF8?"},
    {"XX", COMRADE_BROKEN, "the database may be damaged; see the server's log"},
};

/* PgBouncer has one state for everything: so its words, which are never translated. */
static const struct {
    const char *words;
    struct meaning meaning;
} pooler_meanings[] = {
    {"statement pooling",
     {"08P01", COMRADE_INVALID,
      "Comrade needs transaction pooling, or session pooling to have requests pushed"}},
    {"authentication failed", {"08P01", COMRADE_DENIED, "check the pooler's auth_file"}},
    {"no such user", {"08P01", COMRADE_DENIED, "check the pooler's auth_file"}},
};

static const struct meaning *find_meaning(const char *sql_state, const char *said)
{
    static const struct meaning unknown = {"", COMRADE_UNAVAILABLE, NULL};
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++) {
        if (strncmp(sql_state, meanings[i].sql_state, strlen(meanings[i].sql_state)) == 0) {
            return &meanings[i];
        }
    }
    for (size_t i = 0; i < sizeof pooler_meanings / sizeof pooler_meanings[0]; i++) {
        if (strcmp(sql_state, pooler_meanings[i].meaning.sql_state) == 0 &&
            strstr(said, pooler_meanings[i].words) != NULL) {
            return &pooler_meanings[i].meaning;
        }
    }
    return &unknown;
}

comrade_status sql_state_meaning(const char *sql_state, const char *said, const char **advice)
{
    const struct meaning *meaning = find_meaning(sql_state, said);
    *advice = meaning->advice;
    return meaning->status;
}

static bool is_state(const char *sql_state, const char *prefix)
{
    return strncmp(sql_state, prefix, strlen(prefix)) == 0;
}

bool sql_state_is_schema(const char *sql_state)
{
    return is_state(sql_state, "42P01") || is_state(sql_state, "3F000") ||
           is_state(sql_state, "42703") || is_state(sql_state, "42P10");
}

bool sql_state_is_collision(const char *sql_state)
{
    return is_state(sql_state, "40001") || is_state(sql_state, "40P01") ||
           is_state(sql_state, "23505") || sql_state_is_preparation(sql_state);
}

bool sql_state_is_preparation(const char *sql_state)
{
    return is_state(sql_state, "26000") || is_state(sql_state, "42P05");
}

bool sql_state_is_of_one(const char *sql_state)
{
    return is_state(sql_state, "22") || is_state(sql_state, "23") || is_state(sql_state, "54") ||
           is_state(sql_state, "42501");
}

void append_first_line(struct buffer *out, const char *text)
{
    size_t len = strcspn(text, "\n");
    while (len > 0 && isspace((unsigned char)text[len - 1])) {
        len--;
    }
    buffer_append(out, text, len);
}

comrade_status postgres_explain(const comrade_store *store, const char *what, const char *sql_state,
                                const char *said, comrade_error *error)
{
    const struct meaning *meaning = find_meaning(sql_state, said);
    struct buffer line;
    buffer_init(&line, TEXT_LIMIT);
    append_first_line(&line, said);
    comrade_status status = comrade_error_set(
        error, meaning->status, "%s: %s: %s%s%s", store->shown_url, what,
        line.len == 0 ? "the connection was lost" : buffer_text(&line),
        meaning->advice == NULL ? "" : "; ", meaning->advice == NULL ? "" : meaning->advice);
    buffer_finish(&line);
    return status;
}

static bool has_kind(const comrade_write *write, comrade_change_kind kind)
{
    for (size_t i = 0; i < write->n_changes; i++) {
        if (write->changes[i].kind == kind) {
            return true;
        }
    }
    return false;
}

comrade_status postgres_explain_denied(const comrade_store *store, const comrade_write *write,
                                       comrade_error *error)
{
    const char *why = "this is for users with comrade_admin";
    const char *group = "comrade_admin";
    if (has_kind(write, COMRADE_DELETE)) {
        why = "the member is another login's; it is removed by the login that registered "
              "it, or by one with comrade_admin";
    } else if (has_kind(write, COMRADE_PUT_OWN)) {
        why = "the id is another login's, so choose another; or this login has no comrade_member";
        group = "comrade_member";
    }
    const char *user = store->connection == NULL ? "" : PQuser(store->connection);
    char *quoted =
        user[0] == '\0' || strspn(user, "abcdefghijklmnopqrstuvwxyz_0123456789") == strlen(user)
            ? NULL
            : PQescapeIdentifier(store->connection, user, strlen(user));
    comrade_error_set(error, COMRADE_DENIED,
                      "%s: write: permission denied: %s; the database's owner grants it: GRANT %s "
                      "TO %s",
                      store->shown_url, why, group, quoted == NULL ? user : quoted);
    PQfreemem(quoted);
    return COMRADE_DENIED;
}

comrade_status postgres_explain_over(const comrade_store *store, const comrade_call *call,
                                     const char *what, comrade_error *error)
{
    if (call->now_ms(call->clock) < call->deadline_ms) {
        return comrade_error_set(error, COMRADE_UNAVAILABLE, "%s: %s: cancelled", store->shown_url,
                                 what);
    }
    return comrade_error_set(error, COMRADE_UNAVAILABLE, "%s: %s: no answer in time",
                             store->shown_url, what);
}
