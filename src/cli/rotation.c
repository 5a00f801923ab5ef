#include "cli/rotation.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

static bool is_in_rotation(const struct rotation_rule *rule, const comrade_member_data *member,
                           bool *is_held)
{
    *is_held = false;
    if ((!rule->wants_healthy || member->is_healthy) &&
        (!rule->wants_available || member->is_available)) {
        return true;
    }
    /* The state is UP: it has failed no check, and what speaks against it is its age alone. */
    *is_held = rule->outage_ms > 0 && member->is_alive && member->state == COMRADE_STATE_UP &&
               member->request == COMRADE_REQUEST_NONE &&
               member->now_ms - member->updated_ms < rule->outage_ms + ROTATION_GRACE_MS;
    return *is_held;
}

static int compare(const void *key, const void *element)
{
    const comrade_member_data *member = key;
    const struct rotation_line *line = element;
    int order = strcmp(member->role, line->role);
    return order != 0 ? order : strcmp(member->id, line->id);
}

static bool was_left_out(const struct rotation *before, const comrade_member_data *member,
                         const char *reason)
{
    const struct rotation_line *line =
        before->n_lines == 0
            ? NULL
            : bsearch(member, before->lines, before->n_lines, sizeof *line, compare);
    return line != NULL && line->reason != NULL && strcmp(line->reason, reason) == 0;
}

static void finish_line(struct rotation_line *line)
{
    free(line->role);
    free(line->id);
    free(line->text);
    free(line->reason);
}

/* False: out of memory. finish_line() is the caller's. */
static bool fill_line(struct rotation_line *made, const struct line_template *line,
                      const comrade_member_data *member, const struct rotation *before)
{
    struct buffer text;
    comrade_error problem;
    buffer_init(&text, ROTATION_TEXT_MAX_BYTES);
    comrade_status status = line_template_render(line, member, &text, &problem);
    made->role = strdup(member->role);
    made->id = strdup(member->id);
    if (status == COMRADE_OK) {
        made->text = buffer_take(&text);
    } else if (status != COMRADE_NO_MEMORY) {
        made->reason = strdup(problem.message);
        made->is_news = !was_left_out(before, member, problem.message);
    }
    buffer_finish(&text);
    return made->role != NULL && made->id != NULL && (made->text != NULL || made->reason != NULL);
}

static bool has_room(struct rotation *rotation)
{
    if (rotation->n_lines < rotation->capacity) {
        return true;
    }
    size_t capacity = rotation->capacity * 2 + 16;
    struct rotation_line *lines = reallocarray(rotation->lines, capacity, sizeof *lines);
    if (lines == NULL) {
        return false;
    }
    rotation->lines = lines;
    rotation->capacity = capacity;
    return true;
}

comrade_status rotation_add(struct rotation *rotation, const struct line_template *line,
                            const struct rotation_rule *rule, const comrade_member_data *member,
                            const struct rotation *before, comrade_error *error)
{
    struct rotation_line made = {0};
    if (!is_in_rotation(rule, member, &made.is_held)) {
        return COMRADE_OK;
    }
    if (!fill_line(&made, line, member, before) || !has_room(rotation)) {
        finish_line(&made);
        return comrade_error_set(error, COMRADE_NO_MEMORY, "out of memory for %zu lines",
                                 rotation->n_lines + 1);
    }
    rotation->lines[rotation->n_lines++] = made;
    return COMRADE_OK;
}

void rotation_finish(struct rotation *rotation)
{
    for (size_t i = 0; i < rotation->n_lines; i++) {
        finish_line(&rotation->lines[i]);
    }
    free(rotation->lines);
    *rotation = (struct rotation){0};
}

bool rotation_release(struct rotation *rotation)
{
    size_t n_kept = 0;
    for (size_t i = 0; i < rotation->n_lines; i++) {
        if (rotation->lines[i].is_held) {
            finish_line(&rotation->lines[i]);
        } else {
            rotation->lines[n_kept++] = rotation->lines[i];
        }
    }
    bool has_released = n_kept < rotation->n_lines;
    rotation->n_lines = n_kept;
    return has_released;
}

char *rotation_text(const struct rotation *rotation, size_t *n_lines)
{
    struct buffer text;
    size_t n_told = 0;
    buffer_init(&text, ROTATION_TEXT_MAX_BYTES);
    buffer_append(&text, "", 0); /* no lines are a text, too */
    for (size_t i = 0; i < rotation->n_lines; i++) {
        if (rotation->lines[i].text != NULL) {
            buffer_append_text(&text, rotation->lines[i].text);
            buffer_append(&text, "\n", 1);
            n_told++;
        }
    }
    char *taken = buffer_take(&text);
    buffer_finish(&text);
    if (taken != NULL && n_lines != NULL) {
        *n_lines = n_told;
    }
    return taken;
}
