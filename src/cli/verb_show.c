/* comrade show: everything about one member. */
#include "base/json.h"
#include "base/text.h"
#include "cli/ask.h"
#include "cli/duration_text.h"
#include "cli/member_table.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "core/query.h"

#include <stdlib.h>
#include <string.h>

enum { LABEL_COLUMNS = 13 };

static const struct option_row show_rows[] = {
    {.name = "json", .type = OPTION_FLAG, .help = "the member as list --json has it"},
    {.name = NULL},
};
static const struct option_group show_options = {"Output", show_rows};

static void label(const char *name)
{
    printf("%-*s", LABEL_COLUMNS, name);
}

static void line(const char *name, const char *text)
{
    label(name);
    output_text(stdout, text);
    fputc('\n', stdout);
}

/* "2026-07-04 12:00:05 +0200, 3m ago" by the store's clock. */
static void line_moment(const char *name, int64_t moment_ms, int64_t now_ms)
{
    char moment[MOMENT_TEXT_SIZE];
    char age[DURATION_TEXT_SIZE];
    moment_text(moment_ms, moment);
    duration_text(now_ms - moment_ms, age);
    label(name);
    printf("%s, %s ago\n", moment, age);
}

/* Why the disruption budget does not count it; NULL if it does. */
static const char *why_unavailable(const comrade_member_data *member)
{
    if (member->is_available) {
        return NULL;
    }
    if (member->request != COMRADE_REQUEST_NONE) {
        return member->request == COMRADE_REQUEST_RESTART ? "it was asked to restart"
                                                          : "it was asked to leave";
    }
    if (!member->is_alive) {
        return "it is not in rotation";
    }
    if (!member->is_healthy) {
        return "it is not healthy, or silent";
    }
    return "it has not been up for long enough, or its heartbeat is late";
}

/* A client of comrade 0.0.3 says neither. */
static void print_by_and_why(const comrade_member_data *member)
{
    line("  by", member->requested_by[0] == '\0' ? "(not said)" : member->requested_by);
    line("  why", member->request_reason[0] == '\0' ? "(no reason given)" : member->request_reason);
}

static void print_request(const comrade_member_data *member)
{
    if (member->request == COMRADE_REQUEST_NONE && member->requested_by[0] == '\0') {
        return;
    }
    if (member->request == COMRADE_REQUEST_NONE) {
        fputs("\ntaken off the list\n", stdout);
        print_by_and_why(member);
        return;
    }
    fputs(member->request == COMRADE_REQUEST_RESTART ? "\nasked to restart\n"
                                                     : "\nasked to leave\n",
          stdout);
    line_moment("  when", member->shutdown_ms, member->now_ms);
    print_by_and_why(member);
}

static void print_metadata(const char *text)
{
    json_t *metadata = json_object_parse("metadata", text, strlen(text), NULL);
    const char *key;
    json_t *value;
    if (json_object_size(metadata) > 0) {
        fputs("\nmetadata\n", stdout);
    }
    json_object_foreach(metadata, key, value)
    {
        char *shown = json_to_plain_text(value);
        fputs("  ", stdout);
        output_text(stdout, key);
        fputs(" = ", stdout);
        output_text(stdout, shown == NULL ? "?" : shown);
        fputc('\n', stdout);
        free(shown);
    }
    json_decref(metadata);
}

static void print_tail(const char *tail)
{
    fputs("  last lines of its stderr\n", stdout);
    while (*tail != '\0') {
        size_t len = strcspn(tail, "\n");
        struct buffer shown;
        buffer_init(&shown, SIZE_MAX / 2);
        text_append_escaped(&shown, tail, len);
        printf("    %s\n", buffer_text(&shown));
        buffer_finish(&shown);
        tail += tail[len] == '\n' ? len + 1 : len;
    }
}

static void print_exit(const json_t *last, int64_t now_ms)
{
    const json_t *code = json_object_get(last, "code");
    const json_t *signal_number = json_object_get(last, "signal");
    const char *tail = json_string_value(json_object_get(last, "stderr"));
    fputs("\nlast exit\n", stdout);
    line_moment("  when", json_integer_value(json_object_get(last, "at")), now_ms);
    if (json_is_integer(code)) {
        label("  code");
        printf("%lld\n", (long long)json_integer_value(code));
    } else if (json_is_integer(signal_number)) {
        int number = (int)json_integer_value(signal_number);
        label("  signal");
        printf("%d (%s)\n", number, strsignal(number));
    }
    if (tail != NULL && tail[0] != '\0') {
        print_tail(tail);
    }
}

static void print_details(const comrade_member_data *member)
{
    json_t *details = json_object_parse("details", member->details, strlen(member->details), NULL);
    const json_t *restarts = json_object_get(details, "restarts");
    const json_t *retry = json_object_get(details, "next_retry_ms");
    const char *check = json_string_value(json_object_get(details, "check"));
    const char *problem = json_string_value(json_object_get(details, "error"));
    if (json_integer_value(restarts) > 0) {
        label("restarts");
        printf("%lld\n", (long long)json_integer_value(restarts));
    }
    if (json_is_integer(retry) && member->state == COMRADE_STATE_BACKOFF) {
        char wait[DURATION_TEXT_SIZE];
        duration_text(json_integer_value(retry), wait);
        label("next try");
        printf("%s after the last exit\n", wait);
    }
    if (check != NULL && check[0] != '\0') {
        line("check", check);
    }
    if (problem != NULL && problem[0] != '\0') {
        line("problem", problem);
    }
    const json_t *last = json_object_get(details, "exit");
    if (json_is_object(last)) {
        print_exit(last, member->now_ms);
    }
    json_decref(details);
}

static void print_people(const comrade_member_data *member)
{
    char address[MEMBER_ADDRESS_SIZE];
    const char *why_not = why_unavailable(member);
    member_address(member, address);
    line("id", member->id);
    line("role", member->role);
    line("state", member_state_text(member));
    line("health", member_health_text(member));
    label("available");
    printf("%s%s%s\n", why_not == NULL ? "yes" : "no: ", why_not == NULL ? "" : why_not,
           why_not == NULL ? ", the disruption budget counts it" : "");
    line("address", address[0] == '\0' ? "-" : address);
    line("host", member->host[0] == '\0' ? "-" : member->host);
    label("pid");
    if (member->pid == 0) {
        puts("-");
    } else {
        printf("%lld\n", (long long)member->pid);
    }
    line_moment("created", member->created_ms, member->now_ms);
    line_moment("heartbeat", member->updated_ms, member->now_ms);
    label("incarnation");
    printf("%lld\n", (long long)member->incarnation);
    line("version", member->version[0] == '\0' ? "-" : member->version);
    print_details(member);
    print_request(member);
    print_metadata(member->metadata);
}

/* The exact id, or the only one that begins so. */
static int find(struct cli *cli, const comrade_members *members, const char *text,
                const comrade_member_data **found)
{
    size_t n_members = comrade_members_count(members);
    size_t index = 0;
    comrade_error error;
    const char **ids = calloc(n_members + 1, sizeof *ids);
    if (ids == NULL) {
        return cli_fail(cli, EXIT_CODE_FAILED, "out of memory");
    }
    for (size_t i = 0; i < n_members; i++) {
        ids[i] = comrade_members_at(members, i)->id;
    }
    comrade_status status = query_find_text(ids, n_members, text, true, &index, &error);
    free(ids);
    if (status != COMRADE_OK) {
        return cli_error(cli, &error);
    }
    *found = comrade_members_at(members, index);
    return EXIT_CODE_DONE;
}

static int run(struct cli *cli, const struct options *options)
{
    comrade_members *members = NULL;
    const comrade_member_data *member = NULL;
    comrade_error error;
    int code = cli_open(cli, options);
    if (code != EXIT_CODE_DONE) {
        return code;
    }
    if (comrade_client_get_members(cli->client, NULL, cli->timeout_ms, &members, &error) !=
        COMRADE_OK) {
        return cli_error(cli, &error);
    }
    code = find(cli, members, options->operands[0], &member);
    if (member != NULL && options_flag(options, "json")) {
        code = output_member(stdout, member, true) ? output_end(cli) : EXIT_CODE_FAILED;
    } else if (member != NULL) {
        print_people(member);
        code = output_end(cli);
    }
    comrade_members_free(members);
    return code;
}

static const char *const examples[] = {
    "comrade show app-web1-2",
    "its state, its last exit, who asked it to leave and why",
    "comrade show app-web1-2 --json | jq .details",
    "for a script",
    NULL,
};
static const struct option_group *const groups[] = {&show_options, &store_options, NULL};

const struct verb verb_show = {
    .name = "show",
    .summary = "Show everything about one member",
    .operands = "ID",
    .min_operands = 1,
    .max_operands = 1,
    .description = "ID may be a unique prefix.",
    .examples = examples,
    .groups = groups,
    .run = run,
};
