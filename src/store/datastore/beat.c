#include "store/datastore/beat.h"

#include <stdlib.h>
#include <string.h>

bool beating_start(struct beating *beating)
{
    beating->is_settled = calloc(beating->n_beats + 1, sizeof *beating->is_settled);
    beating->unsettled = calloc(beating->n_beats + 1, sizeof *beating->unsettled);
    return beating->is_settled != NULL && beating->unsettled != NULL;
}

void beating_finish(struct beating *beating)
{
    free(beating->is_settled);
    free(beating->unsettled);
}

size_t beating_unsettled(struct beating *beating)
{
    beating->n_unsettled = 0;
    for (size_t i = 0; i < beating->n_beats; i++) {
        if (!beating->is_settled[i]) {
            beating->unsettled[beating->n_unsettled++] = i;
        }
    }
    return beating->n_unsettled;
}

bool beating_ask(struct beating *beating, size_t i, json_t *keys)
{
    beating->results[i] = (comrade_beat_result){.status = COMRADE_GONE};
    beating->is_settled[i] = true;
    return json_array_append_new(
               keys, datastore_key(beating->store, DATASTORE_MEMBERS, beating->beats[i].id)) == 0;
}

static int compare(const void *id, const void *beat)
{
    return strcmp(id, ((const comrade_beat *)beat)->id);
}

/* False: out of memory. */
static bool read_one(struct beating *beating, const comrade_call *call, const json_t *result,
                     json_t *texts)
{
    comrade_record record;
    enum entity_kind kind = entity_read(json_object_get(result, "entity"), texts, &record);
    const comrade_beat *beat =
        kind == ENTITY_RECORD
            ? bsearch(record.id, beating->beats, beating->n_beats, sizeof *beating->beats, compare)
            : NULL;
    if (beat == NULL) {
        return kind != ENTITY_NO_MEMORY;
    }
    size_t i = (size_t)(beat - beating->beats);
    if (record.own.incarnation != beat->incarnation) {
        bool is_later = record.own.incarnation > beat->incarnation;
        beating->results[i].status = is_later ? COMRADE_FENCED : COMRADE_GONE;
        return true;
    }
    struct kept_record *kept =
        kept_need(&beating->store->kept, beat->id, call->now_ms(call->clock));
    if (kept == NULL) {
        return false;
    }
    kept->version = api_number(result, "version");
    kept->incarnation = record.own.incarnation;
    kept->sequence = record.own.sequence;
    kept->request_revision = record.request.revision;
    beating->is_settled[i] = false;
    return true;
}

comrade_status beating_read(struct beating *beating, const comrade_call *call, const json_t *found,
                            comrade_error *error)
{
    json_t *texts = json_array();
    bool is_done = texts != NULL;
    size_t i;
    const json_t *result;
    json_array_foreach(found, i, result)
    {
        is_done = is_done && read_one(beating, call, result, texts);
    }
    json_decref(texts);
    return is_done ? COMRADE_OK : datastore_no_memory(beating->store, "heartbeat", error);
}
