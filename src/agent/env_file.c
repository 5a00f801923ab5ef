#include "agent/env_file.h"

#include "base/buffer.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct line {
    const char *what;
    int number;
    const char *at; /* NUL-terminated */
    struct buffer value;
};

static comrade_status refuse(const struct line *line, const char *why, comrade_error *error)
{
    return comrade_error_set(error, COMRADE_INVALID, "%s, line %d: %s", line->what, line->number,
                             why);
}

static const char *skip_blanks(const char *at)
{
    return at + strspn(at, " \t");
}

static size_t name_length(const char *at)
{
    size_t len = 0;
    while (at[len] == '_' || (at[len] >= 'a' && at[len] <= 'z') ||
           (at[len] >= 'A' && at[len] <= 'Z') || (len > 0 && at[len] >= '0' && at[len] <= '9')) {
        len++;
    }
    return len;
}

static char unescape(char letter)
{
    switch (letter) {
    case 'n':
        return '\n';
    case 't':
        return '\t';
    case '\\':
    case '"':
    case '$':
        return letter;
    default:
        return '\0';
    }
}

/* line->at stands behind the opening quote. */
static comrade_status read_quoted(struct line *line, char quote, comrade_error *error)
{
    for (; *line->at != quote; line->at++) {
        char byte = *line->at;
        if (byte == '\\' && quote == '"') {
            line->at++;
            byte = unescape(*line->at);
            if (byte == '\0') {
                return refuse(line, "in double quotes, only \\n, \\t, \\\\, \\\" and \\$ are known",
                              error);
            }
        }
        if (byte == '\0') {
            return refuse(line, "the closing quote is missing", error);
        }
        if (!buffer_append(&line->value, &byte, 1)) {
            return comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory");
        }
    }
    const char *rest = skip_blanks(line->at + 1);
    if (*rest != '\0' && *rest != '#') {
        return refuse(line, "there is something behind the closing quote", error);
    }
    return COMRADE_OK;
}

static comrade_status read_value(struct line *line, comrade_error *error)
{
    if (*line->at == '"' || *line->at == '\'') {
        char quote = *line->at++;
        return read_quoted(line, quote, error);
    }
    size_t len = strlen(line->at);
    while (len > 0 && (line->at[len - 1] == ' ' || line->at[len - 1] == '\t')) {
        len--;
    }
    return buffer_append(&line->value, line->at, len)
               ? COMRADE_OK
               : comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory");
}

static comrade_status read_line(struct line *line, struct variables *variables,
                                comrade_error *error)
{
    line->at = skip_blanks(line->at);
    if (*line->at == '\0' || *line->at == '#') {
        return COMRADE_OK;
    }
    if (strncmp(line->at, "export ", 7) == 0) {
        line->at = skip_blanks(line->at + 7);
    }
    const char *name = line->at;
    size_t name_len = name_length(name);
    if (name_len == 0 || name[name_len] != '=') {
        return refuse(line, "this is not NAME=VALUE (a name has letters, digits and _)", error);
    }
    line->at = skip_blanks(name + name_len + 1);
    comrade_status status = read_value(line, error);
    if (status == COMRADE_OK &&
        !variables_set(variables, name, name_len, buffer_text(&line->value))) {
        status = comrade_error_set(error, COMRADE_NO_MEMORY,
                                   "%s, line %d: out of memory, or more than %d variables",
                                   line->what, line->number, VARIABLES_LIMIT);
    }
    return status;
}

comrade_status env_file_parse(const char *what, const char *text, size_t n_bytes,
                              struct variables *variables, comrade_error *error)
{
    struct line line = {.what = what};
    struct buffer copy;
    comrade_status status = COMRADE_OK;
    buffer_init(&copy, ENV_FILE_MAX_BYTES);
    buffer_init(&line.value, ENV_FILE_MAX_BYTES);
    for (size_t start = 0; start < n_bytes && status == COMRADE_OK;) {
        const char *end = memchr(text + start, '\n', n_bytes - start);
        size_t len = (end != NULL ? (size_t)(end - text) : n_bytes) - start;
        size_t next = start + len + 1;
        line.number++;
        buffer_clear(&copy);
        buffer_clear(&line.value);
        if (memchr(text + start, '\0', len) != NULL) {
            status = refuse(&line, "there is a NUL byte", error);
            break;
        }
        len -= len > 0 && text[start + len - 1] == '\r';
        if (!buffer_append(&copy, text + start, len)) {
            status = comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory");
            break;
        }
        line.at = buffer_text(&copy);
        status = read_line(&line, variables, error);
        start = next;
    }
    buffer_finish(&copy);
    buffer_finish(&line.value);
    return status;
}

static comrade_status read_all(const char *path, int fd, struct buffer *text, comrade_error *error)
{
    char bytes[4096];
    for (;;) {
        ssize_t len = read(fd, bytes, sizeof bytes);
        if (len == 0) {
            return COMRADE_OK;
        }
        if (len < 0 && errno == EINTR) {
            continue;
        }
        if (len < 0) {
            return comrade_error_set(error, COMRADE_SYSTEM, "cannot read the env file %s: %s", path,
                                     strerror(errno));
        }
        if (!buffer_append(text, bytes, (size_t)len)) {
            bool is_large = text->len + (size_t)len > text->limit;
            return comrade_error_set(
                error, is_large ? COMRADE_TOO_LARGE : COMRADE_NO_MEMORY,
                is_large ? "the env file %s is larger than 1 MB" : "out of memory (%s)", path);
        }
    }
}

comrade_status env_file_read(const char *path, struct variables *variables, comrade_error *error)
{
    struct buffer text;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return comrade_error_set(error, COMRADE_SYSTEM, "cannot open the env file %s: %s", path,
                                 strerror(errno));
    }
    buffer_init(&text, ENV_FILE_MAX_BYTES);
    comrade_status status = read_all(path, fd, &text, error);
    if (status == COMRADE_OK) {
        status = env_file_parse(path, buffer_text(&text), text.len, variables, error);
    }
    close(fd);
    buffer_finish(&text);
    return status;
}
