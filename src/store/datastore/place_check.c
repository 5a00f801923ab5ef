#include "store/datastore/place_check.h"

#include "core/limits.h"

#include <ctype.h>
#include <string.h>

enum { PROJECT_MAX_BYTES = 100, DATABASE_MIN_BYTES = 4, DATABASE_MAX_BYTES = 63 };

static const char lower[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
static const char lower_and_dot[] = "abcdefghijklmnopqrstuvwxyz0123456789-.";

static comrade_status invalid(const char *shown_url, const char *what, comrade_error *error)
{
    return comrade_error_set(error, COMRADE_INVALID, "%s: %s", shown_url, what);
}

static bool has_only(const char *text, const char *allowed)
{
    return text[strspn(text, allowed)] == '\0';
}

/* my-project, or example.com:my-project. */
static comrade_status check_project(const char *shown_url, const char *project,
                                    comrade_error *error)
{
    const char *colon = strchr(project, ':');
    const char *id = colon == NULL ? project : colon + 1;
    size_t domain_len = strspn(project, lower_and_dot);
    const char *dot = strchr(project, '.');
    bool has_good_domain = colon == NULL || (project + domain_len == colon && dot != NULL &&
                                             dot > project && dot < colon);
    if (project[0] == '\0') {
        return invalid(shown_url, "the project is missing; write datastore://PROJECT", error);
    }
    /* Not repeated: a password may be in it, or a part of one. */
    if (strchr(project, '@') != NULL || strstr(shown_url, "***@") != NULL) {
        return invalid(shown_url,
                       "what stands before the '@' is no id of a project, and users and passwords "
                       "are not known there: a file says who asks "
                       "(datastore://PROJECT?credentials=FILE)",
                       error);
    }
    if (*id == '\0' || !has_good_domain || !has_only(id, lower) ||
        strlen(project) > PROJECT_MAX_BYTES) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "%s: \"%s\" is no id of a project: lower-case letters, digits and "
                                 "'-' (its name may differ; `gcloud projects list` shows both)",
                                 shown_url, project);
    }
    return COMRADE_OK;
}

static comrade_status check_database(const char *shown_url, const char *database,
                                     comrade_error *error)
{
    size_t len = strlen(database);
    if (len > 0 && (len < DATABASE_MIN_BYTES || len > DATABASE_MAX_BYTES ||
                    !islower((unsigned char)database[0]) || database[len - 1] == '-' ||
                    !has_only(database, lower))) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "%s: \"%s\" is no id of a database: 4 to 63 lower-case letters, "
                                 "digits and '-', with a letter first; the default one is left out",
                                 shown_url, database);
    }
    return COMRADE_OK;
}

static comrade_status check_name_space(const char *shown_url, const char *name_space,
                                       comrade_error *error)
{
    const char *c = name_space;
    while (isalnum((unsigned char)*c) || (*c != '\0' && strchr("._-", *c) != NULL)) {
        c++;
    }
    size_t len = strlen(name_space);
    bool is_reserved =
        len >= 4 && strncmp(name_space, "__", 2) == 0 && strcmp(name_space + len - 2, "__") == 0;
    if (*c != '\0' || is_reserved) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "%s: the namespace \"%s\" is not allowed: letters, digits, '.', "
                                 "'_' and '-', and not __…__",
                                 shown_url, name_space);
    }
    return COMRADE_OK;
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text);
    return len >= strlen(end) && strcmp(text + len - strlen(end), end) == 0;
}

static comrade_status check_kind(const char *shown_url, const char *kind, comrade_error *error)
{
    if (kind[0] == '\0') {
        return invalid(shown_url, "the kind must not be empty", error);
    }
    if (strlen(kind) >= 4 && strncmp(kind, "__", 2) == 0 && ends_with(kind, "__")) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "%s: the kind \"%s\" is not allowed: Google keeps __…__ to itself",
                                 shown_url, kind);
    }
    if (ends_with(kind, ".role") || ends_with(kind, ".probe")) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "%s: the kind \"%s\" is not allowed: what Comrade keeps beside "
                                 "the members of a kind ends in .role or .probe",
                                 shown_url, kind);
    }
    return COMRADE_OK;
}

/* Core's limits, which are the same on every store. */
static comrade_status check_limits(const char *shown_url, const struct place *place,
                                   comrade_error *error)
{
    comrade_error why = {0};
    comrade_status status = limits_check_name("namespace", place->name_space, &why);
    if (status == COMRADE_OK) {
        status = limits_check_name("kind", place->kind, &why);
    }
    return status == COMRADE_OK
               ? COMRADE_OK
               : comrade_error_set(error, status, "%s: %s", shown_url, why.message);
}

comrade_status place_check(const char *shown_url, const struct place *place, comrade_error *error)
{
    comrade_status status = check_limits(shown_url, place, error);
    if (status == COMRADE_OK) {
        status = check_project(shown_url, place->project, error);
    }
    if (status == COMRADE_OK) {
        status = check_database(shown_url, place->database, error);
    }
    if (status == COMRADE_OK) {
        status = check_name_space(shown_url, place->name_space, error);
    }
    return status == COMRADE_OK ? check_kind(shown_url, place->kind, error) : status;
}
