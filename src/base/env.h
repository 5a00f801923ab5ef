/*
 * The only way to the clocks and to randomness: all non-determinism enters through one struct, so
 * that a test can step time and replay a seed. A loop takes one "now" a turn and passes it on.
 */
#ifndef BASE_ENV_H
#define BASE_ENV_H

#include <stddef.h>
#include <stdint.h>

struct env {
    int64_t (*wall_ms)(void *state);      /* milliseconds since 1970; may jump */
    int64_t (*monotonic_ms)(void *state); /* never goes back; no meaning outside the process */
    void (*random_bytes)(void *state, void *bytes, size_t n_bytes);
    void *state;
};

/* CLOCK_REALTIME, CLOCK_MONOTONIC, getrandom(2). Usable from any thread. */
extern const struct env env_system;

/* CLOCK_BOOTTIME: what the kernel tells starts of processes by, and therefore never a test's. */
int64_t env_boot_ms(void);

int64_t env_wall_ms(const struct env *env);
int64_t env_monotonic_ms(const struct env *env);
uint64_t env_random(const struct env *env);
/* Uniform in [low, high], both included; low <= high. */
int64_t env_random_between(const struct env *env, int64_t low, int64_t high);

#define UUID_SIZE 37
/* A random UUID (RFC 9562, version 4), lower case, NUL-terminated. */
void env_uuid(const struct env *env, char uuid[UUID_SIZE]);

#endif
