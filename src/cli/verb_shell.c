/*
 * comrade shell: the verbs at a prompt, on one connection to the store. Lines that do not come from
 * a terminal are a script: no prompt, and the exit code is that of its last command.
 *
 * A verb that stays until it is interrupted (watch, run) becomes a process of its own, so that
 * Ctrl-C ends it and not the shell; so does one that makes a store, which the shell's own
 * connection never does. That process finds the store in its environment, which the
 * shell has set when it started: there, unlike in its arguments, no other user sees it.
 */
#include "cli/cli.h"
#include "cli/find_verb.h"
#include "cli/line_editor.h"
#include "cli/shell_complete.h"
#include "cli/shell_words.h"
#include "cli/store_place.h"
#include "cli/verbs.h"

#include "base/error.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COMPLETION_TIMEOUT_MS = 1000, PATH_LIMIT_BYTES = 4096 };

/* To add one: a row. */
static const char *const staying_verbs[] = {"run", "watch", "store init"};

/* --- One command ------------------------------------------------------------------------------ */

static bool stays(const struct verb *verb)
{
    for (size_t i = 0; i < sizeof staying_verbs / sizeof staying_verbs[0]; i++) {
        if (verb != NULL && strcmp(verb->name, staying_verbs[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int wait_for(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* The child has the default handlers; the shell sits the signals of the terminal out. */
static int run_apart(struct cli *cli, struct shell_words *words)
{
    char program[] = "comrade";
    char *argv[SHELL_WORDS_LIMIT + 2] = {program};
    memcpy(argv + 1, words->words, (size_t)words->n_words * sizeof argv[0]);
    struct sigaction ignored = {.sa_handler = SIG_IGN}, old_int, old_quit;
    posix_spawnattr_t attributes;
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGINT);
    sigaddset(&defaults, SIGQUIT);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    sigaction(SIGINT, &ignored, &old_int);
    sigaction(SIGQUIT, &ignored, &old_quit);
    pid_t pid;
    fflush(stdout);
    int result = posix_spawn(&pid, "/proc/self/exe", NULL, &attributes, argv, environ);
    int exit_code = result == 0 ? wait_for(pid)
                                : cli_fail(cli, EXIT_CODE_FAILED, "starting '%s': %s",
                                           words->words[0], strerror(result));
    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGQUIT, &old_quit, NULL);
    posix_spawnattr_destroy(&attributes);
    return exit_code;
}

static int run_words(struct cli *cli, struct shell_words *words)
{
    char today[32];
    if (original_verb(words->words[0]) != NULL) {
        snprintf(today, sizeof today, "%s", original_verb(words->words[0]));
        words->words[0] = today;
    }
    int n_used = 0;
    const struct verb *verb = find_verb(words->n_words, words->words, &n_used);
    if (verb == &verb_shell) {
        return cli_fail(cli, EXIT_CODE_USAGE, "this is the shell");
    }
    int exit_code =
        stays(verb) ? run_apart(cli, words) : cli_run(cli, words->n_words, words->words);
    fflush(stdout);
    return exit_code;
}

/* Runs a line, if there is anything on it. False: the shell was asked to end. */
static bool run_line(struct cli *cli, const char *line, int *exit_code)
{
    struct shell_words words;
    comrade_error error;
    cli->verb = NULL;
    if (shell_words_split(line, &words, &error) != COMRADE_OK) {
        *exit_code = cli_error(cli, &error);
        return true;
    }
    bool is_end = words.n_words == 1 &&
                  (strcmp(words.words[0], "exit") == 0 || strcmp(words.words[0], "quit") == 0);
    if (words.n_words > 0 && !is_end) {
        *exit_code = run_words(cli, &words);
    }
    shell_words_finish(&words);
    return !is_end;
}

/* --- A script --------------------------------------------------------------------------------- */

/* A line that is too long is refused whole: its pieces would be other commands. */
static bool skip_rest(FILE *file)
{
    int c = fgetc(file);
    bool has_rest = c != EOF;
    while (c != EOF && c != '\n') {
        c = fgetc(file);
    }
    return has_rest;
}

static int run_script(struct cli *cli)
{
    int exit_code = EXIT_CODE_DONE;
    char *line = malloc(SHELL_LINE_LIMIT_BYTES);
    if (line == NULL) {
        return cli_fail(cli, EXIT_CODE_FAILED, "out of memory");
    }
    while (fgets(line, SHELL_LINE_LIMIT_BYTES, stdin) != NULL) {
        size_t len = strlen(line);
        if (len + 1 == SHELL_LINE_LIMIT_BYTES && line[len - 1] != '\n' && skip_rest(stdin)) {
            cli->verb = NULL;
            exit_code = cli_fail(cli, EXIT_CODE_USAGE, "a line is longer than %d bytes",
                                 SHELL_LINE_LIMIT_BYTES - 2);
        } else if (!run_line(cli, line, &exit_code)) {
            break;
        }
    }
    free(line);
    return exit_code;
}

/* --- A person --------------------------------------------------------------------------------- */

static void list_completions(void *user, enum completion_kind kind, const char *prefix,
                             struct completions *into)
{
    const struct cli *cli = user;
    comrade_members *members = NULL;
    if (comrade_client_get_members(cli->client, NULL, COMPLETION_TIMEOUT_MS, &members, NULL) !=
        COMRADE_OK) {
        return;
    }
    for (size_t i = 0; i < comrade_members_count(members); i++) {
        const comrade_member_data *member = comrade_members_at(members, i);
        completions_add(into, kind == COMPLETION_IDS ? member->id : member->role, prefix);
    }
    comrade_members_free(members);
}

/* NULL: there is no place for it. */
static char *history_path(void)
{
    struct buffer path;
    buffer_init(&path, PATH_LIMIT_BYTES);
    bool is_there = user_state_folder(&path, NULL) == COMRADE_OK &&
                    buffer_append_text(&path, "/comrade") &&
                    make_folders(buffer_text(&path), NULL) == COMRADE_OK &&
                    buffer_append_text(&path, "/history");
    char *taken = is_there ? buffer_take(&path) : NULL;
    buffer_finish(&path);
    return taken;
}

/* What looks like a store's URL may hold a password. */
static bool may_be_kept(const char *line)
{
    return line[strspn(line, " \t\r\n")] != '\0' && strstr(line, "://") == NULL &&
           strstr(line, "--store") == NULL;
}

static int run_prompt(struct cli *cli)
{
    struct completion_source source = {list_completions, cli};
    char *path = history_path();
    struct line_editor *editor = line_editor_open(path, &source);
    free(path);
    if (editor == NULL) {
        return cli_fail(cli, EXIT_CODE_FAILED, "out of memory");
    }
    printf("Comrade on %s. 'help' lists the verbs, Tab completes, 'exit' leaves.\n",
           comrade_cluster_store(cli->cluster));
    bool is_going_on = true;
    while (is_going_on) {
        char *line = line_editor_read(editor, "comrade> ");
        int exit_code = EXIT_CODE_DONE; /* It was shown; a person's shell ends well. */
        is_going_on = line != NULL && run_line(cli, line, &exit_code);
        if (line == NULL) {
            putchar('\n');
        } else if (may_be_kept(line)) {
            line_editor_remember(editor, line);
        }
        free(line);
    }
    line_editor_close(editor);
    return EXIT_CODE_DONE;
}

/* --- The verb --------------------------------------------------------------------------------- */

static bool put_variable(const char *name, const char *text)
{
    return (text == NULL ? unsetenv(name) : setenv(name, text, 1)) == 0;
}

/* All that is run here is on the shell's cluster, whatever the environment said before. */
static int fix_environment(struct cli *cli, const struct options *options)
{
    char *url = cli_store_url(cli, options);
    if (url == NULL) {
        return EXIT_CODE_USAGE;
    }
    bool is_put = put_variable("COMRADE_STORE", url) && put_variable("COMRADE_STORE_FILE", NULL) &&
                  put_variable("COMRADE_NAMESPACE", options_text(options, "namespace")) &&
                  put_variable("COMRADE_KIND", options_text(options, "kind"));
    free(url);
    return is_put ? EXIT_CODE_DONE : cli_fail(cli, EXIT_CODE_FAILED, "out of memory");
}

static int run(struct cli *cli, const struct options *options)
{
    int exit_code = cli_open(cli, options);
    if (exit_code == EXIT_CODE_DONE) {
        exit_code = fix_environment(cli, options);
    }
    if (exit_code != EXIT_CODE_DONE) {
        return exit_code;
    }
    const char *program = cli->program;
    cli->program = NULL;
    cli->is_shell = true;
    exit_code = isatty(STDIN_FILENO) == 1 ? run_prompt(cli) : run_script(cli);
    cli->program = program;
    cli->is_shell = false;
    cli->verb = verb_shell.name;
    return exit_code;
}

const struct verb verb_shell = {
    .name = "shell",
    .summary = "Run verbs at a prompt, with completion and history",
    .description =
        "Every verb works as it does outside, on the store that the shell was started with. Tab "
        "completes verbs, options, roles and ids. The names of the original Comrade work, too: "
        "killOldestMember, clearStaleMembers, rollingKill.\n\n"
        "Words are separated by blanks; \"…\" and '…' keep blanks, \\ takes the next character as "
        "it is, and # begins a comment. 'exit' or Ctrl-D leaves. Ctrl-C leaves, too, but of watch "
        "and run it ends only these.\n\n"
        "Where its input is no terminal, lines are read without a prompt. A command that fails "
        "does not end the shell; its exit code is that of the last command.\n\n"
        "The history is kept in $XDG_STATE_HOME/comrade/history, or in ~/.local/state where that "
        "is not set. Lines that may hold a store's password are not kept.",
    .examples = (const char *const[]){"comrade shell --store sqlite:/var/lib/app/comrade.db",
                                      "Opens a prompt on that store",
                                      "echo 'list --role app' | comrade shell",
                                      "Runs one command from a script", NULL},
    .groups = (const struct option_group *const[]){&store_options, NULL},
    .run = run,
};
