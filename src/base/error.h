/*
 * How an error's message is made: comrade_error_set(). It is public for the sake of drivers, whose
 * header declares it; what is above the stores takes it from here and nothing else.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <comrade/store.h>

#endif
