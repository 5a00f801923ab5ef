/* Snapshots for unit tests: members are described by a line, and all times are relative to NOW. */
#ifndef UNIT_FIXTURE_H
#define UNIT_FIXTURE_H

#include "core/snapshot.h"

enum { FIXTURE_CALL_TIMEOUT_MS = 5000 };
#define FIXTURE_NOW_MS INT64_C(1700000000000)

/* A healthy, available member of role "app", created `age_ms` ago, with a heartbeat 1 s old. */
static inline comrade_record fixture_record(const char *id, int64_t age_ms)
{
    return (comrade_record){
        .id = id,
        .role = "app",
        .own = {.incarnation = FIXTURE_NOW_MS - age_ms,
                .sequence = 1,
                .state = COMRADE_STATE_UP,
                .is_alive = true,
                .is_available = true,
                .created_ms = FIXTURE_NOW_MS - age_ms,
                .host = "web1",
                .version = "1.0.0",
                .metadata = "{\"ip\":\"10.0.0.5\",\"port\":8080}",
                .details = "{}"},
        .request = {.request_id = "", .user = "", .host = "", .database_user = "", .reason = ""},
        .updated_ms = FIXTURE_NOW_MS - 1000,
    };
}

static inline comrade_record fixture_crashed(const char *id, int64_t age_ms)
{
    comrade_record record = fixture_record(id, age_ms);
    record.updated_ms = FIXTURE_NOW_MS - 61 * 1000;
    return record;
}

static inline void fixture_role(struct snapshot *snapshot, int64_t revision, const char *spec)
{
    comrade_role role = {.role = "app", .revision = revision, .spec_version = 5, .spec = spec};
    snapshot_add_role(snapshot, &role);
    snapshot->now_ms = FIXTURE_NOW_MS;
}

#endif
