/* One server and one client, at a time. */
#include "contract/datastore_wire.h"

#include "contract/contract.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct wire wire;

void wire_begin(http_answerer answer, void *user)
{
    wire.server = http_server_start(answer, user);
    snprintf(wire.url, sizeof wire.url, "http://127.0.0.1:%d/v1", http_server_port(wire.server));
    wire.http = http_new();
    assert_non_null(wire.http);
}

void wire_end(void)
{
    http_free(wire.http);
    http_server_stop(wire.server);
}

struct http_request post_of(const char *body)
{
    return (struct http_request){.url = wire.url,
                                 .body = body,
                                 .body_len = strlen(body),
                                 .content_type = "application/json"};
}

void perform(struct http_request *request)
{
    comrade_call call = contract_call();
    assert_int_equal(http_perform(wire.http, &call, request, 1, 1), COMRADE_OK);
}

/* Performs it within a short time, which it must use up. */
void perform_shortly(struct http_request *request)
{
    comrade_call call = contract_call();
    int64_t begin_ms = call.now_ms(call.clock);
    call.deadline_ms = begin_ms + SHORT_MS;
    assert_int_equal(http_perform(wire.http, &call, request, 1, 1), COMRADE_OK);
    int64_t took_ms = call.now_ms(call.clock) - begin_ms;
    assert_true(took_ms >= SHORT_MS && took_ms < HANG_MS);
}

bool answer_well(struct http_exchange *exchange)
{
    http_exchange_answer(exchange, 200, NULL, "{\"is\":\"well\"}");
    return true;
}

bool repeat_request(struct http_exchange *exchange)
{
    char text[4096];
    snprintf(text, sizeof text, "%s%s", exchange->request, exchange->body);
    http_exchange_answer(exchange, 404, NULL, text);
    return true;
}

bool be_silent_first(struct http_exchange *exchange)
{
    if (exchange->nth == 1) {
        http_exchange_wait_for_close(exchange);
        return false;
    }
    return answer_well(exchange);
}
