/*
 * datastore_heartbeats ENDPOINT N ROUNDS: heartbeats of N members of one worker, through the
 * store's heartbeat operation, in turn with the baseline: a bare program on libcurl that sends the
 * same commits, made beforehand, as many at once, and throws the answers away. It leaves the base
 * versions out, for they would have to be read from the answers. Both write members of their own,
 * in the namespaces "ours" and "raw" of the project "bench", which `fill` has made.
 *
 * Prints "us OURS RAW": the medians in µs a batch; and "cpu OURS RAW": this process's share of it.
 */
#include "measure.h"
#include "store/registry.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEADLINE_MS = 600000, A_COMMIT = 500, IN_FLIGHT = 8, URL_SIZE = 512, MUTATION_SIZE = 512 };

_Noreturn static void stop(const char *what)
{
    fprintf(stderr, "datastore_heartbeats: %s\n", what);
    exit(1);
}

static comrade_call bounds(void)
{
    return (comrade_call){
        .deadline_ms = monotonic_ms(NULL) + DEADLINE_MS, .cancel_fd = -1, .now_ms = monotonic_ms};
}

/* --- Ours --------------------------------------------------------------------------------------
 */

struct ours {
    const comrade_store_driver *driver;
    comrade_store *store;
    comrade_beat *beats;
    comrade_beat_result *results;
    size_t n;
};

static comrade_status take_member(void *user, const comrade_record *record)
{
    struct ours *ours = user;
    ours->beats[ours->n++] = (comrade_beat){strdup(record->id), record->own.incarnation};
    return COMRADE_OK;
}

static comrade_status pass_role(void *user, const comrade_role *role)
{
    (void)user;
    (void)role;
    return COMRADE_OK;
}

static void ours_begin(struct ours *ours, size_t n)
{
    static const char url[] = "datastore://bench?namespace=ours";
    comrade_store_config config = {.size = sizeof config,
                                   .url = url,
                                   .shown_url = url,
                                   .name_space = "",
                                   .kind = "ComradeServer",
                                   .wall_ms = wall_ms};
    comrade_error error = {0};
    comrade_call call = bounds();
    *ours = (struct ours){.beats = calloc(n, sizeof *ours->beats),
                          .results = calloc(n, sizeof *ours->results)};
    if (store_driver_find(url, &ours->driver, &error) != COMRADE_OK ||
        ours->driver->open(&config, &call, &ours->store, &error) != COMRADE_OK) {
        stop(error.message);
    }
    comrade_snapshot_sink sink = {take_member, pass_role, ours};
    comrade_snapshot_query query = {.scope = COMRADE_SCOPE_ALL, .limit = n};
    comrade_snapshot_page page = {0};
    do {
        comrade_cursor from = page.next;
        call = bounds();
        if (ours->driver->snapshot(ours->store, &call, &query, &from, &sink, &page, &error) !=
            COMRADE_OK) {
            stop(error.message);
        }
    } while (page.has_more);
    if (ours->n != n) {
        stop("the store has another number of members");
    }
}

static void ours_beat(struct ours *ours)
{
    comrade_error error = {0};
    comrade_beat_summary summary;
    comrade_call call = bounds();
    if (ours->driver->heartbeat(ours->store, &call, ours->beats, ours->n, ours->results, &summary,
                                &error) != COMRADE_OK) {
        stop(error.message);
    }
    for (size_t i = 0; i < ours->n; i++) {
        if (ours->results[i].status != COMRADE_OK) {
            stop("a heartbeat was not applied");
        }
    }
}

/* --- The baseline ------------------------------------------------------------------------------
 */

struct raw {
    CURLM *multi;
    CURL **idle;
    size_t n_idle;
    struct curl_slist *headers;
    char url[URL_SIZE];
    char **bodies;
    size_t n_bodies;
};

static size_t throw_away(char *bytes, size_t size, size_t n, void *user)
{
    (void)bytes;
    (void)user;
    return size * n;
}

static char *body_of(const struct ours *members, size_t first, size_t n)
{
    char *body = calloc(n + 1, MUTATION_SIZE);
    size_t len =
        (size_t)snprintf(body, MUTATION_SIZE, "{\"mode\":\"NON_TRANSACTIONAL\",\"mutations\":[");
    for (size_t i = first; i < first + n; i++) {
        len += (size_t)snprintf(
            body + len, MUTATION_SIZE,
            "%s{\"update\":{\"key\":{\"partitionId\":{\"projectId\":\"bench\",\"namespaceId\":"
            "\"raw\"},\"path\":[{\"kind\":\"ComradeServer\",\"name\":\"%s\"}]},\"properties\":{"
            "\"updated\":{\"integerValue\":\"%lld\",\"excludeFromIndexes\":true}}},"
            "\"propertyMask\":{\"paths\":[\"updated\"]},\"propertyTransforms\":[{\"property\":"
            "\"comradeUpdated\",\"setToServerValue\":\"REQUEST_TIME\"}]}",
            i == first ? "" : ",", members->beats[i].id, (long long)wall_ms(NULL));
    }
    memcpy(body + len, "]}", sizeof "]}");
    return body;
}

static void raw_begin(struct raw *raw, const char *host, const struct ours *members)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    *raw = (struct raw){.multi = curl_multi_init(),
                        .idle = calloc(IN_FLIGHT, sizeof *raw->idle),
                        .headers = curl_slist_append(NULL, "Content-Type: application/json"),
                        .bodies = calloc(members->n / A_COMMIT + 1, sizeof *raw->bodies)};
    raw->headers = curl_slist_append(raw->headers, "Expect:");
    snprintf(raw->url, sizeof raw->url, "http://%s/v1/projects/bench:commit", host);
    for (size_t first = 0; first < members->n; first += A_COMMIT) {
        size_t left = members->n - first;
        raw->bodies[raw->n_bodies++] = body_of(members, first, left < A_COMMIT ? left : A_COMMIT);
    }
    for (; raw->n_idle < IN_FLIGHT; raw->n_idle++) {
        CURL *easy = raw->idle[raw->n_idle] = curl_easy_init();
        curl_easy_setopt(easy, CURLOPT_URL, raw->url);
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, raw->headers);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, throw_away);
    }
}

static void raw_take_done(struct raw *raw)
{
    int n_left;
    for (CURLMsg *message; (message = curl_multi_info_read(raw->multi, &n_left)) != NULL;) {
        long status = 0;
        CURL *easy = message->easy_handle;
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        if (message->data.result != CURLE_OK || status != 200) {
            stop("the baseline's commit failed");
        }
        curl_multi_remove_handle(raw->multi, easy);
        raw->idle[raw->n_idle++] = easy;
    }
}

static void raw_beat(struct raw *raw)
{
    size_t n_sent = 0;
    while (n_sent < raw->n_bodies || raw->n_idle < IN_FLIGHT) {
        while (n_sent < raw->n_bodies && raw->n_idle > 0) {
            CURL *easy = raw->idle[--raw->n_idle];
            curl_easy_setopt(easy, CURLOPT_POSTFIELDS, raw->bodies[n_sent++]);
            curl_multi_add_handle(raw->multi, easy);
        }
        int n_running;
        curl_multi_perform(raw->multi, &n_running);
        raw_take_done(raw);
        if (n_running > 0) {
            curl_multi_poll(raw->multi, NULL, 0, 1000, NULL);
        }
    }
}

/* --- The rounds --------------------------------------------------------------------------------
 */

struct figures {
    double *us;
    double *cpu_us;
};

static double cpu_us(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec * 1e6 + (double)used.tv_nsec / 1e3;
}

static void one_batch(struct ours *ours, struct raw *raw, struct figures *figures, size_t round)
{
    double start = now_us();
    double cpu_start = cpu_us();
    if (raw == NULL) {
        ours_beat(ours);
    } else {
        raw_beat(raw);
    }
    figures->us[round] = now_us() - start;
    figures->cpu_us[round] = cpu_us() - cpu_start;
}

int main(int argc, char **argv)
{
    const char *host = getenv("DATASTORE_EMULATOR_HOST");
    if (argc != 3 || host == NULL) {
        stop("usage: DATASTORE_EMULATOR_HOST=HOST:PORT datastore_heartbeats N ROUNDS");
    }
    size_t n_rounds = strtoul(argv[2], NULL, 10);
    struct figures of_ours = {calloc(n_rounds, sizeof(double)), calloc(n_rounds, sizeof(double))};
    struct figures of_raw = {calloc(n_rounds, sizeof(double)), calloc(n_rounds, sizeof(double))};
    struct ours ours;
    struct raw raw;
    ours_begin(&ours, strtoul(argv[1], NULL, 10));
    raw_begin(&raw, host, &ours);
    ours_beat(&ours); /* the first one reads */
    raw_beat(&raw);   /* and this one connects */
    for (size_t i = 0; i < n_rounds; i++) {
        one_batch(&ours, NULL, &of_ours, i);
        one_batch(&ours, &raw, &of_raw, i);
    }
    printf("us %.0f %.0f\n", median(of_ours.us, n_rounds), median(of_raw.us, n_rounds));
    printf("cpu %.0f %.0f\n", median(of_ours.cpu_us, n_rounds), median(of_raw.cpu_us, n_rounds));
    return 0;
}
