/*
 * Allocations that fail on command, and a table of those that are still there.
 *
 * Only pointers handed out between begin and end are tracked, so that free() of memory that came
 * from elsewhere (libc's own, or older) passes through untouched.
 */
#include "lib/allocation.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#define TABLE_SIZE 65536 /* a power of two; a scenario is far below it */
#define MAX_ALLOCATIONS 20000

static struct {
    pthread_mutex_t mutex;
    bool is_active;
    bool is_hit;
    bool is_hit_in_jansson;
    enum allocation_fault fault;
    size_t nth;
    size_t n_allocations;
    size_t n_live;
    uintptr_t live[TABLE_SIZE]; /* open addressing; 0: free, 1: freed again */
} tracker = {.mutex = PTHREAD_MUTEX_INITIALIZER};

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t n, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t n);
int __real_vasprintf(char **text, const char *format, va_list arguments);
void __real_free(void *memory);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t n, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t n);
int __wrap_vasprintf(char **text, const char *format, va_list arguments);
int __wrap_asprintf(char **text, const char *format, ...);
void __wrap_free(void *memory);

static size_t slot_of(uintptr_t pointer)
{
    return (size_t)((pointer >> 4) * 11400714819323198485U >> 32) & (TABLE_SIZE - 1);
}

/* May the next allocation be had? */
static bool is_granted_to(bool is_jansson)
{
    bool is_failing = false;
    pthread_mutex_lock(&tracker.mutex);
    if (tracker.is_active) {
        tracker.n_allocations++;
        is_failing = tracker.nth != 0 &&
                     (tracker.fault == ALLOCATION_FAIL_ONE ? tracker.n_allocations == tracker.nth
                                                           : tracker.n_allocations >= tracker.nth);
        tracker.is_hit_in_jansson |= is_failing && is_jansson && !tracker.is_hit;
        tracker.is_hit |= is_failing;
    }
    pthread_mutex_unlock(&tracker.mutex);
    return !is_failing;
}

static bool is_granted(void)
{
    return is_granted_to(false);
}

static void *track(void *memory)
{
    pthread_mutex_lock(&tracker.mutex);
    if (memory != NULL && tracker.is_active && tracker.n_live < TABLE_SIZE / 2) {
        size_t i = slot_of((uintptr_t)memory);
        while (tracker.live[i] > 1) {
            i = (i + 1) & (TABLE_SIZE - 1);
        }
        tracker.live[i] = (uintptr_t)memory;
        tracker.n_live++;
    }
    pthread_mutex_unlock(&tracker.mutex);
    return memory;
}

static void forget(uintptr_t pointer)
{
    pthread_mutex_lock(&tracker.mutex);
    if (pointer != 0 && tracker.is_active) {
        size_t i = slot_of(pointer);
        for (size_t n = 0; tracker.live[i] != 0 && n < TABLE_SIZE; n++) {
            if (tracker.live[i] == pointer) {
                tracker.live[i] = 1;
                tracker.n_live--;
                break;
            }
            i = (i + 1) & (TABLE_SIZE - 1);
        }
    }
    pthread_mutex_unlock(&tracker.mutex);
}

void *__wrap_malloc(size_t size)
{
    return is_granted() ? track(__real_malloc(size)) : NULL;
}

/* Apart from malloc, because jansson tells some of its failures as errors of syntax. */
static void *malloc_for_jansson(size_t size)
{
    return is_granted_to(true) ? track(__real_malloc(size)) : NULL;
}

void *__wrap_calloc(size_t n, size_t size)
{
    return is_granted() ? track(__real_calloc(n, size)) : NULL;
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return is_granted() ? track(__real_aligned_alloc(alignment, size)) : NULL;
}

void *__wrap_realloc(void *old, size_t size)
{
    if (!is_granted()) {
        return NULL;
    }
    uintptr_t old_pointer = (uintptr_t)old;
    void *memory = __real_realloc(old, size);
    if (memory != NULL) {
        forget(old_pointer);
    }
    return track(memory);
}

void *__wrap_reallocarray(void *old, size_t n, size_t size)
{
    if (!is_granted()) {
        return NULL;
    }
    uintptr_t old_pointer = (uintptr_t)old;
    void *memory = __real_reallocarray(old, n, size);
    if (memory != NULL) {
        forget(old_pointer);
    }
    return track(memory);
}

char *__wrap_strdup(const char *text)
{
    return is_granted() ? track(__real_strdup(text)) : NULL;
}

char *__wrap_strndup(const char *text, size_t n)
{
    return is_granted() ? track(__real_strndup(text, n)) : NULL;
}

int __wrap_vasprintf(char **text, const char *format, va_list arguments)
{
    if (!is_granted()) {
        return -1;
    }
    int len = __real_vasprintf(text, format, arguments);
    if (len >= 0) {
        track(*text);
    }
    return len;
}

int __wrap_asprintf(char **text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int len = __wrap_vasprintf(text, format, arguments);
    va_end(arguments);
    return len;
}

void __wrap_free(void *memory)
{
    forget((uintptr_t)memory);
    __real_free(memory);
}

void allocation_faults_begin(enum allocation_fault fault, size_t nth)
{
    json_set_alloc_funcs(malloc_for_jansson, __wrap_free);
    pthread_mutex_lock(&tracker.mutex);
    tracker.fault = fault;
    tracker.nth = nth;
    tracker.n_allocations = 0;
    tracker.n_live = 0;
    tracker.is_hit = false;
    tracker.is_hit_in_jansson = false;
    memset(tracker.live, 0, sizeof tracker.live);
    tracker.is_active = true;
    pthread_mutex_unlock(&tracker.mutex);
}

bool allocation_faults_end(size_t *n_leaked)
{
    pthread_mutex_lock(&tracker.mutex);
    tracker.is_active = false;
    if (n_leaked != NULL) {
        *n_leaked = tracker.n_live;
    }
    bool is_hit = tracker.is_hit;
    pthread_mutex_unlock(&tracker.mutex);
    return is_hit;
}

/* Returns whether the nth allocation came, that is, whether there may be one more. */
static bool fail_one(allocation_scenario scenario, void *user, enum allocation_fault fault,
                     size_t nth)
{
    size_t n_leaked = 0;
    allocation_faults_begin(fault, nth);
    comrade_status status = scenario(user);
    bool is_hit = allocation_faults_end(&n_leaked);
    const char *which = fault == ALLOCATION_FAIL_ONE ? "alone" : "and all later ones";
    if (n_leaked != 0) {
        fail_msg("allocation %zu failed (%s): %zu leaked", nth, which, n_leaked);
    }
    bool is_excused =
        tracker.is_hit_in_jansson && (status == COMRADE_INVALID || status == COMRADE_BROKEN);
    if (is_hit && status != COMRADE_NO_MEMORY && !is_excused) {
        fail_msg("allocation %zu failed (%s): status %s", nth, which, comrade_status_name(status));
    }
    if (!is_hit && status != COMRADE_OK) {
        fail_msg("no allocation failed: status %s", comrade_status_name(status));
    }
    return is_hit;
}

void for_each_failed_allocation(allocation_scenario scenario, void *user)
{
    /* The first run fills what is made once for a process and kept, so that it is no leak. */
    assert_int_equal(scenario(user), COMRADE_OK);
    for (int fault = ALLOCATION_FAIL_ONE; fault <= ALLOCATION_FAIL_FROM; fault++) {
        size_t nth = 1;
        while (fail_one(scenario, user, (enum allocation_fault)fault, nth)) {
            nth++;
            assert_true(nth < MAX_ALLOCATIONS);
        }
    }
}
