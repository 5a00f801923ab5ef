/* Looking up a host's name within a call's bounds, which getaddrinfo() has none of. */
#ifndef POSTGRES_RESOLVE_H
#define POSTGRES_RESOLVE_H

#include <comrade/store.h>

enum { ADDRESSES_MAX = 8, ADDRESS_SIZE = 64 };

struct addresses {
    char texts[ADDRESSES_MAX][ADDRESS_SIZE]; /* as hostaddr= takes them */
    size_t n_addresses;
};

/* Is it a name, and not a socket's folder or an address already? */
bool resolve_is_name(const char *host);
/*
 * Errors: UNAVAILABLE, where the name is not known or nobody answers in time; NO_MEMORY. The
 * error's text is without the store.
 */
comrade_status resolve_name(const char *name, const comrade_call *call, struct addresses *addresses,
                            comrade_error *error);

#endif
