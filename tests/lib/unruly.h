/*
 * Processes that are hard to kill, and processes that say what they were given. A test program
 * becomes one of them when it is run as "PROGRAM unruly KIND": call unruly_main() first in main().
 */
#ifndef TESTS_LIB_UNRULY_H
#define TESTS_LIB_UNRULY_H

/* Does not return if the arguments ask for an unruly process. */
void unruly_main(int argc, char **argv);

#endif
