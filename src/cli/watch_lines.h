/*
 * `watch --line`: the members in rotation as lines, in a file or on stdout. Everything that can
 * happen ends in one step, apply(): make the text, and if that is not what is there, put it there.
 *
 * What is there stays while the store cannot be reached, while nobody is in rotation (unless
 * --empty says what to write then), and while the disk is full; a member whose line cannot be made
 * is left out. Each of these is said once on stderr.
 *
 * A command is run once the file has been replaced. Without a file it gets the text.
 */
#ifndef CLI_WATCH_LINES_H
#define CLI_WATCH_LINES_H

#include "cli/command_runner.h"
#include "cli/output_file.h"
#include "cli/retry.h"
#include "cli/rotation.h"

struct watch_lines {
    const struct cli *cli;
    struct line_template line;
    struct rotation_rule rule;
    struct rotation rotation;
    struct output_file file;       /* path NULL: stdout */
    struct command_runner *runner; /* gets the text if there is no file; NULL: there is none */
    const char *empty;             /* what to write when nobody is in rotation; NULL: nothing */
    char *last;                    /* the text that was told last, where it is not in a file */
    bool is_empty_said;
    struct retry retry;     /* of the file */
    int64_t lost_since_ms;  /* monotonic; of an outage that still counts; INT64_MAX: none does */
    int64_t grace_until_ms; /* INT64_MAX: while the store is away, or no outage counts */
};

/* --line, --output, --empty */
extern const struct option_group line_options;

/*
 * Reads the options that say what to write; they must outlive it. `query` is told what rotation.h
 * decides instead of the store. Returns 0, or an exit code after printing what was wrong.
 */
int watch_lines_init(struct watch_lines *lines, const struct cli *cli,
                     const struct options *options, comrade_query *query);
void watch_lines_finish(struct watch_lines *lines);

/* From now on a command is run. Errors: NO_MEMORY. */
comrade_status watch_lines_set_runner(struct watch_lines *lines, struct command_runner *runner,
                                      comrade_error *error);
/* The command has been run for all that there was. */
void watch_lines_command_done(struct watch_lines *lines);

/* The store cannot be reached. */
void watch_lines_lost(struct watch_lines *lines, int64_t now_ms);
/* The members have changed. Errors: NO_MEMORY. */
comrade_status watch_lines_tell(struct watch_lines *lines, const comrade_members *members,
                                int64_t now_ms, comrade_error *error);
/* When watch_lines_step() has something to do; INT64_MAX: not by time. */
int64_t watch_lines_due_ms(const struct watch_lines *lines);
/* What time brings. Errors: NO_MEMORY. */
comrade_status watch_lines_step(struct watch_lines *lines, int64_t now_ms, comrade_error *error);

#endif
