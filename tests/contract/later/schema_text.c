/*
 * A later version of the driver for PostgreSQL: its schema is this version's, and one migration
 * more. Everything else is linked as it is. What of it an older program can still use is for the
 * build to say: LATER_IS_EXCLUSIVE, 1 for nothing.
 */
#define postgres_migrations migrations_before
#define postgres_n_migrations n_migrations_before
#define postgres_oldest_reader oldest_reader_before
#include "store/postgres/schema_text.c" /* NOLINT(bugprone-suspicious-include): that is the point */
#undef postgres_migrations
#undef postgres_n_migrations
#undef postgres_oldest_reader

const char *postgres_migrations[POSTGRES_SCHEMA_VERSION + 1];
int postgres_n_migrations = POSTGRES_SCHEMA_VERSION + 1;
int postgres_oldest_reader = LATER_IS_EXCLUSIVE ? POSTGRES_SCHEMA_VERSION + 1 : 1;

__attribute__((constructor)) static void add_migration(void)
{
    for (int i = 0; i < POSTGRES_SCHEMA_VERSION; i++) {
        postgres_migrations[i] = migrations_before[i];
    }
    postgres_migrations[POSTGRES_SCHEMA_VERSION] =
        "ALTER TABLE comrade.member ADD COLUMN later text NOT NULL DEFAULT 'later';\n"
        "ALTER TABLE comrade.heartbeat ADD COLUMN later integer;\n"
        "CREATE TABLE comrade.later (cluster integer PRIMARY KEY);\n";
}
