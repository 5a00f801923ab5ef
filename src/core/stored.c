#include "core/stored.h"

#include <string.h>

bool stored_is_expected(int64_t expected, int64_t stored)
{
    return expected == COMRADE_ANYTHING || expected == stored;
}

comrade_status stored_judge(const comrade_change *change, const struct stored *stored)
{
    if (change->kind == COMRADE_PUT_REQUEST && !stored->is_there) {
        return COMRADE_GONE;
    }
    if (change->kind == COMRADE_DELETE && !stored->is_there) {
        return COMRADE_OK;
    }
    if (!stored_is_expected(change->expect_incarnation, stored->incarnation) ||
        !stored_is_expected(change->expect_request_revision, stored->request_revision) ||
        !stored_is_expected(change->expect_updated_ms, stored->updated_ms)) {
        return COMRADE_CONFLICT;
    }
    bool is_older =
        change->kind == COMRADE_PUT_OWN && stored->incarnation > change->own->incarnation;
    return is_older ? COMRADE_FENCED : COMRADE_OK;
}

bool stored_apply_own(const comrade_own *own, int64_t now_ms, struct stored *stored)
{
    bool is_same_life = stored->is_there && stored->incarnation == own->incarnation;
    if (is_same_life && own->sequence <= stored->sequence) {
        return false;
    }
    if (!is_same_life) {
        stored->created_ms = now_ms;
        stored->updated_ms = now_ms; /* a new life is a heartbeat, too */
    }
    if (own->created_ms != 0) {
        stored->created_ms = own->created_ms;
    }
    stored->is_there = true;
    stored->incarnation = own->incarnation;
    stored->sequence = own->sequence;
    return true;
}

/* One that no store minted, because somebody wrote it by hand, is not counted on from. */
int64_t stored_mint(int64_t old, int64_t now_ms)
{
    int64_t now_us = now_ms * 1000;
    return old >= now_us && old < INT64_MAX / 2 ? old + 1 : now_us;
}

void recent_text_add(char text[RECENT_TEXT_SIZE], const char *request_id)
{
    size_t len = strnlen(request_id, COMRADE_REQUEST_ID_BYTES);
    size_t kept = strnlen(text, RECENT_TEXT_SIZE - 1 - (len + 1));
    /* The oldest may be cut, and then fits no id. */
    memmove(text + len + 1, text, kept);
    memcpy(text, request_id, len);
    text[len] = ' ';
    text[len + 1 + kept] = '\0';
}

size_t recent_text_split(char text[RECENT_TEXT_SIZE], const char *ids[COMRADE_RECENT_REQUESTS])
{
    size_t n = 0;
    char *rest = text;
    for (char *id = strsep(&rest, " "); id != NULL; id = strsep(&rest, " ")) {
        if (id[0] != '\0' && n < COMRADE_RECENT_REQUESTS) {
            ids[n++] = id;
        }
    }
    return n;
}

comrade_state stored_state(const char *name)
{
#define COMPARE(state, text)                                                                       \
    if (strcmp(name, text) == 0) {                                                                 \
        return COMRADE_STATE_##state;                                                              \
    }
    COMRADE_STATE_MAP(COMPARE)
#undef COMPARE
    return COMRADE_STATE_STARTING;
}
