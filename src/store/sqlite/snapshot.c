/* Snapshots: one read transaction a page, in the order of the index by role. */
#include "core/stored.h"
#include "store/sqlite/internal.h"

#include <stdio.h>
#include <string.h>

static const char *text_at(sqlite3_stmt *row, int i)
{
    const char *text = (const char *)sqlite3_column_text(row, i);
    return text == NULL ? "" : text;
}

/* --- Roles ------------------------------------------------------------------------------------ */

static comrade_status tell_role_row(sqlite3_stmt *row, const comrade_snapshot_sink *sink)
{
    char recent[RECENT_TEXT_SIZE];
    const char *ids[COMRADE_RECENT_REQUESTS];
    comrade_role role = {
        .role = text_at(row, 0),
        .revision = sqlite3_column_int64(row, 1),
        .spec_version = sqlite3_column_int64(row, 2),
        .spec = text_at(row, 3),
        .recent_request_ids = ids,
    };
    snprintf(recent, sizeof recent, "%s", text_at(row, 4));
    role.n_recent_request_ids = recent_text_split(recent, ids);
    return sink->on_role(sink->user, &role);
}

static comrade_status tell_unwritten(const char *name, const comrade_snapshot_sink *sink)
{
    comrade_role role = {.role = name, .spec = "{}"};
    return sink->on_role(sink->user, &role);
}

/* One role, or all of them where `name` is NULL. */
static int tell_roles(comrade_store *store, const char *name, const comrade_snapshot_sink *sink,
                      comrade_status *status)
{
    sqlite3_stmt *find =
        sqlite_statement(store, name == NULL ? STATEMENT_ALL_ROLES : STATEMENT_FIND_ROLE);
    if (find == NULL) {
        return sqlite3_extended_errcode(store->database);
    }
    sqlite3_bind_int64(find, 1, store->cluster);
    if (name != NULL) {
        sqlite3_bind_text(find, 2, name, -1, SQLITE_STATIC);
    }
    size_t n_told = 0;
    int code;
    while ((code = sqlite3_step(find)) == SQLITE_ROW && *status == COMRADE_OK) {
        *status = tell_role_row(find, sink);
        n_told++;
    }
    sqlite3_reset(find);
    if (code == SQLITE_DONE && name != NULL && n_told == 0) {
        *status = tell_unwritten(name, sink);
    }
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

/* --- Members ---------------------------------------------------------------------------------- */

static comrade_record record_of(sqlite3_stmt *row)
{
    return (comrade_record){
        .id = text_at(row, 0),
        .role = text_at(row, 1),
        .own = {.incarnation = sqlite3_column_int64(row, 2),
                .sequence = sqlite3_column_int64(row, 3),
                .state = stored_state(text_at(row, 4)),
                .is_alive = sqlite3_column_int(row, 5) != 0,
                .is_available = sqlite3_column_int(row, 6) != 0,
                .created_ms = sqlite3_column_int64(row, 7),
                .pid = sqlite3_column_int64(row, 8),
                .host = text_at(row, 9),
                .version = text_at(row, 10),
                .metadata = text_at(row, 11),
                .details = text_at(row, 12)},
        .request = {.revision = sqlite3_column_int64(row, 13),
                    .kind = (comrade_request_kind)sqlite3_column_int(row, 14),
                    .incarnation = sqlite3_column_int64(row, 15),
                    .zombified_incarnation = sqlite3_column_int64(row, 16),
                    .requested_ms = sqlite3_column_int64(row, 17),
                    .request_id = text_at(row, 18),
                    .user = text_at(row, 19),
                    .host = text_at(row, 20),
                    .database_user = "",
                    .reason = text_at(row, 21)},
        .updated_ms = sqlite3_column_int64(row, 22),
    };
}

static void remember_place(comrade_snapshot_page *page, const comrade_record *record)
{
    page->next.is_continued = true;
    snprintf(page->next.id, sizeof page->next.id, "%s", record->id);
    snprintf(page->next.role, sizeof page->next.role, "%s", record->role);
}

/* One row more than the limit is asked for: that there is one says that there are more pages. */
static int tell_members(comrade_store *store, const comrade_snapshot_query *query,
                        const comrade_cursor *from, const comrade_snapshot_sink *sink,
                        comrade_snapshot_page *page, comrade_status *status)
{
    bool is_role = query->scope == COMRADE_SCOPE_ROLE;
    sqlite3_stmt *list =
        sqlite_statement(store, is_role ? STATEMENT_SNAPSHOT_ROLE : STATEMENT_SNAPSHOT_ALL);
    if (list == NULL) {
        return sqlite3_extended_errcode(store->database);
    }
    bool is_continued = from != NULL && from->is_continued;
    const char *from_role = is_continued ? from->role : "";
    sqlite3_bind_int64(list, 1, store->cluster);
    sqlite3_bind_text(list, 2, is_role ? query->role : from_role, -1, SQLITE_STATIC);
    sqlite3_bind_text(list, 3, is_continued ? from->id : "", -1, SQLITE_STATIC);
    sqlite3_bind_int64(list, 4, (int64_t)query->limit + 1);
    size_t n_told = 0;
    int code;
    while ((code = sqlite3_step(list)) == SQLITE_ROW && *status == COMRADE_OK) {
        if (n_told == query->limit) {
            page->has_more = true;
            code = SQLITE_DONE;
            break;
        }
        comrade_record record = record_of(list);
        *status = sink->on_record(sink->user, &record);
        n_told++;
        if (n_told == query->limit) {
            remember_place(page, &record);
        }
    }
    sqlite3_reset(list);
    if (!page->has_more) {
        page->next.is_continued = false;
    }
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

/* The query's nth id; its role first, unless it is the one told last. */
static int tell_id(comrade_store *store, const comrade_snapshot_query *query, size_t n,
                   char last_role[COMRADE_ROLE_MAX_BYTES + 1], const comrade_snapshot_sink *sink,
                   comrade_status *status)
{
    sqlite3_stmt *find = sqlite_statement(store, STATEMENT_SNAPSHOT_ID);
    if (find == NULL) {
        return sqlite3_extended_errcode(store->database);
    }
    sqlite3_bind_int64(find, 1, store->cluster);
    sqlite3_bind_text(find, 2, query->ids[n], -1, SQLITE_STATIC);
    int code = sqlite3_step(find);
    if (code == SQLITE_ROW) {
        comrade_record record = record_of(find);
        code = SQLITE_OK;
        if (strcmp(last_role, record.role) != 0) {
            snprintf(last_role, COMRADE_ROLE_MAX_BYTES + 1, "%s", record.role);
            code = tell_roles(store, last_role, sink, status);
        }
        if (code == SQLITE_OK && *status == COMRADE_OK && !query->roles_only) {
            *status = sink->on_record(sink->user, &record);
        }
    }
    sqlite3_reset(find);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int tell_ids(comrade_store *store, const comrade_snapshot_query *query,
                    const comrade_cursor *from, const comrade_snapshot_sink *sink,
                    comrade_snapshot_page *page, comrade_status *status)
{
    char last_role[COMRADE_ROLE_MAX_BYTES + 1] = "";
    bool is_continued = from != NULL && from->is_continued;
    int code = SQLITE_OK;
    size_t n_tried = 0;
    for (size_t i = 0; i < query->n_ids && code == SQLITE_OK && *status == COMRADE_OK; i++) {
        if (is_continued && strcmp(query->ids[i], from->id) <= 0) {
            continue;
        }
        if (n_tried++ == query->limit) {
            page->has_more = true;
            break;
        }
        code = tell_id(store, query, i, last_role, sink, status);
        page->next.is_continued = true;
        snprintf(page->next.id, sizeof page->next.id, "%s", query->ids[i]);
    }
    return code;
}

static int tell(comrade_store *store, const comrade_snapshot_query *query,
                const comrade_cursor *from, const comrade_snapshot_sink *sink,
                comrade_snapshot_page *page, comrade_status *status)
{
    if (query->scope == COMRADE_SCOPE_IDS) {
        return tell_ids(store, query, from, sink, page, status);
    }
    const char *role = query->scope == COMRADE_SCOPE_ROLE ? query->role : NULL;
    int code = tell_roles(store, role, sink, status);
    if (code == SQLITE_OK && *status == COMRADE_OK && !query->roles_only) {
        code = tell_members(store, query, from, sink, page, status);
    }
    return code;
}

comrade_status sqlite_snapshot(comrade_store *store, const comrade_call *call,
                               const comrade_snapshot_query *query, const comrade_cursor *from,
                               const comrade_snapshot_sink *sink, comrade_snapshot_page *page,
                               comrade_error *error)
{
    comrade_snapshot_page made = {0};
    comrade_status status = sqlite_use(store, call, error);
    if (status != COMRADE_OK) {
        sqlite_release(store);
        return status;
    }
    int64_t specs_revision;
    int code = sqlite_begin(store, STATEMENT_BEGIN_READ, &specs_revision);
    if (code == SQLITE_OK) {
        code = tell(store, query, from, sink, &made, &status);
    }
    made.now_ms = sqlite_now_ms(store);
    if (code == SQLITE_OK) {
        code = sqlite_run(store, STATEMENT_COMMIT, NULL, 0);
    }
    if (code != SQLITE_OK) {
        status = sqlite_fail(store, code, "read", error);
    } else if (status != COMRADE_OK) {
        comrade_error_set(error, status, "%s: read: %s", store->shown_url,
                          comrade_status_text(status));
    } else {
        *page = made;
    }
    sqlite_roll_back(store);
    sqlite_release(store);
    return status;
}
