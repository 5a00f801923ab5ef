/*
 * Reading lines from a person: libedit, loaded when it is needed. Linked, it would add 450 KB to
 * the memory of every `comrade run` (measured); without it lines are read as they come.
 */
#ifndef CLI_LINE_EDITOR_H
#define CLI_LINE_EDITOR_H

#include "cli/shell_complete.h"

struct line_editor;

/*
 * `history_path` may be NULL: none is kept. `source` is borrowed until it is closed. One at a time
 * in a process, because libedit's callback takes no argument. NULL: out of memory.
 */
struct line_editor *line_editor_open(const char *history_path,
                                     const struct completion_source *source);
void line_editor_close(struct line_editor *editor);
/* The next line, which the caller frees; NULL at the end. */
char *line_editor_read(struct line_editor *editor, const char *prompt);
/* Adds the line to the history and its file. */
void line_editor_remember(struct line_editor *editor, const char *line);

#endif
