#include "agent/identity.h"

#include "agent/run_directory.h"
#include "base/error.h"
#include "base/text.h"
#include "core/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_NAME_SIZE (COMRADE_ID_MAX_BYTES + 8)

void identity_host(char host[COMRADE_NAME_MAX_BYTES + 1])
{
    char name[256] = "";
    if (gethostname(name, sizeof name - 1) != 0 || name[0] == '\0') {
        snprintf(name, sizeof name, "localhost");
    }
    snprintf(host, COMRADE_NAME_MAX_BYTES + 1, "%.*s", COMRADE_NAME_MAX_BYTES, name);
    for (char *at = host; *at != '\0'; at++) {
        if (*at <= ' ' || *at > '~' || *at == '/') {
            *at = '_';
        }
    }
}

/* FNV-1a with 64 bits: not secret, only apart. */
static uint64_t hash_bytes(uint64_t hash, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

/* With its end, so that two texts in a row are apart from one. */
static uint64_t hash_text(uint64_t hash, const char *text)
{
    return hash_bytes(hash, text, strlen(text) + 1);
}

/* Two ways to write the path of one SQLite file are one store, before and after it is made; and
   so are the two names of PostgreSQL's scheme. */
static uint64_t hash_store(uint64_t hash, const char *store)
{
    const char scheme[] = "sqlite:";
    const char long_postgres[] = "postgresql://";
    if (strncmp(store, long_postgres, sizeof long_postgres - 1) == 0) {
        return hash_text(hash_bytes(hash, "postgres", 8), store + sizeof "postgresql" - 1);
    }
    if (strncmp(store, scheme, sizeof scheme - 1) != 0) {
        return hash_text(hash, store);
    }
    const char *path = store + sizeof scheme - 1;
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    char *folder = slash != NULL ? strndup(path, (size_t)(name - path)) : strdup(".");
    char *resolved = folder != NULL ? realpath(folder, NULL) : NULL;
    hash = hash_text(hash, resolved != NULL ? resolved : path);
    free(resolved);
    free(folder);
    return hash_text(hash, name);
}

static void directory_name(const struct identity_options *options, char name[17])
{
    uint64_t hash = hash_store(UINT64_C(0xcbf29ce484222325), options->store);
    hash = hash_text(hash, options->name_space != NULL ? options->name_space : "");
    hash = hash_text(hash, options->kind != NULL ? options->kind : "ComradeServer");
    snprintf(name, 17, "%016llx", (unsigned long long)hash);
}

static comrade_status lock_id(struct identity *identity, pid_t *holder, comrade_error *error)
{
    char name[LOCK_NAME_SIZE];
    snprintf(name, sizeof name, "id-%s", identity->id);
    return run_lock_take(identity->directory_fd, name, &identity->lock_fd, holder, error);
}

static comrade_status take_given(const struct identity_options *options, struct identity *identity,
                                 comrade_error *error)
{
    pid_t holder = 0;
    snprintf(identity->id, sizeof identity->id, "%s", options->id);
    comrade_status status = lock_id(identity, &holder, error);
    if (status != COMRADE_IN_USE || options->takes_over) {
        return status == COMRADE_IN_USE ? COMRADE_OK : status;
    }
    char pid[32] = "";
    if (holder > 0) {
        snprintf(pid, sizeof pid, ", pid %d", (int)holder);
    }
    return comrade_error_set(error, COMRADE_IN_USE,
                             "the id %s is running on this host%s; stop that one, choose another "
                             "id, or take it over with --takeover",
                             options->id, pid);
}

static comrade_status take_lowest(const struct identity_options *options, int first,
                                  struct identity *identity, comrade_error *error)
{
    for (int number = first; number <= IDENTITY_LIMIT; number++) {
        char suffix[16];
        int suffix_len = snprintf(suffix, sizeof suffix, "-%d", number);
        int host_len = COMRADE_ID_MAX_BYTES - suffix_len - (int)strlen(options->role) - 1;
        snprintf(identity->id, sizeof identity->id, "%s-%.*s%s", options->role, host_len,
                 options->host, suffix);
        comrade_status status = lock_id(identity, NULL, error);
        if (status != COMRADE_IN_USE) {
            identity->number = number;
            return status;
        }
    }
    return comrade_error_set(error, COMRADE_IN_USE,
                             "%d members of the role %s run on this host; give this one an --id",
                             IDENTITY_LIMIT, options->role);
}

comrade_status identity_take(const struct identity_options *options, struct identity *identity,
                             comrade_error *error)
{
    struct identity taken = {.directory_fd = -1, .lock_fd = -1};
    comrade_status status = limits_check_role(options->role, error);
    if (status == COMRADE_OK && options->id != NULL) {
        status = limits_check_id(options->id, error);
    }
    if (status != COMRADE_OK) {
        return status;
    }
    char name[17];
    directory_name(options, name);
    status = run_directory_open(options->directory, name, &taken.directory_fd, error);
    if (status == COMRADE_OK) {
        status = options->id != NULL ? take_given(options, &taken, error)
                                     : take_lowest(options, 1, &taken, error);
    }
    if (status != COMRADE_OK) {
        identity_release(&taken);
        return status;
    }
    *identity = taken;
    return COMRADE_OK;
}

comrade_status identity_take_next(const struct identity_options *options, struct identity *identity,
                                  comrade_error *error)
{
    struct identity taken = {.directory_fd = identity->directory_fd, .lock_fd = -1};
    comrade_status status = take_lowest(options, identity->number + 1, &taken, error);
    if (status == COMRADE_OK) {
        close(identity->lock_fd);
        *identity = taken;
    }
    return status;
}

bool identity_lock(struct identity *identity)
{
    return identity->lock_fd >= 0 || lock_id(identity, NULL, NULL) == COMRADE_OK;
}

void identity_release(struct identity *identity)
{
    if (identity->lock_fd >= 0) {
        close(identity->lock_fd);
        identity->lock_fd = -1;
    }
    if (identity->directory_fd >= 0) {
        close(identity->directory_fd);
        identity->directory_fd = -1;
    }
}
