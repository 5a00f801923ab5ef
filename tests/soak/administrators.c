/*
 * soak-administrators URL ROLE N ROUNDS [LIMIT_MS] [forget-revision]
 *
 * N administrators, a thread and a connection each, kill the oldest member of the role: ROUNDS
 * attempts altogether. They step core's own machine over the driver, as a cluster's worker does, so
 * that what a client hides can be counted: conflicts. Two of three choose among the members of one
 * zone only (0, 1), so that several victims are on offer at once. Who was refused pauses for half a
 * second at most, or those who were killed would never come back. Prints one JSON object.
 *
 * LIMIT_MS is how young a heartbeat must be for the budget (50 s without it): core takes it from
 * the deadline of a call. With forget-revision they write without naming what they saw, which
 * breaks the budget: for whoever wants to see that it is noticed.
 */
#include "base/env.h"
#include "core/operation.h"
#include "store/postgres/postgres.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    ADMINISTRATORS_MAX = 1000,
    DEADLINE_MS = 30 * 1000,
    STATUSES = 32,
    ZONES = 2,
    LIMIT_MS = 50 * 1000,
    PAUSE_MAX_MS = 500
};

struct task {
    const char *url;
    const char *role;
    long n_rounds;
    int64_t call_timeout_ms;
    bool forgets_revision;
    atomic_long n_taken; /* rounds */
};

struct administrator {
    struct task *task;
    char name[32];
    char zone[24]; /* whose members alone it may choose; "": all */
    comrade_store *store;
    long n_of_status[STATUSES];
    long n_conflicts;
    int64_t longest_ms; /* of one attempt */
    comrade_error error;
};

static int64_t monotonic_ms(void *clock)
{
    (void)clock;
    return env_monotonic_ms(&env_system);
}

static comrade_call bounds(void)
{
    return (comrade_call){
        .deadline_ms = monotonic_ms(NULL) + DEADLINE_MS, .cancel_fd = -1, .now_ms = monotonic_ms};
}

static void let_pass(int64_t ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* --- One attempt -------------------------------------------------------------------------------
 */

static enum need look(struct administrator *self, struct operation *operation)
{
    comrade_snapshot_query query = operation->ask;
    query.limit = 5000;
    comrade_snapshot_sink sink = {snapshot_add_record, snapshot_add_role, &operation->snapshot};
    comrade_snapshot_page page = {0};
    comrade_call call = bounds();
    comrade_status status = COMRADE_OK;
    do {
        status = postgres_driver.snapshot(self->store, &call, &query, &page.next, &sink, &page,
                                          &self->error);
    } while (status == COMRADE_OK && page.has_more);
    operation->snapshot.now_ms = page.now_ms;
    return operation_on_snapshot(operation, status, &self->error);
}

static enum need change(struct administrator *self, struct operation *operation)
{
    comrade_write_result result = {0};
    comrade_call call = bounds();
    if (self->task->forgets_revision) {
        operation->writes[0].expect_revision = COMRADE_ANYTHING;
    }
    comrade_status status =
        postgres_driver.write(self->store, &call, operation->writes, 1, &result, &self->error);
    bool is_conflict = status == COMRADE_OK && result.status == COMRADE_CONFLICT;
    self->n_conflicts += is_conflict ? 1 : 0;
    return operation_on_written(operation, status, &result, &self->error);
}

static comrade_status perform(struct administrator *self, struct operation *operation)
{
    for (enum need need = operation_start(operation);;) {
        switch (need) {
        case NEED_SNAPSHOT:
            need = look(self, operation);
            break;
        case NEED_WRITE:
            need = change(self, operation);
            break;
        case NEED_WAIT:
            let_pass(operation->wait_ms);
            need = operation_on_waited(operation);
            break;
        case NEED_VERDICTS:
            need = operation_on_verdicts(operation);
            break;
        case NEED_NOTHING:
            self->error = operation->error;
            return operation->status;
        }
    }
}

static comrade_status kill_oldest(struct administrator *self)
{
    comrade_query query = COMRADE_QUERY_INIT;
    comrade_request_options request = COMRADE_REQUEST_OPTIONS_INIT;
    const comrade_where where = {"zone", self->zone};
    query.role = self->task->role;
    query.where = &where;
    query.n_where = self->zone[0] == '\0' ? 0 : 1;
    request.user = self->name;
    const struct operation_options options = {
        .kind = OPERATION_KILL_OLDEST,
        .query = &query,
        .request = &request,
        .host = "soak",
        .heartbeat_ms = 10000,
        .call_timeout_ms = self->task->call_timeout_ms,
        .env = &env_system,
    };
    struct operation *operation = NULL;
    comrade_status status = operation_new(&options, &operation, &self->error);
    if (status == COMRADE_OK) {
        status = perform(self, operation);
        operation_free(operation);
    }
    return status;
}

/* --- All of them -------------------------------------------------------------------------------
 */

static comrade_status open_store(struct administrator *self)
{
    const comrade_store_config config = {.size = sizeof config,
                                         .url = self->task->url,
                                         .shown_url = "the server",
                                         .name_space = "",
                                         .kind = "ComradeServer",
                                         .must_exist = true};
    comrade_call call = bounds();
    return postgres_driver.open(&config, &call, &self->store, &self->error);
}

static void *administrate(void *user)
{
    struct administrator *self = user;
    comrade_status status = open_store(self);
    if (status != COMRADE_OK) {
        self->n_of_status[-status]++;
        return NULL;
    }
    while (atomic_fetch_add(&self->task->n_taken, 1) < self->task->n_rounds) {
        int64_t began_ms = monotonic_ms(NULL);
        status = kill_oldest(self);
        int64_t took_ms = monotonic_ms(NULL) - began_ms;
        self->n_of_status[-status]++;
        self->longest_ms = took_ms > self->longest_ms ? took_ms : self->longest_ms;
        if (status != COMRADE_OK) {
            let_pass(env_random_between(&env_system, 0, PAUSE_MAX_MS));
        }
        if (status != COMRADE_OK && status != COMRADE_REFUSED && status != COMRADE_NOT_FOUND &&
            status != COMRADE_BUSY) {
            fprintf(stderr, "%s: %s\n", self->name, self->error.message);
        }
    }
    postgres_driver.close(self->store);
    return NULL;
}

static void print_total(const struct administrator *all, long n, int64_t took_ms)
{
    long n_of_status[STATUSES] = {0};
    long n_conflicts = 0;
    int64_t longest_ms = 0;
    for (long i = 0; i < n; i++) {
        for (int j = 0; j < STATUSES; j++) {
            n_of_status[j] += all[i].n_of_status[j];
        }
        n_conflicts += all[i].n_conflicts;
        longest_ms = all[i].longest_ms > longest_ms ? all[i].longest_ms : longest_ms;
    }
    printf("{\"took_ms\": %lld, \"conflicts\": %ld, \"longest_ms\": %lld, \"statuses\": {",
           (long long)took_ms, n_conflicts, (long long)longest_ms);
    const char *comma = "";
    for (int j = 0; j < STATUSES; j++) {
        if (n_of_status[j] > 0) {
            printf("%s\"%s\": %ld", comma, comrade_status_name((comrade_status)-j), n_of_status[j]);
            comma = ", ";
        }
    }
    printf("}, \"won\": {");
    comma = "";
    for (long i = 0; i < n; i++) {
        printf("%s\"%s\": %ld", comma, all[i].name, all[i].n_of_status[-COMRADE_OK]);
        comma = ", ";
    }
    puts("}}");
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fputs("usage: soak-administrators URL ROLE N ROUNDS [LIMIT_MS] [forget-revision]\n",
              stderr);
        return 2;
    }
    long n = strtol(argv[3], NULL, 10);
    n = n < 1 ? 1 : n > ADMINISTRATORS_MAX ? ADMINISTRATORS_MAX : n;
    int64_t limit_ms = argc > 5 ? strtoll(argv[5], NULL, 10) : LIMIT_MS;
    struct task task = {
        .url = argv[1],
        .role = argv[2],
        .n_rounds = strtol(argv[4], NULL, 10),
        .call_timeout_ms = (HEALTH_FRESH_MS - limit_ms) / 2,
        .forgets_revision = argc > 6 && strcmp(argv[6], "forget-revision") == 0,
    };
    struct administrator *all = calloc((size_t)n, sizeof *all);
    pthread_t *threads = calloc((size_t)n, sizeof *threads);
    if (all == NULL || threads == NULL) {
        return 1;
    }
    int64_t began_ms = monotonic_ms(NULL);
    for (long i = 0; i < n; i++) {
        all[i].task = &task;
        snprintf(all[i].name, sizeof all[i].name, "admin-%02ld", i);
        if (i % (ZONES + 1) < ZONES) {
            snprintf(all[i].zone, sizeof all[i].zone, "%ld", i % (ZONES + 1));
        }
        if (pthread_create(&threads[i], NULL, administrate, &all[i]) != 0) {
            return 1;
        }
    }
    for (long i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
    }
    print_total(all, n, monotonic_ms(NULL) - began_ms);
    free(threads);
    free(all);
    return 0;
}
