/* What an entity says of a member, whoever has written it; and what ours look like to others. */
#include "contract/cases.h"
#include "store/datastore/entity.h"
#include "store/datastore/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *texts;

static int make_texts(void **state)
{
    (void)state;
    texts = json_array();
    return texts == NULL ? -1 : 0;
}

static int drop_texts(void **state)
{
    (void)state;
    json_decref(texts);
    return 0;
}

static json_t *must_parse(const char *text)
{
    json_error_t error;
    json_t *json = json_loads(text, 0, &error);
    if (json == NULL) {
        fail_msg("%s: %s", error.text, text);
    }
    return json;
}

/* An entity with these properties, which it takes over, kept until the test ends. */
static json_t *entity_of(const char *id, json_t *properties)
{
    json_t *entity = json_pack("{s:{s:[{s:s,s:s}]},s:o}", "key", "path", "kind", "ComradeServer",
                               "name", id, "properties", properties);
    assert_non_null(entity);
    json_array_append_new(texts, entity);
    return entity;
}

/* As the original writes it, through whatever client. */
static json_t *originals(void)
{
    return must_parse("{\"role\":{\"stringValue\":\"web\"},\"alive\":{\"booleanValue\":true},"
                      "\"created\":{\"integerValue\":\"1700000000000\"},"
                      "\"updated\":{\"integerValue\":\"1700000005000\"},"
                      "\"metadata\":{\"entityValue\":{\"properties\":{"
                      "\"ip\":{\"stringValue\":\"10.0.0.5\"},\"port\":{\"integerValue\":\"80\"},"
                      "\"load\":{\"doubleValue\":1.5},\"note\":{\"nullValue\":null}}}}}");
}

static comrade_record must_read(json_t *entity)
{
    comrade_record record;
    assert_int_equal(entity_read(entity, texts, &record), ENTITY_RECORD);
    return record;
}

static const comrade_own an_own = {.incarnation = 7,
                                   .sequence = 3,
                                   .state = COMRADE_STATE_UP,
                                   .is_alive = true,
                                   .is_available = true,
                                   .created_ms = 1700000000000,
                                   .pid = 42,
                                   .host = "web1",
                                   .version = "1.0.0",
                                   .metadata = "{\"ip\":\"10.0.0.5\",\"port\":80}",
                                   .details = "{\"exit\":1}"};

/* One of ours, kept until the test ends. */
static json_t *ours(void)
{
    comrade_record record = {.id = "a", .role = "web", .own = an_own, .updated_ms = 1700000001000};
    return entity_of("a", entity_write_own(&record, NULL));
}

static void set(json_t *entity, const char *name, const char *value)
{
    json_object_set_new(json_object_get(entity, "properties"), name, must_parse(value));
}

static json_t *property(const json_t *entity, const char *name)
{
    return json_object_get(json_object_get(entity, "properties"), name);
}

static void assert_property(const json_t *entity, const char *name, const char *type,
                            const char *value)
{
    char *text =
        json_dumps(json_object_get(property(entity, name), type), JSON_ENCODE_ANY | JSON_COMPACT);
    assert_non_null(text);
    assert_string_equal(text, value);
    free(text);
}

/* --- The original's ----------------------------------------------------------------------------
 */

static void an_originals_record_is_a_member(void **state)
{
    (void)state;
    comrade_record record = must_read(entity_of("a", originals()));
    assert_string_equal(record.id, "a");
    assert_string_equal(record.role, "web");
    assert_true(record.own.is_alive);
    assert_true(record.own.is_available);
    assert_int_equal(record.own.state, COMRADE_STATE_UP);
    assert_int_equal(record.own.created_ms, 1700000000000);
    assert_int_equal(record.own.incarnation, 1700000000000);
    assert_int_equal(record.updated_ms, 1700000005000);
    assert_int_equal(record.request.revision, 0);
    json_t *metadata = must_parse(record.own.metadata);
    json_t *expected = must_parse("{\"ip\":\"10.0.0.5\",\"port\":80,\"load\":1.5,\"note\":null}");
    assert_true(json_equal(metadata, expected));
    json_decref(metadata);
    json_decref(expected);
}

static void an_originals_record_without_metadata_has_empty_metadata(void **state)
{
    (void)state;
    json_t *properties = originals();
    json_object_del(properties, "metadata");
    assert_string_equal(must_read(entity_of("a", properties)).own.metadata, "{}");
}

static void a_shutdown_date_of_the_originals_is_a_kill(void **state)
{
    (void)state;
    json_t *entity = entity_of("a", originals());
    set(entity, "shutdownDate", "{\"integerValue\":\"1700000009000\"}");
    comrade_record record = must_read(entity);
    assert_int_equal(record.request.kind, COMRADE_REQUEST_KILL);
    assert_int_equal(record.request.incarnation, record.own.incarnation);
    assert_int_equal(record.request.requested_ms, 1700000009000);
    assert_true(record.request.revision != 0);
}

static void an_original_that_reported_itself_dead_is_not_alive(void **state)
{
    (void)state;
    json_t *entity = entity_of("a", originals());
    set(entity, "alive", "{\"booleanValue\":false}");
    comrade_record record = must_read(entity);
    assert_false(record.own.is_alive);
    assert_false(record.own.is_available);
}

static void numbers_of_another_type_are_read_all_the_same(void **state)
{
    (void)state;
    json_t *entity = entity_of("a", originals());
    set(entity, "created", "{\"doubleValue\":1700000000001}");
    set(entity, "updated", "{\"timestampValue\":\"2023-11-14T22:13:25.25Z\"}");
    comrade_record record = must_read(entity);
    assert_int_equal(record.own.created_ms, 1700000000001);
    assert_int_equal(record.updated_ms, 1700000005250);
}

static void what_nobody_could_name_is_no_member(void **state)
{
    (void)state;
    comrade_record record;
    json_t *no_role = originals();
    json_object_del(no_role, "role");
    assert_int_equal(entity_read(entity_of("a", no_role), texts, &record), ENTITY_NO_MEMBER);
    char long_id[COMRADE_ID_MAX_BYTES + 2];
    memset(long_id, 'x', sizeof long_id - 1);
    long_id[sizeof long_id - 1] = '\0';
    assert_int_equal(entity_read(entity_of(long_id, originals()), texts, &record),
                     ENTITY_NO_MEMBER);
    json_t *numbered = entity_of("a", originals());
    json_object_set_new(numbered, "key", must_parse("{\"path\":[{\"kind\":\"K\",\"id\":\"7\"}]}"));
    assert_int_equal(entity_read(numbered, texts, &record), ENTITY_NO_MEMBER);
}

/* --- Ours --------------------------------------------------------------------------------------
 */

static void what_ours_write_has_the_originals_properties_and_types(void **state)
{
    (void)state;
    json_t *entity = ours();
    assert_property(entity, "role", "stringValue", "\"web\"");
    assert_property(entity, "alive", "booleanValue", "true");
    assert_property(entity, "created", "integerValue", "\"1700000000000\"");
    assert_property(entity, "updated", "integerValue", "\"1700000001000\"");
    json_t *metadata = value_read_entity(json_object_get(entity, "properties"), "metadata");
    assert_string_equal(value_read_text(metadata, "ip", ""), "10.0.0.5");
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(metadata, "port"), "integerValue")),
        "80");
    assert_null(property(entity, "shutdownDate"));
    assert_null(property(entity, "comradeRequest"));
}

/* The original looks for members by these two, and an index of anything else costs. */
static void role_and_alive_alone_are_indexed(void **state)
{
    (void)state;
    json_t *entity = ours();
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(entity, "properties"), name, value)
    {
        bool is_indexed = strcmp(name, "role") == 0 || strcmp(name, "alive") == 0;
        assert_int_equal(json_is_true(json_object_get(value, "excludeFromIndexes")), !is_indexed);
    }
}

static void ours_are_read_as_they_were_written(void **state)
{
    (void)state;
    comrade_record record = must_read(ours());
    assert_int_equal(record.own.incarnation, an_own.incarnation);
    assert_int_equal(record.own.sequence, an_own.sequence);
    assert_int_equal(record.own.state, an_own.state);
    assert_true(record.own.is_alive);
    assert_true(record.own.is_available);
    assert_int_equal(record.own.pid, an_own.pid);
    assert_string_equal(record.own.host, an_own.host);
    assert_string_equal(record.own.version, an_own.version);
    assert_string_equal(record.own.metadata, an_own.metadata);
    assert_string_equal(record.own.details, an_own.details);
    assert_int_equal(record.updated_ms, 1700000001000);
}

static void the_servers_time_counts_before_updated(void **state)
{
    (void)state;
    json_t *entity = ours();
    set(entity, "comradeUpdated", "{\"timestampValue\":\"2023-11-14T22:13:22.123456Z\"}");
    assert_int_equal(must_read(entity).updated_ms, 1700000002123);
}

static void our_kill_is_a_shutdown_date(void **state)
{
    (void)state;
    json_t *entity = ours();
    comrade_record record = must_read(entity);
    record.request = (comrade_request){.revision = 5,
                                       .kind = COMRADE_REQUEST_KILL,
                                       .incarnation = 7,
                                       .requested_ms = 1700000003000,
                                       .request_id = "",
                                       .user = "ann",
                                       .host = "laptop",
                                       .reason = "old"};
    json_t *killed =
        entity_of("a", entity_write_request(&record, json_object_get(entity, "properties")));
    assert_property(killed, "shutdownDate", "integerValue", "\"1700000003000\"");
    comrade_record again = must_read(killed);
    assert_int_equal(again.request.revision, 5);
    assert_string_equal(again.request.user, "ann");
    assert_string_equal(again.request.reason, "old");

    /* A new life begins without it, and keeps what was asked of the one before. */
    again.own.incarnation = 8;
    again.own.created_ms++;
    json_t *reborn =
        entity_of("a", entity_write_own(&again, json_object_get(killed, "properties")));
    assert_null(property(reborn, "shutdownDate"));
    assert_int_equal(must_read(reborn).request.revision, 5);
    assert_int_equal(must_read(reborn).request.incarnation, 7);
}

static void a_zombie_of_ours_is_not_alive_to_the_original(void **state)
{
    (void)state;
    json_t *entity = ours();
    comrade_record record = must_read(entity);
    record.request.revision = 5;
    record.request.zombified_incarnation = 7;
    json_t *zombie =
        entity_of("a", entity_write_request(&record, json_object_get(entity, "properties")));
    assert_property(zombie, "alive", "booleanValue", "false");
    assert_true(must_read(zombie).own.is_alive);
    assert_int_equal(must_read(zombie).request.zombified_incarnation, 7);
}

static void the_originals_kill_of_ours_is_a_new_request(void **state)
{
    (void)state;
    json_t *entity = ours();
    set(entity, "shutdownDate", "{\"integerValue\":\"1700000009000\"}");
    comrade_record record = must_read(entity);
    assert_int_equal(record.request.kind, COMRADE_REQUEST_KILL);
    assert_int_equal(record.request.incarnation, 7);
    int64_t revision = record.request.revision;
    assert_true(revision != 0);

    /* It stays, with its revision, when the member writes of itself. */
    record.own.sequence++;
    json_t *later =
        entity_of("a", entity_write_own(&record, json_object_get(entity, "properties")));
    assert_int_equal(must_read(later).request.revision, revision);
    assert_property(later, "shutdownDate", "integerValue", "\"1700000009000\"");
}

static void the_originals_zombie_of_ours_stays_one(void **state)
{
    (void)state;
    json_t *entity = ours();
    set(entity, "alive", "{\"booleanValue\":false}");
    comrade_record record = must_read(entity);
    assert_true(record.own.is_alive);
    assert_int_equal(record.request.zombified_incarnation, 7);
    assert_true(record.request.revision != 0);
    record.own.sequence++;
    json_t *later =
        entity_of("a", entity_write_own(&record, json_object_get(entity, "properties")));
    assert_int_equal(must_read(later).request.zombified_incarnation, 7);
    assert_property(later, "alive", "booleanValue", "false");
}

/* It writes its four properties over ours, and leaves the rest as it was. */
static void an_original_takes_an_id_of_ours_over(void **state)
{
    (void)state;
    json_t *entity = ours();
    set(entity, "comradeUpdated", "{\"timestampValue\":\"2023-11-14T22:13:22Z\"}");
    set(entity, "created", "{\"integerValue\":\"1700000100000\"}");
    set(entity, "updated", "{\"integerValue\":\"1700000105000\"}");
    comrade_record record = must_read(entity);
    assert_int_equal(record.own.incarnation, 1700000100000);
    assert_int_equal(record.own.sequence, 0);
    assert_int_equal(record.updated_ms, 1700000105000);
    assert_string_equal(record.own.host, "");
    assert_string_equal(record.own.details, "{}");
}

static void a_request_to_an_original_leaves_its_record_an_originals(void **state)
{
    (void)state;
    json_t *entity = entity_of("a", originals());
    comrade_record record = must_read(entity);
    record.request = (comrade_request){.revision = 5,
                                       .kind = COMRADE_REQUEST_KILL,
                                       .incarnation = record.own.incarnation,
                                       .requested_ms = 1700000009000};
    json_t *killed =
        entity_of("a", entity_write_request(&record, json_object_get(entity, "properties")));
    assert_null(property(killed, "comradeOwn"));
    assert_property(killed, "alive", "booleanValue", "true");
    assert_property(killed, "shutdownDate", "integerValue", "\"1700000009000\"");
    assert_int_equal(must_read(killed).request.revision, 5);
    set(killed, "alive", "{\"booleanValue\":false}"); /* it goes */
    assert_false(must_read(killed).own.is_alive);
    assert_int_equal(must_read(killed).request.zombified_incarnation, 0);
}

static void what_others_have_added_stays(void **state)
{
    (void)state;
    json_t *entity = ours();
    set(entity, "colour", "{\"stringValue\":\"red\"}");
    comrade_record record = must_read(entity);
    json_t *later =
        entity_of("a", entity_write_own(&record, json_object_get(entity, "properties")));
    assert_property(later, "colour", "stringValue", "\"red\"");
}

/* --- Metadata that Datastore cannot hold as it is ----------------------------------------------
 */

static void metadata_of_any_form_is_exact(void **state)
{
    (void)state;
    static const char deep[] =
        "{\"d\":{\"d\":{\"d\":{\"d\":{\"d\":{\"d\":{\"d\":{\"d\":{\"d\":{\"d\":{\"d\":{\"d\":"
        "{\"d\":{\"d\":{\"d\":{\"d\":{\"d\":{\"d\":{\"d\":{\"d\":{\"d\":{\"d\":1"
        "}}}}}}}}}}}}}}}}}}}}}}";
    static const char *const forms[] = {
        "{}",
        "{\"a\":[[1,2],[3]]}",
        "{\"\":1}",
        "{\"__x__\":1}",
        "{\"pi\":0.1,\"one\":1.0,\"big\":9007199254740993}",
        "{ \"spaces\" : true }",
        "{\"null\":null,\"nested\":{\"empty\":{},\"list\":[]}}",
        deep,
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        comrade_record record = {.id = "a", .role = "web", .own = an_own};
        record.own.metadata = forms[i];
        json_t *entity = entity_of("a", entity_write_own(&record, NULL));
        assert_string_equal(must_read(entity).own.metadata, forms[i]);
    }
}

static void empty_metadata_is_absent(void **state)
{
    (void)state;
    comrade_record record = {.id = "a", .role = "web", .own = an_own};
    record.own.metadata = "{}";
    json_t *entity = entity_of("a", entity_write_own(&record, NULL));
    assert_null(property(entity, "metadata"));
}

/* A client that writes back with indexes what it has read may write 1,500 bytes at most a text. */
static void long_details_are_pieces_that_any_client_may_write_back(void **state)
{
    (void)state;
    char details[COMRADE_METADATA_MAX_BYTES + 1];
    snprintf(details, sizeof details, "{\"e\":\"");
    size_t len = strlen(details);
    for (; len + 4 < sizeof details; len += 2) {
        memcpy(details + len, "\xc3\xa9", sizeof "\xc3\xa9"); /* é, which no piece may cut */
    }
    memcpy(details + len, "\"}", sizeof "\"}");
    comrade_record record = {.id = "a", .role = "web", .own = an_own};
    record.own.details = details;
    json_t *entity = entity_of("a", entity_write_own(&record, NULL));
    json_t *own = value_read_entity(json_object_get(entity, "properties"), "comradeOwn");
    json_t *pieces =
        json_object_get(json_object_get(json_object_get(own, "details"), "arrayValue"), "values");
    assert_true(json_array_size(pieces) > 1);
    size_t i;
    json_t *piece;
    json_array_foreach(pieces, i, piece)
    {
        assert_in_range(json_string_length(json_object_get(piece, "stringValue")), 1, 1500);
    }
    assert_string_equal(must_read(entity).own.details, details);
}

/* --- Roles -------------------------------------------------------------------------------------
 */

static void a_role_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct stored_role role = {.name = "web", .revision = 9, .spec_version = 2};
    role.spec = json_string("{\"minMembers\":2}");
    recent_text_add(role.recent, "0b0a2f6e-3c9c-4b5a-9d8e-0f1e2d3c4b5a");
    json_t *properties = stored_role_write(&role);
    struct stored_role again;
    assert_true(stored_role_read(properties, "web", &again));
    assert_int_equal(again.revision, 9);
    assert_int_equal(again.spec_version, 2);
    assert_string_equal(stored_role_spec(&again), "{\"minMembers\":2}");
    assert_string_equal(again.recent, role.recent);
    stored_role_finish(&again);
    stored_role_finish(&role);
    json_decref(properties);
}

static void a_role_that_was_never_written_has_no_revision(void **state)
{
    (void)state;
    struct stored_role role;
    assert_true(stored_role_read(NULL, "web", &role));
    assert_int_equal(role.revision, 0);
    assert_string_equal(stored_role_spec(&role), "{}");
}

static void a_spec_that_is_damaged_is_none(void **state)
{
    (void)state;
    json_t *properties = must_parse("{\"revision\":{\"integerValue\":\"9\"},"
                                    "\"spec\":{\"nullValue\":null}}");
    struct stored_role role;
    assert_true(stored_role_read(properties, "web", &role));
    assert_int_equal(role.revision, 9);
    assert_string_equal(stored_role_spec(&role), "{}");
    json_decref(properties);
}

/* One that anybody has written, and that sums and products of it must not overflow. */
static void times_of_no_era_are_of_one(void **state)
{
    (void)state;
    static const char *const numbers[] = {"9223372036854775807", "-9223372036854775808"};
    for (size_t i = 0; i < 2; i++) {
        json_t *entity = entity_of("a", originals());
        char value[64];
        snprintf(value, sizeof value, "{\"integerValue\":\"%s\"}", numbers[i]);
        set(entity, "created", value);
        set(entity, "updated", value);
        set(entity, "shutdownDate", value);
        comrade_record record = must_read(entity);
        const int64_t times[] = {record.own.created_ms, record.updated_ms, record.own.incarnation,
                                 record.request.revision / 1000, record.request.requested_ms};
        for (size_t k = 0; k < sizeof times / sizeof times[0]; k++) {
            assert_true(times[k] >= 0 && times[k] < INT64_MAX / 10000);
        }
    }
}

/* A server keeps properties in its own order, which need not be the same twice. */
static void metadata_is_as_it_was_written_in_whatever_order_it_comes(void **state)
{
    (void)state;
    comrade_record record = {.id = "a", .role = "web", .own = an_own};
    record.own.metadata = "{\"port\":80,\"ip\":\"10.0.0.5\"}";
    json_t *entity = entity_of("a", entity_write_own(&record, NULL));
    json_t *values =
        json_object_get(json_object_get(property(entity, "metadata"), "entityValue"), "properties");
    json_t *port = json_incref(json_object_get(values, "port"));
    json_object_del(values, "port");
    json_object_set_new(values, "port", port);
    assert_string_equal(must_read(entity).own.metadata, record.own.metadata);

    entity = entity_of("b", originals());
    const char *sorted = must_read(entity).own.metadata;
    assert_string_equal(sorted, "{\"ip\":\"10.0.0.5\",\"load\":1.5,\"note\":null,\"port\":80}");
}

#define TEXT_CASE(name) cmocka_unit_test_setup_teardown(name, make_texts, drop_texts)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEXT_CASE(an_originals_record_is_a_member),
        TEXT_CASE(an_originals_record_without_metadata_has_empty_metadata),
        TEXT_CASE(a_shutdown_date_of_the_originals_is_a_kill),
        TEXT_CASE(an_original_that_reported_itself_dead_is_not_alive),
        TEXT_CASE(numbers_of_another_type_are_read_all_the_same),
        TEXT_CASE(what_nobody_could_name_is_no_member),
        TEXT_CASE(what_ours_write_has_the_originals_properties_and_types),
        TEXT_CASE(role_and_alive_alone_are_indexed),
        TEXT_CASE(ours_are_read_as_they_were_written),
        TEXT_CASE(the_servers_time_counts_before_updated),
        TEXT_CASE(our_kill_is_a_shutdown_date),
        TEXT_CASE(a_zombie_of_ours_is_not_alive_to_the_original),
        TEXT_CASE(the_originals_kill_of_ours_is_a_new_request),
        TEXT_CASE(the_originals_zombie_of_ours_stays_one),
        TEXT_CASE(an_original_takes_an_id_of_ours_over),
        TEXT_CASE(a_request_to_an_original_leaves_its_record_an_originals),
        TEXT_CASE(what_others_have_added_stays),
        TEXT_CASE(metadata_of_any_form_is_exact),
        TEXT_CASE(empty_metadata_is_absent),
        TEXT_CASE(long_details_are_pieces_that_any_client_may_write_back),
        TEXT_CASE(a_role_is_read_as_it_was_written),
        TEXT_CASE(a_role_that_was_never_written_has_no_revision),
        TEXT_CASE(a_spec_that_is_damaged_is_none),
        TEXT_CASE(times_of_no_era_are_of_one),
        TEXT_CASE(metadata_is_as_it_was_written_in_whatever_order_it_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
