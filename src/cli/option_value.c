/*
 * What an option's text means, by the type of its row. Errors name the option as the reader wrote
 * it, on the command line or in the environment, and say what would have been right.
 */
#include "cli/option_value.h"

#include "base/error.h"
#include "base/text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DURATION_LIMIT_MS (1000 * 3600 * (int64_t)1000)
/* What is wrong is plain from the beginning of a value. */
#define SHOWN_BYTES 60

bool option_flag_read(const char *text, bool *is_set)
{
    static const char *const yes[] = {"1", "true", "yes"}, *const no[] = {"0", "false", "no"};
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *is_set = strcmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

bool duration_parse(const char *text, int64_t *duration_ms)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 3600 * 1000}, {"", 1000}};
    char digits[16];
    size_t n_digits = strspn(text, "0123456789");
    if (n_digits == 0 || n_digits >= sizeof digits) {
        return false;
    }
    memcpy(digits, text, n_digits);
    digits[n_digits] = '\0';
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        int64_t number;
        if (strcmp(text + n_digits, units[i].unit) == 0 &&
            text_to_number(digits, 0, DURATION_LIMIT_MS / units[i].ms, &number)) {
            *duration_ms = number * units[i].ms;
            return true;
        }
    }
    return false;
}

/* A limit as a person would type it: 3600000 is "1h". */
static void duration_show(int64_t duration_ms, char shown[32])
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"h", 3600 * 1000}, {"m", 60 * 1000}, {"s", 1000}, {"ms", 1}};
    size_t i = 0;
    while (duration_ms % units[i].ms != 0) {
        i++;
    }
    snprintf(shown, 32, "%lld%s", (long long)(duration_ms / units[i].ms),
             duration_ms == 0 ? "s" : units[i].unit);
}

/* "--drain-delay", or "COMRADE_DRAIN_DELAY" where that is where the value stands. */
static void name_show(const struct option_row *row, const char *from,
                      char shown[OPTION_VARIABLE_SIZE])
{
    if (from != NULL && from[0] != '\0') {
        option_variable(row, shown);
    } else {
        snprintf(shown, OPTION_VARIABLE_SIZE, "--%s", row->name);
    }
}

static comrade_status refuse(const struct option_row *row, const char *text, const char *from,
                             const char *wanted, comrade_error *error)
{
    char name[OPTION_VARIABLE_SIZE];
    name_show(row, from, name);
    if (row->is_secret) {
        return comrade_error_set(error, COMRADE_INVALID, "%s: the value is not %s", name, wanted);
    }
    return comrade_error_set(error, COMRADE_INVALID, "%s: \"%.*s%s\" is not %s", name, SHOWN_BYTES,
                             text, strlen(text) > SHOWN_BYTES ? "…" : "", wanted);
}

static bool number_read(const struct option_row *row, const char *text, int64_t *number)
{
    int64_t read;
    bool is_read = row->type == OPTION_NUMBER
                       ? text_to_number(text, row->low, row->high, &read)
                       : duration_parse(text, &read) && read >= row->low && read <= row->high;
    if (is_read) {
        *number = read;
    }
    return is_read;
}

static comrade_status refuse_number(const struct option_row *row, const char *text,
                                    const char *from, comrade_error *error)
{
    char wanted[160], low[32], high[32];
    if (row->type == OPTION_NUMBER) {
        snprintf(wanted, sizeof wanted, "a whole number from %lld to %lld", (long long)row->low,
                 (long long)row->high);
    } else {
        duration_show(row->low, low);
        duration_show(row->high, high);
        snprintf(wanted, sizeof wanted,
                 "a duration from %s to %s; write 500ms, 5s, 2m, 1h or 5 (seconds)", low, high);
    }
    return refuse(row, text, from, wanted, error);
}

comrade_status option_value_read(const struct option_row *row, const char *text, const char *from,
                                 struct option_value *value, comrade_error *error)
{
    struct option_value read = {.row = row, .from = from};
    bool is_set = false;
    switch (row->type) {
    case OPTION_FLAG:
        if (!option_flag_read(text, &is_set)) {
            return refuse(row, text, from, "one of 1, true, yes, 0, false, no", error);
        }
        text = is_set ? "true" : "false";
        break;
    case OPTION_TEXT:
        if (!text_is_utf8(text, strlen(text))) {
            return refuse(row, text, from, "valid UTF-8", error);
        }
        break;
    case OPTION_NUMBER:
    case OPTION_DURATION:
        if (!number_read(row, text, &read.number)) {
            return refuse_number(row, text, from, error);
        }
        break;
    }
    read.text = strdup(text);
    if (read.text == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "reading --%s: out of memory",
                                 row->name);
    }
    *value = read;
    return COMRADE_OK;
}

void option_variable(const struct option_row *row, char variable[OPTION_VARIABLE_SIZE])
{
    snprintf(variable, OPTION_VARIABLE_SIZE, "COMRADE_%s", row->name);
    for (char *c = variable; *c != '\0'; c++) {
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    }
}
