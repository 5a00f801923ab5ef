/*
 * A file that is written whole or not at all, and only when that changes what it holds. A reader
 * sees the text before or the text behind, never a piece, also after a power cut: the text goes
 * into a new file beside it, which is brought to the disk and then takes its name.
 *
 * A mark says that a command is still due for what the file holds: it is set before the file is
 * replaced, so that a crash between that and the command's end is made up for at the next start.
 * The mark and the new file have hidden names, which no `include folder/\*;` picks up.
 */
#ifndef CLI_OUTPUT_FILE_H
#define CLI_OUTPUT_FILE_H

#include <comrade.h>

struct output_file {
    char *path;     /* owned, as are the others; where a symbolic link leads */
    char *folder;   /* "/etc/nginx" */
    char *new_path; /* "/etc/nginx/.upstream.conf.1f….new" */
    char *mark;     /* "/etc/nginx/.upstream.conf.exec-due" */
};

/*
 * Looks whether such a file can be written, and leaves it alone. On failure `file` is untouched.
 * Errors: INVALID (no regular file; no such folder, or none to write in), NO_MEMORY, SYSTEM.
 */
comrade_status output_file_init(struct output_file *file, const char *path, comrade_error *error);
void output_file_finish(struct output_file *file);

/* Is this what the file holds? False also where there is no file, or none to be read. */
bool output_file_holds(const struct output_file *file, const char *text);
/* Replaces it. An existing file's mode stays, and its owner where we may set that. Errors: SYSTEM.
 */
comrade_status output_file_write(const struct output_file *file, const char *text,
                                 comrade_error *error);

/* Errors: SYSTEM. */
comrade_status output_file_set_mark(const struct output_file *file, comrade_error *error);
void output_file_clear_mark(const struct output_file *file);
bool output_file_is_marked(const struct output_file *file);

#endif
