/*
 * The limits of what crosses into a store, the same for every store, checked before anything is
 * sent. A refusal names the thing, what is wrong with it and where.
 */
#ifndef CORE_LIMITS_H
#define CORE_LIMITS_H

#include <comrade.h>

/* `value` NULL is refused. Errors: INVALID, TOO_LARGE. */
comrade_status limits_check_id(const char *value, comrade_error *error);
comrade_status limits_check_role(const char *value, comrade_error *error);
/* A namespace, kind, host, user or version; may be empty. `what` names it in the error. */
comrade_status limits_check_name(const char *what, const char *value, comrade_error *error);
/* Free text for people; may be empty; line breaks and other control characters are refused. */
comrade_status limits_check_reason(const char *value, comrade_error *error);
/* One JSON object. Errors: INVALID, TOO_LARGE, NO_MEMORY. */
comrade_status limits_check_object(const char *what, const char *value, comrade_error *error);
/* 0 to 1,000,000, or -1. Errors: INVALID. */
comrade_status limits_check_min_members(int min_members, comrade_error *error);

#endif
