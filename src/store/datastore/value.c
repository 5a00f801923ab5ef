#include "store/datastore/value.h"

#include "base/text.h"
#include "store/datastore/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEVELS_MAX = 18, NAME_MAX_BYTES = 1500, PIECE_BYTES = 1400 };

/* --- Writing -----------------------------------------------------------------------------------
 */

/* {"TYPE": value, "excludeFromIndexes": true}; takes the value over. */
static json_t *typed(const char *type, json_t *value)
{
    return json_pack("{s:o,s:b}", type, value, "excludeFromIndexes", 1);
}

json_t *value_text(const char *text)
{
    return typed("stringValue", json_string(text));
}

json_t *value_number(int64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)number);
    return typed("integerValue", json_string(text));
}

json_t *value_truth(bool is_true)
{
    return typed("booleanValue", json_boolean(is_true));
}

json_t *value_entity(json_t *properties)
{
    return typed("entityValue", json_pack("{s:o}", "properties", properties));
}

json_t *value_indexed(json_t *value)
{
    if (value != NULL) {
        json_object_del(value, "excludeFromIndexes");
    }
    return value;
}

/* The most of the text that is one piece: it ends at a character's end. */
static size_t piece_len(const char *text, size_t len)
{
    size_t n = 0;
    while (n < len) {
        size_t step = text_utf8_len(text + n, len - n);
        step = step == 0 ? 1 : step;
        if (n + step > PIECE_BYTES) {
            break;
        }
        n += step;
    }
    return n;
}

json_t *value_long_text(const char *text)
{
    size_t len = strlen(text);
    if (len <= PIECE_BYTES) {
        return value_text(text);
    }
    json_t *pieces = json_array();
    while (len > 0) {
        size_t n = piece_len(text, len);
        json_t *piece = json_pack("{s:s%,s:b}", "stringValue", text, n, "excludeFromIndexes", 1);
        if (json_array_append_new(pieces, piece) != 0) {
            json_decref(pieces);
            return NULL;
        }
        text += n;
        len -= n;
    }
    return json_pack("{s:{s:o}}", "arrayValue", "values", pieces);
}

static json_t *value_of(json_t *plain, int level, bool is_in_array, bool *is_whole);

static bool is_name(const char *name)
{
    size_t len = strlen(name);
    bool is_reserved = len >= 4 && strncmp(name, "__", 2) == 0 && strcmp(name + len - 2, "__") == 0;
    return len > 0 && len <= NAME_MAX_BYTES && !is_reserved;
}

static json_t *properties_of(json_t *object, int level, bool *is_whole)
{
    json_t *properties = json_object();
    const char *name;
    json_t *member;
    json_object_foreach(object, name, member)
    {
        json_t *value = is_name(name) ? value_of(member, level + 1, false, is_whole) : NULL;
        if (value == NULL || json_object_set_new(properties, name, value) != 0) {
            *is_whole = false;
        }
    }
    return properties;
}

static json_t *array_of(json_t *array, int level, bool *is_whole)
{
    json_t *values = json_array();
    size_t i;
    json_t *item;
    json_array_foreach(array, i, item)
    {
        json_t *value = value_of(item, level + 1, true, is_whole);
        if (value == NULL || json_array_append_new(values, value) != 0) {
            *is_whole = false;
        }
    }
    /* Of an array the items are kept out of the indexes, each by itself. */
    return json_pack("{s:{s:o}}", "arrayValue", "values", values);
}

/* NULL: Datastore cannot hold it. */
static json_t *value_of(json_t *plain, int level, bool is_in_array, bool *is_whole)
{
    switch (json_typeof(plain)) {
    case JSON_NULL:
        return typed("nullValue", json_null());
    case JSON_TRUE:
    case JSON_FALSE:
        return value_truth(json_is_true(plain));
    case JSON_INTEGER:
        return value_number(json_integer_value(plain));
    case JSON_REAL:
        return typed("doubleValue", json_real(json_real_value(plain)));
    case JSON_STRING:
        return value_text(json_string_value(plain));
    case JSON_OBJECT:
        return level > LEVELS_MAX ? NULL : value_entity(properties_of(plain, level, is_whole));
    case JSON_ARRAY:
        return is_in_array || level > LEVELS_MAX ? NULL : array_of(plain, level, is_whole);
    }
    return NULL;
}

json_t *value_properties(json_t *object, bool *is_whole)
{
    *is_whole = true;
    return properties_of(object, 1, is_whole);
}

/* --- Reading -----------------------------------------------------------------------------------
 */

static const json_t *find(const json_t *properties, const char *name, const char *type)
{
    return json_object_get(json_object_get(properties, name), type);
}

const char *value_read_text(const json_t *properties, const char *name, const char *otherwise)
{
    const char *text = json_string_value(find(properties, name, "stringValue"));
    return text == NULL ? otherwise : text;
}

static bool is_int64(double number)
{
    return number > -9.2e18 && number < 9.2e18;
}

/* Other clients may have written a double, where they know of no integers, or a time. */
int64_t value_read_number(const json_t *properties, const char *name, int64_t otherwise)
{
    const json_t *value = json_object_get(properties, name);
    if (json_object_get(value, "integerValue") != NULL) {
        return api_number(value, "integerValue");
    }
    const json_t *real = json_object_get(value, "doubleValue");
    if (json_is_number(real) && is_int64(json_number_value(real))) {
        return (int64_t)json_number_value(real);
    }
    return value_read_time(properties, name, otherwise);
}

bool value_read_truth(const json_t *properties, const char *name, bool otherwise)
{
    const json_t *truth = find(properties, name, "booleanValue");
    return truth == NULL ? otherwise : json_is_true(truth);
}

int64_t value_read_time(const json_t *properties, const char *name, int64_t otherwise)
{
    const char *text = json_string_value(find(properties, name, "timestampValue"));
    int64_t time_ms = text == NULL ? 0 : datastore_time_ms(text);
    return time_ms == 0 ? otherwise : time_ms;
}

json_t *value_read_entity(const json_t *properties, const char *name)
{
    return json_object_get(find(properties, name, "entityValue"), "properties");
}

bool value_read_long_text(const json_t *properties, const char *name, json_t **text)
{
    const json_t *pieces = json_object_get(find(properties, name, "arrayValue"), "values");
    const char *single = value_read_text(properties, name, NULL);
    *text = NULL;
    if (pieces == NULL) {
        *text = single == NULL ? NULL : json_string(single);
        return single == NULL || *text != NULL;
    }
    struct buffer whole;
    buffer_init(&whole, HTTP_ANSWER_LIMIT);
    size_t i;
    const json_t *piece;
    json_array_foreach(pieces, i, piece)
    {
        buffer_append_text(&whole, api_text(piece, "stringValue"));
    }
    *text = whole.is_failed ? NULL : json_string(buffer_text(&whole));
    buffer_finish(&whole);
    return *text != NULL;
}

static json_t *plain_of(json_t *value);

static json_t *plain_array(json_t *array)
{
    json_t *plain = json_array();
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(array, "values"), i, item)
    {
        if (plain != NULL && json_array_append_new(plain, plain_of(item)) != 0) {
            json_decref(plain);
            plain = NULL;
        }
    }
    return plain;
}

/* What JSON has no word for is told as its text (a time, say), or as null. */
static json_t *plain_of(json_t *value)
{
    const char *type;
    json_t *held;
    json_object_foreach(value, type, held)
    {
        if (strcmp(type, "integerValue") == 0) {
            return json_integer(api_number(value, type));
        }
        if (strcmp(type, "doubleValue") == 0 && json_is_number(held)) {
            return json_real(json_number_value(held));
        }
        if (strcmp(type, "arrayValue") == 0) {
            return plain_array(held);
        }
        if (strcmp(type, "entityValue") == 0) {
            return value_object(json_object_get(held, "properties"));
        }
        bool is_plain = strcmp(type, "stringValue") == 0 || strcmp(type, "booleanValue") == 0 ||
                        strcmp(type, "timestampValue") == 0 || strcmp(type, "blobValue") == 0;
        if (is_plain) {
            return json_incref(held);
        }
    }
    return json_null();
}

json_t *value_object(json_t *properties)
{
    json_t *object = json_object();
    const char *name;
    json_t *value;
    json_object_foreach(properties, name, value)
    {
        if (object != NULL && json_object_set_new(object, name, plain_of(value)) != 0) {
            json_decref(object);
            object = NULL;
        }
    }
    return object;
}

/* --- JSON of any kind --------------------------------------------------------------------------
 */

char *value_dump(const json_t *json)
{
    const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS;
    size_t size = json_dumpb(json, NULL, 0, flags);
    char *text = size == 0 ? NULL : malloc(size + 1);
    if (text != NULL && json_dumpb(json, text, size, flags) != size) {
        free(text);
        return NULL;
    }
    if (text != NULL) {
        text[size] = '\0';
    }
    return text;
}

json_t *value_with(json_t *object, const char *name, const char *text)
{
    if (text != NULL && json_object_set_new(object, name, json_string(text)) != 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}
