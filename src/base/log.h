/*
 * The log of the programs: one line an event, as key=value pairs (logfmt), on standard error.
 * Values are escaped and quoted where needed. The library itself never logs.
 *
 *   time=2026-01-02T03:04:05.678Z level=info event=ready id=app-web1-1 pid=4711
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

struct log_field {
    const char *key;
    const char *text; /* NULL: `number` is meant */
    int64_t number;
};

#define LOG_TEXT(key, text) ((struct log_field){key, text, 0})
#define LOG_NUMBER(key, number) ((struct log_field){key, (const char *)0, number})
/* LOG(LOG_LEVEL_INFO, "ready", LOG_TEXT("id", id), LOG_NUMBER("pid", pid)) */
#define LOG(level, event, ...)                                                                     \
    log_event(level, event, (const struct log_field[]){__VA_ARGS__},                               \
              sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))

/* Lines below this level are not written. The default is info. Set before threads are started. */
void log_set_level(enum log_level level);
/* One write(2) a line, of at most 4 KB; longer ones are cut. A failed write is ignored, and where
   it would have to wait the line is dropped. */
void log_event(enum log_level level, const char *event, const struct log_field *fields,
               size_t n_fields);

#endif
