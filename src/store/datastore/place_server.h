/* Addresses of servers, as they stand behind `endpoint=` and in DATASTORE_EMULATOR_HOST. */
#ifndef DATASTORE_PLACE_SERVER_H
#define DATASTORE_PLACE_SERVER_H

#include <comrade/store.h>

/*
 * Both make a base for requests, "https://HOST[:PORT]", which the caller frees. An endpoint without
 * TLS is taken on loopback alone: a token must not go over a network in clear.
 * Errors: INVALID, NO_MEMORY.
 */
comrade_status server_of_endpoint(const char *shown_url, const char *endpoint, char **base,
                                  comrade_error *error);
comrade_status server_of_emulator(const char *shown_url, const char *emulator_host, char **base,
                                  comrade_error *error);

#endif
