/*
 * A file of NAME=VALUE lines. Empty lines and lines that begin with # are skipped; "export " before
 * a name is accepted. A value is what follows to the end of the line, without blanks around it; in
 * 'single quotes' it is taken as it stands; in "double quotes" \n, \t, \\, \" and \$ are known.
 * Nothing is expanded, and no value spans lines.
 */
#ifndef AGENT_ENV_FILE_H
#define AGENT_ENV_FILE_H

#include "agent/environment.h"

#define ENV_FILE_MAX_BYTES (1024 * 1024)

/* Adds to `variables`, also when it fails later on. `what` names the file in errors, which tell the
   line, and never the value. Errors: INVALID, TOO_LARGE, NO_MEMORY. */
comrade_status env_file_parse(const char *what, const char *text, size_t n_bytes,
                              struct variables *variables, comrade_error *error);
/* Errors: also SYSTEM (cannot be read). */
comrade_status env_file_read(const char *path, struct variables *variables, comrade_error *error);

#endif
