/*
 * The schema and its rights, as SQL. A migration only adds, so that programs of the version before
 * go on working beside it; one that they could not bear raises `postgres_oldest_reader`.
 * To add one: a text at the end of `postgres_migrations`, and POSTGRES_SCHEMA_VERSION one higher.
 * It must bear to be run on what it has made, for the table that tells the version may be emptied.
 * One that makes a table grants on it as well, if the groups are there: nobody sets the rights up
 * again. Each text is run inside a DO block, whose quotes it must not use: no "$migration$".
 *
 * Logins may write by hand what their rights allow. So the tables hold nothing that would fail
 * everybody's reading: the limits are those of comrade.h or wider, and what is cast is known to be
 * castable.
 */
#include "store/postgres/internal.h"

const char *const postgres_migrations[] = {
    /* 1 */
    "CREATE TABLE IF NOT EXISTS comrade.cluster (\n"
    "  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,\n"
    "  namespace text COLLATE \"C\" NOT NULL CHECK (octet_length(namespace) <= 64),\n"
    "  kind text COLLATE \"C\" NOT NULL CHECK (octet_length(kind) <= 64),\n"
    /* Differs whenever a spec has changed, and cannot be the one of before a wipe. */
    "  specs_revision bigint NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000000),\n"
    "  UNIQUE (namespace, kind));\n"
    "CREATE TABLE IF NOT EXISTS comrade.role (\n"
    "  cluster integer NOT NULL,\n"
    "  role text COLLATE \"C\" NOT NULL CHECK (octet_length(role) BETWEEN 1 AND 64),\n"
    "  revision bigint NOT NULL DEFAULT 0,\n"
    "  recent text NOT NULL DEFAULT '' CHECK (octet_length(recent) <= 1024),\n"
    "  PRIMARY KEY (cluster, role)) WITH (fillfactor = 50);\n"
    "CREATE TABLE IF NOT EXISTS comrade.role_spec (\n"
    "  cluster integer NOT NULL,\n"
    "  role text COLLATE \"C\" NOT NULL CHECK (octet_length(role) BETWEEN 1 AND 64),\n"
    "  spec_version bigint NOT NULL CHECK (spec_version BETWEEN 1 AND 9007199254740992),\n"
    "  spec text NOT NULL CHECK (octet_length(spec) <= 262144 AND spec::json IS NOT NULL),\n"
    "  PRIMARY KEY (cluster, role));\n"
    "CREATE TABLE IF NOT EXISTS comrade.member (\n"
    "  cluster integer NOT NULL,\n"
    "  id text COLLATE \"C\" NOT NULL CHECK (octet_length(id) BETWEEN 1 AND 128),\n"
    "  role text COLLATE \"C\" NOT NULL CHECK (octet_length(role) BETWEEN 1 AND 64),\n"
    "  owner regrole NOT NULL DEFAULT quote_ident(current_user)::regrole,\n"
    "  incarnation bigint NOT NULL,\n"
    "  sequence bigint NOT NULL,\n"
    "  state text NOT NULL,\n"
    "  is_alive boolean NOT NULL,\n"
    "  is_available boolean NOT NULL,\n"
    "  created bigint NOT NULL,\n"
    "  pid bigint NOT NULL,\n"
    "  host text NOT NULL,\n"
    "  version text NOT NULL,\n"
    "  metadata text NOT NULL,\n"
    "  details text NOT NULL,\n"
    "  request_revision bigint NOT NULL DEFAULT 0,\n"
    "  request_kind integer NOT NULL DEFAULT 0,\n"
    "  request_incarnation bigint NOT NULL DEFAULT 0,\n"
    "  zombified_incarnation bigint NOT NULL DEFAULT 0,\n"
    "  requested bigint NOT NULL DEFAULT 0,\n"
    "  request_id text NOT NULL DEFAULT '',\n"
    "  request_user text NOT NULL DEFAULT '',\n"
    "  request_host text NOT NULL DEFAULT '',\n"
    "  request_database_user text NOT NULL DEFAULT '',\n"
    "  request_reason text NOT NULL DEFAULT '',\n"
    "  CHECK (created BETWEEN 0 AND 253402300799999),\n" /* the year 9999 */
    "  CHECK (octet_length(state || host || version) <= 1024),\n"
    "  CHECK (octet_length(metadata) <= 65536 AND json_typeof(metadata::json) = 'object'),\n"
    "  CHECK (octet_length(details) <= 65536),\n"
    "  CHECK (octet_length(request_id || request_user || request_host ||\n"
    "    request_database_user || request_reason) <= 4096),\n"
    "  PRIMARY KEY (cluster, id)) WITH (fillfactor = 70);\n"
    "CREATE INDEX IF NOT EXISTS member_by_role ON comrade.member (cluster, role, id);\n"
    /* Narrow and apart: it is all that a heartbeat writes. Half of each page is left for the next
       versions of its rows, and no index may ever cover `updated`. */
    "CREATE TABLE IF NOT EXISTS comrade.heartbeat (\n"
    "  cluster integer NOT NULL,\n"
    "  owner regrole NOT NULL DEFAULT quote_ident(current_user)::regrole,\n"
    "  updated bigint NOT NULL CHECK (updated >= 0),\n"
    "  incarnation bigint NOT NULL,\n"
    "  own_sequence bigint NOT NULL,\n"
    "  request_revision bigint NOT NULL DEFAULT 0,\n"
    "  id text COLLATE \"C\" NOT NULL CHECK (octet_length(id) BETWEEN 1 AND 128),\n"
    /* A member has one of its own, or none: the other way round it would look alive for ever. */
    "  FOREIGN KEY (cluster, id) REFERENCES comrade.member ON DELETE CASCADE,\n"
    "  PRIMARY KEY (cluster, id)) WITH (fillfactor = 45);\n"
    /* For psql, Python, Go: what `comrade list --healthy` lists. */
    "CREATE OR REPLACE VIEW comrade.live_members AS\n"
    "  SELECT c.namespace, c.kind, m.role, m.id, m.host, m.pid, m.version, m.state,\n"
    "    m.metadata::json AS metadata,\n"
    "    to_timestamp(m.created / 1000.0) AS created,\n"
    "    to_timestamp(h.updated / 1000.0) AS updated\n"
    "  FROM comrade.member m\n"
    "  JOIN comrade.heartbeat h ON h.cluster = m.cluster AND h.id = m.id\n"
    "  JOIN comrade.cluster c ON c.id = m.cluster\n"
    "  WHERE m.is_alive AND m.zombified_incarnation <> m.incarnation\n"
    "    AND m.state IN ('up', 'draining', 'stopping')\n"
    "    AND h.updated BETWEEN " POSTGRES_NOW_MS " - 59999 AND " POSTGRES_NOW_MS ";\n",
};
const int postgres_n_migrations = sizeof postgres_migrations / sizeof postgres_migrations[0];
const int postgres_oldest_reader = 1;

_Static_assert(sizeof postgres_migrations / sizeof postgres_migrations[0] ==
                   POSTGRES_SCHEMA_VERSION,
               "a migration a version");

/* A subquery is evaluated once for all rows of a heartbeat. */
#define IS_OWN "owner = (SELECT quote_ident(current_user)::regrole)"

/*
 * Three groups, to be granted to logins. They are the server's: where another database has made
 * them already, nothing is done that would need the right to. What a member writes of itself, its
 * login must have written first: so a service cannot touch another's record unless they share a
 * login.
 */
const char postgres_rights[] =
    "DO $rights$ BEGIN\n"
    "  IF to_regrole('comrade_reader') IS NULL THEN CREATE ROLE comrade_reader NOLOGIN; END IF;\n"
    "  IF to_regrole('comrade_member') IS NULL THEN CREATE ROLE comrade_member NOLOGIN; END IF;\n"
    "  IF to_regrole('comrade_admin') IS NULL THEN CREATE ROLE comrade_admin NOLOGIN; END IF;\n"
    "  IF NOT pg_has_role('comrade_member', 'comrade_reader', 'MEMBER') THEN\n"
    "    GRANT comrade_reader TO comrade_member;\n"
    "  END IF;\n"
    "  IF NOT pg_has_role('comrade_admin', 'comrade_reader', 'MEMBER') THEN\n"
    "    GRANT comrade_reader TO comrade_admin;\n"
    "  END IF;\n"
    "END $rights$;\n"
    "GRANT USAGE ON SCHEMA comrade TO comrade_reader;\n"
    "GRANT SELECT ON ALL TABLES IN SCHEMA comrade TO comrade_reader;\n"
    /* Both: a cluster, a role and its revision, which every write bumps. */
    "GRANT INSERT (namespace, kind), UPDATE (specs_revision) ON comrade.cluster\n"
    "  TO comrade_member, comrade_admin;\n"
    "GRANT INSERT (cluster, role), UPDATE (revision, recent) ON comrade.role\n"
    "  TO comrade_member, comrade_admin;\n"
    /* A member puts back a spec that is gone; only an admin changes one that is there. */
    "GRANT INSERT ON comrade.role_spec TO comrade_member, comrade_admin;\n"
    "GRANT UPDATE (spec_version, spec) ON comrade.role_spec TO comrade_admin;\n"
    "GRANT INSERT (cluster, id, role, incarnation, sequence, state, is_alive, is_available,\n"
    "    created, pid, host, version, metadata, details),\n"
    "  UPDATE (role, incarnation, sequence, state, is_alive, is_available, created, pid, host,\n"
    "    version, metadata, details), DELETE ON comrade.member TO comrade_member;\n"
    "GRANT INSERT (cluster, id, updated, incarnation, own_sequence, request_revision),\n"
    "  UPDATE (updated, incarnation, own_sequence), DELETE ON comrade.heartbeat\n"
    "  TO comrade_member;\n"
    "GRANT UPDATE (request_revision, request_kind, request_incarnation, zombified_incarnation,\n"
    "    requested, request_id, request_user, request_host, request_database_user,\n"
    "    request_reason), DELETE ON comrade.member TO comrade_admin;\n"
    "GRANT UPDATE (request_revision), DELETE ON comrade.heartbeat TO comrade_admin;\n"
    "ALTER TABLE comrade.member ENABLE ROW LEVEL SECURITY;\n"
    "ALTER TABLE comrade.heartbeat ENABLE ROW LEVEL SECURITY;\n"
    "DROP POLICY IF EXISTS everyone_reads ON comrade.member;\n"
    "CREATE POLICY everyone_reads ON comrade.member FOR SELECT USING (true);\n"
    "DROP POLICY IF EXISTS everyone_reads ON comrade.heartbeat;\n"
    "CREATE POLICY everyone_reads ON comrade.heartbeat FOR SELECT USING (true);\n"
    "DROP POLICY IF EXISTS its_own ON comrade.member;\n"
    "CREATE POLICY its_own ON comrade.member TO comrade_member\n"
    "  USING (" IS_OWN ") WITH CHECK (" IS_OWN ");\n"
    "DROP POLICY IF EXISTS its_own ON comrade.heartbeat;\n"
    "CREATE POLICY its_own ON comrade.heartbeat TO comrade_member\n"
    "  USING (" IS_OWN ") WITH CHECK (" IS_OWN ");\n"
    "DROP POLICY IF EXISTS admins_ask ON comrade.member;\n"
    "CREATE POLICY admins_ask ON comrade.member FOR UPDATE TO comrade_admin USING (true)\n"
    "  WITH CHECK (request_database_user = session_user);\n"
    "DROP POLICY IF EXISTS admins_ask ON comrade.heartbeat;\n"
    "CREATE POLICY admins_ask ON comrade.heartbeat FOR UPDATE TO comrade_admin USING (true);\n"
    "DROP POLICY IF EXISTS admins_clear ON comrade.member;\n"
    "CREATE POLICY admins_clear ON comrade.member FOR DELETE TO comrade_admin USING (true);\n"
    "DROP POLICY IF EXISTS admins_clear ON comrade.heartbeat;\n"
    "CREATE POLICY admins_clear ON comrade.heartbeat FOR DELETE TO comrade_admin USING (true);\n";

/* Groups are the server's, not the database's: one that another database still uses stays. */
const char postgres_removal[] =
    "DROP SCHEMA IF EXISTS comrade CASCADE;\n"
    "DO $removal$\n"
    "DECLARE name text;\n"
    "BEGIN\n"
    "  FOREACH name IN ARRAY ARRAY['comrade_admin', 'comrade_member', 'comrade_reader'] LOOP\n"
    "    BEGIN\n"
    "      EXECUTE 'DROP ROLE IF EXISTS ' || name;\n"
    "    EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN NULL;\n"
    "    END;\n"
    "  END LOOP;\n"
    "END $removal$;\n";
