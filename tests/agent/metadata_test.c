/* What the record says of the service: address, metadata, details. */
#include "agent/address.h"
#include "agent/details.h"
#include "base/json.h"
#include "base/text.h"
#include "lib/allocation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void an_address_is_read_with_and_without_a_port(void **state)
{
    (void)state;
    struct advertise advertise;
    assert_int_equal(advertise_parse("10.0.0.5", &advertise, NULL), COMRADE_OK);
    assert_string_equal(advertise.ip, "10.0.0.5");
    assert_int_equal(advertise.port, 0);
    assert_int_equal(advertise_parse("10.0.0.5:8080", &advertise, NULL), COMRADE_OK);
    assert_int_equal(advertise.port, 8080);
    assert_int_equal(advertise_parse("[fd00::1]:8080", &advertise, NULL), COMRADE_OK);
    assert_string_equal(advertise.ip, "fd00::1");
    assert_int_equal(advertise.port, 8080);
    assert_int_equal(advertise_parse("fd00::1", &advertise, NULL), COMRADE_OK);
    assert_string_equal(advertise.ip, "fd00::1");
    assert_int_equal(advertise.port, 0);
}

static void what_is_no_address_is_refused(void **state)
{
    (void)state;
    const char *const bad[] = {"",           "host",      "10.0.0.5:",      "10.0.0.5:0",
                               "10.0.0.256", "10.0.0.5:", "10.0.0.5:65536", "[fd00::1",
                               "[fd00::1]x", ":8080"};
    struct advertise advertise = {.ip = "untouched"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(advertise_parse(bad[i], &advertise, NULL), COMRADE_INVALID);
    }
    assert_string_equal(advertise.ip, "untouched");
}

static void a_store_on_this_machine_means_the_loopback(void **state)
{
    (void)state;
    char ip[ADDRESS_SIZE];
    address_choose("sqlite:/x.db", ip);
    assert_string_equal(ip, "127.0.0.1");
    address_choose("memory:", ip);
    assert_string_equal(ip, "127.0.0.1");
    struct advertise advertise;
    address_choose("postgres://host/db", ip);
    assert_int_equal(advertise_parse(ip, &advertise, NULL), COMRADE_OK);
}

static void metadata_is_text_but_for_the_port(void **state)
{
    (void)state;
    const char *const pairs[] = {"zone=eu-1", "weight=10", "note=a=b", "empty="};
    struct metadata_options options = {pairs, 4, "10.0.0.5", 8080};
    char *metadata = NULL;
    assert_int_equal(metadata_build(&options, &metadata, NULL), COMRADE_OK);
    assert_string_equal(metadata, "{\"ip\":\"10.0.0.5\",\"port\":8080,\"zone\":\"eu-1\","
                                  "\"weight\":\"10\",\"note\":\"a=b\",\"empty\":\"\"}");
    free(metadata);
}

static void bad_metadata_is_refused(void **state)
{
    (void)state;
    char *huge = malloc(9000);
    memset(huge, 'a', 8999);
    huge[8999] = '\0';
    huge[1] = '=';
    const struct {
        const char *pairs[2];
        comrade_status status;
    } cases[] = {
        {{"a", NULL}, COMRADE_INVALID},      {{"=b", NULL}, COMRADE_INVALID},
        {{"a=1", "a=2"}, COMRADE_INVALID},   {{"ip=1.2.3.4", NULL}, COMRADE_INVALID},
        {{"a=\xff", NULL}, COMRADE_INVALID}, {{huge, NULL}, COMRADE_TOO_LARGE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t n = cases[i].pairs[1] != NULL ? 2 : 1;
        struct metadata_options options = {cases[i].pairs, n, "10.0.0.5", 0};
        char *metadata = NULL;
        assert_int_equal(metadata_build(&options, &metadata, NULL), cases[i].status);
        assert_null(metadata);
    }
    free(huge);
}

static json_t *parse_details(const struct details *details)
{
    char *text = details_text(details);
    assert_non_null(text);
    assert_true(strlen(text) <= DETAILS_MAX_BYTES);
    json_t *object = json_object_parse("details", text, strlen(text), NULL);
    assert_non_null(object);
    free(text);
    return object;
}

static void details_tell_the_last_exit(void **state)
{
    (void)state;
    struct details details = {.n_restarts = 2,
                              .next_retry_ms = 4000,
                              .check = "status 503",
                              .has_exit = true,
                              .code = -1,
                              .signal = 9,
                              .at_ms = 1700000000000,
                              .tail = "last words\n",
                              .tail_len = 11};
    json_t *object = parse_details(&details);
    json_t *gone = json_object_get(object, "exit");
    assert_int_equal(json_integer_value(json_object_get(object, "restarts")), 2);
    assert_int_equal(json_integer_value(json_object_get(object, "next_retry_ms")), 4000);
    assert_string_equal(json_string_value(json_object_get(object, "check")), "status 503");
    assert_true(json_is_null(json_object_get(gone, "code")));
    assert_int_equal(json_integer_value(json_object_get(gone, "signal")), 9);
    assert_string_equal(json_string_value(json_object_get(gone, "stderr")), "last words\n");
    json_decref(object);
}

static void whatever_it_wrote_the_details_are_small_and_valid(void **state)
{
    (void)state;
    char tail[4096];
    unsigned seed = 1;
    for (int kind = 0; kind < 4; kind++) {
        for (size_t i = 0; i < sizeof tail; i++) {
            tail[i] = (char)(kind == 0 ? rand_r(&seed) : kind == 1 ? 0x01 : kind == 2 ? 0xff : '"');
        }
        struct details details = {.next_retry_ms = -1,
                                  .has_exit = true,
                                  .tail = tail,
                                  .tail_len = sizeof tail,
                                  .is_tail_cut = true};
        json_t *object = parse_details(&details);
        const char *kept =
            json_string_value(json_object_get(json_object_get(object, "exit"), "stderr"));
        assert_non_null(kept);
        assert_true(strlen(kept) > 500);
        json_decref(object);
    }
}

static void a_cut_tail_begins_with_a_whole_line(void **state)
{
    (void)state;
    struct details details = {.has_exit = true,
                              .next_retry_ms = -1,
                              .tail = "lf a line\nsecond\nthird\n",
                              .tail_len = 23,
                              .is_tail_cut = true};
    json_t *object = parse_details(&details);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(object, "exit"), "stderr")),
        "second\nthird\n");
    json_decref(object);
}

static comrade_status build_scenario(void *user)
{
    (void)user;
    const char *const pairs[] = {"zone=eu-1"};
    struct metadata_options options = {pairs, 1, "10.0.0.5", 8080};
    char *metadata = NULL;
    comrade_status status = metadata_build(&options, &metadata, NULL);
    free(metadata);
    return status;
}

/* Where jansson is refused memory while it writes, it may leave something out and say nothing; what
   comes is looked at again by the library. Here only leaks and crashes are looked for. */
static bool details_need(size_t nth)
{
    struct details details = {
        .has_exit = true, .next_retry_ms = 1, .check = "x", .tail = "a\n", .tail_len = 2};
    size_t n_leaked = 0;
    allocation_faults_begin(ALLOCATION_FAIL_ONE, nth);
    char *text = details_text(&details);
    bool is_text = text != NULL;
    free(text);
    bool has_come = allocation_faults_end(&n_leaked);
    assert_int_equal(n_leaked, 0);
    assert_true(has_come || is_text);
    return has_come;
}

static void no_failed_allocation_leaks_or_crashes(void **state)
{
    (void)state;
    for_each_failed_allocation(build_scenario, NULL);
    for (size_t nth = 1; details_need(nth); nth++) {
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_read_with_and_without_a_port),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(a_store_on_this_machine_means_the_loopback),
        cmocka_unit_test(metadata_is_text_but_for_the_port),
        cmocka_unit_test(bad_metadata_is_refused),
        cmocka_unit_test(details_tell_the_last_exit),
        cmocka_unit_test(whatever_it_wrote_the_details_are_small_and_valid),
        cmocka_unit_test(a_cut_tail_begins_with_a_whole_line),
        cmocka_unit_test(no_failed_allocation_leaks_or_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
