/* The library tells the whole set each time; what is new in it is found by comparing. */
#include "cli/watch_events.h"

#include "base/buffer.h"
#include "base/env.h"
#include "base/error.h"
#include "cli/duration_text.h"
#include "cli/member_json.h"
#include "cli/member_table.h"
#include "cli/output.h"

#include <stdlib.h>
#include <string.h>

enum { LINE_LIMIT = 256 * 1024 };

/* A member of a set, as what can be told of it. */
struct kept {
    char *role;
    char *id;
    char *seen; /* what makes a change: for people, what they are shown; else all but `updated` */
    char *json; /* without the braces; NULL for people */
};

static void free_set(struct kept *set, size_t n)
{
    for (size_t i = 0; set != NULL && i < n; i++) {
        free(set[i].role);
        free(set[i].id);
        free(set[i].seen);
        free(set[i].json);
    }
    free(set);
}

static const char *asked_text(comrade_request_kind kind)
{
    switch (kind) {
    case COMRADE_REQUEST_NONE:
        return "";
    case COMRADE_REQUEST_KILL:
        return ", asked to leave";
    case COMRADE_REQUEST_RESTART:
        return ", asked to restart";
    }
    return "";
}

static char *seen_text(const comrade_member_data *member)
{
    char address[MEMBER_ADDRESS_SIZE];
    struct buffer text;
    buffer_init(&text, LINE_LIMIT);
    member_address(member, address);
    buffer_append_format(&text, "%s, %s%s%s", member_state_text(member),
                         strcmp(member_health_text(member), "ok") == 0 ? "healthy" : "unhealthy",
                         member->is_available ? ", available" : "", asked_text(member->request));
    buffer_append_format(&text, "%s%s", address[0] == '\0' ? "" : ", ", address);
    char *taken = buffer_take(&text);
    buffer_finish(&text);
    return taken;
}

static char *json_text(const comrade_member_data *member)
{
    struct buffer text;
    buffer_init(&text, LINE_LIMIT);
    member_json_append_fields(&text, member);
    char *taken = buffer_take(&text);
    buffer_finish(&text);
    return taken;
}

static void print_change(const char *change, const struct kept *kept)
{
    char time_text[MOMENT_TEXT_SIZE];
    moment_text_short(env_wall_ms(&env_system), time_text);
    printf("%s  %-7s  ", time_text, change);
    output_text(stdout, kept->id);
    fputs("  ", stdout);
    output_text(stdout, kept->seen);
    fputc('\n', stdout);
}

static comrade_status tell_change(const struct watch_events *events, const char *change,
                                  const struct kept *kept, comrade_error *error)
{
    struct buffer line;
    if (!events->has_json) {
        print_change(change, kept);
        return COMRADE_OK;
    }
    buffer_init(&line, LINE_LIMIT + 64);
    buffer_append_format(&line, "{\"change\":\"%s\",%s}\n", change, kept->json);
    comrade_status status =
        line.is_failed ? comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for a line")
        : events->runner != NULL ? command_runner_add(events->runner, buffer_text(&line), error)
                                 : COMRADE_OK;
    if (status == COMRADE_OK && events->runner == NULL) {
        fputs(buffer_text(&line), stdout);
    }
    buffer_finish(&line);
    return status;
}

/* A heartbeat is no change: each one moves `updated`, and the set is told whole. */
static char *still_text(const comrade_member_data *member)
{
    comrade_member_data still = *member;
    still.updated_ms = 0;
    return json_text(&still);
}

static bool fill_kept(const struct watch_events *events, const comrade_member_data *member,
                      struct kept *kept)
{
    kept->role = strdup(member->role);
    kept->id = strdup(member->id);
    kept->seen = events->has_json ? still_text(member) : seen_text(member);
    kept->json = events->has_json ? json_text(member) : NULL;
    return kept->role != NULL && kept->id != NULL && kept->seen != NULL &&
           (kept->json != NULL || !events->has_json);
}

/* NULL when out of memory. */
static struct kept *new_set(const struct watch_events *events, const comrade_members *members,
                            size_t n)
{
    struct kept *set = calloc(n + 1, sizeof *set);
    for (size_t i = 0; set != NULL && i < n; i++) {
        if (!fill_kept(events, comrade_members_at(members, i), &set[i])) {
            free_set(set, n);
            return NULL;
        }
    }
    return set;
}

static int compare(const struct kept *a, const struct kept *b)
{
    int order = strcmp(a->role, b->role);
    return order != 0 ? order : strcmp(a->id, b->id);
}

/* Walks the old and the new set side by side: both are sorted. */
static comrade_status tell_changes(const struct watch_events *events, const struct kept *fresh,
                                   size_t n_fresh, comrade_error *error)
{
    comrade_status status = COMRADE_OK;
    size_t i = 0;
    size_t j = 0;
    while (status == COMRADE_OK && (i < events->n_kept || j < n_fresh)) {
        int order = i == events->n_kept ? 1
                    : j == n_fresh      ? -1
                                        : compare(&events->kept[i], &fresh[j]);
        if (order < 0) {
            status = tell_change(events, "left", &events->kept[i], error);
        } else if (order > 0) {
            status = tell_change(events, "came", &fresh[j], error);
        } else if (strcmp(events->kept[i].seen, fresh[j].seen) != 0) {
            status = tell_change(events, "changed", &fresh[j], error);
        }
        i += order <= 0 ? 1 : 0;
        j += order >= 0 ? 1 : 0;
    }
    return status;
}

comrade_status watch_events_tell(struct watch_events *events, const comrade_members *members,
                                 comrade_error *error)
{
    size_t n = comrade_members_count(members);
    struct kept *fresh = new_set(events, members, n);
    if (fresh == NULL) {
        return comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for %zu members", n);
    }
    comrade_status status = tell_changes(events, fresh, n, error);
    watch_events_finish(events);
    events->kept = fresh;
    events->n_kept = n;
    return status;
}

void watch_events_finish(struct watch_events *events)
{
    free_set(events->kept, events->n_kept);
    events->kept = NULL;
    events->n_kept = 0;
}
