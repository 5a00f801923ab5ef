#include "store/datastore/place_server.h"

#include "base/buffer.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { SERVER_LIMIT = 512, HOST_MAX_BYTES = 255 };

static const char http[] = "http://";
static const char https[] = "https://";

static bool begins_with(const char *text, const char *prefix)
{
    return strncasecmp(text, prefix, strlen(prefix)) == 0;
}

/* HOST, without brackets, copied out of HOST[:PORT] or [HOST][:PORT]. False: it is neither. */
static bool split(const char *server, char host[HOST_MAX_BYTES + 1], const char **port)
{
    bool is_bracketed = server[0] == '[';
    const char *from = server + (is_bracketed ? 1 : 0);
    size_t len = strcspn(from, is_bracketed ? "]" : ":");
    if (len == 0 || len > HOST_MAX_BYTES || (is_bracketed && from[len] != ']')) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)from[i];
        if (!isalnum(c) && strchr(is_bracketed ? ":." : "-._", c) == NULL) {
            return false;
        }
    }
    memcpy(host, from, len);
    host[len] = '\0';
    const char *rest = from + len + (is_bracketed ? 1 : 0);
    *port = *rest == ':' ? rest + 1 : NULL;
    return *rest == '\0' || *rest == ':';
}

static bool is_server(const char *server, char host[HOST_MAX_BYTES + 1])
{
    const char *port;
    int64_t number;
    return split(server, host, &port) &&
           (port == NULL || text_to_number(port, 1, 65535, &number)) &&
           (server[0] != '[' || inet_pton(AF_INET6, host, &(struct in6_addr){0}) == 1);
}

static bool is_loopback(const char *host)
{
    struct in_addr four;
    struct in6_addr six;
    return strcasecmp(host, "localhost") == 0 ||
           (inet_pton(AF_INET, host, &four) == 1 && ntohl(four.s_addr) >> 24 == 127) ||
           (inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six));
}

/* The scheme, and the server without the slash that many write at its end. */
static comrade_status make_base(const char *scheme, const char *server, char **base,
                                comrade_error *error)
{
    struct buffer text;
    buffer_init(&text, SERVER_LIMIT);
    buffer_append_text(&text, scheme);
    buffer_append_text(&text, server);
    char *made = buffer_take(&text);
    buffer_finish(&text);
    if (made == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for a server's name");
    }
    *base = made;
    return COMRADE_OK;
}

/* Copies what stands behind the scheme, without a last slash. False: it cannot be a server. */
static bool strip(const char *text, char *server, size_t size)
{
    size_t len = strlen(text);
    len -= len > 0 && text[len - 1] == '/' ? 1 : 0;
    if (len == 0 || len >= size) {
        return false;
    }
    memcpy(server, text, len);
    server[len] = '\0';
    return true;
}

comrade_status server_of_endpoint(const char *shown_url, const char *endpoint, char **base,
                                  comrade_error *error)
{
    bool is_http = begins_with(endpoint, http);
    const char *scheme = is_http ? http : https;
    char server[HOST_MAX_BYTES + 16];
    char host[HOST_MAX_BYTES + 1];
    if (!is_http && !begins_with(endpoint, https)) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "%s: write the endpoint as https://HOST, or http://HOST:PORT on "
                                 "loopback",
                                 shown_url);
    }
    if (!strip(endpoint + strlen(scheme), server, sizeof server) || !is_server(server, host)) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "%s: the endpoint must be a host, with a port if it has one, and "
                                 "no path: https://datastore.googleapis.com",
                                 shown_url);
    }
    if (is_http && !is_loopback(host)) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "%s: a token would go to the endpoint in clear; write https://, "
                                 "or set DATASTORE_EMULATOR_HOST if it is an emulator",
                                 shown_url);
    }
    return make_base(scheme, server, base, error);
}

comrade_status server_of_emulator(const char *shown_url, const char *emulator_host, char **base,
                                  comrade_error *error)
{
    /* The tools print it with a scheme, and Google's libraries take it so. */
    const char *rest =
        begins_with(emulator_host, http) ? emulator_host + strlen(http) : emulator_host;
    char server[HOST_MAX_BYTES + 16];
    char host[HOST_MAX_BYTES + 1];
    if (!strip(rest, server, sizeof server) || !is_server(server, host)) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "%s: DATASTORE_EMULATOR_HOST is \"%s\"; it must be HOST:PORT, as "
                                 "in localhost:8081",
                                 shown_url, emulator_host);
    }
    return make_base(http, server, base, error);
}
