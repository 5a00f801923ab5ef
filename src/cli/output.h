/* How verbs print members for scripts, and single texts from outside for people. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include "cli/cli.h"

/* --json, --ids */
extern const struct option_group output_options;

/* One member as a line of JSON or as its id. `has_json`: --json was given; else --ids was. */
bool output_member(FILE *out, const comrade_member_data *member, bool has_json);
/*
 * The members that a call told, as the options say: for scripts, or a line each for people, which
 * is the id with a text before and one behind it. Returns the exit code.
 */
int output_told(struct cli *cli, const struct options *options, const comrade_members *members,
                const char *before, const char *behind);
/* Text from outside, escaped. */
void output_text(FILE *out, const char *text);
/* Flushes stdout, and says so if what was printed did not arrive. Returns the exit code. */
int output_end(const struct cli *cli);

#endif
