/*
 * Which driver serves a URL: those built in, those registered by the program, and modules, which
 * are loaded when their scheme is first named and stay loaded.
 */
#ifndef STORE_REGISTRY_H
#define STORE_REGISTRY_H

#include <comrade/store.h>

/*
 * The driver of the URL's scheme, valid for the life of the process. Thread-safe. Errors: INVALID
 * (no scheme, or an unknown one: lists the known), UNSUPPORTED (module missing: says which package
 * has it, or that there is none yet; module of another ABI).
 */
comrade_status store_driver_find(const char *url, const comrade_store_driver **driver,
                                 comrade_error *error);

#endif
