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

/* Any parameter whose name smells of a secret: password, sslpassword, token, api_key, secret … */
static bool is_secret_name(const char *name, size_t len)
{
    static const char *const words[] = {"pass", "pwd", "secret", "token", "key", "auth", "cred"};
    char lower[64] = {0};
    if (len >= sizeof lower || memchr(name, '%', len) != NULL) {
        return true;
    }
    for (size_t i = 0; i < len; i++) {
        lower[i] = (char)tolower((unsigned char)name[i]);
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strstr(lower, words[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static void append_query(struct buffer *out, const char *query)
{
    while (*query != '\0') {
        size_t len = strcspn(query, "&;#");
        const char *equals = memchr(query, '=', len);
        size_t name_len = equals == NULL ? len : (size_t)(equals - query);
        if (equals != NULL && is_secret_name(query, name_len)) {
            buffer_append(out, query, name_len);
            buffer_append_text(out, "=***");
        } else {
            buffer_append(out, query, len);
        }
        query += len;
        if (*query != '\0') {
            buffer_append(out, query, 1);
            query++;
        }
    }
}

char *url_redact(const char *url)
{
    struct buffer out;
    buffer_init(&out, URL_LIMIT);
    const char *rest = strstr(url, "://");
    const char *authority = rest == NULL ? url : rest + 3;
    buffer_append(&out, url, (size_t)(authority - url));

    size_t authority_len = rest == NULL ? 0 : strcspn(authority, "?#");
    /* A password may hold '/', '@' and ':' although it should not: the last '@' ends the user. */
    const char *at = NULL;
    for (size_t i = 0; i < authority_len; i++) {
        at = authority[i] == '@' ? authority + i : at;
    }
    if (at != NULL) {
        const char *colon = memchr(authority, ':', (size_t)(at - authority));
        buffer_append(&out, authority, (size_t)((colon == NULL ? at : colon) - authority));
        buffer_append_text(&out, colon == NULL ? "" : ":***");
        authority_len -= (size_t)(at - authority);
        authority = at;
    }
    size_t plain_len = rest == NULL ? strcspn(authority, "?") : authority_len;
    buffer_append(&out, authority, plain_len);
    append_query(&out, authority + plain_len);
    char *text = buffer_take(&out);
    buffer_finish(&out);
    return text;
}
