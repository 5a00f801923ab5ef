/*
 * The disruption budget: the rule that no budgeted request leaves a role with fewer available
 * members than its minimum. Pure, over a snapshot of the whole role; the write that follows names
 * the role's revision, so that two who decide at once cannot both be right.
 */
#ifndef CORE_BUDGET_H
#define CORE_BUDGET_H

#include "core/health.h"
#include "core/snapshot.h"

struct budget {
    int available;    /* members of the role that count now */
    int minimum;      /* how many of them must remain */
    bool is_implied;  /* nobody set a minimum; it is the one implied by the call */
    int spec_minimum; /* what the role spec says: a number, SPEC_UNSET or SPEC_UNREADABLE */
};

/*
 * `verdicts` is parallel to the snapshot's records, or NULL. `client_minimum` is SPEC_UNSET where
 * the client has none: it can raise what the role spec says, and holds where that says nothing.
 * `implied_minimum` holds where neither says anything.
 */
struct budget budget_measure(const struct snapshot *snapshot, const char *role,
                             const enum verdict *verdicts, int client_minimum, int implied_minimum,
                             int64_t call_timeout_ms);
/* May a member be taken away, which is now available or is not? Never by an unreadable spec. */
bool budget_allows(const struct budget *budget, bool is_victim_available);

#endif
