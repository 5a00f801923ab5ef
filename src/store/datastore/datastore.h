/* The driver for datastore: URLs, for those who link it instead of loading it as a module. */
#ifndef STORE_DATASTORE_H
#define STORE_DATASTORE_H

#include <comrade/store.h>

extern const comrade_store_driver datastore_driver;

#endif
