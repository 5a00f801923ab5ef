/*
 * Members as JSON text: JavaScript's own parser makes objects of it several times faster than a
 * call for each property could, and metadata is JSON already. Lists are taken a page at a time, so
 * that a long one does not hold up the event loop.
 */
#include "addon.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Text ----------------------------------------------------------------------------------------
 */

struct text {
    char *bytes;
    size_t len;
    size_t capacity;
    bool has_failed;
};

static char *room(struct text *text, size_t len)
{
    if (text->capacity - text->len < len && !text->has_failed) {
        size_t capacity = 2 * text->capacity + len;
        char *bytes = realloc(text->bytes, capacity);
        text->has_failed = bytes == NULL;
        text->bytes = bytes == NULL ? text->bytes : bytes;
        text->capacity = bytes == NULL ? text->capacity : capacity;
    }
    return text->has_failed ? NULL : text->bytes + text->len;
}

static void append_bytes(struct text *text, const char *bytes, size_t len)
{
    char *to = room(text, len);
    if (to != NULL) {
        memcpy(to, bytes, len);
        text->len += len;
    }
}

static void append(struct text *text, const char *piece)
{
    append_bytes(text, piece, strlen(piece));
}

static void append_string(struct text *text, const char *piece)
{
    enum { ESCAPED_MAX_BYTES = 6 }; /* "\u001f" */
    char *start = room(text, ESCAPED_MAX_BYTES * strlen(piece) + 2);
    if (start == NULL) {
        return;
    }
    char *to = start;
    *to++ = '"';
    for (const char *from = piece; *from != '\0'; from++) {
        unsigned char byte = (unsigned char)*from;
        if (byte < ' ') {
            to += snprintf(to, ESCAPED_MAX_BYTES + 1, "\\u%04x", byte);
            continue;
        }
        if (byte == '"' || byte == '\\') {
            *to++ = '\\';
        }
        *to++ = *from;
    }
    *to++ = '"';
    text->len += (size_t)(to - start);
}

static void append_text_field(struct text *text, const char *name, const char *value)
{
    append(text, name);
    append_string(text, value);
}

static void append_number_field(struct text *text, const char *name, int64_t value)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRId64, value);
    append(text, name);
    append(text, digits);
}

static void append_bool_field(struct text *text, const char *name, bool value)
{
    append(text, name);
    append(text, value ? "true" : "false");
}

/* --- A member
 * ------------------------------------------------------------------------------------- */

static void append_request(struct text *text, const comrade_member_data *data)
{
    append_text_field(text, ",\"request\":{\"id\":", data->request_id);
    append_text_field(text, ",\"by\":", data->requested_by);
    append_text_field(text, ",\"reason\":", data->request_reason);
    append_number_field(text, ",\"requested\":", data->shutdown_ms);
    append(text, "}");
}

static void append_details(struct text *text, const comrade_member_data *data)
{
    append_text_field(text, ",\"state\":", comrade_state_name(data->state));
    append_bool_field(text, ",\"available\":", data->is_available);
    append_text_field(text, ",\"host\":", data->host);
    append_number_field(text, ",\"pid\":", data->pid);
    append_text_field(text, ",\"version\":", data->version);
    append_number_field(text, ",\"incarnation\":", data->incarnation);
    /* A kill of the original's says no more than that it was asked. */
    if (data->request != COMRADE_REQUEST_NONE || data->requested_by[0] != '\0') {
        append_request(text, data);
    }
}

/* As in the original's records, what there is none of is absent. */
static void append_member(struct text *text, const comrade_member_data *data, bool has_details)
{
    append_text_field(text, "{\"id\":", data->id);
    append_text_field(text, ",\"role\":", data->role);
    append_bool_field(text, ",\"alive\":", data->is_alive);
    append_number_field(text, ",\"created\":", data->created_ms);
    append_number_field(text, ",\"updated\":", data->updated_ms);
    if (strcmp(data->metadata, "{}") != 0) {
        append(text, ",\"metadata\":");
        append(text, data->metadata);
    }
    if (data->shutdown_ms != 0) {
        append_number_field(text, ",\"shutdownDate\":", data->shutdown_ms);
    }
    append_bool_field(text, ",\"healthy\":", data->is_healthy);
    append_bool_field(text, ",\"stale\":", data->is_stale);
    if (has_details) {
        append_details(text, data);
    }
    append(text, "}");
}

/* Frees the text. NULL: thrown. */
static napi_value finish(napi_env env, struct text *text)
{
    napi_value value = NULL;
    if (text->has_failed ||
        napi_create_string_utf8(env, text->bytes, text->len, &value) != napi_ok) {
        throw_no_memory(env);
    }
    free(text->bytes);
    return value;
}

napi_value member_text_value(napi_env env, const comrade_member_data *data, bool has_details)
{
    struct text text = {.bytes = NULL};
    append_member(&text, data, has_details);
    return finish(env, &text);
}

/* --- A list
 * --------------------------------------------------------------------------------------- */

static void members_finalize(napi_env env, void *data, void *hint)
{
    (void)env;
    (void)hint;
    comrade_members_free(data);
}

napi_value members_value(napi_env env, comrade_members *members)
{
    napi_value value = NULL;
    if (members == NULL) {
        napi_get_null(env, &value);
        return value;
    }
    return external_value(env, members, members_finalize);
}

/* (members) */
napi_value members_count(napi_env env, napi_callback_info info)
{
    struct arguments arguments;
    const comrade_members *members;
    napi_value value = NULL;
    if (arguments_read(env, info, &arguments) &&
        (members = argument_external(&arguments, 0)) != NULL) {
        napi_create_int64(env, (int64_t)comrade_members_count(members), &value);
    }
    return value;
}

static napi_value page_value(napi_env env, const comrade_members *members, size_t from, size_t to,
                             bool has_details)
{
    struct text text = {.bytes = NULL};
    const comrade_member_data *data;
    append(&text, "[");
    for (size_t i = from; i < to && (data = comrade_members_at(members, i)) != NULL; i++) {
        append(&text, i == from ? "" : ",");
        append_member(&text, data, has_details);
    }
    append(&text, "]");
    return finish(env, &text);
}

/* (members, from, to, hasDetails): a JSON array of those from `from` and before `to`. */
napi_value members_text(napi_env env, napi_callback_info info)
{
    struct arguments arguments;
    const comrade_members *members;
    int64_t from;
    int64_t to;
    if (!arguments_read(env, info, &arguments) ||
        (members = argument_external(&arguments, 0)) == NULL ||
        !argument_number(&arguments, 1, 0, &from) || !argument_number(&arguments, 2, 0, &to)) {
        return NULL;
    }
    return page_value(env, members, (size_t)from, (size_t)to, argument_is_true(&arguments, 3));
}
