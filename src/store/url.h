/* What the store layer reads of a URL itself. The rest is the driver's. */
#ifndef STORE_URL_H
#define STORE_URL_H

#include <stdbool.h>
#include <stddef.h>

/* Copies the scheme in lower case ("postgresql" becomes "postgres"). False: there is none that
 * fits. */
bool url_scheme(const char *url, char *scheme, size_t size);
/*
 * The URL as it may be shown: passwords in the user part and in the query are replaced by "***".
 * Anything odd is hidden rather than shown. The caller frees it; NULL when out of memory, or if the
 * URL has more than 64 KB.
 */
char *url_redact(const char *url);

#endif
