/*
 * The first round trip of a batch: the roles are made and locked, in the order of their names, and
 * what is stored of the members is read behind the locks. Whoever writes a member holds its role,
 * so nothing but a heartbeat can change between this and the second round trip. A change that
 * expects a heartbeat not to have come locks that as well.
 */
#include "store/postgres/write.h"

#include <stdlib.h>
#include <string.h>

enum { PARAMETER_LIMIT = 16 * 1024 * 1024 };

static const char make_cluster_sql[] = "INSERT INTO comrade.cluster (namespace, kind) SELECT $1, $2"
                                       " WHERE " POSTGRES_CLUSTER " IS NULL ON CONFLICT DO NOTHING";
/* Those that are written, and those that hold a record now which is to move. */
#define WANTED_ROLES                                                                               \
    "SELECT unnest($3::text[]) UNION SELECT m.role FROM comrade.member m"                          \
    " WHERE m.cluster = " POSTGRES_CLUSTER " AND m.id = ANY ($4::text[])"
static const char make_roles_sql[] =
    "INSERT INTO comrade.role (cluster, role) SELECT " POSTGRES_CLUSTER ", wanted.role"
    " FROM (" WANTED_ROLES ") AS wanted(role)"
    " WHERE NOT EXISTS (SELECT FROM comrade.role r"
    "  WHERE r.cluster = " POSTGRES_CLUSTER " AND r.role = wanted.role)"
    " ORDER BY wanted.role ON CONFLICT DO NOTHING";
static const char lock_roles_sql[] =
    "SELECT r.role, r.revision, r.recent FROM comrade.role r"
    " WHERE r.cluster = " POSTGRES_CLUSTER " AND r.role = ANY (ARRAY(" WANTED_ROLES "))"
    " ORDER BY r.role FOR UPDATE OF r";
static const char lock_heartbeats_sql[] =
    "SELECT h.id FROM comrade.heartbeat h"
    " WHERE h.cluster = " POSTGRES_CLUSTER " AND h.id = ANY ($3::text[]) ORDER BY h.id FOR UPDATE";
/* One that has lost its heartbeat is there, and whatever it says of itself is news. */
static const char records_sql[] =
    "SELECT m.id, m.role, m.incarnation, CASE WHEN h.id IS NULL THEN -1 ELSE m.sequence END,"
    " m.request_revision, coalesce(h.updated, 0), m.created"
    " FROM comrade.member m LEFT JOIN comrade.heartbeat h ON h.cluster = m.cluster AND h.id = m.id"
    " WHERE m.cluster = " POSTGRES_CLUSTER " AND m.id = ANY ($3::text[]) ORDER BY m.id";
static const char specs_sql[] =
    "SELECT s.role, s.spec_version FROM comrade.role_spec s"
    " WHERE s.cluster = " POSTGRES_CLUSTER " AND s.role = ANY ($3::text[])";
static const char clock_sql[] = "SELECT " POSTGRES_NOW_MS;

/* The places of the answers. */
enum { CLUSTER_AT, MAKE_AT, LOCK_AT, HEARTBEATS_AT, RECORDS_AT, SPECS_AT, CLOCK_AT, N_STATEMENTS };

/* The roles, the ids, and those of the ids whose heartbeat must not move, or goes. */
static void list_names(const struct batch *batch, struct buffer *roles, struct buffer *ids,
                       struct buffer *still)
{
    for (size_t i = 0; i < batch->n_writes; i++) {
        const comrade_write *write = &batch->writes[i];
        array_append_text(roles, write->role);
        for (size_t j = 0; j < write->n_changes; j++) {
            const comrade_change *change = &write->changes[j];
            if (change->kind == COMRADE_PUT_SPEC) {
                continue;
            }
            array_append_text(ids, change->id);
            if (change_locks_heartbeat(change)) {
                array_append_text(still, change->id);
            }
        }
    }
    array_end(roles);
    array_end(ids);
    array_end(still);
}

static bool keep_roles(struct batch *batch)
{
    const PGresult *rows = batch->found.results[LOCK_AT];
    const PGresult *specs = batch->found.results[SPECS_AT];
    batch->roles = calloc((size_t)PQntuples(rows) + 1, sizeof *batch->roles);
    if (batch->roles == NULL) {
        return false;
    }
    for (int i = 0; i < PQntuples(rows); i++) {
        struct stored_role *role = &batch->roles[batch->n_roles++];
        role->name = result_text(rows, i, 0);
        role->revision = result_number(rows, i, 1);
        snprintf(role->recent, sizeof role->recent, "%s", result_text(rows, i, 2));
    }
    for (int i = 0; i < PQntuples(specs); i++) {
        struct stored_role *role = batch_role(batch, result_text(specs, i, 0));
        if (role != NULL) {
            role->spec_version = result_number(specs, i, 1);
        }
    }
    return true;
}

static bool keep_records(struct batch *batch)
{
    const PGresult *rows = batch->found.results[RECORDS_AT];
    batch->records = calloc((size_t)PQntuples(rows) + 1, sizeof *batch->records);
    if (batch->records == NULL) {
        return false;
    }
    for (int i = 0; i < PQntuples(rows); i++) {
        batch->records[batch->n_records++] = (struct stored_record){
            .id = result_text(rows, i, 0),
            .role = result_text(rows, i, 1),
            .heads = {.is_there = true,
                      .incarnation = result_number(rows, i, 2),
                      .sequence = result_number(rows, i, 3),
                      .request_revision = result_number(rows, i, 4),
                      .updated_ms = result_number(rows, i, 5),
                      .created_ms = result_number(rows, i, 6)},
        };
    }
    return true;
}

bool change_locks_heartbeat(const comrade_change *change)
{
    return change->kind == COMRADE_DELETE || change->expect_updated_ms != COMRADE_ANYTHING;
}

static int compare_role(const void *name, const void *role)
{
    return strcmp(name, ((const struct stored_role *)role)->name);
}

struct stored_role *batch_role(const struct batch *batch, const char *name)
{
    return bsearch(name, batch->roles, batch->n_roles, sizeof *batch->roles, compare_role);
}

static int compare_record(const void *id, const void *record)
{
    return strcmp(id, ((const struct stored_record *)record)->id);
}

struct stored_record *batch_record(const struct batch *batch, const char *id)
{
    return bsearch(id, batch->records, batch->n_records, sizeof *batch->records, compare_record);
}

comrade_status batch_find(struct batch *batch, const comrade_call *call, comrade_error *error)
{
    comrade_store *store = batch->store;
    struct buffer roles, ids, still;
    buffer_init(&roles, PARAMETER_LIMIT);
    buffer_init(&ids, PARAMETER_LIMIT);
    buffer_init(&still, PARAMETER_LIMIT);
    list_names(batch, &roles, &ids, &still);
    const char *space = store->name_space;
    const char *kind = store->kind;
    const struct statement statements[N_STATEMENTS] = {
        [CLUSTER_AT] = {make_cluster_sql, 2, {space, kind}},
        [MAKE_AT] = {make_roles_sql, 4, {space, kind, buffer_text(&roles), buffer_text(&ids)}},
        [LOCK_AT] = {lock_roles_sql, 4, {space, kind, buffer_text(&roles), buffer_text(&ids)}},
        [HEARTBEATS_AT] = {lock_heartbeats_sql, 3, {space, kind, buffer_text(&still)}},
        [RECORDS_AT] = {records_sql, 3, {space, kind, buffer_text(&ids)}},
        [SPECS_AT] = {specs_sql, 3, {space, kind, buffer_text(&roles)}},
        [CLOCK_AT] = {.sql = clock_sql},
    };
    comrade_status status = COMRADE_NO_MEMORY;
    if (!roles.is_failed && !ids.is_failed && !still.is_failed) {
        status = postgres_exchange(store, call, "write", TRANSACTION_BEGIN, statements,
                                   N_STATEMENTS, &batch->found, error);
    }
    if (status == COMRADE_OK) {
        batch->now_ms = result_number(batch->found.results[CLOCK_AT], 0, 0);
        batch->locked = batch->found.results[HEARTBEATS_AT];
        status = keep_roles(batch) && keep_records(batch) ? COMRADE_OK : COMRADE_NO_MEMORY;
    }
    if (status == COMRADE_NO_MEMORY) {
        comrade_error_set(error, status, "%s: write: out of memory", store->shown_url);
    }
    buffer_finish(&roles);
    buffer_finish(&ids);
    buffer_finish(&still);
    return status;
}
