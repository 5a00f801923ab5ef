/* Snapshots: one transaction a page that sees one moment, in one round trip. */
#include "core/stored.h"
#include "store/postgres/internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { PARAMETER_LIMIT = 16 * 1024 * 1024 };

#define ROLES                                                                                      \
    "SELECT r.role, r.revision, coalesce(s.spec_version, 0), coalesce(s.spec, '{}'), r.recent"     \
    " FROM comrade.role r"                                                                         \
    " LEFT JOIN comrade.role_spec s ON s.cluster = r.cluster AND s.role = r.role"                  \
    " WHERE r.cluster = " POSTGRES_CLUSTER
/* Most members have never been asked for anything: one column that is null costs less than ten. */
#define REQUEST                                                                                    \
    "CASE WHEN m.request_revision <> 0 THEN json_build_array(m.request_revision, m.request_kind,"  \
    " m.request_incarnation, m.zombified_incarnation, m.requested, m.request_id, m.request_user,"  \
    " m.request_host, m.request_database_user, m.request_reason) END"
#define MEMBERS                                                                                    \
    "SELECT m.id, m.role, m.incarnation, m.sequence, m.state, m.is_alive, m.is_available,"         \
    " m.created, m.pid, m.host, m.version, m.metadata, m.details, h.updated, " REQUEST             \
    " FROM comrade.member m JOIN comrade.heartbeat h ON h.cluster = m.cluster AND h.id = m.id"     \
    " WHERE m.cluster = " POSTGRES_CLUSTER

/* A role that is only locked has revision 0, and was never written. */
static const char all_roles_sql[] = ROLES " AND r.revision > 0 ORDER BY r.role";
static const char one_role_sql[] = ROLES " AND r.revision > 0 AND r.role = $3";
static const char roles_of_ids_sql[] =
    ROLES " AND r.role IN (SELECT m.role FROM comrade.member m"
          "  WHERE m.cluster = " POSTGRES_CLUSTER " AND m.id = ANY ($3::text[]))";
static const char all_members_sql[] =
    MEMBERS " AND (m.role, m.id) > ($3, $4) ORDER BY m.role, m.id LIMIT $5::bigint";
static const char members_of_role_sql[] =
    MEMBERS " AND m.role = $3 AND m.id > $4 ORDER BY m.id LIMIT $5::bigint";
static const char members_by_id_sql[] =
    MEMBERS " AND m.id = ANY ($3::text[]) AND m.id > $4 ORDER BY m.id LIMIT $5::bigint";
static const char clock_sql[] = "SELECT " POSTGRES_NOW_MS;

/* The places of the answers, and of a member's request in them. */
enum { ROLES_AT, CLOCK_AT, MEMBERS_AT };
enum { REQUEST_COLUMN = 14 };

/* --- Telling -----------------------------------------------------------------------------------
 */

static comrade_status tell_role(const PGresult *rows, int row, const comrade_snapshot_sink *sink)
{
    char recent[RECENT_TEXT_SIZE];
    const char *ids[COMRADE_RECENT_REQUESTS];
    comrade_role role = {
        .role = result_text(rows, row, 0),
        .revision = result_number(rows, row, 1),
        .spec_version = result_number(rows, row, 2),
        .spec = result_text(rows, row, 3),
        .recent_request_ids = ids,
    };
    snprintf(recent, sizeof recent, "%s", result_text(rows, row, 4));
    role.n_recent_request_ids = recent_text_split(recent, ids);
    return sink->on_role(sink->user, &role);
}

static comrade_status tell_roles(const PGresult *rows, const comrade_snapshot_query *query,
                                 const comrade_snapshot_sink *sink)
{
    comrade_status status = COMRADE_OK;
    for (int i = 0; i < PQntuples(rows) && status == COMRADE_OK; i++) {
        status = tell_role(rows, i, sink);
    }
    if (status == COMRADE_OK && query->scope == COMRADE_SCOPE_ROLE && PQntuples(rows) == 0) {
        comrade_role unwritten = {.role = query->role, .spec = "{}"};
        status = sink->on_role(sink->user, &unwritten);
    }
    return status;
}

static const comrade_request no_request = {
    .request_id = "", .user = "", .host = "", .database_user = "", .reason = ""};

static comrade_record record_at(const PGresult *rows, int row)
{
    return (comrade_record){
        .id = result_text(rows, row, 0),
        .role = result_text(rows, row, 1),
        .own = {.incarnation = result_number(rows, row, 2),
                .sequence = result_number(rows, row, 3),
                .state = stored_state(result_text(rows, row, 4)),
                .is_alive = result_is_true(rows, row, 5),
                .is_available = result_is_true(rows, row, 6),
                .created_ms = result_number(rows, row, 7),
                .pid = result_number(rows, row, 8),
                .host = result_text(rows, row, 9),
                .version = result_text(rows, row, 10),
                .metadata = result_text(rows, row, 11),
                .details = result_text(rows, row, 12)},
        .request = no_request,
        .updated_ms = result_number(rows, row, 13),
    };
}

/* `fields` holds the texts. */
static bool read_request(json_t *fields, comrade_request *request)
{
    json_int_t revision, kind, incarnation, zombified, requested;
    if (json_unpack(fields, "[I,I,I,I,I,s,s,s,s,s]", &revision, &kind, &incarnation, &zombified,
                    &requested, &request->request_id, &request->user, &request->host,
                    &request->database_user, &request->reason) != 0) {
        return false;
    }
    request->revision = revision;
    request->kind = (comrade_request_kind)kind;
    request->incarnation = incarnation;
    request->zombified_incarnation = zombified;
    request->requested_ms = requested;
    return true;
}

static comrade_status tell_member(const PGresult *rows, int row, const comrade_snapshot_sink *sink)
{
    comrade_record record = record_at(rows, row);
    if (PQgetisnull(rows, row, REQUEST_COLUMN) != 0) {
        return sink->on_record(sink->user, &record);
    }
    json_t *fields = json_loads(result_text(rows, row, REQUEST_COLUMN), 0, NULL);
    comrade_status status = COMRADE_NO_MEMORY;
    if (fields != NULL && read_request(fields, &record.request)) {
        status = sink->on_record(sink->user, &record);
    }
    json_decref(fields);
    return status;
}

/* One more than the limit was asked for: that there is one says that there are more pages. */
static comrade_status tell_members(const PGresult *rows, size_t limit,
                                   const comrade_snapshot_sink *sink, comrade_snapshot_page *page)
{
    comrade_status status = COMRADE_OK;
    size_t n_found = (size_t)PQntuples(rows);
    page->has_more = n_found > limit;
    size_t n = page->has_more ? limit : n_found;
    for (size_t i = 0; i < n && status == COMRADE_OK; i++) {
        status = tell_member(rows, (int)i, sink);
    }
    if (page->has_more && n > 0) {
        page->next.is_continued = true;
        snprintf(page->next.id, sizeof page->next.id, "%s", result_text(rows, (int)n - 1, 0));
        snprintf(page->next.role, sizeof page->next.role, "%s", result_text(rows, (int)n - 1, 1));
    }
    return status;
}

static comrade_status tell(const struct answers *answers, const comrade_snapshot_query *query,
                           const comrade_snapshot_sink *sink, comrade_snapshot_page *page)
{
    page->now_ms = result_number(answers->results[CLOCK_AT], 0, 0);
    comrade_status status = tell_roles(answers->results[ROLES_AT], query, sink);
    if (status == COMRADE_OK && !query->roles_only) {
        status = tell_members(answers->results[MEMBERS_AT], query->limit, sink, page);
    }
    return status;
}

/* --- Asking ------------------------------------------------------------------------------------
 */

/* Fills in the statements of one page. Returns how many. `ids` and `limit` are borrowed. */
static size_t plan_page(const comrade_store *store, const comrade_snapshot_query *query,
                        const comrade_cursor *from, const char *ids, const char *limit,
                        struct statement *statements)
{
    bool is_continued = from != NULL && from->is_continued;
    const char *from_id = is_continued ? from->id : "";
    const char *from_role = is_continued ? from->role : "";
    const char *space = store->name_space;
    const char *kind = store->kind;
    struct statement roles = {all_roles_sql, 2, {space, kind}};
    struct statement members = {all_members_sql, 5, {space, kind, from_role, from_id, limit}};
    if (query->scope == COMRADE_SCOPE_ROLE) {
        roles = (struct statement){one_role_sql, 3, {space, kind, query->role}};
        members =
            (struct statement){members_of_role_sql, 5, {space, kind, query->role, from_id, limit}};
    } else if (query->scope == COMRADE_SCOPE_IDS) {
        roles = (struct statement){roles_of_ids_sql, 3, {space, kind, ids}};
        members = (struct statement){members_by_id_sql, 5, {space, kind, ids, from_id, limit}};
    }
    size_t n = 0;
    statements[n++] = roles;
    statements[n++] = (struct statement){.sql = clock_sql};
    if (!query->roles_only) {
        statements[n++] = members;
    }
    return n;
}

comrade_status postgres_snapshot(comrade_store *store, const comrade_call *call,
                                 const comrade_snapshot_query *query, const comrade_cursor *from,
                                 const comrade_snapshot_sink *sink, comrade_snapshot_page *page,
                                 comrade_error *error)
{
    enum { STATEMENTS_MAX = 3 };
    struct statement statements[STATEMENTS_MAX];
    struct answers answers = {0};
    comrade_snapshot_page made = {0};
    char limit[32];
    struct buffer ids;
    buffer_init(&ids, PARAMETER_LIMIT);
    for (size_t i = 0; query->scope == COMRADE_SCOPE_IDS && i < query->n_ids; i++) {
        array_append_text(&ids, query->ids[i]);
    }
    array_end(&ids);
    snprintf(limit, sizeof limit, "%" PRIu64, (uint64_t)query->limit + 1);
    size_t n = plan_page(store, query, from, buffer_text(&ids), limit, statements);
    comrade_status status = ids.is_failed
                                ? comrade_error_set(error, COMRADE_NO_MEMORY,
                                                    "%s: read: out of memory", store->shown_url)
                                : postgres_transact(store, call, "read", TRANSACTION_READ,
                                                    statements, n, &answers, error);
    if (status == COMRADE_OK) {
        status = tell(&answers, query, sink, &made);
        if (status == COMRADE_OK) {
            *page = made;
        } else {
            comrade_error_set(error, status, "%s: read: %s", store->shown_url,
                              comrade_status_text(status));
        }
    }
    answers_finish(&answers);
    buffer_finish(&ids);
    return status;
}
