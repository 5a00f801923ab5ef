/*
 * Calls of the Datastore API, REST v1: a JSON object there, one back. Whatever an answer says of
 * the time is taken note of here.
 */
#include "store/datastore/internal.h"
#include "store/datastore/value.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_LIMIT = 8 * 1024, N_HEADERS_MAX = 3 };

/* --- What came back ----------------------------------------------------------------------------
 */

const char *api_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text == NULL ? "" : text;
}

int64_t api_number(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_string(value) ? strtoll(json_string_value(value), NULL, 10)
                                 : (int64_t)json_integer_value(value);
}

static enum api_code code_of(const char *status_name)
{
    static const struct {
        const char *name;
        enum api_code code;
    } codes[] = {
        {"ABORTED", API_ABORTED},
        {"ALREADY_EXISTS", API_ALREADY_EXISTS},
        {"NOT_FOUND", API_NOT_FOUND},
        {"INVALID_ARGUMENT", API_INVALID_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (strcmp(codes[i].name, status_name) == 0) {
            return codes[i].code;
        }
    }
    return API_OTHER;
}

static void copy_text(char *to, size_t size, const char *from)
{
    size_t len = strlen(from) < size ? strlen(from) : size - 1;
    memcpy(to, from, len);
    to[len] = '\0';
}

/* What Google says of a failure; any other server's page leaves the HTTP status alone to tell. */
static void read_failure(struct api_request *request)
{
    const json_t *failure = json_object_get(request->answer, "error");
    copy_text(request->status_name, sizeof request->status_name, api_text(failure, "status"));
    copy_text(request->said, sizeof request->said, api_text(failure, "message"));
    size_t i;
    const json_t *detail;
    json_array_foreach(json_object_get(failure, "details"), i, detail)
    {
        copy_text(request->reason, sizeof request->reason, api_text(detail, "reason"));
    }
    request->is_of_others = !json_is_object(failure);
    request->code = code_of(request->status_name);
}

/* One that says what is wrong with the request has done nothing of it. */
static bool may_be_done(long http_status)
{
    enum { REQUEST_TIMEOUT = 408, CANCELLED = 499 };
    return http_status >= 500 || http_status == REQUEST_TIMEOUT || http_status == CANCELLED;
}

/*
 * Does the answer hold anything that Datastore says to that? One that does not, such as {}, would
 * else be an empty list, or a heartbeat that was taken. To a commit of nothing it says nothing.
 */
static bool is_answer_to(const struct api_request *request)
{
    static const struct {
        const char *method;
        const char *names[4];
    } rows[] = {
        {"runQuery", {"batch"}},
        {"lookup", {"found", "missing", "deferred", "readTime"}},
        {"commit", {"mutationResults"}},
        {"beginTransaction", {"transaction"}},
    };
    bool is_told = true;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const *names = rows[i].names;
        if (strcmp(rows[i].method, request->method) == 0) {
            is_told = strstr(request->body, "\"mutations\":[]") != NULL;
            for (size_t n = 0; n < 4 && names[n] != NULL; n++) {
                is_told = is_told || json_object_get(request->answer, names[n]) != NULL;
            }
        }
    }
    return is_told;
}

/* jansson says nothing at all where it had no memory to begin. */
static bool is_no_memory(const json_error_t *at)
{
    return at->text[0] == '\0' || json_error_code(at) == json_error_out_of_memory;
}

static void read_answer(struct api_request *request, const struct http_request *http)
{
    json_decref(request->answer); /* of an attempt before this one, as all that it said */
    *request = (struct api_request){.method = request->method,
                                    .body = request->body,
                                    .http_status = http->status,
                                    .may_be_done = http->may_be_done || may_be_done(http->status)};
    if (http->status == 0) {
        request->code = API_NONE;
        request->is_out_of_memory = http->is_out_of_memory;
        copy_text(request->said, sizeof request->said, http->failure);
        return;
    }
    json_error_t at = {0};
    request->answer = json_loadb(http->answer.bytes == NULL ? "" : http->answer.bytes,
                                 http->answer.len, JSON_REJECT_DUPLICATES, &at);
    request->is_out_of_memory = request->answer == NULL && is_no_memory(&at);
    if (request->is_out_of_memory) {
        request->code = API_NONE;
        request->may_be_done = request->may_be_done || http->status == 200;
        copy_text(request->said, sizeof request->said, "out of memory");
    } else if (http->status != 200) {
        read_failure(request);
    } else if (json_is_object(request->answer)) {
        request->is_of_others = !is_answer_to(request);
        request->may_be_done = request->may_be_done || request->is_of_others;
        request->code = request->is_of_others ? API_OTHER : API_OK;
    } else {
        request->is_of_others = true;
        request->code = API_OTHER;
        request->may_be_done = true;
        copy_text(request->said, sizeof request->said, "the answer is no JSON object");
    }
}

/* A commit without a transaction tells its time only by what the server has noted down with it. */
static int64_t time_noted(const json_t *answer)
{
    int64_t server_ms = 0;
    size_t i;
    const json_t *result;
    json_array_foreach(json_object_get(answer, "mutationResults"), i, result)
    {
        const json_t *noted = json_array_get(json_object_get(result, "transformResults"), 0);
        bool is_done = !json_is_true(json_object_get(result, "conflictDetected"));
        server_ms = is_done ? datastore_time_ms(api_text(noted, "timestampValue")) : 0;
        if (server_ms != 0) {
            break;
        }
    }
    return server_ms;
}

/* What an answer says of the server's time. 0: nothing, or that of an earlier read. */
static int64_t time_in(const struct api_request *request)
{
    const json_t *answer = request->answer;
    if (strstr(request->body, "\"readTime\":") != NULL) {
        return 0;
    }
    const char *const texts[] = {api_text(answer, "commitTime"), api_text(answer, "readTime"),
                                 api_text(json_object_get(answer, "batch"), "readTime")};
    int64_t server_ms = 0;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0] && server_ms == 0; i++) {
        server_ms = datastore_time_ms(texts[i]);
    }
    return server_ms == 0 ? time_noted(answer) : server_ms;
}

/* Of several answers that one tells the time best whose request was under way the shortest. */
static void note_time(comrade_store *store, const struct api_request *requests,
                      const struct http_request *https, size_t n_requests)
{
    enum { DATE_DOUBT_MS = 1000 }; /* a Date has whole seconds, but is nobody's who lies */
    bool may_be_date = !store->clock.is_known;
    int64_t least_doubt_ms = INT64_MAX;
    for (size_t i = 0; i < n_requests; i++) {
        int64_t server_ms = time_in(&requests[i]);
        int64_t doubt_ms = https[i].answered_ms - https[i].sent_ms;
        if (server_ms == 0 && may_be_date && https[i].sent_ms != 0) {
            server_ms = https[i].date_ms;
            doubt_ms += DATE_DOUBT_MS;
        }
        if (server_ms != 0 && doubt_ms < least_doubt_ms) {
            least_doubt_ms = doubt_ms;
            datastore_clock_set(store, server_ms, https[i].sent_ms, https[i].answered_ms);
        }
    }
}

/* --- Sending -----------------------------------------------------------------------------------
 */

/* What all requests of a batch have in common. */
struct frame {
    struct buffer authorization;
    struct buffer routing;
    struct buffer quota;
    const char *headers[N_HEADERS_MAX];
    size_t n_headers;
};

static void frame_finish(struct frame *frame)
{
    if (frame->authorization.bytes != NULL) {
        explicit_bzero(frame->authorization.bytes, frame->authorization.len);
    }
    buffer_finish(&frame->authorization);
    buffer_finish(&frame->routing);
    buffer_finish(&frame->quota);
}

static comrade_status frame_make(comrade_store *store, const comrade_call *call,
                                 struct frame *frame, comrade_error *error)
{
    const char *token = NULL;
    comrade_status status =
        store->credentials == NULL
            ? COMRADE_OK
            : credentials_token(store->credentials, store->http, call,
                                store->wall_ms(store->wall_clock), &token, error);
    if (status != COMRADE_OK) {
        return status;
    }
    bool is_done =
        buffer_append_format(&frame->routing, "x-goog-request-params: project_id=%s&database_id=%s",
                             store->place.project, store->place.database);
    frame->headers[frame->n_headers++] = buffer_text(&frame->routing);
    if (token != NULL) {
        is_done = is_done &&
                  buffer_append_format(&frame->authorization, "authorization: Bearer %s", token);
        frame->headers[frame->n_headers++] = buffer_text(&frame->authorization);
    }
    const char *payer =
        store->credentials == NULL ? NULL : credentials_quota_project(store->credentials);
    if (payer != NULL) {
        is_done = is_done && buffer_append_format(&frame->quota, "x-goog-user-project: %s", payer);
        frame->headers[frame->n_headers++] = buffer_text(&frame->quota);
    }
    return is_done ? COMRADE_OK : datastore_no_memory(store, "send", error);
}

static comrade_status send_once(comrade_store *store, const comrade_call *call, bool is_write,
                                struct api_request *requests, size_t n_requests,
                                const struct frame *frame)
{
    struct http_request *https = calloc(n_requests, sizeof *https);
    struct buffer *urls = calloc(n_requests, sizeof *urls);
    comrade_status status = https == NULL || urls == NULL ? COMRADE_NO_MEMORY : COMRADE_OK;
    for (size_t i = 0; i < n_requests && status == COMRADE_OK; i++) {
        buffer_init(&urls[i], TEXT_LIMIT);
        bool is_done = buffer_append_format(&urls[i], "%s/v1/projects/%s:%s", store->place.endpoint,
                                            store->place.project, requests[i].method);
        https[i] = (struct http_request){.url = buffer_text(&urls[i]),
                                         .body = requests[i].body,
                                         .body_len = strlen(requests[i].body),
                                         .content_type = "application/json",
                                         .is_repeatable = !is_write,
                                         .headers = frame->headers,
                                         .n_headers = frame->n_headers};
        status = is_done ? COMRADE_OK : COMRADE_NO_MEMORY;
    }
    if (status == COMRADE_OK) {
        status = http_perform(store->http, call, https, n_requests, DATASTORE_IN_FLIGHT);
    }
    for (size_t i = 0; i < n_requests && status == COMRADE_OK; i++) {
        read_answer(&requests[i], &https[i]);
    }
    if (status == COMRADE_OK) {
        note_time(store, requests, https, n_requests);
    }
    for (size_t i = 0; i < n_requests && https != NULL && urls != NULL; i++) {
        http_request_finish(&https[i]);
        buffer_finish(&urls[i]);
    }
    free(https);
    free(urls);
    return status;
}

static comrade_status send_with_token(comrade_store *store, const comrade_call *call, bool is_write,
                                      struct api_request *requests, size_t n_requests,
                                      comrade_error *error)
{
    struct frame frame = {0};
    buffer_init(&frame.authorization, TEXT_LIMIT * 4);
    buffer_init(&frame.routing, TEXT_LIMIT);
    buffer_init(&frame.quota, TEXT_LIMIT);
    comrade_status status = frame_make(store, call, &frame, error);
    if (status == COMRADE_OK &&
        send_once(store, call, is_write, requests, n_requests, &frame) != COMRADE_OK) {
        status = datastore_no_memory(store, "send", error);
    }
    frame_finish(&frame);
    return status;
}

/* A token may be revoked, or end early: what was refused for it is asked again with a new one. */
static comrade_status send_refused(comrade_store *store, const comrade_call *call, bool is_write,
                                   struct api_request *requests, size_t n_requests,
                                   comrade_error *error)
{
    comrade_status status = COMRADE_OK;
    bool is_forgotten = false;
    for (size_t i = 0; i < n_requests && status == COMRADE_OK; i++) {
        if (requests[i].http_status != 401 || store->credentials == NULL) {
            continue;
        }
        if (!is_forgotten) {
            credentials_forget(store->credentials);
            is_forgotten = true;
        }
        status = send_with_token(store, call, is_write, &requests[i], 1, error);
    }
    return status;
}

comrade_status api_perform(comrade_store *store, const comrade_call *call, const char *what,
                           bool is_write, struct api_request *requests, size_t n_requests,
                           comrade_error *error)
{
    if (comrade_call_is_over(call)) {
        bool is_late = call->now_ms(call->clock) >= call->deadline_ms;
        return comrade_error_set(error, is_late ? COMRADE_UNAVAILABLE : COMRADE_CANCELED,
                                 "%s: %s: %s", store->shown_url, what,
                                 is_late ? "no time was left to ask" : "cancelled");
    }
    comrade_status status = send_with_token(store, call, is_write, requests, n_requests, error);
    if (status == COMRADE_OK) {
        status = send_refused(store, call, is_write, requests, n_requests, error);
    }
    for (size_t i = 0; i < n_requests && status == COMRADE_OK; i++) {
        if (requests[i].code == API_OTHER || requests[i].code == API_NONE) {
            status = datastore_explain(store, call, what, is_write, &requests[i], error);
        }
    }
    return status;
}

char *api_body(const comrade_store *store, json_t *body)
{
    const char *database = store->place.database;
    json_t *whole = value_with(body, "databaseId", database[0] == '\0' ? NULL : database);
    char *text = value_dump(whole);
    json_decref(whole);
    return text;
}

comrade_status api_ask(comrade_store *store, const comrade_call *call, const char *what,
                       bool is_write, const char *method, json_t *body, struct api_request *request,
                       comrade_error *error)
{
    *request = (struct api_request){.method = method, .body = api_body(store, body)};
    if (request->body == NULL) {
        return datastore_no_memory(store, what, error);
    }
    return api_perform(store, call, what, is_write, request, 1, error);
}

bool api_is_failed_precondition(const struct api_request *request)
{
    return request->code == API_OTHER && strcmp(request->status_name, "FAILED_PRECONDITION") == 0;
}

void api_finish(struct api_request *request)
{
    free(request->body);
    json_decref(request->answer);
    request->body = NULL;
    request->answer = NULL;
}
