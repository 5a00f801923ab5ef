/* The program: the process made ready, one verb run, and what was printed brought out. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file opened later must not become standard output: a table would be printed into the store. */
static void occupy_standard_streams(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) {
        close(fd);
    }
}

static void prepare_process(void)
{
    occupy_standard_streams();
    /* A second arena for the store's thread would be most of the memory of `comrade run`. */
    mallopt(M_ARENA_MAX, 1);
    /* Whoever started us may ignore it; a reader who has seen enough is no error to speak of. */
    signal(SIGPIPE, SIG_DFL);
}

/* "comrade", "comrade --help" and "comrade --version" are verbs, too. */
static char *first_word(int argc, char **argv)
{
    static char help[] = "help", version[] = "version";
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        return help;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        return version;
    }
    return argv[1];
}

/* A full disk must not look like an empty list. */
static int finish_output(struct cli *cli, int exit_code)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return exit_code;
    }
    if (errno == EPIPE) {
        return exit_code == EXIT_CODE_DONE ? EXIT_CODE_FAILED : exit_code;
    }
    return cli_fail(cli, exit_code == EXIT_CODE_DONE ? EXIT_CODE_FAILED : exit_code,
                    "writing the output: %s", errno == 0 ? "failed" : strerror(errno));
}

int main(int argc, char **argv)
{
    prepare_process();
    struct cli cli = {.program = "comrade"};
    char *only[] = {first_word(argc, argv), NULL};
    char **words = argc < 2 ? only : argv + 1;
    words[0] = only[0];
    int exit_code = cli_run(&cli, argc < 2 ? 1 : argc - 1, words);
    exit_code = finish_output(&cli, exit_code);
    cli_close(&cli);
    return exit_code;
}
