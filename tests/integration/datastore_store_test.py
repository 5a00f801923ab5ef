"""The program on Google Cloud Datastore, as its users see it: every verb, what they mistype, a server
that is away or refuses, and members of comrade 0.0.3 beside ours."""
import json
import re
import os
import signal
import subprocess
import time

import pytest

from conftest import HANG_S, PROGRAM, wait_until

DONE, FAILED, USAGE, REFUSED, UNAVAILABLE, KILLED = 0, 1, 2, 3, 5, 90
READING = [["list"], ["show", "app-1"], ["kill", "app-1"], ["kill-oldest", "--role", "app"],
           ["zombify", "app-1"], ["rolling-kill", "--role", "app"], ["clear-stale"],
           ["role", "set", "app", "--min", "1"], ["role", "show", "app"], ["store", "check"],
           ["store", "init"], ["store", "drop", "--yes"]]


def run(comrade, member_id, *options):
    agent = comrade.start("run", "--role", "app", "--id", member_id, "--drain-delay", "0",
                          "--min-healthy-time", "0", "--heartbeat", "200ms", *options,
                          "--", "sleep", "1000")
    wait_until(lambda: "event=available" in agent.err.read_text(), f"{member_id} is available")
    return agent


def original(role="app", alive=True, age_ms=0, **more):
    """The properties of a member as comrade 0.0.3 writes it."""
    now = int(time.time() * 1000)
    return {"role": {"stringValue": role}, "alive": {"booleanValue": alive},
            "created": {"integerValue": str(now - age_ms)}, "updated": {"integerValue": str(now)},
            **more}


# --- A life -------------------------------------------------------------------------------------

def test_a_member_registers_is_killed_and_is_gone(comrade_on_datastore):
    comrade = comrade_on_datastore
    assert f"no members in {comrade.store_url}" in comrade("list", check=DONE).stderr
    agent = run(comrade, "app-1")
    run(comrade, "app-2")
    assert [found["id"] for found in comrade.list()] == ["app-1", "app-2"]
    assert "yes, the disruption budget counts it" in comrade("show", "app-1", check=DONE).stdout
    comrade("role", "set", "app", "--min", "2", check=DONE)
    assert "minimum of 2" in comrade("kill", "app-1", check=REFUSED).stderr
    assert comrade("kill-oldest", "--role", "app").returncode == REFUSED
    comrade("role", "set", "app", "--min", "1", check=DONE)
    done = comrade("kill", "app-1", "--wait", check=DONE)
    assert done.stdout.startswith("app-1 was asked to leave; it hears so with its next heartbeat")
    assert "app-1: gone (" in done.stdout
    assert agent.wait(HANG_S) == KILLED
    assert comrade("check", "--role", "app", "--min", "1").returncode == 0
    assert comrade("check", "--role", "app", "--min", "2").returncode == 2


def test_for_scripts_a_kill_prints_ids_alone(comrade_on_datastore):
    run(comrade_on_datastore, "app-1")
    assert comrade_on_datastore("kill", "app-1", "--ids", check=DONE).stdout == "app-1\n"


def test_a_zombie_is_off_the_list_and_runs_on(comrade_on_datastore):
    agent = run(comrade_on_datastore, "app-1")
    comrade_on_datastore("zombify", "app-1", check=DONE)
    assert comrade_on_datastore.list("--alive") == []
    assert [found["state"] for found in comrade_on_datastore.list("--all")] == ["up"]
    assert agent.poll() is None


def test_a_rolling_kill_goes_through_a_role(comrade_on_datastore):
    agents = [run(comrade_on_datastore, f"app-{n}") for n in range(3)]
    comrade_on_datastore("role", "set", "app", "--min", "0", check=DONE)
    done = comrade_on_datastore("rolling-kill", "--role", "app", "--interval", "100ms", check=DONE)
    assert "3 members were asked to leave" in done.stdout
    assert [agent.wait(HANG_S) for agent in agents] == [KILLED] * 3


def test_watch_says_once_that_nothing_is_pushed_and_sees_changes(comrade_on_datastore):
    watch = comrade_on_datastore.start("watch", "--role", "app")
    run(comrade_on_datastore, "app-1")
    wait_until(lambda: " came " in watch.out.read_text(), "it came")
    said = watch.err.read_text()
    assert said.count("does not push; changes are seen within 2.5 s") == 1 == said.count("\n")
    comrade_on_datastore("kill", "app-1", check=DONE)
    wait_until(lambda: "stopped" in watch.out.read_text(), "it has stopped")
    watch.send_signal(signal.SIGTERM)
    assert watch.wait(HANG_S) == DONE


def test_a_list_that_nobody_reads_to_its_end_is_no_crash(comrade_on_datastore, datastore_server):
    for n in range(100):
        datastore_server.put(comrade_on_datastore.store_url, f"app-{n}", original())
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run([PROGRAM, "list"], env=comrade_on_datastore.variables({}),
                             stdout=writer, stderr=subprocess.PIPE, timeout=HANG_S, check=False)
    os.close(writer)
    assert process.returncode in (FAILED, -signal.SIGPIPE) and process.stderr == b""
    assert len(comrade_on_datastore.list("--all")) == 100


# --- Which place --------------------------------------------------------------------------------

def test_namespaces_kinds_and_databases_are_apart(comrade_on_datastore):
    comrade, url = comrade_on_datastore, comrade_on_datastore.store_url
    run(comrade, "app-1", "--namespace", "staging", "--kind", "Web")
    for options in ([], ["--namespace", "staging"], ["--kind", "Web"],
                    ["--store", f"{url}/orders?namespace=staging&kind=Web"]):
        assert comrade.list(*options) == [], options
    for options in (["--namespace", "staging", "--kind", "Web"],
                    ["--store", f"{url}?namespace=staging&kind=Web"],
                    ["--store", f"{url}?kind=Web", "--namespace", "staging"],
                    ["--store", f"{url}/(default)?namespace=staging", "--kind", "Web"]):
        assert [found["id"] for found in comrade.list(*options)] == ["app-1"], options
    other = f"{url}/orders?namespace=a"
    run(comrade, "app-2", "--store", other)
    assert [found["id"] for found in comrade.list("--store", other)] == ["app-2"]


@pytest.mark.parametrize("url, says", [
    ("datastore:my-project", "write the store as datastore://PROJECT"),
    ("datastore://", "the project is missing"),
    ("datastore://My_Project", "is no id of a project"),
    ("datastore://p?namspace=a", 'did you mean "namespace"?'),
    ("datastore://p?kind=a&kind=b", "kind is given twice"),
    ("datastore://p?kind=a", 'the kind is "a" in the URL and "K" in the options'),
    ("datastore://p?endpoint=http://example.com", "in clear"),
    ("datastor://p", 'did you mean "datastore:"?'),
])
def test_what_is_misspelt_is_refused_before_anything_starts(comrade_on_datastore, tmp_path, url,
                                                            says):
    started = tmp_path / "started"
    for verb in (["list"], ["watch"], ["kill", "a"],
                 ["run", "--role", "app", "--", "touch", started]):
        done = comrade_on_datastore(*verb[:1], "--store", url, "--kind", "K", *verb[1:],
                                    check=USAGE, env={"DATASTORE_EMULATOR_HOST": ""})
        assert says in done.stderr and done.stdout == ""
    assert not started.exists()


def test_no_error_shows_the_file_of_credentials(comrade_on_datastore):
    done = comrade_on_datastore("list", "--store", "datastore://p?credentials=/hunter2&kind=",
                                check=USAGE)
    assert "datastore://p?credentials=***&kind=: kind has no value" in done.stderr


# --- The store itself ---------------------------------------------------------------------------

def test_nothing_is_to_be_made_and_the_check_says_what_there_is(comrade_on_datastore,
                                                                datastore_server):
    url = comrade_on_datastore.store_url
    assert comrade_on_datastore("store", "init", check=DONE).stdout == f"{url} is ready\n"
    said = comrade_on_datastore("store", "check", check=DONE).stdout
    assert "kind ComradeServer, namespace (default), database (default), project test-" in said
    assert "a heartbeat is one request" in said and "requests come with the next heartbeat" in said
    printed = comrade_on_datastore("store", "init", "--print-sql", "--store", url)
    assert printed.returncode == UNAVAILABLE and "needs no setting up" in printed.stderr
    for kind in ("ComradeServer", "ComradeServer.role", "ComradeServer.probe"):
        query = {"kind": [{"name": kind}]}
        found = datastore_server.ask(url, "runQuery", query=query)["batch"]
        assert found.get("entityResults", []) == [], "it leaves nothing behind"


def test_check_says_whether_the_original_sees_these_members(comrade_on_datastore):
    url, sees = comrade_on_datastore.store_url, "0.0.3 on this kind see these members"
    for place, expected in (("", True), ("?kind=Web", True), ("?namespace=eu", False),
                            ("/orders", False)):
        said = comrade_on_datastore("store", "check", "--store", url + place, check=DONE).stdout
        assert (sees in said, "0.0.3 see none of these" in said) == (expected, not expected), place


def test_drop_says_which_command_removes_the_entities(comrade_on_datastore):
    comrade = comrade_on_datastore
    comrade.store_url += "?namespace=eu&kind=Web"
    done = comrade("store", "drop", "--yes", check=UNAVAILABLE)
    assert "gcloud firestore bulk-delete --project='test-" in done.stderr
    assert "--namespace-ids='eu' --collection-ids='Web,Web.role,Web.probe'" in done.stderr
    run(comrade, "app-1")
    assert "1 member runs" in comrade("store", "drop", "--yes", check=REFUSED).stderr


# --- A server that is away, or refuses ----------------------------------------------------------

@pytest.mark.parametrize("status, says", [
    (403, "grant the role roles/datastore.user in the project test-"),
    (429, "a quota is used up"),
    (503, "the server said 503 UNAVAILABLE: The service is currently unavailable"),
])
def test_every_verb_says_why_the_server_refuses(comrade_on_datastore, datastore_server, status,
                                                says):
    datastore_server.order(f"fault * 1000 status {status}")
    for verb in READING:
        done = comrade_on_datastore(*verb, check=UNAVAILABLE)
        assert says in done.stderr and done.stdout == "", verb
        assert ".;" not in done.stderr, "the server's full stop is not in the middle of ours"
    done = comrade_on_datastore("check", "--role", "app", "--min", "1", check=3)
    assert done.stdout.startswith("UNKNOWN - app: ")


def test_who_may_only_read_lists_and_is_told_what_writing_takes(comrade_on_datastore,
                                                                datastore_server):
    datastore_server.put(comrade_on_datastore.store_url, "theirs", original())
    datastore_server.order("fault commit 1000 status 403")
    assert [found["id"] for found in comrade_on_datastore.list()] == ["theirs"]
    comrade_on_datastore("show", "theirs", check=DONE)
    comrade_on_datastore("check", "--role", "app", "--min", "1", check=DONE)
    for verb in (["kill", "theirs"], ["role", "set", "app", "--min", "1"], ["store", "init"],
                 ["store", "check"]):
        assert "roles/datastore.user" in comrade_on_datastore(*verb, check=UNAVAILABLE).stderr


def test_a_database_that_is_not_there_is_named(comrade_on_datastore):
    url = comrade_on_datastore.store_url + "/nowhere"
    done = comrade_on_datastore("list", "--store", url, check=UNAVAILABLE)
    assert "The database nowhere does not exist" in done.stderr
    assert "--database='nowhere'" in done.stderr


def test_an_emulator_that_is_not_there_says_who_named_it(comrade_on_datastore):
    comrade_on_datastore.environment["DATASTORE_EMULATOR_HOST"] = "127.0.0.1:1"
    for verb in READING:
        done = comrade_on_datastore(*verb, check=UNAVAILABLE)
        assert "127.0.0.1 port 1" in done.stderr and "DATASTORE_EMULATOR_HOST" in done.stderr, verb


def test_a_server_that_answers_nothing_ends_every_verb_in_time(comrade_on_datastore,
                                                               datastore_server):
    datastore_server.order("fault * 1000 silence")
    done = comrade_on_datastore("list", "--timeout", "1s", check=UNAVAILABLE)
    assert done.stderr.count("\n") == 1


def test_members_outlive_an_outage_and_a_wipe(comrade_on_datastore, datastore_server):
    url = comrade_on_datastore.store_url
    agent = run(comrade_on_datastore, "app-1")
    comrade_on_datastore("role", "set", "app", "--min", "1", check=DONE)
    datastore_server.order("fault * 100000 status 503")
    wait_until(lambda: "event=store-error" in agent.err.read_text(), "it says so")
    datastore_server.order("faults clear")
    wait_until(lambda: "event=store-back" in agent.err.read_text(), "the store is back")
    before = comrade_on_datastore.list()[0]["incarnation"]
    datastore_server.order(f"wipe project={url.removeprefix('datastore://')}")
    wait_until(lambda: comrade_on_datastore.list("--alive"), "it is back")
    assert comrade_on_datastore.list()[0]["incarnation"] == before
    assert agent.poll() is None and "event=exited" not in agent.err.read_text()


def test_the_service_is_started_although_the_server_is_away(comrade_on_datastore, tmp_path):
    comrade_on_datastore.environment["DATASTORE_EMULATOR_HOST"] = "127.0.0.1:1"
    started = tmp_path / "started"
    done = comrade_on_datastore("run", "--role", "app", "--id", "app-1", "--", "touch", started)
    assert done.returncode == DONE and started.exists()
    assert "runs without being listed" in done.stderr


# --- Beside comrade 0.0.3 -----------------------------------------------------------------------

def test_members_of_the_original_are_listed_killed_and_zombified(comrade_on_datastore,
                                                                 datastore_server):
    comrade, url = comrade_on_datastore, comrade_on_datastore.store_url
    address = {"entityValue": {"properties": {"ip": {"stringValue": "10.0.0.1"},
                                              "port": {"integerValue": "80"}}}}
    datastore_server.put(url, "theirs", original(metadata=address))
    run(comrade, "ours")
    assert [(found["id"], found["alive"], found["healthy"]) for found in comrade.list()] == \
        [("ours", True, True), ("theirs", True, True)]
    assert comrade.list("--where", "ip=10.0.0.1")[0]["metadata"] == {"ip": "10.0.0.1", "port": 80}
    comrade("kill", "theirs", check=DONE)
    properties = datastore_server.look_up(url, "theirs")
    assert abs(int(properties["shutdownDate"]["integerValue"]) - time.time() * 1000) < 60000
    assert properties["metadata"] == address, "what is theirs stays as it was"
    datastore_server.put(url, "another", original())
    comrade("zombify", "another", check=DONE)
    assert datastore_server.look_up(url, "another")["alive"] == {"booleanValue": False}


def test_the_originals_kill_and_zombify_reach_ours(comrade_on_datastore, datastore_server):
    comrade, url = comrade_on_datastore, comrade_on_datastore.store_url
    agent = run(comrade, "ours")
    comrade("list", check=DONE)
    properties = datastore_server.look_up(url, "ours")
    types = {name: next(iter(value)) for name, value in properties.items()}
    assert {name: types[name] for name in ("role", "alive", "created", "updated")} == \
        {"role": "stringValue", "alive": "booleanValue", "created": "integerValue",
         "updated": "integerValue"}
    assert "shutdownDate" not in properties
    properties["alive"] = {"booleanValue": False}
    datastore_server.put(url, "ours", properties)
    assert comrade.list("--alive") == [] and agent.poll() is None
    properties["shutdownDate"] = {"integerValue": str(int(time.time() * 1000))}
    datastore_server.put(url, "ours", properties)
    assert agent.wait(HANG_S) == KILLED
    assert "kind=kill" in agent.err.read_text()
    assert re.search(r"^  by +\(not said\)$", comrade("show", "ours", check=DONE).stdout, re.M)
    assert json.dumps(datastore_server.look_up(url, "ours")["alive"]) == '{"booleanValue": false}'
