/* A name server that does not answer: getaddrinfo() is made to wait until the test lets it go. */
#include "base/env.h"
#include "contract/contract.h"
#include "store/postgres/postgres.h"

#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int gate[2];  /* a lookup waits until there is something to read */
static int ended[2]; /* and says here that it has ended */

int __real_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                       struct addrinfo **found);
int __wrap_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                       struct addrinfo **found);

int __wrap_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                       struct addrinfo **found)
{
    char token;
    if (strcmp(name, "slow.invalid") != 0) {
        return __real_getaddrinfo(name, service, hints, found);
    }
    assert_int_equal(read(gate[0], &token, 1), 1);
    assert_int_equal(write(ended[1], &token, 1), 1);
    return EAI_AGAIN;
}

static comrade_status open_within(int64_t ms, const char *url, comrade_error *error)
{
    comrade_store *store = NULL;
    comrade_store_config config = {.size = sizeof config,
                                   .url = url,
                                   .shown_url = url,
                                   .name_space = "",
                                   .kind = "ComradeServer",
                                   .wall_ms = contract_wall_ms};
    comrade_call call = contract_call();
    call.deadline_ms = call.now_ms(call.clock) + ms;
    comrade_status status = postgres_driver.open(&config, &call, &store, error);
    postgres_driver.close(store);
    return status;
}

static void a_name_server_that_does_not_answer_ends_with_the_call(void **state)
{
    (void)state;
    comrade_error error = {0};
    char token = 'x';
    assert_int_equal(open_within(200, "postgres://slow.invalid/test", &error), COMRADE_UNAVAILABLE);
    assert_non_null(strstr(error.message, "no name server answered in time"));
    assert_int_equal(write(gate[1], &token, 1), 1);
    assert_int_equal(read(ended[0], &token, 1), 1);
}

static void a_host_after_it_still_has_its_share(void **state)
{
    (void)state;
    comrade_error error = {0};
    char token = 'x';
    assert_int_equal(open_within(400, "postgres://slow.invalid:1,127.0.0.1:1/test", &error),
                     COMRADE_UNAVAILABLE);
    assert_non_null(strstr(error.message, "Connection refused"));
    assert_int_equal(write(gate[1], &token, 1), 1);
    assert_int_equal(read(ended[0], &token, 1), 1);
}

static void a_name_that_is_not_known_is_said(void **state)
{
    (void)state;
    comrade_error error = {0};
    assert_int_equal(open_within(20000, "postgres://nobody.invalid/test", &error),
                     COMRADE_UNAVAILABLE);
    assert_non_null(strstr(error.message, "look up \"nobody.invalid\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_server_that_does_not_answer_ends_with_the_call),
        cmocka_unit_test(a_host_after_it_still_has_its_share),
        cmocka_unit_test(a_name_that_is_not_known_is_said),
    };
    if (pipe(gate) != 0 || pipe(ended) != 0) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
