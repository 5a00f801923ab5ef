#include "agent/address.h"

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "core/limits.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_ip(const char *text)
{
    struct in6_addr address;
    return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1;
}

/* Splits IP:PORT and [IP6]:PORT; an IPv6 address alone has more than one colon and no port. */
static const char *split_port(char *ip)
{
    char *last = strrchr(ip, ':');
    if (ip[0] == '[') {
        char *end = strchr(ip, ']');
        if (end == NULL || (end[1] != ':' && end[1] != '\0')) {
            return NULL;
        }
        const char *port = end[1] == ':' ? end + 2 : NULL;
        *end = '\0';
        memmove(ip, ip + 1, strlen(ip + 1) + 1);
        return port;
    }
    if (last == NULL || strchr(ip, ':') != last) {
        return NULL;
    }
    *last = '\0';
    return last + 1;
}

comrade_status advertise_parse(const char *text, struct advertise *advertise, comrade_error *error)
{
    struct advertise parsed = {.port = 0};
    char ip[ADDRESS_SIZE];
    int64_t port = 0;
    bool fits = (size_t)snprintf(ip, sizeof ip, "%s", text) < sizeof ip;
    const char *port_text = fits ? split_port(ip) : NULL;
    if (!fits || !is_ip(ip) || (port_text != NULL && !text_to_number(port_text, 1, 65535, &port))) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "\"%s\" is not IP or IP:PORT, such as 10.0.0.5:8080 or [::1]:8080",
                                 text);
    }
    snprintf(parsed.ip, sizeof parsed.ip, "%s", ip);
    parsed.port = (int)port;
    *advertise = parsed;
    return COMRADE_OK;
}

/* Connecting a datagram socket sends nothing; it only looks the route up. 192.0.2.1 is nobody's. */
static bool route_address(char ip[ADDRESS_SIZE])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(9)};
    socklen_t size = sizeof address;
    inet_pton(AF_INET, "192.0.2.1", &address.sin_addr);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    bool is_found = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
                    getsockname(fd, (struct sockaddr *)&address, &size) == 0 &&
                    inet_ntop(AF_INET, &address.sin_addr, ip, ADDRESS_SIZE) != NULL;
    close(fd);
    return is_found;
}

static bool interface_address(char ip[ADDRESS_SIZE])
{
    struct ifaddrs *all = NULL;
    bool is_found = false;
    if (getifaddrs(&all) != 0) {
        return false;
    }
    for (const struct ifaddrs *at = all; at != NULL && !is_found; at = at->ifa_next) {
        if (at->ifa_addr == NULL || at->ifa_addr->sa_family != AF_INET ||
            (at->ifa_flags & IFF_LOOPBACK) != 0 || (at->ifa_flags & IFF_UP) == 0) {
            continue;
        }
        struct sockaddr_in address;
        memcpy(&address, at->ifa_addr, sizeof address);
        is_found = inet_ntop(AF_INET, &address.sin_addr, ip, ADDRESS_SIZE) != NULL;
    }
    freeifaddrs(all);
    return is_found;
}

void address_choose(const char *store, char ip[ADDRESS_SIZE])
{
    bool is_local = strncmp(store, "sqlite:", 7) == 0 || strncmp(store, "memory:", 7) == 0;
    if (is_local || (!route_address(ip) && !interface_address(ip))) {
        snprintf(ip, ADDRESS_SIZE, "127.0.0.1");
    }
}

static comrade_status add_pair(json_t *object, const char *pair, comrade_error *error)
{
    const char *equals = strchr(pair, '=');
    if (equals == NULL || equals == pair) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "--meta \"%s\" is not key=value, such as zone=eu-1", pair);
    }
    size_t key_len = (size_t)(equals - pair);
    if (!text_is_utf8(pair, strlen(pair))) {
        return comrade_error_set(error, COMRADE_INVALID, "--meta \"%s\" is not valid UTF-8", pair);
    }
    char *key = strndup(pair, key_len);
    if (key == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory");
    }
    comrade_status status = COMRADE_OK;
    if (json_object_get(object, key) != NULL) {
        status = comrade_error_set(error, COMRADE_INVALID,
                                   "--meta %s is given twice (--advertise and --port set ip and "
                                   "port)",
                                   key);
    } else if (json_object_set_new(object, key, json_string(equals + 1)) != 0) {
        status = comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory");
    }
    free(key);
    return status;
}

comrade_status metadata_build(const struct metadata_options *options, char **metadata,
                              comrade_error *error)
{
    char *text = NULL;
    comrade_status status = COMRADE_OK;
    json_t *object = json_object();
    if (object == NULL ||
        (options->ip != NULL && json_object_set_new(object, "ip", json_string(options->ip)) != 0) ||
        (options->port != 0 &&
         json_object_set_new(object, "port", json_integer(options->port)) != 0)) {
        status = comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < options->n_pairs && status == COMRADE_OK; i++) {
        status = add_pair(object, options->pairs[i], error);
    }
    if (status == COMRADE_OK) {
        text = json_dumps(object, JSON_COMPACT);
        status = text != NULL ? limits_check_object("metadata", text, error)
                              : comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory");
    }
    json_decref(object);
    if (status != COMRADE_OK) {
        free(text);
        return status;
    }
    *metadata = text;
    return COMRADE_OK;
}
