/*
 * comrade watch: a line whenever a member comes, changes or leaves. The library tells the whole set
 * each time; what is new in it is found by comparing it with the set before.
 */
#include "base/env.h"
#include "base/text.h"
#include "cli/ask.h"
#include "cli/duration_text.h"
#include "cli/member_json.h"
#include "cli/member_query.h"
#include "cli/member_table.h"
#include "cli/output.h"
#include "cli/verbs.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { LINE_LIMIT = 256 * 1024 };

static const struct option_row watch_rows[] = {
    {.name = "json",
     .type = OPTION_FLAG,
     .help =
         "one JSON object a line: \"change\" (came, changed, left), then the member as list has "
         "it"},
    {.name = NULL},
};
static const struct option_group watch_options = {"Output", watch_rows};

/* A member of a set, as what can be told of it. */
struct kept {
    char *role;
    char *id;
    char *seen; /* what makes a change: for people, what they are shown; else all but `updated` */
    char *json; /* without the braces; NULL for people */
};

struct watcher {
    bool has_json;
    bool is_lost; /* the store is unreachable, and that was said */
    bool is_failed;
    struct kept *kept; /* the set that was told last, sorted by role and id */
    size_t n_kept;
};

static void free_set(struct kept *set, size_t n)
{
    for (size_t i = 0; set != NULL && i < n; i++) {
        free(set[i].role);
        free(set[i].id);
        free(set[i].seen);
        free(set[i].json);
    }
    free(set);
}

static char *seen_text(const comrade_member_data *member)
{
    char address[MEMBER_ADDRESS_SIZE];
    struct buffer text;
    buffer_init(&text, LINE_LIMIT);
    member_address(member, address);
    buffer_append_format(&text, "%s, %s%s%s", member_state_text(member),
                         strcmp(member_health_text(member), "ok") == 0 ? "healthy" : "unhealthy",
                         member->is_available ? ", available" : "",
                         member->request == COMRADE_REQUEST_NONE ? "" : ", asked to leave");
    buffer_append_format(&text, "%s%s", address[0] == '\0' ? "" : ", ", address);
    char *taken = buffer_take(&text);
    buffer_finish(&text);
    return taken;
}

static char *json_text(const comrade_member_data *member)
{
    struct buffer text;
    buffer_init(&text, LINE_LIMIT);
    member_json_append_fields(&text, member);
    char *taken = buffer_take(&text);
    buffer_finish(&text);
    return taken;
}

static void print_change(struct watcher *watcher, const char *change, const struct kept *kept)
{
    if (watcher->has_json) {
        printf("{\"change\":\"%s\",%s}\n", change, kept->json);
    } else {
        char time_text[MOMENT_TEXT_SIZE];
        moment_text_short(env_wall_ms(&env_system), time_text);
        printf("%s  %-7s  ", time_text, change);
        output_text(stdout, kept->id);
        fputs("  ", stdout);
        output_text(stdout, kept->seen);
        fputc('\n', stdout);
    }
}

/* A heartbeat is no change: each one moves `updated`, and the set is told whole. */
static char *still_text(const comrade_member_data *member)
{
    comrade_member_data still = *member;
    still.updated_ms = 0;
    return json_text(&still);
}

static bool fill_kept(const struct watcher *watcher, const comrade_member_data *member,
                      struct kept *kept)
{
    kept->role = strdup(member->role);
    kept->id = strdup(member->id);
    kept->seen = watcher->has_json ? still_text(member) : seen_text(member);
    kept->json = watcher->has_json ? json_text(member) : NULL;
    return kept->role != NULL && kept->id != NULL && kept->seen != NULL &&
           (kept->json != NULL || !watcher->has_json);
}

/* NULL when out of memory. */
static struct kept *new_set(const struct watcher *watcher, const comrade_members *members, size_t n)
{
    struct kept *set = calloc(n + 1, sizeof *set);
    for (size_t i = 0; set != NULL && i < n; i++) {
        if (!fill_kept(watcher, comrade_members_at(members, i), &set[i])) {
            free_set(set, n);
            return NULL;
        }
    }
    return set;
}

static int compare(const struct kept *a, const struct kept *b)
{
    int order = strcmp(a->role, b->role);
    return order != 0 ? order : strcmp(a->id, b->id);
}

/* Walks the old and the new set side by side: both are sorted. */
static void tell_changes(struct watcher *watcher, const struct kept *fresh, size_t n_fresh)
{
    size_t i = 0;
    size_t j = 0;
    while (i < watcher->n_kept || j < n_fresh) {
        int order = i == watcher->n_kept ? 1
                    : j == n_fresh       ? -1
                                         : compare(&watcher->kept[i], &fresh[j]);
        if (order < 0) {
            print_change(watcher, "left", &watcher->kept[i]);
        } else if (order > 0) {
            print_change(watcher, "came", &fresh[j]);
        } else if (strcmp(watcher->kept[i].seen, fresh[j].seen) != 0) {
            print_change(watcher, "changed", &fresh[j]);
        }
        i += order <= 0 ? 1 : 0;
        j += order >= 0 ? 1 : 0;
    }
}

static void on_change(void *user, const comrade_members *members, const comrade_error *error)
{
    struct watcher *watcher = user;
    if (members == NULL) {
        watcher->is_lost = true;
        fprintf(stderr, "%s; the last list stays true until it is back\n", error->message);
        return;
    }
    if (watcher->is_lost) {
        watcher->is_lost = false;
        fputs("the store is back\n", stderr);
    }
    size_t n = comrade_members_count(members);
    struct kept *fresh = new_set(watcher, members, n);
    if (fresh == NULL) {
        watcher->is_failed = true;
        return;
    }
    tell_changes(watcher, fresh, n);
    free_set(watcher->kept, watcher->n_kept);
    watcher->kept = fresh;
    watcher->n_kept = n;
    watcher->is_failed |= fflush(stdout) != 0;
}

/*
 * Readable when a signal came, or when the reader of stdout has gone: nothing may change for hours,
 * and `comrade watch | head` should not last that long. -1: errno says why.
 */
static int open_ends(int signal_fd)
{
    int ends_fd = signal_fd < 0 ? -1 : epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event signals = {.events = EPOLLIN};
    struct epoll_event reader = {.events = EPOLLERR};
    if (ends_fd >= 0 && epoll_ctl(ends_fd, EPOLL_CTL_ADD, signal_fd, &signals) != 0) {
        close(ends_fd);
        return -1;
    }
    if (ends_fd >= 0) {
        epoll_ctl(ends_fd, EPOLL_CTL_ADD, STDOUT_FILENO, &reader); /* EPERM: a file has no reader */
    }
    return ends_fd;
}

static bool has_ended(int ends_fd)
{
    struct epoll_event event;
    return epoll_wait(ends_fd, &event, 1, 0) > 0;
}

/* Until a signal says to stop, or nobody reads any more. */
static int follow(struct cli *cli, const comrade_query *query, bool has_json)
{
    sigset_t stop_signals;
    sigset_t before;
    struct watcher watcher = {.has_json = has_json};
    comrade_watch *watch = NULL;
    comrade_error error;
    sigemptyset(&stop_signals);
    sigaddset(&stop_signals, SIGINT);
    sigaddset(&stop_signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop_signals, &before);
    int signal_fd = signalfd(-1, &stop_signals, SFD_CLOEXEC | SFD_NONBLOCK);
    int ends_fd = open_ends(signal_fd);
    int code = EXIT_CODE_DONE;
    if (ends_fd < 0) {
        code = cli_fail(cli, EXIT_CODE_FAILED, "cannot wait for signals: %s", strerror(errno));
    } else if (comrade_watch_start(cli->client, query, on_change, &watcher, &watch, &error) !=
               COMRADE_OK) {
        code = cli_error(cli, &error);
    }
    while (code == EXIT_CODE_DONE && !watcher.is_failed && !has_ended(ends_fd)) {
        cluster_wait(cli->cluster, ends_fd, INT64_MAX);
    }
    if (watcher.is_failed) {
        code = output_end(cli);
    }
    comrade_watch_stop(watch);
    if (ends_fd >= 0) {
        close(ends_fd);
    }
    if (signal_fd >= 0) {
        struct signalfd_siginfo taken; /* else it would end the program, or the shell, below */
        while (read(signal_fd, &taken, sizeof taken) > 0) {
        }
        close(signal_fd);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    free_set(watcher.kept, watcher.n_kept);
    return code;
}

static int run(struct cli *cli, const struct options *options)
{
    struct member_query query;
    int code = member_query_init(&query, cli, options);
    if (code != EXIT_CODE_DONE) {
        return code;
    }
    code = cli_open(cli, options);
    if (code == EXIT_CODE_DONE) {
        code = follow(cli, &query.query, options_flag(options, "json"));
    }
    member_query_finish(&query);
    return code;
}

static const char *const examples[] = {
    "comrade watch --role app",
    "a line whenever a member comes, changes or leaves",
    "comrade watch --role app --alive --healthy --json",
    "for a program that keeps a list of addresses",
    NULL,
};
static const struct option_group *const groups[] = {&watch_options, &filter_options, &store_options,
                                                    NULL};

const struct verb verb_watch = {
    .name = "watch",
    .summary = "Follow members as they come, change and leave",
    .description =
        "Prints those that match, then a line for each change, as soon as the store pushes it.\n"
        "With filters such as --alive a member \"left\" when it no longer matches. While the "
        "store\n"
        "is unreachable the last list stays true; that is said on stderr. Ends on ^C.",
    .examples = examples,
    .groups = groups,
    .run = run,
};
