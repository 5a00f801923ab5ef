/* Queries, and the entities that answer them: strongly consistent, outside of any transaction. */
#ifndef DATASTORE_QUERY_H
#define DATASTORE_QUERY_H

#include "store/datastore/internal.h"

enum query_order {
    QUERY_BY_KEY,
    QUERY_BY_ROLE, /* and by key within a role */
};

/* For entities of a kind of this cluster's, of the suffix. NULL, here and below: out of memory. */
json_t *query_new(const comrade_store *store, const char *suffix, enum query_order order);
/* Those whose role is EQUAL to this one, or GREATER_THAN it. */
json_t *query_role_filter(const char *op, const char *role);
/* The members behind that one. */
json_t *query_id_filter(const comrade_store *store, const char *id);
/* Both of them. They are taken over. */
json_t *query_and(json_t *one, json_t *other);
/* Takes over the query and the filter, and returns the query, which keeps to the filter. */
json_t *query_with(json_t *query, json_t *filter);

/*
 * Asks until there is no more, or there are `limit` entities in all (0: no limit), and adds to
 * `entities` those that are of use. Takes the query over; NULL, of it and of `entities`, is
 * NO_MEMORY.
 */
comrade_status query_run(comrade_store *store, const comrade_call *call, json_t *query,
                         size_t limit, bool (*is_of_use)(const json_t *entity), json_t *entities,
                         comrade_error *error);

#endif
