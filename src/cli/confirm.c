/* The answer is read byte by byte: what was typed behind it is the shell's next line. */
#include "cli/confirm.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool can_confirm(void)
{
    return isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1;
}

bool confirm(const char *question)
{
    char answer[8] = "";
    size_t len = 0;
    char byte;
    fflush(stdout);
    fprintf(stderr, "%s Type yes: ", question);
    fflush(stderr);
    while (read(STDIN_FILENO, &byte, 1) == 1 && byte != '\n') {
        answer[len] = byte;
        len += len + 1 < sizeof answer ? 1 : 0; /* a longer one is not yes either */
    }
    answer[len] = '\0';
    return strcmp(answer, "yes") == 0;
}
