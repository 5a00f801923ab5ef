/*
 * Memory that is given back all at once: what belongs to one snapshot. Never moves what it gave.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

struct arena_chunk;
struct arena {
    struct arena_chunk *chunks; /* newest first */
};

void arena_init(struct arena *arena);
void arena_finish(struct arena *arena); /* a finished arena is an empty one */
/* Aligned for any type; NULL when out of memory. Borrowed from the arena until it is finished. */
void *arena_alloc(struct arena *arena, size_t n_bytes);
char *arena_copy_text(struct arena *arena, const char *text);

#endif
