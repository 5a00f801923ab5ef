/* Reads as little of a URL as the store layer needs, and hides more than it must. */
#include "store/url.h"

#include "base/buffer.h"

#include <ctype.h>
#include <string.h>

enum { URL_LIMIT = 64 * 1024 };

bool url_scheme(const char *url, char *scheme, size_t size)
{
    size_t len = strcspn(url, ":");
    if (len == 0 || url[len] == '\0' || len >= size) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)url[i];
        if (!isalnum(c) && strchr("+-.", c) == NULL) {
            return false;
        }
        scheme[i] = (char)tolower(c);
    }
    scheme[len] = '\0';
    if (strcmp(scheme, "postgresql") == 0) {
        scheme[strlen("postgres")] = '\0';
    }
    return true;
}

/* --- What may be shown ------------------------------------------------------------------------ */

static bool has_secret_word(const char *text, size_t len)
{
    static const char *const words[] = {"pass", "pwd", "secret", "token", "key", "auth", "cred"};
    char lower[64] = {0};
    if (len >= sizeof lower || memchr(text, '%', len) != NULL) {
        return true; /* nobody can tell */
    }
    for (size_t i = 0; i < len; i++) {
        lower[i] = (char)tolower((unsigned char)text[i]);
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strstr(lower, words[i]) != NULL) {
            return true;
        }
    }
    return false;
}

/* NAME=VALUE, where the value is neither called a secret nor holds a URL with one. */
static bool is_harmless(const char *parameter, size_t len)
{
    const char *equals = memrchr(parameter, '=', len);
    const char *colon = memchr(parameter, ':', len);
    const char *at = memrchr(parameter, '@', len);
    return equals != NULL && !has_secret_word(parameter, (size_t)(equals - parameter)) &&
           (colon == NULL || at == NULL || at < colon);
}

/* `query` begins with '?' or '#', or is empty. */
static void append_query(struct buffer *out, const char *query)
{
    while (*query != '\0') {
        buffer_append(out, query++, 1);
        size_t len = strcspn(query, "?&;#");
        const char *equals = memchr(query, '=', len);
        if (len == 0 || is_harmless(query, len)) {
            buffer_append(out, query, len);
        } else {
            buffer_append(out, query, equals == NULL ? 0 : (size_t)(equals + 1 - query));
            buffer_append_text(out, "***");
        }
        query += len;
    }
}

/* "HOST:PORT,[::1]:PORT/…": a port that is no number is a password whose host was forgotten. */
static bool has_odd_port(const char *hosts)
{
    size_t len = strcspn(hosts, "/?#");
    bool is_bracketed = false;
    bool is_port = false;
    for (size_t i = 0; i < len; i++) {
        is_bracketed = hosts[i] == '[' || (is_bracketed && hosts[i] != ']');
        if (is_port && hosts[i] != ',' && !isdigit((unsigned char)hosts[i])) {
            return true;
        }
        is_port = !is_bracketed && hosts[i] != ',' && (is_port || hosts[i] == ':');
    }
    return false;
}

/* "example.com:my-project": a domain has a dot, and no password is written so. */
static bool is_project_of_domain(const char *location)
{
    size_t domain_len = strcspn(location, ":/?#");
    const char *project = location + domain_len + 1;
    return location[domain_len] == ':' && memchr(location, '.', domain_len) != NULL &&
           strcspn(project, ":/?#") == strcspn(project, "/?#");
}

/*
 * USER:PASSWORD@HOST. A password should have its '/', '?', '#' and '@' escaped, and often has not:
 * the last '@' ends it, unless that is one of a query and no password can have begun before it.
 */
static void append_location(struct buffer *out, const char *location, const char *scheme)
{
    size_t plain_len = strcspn(location, "?#");
    const char *at = strrchr(location, '@');
    const char *colon = at == NULL ? NULL : memchr(location, ':', (size_t)(at - location));
    bool has_password = colon != NULL && colon < location + plain_len;
    if (at != NULL && (has_password || at < location + plain_len)) {
        size_t user_len = (size_t)((has_password ? colon : at) - location);
        if (has_password) {
            buffer_append(out, location, user_len);
            buffer_append_text(out, ":***");
        } else if (strcmp(scheme, "postgres") == 0) { /* else a single word may be a token */
            buffer_append(out, location, user_len);
        } else {
            buffer_append_text(out, "***");
        }
        location = at;
        plain_len = strcspn(location, "?#");
    }
    bool may_be_project = strcmp(scheme, "datastore") == 0 && at == NULL;
    if (has_odd_port(location) && !(may_be_project && is_project_of_domain(location))) {
        buffer_append_text(out, "***");
        return;
    }
    buffer_append(out, location, plain_len);
    append_query(out, location + plain_len);
}

/* A file's name may have anything in it; only what looks like a parameter called a secret goes. */
static void append_path(struct buffer *out, const char *path)
{
    const char *query = strchr(path, '?');
    const char *equals = query == NULL ? NULL : strchr(query, '=');
    if (equals != NULL && has_secret_word(query, (size_t)(equals - query))) {
        buffer_append(out, path, (size_t)(equals + 1 - path));
        buffer_append_text(out, "***");
    } else {
        buffer_append_text(out, path);
    }
}

static bool has_blank_or_control(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text <= ' ' || *text == '\x7f') {
            return true;
        }
    }
    return false;
}

static void append_shown(struct buffer *out, const char *url)
{
    char scheme[32];
    if (!url_scheme(url, scheme, sizeof scheme)) {
        bool is_path = *url == '\0' || *url == '/' || *url == '.';
        buffer_append_text(out, is_path ? url : "***");
        return;
    }
    const char *rest = strchr(url, ':') + 1;
    bool is_location = strncmp(rest, "//", 2) == 0;
    rest += is_location ? 2 : 0;
    buffer_append(out, url, (size_t)(rest - url));
    if (strcmp(scheme, "sqlite") == 0 || strcmp(scheme, "memory") == 0) {
        append_path(out, rest);
    } else if (!is_location || has_blank_or_control(rest)) {
        buffer_append_text(out, "***");
    } else {
        append_location(out, rest, scheme);
    }
}

char *url_redact(const char *url)
{
    struct buffer out;
    buffer_init(&out, URL_LIMIT);
    append_shown(&out, url);
    char *text = buffer_take(&out);
    buffer_finish(&out);
    return text;
}
