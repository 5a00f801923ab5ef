/*
 * Where the store is: as the options say, or the embedded one in the folder that the system keeps
 * for such state. That folder is the owner's alone, because whoever can write it can ask every
 * member to leave.
 */
#include "cli/store_place.h"

#include "cli/cli.h"

#include "base/buffer.h"
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { URL_LIMIT_BYTES = 64 * 1024, PATH_LIMIT_BYTES = 4096 };

static comrade_status out_of_memory(comrade_error *error)
{
    return comrade_error_set(error, COMRADE_NO_MEMORY, "looking for the store: out of memory");
}

/* --- --store-file ----------------------------------------------------------------------------- */

/* Its contents are never repeated in an error: they may be a secret. */
static comrade_status read_first_line(const char *path, char *line, comrade_error *error)
{
    FILE *file = fopen(path, "re");
    errno = file == NULL ? errno : 0;
    bool is_read = file != NULL && fgets(line, URL_LIMIT_BYTES, file) != NULL;
    int saved_errno = errno;
    if (file != NULL) {
        fclose(file);
    }
    if (!is_read && saved_errno != 0) {
        return comrade_error_set(error, COMRADE_INVALID, "reading the store file %s: %s", path,
                                 strerror(saved_errno));
    }
    size_t len = is_read ? strlen(line) : 0;
    if (len + 1 >= URL_LIMIT_BYTES) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "the first line of the store file %s is too long for a URL", path);
    }
    while (len > 0 && strchr(" \t\r\n", line[len - 1]) != NULL) {
        len--;
    }
    if (len == 0) {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "the first line of the store file %s is empty; it should be the "
                                 "store's URL",
                                 path);
    }
    line[len] = '\0';
    return COMRADE_OK;
}

static comrade_status url_from_file(const char *path, char **url, comrade_error *error)
{
    char *line = calloc(1, URL_LIMIT_BYTES);
    if (line == NULL) {
        return out_of_memory(error);
    }
    comrade_status status = read_first_line(path, line, error);
    if (status != COMRADE_OK) {
        free(line);
        return status;
    }
    *url = line;
    return COMRADE_OK;
}

/* --- The default ------------------------------------------------------------------------------ */

comrade_status user_state_folder(struct buffer *path, comrade_error *error)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    bool is_done;
    if (state != NULL && state[0] == '/') { /* The XDG rule: others are to be ignored. */
        is_done = buffer_append_text(path, state);
    } else if (home != NULL && home[0] == '/') {
        is_done = buffer_append_format(path, "%s/.local/state", home);
    } else {
        return comrade_error_set(error, COMRADE_INVALID,
                                 "no store is named, and HOME is not set, so that there is no "
                                 "default; say --store URL or set COMRADE_STORE");
    }
    return is_done ? COMRADE_OK : out_of_memory(error);
}

/* Like mkdir -p; what exists stays as it is. */
comrade_status make_folders(const char *path, comrade_error *error)
{
    char *copy = strdup(path);
    if (copy == NULL) {
        return out_of_memory(error);
    }
    comrade_status status = COMRADE_OK;
    for (char *end = copy + 1; status == COMRADE_OK && end != NULL;) {
        end = strchr(end, '/');
        if (end != NULL) {
            *end = '\0';
        }
        if (mkdir(copy, 0700) != 0 && errno != EEXIST) {
            status = comrade_error_set(error, COMRADE_UNAVAILABLE,
                                       "making the folder %s: %s; name another store "
                                       "with --store URL or COMRADE_STORE",
                                       copy, strerror(errno));
        }
        if (end != NULL) {
            *end++ = '/';
        }
    }
    free(copy);
    return status;
}

/* Nobody has named it, so that the one who reads of it may not know that there is such a place. */
static comrade_status check_default(const char *folder, comrade_error *error)
{
    char path[PATH_LIMIT_BYTES + 32];
    snprintf(path, sizeof path, "%s/comrade.db", folder);
    if (access(path, F_OK) == 0 || errno != ENOENT) {
        return COMRADE_OK;
    }
    return comrade_error_set(error, COMRADE_UNAVAILABLE,
                             "no store is named, and there is none at the default place yet, "
                             "sqlite:%s; it is made by the first `comrade run` or `comrade store "
                             "init`. --store URL or COMRADE_STORE names another",
                             path);
}

static comrade_status url_by_default(bool makes_store, char **url, comrade_error *error)
{
    struct buffer path, made;
    buffer_init(&path, PATH_LIMIT_BYTES);
    buffer_init(&made, PATH_LIMIT_BYTES + 32);
    comrade_status status = COMRADE_OK;
    if (geteuid() == 0) {
        buffer_append_text(&path, "/var/lib");
    } else {
        status = user_state_folder(&path, error);
    }
    if (status == COMRADE_OK) {
        status = buffer_append_text(&path, "/comrade") && !path.is_failed ? COMRADE_OK
                                                                          : out_of_memory(error);
    }
    if (status == COMRADE_OK) {
        status = makes_store ? make_folders(buffer_text(&path), error)
                             : check_default(buffer_text(&path), error);
    }
    if (status == COMRADE_OK) {
        buffer_append_format(&made, "sqlite:%s/comrade.db", buffer_text(&path));
        char *taken = buffer_take(&made);
        status = taken == NULL ? out_of_memory(error) : COMRADE_OK;
        *url = taken == NULL ? *url : taken;
    }
    buffer_finish(&path);
    buffer_finish(&made);
    return status;
}

/* --- Which of them ---------------------------------------------------------------------------- */

static bool is_typed(const struct options *options, const char *name)
{
    return options_is_given(options, name) && options_variable(options, name) == NULL;
}

comrade_status store_place_find(const struct options *options, char **url, comrade_error *error)
{
    bool has_url = options_is_given(options, "store");
    bool has_file = options_is_given(options, "store-file");
    if (has_url && has_file) {
        /* What was typed wins over what the environment says. */
        if (is_typed(options, "store") == is_typed(options, "store-file")) {
            return comrade_error_set(error, COMRADE_INVALID,
                                     "both a store and a store file are named; name one of them");
        }
        has_url = is_typed(options, "store");
        has_file = !has_url;
    }
    if (has_file) {
        return url_from_file(options_text(options, "store-file"), url, error);
    }
    if (!has_url) {
        return url_by_default(options->verb->makes_store, url, error);
    }
    char *copy = strdup(options_text(options, "store"));
    if (copy == NULL) {
        return out_of_memory(error);
    }
    *url = copy;
    return COMRADE_OK;
}

char *cli_store_url(struct cli *cli, const struct options *options)
{
    char *url = NULL;
    comrade_error error;
    if (store_place_find(options, &url, &error) != COMRADE_OK) {
        cli_error(cli, &error);
        return NULL;
    }
    return url;
}
