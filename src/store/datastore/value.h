/*
 * Datastore's values, {"integerValue": "7"}, and the JSON that they stand for. What Comrade writes
 * is kept out of the indexes unless it says otherwise: an index would limit a text to 1,500 bytes,
 * and make each heartbeat dearer.
 */
#ifndef DATASTORE_VALUE_H
#define DATASTORE_VALUE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Each returns a new value; NULL: out of memory. */
json_t *value_text(const char *text);
json_t *value_number(int64_t number);
json_t *value_truth(bool is_true);
/* Of properties, which it takes over. */
json_t *value_entity(json_t *properties);
/* A text as long as it likes, that any client may write back with indexes: cut into pieces. */
json_t *value_long_text(const char *text);
/* The value is found by filters, and sorted by. */
json_t *value_indexed(json_t *value);

/*
 * An object's members as properties. What Datastore cannot hold is left out, and *is_whole is then
 * false: arrays in arrays, names that are empty or reserved, more than 18 levels.
 */
json_t *value_properties(json_t *object, bool *is_whole);

/* --- Of properties as the server tells them; what is absent, or another type, is the second ------
 */

const char *value_read_text(const json_t *properties, const char *name, const char *otherwise);
int64_t value_read_number(const json_t *properties, const char *name, int64_t otherwise);
bool value_read_truth(const json_t *properties, const char *name, bool otherwise);
/* A timestamp, in milliseconds. */
int64_t value_read_time(const json_t *properties, const char *name, int64_t otherwise);
/* The properties of an embedded entity, borrowed; NULL: there is none. */
json_t *value_read_entity(const json_t *properties, const char *name);
/* What value_long_text() made. *text: a new string of JSON, NULL if there is none. False: out of
   memory. */
bool value_read_long_text(const json_t *properties, const char *name, json_t **text);
/* The JSON object that properties stand for; new, NULL when out of memory. */
json_t *value_object(json_t *properties);

/* --- JSON of any kind, where jansson itself would go on without what it has no memory for --------
 */

/*
 * Compact text, to be freed; sorted by names, for a server keeps them in an order of its own.
 * json_dumps() would leave out a name. NULL: out of memory, or of NULL.
 */
char *value_dump(const json_t *json);
/*
 * Adds a text to an object, unless it is NULL. (A format of "s*" would leave it out, too.) Takes
 * the object over, and returns it; NULL: out of memory.
 */
json_t *value_with(json_t *object, const char *name, const char *text);

#endif
