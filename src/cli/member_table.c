#include "cli/member_table.h"

#include "cli/duration_text.h"
#include "cli/metadata_scan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ADDRESS_PART_MAX = 128 };

const struct table_column member_columns[] = {
    {"ID", false},   {"ROLE", false}, {"STATE", false}, {"HEALTH", false},   {"ADDRESS", false},
    {"HOST", false}, {"PID", true},   {"AGE", true},    {"HEARTBEAT", true}, {NULL, false},
};

static bool is_zombie(const comrade_member_data *member)
{
    return !member->is_alive && member->request == COMRADE_REQUEST_NONE &&
           (member->state == COMRADE_STATE_UP || member->state == COMRADE_STATE_UNHEALTHY);
}

const char *member_state_text(const comrade_member_data *member)
{
    return is_zombie(member) ? "zombie" : comrade_state_name(member->state);
}

const char *member_health_text(const comrade_member_data *member)
{
    if (member->is_stale) {
        return "stale";
    }
    return member->is_healthy ? "ok" : "no";
}

void member_address(const comrade_member_data *member, char text[MEMBER_ADDRESS_SIZE])
{
    struct text_slice ip = {"", 0};
    struct text_slice port = {"", 0};
    metadata_scan(member->metadata, "ip", &ip);
    metadata_scan(member->metadata, "port", &port);
    if (ip.len > ADDRESS_PART_MAX || port.len > ADDRESS_PART_MAX) {
        ip.len = port.len = 0; /* no address is that long */
    }
    bool is_ipv6 = memchr(ip.start, ':', ip.len) != NULL;
    snprintf(text, MEMBER_ADDRESS_SIZE, "%s%.*s%s%s%.*s", is_ipv6 ? "[" : "", (int)ip.len, ip.start,
             is_ipv6 ? "]" : "", port.len > 0 ? ":" : "", (int)port.len, port.start);
}

/* '*' says that it was asked to leave, where its state does not say so already. */
static void add_state(struct table *table, const comrade_member_data *member)
{
    char text[32];
    enum table_style style = TABLE_PLAIN;
    switch (member->state) {
    case COMRADE_STATE_UP:
        style =
            is_zombie(member) || member->request != COMRADE_REQUEST_NONE ? TABLE_WARN : TABLE_PLAIN;
        break;
    case COMRADE_STATE_STARTING:
    case COMRADE_STATE_DRAINING:
    case COMRADE_STATE_STOPPING:
        style = TABLE_WARN;
        break;
    case COMRADE_STATE_UNHEALTHY:
    case COMRADE_STATE_BACKOFF:
        style = TABLE_BAD;
        break;
    case COMRADE_STATE_STOPPED:
        style = TABLE_DIM;
        break;
    }
    snprintf(text, sizeof text, "%s%s", member_state_text(member),
             member->request == COMRADE_REQUEST_NONE ? "" : "*");
    table_add(table, style, text);
}

void member_table_add(struct table *table, const comrade_member_data *member)
{
    char address[MEMBER_ADDRESS_SIZE];
    char pid[24];
    char age[DURATION_TEXT_SIZE];
    char heartbeat[DURATION_TEXT_SIZE];
    member_address(member, address);
    snprintf(pid, sizeof pid, "%" PRId64, member->pid);
    duration_text(member->now_ms - member->created_ms, age);
    duration_text(member->now_ms - member->updated_ms, heartbeat);
    table_add(table, TABLE_PLAIN, member->id);
    table_add(table, TABLE_PLAIN, member->role);
    add_state(table, member);
    table_add(table, member->is_healthy ? TABLE_PLAIN : TABLE_BAD, member_health_text(member));
    table_add(table, TABLE_PLAIN, address[0] == '\0' ? "-" : address);
    table_add(table, TABLE_PLAIN, member->host[0] == '\0' ? "-" : member->host);
    table_add(table, TABLE_PLAIN, member->pid == 0 ? "-" : pid);
    table_add(table, TABLE_PLAIN, age);
    table_add(table, TABLE_PLAIN, heartbeat);
}
