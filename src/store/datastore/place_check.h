/*
 * What Google allows for the names of a place, so that a mistake is told here and not by a server
 * in words of its own. Core's limits, the same on every store, come first.
 */
#ifndef DATASTORE_PLACE_CHECK_H
#define DATASTORE_PLACE_CHECK_H

#include "store/datastore/place.h"

/* Everything but the endpoint. Errors: INVALID, TOO_LARGE. */
comrade_status place_check(const char *shown_url, const struct place *place, comrade_error *error);

#endif
