/* Requests of the API, at a server in the test: what the time is there, and no memory for answers.
 */
#include "contract/contract.h"
#include "lib/allocation.h"
#include "lib/datastore_http.h"
#include "store/datastore/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BEGIN_MS = 5000, SLOW_MS = 10000 };
static const int64_t server_ms = 1800000000000; /* when ours shows BEGIN_MS */

static const char its_time[] = "2027-01-15T08:00:00.000000Z";

static struct http_server *server;
static comrade_store *store;

/* A clock that a slow answer sets forward: it is slow by that clock alone. */
static atomic_int_least64_t clock_ms;

static int64_t now_ms(void *clock)
{
    (void)clock;
    return clock_ms;
}

static void begin(http_answerer answer, void *user)
{
    char endpoint[64];
    clock_ms = BEGIN_MS;
    server = http_server_start(answer, user);
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%d", http_server_port(server));
    store = calloc(1, sizeof *store);
    assert_non_null(store);
    *store = (comrade_store){.place = {.project = strdup("proj"),
                                       .database = strdup(""),
                                       .endpoint = strdup(endpoint),
                                       .is_emulator = true},
                             .shown_url = strdup("datastore://proj"),
                             .http = http_new()};
}

static void end(void)
{
    http_server_stop(server);
    datastore_driver.close(store);
}

/* --- The clock ---------------------------------------------------------------------------------
 */

/* More than are in flight: the last goes out when an answer has been read, and not before. */
enum { REQUESTS = DATASTORE_IN_FLIGHT + 1 };

static bool tell_time(struct http_exchange *exchange)
{
    char body[64];
    snprintf(body, sizeof body, "{\"readTime\":\"%s\"}", its_time);
    http_exchange_answer(exchange, 200, NULL, body);
    return true;
}

static bool tell_time_to_the_last_slowly(struct http_exchange *exchange)
{
    clock_ms += strtol(exchange->body, NULL, 10) == REQUESTS - 1 ? SLOW_MS : 0;
    return tell_time(exchange);
}

static void the_answer_that_came_soonest_tells_the_time(void **state)
{
    (void)state;
    begin(tell_time_to_the_last_slowly, NULL);
    struct api_request requests[REQUESTS];
    comrade_call call = {.now_ms = now_ms, .deadline_ms = BEGIN_MS + 10 * SLOW_MS, .cancel_fd = -1};
    comrade_error error = {0};
    for (int i = 0; i < REQUESTS; i++) {
        char body[16];
        snprintf(body, sizeof body, "%d", i);
        requests[i] = (struct api_request){.method = "lookup", .body = strdup(body)};
    }
    assert_int_equal(api_perform(store, &call, "read", false, requests, REQUESTS, &error),
                     COMRADE_OK);
    assert_int_equal(clock_ms, BEGIN_MS + SLOW_MS);
    assert_int_equal(datastore_now_ms(store, &call), server_ms + SLOW_MS);
    for (int i = 0; i < REQUESTS; i++) {
        api_finish(&requests[i]);
    }
    end();
}

/* --- Memory ------------------------------------------------------------------------------------
 */

static comrade_status ask(void *user)
{
    const bool *is_write = user;
    struct api_request request = {0};
    comrade_call call = contract_call();
    comrade_error error = {0};
    json_t *body = json_pack("{s:[]}", "keys");
    comrade_status status =
        api_ask(store, &call, "read", *is_write, "lookup", body, &request, &error);
    assert_int_equal(error.status, status);
    bool is_whole = strlen(api_text(request.answer, "readTime")) == strlen(its_time);
    api_finish(&request);
    /* Some of its want of memory jansson tells as a text that is cut, or is no JSON. */
    bool is_odd = status == COMRADE_OK ? !is_whole : status == COMRADE_UNAVAILABLE;
    /* What was sent may have been done. */
    bool is_unknown = *is_write && status == COMRADE_UNKNOWN;
    return is_odd ? COMRADE_INVALID : is_unknown ? COMRADE_NO_MEMORY : status;
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    bool is_write = false;
    begin(tell_time, NULL);
    for_each_failed_allocation(ask, &is_write);
    is_write = true;
    for_each_failed_allocation(ask, &is_write);
    end();
}

static void a_time_may_be_written_in_any_zone(void **state)
{
    (void)state;
    static const char *const all_the_same[] = {
        "2027-01-15T08:00:00.25Z", "2027-01-15T08:00:00.250999+00:00",
        "2027-01-15T09:30:00.25+01:30", "2027-01-15T00:00:00.25-08:00"};
    for (size_t i = 0; i < sizeof all_the_same / sizeof all_the_same[0]; i++) {
        assert_int_equal(datastore_time_ms(all_the_same[i]), server_ms + 250);
    }
    static const char *const none[] = {"",
                                       "2027-01-15",
                                       "2027-01-15T08:00:00",
                                       "2027-01-15T08:00:00.25",
                                       "2027-01-15T08:00:00Zulu",
                                       "2027-01-15T08:00:00.Z+00:00",
                                       "2027-01-15T08:00:00+"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_int_equal(datastore_time_ms(none[i]), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answer_that_came_soonest_tells_the_time),
        cmocka_unit_test(a_time_may_be_written_in_any_zone),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
