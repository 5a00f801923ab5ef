/*
 * A member's entity: the properties of the original (npm comrade 0.0.3), which anybody may write,
 * and ours beside them.
 *
 *   role, alive, created, updated, shutdownDate, metadata      the original's
 *   comradeOwn, comradeRequest                                 our two parts, embedded entities
 *   comradeUpdated                                             the last heartbeat, by the server
 *
 * The original writes back what it has read, with changes of its own, and knows nothing of ours. So
 * what it has asked is found by comparison: a shutdownDate that our request does not explain is a
 * kill of whoever is there; alive:false that our own part does not explain is a zombie; and another
 * `created` than our own part's is another process, one of the original's, which has taken the id
 * over.
 */
#ifndef DATASTORE_ENTITY_H
#define DATASTORE_ENTITY_H

#include "core/stored.h"

#include <comrade/store.h>
#include <jansson.h>

#define ENTITY_UPDATED "updated"
#define ENTITY_SERVER_UPDATED "comradeUpdated"
#define ENTITY_ROLE "role"

enum entity_kind {
    ENTITY_RECORD,
    ENTITY_NO_MEMBER, /* nobody's that Comrade could name: no role, or an id or role too long */
    ENTITY_NO_MEMORY,
};

/* The role of a member, borrowed; NULL: it is no member, as ENTITY_NO_MEMBER says. */
const char *entity_role(const json_t *entity);
/*
 * Reads a member, {"key": …, "properties": …}. Texts are borrowed from the entity and from `texts`,
 * a JSON array to which those are added that had to be made.
 */
enum entity_kind entity_read(const json_t *entity, json_t *texts, comrade_record *record);
/*
 * The properties of the record after its own part, or its request part, has changed: all that
 * `before` has (NULL: nothing), with what has changed in place of what was there. NULL: out of
 * memory.
 */
json_t *entity_write_own(const comrade_record *record, const json_t *before);
json_t *entity_write_request(const comrade_record *record, const json_t *before);

/* What is stored of a role. */
struct stored_role {
    const char *name; /* borrowed */
    int64_t revision;
    int64_t spec_version;
    json_t *spec; /* a text, owned; NULL: "{}" */
    char recent[RECENT_TEXT_SIZE];
};

/* `properties` NULL: it was never written. False: out of memory. */
bool stored_role_read(const json_t *properties, const char *name, struct stored_role *role);
/* NULL: out of memory. */
json_t *stored_role_write(const struct stored_role *role);
const char *stored_role_spec(const struct stored_role *role);
void stored_role_finish(struct stored_role *role);

#endif
