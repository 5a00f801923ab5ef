/* Waiting until members that were asked to leave are gone, or those that were asked to restart are
   back, with a line for each step they take. */
#ifndef CLI_GONE_WAIT_H
#define CLI_GONE_WAIT_H

#include "cli/cli.h"

/* --wait, --wait-timeout */
extern const struct option_group wait_options;
extern const struct option_group back_wait_options;

/* What is printed behind the id of a member that was asked: without push it hears of it later. */
const char *gone_wait_asked(const struct cli *cli);
const char *back_wait_asked(const struct cli *cli);
/*
 * Follows each of the members until it has stopped, its record is gone or another life's, or its
 * heartbeat is older than 60 s. Prints the steps to stdout. Returns the exit code: FAILED if one is
 * still there after --wait-timeout. Does nothing without --wait.
 */
int gone_wait(struct cli *cli, const struct options *options, const comrade_members *members);
/*
 * Follows a member until it is available again, as a later incarnation; FAILED if it has left
 * instead, or is not back in time.
 */
int back_wait(struct cli *cli, const struct options *options, const comrade_member_data *member);

#endif
