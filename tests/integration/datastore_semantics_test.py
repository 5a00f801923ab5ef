"""What the tests' Datastore server promises, request by request. That it is true, Google's client
says (datastore_client_test.py) as far as it can ask; the rest is here, after the reference."""
import concurrent.futures
import http.client
import itertools
import json
import time

import pytest

from conftest import HANG_S, DatastoreServer

SINGLE = {"singleUseTransaction": {"readWrite": {}}}
DEFAULTS = {"concurrency": "pessimistic", "lock_wait_ms": 20000, "transaction_idle_ms": 60000,
            "batch_max": 300, "lookup_max": 1000, "partial": "random", "masks": "true",
            "base_versions": "true", "transforms": "true", "single_use": "true",
            "unknown_fields": "refuse", "missing_conflicts": "true"}
projects = itertools.count()


class Project:
    """A fresh project, and requests to it."""

    def __init__(self, server):
        self.server, self.name = server, f"semantics-{next(projects)}"

    def call(self, method, headers=None, **body):
        """The HTTP code, and the answer's JSON. No answer at all raises."""
        connection = http.client.HTTPConnection(self.server.host, timeout=HANG_S)
        try:
            connection.request("POST", f"/v1/projects/{self.name}:{method}", json.dumps(body),
                               headers or {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def ok(self, method, **body):
        code, answer = self.call(method, **body)
        assert code == 200, answer
        return answer

    def refused(self, method, **body):
        """The error's status and message."""
        code, answer = self.call(method, **body)
        assert code == answer["error"]["code"] != 200
        return answer["error"]["status"], answer["error"]["message"]

    def write(self, *mutations, **options):
        """The results of a commit without a transaction, or as the options say."""
        options = options or {"mode": "NON_TRANSACTIONAL"}
        return self.ok("commit", mutations=list(mutations), **options)["mutationResults"]

    def put(self, name, kind="K", **properties):
        return self.write({"upsert": entity(name, kind, **properties)})[0]

    def get(self, name, **options):
        """The properties; None: there is no such entity."""
        found = self.ok("lookup", keys=[key(name)], **options).get("found")
        return found[0]["entity"].get("properties", {}) if found else None

    def begin(self, **options):
        return self.ok("beginTransaction", transactionOptions=options)["transaction"]

    def query(self, **query):
        """Names of the results of the whole query, and the last batch."""
        query = {"kind": [{"name": "K"}], **query}
        names = []
        while True:
            batch = self.ok("runQuery", query=query)["batch"]
            names += [result["entity"]["key"]["path"][-1].get("name")
                      for result in batch.get("entityResults", [])]
            if batch["moreResults"] != "NOT_FINISHED":
                return names, batch
            query["startCursor"] = batch["endCursor"]


@pytest.fixture(scope="module")
def server():
    made = DatastoreServer("--database=other", "--seed=1")
    yield made
    made.close()


@pytest.fixture
def project(server):
    yield Project(server)
    for name, value in DEFAULTS.items():
        server.order(f"set {name} {value}")
    server.order("tokens off")
    server.heal()


def key(name, kind="K"):
    return {"path": [{"kind": kind, "name": name}]}


def value(content):
    kind = {str: "stringValue", bool: "booleanValue", int: "integerValue", float: "doubleValue"}
    return content if isinstance(content, dict) else {kind[type(content)]: content}


def entity(name, kind="K", **properties):
    return {"key": key(name, kind),
            "properties": {name: value(content) for name, content in properties.items()}}


def nested(**properties):
    return {"entityValue": {"properties": {name: value(content)
                                           for name, content in properties.items()}}}


def where(name, operator, content):
    return {"propertyFilter": {"property": {"name": name}, "op": operator, "value": value(content)}}


def order(name, direction="ASCENDING"):
    return {"property": {"name": name}, "direction": direction}


# --- Reads and writes ---------------------------------------------------------------------------

def test_a_version_grows_with_each_change_and_with_no_other(project):
    first = project.put("a", n=1)
    second = project.put("a", n=2)
    assert int(second["version"]) > int(first["version"])
    assert second["createTime"] == first["createTime"] == first["updateTime"]
    assert second["updateTime"] > first["updateTime"]
    assert project.put("a", n=2) == second
    found = project.ok("lookup", keys=[key("a")])["found"][0]
    assert [found[name] for name in second] == list(second.values())


def test_a_lookup_says_what_it_found_missed_and_deferred(project, server):
    project.put("a")
    answer = project.ok("lookup", keys=[key("a"), key("b"), key("a")])
    assert [len(answer[name]) for name in ("found", "missing")] == [1, 1]
    assert "properties" not in answer["found"][0]["entity"]
    assert answer["readTime"].endswith("Z") and int(answer["missing"][0]["version"]) > 0
    assert "found" not in project.ok("lookup", keys=[key("b")])
    server.order("set lookup_max 1")
    answer = project.ok("lookup", keys=[key("b"), key("a")])
    assert [found["path"] for found in answer["deferred"]] == [key("a")["path"]]
    assert "found" not in answer


def test_a_refused_mutation_refuses_the_transaction(project):
    project.put("a", n=1)
    for bad, status, code in ((("insert", "a"), "ALREADY_EXISTS", 409),
                              (("update", "b"), "NOT_FOUND", 404)):
        mutations = [{"upsert": entity("c")}, {bad[0]: entity(bad[1])}]
        assert project.refused("commit", mutations=mutations, **SINGLE)[0] == status
        assert project.call("commit", mutations=mutations, **SINGLE)[0] == code
    assert project.get("c") is None


@pytest.mark.parametrize("partial, applied", [("none", ""), ("before", "a"), ("others", "ac")])
def test_without_a_transaction_the_others_may_be_applied(project, server, partial, applied):
    server.order(f"set partial {partial}")
    mutations = [{"insert": entity("a")}, {"update": entity("b")}, {"insert": entity("c")}]
    assert project.refused("commit", mode="NON_TRANSACTIONAL", mutations=mutations)[0] \
        == "NOT_FOUND"
    assert "".join(name for name in "abc" if project.get(name) is not None) == applied


def test_a_commit_is_refused_for_its_form(project):
    twice = [{"upsert": entity("a")}, {"upsert": entity("a")}]
    assert project.refused("commit", mode="NON_TRANSACTIONAL", mutations=twice)[0] \
        == "INVALID_ARGUMENT"
    project.ok("commit", mutations=twice, **SINGLE)
    for first, second in (("insert", "insert"), ("update", "insert"), ("upsert", "insert")):
        assert project.refused("commit", mutations=[{first: entity("a")}, {second: entity("a")}],
                               **SINGLE)[0] == "INVALID_ARGUMENT"
    assert "must have a transaction" in project.refused("commit", mutations=[])[1]
    many = [{"upsert": entity(f"m{i}")} for i in range(501)]
    assert "500" in project.refused("commit", mode="NON_TRANSACTIONAL", mutations=many)[1]
    assert 'Unknown name "nonsense"' in project.refused("commit", nonsense=1)[1]


@pytest.mark.parametrize("properties, why", [
    ({"__x__": True}, "reserved"), ({"x": "y" * 1501}, "1500 bytes"),
    ({"x": nested(y="z" * 1501)}, "1500 bytes"),
    ({"x": {"stringValue": "y" * 1000001, "excludeFromIndexes": True}}, "1000000 bytes"),
    ({"x": {"arrayValue": {"values": [{"arrayValue": {}}]}}}, "list_value"),
    ({"x": {"integerValue": "9223372036854775808"}}, "TYPE_INT64"),
    ({"x": {"stringValue": "a", "integerValue": "1"}}, "oneof"),
    ({"x": {"strinValue": "a"}}, "Unknown name"),
    ({f"x{i}": {"stringValue": "y" * 900000, "excludeFromIndexes": True} for i in range(2)},
     "too big")])
def test_what_is_no_entity_is_refused(project, properties, why):
    status, message = project.refused("commit", mode="NON_TRANSACTIONAL",
                                      mutations=[{"upsert": entity("a", **properties)}])
    assert status == "INVALID_ARGUMENT" and why in message


def test_json_is_as_googles(project):
    project.put("a", whole=5, half=0.5, three={"doubleValue": 3.0}, no=False,
                time={"timestampValue": "2020-01-01T00:00:00.120000999+01:00"},
                plain={"timestampValue": "2020-01-01T00:00:00Z"}, none={"arrayValue": {}},
                hollow=nested(), hidden={"stringValue": "x", "excludeFromIndexes": True},
                shown={"stringValue": "x", "excludeFromIndexes": False})
    assert project.get("a") == {
        "whole": {"integerValue": "5"}, "half": {"doubleValue": 0.5}, "three": {"doubleValue": 3},
        "no": {"booleanValue": False}, "time": {"timestampValue": "2019-12-31T23:00:00.120Z"},
        "plain": {"timestampValue": "2020-01-01T00:00:00Z"}, "none": {"arrayValue": {}},
        "hollow": {"entityValue": {}}, "hidden": {"stringValue": "x", "excludeFromIndexes": True},
        "shown": {"stringValue": "x"}}


# --- Conflicts, masks, transforms ---------------------------------------------------------------

def test_a_mutation_on_another_version_conflicts_and_is_not_applied(project):
    old, new = project.put("a", n=1), project.put("a", n=2)
    update = {"update": entity("a", n=3)}
    for detection in ({"baseVersion": old["version"]}, {"updateTime": old["updateTime"]}):
        assert project.write({**update, **detection}) == [{**new, "conflictDetected": True}]
    assert project.get("a") == {"n": {"integerValue": "2"}}
    made = project.write({**update, "baseVersion": new["version"]})[0]
    assert "conflictDetected" not in made and int(made["version"]) > int(new["version"])
    gone = project.write({"update": entity("b"), "baseVersion": "5"})[0]
    assert gone["conflictDetected"] and "updateTime" not in gone


def test_a_conflict_can_fail_the_whole_commit(project):
    old = project.put("a", n=1)
    project.put("a", n=2)
    mutations = [{"upsert": entity("b")},
                 {"update": entity("a", n=3), "baseVersion": old["version"],
                  "conflictResolutionStrategy": "FAIL"}]
    assert project.refused("commit", mutations=mutations, **SINGLE)[0] == "ABORTED"
    assert project.get("b") is None
    del mutations[1]["baseVersion"]
    assert project.refused("commit", mutations=mutations, **SINGLE)[0] == "INVALID_ARGUMENT"


def test_a_mask_writes_what_it_lists_and_deletes_what_is_absent(project):
    project.put("a", kept=1, changed=1, gone=1, inner=nested(kept=1, changed=1, gone=1))
    project.write({"update": entity("a", changed=2, ignored=2, inner=nested(changed=2, ignored=2)),
                   "propertyMask": {"paths": ["changed", "gone", "inner.changed", "inner.gone",
                                              "nothing.there"]}})
    assert project.get("a") == entity("a", kept={"integerValue": "1"},
                                      changed={"integerValue": "2"}, inner=nested(
        kept={"integerValue": "1"}, changed={"integerValue": "2"}))["properties"]
    project.write({"upsert": entity("b", n=1, ignored=1), "propertyMask": {"paths": ["n"]}})
    assert project.get("b") == {"n": {"integerValue": "1"}}
    assert project.ok("lookup", keys=[key("a")], propertyMask={"paths": ["inner.kept"]})["found"][
        0]["entity"]["properties"] == {"inner": nested(kept={"integerValue": "1"})}


def test_transforms_come_after_the_operation(project):
    project.put("a", n=5, list={"arrayValue": {"values": [{"integerValue": "1"}]}})
    made = project.write({"update": entity("a", n=5), "propertyMask": {"paths": []},
                          "propertyTransforms": [
        {"property": "t", "setToServerValue": "REQUEST_TIME"},
        {"property": "n", "increment": {"integerValue": "9223372036854775807"}},
        {"property": "least", "minimum": {"doubleValue": 0.5}},
        {"property": "n", "maximum": {"integerValue": "7"}},
        {"property": "list", "appendMissingElements": {"values": [
            {"doubleValue": 1}, {"stringValue": "x"}]}},
        {"property": "inner.list", "removeAllFromArray": {"values": [{"nullValue": None}]}}]})[0]
    most = {"integerValue": "9223372036854775807"}
    results, found = made["transformResults"], project.get("a")
    assert results[1:] == [most, {"doubleValue": 0.5}, most, {"nullValue": None},
                           {"nullValue": None}]
    assert found["t"] == results[0] and len(found["t"]["timestampValue"]) <= 24
    assert found["list"]["arrayValue"]["values"] == [{"integerValue": "1"}, {"stringValue": "x"}]
    assert found["inner"] == nested(list={"arrayValue": {}})


def test_an_older_server_refuses_or_ignores_what_it_does_not_know(project, server):
    version = project.put("a", n=1, kept=1)["version"]
    for setting in ("masks", "base_versions", "transforms", "single_use"):
        server.order(f"set {setting} false")
    mutation = {"update": entity("a", n=2), "baseVersion": str(int(version) - 1),
                "propertyMask": {"paths": ["n"]},
                "propertyTransforms": [{"property": "t", "setToServerValue": "REQUEST_TIME"}]}
    message = project.refused("commit", mode="NON_TRANSACTIONAL", mutations=[mutation])[1]
    assert message.startswith("Invalid JSON payload received. Unknown name")
    assert "singleUseTransaction" in project.refused("commit", mutations=[], **SINGLE)[1]
    server.order("set unknown_fields ignore")
    assert "conflictDetected" not in project.write(mutation)[0]
    assert project.get("a") == {"n": {"integerValue": "2"}}


# --- Transactions -------------------------------------------------------------------------------

def test_a_write_waits_for_who_has_read_in_a_transaction(project):
    project.put("a", n=1)
    transaction = project.begin()
    assert project.get("a", readOptions={"transaction": transaction}) is not None
    with concurrent.futures.ThreadPoolExecutor() as pool:
        other = pool.submit(project.put, "a", n=2)
        assert project.get("a") == {"n": {"integerValue": "1"}}
        assert not other.done()
        project.write({"update": entity("a", n=3)}, transaction=transaction)
        other.result(HANG_S)
    assert project.get("a") == {"n": {"integerValue": "2"}}


def test_a_write_that_waits_too_long_is_aborted(project, server):
    server.order("set lock_wait_ms 50")
    transaction = project.begin()
    assert project.get("absent", readOptions={"transaction": transaction}) is None
    query = {"kind": [{"name": "K"}], "filter": where("n", "EQUAL", 7)}
    project.ok("runQuery", query=query, readOptions={"transaction": transaction})
    for mutation in ({"insert": entity("absent")}, {"insert": entity("other", n=7)}):
        for mode in ({"mode": "NON_TRANSACTIONAL"}, SINGLE):
            status, message = project.refused("commit", mutations=[mutation], **mode)
            assert status == "ABORTED" and "contention" in message
    project.put("other", n=8)
    project.ok("rollback", transaction=transaction)
    project.put("absent")


def test_optimistic_transactions_are_aborted_by_changes(project, server):
    server.order("set concurrency optimistic")
    project.put("a", n=1)
    for change in ("a", "phantom"):
        transaction = project.begin()
        project.get("a", readOptions={"transaction": transaction})
        project.ok("runQuery", query={"kind": [{"name": "K"}]},
                   readOptions={"transaction": transaction})
        project.put(change, n=time.time_ns())
        assert project.refused("commit", transaction=transaction,
                               mutations=[{"upsert": entity("b")}])[0] == "ABORTED"
    assert project.get("b") is None


def test_a_transaction_that_has_ended_is_refused(project, server):
    transaction = project.begin()
    project.ok("commit", transaction=transaction, mutations=[])
    for method in ("commit", "rollback"):
        status, message = project.refused(method, transaction=transaction)
        assert status == "INVALID_ARGUMENT" and "expired or is no longer valid" in message
    idle = project.begin()
    project.get("a", readOptions={"transaction": idle})
    server.order("set transaction_idle_ms 0")
    project.put("a")
    assert project.refused("lookup", keys=[], readOptions={"transaction": idle})[0] \
        == "INVALID_ARGUMENT"


def test_a_read_only_transaction_and_a_read_time_see_the_past(project):
    project.put("a", n=1)
    then = project.ok("lookup", keys=[key("a")])["readTime"]
    transaction = project.begin(readOnly={})
    project.put("a", n=2)
    project.put("b")
    for options in ({"transaction": transaction}, {"readTime": then}):
        assert project.get("a", readOptions=options) == {"n": {"integerValue": "1"}}
        batch = project.ok("runQuery", query={"kind": [{"name": "K"}]}, readOptions=options)
        assert len(batch["batch"]["entityResults"]) == 1
    assert "read-only" in project.refused("commit", transaction=transaction,
                                          mutations=[{"upsert": entity("a")}])[1]
    assert "too old" in project.refused("lookup", keys=[], readOptions={
        "readTime": "2020-01-01T00:00:00Z"})[1]


# --- Queries ------------------------------------------------------------------------------------

def test_values_are_ordered_by_type_and_then_by_value(project):
    values = [{"nullValue": None}, value(-1), {"timestampValue": "1970-01-01T00:00:00.000001Z"},
              value(2), value(False), value(True), value(""), value("Z"), value("a"), value("é"),
              value(-0.5), value(1.5), {"geoPointValue": {"latitude": 1}},
              {"keyValue": {"path": [{"kind": "K", "id": "9"}]}}, {"keyValue": key("a")}]
    for i, one in enumerate(values):
        project.put(f"{len(values) - i:02}", v=one)
    project.put("hidden", v={"integerValue": 1, "excludeFromIndexes": True})
    project.put("absent")
    names = [f"{len(values) - i:02}" for i in range(len(values))]
    assert project.query(order=[order("v")])[0] == names
    assert project.query(order=[order("v", "DESCENDING")])[0] == names[::-1]
    assert len(project.query()[0]) == len(values) + 2


def test_a_query_comes_in_batches_whose_cursors_outlive_entities(project, server):
    for i in range(7):
        project.put(f"r{i}", n=6 - i)
    server.order("set batch_max 3")
    names = [f"r{i}" for i in range(7)]
    assert project.query()[0] == names and project.query(order=[order("n")])[0] == names[::-1]
    batch = project.query(limit=3)[1]
    assert batch["moreResults"] == "MORE_RESULTS_AFTER_LIMIT"
    project.write({"delete": key("r2")})
    assert project.query(startCursor=batch["endCursor"])[0] == names[3:]
    assert project.query(endCursor=batch["endCursor"])[0] == names[:2]
    assert project.query(offset=2, limit=2)[0] == ["r3", "r4"]
    assert project.refused("runQuery", query={
        "kind": [{"name": "K"}], "order": [order("n")], "startCursor": batch["endCursor"]})[0] \
        == "INVALID_ARGUMENT"


def test_a_query_without_its_index_is_refused_until_there_is_one(project, server):
    project.put("a", role="x", n=1)
    query = {"filter": where("role", "EQUAL", "x"), "order": [order("n", "DESCENDING")]}
    status, message = project.refused("runQuery", query={"kind": [{"name": "Q"}], **query})
    assert status == "FAILED_PRECONDITION"
    assert message == ("no matching index found. recommended index is:\n- kind: Q\n  properties:\n"
                       "  - name: role\n  - name: n\n    direction: desc\n")
    server.order("index Q role n:desc")
    project.ok("runQuery", query={"kind": [{"name": "Q"}], **query})
    both = {"compositeFilter": {"op": "AND", "filters": [where("role", "EQUAL", "x"),
                                                         where("n", "EQUAL", 1)]}}
    assert project.query(filter=both)[0] == ["a"]


def test_ancestors_namespaces_databases_and_projects_are_apart(project):
    child = {"path": [{"kind": "K", "name": "a"}, {"kind": "K", "name": "child"}]}
    for one in ({"key": child}, entity("a"), entity("b"),
                {"key": {"partitionId": {"namespaceId": "n"}, **key("elsewhere")}}):
        project.write({"upsert": one})
    assert project.query(filter=where("__key__", "HAS_ANCESTOR", {"keyValue": key("a")}))[0] \
        == ["a", "child"]
    assert project.query()[0] == ["a", "child", "b"]
    routed = {"x-goog-request-params": f"project_id={project.name}&database_id=other"}
    code, answer = project.call("lookup", routed, databaseId="other", keys=[key("a")])
    assert code == 200 and "found" not in answer
    assert "routing header" in project.refused("lookup", databaseId="other", keys=[])[1]
    assert project.refused("lookup", databaseId="unknown", keys=[])[0] == "NOT_FOUND"
    foreign = {"partitionId": {"projectId": "foreign"}, **key("a")}
    assert project.refused("lookup", keys=[foreign])[0] == "INVALID_ARGUMENT"


# --- Commands -----------------------------------------------------------------------------------

def test_faults_come_for_as_many_requests_as_told(project, server):
    server.order("fault commit 2 status 503")
    assert [project.call("commit", mode="NON_TRANSACTIONAL", mutations=[])[0]
            for _ in range(3)] == [503, 503, 200]
    for fault, is_applied in (("cut_before", False), ("cut_after", True), ("half", True)):
        server.order(f"fault commit 1 {fault}")
        with pytest.raises((http.client.HTTPException, OSError)):
            project.put(fault)
        assert (project.get(fault) is not None) is is_applied
    server.order("fault commit 1 status 500 after")
    assert project.refused("commit", mode="NON_TRANSACTIONAL",
                           mutations=[{"insert": entity("after")}])[0] == "INTERNAL"
    assert project.get("after") == {}


def test_frozen_it_answers_nothing_until_it_is_thawed(project, server):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        server.order("freeze")
        calls = server.order("counts").get("lookup", 0)
        answer = pool.submit(project.get, "a")
        assert server.order("counts").get("lookup", 0) == calls and not answer.done()
        server.order("thaw")
        assert answer.result(HANG_S) is None


def test_it_counts_records_and_wipes(project, server):
    server.order("counts reset")
    server.order("record on")
    project.put("a")
    project.get("a")
    project.query()
    project.write({"delete": key("a")})
    server.order("record off")
    assert server.order("counts") == {"calls": 4, "commit": 2, "lookup": 1, "runQuery": 1,
                                      "writes": 1, "deletes": 1, "reads": 2}
    assert [request["method"] for request in server.order("requests")] \
        == ["commit", "lookup", "runQuery", "commit"]
    project.put("a")
    project.put("b", kind="L")
    server.order(f"wipe project={project.name} kind=K")
    assert project.get("a") is None
    assert "found" in project.ok("lookup", keys=[key("b", "L")])


def test_its_clock_is_set(project, server):
    server.order("clock -3600000")
    made = project.put("a", n=1)
    assert made["updateTime"] < time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - 3000))
    server.order("clock 0")
    assert int(project.put("a", n=2)["version"]) > int(made["version"])


def test_a_token_is_demanded_expires_and_is_revoked(project, server):
    def token():
        connection = http.client.HTTPConnection(server.host, timeout=HANG_S)
        connection.request("GET", "/computeMetadata/v1/instance/service-accounts/default/token",
                           headers={"Metadata-Flavor": "Google"})
        return {"Authorization":
                f"Bearer {json.loads(connection.getresponse().read())['access_token']}"}
    server.order("tokens on")
    assert project.refused("lookup", keys=[])[0] == "UNAUTHENTICATED"
    good = token()
    assert project.call("lookup", good, keys=[])[0] == 200
    server.order("clock 3601000")
    assert project.call("lookup", good, keys=[])[0] == 401
    good = token()
    server.order("tokens revoke")
    assert project.call("lookup", good, keys=[])[0] == 401
