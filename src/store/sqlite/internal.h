/* What the files of this folder share. */
#ifndef SQLITE_INTERNAL_H
#define SQLITE_INTERNAL_H

#include "store/sqlite/sqlite.h"

#include <sqlite3.h>
#include <sys/types.h>

/* What is in application_id of every Comrade database: "Comr". */
#define SQLITE_APPLICATION_ID 0x436f6d72
/* Raised with every migration; see schema.c. */
#define SQLITE_SCHEMA_VERSION 1

/* To add one: a row here. Prepared when first used, kept until the connection is closed. */
#define STATEMENT_MAP(X)                                                                           \
    X(BEGIN_WRITE, "BEGIN IMMEDIATE")                                                              \
    X(BEGIN_READ, "BEGIN")                                                                         \
    X(COMMIT, "COMMIT")                                                                            \
    X(ROLLBACK, "ROLLBACK")                                                                        \
    X(HEADS, "SELECT h.key, h.incarnation, h.own_sequence, h.request_revision FROM member m "      \
             "JOIN heartbeat h ON h.key = m.key WHERE m.cluster = ?1 AND m.id = ?2")               \
    X(BEAT, "UPDATE heartbeat SET updated = ?2 WHERE key = ?1")                                    \
    X(LAST_CHANGE, "SELECT sequence, written FROM change ORDER BY sequence DESC LIMIT 1")          \
    X(FIND_CLUSTER, "SELECT specs_revision FROM cluster "                                          \
                    "WHERE id = ?1 AND namespace = ?2 AND kind = ?3")                              \
    X(FIND_ROLE, "SELECT role, revision, spec_version, spec, recent FROM role "                    \
                 "WHERE cluster = ?1 AND role = ?2")                                               \
    X(ALL_ROLES, "SELECT role, revision, spec_version, spec, recent FROM role "                    \
                 "WHERE cluster = ?1 ORDER BY role")                                               \
    X(PUT_ROLE, "INSERT INTO role (cluster, role, revision, spec_version, spec, recent) "          \
                "VALUES (?1, ?2, ?3, 0, '{}', ?4) ON CONFLICT (cluster, role) "                    \
                "DO UPDATE SET revision = excluded.revision, recent = excluded.recent")            \
    X(PUT_SPEC, "INSERT INTO role (cluster, role, revision, spec_version, spec, recent) "          \
                "VALUES (?1, ?2, 0, ?3, ?4, '') ON CONFLICT (cluster, role) "                      \
                "DO UPDATE SET spec_version = excluded.spec_version, spec = excluded.spec")        \
    X(BUMP_SPECS, "UPDATE cluster SET specs_revision = max(specs_revision + 1, ?2) WHERE id = ?1") \
    X(STORED,                                                                                      \
      "SELECT m.key, m.incarnation, m.sequence, m.request_revision, h.updated, m.created, m.role " \
      "FROM member m JOIN heartbeat h ON h.key = m.key WHERE m.cluster = ?1 AND m.id = ?2")        \
    X(INSERT_OWN,                                                                                  \
      "INSERT INTO member (cluster, id, role, incarnation, sequence, state, is_alive, "            \
      "is_available, created, pid, host, version, metadata, details) "                             \
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)")                      \
    X(UPDATE_OWN,                                                                                  \
      "UPDATE member SET role = ?3, incarnation = ?4, sequence = ?5, state = ?6, is_alive = ?7, "  \
      "is_available = ?8, created = ?9, pid = ?10, host = ?11, version = ?12, metadata = ?13, "    \
      "details = ?14 WHERE cluster = ?1 AND id = ?2")                                              \
    X(INSERT_HEARTBEAT,                                                                            \
      "INSERT INTO heartbeat (key, updated, incarnation, own_sequence, request_revision) "         \
      "VALUES (?1, ?2, ?3, ?4, 0)")                                                                \
    X(OWN_HEADS,                                                                                   \
      "UPDATE heartbeat SET updated = ?2, incarnation = ?3, own_sequence = ?4 WHERE key = ?1")     \
    X(PUT_REQUEST,                                                                                 \
      "UPDATE member SET request_revision = ?2, request_kind = ?3, request_incarnation = ?4, "     \
      "zombified_incarnation = ?5, requested = ?6, request_id = ?7, request_user = ?8, "           \
      "request_host = ?9, request_reason = ?10 WHERE key = ?1")                                    \
    X(REQUEST_HEAD, "UPDATE heartbeat SET request_revision = ?2 WHERE key = ?1")                   \
    X(DELETE_HEARTBEAT, "DELETE FROM heartbeat WHERE key = ?1")                                    \
    X(DELETE_MEMBER, "DELETE FROM member WHERE key = ?1")                                          \
    X(ADD_CHANGE, "INSERT INTO change (written, cluster, role, id) VALUES (?1, ?2, ?3, ?4)")       \
    X(TRIM_CHANGES, "DELETE FROM change WHERE sequence <= ?1")                                     \
    X(CHANGES, "SELECT sequence, written, cluster, role, id FROM change WHERE sequence >= ?1 "     \
               "ORDER BY sequence")                                                                \
    X(SNAPSHOT_ALL, SNAPSHOT_COLUMNS "AND (m.role, m.id) > (?2, ?3) " SNAPSHOT_ORDER "LIMIT ?4")   \
    X(SNAPSHOT_ROLE, SNAPSHOT_COLUMNS "AND m.role = ?2 AND m.id > ?3 " SNAPSHOT_ORDER "LIMIT ?4")  \
    X(SNAPSHOT_ID, SNAPSHOT_COLUMNS "AND m.id = ?2")

#define SNAPSHOT_COLUMNS                                                                           \
    "SELECT m.id, m.role, m.incarnation, m.sequence, m.state, m.is_alive, m.is_available, "        \
    "m.created, m.pid, m.host, m.version, m.metadata, m.details, m.request_revision, "             \
    "m.request_kind, m.request_incarnation, m.zombified_incarnation, m.requested, m.request_id, "  \
    "m.request_user, m.request_host, m.request_reason, h.updated "                                 \
    "FROM member m JOIN heartbeat h ON h.key = m.key WHERE m.cluster = ?1 "
#define SNAPSHOT_ORDER "ORDER BY m.role, m.id "

enum statement {
#define STATEMENT_ENUM(name, sql) STATEMENT_##name,
    STATEMENT_MAP(STATEMENT_ENUM)
#undef STATEMENT_ENUM
        N_STATEMENTS
};

/* What the last heartbeat batch found of a member; true as long as nothing was written since. */
struct known_heads {
    char *id; /* NULL: nothing is known */
    int64_t key;
    int64_t incarnation;
    int64_t own_sequence;
    int64_t request_revision;
};

/*
 * A place in the change table. The time tells a row from the one of the same number that is
 * written after a backup has been put back.
 */
struct change_mark {
    int64_t sequence; /* 0: the table was empty; -1: not known */
    int64_t written_ms;
};

/* A file of SQLite's beside the database: -wal, -shm. */
enum { N_BESIDE = 2 };
struct beside {
    char *path;
    ino_t inode; /* of the one that is open; 0: not known */
};

struct comrade_store {
    char *path; /* absolute, as named: it may lead over symbolic links */
    char *shown_url;
    char *name_space;
    char *kind;
    int64_t (*wall_ms)(void *clock);
    void *clock;
    bool must_exist;
    const comrade_call *call; /* the one under way: the busy handler asks it */

    sqlite3 *database; /* NULL: to be opened by the next call */
    bool was_open;     /* it is opened again: there may be watchers who must look */
    sqlite3_stmt *statements[N_STATEMENTS];
    dev_t device; /* of the file that is open */
    ino_t inode;
    struct beside beside[N_BESIDE];
    int64_t cluster; /* 0: it has no row yet, and the file cannot be written */
    bool is_read_only;
    bool is_synchronous;       /* synchronous is FULL now */
    struct known_heads *known; /* parallel to the last heartbeat batch */
    size_t n_known;
    struct change_mark known_change; /* the last change when they were found */

    char *notify_path;
    int notify_fd;                  /* touched after each write; -1: not open */
    int watch_fd;                   /* inotify or a timer; -1: not watched */
    ino_t watched_inode;            /* of the notify file; 0: no file is watched */
    struct change_mark last_change; /* the last one told; not known: resync first */
};

/* connection.c: every operation begins with sqlite_use and ends with sqlite_release. */
comrade_status sqlite_use(comrade_store *store, const comrade_call *call, comrade_error *error);
void sqlite_release(comrade_store *store);
/* Closes the connection; the next operation opens it again. */
void sqlite_drop(comrade_store *store);
/* The prepared statement, reset and without bindings. NULL: sqlite3_errcode says why. */
sqlite3_stmt *sqlite_statement(comrade_store *store, enum statement name);
/* Runs one that returns no row, with integers bound from ?1. Returns a result code. */
int sqlite_run(comrade_store *store, enum statement name, const int64_t *values, size_t n_values);
/*
 * Begins a transaction and makes sure that the cluster's row is still its own: a backup that was
 * put back may not have it yet. Tells the revision of the specs.
 */
int sqlite_begin(comrade_store *store, enum statement name, int64_t *specs_revision);
/* Makes what is committed from now on outlive a power cut, or only a crash. */
int sqlite_set_durable(comrade_store *store, bool is_durable);
int sqlite_read_last_change(comrade_store *store, struct change_mark *mark);
void sqlite_roll_back(comrade_store *store);
int64_t sqlite_now_ms(const comrade_store *store);
void sqlite_forget_heads(comrade_store *store);
/* Another process is in the way: waits a little. False: the call is over. */
bool sqlite_wait(comrade_store *store, int n_tries);

/* explain.c: what a failed result means, said with the path; rolls back, and drops the connection
   where it is no use any more. */
comrade_status sqlite_fail(comrade_store *store, int result, const char *what,
                           comrade_error *error);
/* Why the file could not be opened. */
comrade_status sqlite_explain_open(const comrade_store *store, comrade_error *error);
/* There is none yet, and none may be made. */
comrade_status sqlite_explain_missing(const comrade_store *store, comrade_error *error);

/* file.c: which file is at the path, and which files beside it are its own. */
char *sqlite_path_of(const char *url); /* NULL: out of memory, or no working directory */
bool sqlite_was_replaced(const comrade_store *store);
/*
 * Before the file is opened: waits for those who are opening it, and removes what SQLite left
 * beside a file that is no longer at the path. False: the call was over.
 */
bool sqlite_claim(comrade_store *store);
/* Afterwards: records what is open, and lets the next one in. */
void sqlite_unclaim(comrade_store *store);
/* Opens the notify file, making it if `may_create`; it is then the one at its path. */
bool sqlite_need_notify_file(comrade_store *store, bool may_create);

/* schema.c: creates or migrates it, and finds the cluster's row. Returns a result code, or says
   itself what is wrong by setting *status. */
int sqlite_schema(comrade_store *store, comrade_status *status, comrade_error *error);

/* notify.c */
void sqlite_notify(comrade_store *store);
/* Another file was opened: follows its notify file, and tells all who watch. */
void sqlite_watch_again(comrade_store *store);
int sqlite_watch(comrade_store *store, const comrade_call *call, comrade_error *error);
comrade_status sqlite_drain(comrade_store *store, const comrade_watch_sink *sink,
                            comrade_error *error);
void sqlite_unwatch(comrade_store *store);

/* heartbeat.c, write.c, snapshot.c, check.c: the operations. */
comrade_status sqlite_heartbeat(comrade_store *store, const comrade_call *call,
                                const comrade_beat *beats, size_t n_beats,
                                comrade_beat_result *results, comrade_beat_summary *summary,
                                comrade_error *error);
comrade_status sqlite_write(comrade_store *store, const comrade_call *call,
                            const comrade_write *writes, size_t n_writes,
                            comrade_write_result *results, comrade_error *error);
comrade_status sqlite_snapshot(comrade_store *store, const comrade_call *call,
                               const comrade_snapshot_query *query, const comrade_cursor *from,
                               const comrade_snapshot_sink *sink, comrade_snapshot_page *page,
                               comrade_error *error);
comrade_status sqlite_check(comrade_store *store, const comrade_call *call,
                            void (*on_finding)(void *user, bool is_problem, const char *text),
                            void *user, comrade_error *error);

#endif
