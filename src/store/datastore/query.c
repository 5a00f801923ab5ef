/*
 * A query is JSON of the API's, made piece by piece: what takes a piece that could not be made
 * makes nothing, so that only query_run() asks whether there was memory.
 *
 * Within a query the server's cursors lead from one answer to the next, and all of them show the
 * moment of the first.
 */
#include "store/datastore/query.h"

#include <stdlib.h>
#include <string.h>

enum { ANSWERS_MAX = 10000 /* to one query */ };

/* --- What is asked -----------------------------------------------------------------------------
 */

static json_t *property_filter(const char *property, const char *op, json_t *value)
{
    return json_pack("{s:{s:{s:s},s:s,s:o}}", "propertyFilter", "property", "name", property, "op",
                     op, "value", value);
}

json_t *query_role_filter(const char *op, const char *role)
{
    return property_filter("role", op, json_pack("{s:s}", "stringValue", role));
}

json_t *query_id_filter(const comrade_store *store, const char *id)
{
    return property_filter(
        "__key__", "GREATER_THAN",
        json_pack("{s:o}", "keyValue", datastore_key(store, DATASTORE_MEMBERS, id)));
}

json_t *query_and(json_t *one, json_t *other)
{
    return json_pack("{s:{s:s,s:[o,o]}}", "compositeFilter", "op", "AND", "filters", one, other);
}

static json_t *sorted(const char *property)
{
    return json_pack("{s:{s:s},s:s}", "property", "name", property, "direction", "ASCENDING");
}

json_t *query_new(const comrade_store *store, const char *suffix, enum query_order order)
{
    json_t *orders = order == QUERY_BY_ROLE ? json_pack("[o,o]", sorted("role"), sorted("__key__"))
                                            : json_pack("[o]", sorted("__key__"));
    return json_pack("{s:[{s:s+}],s:o}", "kind", "name", store->place.kind, suffix, "order",
                     orders);
}

json_t *query_with(json_t *query, json_t *filter)
{
    if (json_object_set_new(query, "filter", filter) != 0) {
        json_decref(query);
        return NULL;
    }
    return query;
}

static json_t *request_of(const comrade_store *store, const char *moment, json_t *query)
{
    return json_pack("{s:o,s:o,s:O}", "partitionId", datastore_partition(store), "readOptions",
                     datastore_read_options(moment), "query", query);
}

/* --- What is answered --------------------------------------------------------------------------
 */

static bool take_useful(const json_t *batch, bool (*is_of_use)(const json_t *entity),
                        json_t *entities)
{
    bool is_done = true;
    size_t i;
    json_t *result;
    json_array_foreach(json_object_get(batch, "entityResults"), i, result)
    {
        is_done = is_done && datastore_restore_name(result);
        json_t *entity = json_object_get(result, "entity");
        if (is_of_use(entity)) {
            is_done = is_done && json_array_append(entities, entity) == 0;
        }
    }
    return is_done;
}

/* *cursor: where the query goes on, to be freed; NULL: there is no more. */
static comrade_status ask(comrade_store *store, const comrade_call *call, json_t *query,
                          bool (*is_of_use)(const json_t *entity), json_t *entities,
                          char moment[DATASTORE_MOMENT_SIZE], char **cursor, comrade_error *error)
{
    struct api_request request;
    comrade_status status = api_ask(store, call, "read", false, "runQuery",
                                    request_of(store, moment, query), &request, error);
    if (status == COMRADE_OK && request.code != API_OK) {
        status = datastore_explain(store, call, "read", false, &request, error);
    }
    if (status == COMRADE_OK) {
        const json_t *batch = json_object_get(request.answer, "batch");
        bool is_done = take_useful(batch, is_of_use, entities);
        datastore_note_moment(moment, batch);
        /* Of what was no use there may be more behind the limit. */
        const char *more = api_text(batch, "moreResults");
        bool is_finished =
            strcmp(more, "NOT_FINISHED") != 0 && strcmp(more, "MORE_RESULTS_AFTER_LIMIT") != 0;
        *cursor = is_finished ? NULL : strdup(api_text(batch, "endCursor"));
        if (!is_done || (!is_finished && *cursor == NULL)) {
            status = datastore_no_memory(store, "read", error);
        }
    }
    api_finish(&request);
    return status;
}

static bool set_limit(json_t *query, size_t limit, const json_t *entities)
{
    size_t n_left = limit - json_array_size(entities);
    return limit == 0 || json_object_set_new(query, "limit", json_integer((json_int_t)n_left)) == 0;
}

comrade_status query_run(comrade_store *store, const comrade_call *call, json_t *query,
                         size_t limit, bool (*is_of_use)(const json_t *entity), json_t *entities,
                         comrade_error *error)
{
    comrade_status status =
        query == NULL || entities == NULL ? datastore_no_memory(store, "read", error) : COMRADE_OK;
    bool has_more = true;
    char moment[DATASTORE_MOMENT_SIZE] = "";
    for (size_t n = 0; status == COMRADE_OK && has_more; n++) {
        char *cursor = NULL;
        status = set_limit(query, limit, entities)
                     ? ask(store, call, query, is_of_use, entities, moment, &cursor, error)
                     : datastore_no_memory(store, "read", error);
        has_more = cursor != NULL && (limit == 0 || json_array_size(entities) < limit);
        if (status == COMRADE_OK && has_more &&
            json_object_set_new(query, "startCursor", json_string(cursor)) != 0) {
            status = datastore_no_memory(store, "read", error);
        }
        if (status == COMRADE_OK && n == ANSWERS_MAX) {
            status = comrade_error_set(error, COMRADE_BROKEN, "%s: read: a query has no end",
                                       store->shown_url);
        }
        free(cursor);
    }
    json_decref(query);
    return status;
}
