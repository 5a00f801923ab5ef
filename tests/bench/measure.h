/* What the programs that measure heartbeats share: clocks, and the median of what was measured. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include "base/env.h"

#include <stdlib.h>
#include <time.h>

static inline int64_t monotonic_ms(void *clock)
{
    (void)clock;
    return env_monotonic_ms(&env_system);
}

static inline int64_t wall_ms(void *clock)
{
    (void)clock;
    return env_wall_ms(&env_system);
}

static inline double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static inline int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare);
    return values[n / 2];
}

#endif
