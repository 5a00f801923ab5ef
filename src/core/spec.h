/*
 * What is wanted of a role, as it is kept in the store: a JSON object, so that a newer version can
 * add to it and an older one keeps what it does not know.
 */
#ifndef CORE_SPEC_H
#define CORE_SPEC_H

#include <comrade/store.h>

enum { SPEC_UNSET = -1, SPEC_UNREADABLE = -2 };

/*
 * The spec's minMembers, SPEC_UNSET if it says nothing, SPEC_UNREADABLE if it is no JSON object or
 * there was no memory to read it: nobody may be asked to leave on that ground. `role` may be NULL.
 */
int spec_min_members(const comrade_role *role);
/*
 * The spec with another minMembers (SPEC_UNSET removes it) and all else as it was; what is no JSON
 * object is replaced. The caller frees the text; NULL when out of memory.
 */
char *spec_with_min_members(const comrade_role *role, int min_members);
/* The version for the next spec: greater than the stored one, and than any of a lost store. */
int64_t spec_next_version(const comrade_role *role, int64_t now_ms);

#endif
