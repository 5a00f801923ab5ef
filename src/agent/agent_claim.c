/*
 * Which id the service gets, and having it listed under it. The lock says that no agent with our
 * locks has the id; the store may know better: an agent of another user, or one that spells the
 * store's URL differently, has locks of its own. Then the next number is tried, as long as nobody
 * has been told the id. Not at once, though: what an agent that was killed has left behind may
 * still be dying, and whoever starts it again wants the same id.
 */
#include "agent/agent_internal.h"

#include "agent/address.h"

#include <stdlib.h>

static struct identity_options identity_wanted(const struct agent_options *options,
                                               const char *host)
{
    return (struct identity_options){
        .role = options->role,
        .id = options->id,
        .host = host,
        .store = options->store,
        .name_space = options->name_space,
        .kind = options->kind,
        .takes_over = options->takes_over,
    };
}

comrade_status agent_take_id(struct agent *agent, comrade_error *error)
{
    char host[COMRADE_NAME_MAX_BYTES + 1];
    identity_host(host);
    struct identity_options wanted = identity_wanted(agent->options, host);
    comrade_status status = identity_take(&wanted, &agent->identity, error);
    if (status == COMRADE_IN_USE) {
        agent->leaving = LEAVING_FENCED; /* For the exit code. */
    }
    return status;
}

static comrade_status build_metadata(const struct agent *agent, char **metadata,
                                     comrade_error *error)
{
    const struct agent_options *options = agent->options;
    struct advertise advertise = {.ip = "", .port = 0};
    if (options->advertise != NULL) {
        comrade_status status = advertise_parse(options->advertise, &advertise, error);
        if (status != COMRADE_OK) {
            return status;
        }
    } else if (options->port != 0) {
        address_choose(options->store, advertise.ip);
    }
    struct metadata_options wanted = {
        .pairs = options->meta,
        .n_pairs = options->n_meta,
        .ip = advertise.ip[0] != '\0' ? advertise.ip : NULL,
        .port = advertise.port != 0 ? advertise.port : agent->port.number,
    };
    return metadata_build(&wanted, metadata, error);
}

comrade_status agent_claim(struct agent *agent, comrade_error *error)
{
    char *metadata = NULL;
    comrade_status status = build_metadata(agent, &metadata, error);
    if (status != COMRADE_OK) {
        return status;
    }
    comrade_member_options wanted = COMRADE_MEMBER_OPTIONS_INIT;
    wanted.role = agent->options->role;
    wanted.id = agent->identity.id;
    wanted.metadata = metadata;
    wanted.is_ready = false;
    /* Who has been started has the id already. */
    bool is_own = agent->options->takes_over || agent->lifecycle.n_spawns > 0;
    wanted.takeover = is_own ? COMRADE_TAKEOVER_ALWAYS : COMRADE_TAKEOVER_SAME_HOST;
    wanted.on_event = agent_on_event;
    wanted.user = agent;
    status = comrade_member_new(agent->cluster, &wanted, &agent->member, error);
    free(metadata);
    return status == COMRADE_OK ? comrade_member_start(agent->member, error) : status;
}

static bool take_next_id(struct agent *agent, const comrade_error *why)
{
    char host[COMRADE_NAME_MAX_BYTES + 1];
    identity_host(host);
    struct identity_options wanted = identity_wanted(agent->options, host);
    struct identity old = agent->identity;
    if (agent->options->id != NULL ||
        identity_take_next(&wanted, &agent->identity, NULL) != COMRADE_OK) {
        return false;
    }
    LOG(LOG_LEVEL_WARN, "next-id", LOG_TEXT("id", old.id), LOG_TEXT("error", why->message),
        LOG_TEXT("next", agent->identity.id));
    return true;
}

bool agent_claim_later(struct agent *agent, const comrade_error *why)
{
    if (agent->lifecycle.n_spawns > 0 || agent->leaving != LEAVING_NOT) {
        return false;
    }
    if (agent->claim_by_ms == 0) {
        agent->claim_by_ms = agent->now_ms + CLAIM_PATIENCE_MS;
    }
    bool is_patient = agent->now_ms < agent->claim_by_ms;
    if (!is_patient && !take_next_id(agent, why)) {
        return false;
    }
    agent->claim_again_ms = agent->now_ms + (is_patient ? CLAIM_RETRY_MS : 0);
    agent->spawn_by_ms = agent->now_ms + FIRST_SPAWN_WAIT_MS;
    return true;
}

/* What the incarnation before reported last makes way: the id is one's at a time. */
void agent_renew(struct agent *agent)
{
    comrade_member_free(agent->member);
    agent->member = NULL;
    comrade_error error = {0};
    if (agent_claim(agent, &error) != COMRADE_OK) {
        agent->claim_again_ms = agent->now_ms + CLAIM_RETRY_MS;
    }
}

void agent_claim_again(struct agent *agent)
{
    if (agent->now_ms < agent->claim_again_ms) {
        return;
    }
    agent->claim_again_ms = INT64_MAX;
    bool is_claimed = agent->lifecycle.n_spawns > 0 && agent->member != NULL;
    if (!is_claimed && agent->leaving == LEAVING_NOT) {
        agent_renew(agent);
    }
}
