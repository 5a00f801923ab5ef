#include "store/datastore/kept.h"

#include <stdlib.h>
#include <string.h>

enum { UNUSED_MS = 60 * 60 * 1000 };

/* Where the id is, or would be. */
static size_t place_of(const struct kept *kept, const char *id)
{
    size_t low = 0;
    size_t high = kept->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(kept->records[middle].id, id) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct kept_record *kept_find(const struct kept *kept, const char *id)
{
    size_t place = place_of(kept, id);
    bool is_there = place < kept->n && strcmp(kept->records[place].id, id) == 0;
    return is_there ? &kept->records[place] : NULL;
}

static bool make_room(struct kept *kept)
{
    if (kept->n < kept->capacity) {
        return true;
    }
    size_t capacity = kept->capacity == 0 ? 4 : kept->capacity * 2;
    struct kept_record *records = reallocarray(kept->records, capacity, sizeof *records);
    if (records == NULL) {
        return false;
    }
    kept->records = records;
    kept->capacity = capacity;
    return true;
}

struct kept_record *kept_need(struct kept *kept, const char *id, int64_t now_ms)
{
    struct kept_record *found = kept_find(kept, id);
    if (found != NULL) {
        found->used_ms = now_ms;
        return found;
    }
    char *copy = strdup(id);
    if (copy == NULL || !make_room(kept)) {
        free(copy);
        return NULL;
    }
    size_t place = place_of(kept, id);
    memmove(&kept->records[place + 1], &kept->records[place],
            (kept->n - place) * sizeof kept->records[0]);
    kept->records[place] = (struct kept_record){.id = copy, .used_ms = now_ms};
    kept->n++;
    return &kept->records[place];
}

void kept_prune(struct kept *kept, int64_t now_ms)
{
    size_t n = 0;
    for (size_t i = 0; i < kept->n; i++) {
        if (now_ms - kept->records[i].used_ms > UNUSED_MS) {
            free(kept->records[i].id);
        } else {
            kept->records[n++] = kept->records[i];
        }
    }
    kept->n = n;
}

void kept_finish(struct kept *kept)
{
    for (size_t i = 0; i < kept->n; i++) {
        free(kept->records[i].id);
    }
    free(kept->records);
    *kept = (struct kept){0};
}
