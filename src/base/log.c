#include "base/log.h"

#include "base/buffer.h"
#include "base/env.h"
#include "base/text.h"

#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4095 };

static enum log_level minimum_level = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
    minimum_level = level;
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_DEBUG:
        return "debug";
    case LOG_LEVEL_INFO:
        return "info";
    case LOG_LEVEL_WARN:
        return "warn";
    case LOG_LEVEL_ERROR:
        return "error";
    }
    return "?";
}

static void append_time(struct buffer *line)
{
    int64_t now_ms = env_wall_ms(&env_system);
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    char text[32];
    gmtime_r(&seconds, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    buffer_append_format(line, "time=%s.%03dZ", text, (int)(now_ms % 1000));
}

static bool needs_quotes(const char *text)
{
    return text[0] == '\0' || strpbrk(text, " =\"\\") != NULL || text_has_control(text);
}

static void append_value(struct buffer *line, const char *text)
{
    if (!needs_quotes(text)) {
        buffer_append_text(line, text);
        return;
    }
    buffer_append_text(line, "\"");
    for (const char *part = text; *part != '\0';) {
        size_t len = strcspn(part, "\"");
        text_append_escaped(line, part, len);
        if (part[len] == '"') {
            buffer_append_text(line, "\\\"");
            len++;
        }
        part += len;
    }
    buffer_append_text(line, "\"");
}

void log_event(enum log_level level, const char *event, const struct log_field *fields,
               size_t n_fields)
{
    if (level < minimum_level) {
        return;
    }
    struct buffer line;
    buffer_init(&line, LINE_MAX_BYTES - 1);
    append_time(&line);
    buffer_append_format(&line, " level=%s event=%s", level_name(level), event);
    for (size_t i = 0; i < n_fields; i++) {
        buffer_append_format(&line, " %s=", fields[i].key);
        if (fields[i].text == NULL) {
            buffer_append_format(&line, "%lld", (long long)fields[i].number);
        } else {
            append_value(&line, fields[i].text);
        }
    }
    line.limit = LINE_MAX_BYTES;
    buffer_append_text(&line, "\n");
    /* A reader that has stopped must not stop us: a pipe that is writable takes a line whole. */
    struct pollfd writable = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&writable, 1, 0) == 1 && write(STDERR_FILENO, buffer_text(&line), line.len) < 0) {
        /* Nobody is left to tell. */
    }
    buffer_finish(&line);
}
