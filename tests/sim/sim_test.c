/*
 * Many worlds from many seeds. SIM_SEED=N runs that one alone; SIM_RUNS=N so many from a seed that
 * is printed.
 */
#include "sim/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { RUNS = 12, MORE_RUNS = 100, DURATION_MS = 3 * 3600 * 1000 };

static const char *const count_texts[WORLD_COUNTS] = {
#define COUNT_TEXT(name, text) text,
    WORLD_COUNT_MAP(COUNT_TEXT)
#undef COUNT_TEXT
};

static long totals[WORLD_COUNTS];

static bool run(uint64_t seed)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    world_init(world, seed);
    bool is_kept = world_run(world, DURATION_MS) && world_heal(world);
    world_finish(world);
    for (size_t i = 0; i < WORLD_COUNTS; i++) {
        totals[i] += world->counts[i];
    }
    free(world);
    return is_kept;
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

/* Runs the seeds from `first` on. */
static void run_seeds(uint64_t first, uint64_t n_runs)
{
    printf("# seeds %llu to %llu\n", (unsigned long long)first,
           (unsigned long long)(first + n_runs - 1));
    fflush(stdout);
    for (uint64_t i = 0; i < n_runs; i++) {
        if (!run(first + i)) {
            fail_msg("run again with SIM_SEED=%llu", (unsigned long long)(first + i));
        }
    }
}

static uint64_t any_seed(void)
{
    return 1 + env_random(&env_system) % 1000000000;
}

static void the_promises_hold_after_every_step(void **state)
{
    (void)state;
    uint64_t only = number_from("SIM_SEED", 0);
    run_seeds(only != 0 ? only : any_seed(), only != 0 ? 1 : number_from("SIM_RUNS", RUNS));
}

static bool has_all(void)
{
    bool is_missing = false;
    for (size_t i = 0; i < WORLD_COUNTS; i++) {
        is_missing |= totals[i] == 0;
    }
    return !is_missing;
}

/* What is rare may take more worlds than the promises got; never so many if it can happen at all.
 */
static void everything_that_can_happen_has_happened(void **state)
{
    (void)state;
    bool is_one_world = getenv("SIM_SEED") != NULL;
    for (int i = 0; i < MORE_RUNS && !is_one_world && !has_all(); i++) {
        run_seeds(any_seed(), 1);
    }
    for (size_t i = 0; i < WORLD_COUNTS; i++) {
        printf("# %8ld %s\n", totals[i], count_texts[i]);
    }
    assert_true(is_one_world || has_all());
}

static int register_driver(void **state)
{
    (void)state;
    return comrade_store_register(&faulty_driver) == COMRADE_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_promises_hold_after_every_step),
        cmocka_unit_test(everything_that_can_happen_has_happened),
    };
    return cmocka_run_group_tests(tests, register_driver, NULL);
}
