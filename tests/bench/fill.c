/* fill URL N: writes N members, spread over ten roles, as `comrade run` would have. */
#include "base/env.h"
#include "store/registry.h"

#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 500, DEADLINE_MS = 60000 };

static int64_t monotonic_ms(void *clock)
{
    (void)clock;
    return env_monotonic_ms(&env_system);
}

static int64_t wall_ms(void *clock)
{
    (void)clock;
    return env_wall_ms(&env_system);
}

struct row {
    char id[64];
    char role[16];
    char metadata[96];
    comrade_own own;
    comrade_change change;
};

static comrade_write row_write(struct row *row, long i)
{
    snprintf(row->id, sizeof row->id, "role-%ld-host-%ld-%ld", i % 10, i / 100, i);
    snprintf(row->role, sizeof row->role, "role-%ld", i % 10);
    snprintf(row->metadata, sizeof row->metadata, "{\"ip\":\"10.0.%ld.%ld\",\"port\":%ld}",
             i / 250 % 250, i % 250, 20000 + i % 10000);
    row->own = (comrade_own){
        .incarnation = env_wall_ms(&env_system),
        .sequence = 1,
        .state = COMRADE_STATE_UP,
        .is_alive = true,
        .is_available = true,
        .pid = 1000 + i % 30000,
        .host = "web1.example.net",
        .version = comrade_version(),
        .metadata = row->metadata,
        .details = "{}",
    };
    row->change = (comrade_change){
        .kind = COMRADE_PUT_OWN,
        .id = row->id,
        .own = &row->own,
        .expect_incarnation = COMRADE_ANYTHING,
        .expect_request_revision = COMRADE_ANYTHING,
        .expect_updated_ms = COMRADE_ANYTHING,
        .expect_spec_version = COMRADE_ANYTHING,
    };
    return (comrade_write){.role = row->role,
                           .expect_revision = COMRADE_ANYTHING,
                           .changes = &row->change,
                           .n_changes = 1};
}

int main(int argc, char **argv)
{
    static struct row rows[BATCH];
    static comrade_write writes[BATCH];
    static comrade_write_result results[BATCH];
    const comrade_store_driver *driver;
    comrade_store *store = NULL;
    comrade_error error = {0};
    if (argc != 3 || store_driver_find(argv[1], &driver, &error) != COMRADE_OK) {
        fprintf(stderr, "usage: fill URL N (%s)\n", error.message);
        return 2;
    }
    comrade_store_config config = {.size = sizeof config,
                                   .url = argv[1],
                                   .shown_url = argv[1],
                                   .name_space = "",
                                   .kind = "ComradeServer",
                                   .wall_ms = wall_ms};
    comrade_call call = {.deadline_ms = env_monotonic_ms(&env_system) + DEADLINE_MS,
                         .cancel_fd = -1,
                         .now_ms = monotonic_ms};
    comrade_status status = driver->open(&config, &call, &store, &error);
    long n_members = strtol(argv[2], NULL, 10);
    for (long done = 0; done < n_members && status == COMRADE_OK; done += BATCH) {
        size_t n = n_members - done < BATCH ? (size_t)(n_members - done) : BATCH;
        for (size_t i = 0; i < n; i++) {
            writes[i] = row_write(&rows[i], done + (long)i);
        }
        status = driver->write(store, &call, writes, n, results, &error);
    }
    driver->close(store);
    if (status != COMRADE_OK) {
        fprintf(stderr, "fill: %s\n", error.message);
        return 1;
    }
    return 0;
}
