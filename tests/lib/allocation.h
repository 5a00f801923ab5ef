/*
 * Makes each allocation of a scenario fail in turn.
 *
 * The test executables are linked so that malloc and its relatives, called by the code under test
 * or by jansson, come through here (see tests/CMakeLists.txt). A scenario is run again and again
 * with its 1st, 2nd, … allocation failing, once alone and once with all that follow, until it needs
 * no more of them. Each time it must say NO_MEMORY, must not crash, and must have freed what it
 * allocated. (Where jansson is refused memory INVALID or BROKEN will do: it tells some of that as a
 * syntax error, and nobody can know.)
 *
 *   static comrade_status parse_all(void *user)
 *   {
 *       struct thing *thing = NULL;
 *       comrade_status status = thing_new(&thing);     // no assert that a failure would trip
 *       thing_free(thing);
 *       return status;
 *   }
 *   for_each_failed_allocation(parse_all, NULL);
 */
#ifndef TESTS_LIB_ALLOCATION_H
#define TESTS_LIB_ALLOCATION_H

#include <comrade.h>

#include <stddef.h>

/* Releases all that it made, whatever happened. Runs on the calling thread alone. */
typedef comrade_status (*allocation_scenario)(void *user);

/* Fails the running cmocka test with the number of the allocation where something was wrong. */
void for_each_failed_allocation(allocation_scenario scenario, void *user);

/* The pieces, for tests that want something else than NO_MEMORY. */
enum allocation_fault { ALLOCATION_FAIL_ONE, ALLOCATION_FAIL_FROM };
/* Counts and tracks from now on; the nth (from 1) fails. nth 0: none does. */
void allocation_faults_begin(enum allocation_fault fault, size_t nth);
/* Ends it. Did the nth come? `n_leaked` (may be NULL): allocations since begin not freed by now. */
bool allocation_faults_end(size_t *n_leaked);

#endif
