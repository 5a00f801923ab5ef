/* What `comrade store check` says of a Datastore: who we are there, what it knows, how it is read.
 */
#include "store/datastore/internal.h"

#include <inttypes.h>
#include <stdlib.h>

enum { TEXT_LIMIT = 1024, CLOCKS_APART_MS = 2000 };

struct findings {
    void (*on_finding)(void *user, bool is_problem, const char *text);
    void *user;
};

static void tell(const struct findings *findings, bool is_problem, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void tell(const struct findings *findings, bool is_problem, const char *format, ...)
{
    va_list arguments;
    char text[TEXT_LIMIT];
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    findings->on_finding(findings->user, is_problem, text);
}

static void tell_place(const comrade_store *store, const struct findings *findings)
{
    const struct place *place = &store->place;
    const char *database = place->database[0] == '\0' ? "(default)" : place->database;
    const char *name_space = place->name_space[0] == '\0' ? "(default)" : place->name_space;
    tell(findings, false,
         "members are entities of the kind %s, namespace %s, database %s, project %s", place->kind,
         name_space, database, place->project);
    tell(findings, false, "asked at %s as %s", place->endpoint,
         store->credentials == NULL ? "nobody: it wants no credentials"
                                    : credentials_name(store->credentials));
    const char *payer =
        store->credentials == NULL ? NULL : credentials_quota_project(store->credentials);
    if (payer != NULL) {
        tell(findings, false, "requests count to the quota of the project %s", payer);
    }
}

static void tell_knows(const comrade_store *store, const struct findings *findings)
{
    if (!store->knows.versions) {
        tell(findings, true,
             "this server knows no masks or base versions, as an older emulator does not: a "
             "heartbeat is a transaction of two requests");
    } else {
        tell(findings, false, "a heartbeat is one request: masks and base versions work");
    }
    if (!store->knows.transforms) {
        tell(findings, true,
             "this server sets no property to its own time: `updated` is the time that the "
             "members estimate");
    }
}

static void tell_clock(const comrade_store *store, const comrade_call *call,
                       const struct findings *findings)
{
    int64_t apart_ms = store->wall_ms(store->wall_clock) - datastore_now_ms(store, call);
    if (llabs(apart_ms) > CLOCKS_APART_MS) {
        tell(findings, true,
             "this machine's clock is %" PRId64 " s %s the server's: set it (NTP); only the "
             "server's counts, but for asking for a token",
             (int64_t)llabs(apart_ms) / 1000, apart_ms > 0 ? "ahead of" : "behind");
    }
}

/* Which knows the default database and the default namespace alone, whatever it was told. */
static void tell_original(const comrade_store *store, const struct findings *findings)
{
    bool is_where_it_looks = store->place.database[0] == '\0' && store->place.name_space[0] == '\0';
    tell(findings, false,
         is_where_it_looks ? "clients of comrade 0.0.3 on this kind see these members, and heed no "
                             "minimum but their own"
                           : "clients of comrade 0.0.3 see none of these members: they look into "
                             "the default namespace of the default database");
}

comrade_status datastore_check(comrade_store *store, const comrade_call *call,
                               void (*on_finding)(void *user, bool is_problem, const char *text),
                               void *user, comrade_error *error)
{
    comrade_status status = datastore_need_knows(store, call, error);
    if (status != COMRADE_OK) {
        return status;
    }
    const struct findings findings = {on_finding, user};
    tell_place(store, &findings);
    tell_knows(store, &findings);
    tell_clock(store, call, &findings);
    tell(&findings, false, "Datastore pushes nothing: requests come with the next heartbeat");
    tell_original(store, &findings);
    return COMRADE_OK;
}
