/*
 * The embedded store: one SQLite file in WAL mode, shared by the processes of one machine. The
 * store's clock is the machine's.
 */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include <comrade/store.h>

extern const comrade_store_driver sqlite_driver;

#endif
