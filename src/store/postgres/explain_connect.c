/*
 * Why there is no connection. What libpq says of a URL may quote any part of it; and where a
 * password has characters that should have been escaped, libpq takes a part of it for a host, a
 * port or a database. So of a URL that is odd, only that is quoted which the shown form of the URL
 * shows.
 */
#include "store/postgres/internal.h"

#include <ctype.h>
#include <string.h>

enum { TEXT_LIMIT = 1024, SQL_STATE_LEN = 5 };

/* --- Odd URLs ----------------------------------------------------------------------------------
 */

/* USER:PASSWORD@: what lies between the first ':' and the last '@' should have been escaped. */
static bool is_odd(const char *url)
{
    const char *location = strstr(url, "//");
    const char *at = location == NULL ? NULL : strrchr(location, '@');
    const char *colon = at == NULL ? NULL : memchr(location, ':', (size_t)(at - location));
    for (; colon != NULL && colon < at; colon++) {
        bool is_escape = *colon == '%' && isxdigit((unsigned char)colon[1]) != 0 &&
                         isxdigit((unsigned char)colon[2]) != 0;
        if (strchr("/?@%", *colon) != NULL && !is_escape) {
            return true;
        }
    }
    return false;
}

bool postgres_is_misread(const comrade_store *store, const char *hosts, const char *ports,
                         const char *database)
{
    bool has_at = strpbrk(hosts, "@") != NULL || strpbrk(database, "@") != NULL;
    return is_odd(store->url) && (has_at || ports[strspn(ports, "0123456789,")] != '\0');
}

comrade_status postgres_explain_misread(const comrade_store *store, comrade_error *error)
{
    return comrade_error_set(error, COMRADE_INVALID,
                             "%s: the URL cannot be read; in a user, a password and a database's "
                             "name, write '/' as %%2F, '?' as %%3F, '@' as %%40 and '%%' as %%25",
                             store->shown_url);
}

/* --- Showing -----------------------------------------------------------------------------------
 */

/* "FATAL:  28P01: password …": where the five characters are. NULL: the server said nothing. */
static const char *find_sql_state(const char *said)
{
    for (const char *at = strstr(said, ":  "); at != NULL; at = strstr(at + 1, ":  ")) {
        const char *state = at + strlen(":  ");
        size_t len = strspn(state, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ");
        if (len == SQL_STATE_LEN && strncmp(state + len, ": ", 2) == 0) {
            return state;
        }
    }
    return NULL;
}

/* Where several addresses were tried, what the last one said. */
static const char *last_attempt(const char *said)
{
    const char *last = said;
    for (const char *at = said; (at = strstr(at, "\nconnection to ")) != NULL; at++) {
        last = at + 1;
    }
    return last;
}

static void append_without(struct buffer *out, const char *text, const char *secret)
{
    size_t len = secret == NULL ? 0 : strlen(secret);
    while (*text != '\0') {
        const char *found = len == 0 ? NULL : strstr(text, secret);
        buffer_append(out, text, found == NULL ? strlen(text) : (size_t)(found - text));
        if (found == NULL) {
            return;
        }
        buffer_append_text(out, "***");
        text = found + len;
    }
}

/* All from the first quotation mark to the last one is taken for one quotation. */
static void append_if_shown(struct buffer *out, const char *said, const char *shown_url)
{
    const char *first = strchr(said, '"');
    const char *last = strrchr(said, '"');
    size_t len = first == NULL ? strlen(said) : (size_t)(first - said);
    buffer_append(out, said, len);
    if (first == NULL) {
        return;
    }
    const char *found =
        last == first ? NULL
                      : memmem(shown_url, strlen(shown_url), first + 1, (size_t)(last - first - 1));
    buffer_append_text(out, found == NULL ? "\"***\"" : first);
}

static void append_shown(struct buffer *out, const comrade_store *store, const char *said)
{
    PQconninfoOption *options = PQconninfoParse(store->url, NULL);
    const char *password = NULL;
    for (PQconninfoOption *at = options; at != NULL && at->keyword != NULL; at++) {
        if (strcmp(at->keyword, "password") == 0) {
            password = at->val;
        }
    }
    struct buffer line;
    buffer_init(&line, TEXT_LIMIT);
    append_first_line(&line, said);
    if (options == NULL || is_odd(store->url)) {
        append_if_shown(out, buffer_text(&line), store->shown_url);
    } else {
        append_without(out, buffer_text(&line), password);
    }
    buffer_finish(&line);
    PQconninfoFree(options);
}

/* --- Explaining --------------------------------------------------------------------------------
 */

static comrade_status explain(const comrade_store *store, const char *said, bool is_url_wrong,
                              const char *sql_state, const char *special_advice,
                              comrade_error *error)
{
    const char *advice;
    struct buffer shown;
    comrade_status status = sql_state_meaning(sql_state, said, &advice);
    if (special_advice != NULL) {
        status = COMRADE_DENIED;
        advice = special_advice;
    }
    if (is_url_wrong && is_odd(store->url)) {
        return postgres_explain_misread(store, error);
    }
    buffer_init(&shown, TEXT_LIMIT);
    append_shown(&shown, store, said);
    status = comrade_error_set(error, is_url_wrong ? COMRADE_INVALID : status,
                               "%s: connect: %s%s%s", store->shown_url, buffer_text(&shown),
                               advice == NULL ? "" : "; ", advice == NULL ? "" : advice);
    buffer_finish(&shown);
    return status;
}

comrade_status postgres_explain_url(const comrade_store *store, const PGconn *connection,
                                    comrade_error *error)
{
    return explain(store, PQerrorMessage(connection), true, "", NULL, error);
}

comrade_status postgres_explain_connect(const comrade_store *store, const PGconn *connection,
                                        comrade_error *error)
{
    const char *said = last_attempt(PQerrorMessage(connection));
    const char *found = find_sql_state(said);
    char sql_state[SQL_STATE_LEN + 1] = "";
    if (found != NULL) {
        memcpy(sql_state, found, SQL_STATE_LEN);
        said = found + strlen("28P01: ");
    }
    /* In another language than English it is tried again, in vain. */
    bool is_url_wrong = found == NULL && strncmp(said, "invalid ", strlen("invalid ")) == 0;
    bool needs_password = PQconnectionNeedsPassword(connection) != 0;
    return explain(store, said, is_url_wrong, sql_state,
                   needs_password ? "give it in the URL, in PGPASSWORD or in ~/.pgpass" : NULL,
                   error);
}
