"""The tests' Datastore server, judged by Google's own client for Node.js; and that client beside
ours: what they send of the same member is compared, and each reads what the other wrote."""
import json
import shutil
import subprocess
import time

import pytest

from conftest import HANG_S, ROOT, clean_environment, wait_until

CLIENT = ROOT / "tests/node_client"
KIND = "ComradeServer"


class NodeClient:
    """tests/node_client/client.js: Google's client, which runs scenarios."""

    def __init__(self, host):
        if shutil.which("node") is None:
            pytest.skip("node is not installed")
        if not (CLIENT / "node_modules/@google-cloud/datastore").is_dir():
            pytest.skip(f"Google's client is not installed: npm ci --prefix {CLIENT}")
        self.process = subprocess.Popen(["node", "--no-warnings", CLIENT / "client.js",
                                         host.rpartition(":")[2]],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=clean_environment())

    def __call__(self, scenario, project, **order):
        self.process.stdin.write(json.dumps({"scenario": scenario, "project": project, **order}))
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert answer is None or "failure" not in answer, answer["failure"]
        return answer

    def close(self):
        self.process.stdin.close()
        self.process.wait(HANG_S)


@pytest.fixture(scope="module")
def google_client(shared_datastore_server):
    client = NodeClient(shared_datastore_server.host)
    yield client
    client.close()


@pytest.fixture
def project(datastore_server):
    return datastore_server.fresh_url().removeprefix("datastore://")


# --- The server, as Google's client sees it -----------------------------------------------------

def test_it_writes_and_reads(google_client, project):
    seen = google_client("writes", project)
    assert seen == {
        "updateMissing": "404 NOT_FOUND", "insertExisting": "409 ALREADY_EXISTS",
        "inserted": {"n": 1, "gone": True}, "updated": {"n": 3}, "saved": {"m": 5},
        "merged": {"m": 5, "more": "yes"}, "deleted": True, "completed": True, "byId": {"n": 6},
        "allocated": 3}


def test_it_keeps_values_of_all_types(google_client, project):
    def whole(number):
        return {"type": "DatastoreInt", "value": number}
    seen = google_client("types", project)
    assert seen["entity"] == {
        "nothing": None, "yes": True, "no": False, "text": "grüße \U0001f600", "empty": "",
        "whole": whole("7"), "zero": whole("0"), "exact": whole("9007199254740993"),
        "negative": whole("-5"), "half": 0.5, "wholeDouble": 3, "date": 1400000000123,
        "blob": "00ff01", "point": {"latitude": 10.5, "longitude": 0},
        "other": ["Parent", "1", "Child", "x"],
        "list": [whole("1"), "two", None, {"three": whole("3")}], "none": [],
        "nested": {"a": whole("1"), "deep": {"b": [True]}, "long": 2000}, "hollow": {},
        "long": 2000}
    assert "9007199254740993 is out of bounds" in seen["unwrapped"]
    assert seen["tooLong"] == "400 INVALID_ARGUMENT"


def test_of_two_transactions_that_read_the_same_one_is_aborted(google_client, project):
    seen = google_client("transactions", project)
    assert seen["read"] == [0, 0]
    assert sorted(seen["ends"]) == ["409 ABORTED", "none"]
    winner = seen["ends"].index("none") + 1
    assert [seen["after"], seen["within"], seen["old"], seen["last"]] == [winner, winner, winner, 4]


@pytest.mark.parametrize("concurrency", ["pessimistic", "optimistic"])
def test_concurrent_transactions_lose_no_update(google_client, project, datastore_server,
                                                concurrency):
    datastore_server.order(f"set concurrency {concurrency}")
    try:
        assert google_client("counting", project) == {"n": 8, "hasConflicts": True}
    finally:
        datastore_server.order("set concurrency pessimistic")


def test_it_queries_a_thousand_entities(google_client, project):
    seen = google_client("queries", project)
    assert seen == {
        "all": True, "length": 1000, "even": 500, "range": [10, 11, 12],
        "descending": [999, 998, 997], "offset": [990, 991, 992, 993, 994], "hidden": 0,
        "orderedByHidden": 0, "twoTags": 67, "inList": 2, "notEqual": 999, "byKey": 10,
        "keysOnly": [[0, "r0000"], [0, "r0001"]], "projected": [{"n": 0}, {"n": 1}],
        "noIndex": "400 FAILED_PRECONDITION", "either": [3, 700], "counted": 1000,
        "pages": [[400, 0, "MORE_RESULTS_AFTER_LIMIT"], [400, 400, "MORE_RESULTS_AFTER_LIMIT"],
                  [200, 800, "NO_MORE_RESULTS"]]}


def test_namespaces_are_apart(google_client, project):
    assert google_client("namespaces", project) == {
        "before": True, "one": ["one"], "other": ["other"]}


# --- The client beside ours ---------------------------------------------------------------------

def run(comrade, member_id, *options):
    agent = comrade.start("run", "--role", "app", "--id", member_id, "--drain-delay", "0",
                          "--min-healthy-time", "0", "--heartbeat", "200ms", *options,
                          "--", "sleep", "1000")
    wait_until(lambda: "event=available" in agent.err.read_text(), f"{member_id} is available")
    return agent


def project_of(comrade):
    return comrade.store_url.removeprefix("datastore://")


def original(**more):
    now = int(time.time() * 1000)
    return {"role": "app", "alive": True, "created": now, "updated": now, **more}


def written(server, member_id):
    """Of each recorded write of the member's entity: its key's path, and the properties."""
    made = []
    for request in server.order("requests"):
        for mutation in request["body"].get("mutations", []):
            for operation in ("insert", "update", "upsert"):
                entity = mutation.get(operation)
                if entity and entity["key"]["path"] == [{"kind": KIND, "name": member_id}]:
                    made.append(entity["properties"])
    return made


def form(value):
    """What of a value must be the same: all but whether it is indexed, at each depth."""
    (kind, content), = ((kind, content) for kind, content in value.items()
                        if kind != "excludeFromIndexes")
    if kind == "entityValue":
        return kind, {name: form(inner) for name, inner in content.get("properties", {}).items()}
    return kind, content


def test_ours_sends_the_fields_that_the_client_sends(google_client, comrade_on_datastore,
                                                     datastore_server):
    comrade, project = comrade_on_datastore, project_of(comrade_on_datastore)
    datastore_server.order("record on")
    google_client("save", project, kind=KIND, id="theirs",
                  data=original(metadata={"zone": "a", "empty": ""}))
    run(comrade, "ours", "--meta", "zone=a", "--meta", "empty=")
    google_client("change", project, kind=KIND, id="theirs",
                  data={"shutdownDate": int(time.time() * 1000)})
    comrade("kill", "ours", check=0)
    theirs, ours = written(datastore_server, "theirs"), written(datastore_server, "ours")
    datastore_server.order("record off")
    first, killed = theirs
    assert list(first) == ["role", "alive", "created", "updated", "metadata"]
    mine = next(properties for properties in ours if "created" in properties)
    for name in ("role", "metadata"):
        assert form(mine[name]) == form(first[name])
    # It is listed once it is ready, which ours tells apart from being there.
    assert form(first["alive"]) in [form(one["alive"]) for one in ours if "alive" in one]
    for name in ("created", "updated"):
        (mine_kind, mine_ms), (kind, ms) = form(mine[name]), form(first[name])
        assert (mine_kind, kind) == ("integerValue", "integerValue")
        assert isinstance(mine_ms, type(ms)) and abs(int(mine_ms) - int(ms)) < HANG_S * 1000
    request = next(properties for properties in ours if "shutdownDate" in properties)
    (mine_kind, mine_ms), (kind, ms) = form(request["shutdownDate"]), form(killed["shutdownDate"])
    assert (mine_kind, kind) == ("integerValue", "integerValue")
    assert isinstance(mine_ms, type(ms)) and abs(int(mine_ms) - int(ms)) < HANG_S * 1000
    # What else ours writes, the original does not know, and keeps when it writes all back.
    assert all(name.startswith("comrade") for properties in ours for name in properties
               if name not in first and name != "shutdownDate")


def test_the_client_reads_ours(google_client, comrade_on_datastore):
    run(comrade_on_datastore, "ours", "--meta", "zone=a")
    found = google_client("list", project_of(comrade_on_datastore), kind=KIND)["ours"]
    assert (found["role"], found["alive"], found["metadata"]) == ("app", True, {"zone": "a"})
    assert all(isinstance(found[name], int) for name in ("created", "updated"))
    assert "shutdownDate" not in found


def test_ours_reads_the_clients(google_client, comrade_on_datastore):
    metadata = {"zone": "a", "nothing": None, "deep": {"n": 1, "half": 0.5, "list": [True, "x"]}}
    theirs, bare = original(metadata=metadata), original()
    google_client("save", project_of(comrade_on_datastore), kind=KIND, id="theirs", data=theirs)
    google_client("save", project_of(comrade_on_datastore), kind=KIND, id="bare", data=bare)
    found = {member["id"]: member for member in comrade_on_datastore.list()}
    assert found.keys() == {"theirs", "bare"}
    for member_id, sent in (("theirs", theirs), ("bare", {**bare, "metadata": {}})):
        assert {name: found[member_id][name] for name in sent} == sent
        assert found[member_id]["shutdownDate"] is None
        assert found[member_id]["state"] == "up"


def test_the_client_kills_ours(google_client, comrade_on_datastore):
    agent = run(comrade_on_datastore, "ours")
    google_client("change", project_of(comrade_on_datastore), kind=KIND, id="ours",
                  data={"shutdownDate": int(time.time() * 1000)})
    assert agent.wait(HANG_S) == 90


def test_ours_kills_and_zombifies_the_clients_and_changes_nothing_else(google_client,
                                                                      comrade_on_datastore):
    comrade, project = comrade_on_datastore, project_of(comrade_on_datastore)
    metadata = {"nothing": None, "half": 0.5, "whole": 3, "deep": {"list": [True, None, "x"]}}
    sent = {name: original(metadata=metadata, own=None) for name in ("killed", "zombie")}
    for name, data in sent.items():
        google_client("save", project, kind=KIND, id=name, data=data)
    comrade("kill", "killed", check=0)
    comrade("zombify", "zombie", check=0)
    found = google_client("list", project, kind=KIND)
    assert {name: found["killed"][name] for name in sent["killed"]} == sent["killed"]
    assert isinstance(found["killed"]["shutdownDate"], int)
    assert {name: found["zombie"][name] for name in sent["zombie"]} \
        == {**sent["zombie"], "alive": False}
    assert "shutdownDate" not in found["zombie"]
