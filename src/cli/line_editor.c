/* The few functions of libedit that the shell needs, and what they call back. */
#include "cli/line_editor.h"

#include "cli/shell_words.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HISTORY_LINES = 1000 };

typedef char **attempted_completion(const char *word, int start, int end);

struct line_editor {
    void *library; /* NULL: there is none, or it is not the one that we know */
    char *history_path;
    const struct completion_source *source;
    char *(*readline)(const char *prompt);
    int (*add_history)(const char *line);
    int (*write_history)(const char *path);
    char **line_buffer;
};

/* The one that is open, for the callback; see the header. */
static struct line_editor *current;

/* --- Completion ------------------------------------------------------------------------------- */

static char *common_prefix(const struct completions *found)
{
    size_t len = strlen(found->words[0]);
    for (size_t i = 1; i < found->n_words; i++) {
        size_t same = 0;
        while (same < len && found->words[i][same] == found->words[0][same]) {
            same++;
        }
        len = same;
    }
    return strndup(found->words[0], len);
}

/* As readline wants it: what all have in common, then all; malloc'ed and the library's to free. */
static char **transfer(struct completions *found)
{
    char **matches = calloc(found->n_words + 2, sizeof matches[0]);
    if (matches != NULL) {
        matches[0] = common_prefix(found);
        memcpy(matches + 1, found->words, found->n_words * sizeof matches[0]);
        found->n_words = 0;
    }
    return matches;
}

static char **complete(const char *word, int start, int end)
{
    (void)end;
    struct completions found = {0};
    char *before = strndup(*current->line_buffer, start < 0 ? 0 : (size_t)start);
    if (before == NULL) {
        return NULL;
    }
    completions_find(&found, before, word, current->source);
    char **matches = found.n_words == 0 ? NULL : transfer(&found);
    if (matches != NULL && matches[0] == NULL) {
        for (size_t i = 1; matches[i] != NULL; i++) {
            free(matches[i]);
        }
        free(matches);
        matches = NULL;
    }
    completions_finish(&found);
    free(before);
    return matches;
}

/* --- Loading ---------------------------------------------------------------------------------- */

/* ISO C has no conversion from void * to a function; POSIX says that the bytes are the same. */
static bool find_function(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol);
    return symbol != NULL;
}

static bool prepare_history(struct line_editor *editor)
{
    void (*using_history)(void), (*stifle_history)(int);
    int (*read_history)(const char *);
    if (!find_function(editor->library, "using_history", &using_history) ||
        !find_function(editor->library, "stifle_history", &stifle_history) ||
        !find_function(editor->library, "read_history", &read_history) ||
        !find_function(editor->library, "add_history", &editor->add_history) ||
        !find_function(editor->library, "write_history", &editor->write_history)) {
        return false;
    }
    using_history();
    stifle_history(HISTORY_LINES);
    if (editor->history_path != NULL) {
        read_history(editor->history_path); /* There is none the first time. */
    }
    return true;
}

static bool prepare_completion(struct line_editor *editor)
{
    static const char breaks[] = " \t\n=";
    attempted_completion **attempted = dlsym(editor->library, "rl_attempted_completion_function");
    const char **word_breaks = dlsym(editor->library, "rl_basic_word_break_characters");
    int *is_over = dlsym(editor->library, "rl_attempted_completion_over");
    editor->line_buffer = dlsym(editor->library, "rl_line_buffer");
    if (attempted == NULL || word_breaks == NULL || is_over == NULL ||
        editor->line_buffer == NULL) {
        return false;
    }
    *attempted = complete;
    *word_breaks = breaks;
    *is_over = 1; /* Never the names of files. */
    return true;
}

static void load(struct line_editor *editor)
{
    editor->library = dlopen("libedit.so.2", RTLD_NOW | RTLD_LOCAL);
    if (editor->library != NULL &&
        (!find_function(editor->library, "readline", &editor->readline) ||
         !prepare_history(editor) || !prepare_completion(editor))) {
        dlclose(editor->library);
        editor->library = NULL;
    }
}

struct line_editor *line_editor_open(const char *history_path,
                                     const struct completion_source *source)
{
    struct line_editor *editor = calloc(1, sizeof *editor);
    if (editor == NULL) {
        return NULL;
    }
    editor->source = source;
    editor->history_path = history_path == NULL ? NULL : strdup(history_path);
    current = editor;
    load(editor);
    return editor;
}

/* The library stays loaded: it has put handlers into the process that point into it. */
void line_editor_close(struct line_editor *editor)
{
    if (editor != NULL) {
        current = NULL;
        free(editor->history_path);
        free(editor);
    }
}

/* --- Lines ------------------------------------------------------------------------------------ */

static char *read_plain(const char *prompt)
{
    fputs(prompt, stdout);
    fflush(stdout);
    char *line = malloc(SHELL_LINE_LIMIT_BYTES);
    if (line == NULL || fgets(line, SHELL_LINE_LIMIT_BYTES, stdin) == NULL) {
        free(line);
        return NULL;
    }
    return line;
}

char *line_editor_read(struct line_editor *editor, const char *prompt)
{
    return editor->library == NULL ? read_plain(prompt) : editor->readline(prompt);
}

void line_editor_remember(struct line_editor *editor, const char *line)
{
    if (editor->library != NULL) {
        editor->add_history(line);
        if (editor->history_path != NULL) {
            editor->write_history(editor->history_path); /* Losing it is no reason to complain. */
        }
    }
}
