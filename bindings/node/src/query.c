/* What JavaScript asks for, as the library's structs. */
#include "addon.h"

#include <stdlib.h>

static void free_texts(char **texts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(texts[i]);
    }
}

/* --- Which members
 * --------------------------------------------------------------------------------- */

static const char *const query_fields[] = {"role",  "alive",     "healthy",
                                           "stale", "available", "where"};

enum { N_QUERY_FIELDS = sizeof query_fields / sizeof query_fields[0] };

/* `where` is an array: a key, its value, the next key, and so on. */
static bool read_where(struct query *query, const struct arguments *fields)
{
    napi_env env = fields->env;
    bool is_array = false;
    uint32_t n = 0;
    if (napi_is_array(env, fields->values[5], &is_array) != napi_ok || !is_array) {
        return true;
    }
    napi_get_array_length(env, fields->values[5], &n);
    if (n > 2 * WHERE_MAX) {
        napi_throw_error(env, comrade_status_name(COMRADE_TOO_LARGE),
                         "comrade: too many conditions in `where`");
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct arguments element = {.env = env};
        if (napi_get_element(env, fields->values[5], i, &element.values[0]) != napi_ok ||
            !argument_text(&element, 0, &query->texts[1 + i])) {
            return false;
        }
    }
    for (uint32_t i = 0; i < n / 2; i++) {
        query->where[i].key = query->texts[1 + 2 * i];
        query->where[i].value = query->texts[2 + 2 * i];
    }
    query->query.where = query->where;
    query->query.n_where = n / 2;
    return true;
}

bool query_init(struct query *query, const struct arguments *arguments, size_t i)
{
    struct arguments fields;
    *query = (struct query){.query = COMRADE_QUERY_INIT};
    if (!arguments_of_object(arguments, i, query_fields, N_QUERY_FIELDS, &fields) ||
        !argument_text(&fields, 0, &query->texts[0]) ||
        !argument_filter(&fields, 1, &query->query.alive) ||
        !argument_filter(&fields, 2, &query->query.healthy) ||
        !argument_filter(&fields, 3, &query->query.stale) ||
        !argument_filter(&fields, 4, &query->query.available) || !read_where(query, &fields)) {
        return false;
    }
    query->query.role = query->texts[0];
    return true;
}

void query_finish(struct query *query)
{
    free_texts(query->texts, sizeof query->texts / sizeof query->texts[0]);
}

/* --- How to ask
 * ---------------------------------------------------------------------------------------- */

static const char *const request_fields[] = {"reason", "user", "interval", "budgeted", "prefix"};

enum { N_REQUEST_FIELDS = sizeof request_fields / sizeof request_fields[0] };

bool request_init(struct request *request, const struct arguments *arguments, size_t i)
{
    struct arguments fields;
    *request = (struct request){.options = COMRADE_REQUEST_OPTIONS_INIT};
    if (!arguments_of_object(arguments, i, request_fields, N_REQUEST_FIELDS, &fields) ||
        !argument_text(&fields, 0, &request->texts[0]) ||
        !argument_text(&fields, 1, &request->texts[1]) ||
        !argument_number(&fields, 2, 0, &request->options.interval_ms)) {
        return false;
    }
    request->options.reason = request->texts[0];
    request->options.user = request->texts[1];
    request->options.is_budgeted = argument_is_true(&fields, 3);
    request->options.accept_prefix = argument_is_true(&fields, 4);
    return true;
}

void request_finish(struct request *request)
{
    free_texts(request->texts, sizeof request->texts / sizeof request->texts[0]);
}
