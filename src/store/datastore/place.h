/*
 * Which entities of which database, and at which server: what a URL and the options say, read and
 * checked before anybody is asked.
 *
 *   datastore://PROJECT[/DATABASE][?namespace=…&kind=…&credentials=FILE&endpoint=URL]
 */
#ifndef DATASTORE_PLACE_H
#define DATASTORE_PLACE_H

#include <comrade/store.h>

/* All strings are owned; none but `credentials` is NULL. */
struct place {
    char *project;
    char *database;    /* "": the default one, which a URL may also call (default) */
    char *name_space;  /* "": the default one */
    char *kind;        /* never empty */
    char *credentials; /* a file; NULL: the URL names none */
    char *endpoint;    /* "https://HOST[:PORT]", without a slash at its end */
    bool is_emulator;  /* no credentials are needed, and none may be sent: DATASTORE_EMULATOR_HOST
                          is set, or the endpoint has no TLS and the URL names no file */
};

/*
 * `emulator_host` is what DATASTORE_EMULATOR_HOST says; NULL or "": nothing. A kind in the URL
 * stands against the default kind of the options, which nobody can tell from one that was given.
 * Errors, with `place` untouched: INVALID, TOO_LARGE, NO_MEMORY.
 */
comrade_status place_read(const comrade_store_config *config, const char *emulator_host,
                          struct place *place, comrade_error *error);
void place_finish(struct place *place); /* may be called again, and on one that is all zero */

#endif
