/* Durations and moments as people read them. */
#ifndef CLI_DURATION_TEXT_H
#define CLI_DURATION_TEXT_H

#include <stdint.h>

#define DURATION_TEXT_SIZE 24
/* "0.4s", "45s", "3m", "2h", "4d": rounded down; what is negative counts as nothing. */
void duration_text(int64_t duration_ms, char text[DURATION_TEXT_SIZE]);

#define MOMENT_TEXT_SIZE 40
/* "2026-07-04 12:00:05 +0200", in the time zone of whoever looks. */
void moment_text(int64_t moment_ms, char text[MOMENT_TEXT_SIZE]);
/* "12:00:05" */
void moment_text_short(int64_t moment_ms, char text[MOMENT_TEXT_SIZE]);

#endif
