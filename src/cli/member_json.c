/*
 * Written by hand, not by a library: 100,000 members are printed as fast as they are read, and
 * metadata and details are JSON already. What a terminal would act on is escaped in them too; in
 * valid JSON such characters can stand only inside strings, where \u00XX means the same.
 */
#include "cli/member_json.h"

#include "base/text.h"

#include <stdint.h>
#include <string.h>

enum json_place { JSON_STRING, JSON_DOCUMENT };

/* Bytes that mean themselves, wherever they stand. */
static size_t plain_len(const char *text, enum json_place place)
{
    size_t len = 0;
    while (text[len] >= ' ' && text[len] < 0x7f &&
           (place == JSON_DOCUMENT || (text[len] != '"' && text[len] != '\\'))) {
        len++;
    }
    return len;
}

/* One character that may not mean itself. Returns how many bytes it was. */
static size_t append_character(struct buffer *buf, const char *text, enum json_place place)
{
    unsigned char byte = (unsigned char)text[0];
    size_t len = text_utf8_len(text, strnlen(text, 4));
    char character[5] = {0};
    memcpy(character, text, len);
    if (len == 0) {
        buffer_append_text(buf, "\\ufffd");
        return 1;
    }
    if (byte == '"' || byte == '\\') {
        buffer_append_format(buf, "\\%c", byte);
    } else if (byte < ' ' && place == JSON_DOCUMENT) {
        buffer_append_text(buf, " "); /* white space between tokens */
    } else if (byte < ' ' || byte == 0x7f) {
        buffer_append_format(buf, "\\u%04x", byte);
    } else if (text_has_control(character)) {
        /* C1 and the bidirectional overrides: two or three bytes. */
        unsigned code = len == 2 ? (byte & 0x1fu) << 6 | ((unsigned char)text[1] & 0x3fu)
                                 : (byte & 0x0fu) << 12 | ((unsigned char)text[1] & 0x3fu) << 6 |
                                       ((unsigned char)text[2] & 0x3fu);
        buffer_append_format(buf, "\\u%04x", code);
    } else {
        buffer_append(buf, text, len);
    }
    return len;
}

static void append_safely(struct buffer *buf, const char *text, enum json_place place)
{
    while (text[0] != '\0') {
        size_t len = plain_len(text, place);
        buffer_append(buf, text, len);
        text += len;
        if (text[0] != '\0') {
            text += append_character(buf, text, place);
        }
    }
}

bool member_json_append_string(struct buffer *buf, const char *text)
{
    buffer_append(buf, "\"", 1);
    append_safely(buf, text, JSON_STRING);
    return buffer_append(buf, "\"", 1);
}

/* --- Fields: `name` comes with what stands before it ------------------------------------------ */

static void append_text(struct buffer *buf, const char *name, const char *text)
{
    buffer_append_text(buf, name);
    member_json_append_string(buf, text);
}

static void append_truth(struct buffer *buf, const char *name, bool is_true)
{
    buffer_append_text(buf, name);
    buffer_append_text(buf, is_true ? "true" : "false");
}

static void append_number(struct buffer *buf, const char *name, int64_t number)
{
    char digits[24];
    size_t i = sizeof digits;
    uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do {
        digits[--i] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (number < 0) {
        digits[--i] = '-';
    }
    buffer_append_text(buf, name);
    buffer_append(buf, digits + i, sizeof digits - i);
}

static void append_object(struct buffer *buf, const char *name, const char *text)
{
    buffer_append_text(buf, name);
    append_safely(buf, text[0] == '\0' ? "{}" : text, JSON_DOCUMENT);
}

static const char *kind_name(comrade_request_kind kind)
{
    switch (kind) {
    case COMRADE_REQUEST_NONE:
        return "none";
    case COMRADE_REQUEST_KILL:
        return "kill";
    case COMRADE_REQUEST_RESTART:
        return "restart";
    }
    return "none";
}

static void append_request(struct buffer *buf, const comrade_member_data *member)
{
    if (member->request == COMRADE_REQUEST_NONE) {
        buffer_append_text(buf, ",\"request\":null");
        return;
    }
    append_text(buf, ",\"request\":{\"kind\":", kind_name(member->request));
    append_text(buf, ",\"by\":", member->requested_by);
    append_text(buf, ",\"reason\":", member->request_reason);
    append_number(buf, ",\"at\":", member->shutdown_ms);
    append_text(buf, ",\"id\":", member->request_id);
    buffer_append(buf, "}", 1);
}

/* Who took it off the list, where nobody has asked it to leave since. */
static void append_zombified(struct buffer *buf, const comrade_member_data *member)
{
    if (member->request != COMRADE_REQUEST_NONE || member->requested_by[0] == '\0') {
        buffer_append_text(buf, ",\"zombified\":null");
        return;
    }
    append_text(buf, ",\"zombified\":{\"by\":", member->requested_by);
    append_text(buf, ",\"reason\":", member->request_reason);
    append_text(buf, ",\"id\":", member->request_id);
    buffer_append(buf, "}", 1);
}

bool member_json_append_fields(struct buffer *buf, const comrade_member_data *member)
{
    append_text(buf, "\"id\":", member->id);
    append_text(buf, ",\"role\":", member->role);
    append_truth(buf, ",\"alive\":", member->is_alive);
    append_truth(buf, ",\"healthy\":", member->is_healthy);
    append_truth(buf, ",\"stale\":", member->is_stale);
    append_number(buf, ",\"created\":", member->created_ms);
    append_number(buf, ",\"updated\":", member->updated_ms);
    if (member->shutdown_ms == 0) {
        buffer_append_text(buf, ",\"shutdownDate\":null");
    } else {
        append_number(buf, ",\"shutdownDate\":", member->shutdown_ms);
    }
    append_object(buf, ",\"metadata\":", member->metadata);
    append_truth(buf, ",\"available\":", member->is_available);
    append_text(buf, ",\"state\":", comrade_state_name(member->state));
    append_text(buf, ",\"host\":", member->host);
    append_number(buf, ",\"pid\":", member->pid);
    append_text(buf, ",\"version\":", member->version);
    append_number(buf, ",\"incarnation\":", member->incarnation);
    append_request(buf, member);
    append_zombified(buf, member);
    append_object(buf, ",\"details\":", member->details);
    return !buf->is_failed;
}

bool member_json_append(struct buffer *buf, const comrade_member_data *member)
{
    buffer_append(buf, "{", 1);
    member_json_append_fields(buf, member);
    buffer_append(buf, "}", 1);
    return !buf->is_failed;
}
