#include "core/budget.h"

#include "core/spec.h"

#include <string.h>

struct budget budget_measure(const struct snapshot *snapshot, const char *role,
                             const enum verdict *verdicts, int client_minimum, int implied_minimum,
                             int64_t call_timeout_ms)
{
    struct budget budget = {0};
    for (size_t i = 0; i < snapshot->n_records; i++) {
        enum verdict verdict = verdicts == NULL ? VERDICT_NONE : verdicts[i];
        if (strcmp(snapshot->records[i].role, role) == 0 &&
            health_is_available(&snapshot->records[i], snapshot->now_ms, call_timeout_ms,
                                verdict)) {
            budget.available++;
        }
    }
    budget.spec_minimum = spec_min_members(snapshot_role(snapshot, role));
    budget.minimum = budget.spec_minimum > client_minimum ? budget.spec_minimum : client_minimum;
    if (budget.minimum == SPEC_UNSET) {
        budget.minimum = implied_minimum;
        budget.is_implied = true;
    }
    return budget;
}

bool budget_allows(const struct budget *budget, bool is_victim_available)
{
    return budget->spec_minimum != SPEC_UNREADABLE &&
           budget->available - (is_victim_available ? 1 : 0) >= budget->minimum;
}
