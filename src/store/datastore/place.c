/*
 * Reads the URL into parts, and completes them from the options and the environment. Nothing of
 * `credentials` is repeated in an error.
 */
#include "store/datastore/place.h"

#include "base/text.h"
#include "store/datastore/place_check.h"
#include "store/datastore/place_server.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { PART_MAX_BYTES = 4096, SHOWN_NAME_BYTES = 40 };

static const char prefix[] = "datastore://";
static const char default_kind[] = "ComradeServer";
static const char google[] = "https://datastore.googleapis.com";

static comrade_status invalid(const comrade_store_config *config, const char *what,
                              comrade_error *error)
{
    return comrade_error_set(error, COMRADE_INVALID, "%s: %s", config->shown_url, what);
}

static comrade_status no_memory(const comrade_store_config *config, comrade_error *error)
{
    return comrade_error_set(error, COMRADE_NO_MEMORY, "%s: open: out of memory",
                             config->shown_url);
}

/* --- Parts of the URL ------------------------------------------------------------------------- */

static int digit_value(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* `len` bytes with their %XX undone, which the caller frees. */
static comrade_status decode(const comrade_store_config *config, const char *from, size_t len,
                             char **decoded, comrade_error *error)
{
    if (len > PART_MAX_BYTES) {
        return invalid(config, "a part of the URL is too long", error);
    }
    char *text = malloc(len + 1);
    if (text == NULL) {
        return no_memory(config, error);
    }
    size_t n = 0;
    for (size_t i = 0; i < len; i++, n++) {
        text[n] = from[i];
        if (from[i] == '%') {
            bool is_whole = len - i > 2 && isxdigit((unsigned char)from[i + 1]) &&
                            isxdigit((unsigned char)from[i + 2]);
            text[n] =
                is_whole ? (char)(digit_value(from[i + 1]) * 16 + digit_value(from[i + 2])) : '\0';
            i += 2;
        }
        if (text[n] == '\0') {
            free(text);
            return invalid(config, "a '%' that stands for itself is written %25", error);
        }
    }
    text[n] = '\0';
    *decoded = text;
    return COMRADE_OK;
}

static comrade_status unknown_parameter(const comrade_store_config *config, const char *name,
                                        size_t len, comrade_error *error)
{
    static const char *const known[] = {"namespace", "kind", "credentials", "endpoint"};
    char shown[SHOWN_NAME_BYTES + 1] = {0};
    memcpy(shown, name, len < SHOWN_NAME_BYTES ? len : SHOWN_NAME_BYTES);
    const char *nearest = text_nearest(shown, known, sizeof known / sizeof known[0]);
    return comrade_error_set(error, COMRADE_INVALID,
                             "%s: unknown parameter \"%s\"%s%s%s; known are namespace, kind, "
                             "credentials and endpoint (the database stands behind the project: "
                             "datastore://PROJECT/DATABASE)",
                             config->shown_url, shown, nearest == NULL ? "" : " (did you mean \"",
                             nearest == NULL ? "" : nearest, nearest == NULL ? "" : "\"?)");
}

/* NAME=VALUE */
static comrade_status read_parameter(const comrade_store_config *config, const char *text,
                                     size_t len, struct place *place, comrade_error *error)
{
    const struct {
        const char *name;
        char **value;
    } parameters[] = {{"namespace", &place->name_space},
                      {"kind", &place->kind},
                      {"credentials", &place->credentials},
                      {"endpoint", &place->endpoint}};
    const char *equals = memchr(text, '=', len);
    if (equals == NULL) {
        return invalid(config, "a parameter is written NAME=VALUE", error);
    }
    size_t name_len = (size_t)(equals - text);
    for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++) {
        const char *name = parameters[i].name;
        if (strlen(name) != name_len || memcmp(name, text, name_len) != 0) {
            continue;
        }
        if (*parameters[i].value != NULL) {
            return comrade_error_set(error, COMRADE_INVALID, "%s: %s is given twice",
                                     config->shown_url, name);
        }
        if (name_len + 1 == len && parameters[i].value != &place->name_space) {
            return comrade_error_set(error, COMRADE_INVALID, "%s: %s has no value",
                                     config->shown_url, name);
        }
        return decode(config, equals + 1, len - name_len - 1, parameters[i].value, error);
    }
    return unknown_parameter(config, text, name_len, error);
}

static comrade_status read_parameters(const comrade_store_config *config, const char *query,
                                      struct place *place, comrade_error *error)
{
    comrade_status status = COMRADE_OK;
    while (*query != '\0' && status == COMRADE_OK) {
        size_t len = strcspn(query, "&");
        if (len > 0) {
            status = read_parameter(config, query, len, place, error);
        }
        query += len + (query[len] == '&' ? 1 : 0);
    }
    return status;
}

static comrade_status read_url(const comrade_store_config *config, struct place *place,
                               comrade_error *error)
{
    if (strncasecmp(config->url, prefix, strlen(prefix)) != 0) {
        return invalid(config, "write the store as datastore://PROJECT", error);
    }
    if (strchr(config->url, '#') != NULL) {
        return invalid(config, "a '#' is written %23", error);
    }
    const char *project = config->url + strlen(prefix);
    size_t project_len = strcspn(project, "/?");
    const char *database = project + project_len + (project[project_len] == '/' ? 1 : 0);
    size_t database_len = strcspn(database, "?");
    const char *query = database + database_len;
    comrade_status status = decode(config, project, project_len, &place->project, error);
    if (status == COMRADE_OK) {
        status = decode(config, database, database_len, &place->database, error);
    }
    if (status == COMRADE_OK && *query == '?') {
        status = read_parameters(config, query + 1, place, error);
    }
    return status;
}

/* --- What the options and the environment say ------------------------------------------------- */

/* The URL's value if it has one, else the option's; two that differ are an error. */
static comrade_status merge(const comrade_store_config *config, const char *what,
                            const char *option, const char *not_given, char **value,
                            comrade_error *error)
{
    if (*value == NULL) {
        *value = strdup(option);
        return *value == NULL ? no_memory(config, error) : COMRADE_OK;
    }
    if (strcmp(option, not_given) != 0 && strcmp(option, *value) != 0) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "%s: the %s is \"%s\" in the URL and \"%s\" in the options; leave "
                                 "out one of them",
                                 config->shown_url, what, *value, option);
    }
    return COMRADE_OK;
}

static comrade_status find_server(const comrade_store_config *config, const char *emulator_host,
                                  struct place *place, comrade_error *error)
{
    char *wanted = place->endpoint;
    place->endpoint = NULL;
    comrade_status status = COMRADE_OK;
    place->is_emulator = emulator_host != NULL && emulator_host[0] != '\0';
    if (place->is_emulator) {
        status = server_of_emulator(config->shown_url, emulator_host, &place->endpoint, error);
        if (status == COMRADE_OK && wanted != NULL) {
            status = invalid(config,
                             "DATASTORE_EMULATOR_HOST is set, and the URL has an endpoint; "
                             "leave out one of them",
                             error);
        }
    } else {
        status = server_of_endpoint(config->shown_url, wanted == NULL ? google : wanted,
                                    &place->endpoint, error);
        /* Without TLS it is none of Google's, which alone wants to know who asks. */
        place->is_emulator = status == COMRADE_OK && place->credentials == NULL &&
                             strncmp(place->endpoint, "http://", strlen("http://")) == 0;
    }
    free(wanted);
    return status;
}

/* --- The whole -------------------------------------------------------------------------------- */

comrade_status place_read(const comrade_store_config *config, const char *emulator_host,
                          struct place *place, comrade_error *error)
{
    struct place made = {0};
    comrade_status status = read_url(config, &made, error);
    if (status == COMRADE_OK && strcmp(made.database, "(default)") == 0) {
        made.database[0] = '\0';
    }
    if (status == COMRADE_OK) {
        status = merge(config, "namespace", config->name_space, "", &made.name_space, error);
    }
    if (status == COMRADE_OK) {
        status = merge(config, "kind", config->kind, default_kind, &made.kind, error);
    }
    if (status == COMRADE_OK) {
        status = place_check(config->shown_url, &made, error);
    }
    if (status == COMRADE_OK) {
        status = find_server(config, emulator_host, &made, error);
    }
    if (status != COMRADE_OK) {
        place_finish(&made);
        return status;
    }
    *place = made;
    return COMRADE_OK;
}

void place_finish(struct place *place)
{
    free(place->project);
    free(place->database);
    free(place->name_space);
    free(place->kind);
    free(place->credentials);
    free(place->endpoint);
    *place = (struct place){0};
}
