/* The driver for postgres: URLs, for those who link it instead of loading it as a module. */
#ifndef STORE_POSTGRES_H
#define STORE_POSTGRES_H

#include <comrade/store.h>

extern const comrade_store_driver postgres_driver;

#endif
