/*
 * Finds a value in metadata without building a tree of it: a table of 100,000 members wants two
 * values of each. The text is valid JSON (the limits of a record see to that); of anything else
 * nothing is found, and nothing behind its end is read.
 */
#ifndef CLI_METADATA_SCAN_H
#define CLI_METADATA_SCAN_H

#include <stdbool.h>
#include <stddef.h>

struct text_slice {
    const char *start;
    size_t len;
};

/*
 * The value of a key of the outermost object, as it stands there; of a string what is between the
 * quotes, escapes and all. False: there is no such key, or its value is an array or an object.
 */
bool metadata_scan(const char *json, const char *key, struct text_slice *value);

#endif
