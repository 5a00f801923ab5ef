/*
 * JSON as this project uses it, over jansson: strict objects (no duplicate keys, UTF-8, no NUL),
 * and text out of values.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <comrade.h>

#include <jansson.h>

/*
 * Parses `text` as one JSON object, refusing duplicate keys, embedded NULs and anything behind it.
 * More than 64 levels are refused. The caller decrefs the result. On failure NULL; the error says
 * where and why, and names `what`.
 */
json_t *json_object_parse(const char *what, const char *text, size_t n_bytes, comrade_error *error);

/* A scalar as the text that people type: x, 80, 1.5, true, null. Containers as compact JSON.
   The caller frees the result; NULL when out of memory. */
char *json_to_plain_text(const json_t *value);

#endif
