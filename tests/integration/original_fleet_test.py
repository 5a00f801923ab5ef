"""The published comrade 0.0.3 and this one in a single fleet: each lists, kills and clears the other's
members. Its own code runs (npm comrade@0.0.3), on a dataset object of the tests' own, since the
library that it was written for can no longer reach Datastore."""
import json
import shutil
import subprocess
import time

import pytest

from conftest import HANG_S, ROOT, wait_until

PROGRAM = ROOT / "bindings/node/test/lib/original-program.js"
PACKAGE = ROOT / "bindings/node/test/node_modules/comrade-original"
AGED_MS = 2 * 3600 * 1000


class Fleet:
    """Both, on one project."""

    def __init__(self, comrade, server):
        self.comrade, self.server = comrade, server
        self.project = comrade.store_url.removeprefix("datastore://")
        self.members = []

    def command(self, call, *arguments):
        return ["node", str(PROGRAM), self.server.host, self.project, call,
                *(text if isinstance(text, str) else json.dumps(text) for text in arguments)]

    def original(self, call, *arguments):
        done = subprocess.run(self.command(call, *arguments), text=True, capture_output=True,
                              timeout=HANG_S, check=False)
        assert done.returncode == 0, done
        return json.loads(done.stdout) if done.stdout else None

    def originals_list(self, **options):
        return {member["id"]: member for member in self.original("getMembers", options)}

    def start_original(self, role, member_id, metadata=None):
        member = subprocess.Popen(self.command("member", role, member_id, metadata or {}), text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.members.append(member)
        wait_until(lambda: self.server.look_up(self.comrade.store_url, member_id), "it is saved")
        return member

    def start_ours(self, member_id, *options):
        agent = self.comrade.start("run", "--role", "app", "--id", member_id, "--drain-delay", "0",
                                   "--min-healthy-time", "0", "--heartbeat", "200ms", *options, "--",
                                   "sleep", "1000")
        wait_until(lambda: "event=available" in agent.err.read_text(), f"{member_id} is available")
        return agent

    def ours_list(self):
        return {member["id"]: member for member in self.comrade.list("--all")}

    def properties(self, member_id):
        return self.server.look_up(self.comrade.store_url, member_id)

    def close(self):
        for member in self.members:
            member.kill()
            member.wait()


@pytest.fixture(name="fleet")
def make_fleet(comrade_on_datastore, datastore_server):
    if shutil.which("node") is None or not PACKAGE.exists():
        pytest.skip("Node.js or npm's comrade@0.0.3 is not installed (bindings/node/test)")
    fleet = Fleet(comrade_on_datastore, datastore_server)
    yield fleet
    fleet.close()


def test_ours_lists_and_kills_an_original(fleet):
    member = fleet.start_original("app", "old-1", {"ip": "10.0.0.5", "port": 80})
    seen = fleet.ours_list()["old-1"]
    assert (seen["role"], seen["alive"], seen["healthy"], seen["available"]) == ("app", True, True, True)
    assert seen["metadata"] == {"ip": "10.0.0.5", "port": 80}
    fleet.comrade("kill", "old-1", "--force", check=0)
    assert [member.stdout.readline(), member.stdout.readline()] == ["started\n", "shutdown\n"]
    assert fleet.properties("old-1")["alive"] == {"booleanValue": False}
    assert fleet.ours_list()["old-1"]["alive"] is False


def test_an_original_lists_ours_with_its_own_types(fleet):
    fleet.start_ours("new-1", "--meta", "ip=10.0.0.6", "--meta", "zone=b")
    seen = fleet.originals_list(role="app", alive=True)["new-1"]
    assert (seen["role"], seen["alive"], seen["healthy"], seen["stale"]) == ("app", True, True, False)
    assert seen["metadata"] == {"ip": "10.0.0.6", "zone": "b"}
    assert abs(seen["updated"] - time.time() * 1000) < 60_000
    assert seen["created"] <= seen["updated"]
    assert "shutdownDate" not in seen


def test_an_original_kills_ours(fleet):
    agent = fleet.start_ours("new-1")
    fleet.original("killMember", "new-1")
    agent.wait(HANG_S)
    log = agent.err.read_text()
    assert "event=kill" in log or "event=draining" in log, log
    properties = fleet.properties("new-1")
    assert properties is None or properties["alive"] == {"booleanValue": False}


def test_an_original_zombifies_ours_which_goes_on(fleet):
    agent = fleet.start_ours("new-1")
    fleet.original("zombifyMember", "new-1")
    assert fleet.ours_list()["new-1"]["alive"] is False
    before = fleet.properties("new-1")["updated"]
    wait_until(lambda: fleet.properties("new-1")["updated"] != before, "a heartbeat")
    assert fleet.properties("new-1")["alive"] == {"booleanValue": False}
    assert agent.poll() is None


def test_ours_zombifies_an_original_which_goes_on(fleet):
    member = fleet.start_original("app", "old-1")
    fleet.comrade("zombify", "old-1", check=0)
    assert fleet.originals_list(alive=True) == {}
    before = fleet.properties("old-1")["updated"]
    wait_until(lambda: fleet.properties("old-1")["updated"] != before, "a heartbeat")
    assert fleet.ours_list()["old-1"]["alive"] is False
    assert member.poll() is None


def test_the_oldest_is_killed_whoever_it_is_and_whoever_asks(fleet):
    member = fleet.start_original("app", "old-1")
    agent = fleet.start_ours("new-1")
    fleet.start_original("app", "old-2")
    fleet.comrade("kill-oldest", "--role", "app", check=0)
    assert [member.stdout.readline(), member.stdout.readline()] == ["started\n", "shutdown\n"]
    fleet.original("killOldestMember", {"role": "app"})
    agent.wait(HANG_S)
    assert {id for id, seen in fleet.ours_list().items() if seen["alive"]} == {"old-2"}


def test_our_budget_counts_originals(fleet):
    fleet.start_original("app", "old-1")
    fleet.start_ours("new-1")
    fleet.comrade("role", "set", "app", "--min", "2", check=0)
    assert fleet.comrade("kill-oldest", "--role", "app").returncode == 3
    assert all(seen["alive"] for seen in fleet.ours_list().values())


def test_each_clears_what_is_stale_of_the_other(fleet):
    aged = str(int(time.time() * 1000) - AGED_MS)
    for member_id in ("old-1", "new-1"):
        fleet.start_ours(member_id).kill()
    stale = {"updated": {"integerValue": aged}, "created": {"integerValue": aged}}
    ours = fleet.properties("new-1") | stale
    ours.pop("comradeUpdated", None)
    original = {name: ours[name] for name in ("role", "alive", "created", "updated")}
    fleet.server.put(fleet.comrade.store_url, "new-1", ours)
    fleet.original("clearStaleMembers")
    assert fleet.properties("new-1") is None
    fleet.server.put(fleet.comrade.store_url, "old-1", original)
    fleet.comrade("clear-stale", check=0)
    assert fleet.properties("old-1") is None
