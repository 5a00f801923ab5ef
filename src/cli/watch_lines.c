#include "cli/watch_lines.h"

#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct option_row line_rows[] = {
    {.name = "line",
     .type = OPTION_TEXT,
     .argument = "TEMPLATE",
     .help = "instead of the changes, all members in rotation, a line each, such as\n"
             "'server {ip}:{port};': {KEY} is id, role, state, host, pid or version, or else a\n"
             "key of the metadata; {{ and }} are braces",
     .is_typed_only = true},
    {.name = "output",
     .letter = 'o',
     .type = OPTION_TEXT,
     .argument = "FILE",
     .help = "write the lines into FILE, whole or not at all, and only when that changes it",
     .is_typed_only = true},
    {.name = "empty",
     .type = OPTION_TEXT,
     .argument = "TEXT",
     .help = "what to write into FILE when no member is in rotation; without this it stays as\n"
             "it is then",
     .is_typed_only = true},
    {.name = NULL},
};
const struct option_group line_options = {"Lines for a configuration file", line_rows};

int watch_lines_init(struct watch_lines *lines, const struct cli *cli,
                     const struct options *options, comrade_query *query)
{
    comrade_error error;
    const char *path = options_text(options, "output");
    *lines = (struct watch_lines){
        .cli = cli,
        .empty = options_text(options, "empty"),
        .lost_since_ms = INT64_MAX,
        .grace_until_ms = INT64_MAX,
    };
    if (line_template_init(&lines->line, options_text(options, "line"), &error) != COMRADE_OK) {
        return cli_fail(cli, EXIT_CODE_USAGE, "--line: %s", error.message);
    }
    if (path != NULL && output_file_init(&lines->file, path, &error) != COMRADE_OK) {
        watch_lines_finish(lines);
        return cli_fail(cli, exit_code_of(error.status), "--output: %s", error.message);
    }
    /* Whoever asks for others wants to see them. */
    bool is_of_others =
        query->alive == COMRADE_NO || query->healthy == COMRADE_NO || query->stale == COMRADE_YES;
    if (!is_of_others) {
        lines->rule.wants_healthy = true;
        lines->rule.wants_available = query->available == COMRADE_YES;
        query->alive = COMRADE_YES;
        query->healthy = COMRADE_ANY;
        query->available = COMRADE_ANY;
    }
    return EXIT_CODE_DONE;
}

void watch_lines_finish(struct watch_lines *lines)
{
    line_template_finish(&lines->line);
    rotation_finish(&lines->rotation);
    output_file_finish(&lines->file);
    free(lines->last);
    lines->last = NULL;
}

comrade_status watch_lines_set_runner(struct watch_lines *lines, struct command_runner *runner,
                                      comrade_error *error)
{
    lines->runner = runner;
    bool is_due = lines->file.path != NULL && output_file_is_marked(&lines->file);
    return is_due ? command_runner_add(runner, NULL, error) : COMRADE_OK;
}

void watch_lines_command_done(struct watch_lines *lines)
{
    if (lines->file.path != NULL) {
        output_file_clear_mark(&lines->file);
    }
}

/* --- Putting it there ------------------------------------------------------------------------- */

static void warn_of_left_out(const struct watch_lines *lines)
{
    for (size_t i = 0; i < lines->rotation.n_lines; i++) {
        const struct rotation_line *line = &lines->rotation.lines[i];
        if (line->reason != NULL && line->is_news) {
            cli_fail(lines->cli, 0, "%s is left out: %s", line->id, line->reason);
        }
    }
}

/* The mark comes first: what was written and not yet told is told by whoever comes after us. */
static comrade_status replace_file(const struct watch_lines *lines, const char *text,
                                   comrade_error *error)
{
    comrade_status status =
        lines->runner == NULL ? COMRADE_OK : output_file_set_mark(&lines->file, error);
    return status == COMRADE_OK ? output_file_write(&lines->file, text, error) : status;
}

/* A failed write is said once, and tried again. Errors: NO_MEMORY. */
static comrade_status write_file(struct watch_lines *lines, const char *text, int64_t now_ms,
                                 comrade_error *error)
{
    comrade_error problem;
    bool has_failed = lines->retry.delay_ms > 0;
    if (output_file_holds(&lines->file, text)) {
        retry_end(&lines->retry);
        return COMRADE_OK;
    }
    if (replace_file(lines, text, &problem) != COMRADE_OK) {
        retry_failed(&lines->retry, now_ms);
        if (!has_failed) {
            cli_fail(lines->cli, 0, "%s; it is tried again and again", problem.message);
        }
        return COMRADE_OK;
    }
    retry_end(&lines->retry);
    if (has_failed) {
        cli_fail(lines->cli, 0, "%s is written", lines->file.path);
    }
    return lines->runner == NULL ? COMRADE_OK : command_runner_add(lines->runner, NULL, error);
}

/* An empty line behind each text tells its reader where it ends. Takes the text. */
static comrade_status tell_text(struct watch_lines *lines, char *text, comrade_error *error)
{
    comrade_status status = COMRADE_OK;
    bool is_new = lines->last == NULL || strcmp(lines->last, text) != 0;
    if (is_new && lines->runner != NULL) {
        status = command_runner_add(lines->runner, text, error);
    } else if (is_new) {
        printf("%s\n", text);
    }
    free(lines->last);
    lines->last = text;
    return status;
}

static void say_empty(struct watch_lines *lines)
{
    if (!lines->is_empty_said) {
        cli_fail(lines->cli, 0, "no member is in rotation; %s %s (--empty says what to write then)",
                 lines->file.path,
                 access(lines->file.path, F_OK) == 0 ? "stays as it is" : "is not written");
    }
    lines->is_empty_said = true;
}

static comrade_status apply(struct watch_lines *lines, int64_t now_ms, comrade_error *error)
{
    size_t n_lines = 0;
    char *text = rotation_text(&lines->rotation, &n_lines);
    if (text != NULL && n_lines == 0 && lines->empty != NULL) {
        size_t size = strlen(lines->empty) + 2;
        free(text);
        text = malloc(size);
        if (text != NULL) {
            snprintf(text, size, "%s%s", lines->empty, lines->empty[0] == '\0' ? "" : "\n");
        }
    }
    if (text == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY,
                                 "out of memory for the lines of %zu members",
                                 lines->rotation.n_lines);
    }
    if (lines->file.path == NULL) {
        return tell_text(lines, text, error);
    }
    comrade_status status = COMRADE_OK;
    if (n_lines == 0 && lines->empty == NULL) {
        retry_end(&lines->retry);
        say_empty(lines);
    } else {
        lines->is_empty_said = false;
        status = write_file(lines, text, now_ms, error);
    }
    free(text);
    return status;
}

/* --- What happens ----------------------------------------------------------------------------- */

/* Of several outages in a row the first one's beginning counts. */
void watch_lines_lost(struct watch_lines *lines, int64_t now_ms)
{
    lines->grace_until_ms = INT64_MAX;
    if (lines->lost_since_ms == INT64_MAX) {
        lines->lost_since_ms = now_ms;
    }
}

static comrade_status read_members(struct watch_lines *lines, const comrade_members *members,
                                   comrade_error *error)
{
    struct rotation fresh = {0};
    comrade_status status = COMRADE_OK;
    for (size_t i = 0; status == COMRADE_OK && i < comrade_members_count(members); i++) {
        status = rotation_add(&fresh, &lines->line, &lines->rule, comrade_members_at(members, i),
                              &lines->rotation, error);
    }
    if (status != COMRADE_OK) {
        rotation_finish(&fresh);
        return status;
    }
    rotation_finish(&lines->rotation);
    lines->rotation = fresh;
    return COMRADE_OK;
}

comrade_status watch_lines_tell(struct watch_lines *lines, const comrade_members *members,
                                int64_t now_ms, comrade_error *error)
{
    if (lines->lost_since_ms != INT64_MAX && lines->grace_until_ms == INT64_MAX) {
        lines->grace_until_ms = now_ms + ROTATION_GRACE_MS;
    }
    lines->rule.outage_ms = now_ms < lines->lost_since_ms ? 0 : now_ms - lines->lost_since_ms + 1;
    comrade_status status = read_members(lines, members, error);
    if (status == COMRADE_OK) {
        warn_of_left_out(lines);
        status = apply(lines, now_ms, error);
    }
    return status;
}

int64_t watch_lines_due_ms(const struct watch_lines *lines)
{
    int64_t retry_ms = retry_due_ms(&lines->retry);
    return retry_ms < lines->grace_until_ms ? retry_ms : lines->grace_until_ms;
}

comrade_status watch_lines_step(struct watch_lines *lines, int64_t now_ms, comrade_error *error)
{
    bool is_due = retry_is_due(&lines->retry, now_ms);
    if (now_ms >= lines->grace_until_ms) {
        lines->grace_until_ms = lines->lost_since_ms = INT64_MAX;
        is_due |= rotation_release(&lines->rotation);
    }
    return is_due ? apply(lines, now_ms, error) : COMRADE_OK;
}
