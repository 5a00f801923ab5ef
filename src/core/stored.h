/*
 * What a store decides between reading and writing, the same for every store of ours: whether a
 * change holds on what is stored, and what becomes of the numbers. The rules are those of
 * <comrade/store.h>.
 */
#ifndef CORE_STORED_H
#define CORE_STORED_H

#include <comrade/store.h>

/* What is stored of a member, as far as a change looks at it. All zero: no record. */
struct stored {
    bool is_there;
    int64_t incarnation;
    int64_t sequence;
    int64_t request_revision;
    int64_t updated_ms;
    int64_t created_ms;
};

/* Does an expectation hold? COMRADE_ANYTHING always does. */
bool stored_is_expected(int64_t expected, int64_t stored);
/* A change of a member: OK, or why its whole write does nothing: CONFLICT, GONE, FENCED. */
comrade_status stored_judge(const comrade_change *change, const struct stored *stored);
/*
 * What an own part makes of the record. False: nothing is to be written, for it is no later one
 * than the stored one.
 */
bool stored_apply_own(const comrade_own *own, int64_t now_ms, struct stored *stored);
/* A revision that differs from all before, those of a store that was wiped included. */
int64_t stored_mint(int64_t old, int64_t now_ms);

/* --- A role's last request ids, as a text: "ID ID …", newest first -------------------------------
 */

enum { RECENT_TEXT_SIZE = COMRADE_RECENT_REQUESTS * (COMRADE_REQUEST_ID_BYTES + 1) + 1 };

/* Puts one in front; the oldest falls off the end. */
void recent_text_add(char text[RECENT_TEXT_SIZE], const char *request_id);
/* Cuts the text up. Returns how many ids there are; they are in `text`. */
size_t recent_text_split(char text[RECENT_TEXT_SIZE], const char *ids[COMRADE_RECENT_REQUESTS]);

/* --- Names --------------------------------------------------------------------------------------
 */

/* The state of a name; STARTING, which nobody counts, for one of a later version. */
comrade_state stored_state(const char *name);

#endif
