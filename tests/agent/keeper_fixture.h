/*
 * What the tests of the keeper share. The test program is a child subreaper, so whatever escaped a
 * keeper would become its child: assert_nobody_is_left() is exact, not a look at a process list.
 */
#ifndef TESTS_AGENT_KEEPER_FIXTURE_H
#define TESTS_AGENT_KEEPER_FIXTURE_H

#include "agent/keeper.h"

enum { NOBODY = 65534, EVENT_TIMEOUT_MS = 60000 };

/* Used where cmocka's asserts would be in a forked process: says what is wrong, and exits with 1.
   In the test program itself the test fails, too: it is not expected to exit. */
#define EXPECT(condition) expect(condition, #condition, __FILE__, __LINE__)
void expect(bool is_true, const char *text, const char *file, int line);

/* Waits for the next event, a minute at most, and EXPECTs its kind. */
struct keeper_event take_event(struct keeper *keeper, enum keeper_event_kind kind);

/* Runs this program as "unruly KIND [argument]" in a slot, and takes SPAWNED. With `output_fd` not
   -1 that is its standard output. */
void spawn_unruly_slot(struct keeper *keeper, enum keeper_slot slot, const char *kind,
                       const char *argument, int output_fd);
void spawn_unruly(struct keeper *keeper, const char *kind);
/* The same, and waits until `n_ready` of its processes have said that they are ready. */
void spawn_ready(struct keeper *keeper, const char *kind, int n_ready);
/* Runs it to its end, and gives what it wrote. */
void ask_unruly(struct keeper *keeper, const char *kind, char *answer, size_t size);

/* Runs `body` in a process of its own, as PID 1 of a new PID namespace if that is asked for, and
   gives its wait status. */
enum process_place { PLACE_HERE, PLACE_INIT };
int run_process(enum process_place place, void (*body)(void *user), void *user);

void become_nobody(void);

/* Waits, a minute at most, until the calling process has no child, hence no descendant. */
void assert_nobody_is_left(void);

/* cmocka's group set-up: subreaper, and an alarm that ends a test that hangs. */
int keeper_fixture_setup(void **state);

#endif
