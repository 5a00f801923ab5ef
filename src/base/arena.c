#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_FIRST_BYTES = 2048, CHUNK_MAX_BYTES = 1 << 20 };

struct arena_chunk {
    struct arena_chunk *older;
    size_t used;
    size_t capacity;
    alignas(max_align_t) char bytes[];
};

void arena_init(struct arena *arena)
{
    arena->chunks = NULL;
}

void arena_finish(struct arena *arena)
{
    while (arena->chunks != NULL) {
        struct arena_chunk *older = arena->chunks->older;
        free(arena->chunks);
        arena->chunks = older;
    }
}

/* Chunks double, so that a small snapshot stays small and a large one needs few of them. */
static struct arena_chunk *arena_grow(struct arena *arena, size_t n_bytes)
{
    size_t capacity = arena->chunks == NULL ? CHUNK_FIRST_BYTES : arena->chunks->capacity * 2;
    if (capacity > CHUNK_MAX_BYTES) {
        capacity = CHUNK_MAX_BYTES;
    }
    if (capacity < n_bytes) {
        capacity = n_bytes;
    }
    struct arena_chunk *chunk = malloc(sizeof *chunk + capacity);
    if (chunk == NULL) {
        return NULL;
    }
    chunk->older = arena->chunks;
    chunk->used = 0;
    chunk->capacity = capacity;
    arena->chunks = chunk;
    return chunk;
}

static void *arena_take(struct arena *arena, size_t n_bytes, size_t alignment)
{
    struct arena_chunk *chunk = arena->chunks;
    size_t start = 0;
    if (chunk != NULL) {
        start = (chunk->used + alignment - 1) / alignment * alignment;
    }
    if (chunk == NULL || start > chunk->capacity || n_bytes > chunk->capacity - start) {
        chunk = arena_grow(arena, n_bytes);
        if (chunk == NULL) {
            return NULL;
        }
        start = 0;
    }
    chunk->used = start + n_bytes;
    return chunk->bytes + start;
}

void *arena_alloc(struct arena *arena, size_t n_bytes)
{
    return arena_take(arena, n_bytes, alignof(max_align_t));
}

char *arena_copy_text(struct arena *arena, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = arena_take(arena, size, 1);
    return copy == NULL ? NULL : memcpy(copy, text, size);
}
