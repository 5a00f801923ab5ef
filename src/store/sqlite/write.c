/*
 * Writes: a batch is one transaction that holds the write lock from its beginning, so that what is
 * judged cannot change before it is applied. Each write of it is judged whole, then applied whole.
 */
#include "core/stored.h"
#include "store/sqlite/internal.h"

#include <stdio.h>
#include <string.h>

enum { CHANGES_KEPT = 1024 };

/* What is stored of a member; key 0: nothing. */
struct stored_record {
    int64_t key;
    struct stored heads;
    char role[COMRADE_ROLE_MAX_BYTES + 1];
};

struct stored_role {
    int64_t revision;
    int64_t spec_version;
    char recent[RECENT_TEXT_SIZE];
};

static void bind_text(sqlite3_stmt *statement, int i, const char *text)
{
    sqlite3_bind_text(statement, i, text == NULL ? "" : text, -1, SQLITE_STATIC);
}

static int step_once(sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    sqlite3_reset(statement);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* --- What is there ---------------------------------------------------------------------------- */

static int read_stored(comrade_store *store, const char *id, struct stored_record *stored)
{
    sqlite3_stmt *find = sqlite_statement(store, STATEMENT_STORED);
    *stored = (struct stored_record){0};
    if (find == NULL) {
        return sqlite3_extended_errcode(store->database);
    }
    sqlite3_bind_int64(find, 1, store->cluster);
    bind_text(find, 2, id);
    int code = sqlite3_step(find);
    if (code == SQLITE_ROW) {
        stored->key = sqlite3_column_int64(find, 0);
        stored->heads = (struct stored){
            .is_there = true,
            .incarnation = sqlite3_column_int64(find, 1),
            .sequence = sqlite3_column_int64(find, 2),
            .request_revision = sqlite3_column_int64(find, 3),
            .updated_ms = sqlite3_column_int64(find, 4),
            .created_ms = sqlite3_column_int64(find, 5),
        };
        snprintf(stored->role, sizeof stored->role, "%s",
                 (const char *)sqlite3_column_text(find, 6));
    }
    sqlite3_reset(find);
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

static int read_role(comrade_store *store, const char *name, struct stored_role *role)
{
    sqlite3_stmt *find = sqlite_statement(store, STATEMENT_FIND_ROLE);
    memset(role, 0, sizeof *role);
    if (find == NULL) {
        return sqlite3_extended_errcode(store->database);
    }
    sqlite3_bind_int64(find, 1, store->cluster);
    bind_text(find, 2, name);
    int code = sqlite3_step(find);
    if (code == SQLITE_ROW) {
        role->revision = sqlite3_column_int64(find, 1);
        role->spec_version = sqlite3_column_int64(find, 2);
        const char *recent = (const char *)sqlite3_column_text(find, 4);
        snprintf(role->recent, sizeof role->recent, "%s", recent == NULL ? "" : recent);
    }
    sqlite3_reset(find);
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

/* --- Judging ---------------------------------------------------------------------------------- */

static int judge(comrade_store *store, const comrade_write *write, const struct stored_role *role,
                 comrade_status *verdict)
{
    *verdict =
        stored_is_expected(write->expect_revision, role->revision) ? COMRADE_OK : COMRADE_CONFLICT;
    for (size_t i = 0; i < write->n_changes && *verdict == COMRADE_OK; i++) {
        const comrade_change *change = &write->changes[i];
        if (change->kind == COMRADE_PUT_SPEC) {
            bool holds = stored_is_expected(change->expect_spec_version, role->spec_version);
            *verdict = holds ? COMRADE_OK : COMRADE_CONFLICT;
            continue;
        }
        struct stored_record stored;
        int code = read_stored(store, change->id, &stored);
        if (code != SQLITE_OK) {
            return code;
        }
        *verdict = stored_judge(change, &stored.heads);
    }
    return SQLITE_OK;
}

/* --- Applying --------------------------------------------------------------------------------- */

static int write_own(comrade_store *store, enum statement name, const comrade_write *write,
                     const comrade_change *change, int64_t created_ms)
{
    const comrade_own *own = change->own;
    sqlite3_stmt *put = sqlite_statement(store, name);
    if (put == NULL) {
        return sqlite3_extended_errcode(store->database);
    }
    sqlite3_bind_int64(put, 1, store->cluster);
    bind_text(put, 2, change->id);
    bind_text(put, 3, write->role);
    sqlite3_bind_int64(put, 4, own->incarnation);
    sqlite3_bind_int64(put, 5, own->sequence);
    bind_text(put, 6, comrade_state_name(own->state));
    sqlite3_bind_int(put, 7, own->is_alive);
    sqlite3_bind_int(put, 8, own->is_available);
    sqlite3_bind_int64(put, 9, created_ms);
    sqlite3_bind_int64(put, 10, own->pid);
    bind_text(put, 11, own->host);
    bind_text(put, 12, own->version);
    bind_text(put, 13, own->metadata);
    bind_text(put, 14, own->details);
    return step_once(put);
}

static int put_role(comrade_store *store, const char *role, int64_t revision, const char *recent)
{
    sqlite3_stmt *put = sqlite_statement(store, STATEMENT_PUT_ROLE);
    if (put == NULL) {
        return sqlite3_extended_errcode(store->database);
    }
    sqlite3_bind_int64(put, 1, store->cluster);
    bind_text(put, 2, role);
    sqlite3_bind_int64(put, 3, revision);
    bind_text(put, 4, recent);
    return step_once(put);
}

/* The role that a record leaves is changed as well: who looks at it page by page must see it. */
static int leave_role(comrade_store *store, const char *left, int64_t now_ms)
{
    struct stored_role role;
    int code = read_role(store, left, &role);
    return code == SQLITE_OK
               ? put_role(store, left, stored_mint(role.revision, now_ms), role.recent)
               : code;
}

static int put_own(comrade_store *store, const comrade_write *write, const comrade_change *change,
                   int64_t now_ms)
{
    const comrade_own *own = change->own;
    struct stored_record stored;
    int code = read_stored(store, change->id, &stored);
    if (code != SQLITE_OK || !stored_apply_own(own, now_ms, &stored.heads)) {
        return code;
    }
    int64_t created_ms = stored.heads.created_ms;
    if (stored.key == 0) {
        code = write_own(store, STATEMENT_INSERT_OWN, write, change, created_ms);
        const int64_t heads[] = {sqlite3_last_insert_rowid(store->database), now_ms,
                                 own->incarnation, own->sequence};
        return code == SQLITE_OK ? sqlite_run(store, STATEMENT_INSERT_HEARTBEAT, heads, 4) : code;
    }
    if (strcmp(stored.role, write->role) != 0) {
        code = leave_role(store, stored.role, now_ms);
    }
    if (code == SQLITE_OK) {
        code = write_own(store, STATEMENT_UPDATE_OWN, write, change, created_ms);
    }
    const int64_t heads[] = {stored.key, stored.heads.updated_ms, own->incarnation, own->sequence};
    return code == SQLITE_OK ? sqlite_run(store, STATEMENT_OWN_HEADS, heads, 4) : code;
}

static int put_request(comrade_store *store, const comrade_change *change, int64_t now_ms)
{
    const comrade_request *request = change->request;
    struct stored_record stored;
    int code = read_stored(store, change->id, &stored);
    sqlite3_stmt *put = code == SQLITE_OK ? sqlite_statement(store, STATEMENT_PUT_REQUEST) : NULL;
    if (put == NULL) {
        return code != SQLITE_OK ? code : sqlite3_extended_errcode(store->database);
    }
    int64_t revision = stored_mint(stored.heads.request_revision, now_ms);
    sqlite3_bind_int64(put, 1, stored.key);
    sqlite3_bind_int64(put, 2, revision);
    sqlite3_bind_int(put, 3, (int)request->kind);
    sqlite3_bind_int64(put, 4, request->incarnation);
    sqlite3_bind_int64(put, 5, request->zombified_incarnation);
    sqlite3_bind_int64(put, 6, request->requested_ms == 0 ? now_ms : request->requested_ms);
    bind_text(put, 7, request->request_id);
    bind_text(put, 8, request->user);
    bind_text(put, 9, request->host);
    bind_text(put, 10, request->reason);
    code = step_once(put);
    const int64_t head[] = {stored.key, revision};
    return code == SQLITE_OK ? sqlite_run(store, STATEMENT_REQUEST_HEAD, head, 2) : code;
}

static int put_spec(comrade_store *store, const comrade_write *write, const comrade_change *change,
                    int64_t now_ms)
{
    sqlite3_stmt *put = sqlite_statement(store, STATEMENT_PUT_SPEC);
    if (put == NULL) {
        return sqlite3_extended_errcode(store->database);
    }
    sqlite3_bind_int64(put, 1, store->cluster);
    bind_text(put, 2, write->role);
    sqlite3_bind_int64(put, 3, change->spec_version);
    bind_text(put, 4, change->spec);
    int code = step_once(put);
    const int64_t bump[] = {store->cluster, now_ms * 1000};
    return code == SQLITE_OK ? sqlite_run(store, STATEMENT_BUMP_SPECS, bump, 2) : code;
}

static int delete_member(comrade_store *store, const comrade_change *change)
{
    struct stored_record stored;
    int code = read_stored(store, change->id, &stored);
    if (code == SQLITE_OK && stored.key != 0) {
        code = sqlite_run(store, STATEMENT_DELETE_HEARTBEAT, &stored.key, 1);
    }
    if (code == SQLITE_OK && stored.key != 0) {
        code = sqlite_run(store, STATEMENT_DELETE_MEMBER, &stored.key, 1);
    }
    return code;
}

static int apply(comrade_store *store, const comrade_write *write, const comrade_change *change,
                 int64_t now_ms)
{
    switch (change->kind) {
    case COMRADE_PUT_OWN:
        return put_own(store, write, change, now_ms);
    case COMRADE_PUT_REQUEST:
        return put_request(store, change, now_ms);
    case COMRADE_PUT_SPEC:
        return put_spec(store, write, change, now_ms);
    case COMRADE_DELETE:
        return delete_member(store, change);
    }
    return SQLITE_MISUSE;
}

static int bump_role(comrade_store *store, const comrade_write *write,
                     const struct stored_role *role, int64_t revision)
{
    char recent[RECENT_TEXT_SIZE];
    memcpy(recent, role->recent, sizeof recent);
    if (write->request_id != NULL) {
        recent_text_add(recent, write->request_id);
    }
    return put_role(store, write->role, revision, recent);
}

static int announce(comrade_store *store, const comrade_write *write, const comrade_change *change,
                    int64_t now_ms)
{
    sqlite3_stmt *add = sqlite_statement(store, STATEMENT_ADD_CHANGE);
    if (add == NULL) {
        return sqlite3_extended_errcode(store->database);
    }
    sqlite3_bind_int64(add, 1, now_ms);
    sqlite3_bind_int64(add, 2, store->cluster);
    bind_text(add, 3, write->role);
    bind_text(add, 4, change->kind == COMRADE_PUT_SPEC ? "" : change->id);
    int code = step_once(add);
    int64_t oldest = sqlite3_last_insert_rowid(store->database) - CHANGES_KEPT;
    return code == SQLITE_OK ? sqlite_run(store, STATEMENT_TRIM_CHANGES, &oldest, 1) : code;
}

static int write_one(comrade_store *store, const comrade_write *write, int64_t now_ms,
                     comrade_write_result *result)
{
    struct stored_role role;
    *result = (comrade_write_result){.status = COMRADE_OK};
    int code = read_role(store, write->role, &role);
    if (code == SQLITE_OK) {
        code = judge(store, write, &role, &result->status);
    }
    if (code != SQLITE_OK || result->status != COMRADE_OK) {
        return code;
    }
    for (size_t i = 0; i < write->n_changes && code == SQLITE_OK; i++) {
        code = apply(store, write, &write->changes[i], now_ms);
        if (code == SQLITE_OK) {
            code = announce(store, write, &write->changes[i], now_ms);
        }
    }
    result->revision = stored_mint(role.revision, now_ms);
    result->now_ms = now_ms;
    return code == SQLITE_OK ? bump_role(store, write, &role, result->revision) : code;
}

/* --- The batch -------------------------------------------------------------------------------- */

/* What people ask for must outlive a power cut; what members say of themselves they say again. */
static bool must_be_durable(const comrade_write *writes, size_t n_writes)
{
    for (size_t i = 0; i < n_writes; i++) {
        for (size_t j = 0; j < writes[i].n_changes; j++) {
            if (writes[i].changes[j].kind != COMRADE_PUT_OWN) {
                return true;
            }
        }
    }
    return false;
}

static int commit(comrade_store *store, comrade_status *status, comrade_error *error)
{
    int code = sqlite_run(store, STATEMENT_COMMIT, NULL, 0);
    if ((code & 0xff) == SQLITE_IOERR) {
        *status = comrade_error_set(error, COMRADE_UNKNOWN,
                                    "%s: an I/O error while writing (%s); it may have been applied",
                                    store->shown_url, sqlite3_errmsg(store->database));
        sqlite_roll_back(store);
        sqlite_drop(store);
    }
    return code;
}

comrade_status sqlite_write(comrade_store *store, const comrade_call *call,
                            const comrade_write *writes, size_t n_writes,
                            comrade_write_result *results, comrade_error *error)
{
    comrade_status status = sqlite_use(store, call, error);
    if (status == COMRADE_OK && store->is_read_only) {
        /* The next call looks whether it may by then. */
        status = sqlite_fail(store, SQLITE_READONLY, "write", error);
    }
    if (status != COMRADE_OK) {
        sqlite_release(store);
        return status;
    }
    int64_t specs_revision;
    int code = sqlite_set_durable(store, must_be_durable(writes, n_writes));
    if (code == SQLITE_OK) {
        code = sqlite_begin(store, STATEMENT_BEGIN_WRITE, &specs_revision);
    }
    int64_t now_ms = sqlite_now_ms(store);
    for (size_t i = 0; i < n_writes && code == SQLITE_OK; i++) {
        code = write_one(store, &writes[i], now_ms, &results[i]);
    }
    if (code == SQLITE_OK) {
        code = commit(store, &status, error);
    }
    if (code == SQLITE_OK) {
        sqlite_notify(store);
    } else if (status == COMRADE_OK) {
        status = sqlite_fail(store, code, "write", error);
    }
    sqlite_release(store);
    return status;
}
