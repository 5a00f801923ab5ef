/* One unit is enough to compare two members by; more digits would only make the tables wider. */
#include "cli/duration_text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, HOUR_MS = 60 * MINUTE_MS };
static const int64_t DAY_MS = INT64_C(24) * HOUR_MS;

void duration_text(int64_t duration_ms, char text[DURATION_TEXT_SIZE])
{
    int64_t ms = duration_ms < 0 ? 0 : duration_ms;
    if (ms < 10 * SECOND_MS) {
        snprintf(text, DURATION_TEXT_SIZE, "%d.%ds", (int)(ms / SECOND_MS),
                 (int)(ms % SECOND_MS / 100));
    } else if (ms < MINUTE_MS) {
        snprintf(text, DURATION_TEXT_SIZE, "%" PRId64 "s", ms / SECOND_MS);
    } else if (ms < HOUR_MS) {
        snprintf(text, DURATION_TEXT_SIZE, "%" PRId64 "m", ms / MINUTE_MS);
    } else if (ms < DAY_MS) {
        snprintf(text, DURATION_TEXT_SIZE, "%" PRId64 "h", ms / HOUR_MS);
    } else {
        snprintf(text, DURATION_TEXT_SIZE, "%" PRId64 "d", ms / DAY_MS);
    }
}

static bool to_parts(int64_t moment_ms, struct tm *parts)
{
    time_t seconds = (time_t)(moment_ms / SECOND_MS);
    return localtime_r(&seconds, parts) != NULL;
}

void moment_text(int64_t moment_ms, char text[MOMENT_TEXT_SIZE])
{
    struct tm parts;
    if (!to_parts(moment_ms, &parts) ||
        strftime(text, MOMENT_TEXT_SIZE, "%Y-%m-%d %H:%M:%S %z", &parts) == 0) {
        snprintf(text, MOMENT_TEXT_SIZE, "%" PRId64 " ms", moment_ms);
    }
}

void moment_text_short(int64_t moment_ms, char text[MOMENT_TEXT_SIZE])
{
    struct tm parts;
    if (!to_parts(moment_ms, &parts) || strftime(text, MOMENT_TEXT_SIZE, "%H:%M:%S", &parts) == 0) {
        snprintf(text, MOMENT_TEXT_SIZE, "%" PRId64 " ms", moment_ms);
    }
}
