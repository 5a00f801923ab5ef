/* Under which address others reach the service, and what the record says of it. */
#ifndef AGENT_ADDRESS_H
#define AGENT_ADDRESS_H

#include <comrade.h>

#define ADDRESS_SIZE 64

struct advertise {
    char ip[ADDRESS_SIZE];
    int port; /* 0: none was given */
};

/* Reads IP, IP:PORT, or [IP6]:PORT. Errors: INVALID. */
comrade_status advertise_parse(const char *text, struct advertise *advertise, comrade_error *error);

/*
 * The address to advertise when none was given: 127.0.0.1 if the store is a file or the memory of
 * this machine, so that everybody who reads it is here, too; else the address from which the
 * default route leaves (nothing is sent); else the first that is no loopback; else 127.0.0.1.
 */
void address_choose(const char *store, char ip[ADDRESS_SIZE]);

struct metadata_options {
    const char *const *pairs; /* "key=value", from the user; values stay text */
    size_t n_pairs;
    const char *ip; /* NULL: none */
    int port;       /* 0: none; the one value that is a number */
};
/* One JSON object, which the caller frees. Errors: INVALID (says which pair), TOO_LARGE,
   NO_MEMORY. */
comrade_status metadata_build(const struct metadata_options *options, char **metadata,
                              comrade_error *error);

#endif
