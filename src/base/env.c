#include "base/env.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static int64_t clock_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now); /* cannot fail for the clocks used here */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t system_wall_ms(void *state)
{
    (void)state;
    return clock_ms(CLOCK_REALTIME);
}

static int64_t system_monotonic_ms(void *state)
{
    (void)state;
    return clock_ms(CLOCK_MONOTONIC);
}

static void system_random_bytes(void *state, void *bytes, size_t n_bytes)
{
    (void)state;
    unsigned char *out = bytes;
    while (n_bytes > 0) {
        ssize_t n = getrandom(out, n_bytes > 256 ? 256 : n_bytes, 0);
        if (n > 0) {
            out += n;
            n_bytes -= (size_t)n;
        }
    }
}

const struct env env_system = {system_wall_ms, system_monotonic_ms, system_random_bytes, NULL};

int64_t env_boot_ms(void)
{
    return clock_ms(CLOCK_BOOTTIME);
}

int64_t env_wall_ms(const struct env *env)
{
    return env->wall_ms(env->state);
}

int64_t env_monotonic_ms(const struct env *env)
{
    return env->monotonic_ms(env->state);
}

uint64_t env_random(const struct env *env)
{
    uint64_t value;
    env->random_bytes(env->state, &value, sizeof value);
    return value;
}

int64_t env_random_between(const struct env *env, int64_t low, int64_t high)
{
    uint64_t span = (uint64_t)high - (uint64_t)low + 1;
    uint64_t value = env_random(env);
    return span == 0 ? (int64_t)value : (int64_t)((uint64_t)low + value % span);
}

void env_uuid(const struct env *env, char uuid[UUID_SIZE])
{
    unsigned char b[16];
    env->random_bytes(env->state, b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(uuid, UUID_SIZE,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
             b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
             b[15]);
}
