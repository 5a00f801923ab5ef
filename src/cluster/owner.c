/*
 * Whether the process that a record names still exists. Only of this host can that be known, and
 * only where a process was named. A PID that is there proves little: after a reboot, or in a
 * container that was started again, it is soon another's. But then the first process is younger
 * than the record's last heartbeat. Two ages are compared, each measured by one clock, and so the
 * store's clock need not be ours.
 */
#include "cluster/internal.h"

#include "base/env.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    STAT_BYTES = 1024,
    FIELDS_TO_START = 19, /* from the state, the third, to the start, the 22nd: see proc(5) */
};

/* What follows the name in /proc/PID/stat; the name may hold anything. NULL: it cannot be read. */
static char *read_stat(pid_t pid, char text[STAT_BYTES])
{
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    ssize_t len = read(fd, text, STAT_BYTES - 1);
    close(fd);
    text[len > 0 ? len : 0] = '\0';
    char *end = strrchr(text, ')');
    return end != NULL && end[1] == ' ' ? end + 2 : NULL;
}

static bool parse_start(char *fields, int64_t *start_ticks)
{
    char *field = fields;
    for (int i = 0; i < FIELDS_TO_START; i++) {
        field = strchr(field, ' ');
        if (field == NULL) {
            return false;
        }
        field++;
    }
    field[strcspn(field, " ")] = '\0';
    return text_to_number(field, 0, INT64_MAX / 1000, start_ticks);
}

/* False, too, if it is unknown. */
static bool is_younger_than(char *fields, int64_t age_ms)
{
    int64_t start_ticks = 0;
    long ticks_a_second = sysconf(_SC_CLK_TCK);
    if (ticks_a_second <= 0 || !parse_start(fields, &start_ticks)) {
        return false;
    }
    return env_boot_ms() - start_ticks * 1000 / ticks_a_second < age_ms;
}

static bool is_zombie(pid_t pid)
{
    char text[STAT_BYTES];
    const char *fields = read_stat(pid, text);
    return fields != NULL && (fields[0] == 'Z' || fields[0] == 'X');
}

static bool has_begun_anew(int64_t heartbeat_age_ms)
{
    char text[STAT_BYTES];
    char *fields = read_stat(1, text);
    return fields != NULL && is_younger_than(fields, heartbeat_age_ms);
}

bool is_owner_gone(const comrade_cluster *cluster, const comrade_record *record, int64_t now_ms)
{
    if (record == NULL || record->own.pid <= 0 || record->own.pid > INT32_MAX ||
        strcmp(record->own.host, cluster->host) != 0) {
        return false;
    }
    pid_t pid = (pid_t)record->own.pid;
    return (kill(pid, 0) != 0 && errno == ESRCH) || is_zombie(pid) ||
           has_begun_anew(now_ms - record->updated_ms);
}
