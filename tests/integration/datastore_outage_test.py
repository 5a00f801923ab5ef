"""A Datastore that is away, empty, frozen or refuses, under members that run: nobody is killed,
nobody is lost, and what was asked of them is heard with the next heartbeat."""
import os
import signal
import time

import pytest

from conftest import HANG_S, Comrade, DatastoreServer, wait_until

DONE, KILLED = 0, 90
MEMBERS, HEARTBEAT_S, OUTAGE_S = 3, 0.3, 1
STALE_MS = 3700 * 1000


@pytest.fixture
def server():
    """Its own, for it is not there all the time."""
    server = DatastoreServer()
    yield server
    server.process.send_signal(signal.SIGCONT)
    server.close()


@pytest.fixture
def comrade(server, tmp_path):
    program = Comrade(server.fresh_url(), tmp_path, DATASTORE_EMULATOR_HOST=server.host)
    for number in range(MEMBERS):
        program.start("run", "--role", "app", "--id", f"app-{number}", "--heartbeat",
                      f"{int(HEARTBEAT_S * 1000)}ms", "--drain-delay", "0", "--min-healthy-time",
                      "0", "--timeout", "1s", "--", "sleep", "1000")
    wait_until(lambda: len(whole(program)) == MEMBERS, "all are there")
    program("role", "set", "app", "--min", "1", check=DONE)
    yield program
    server.process.send_signal(signal.SIGCONT)
    program.stop_all()


def whole(comrade):
    """Those that are alive, healthy and available, each as what must never change of it."""
    return {(found["id"], found["incarnation"], found["created"], found["pid"])
            for found in comrade.list("--alive", "--healthy") if found["available"]}


def kill_and_start_empty(server):
    server.kill()
    time.sleep(OUTAGE_S)
    server.start()


def freeze(server):
    server.process.send_signal(signal.SIGSTOP)
    time.sleep(OUTAGE_S)
    server.process.send_signal(signal.SIGCONT)


def refuse(server):
    server.order("fault * 100000 status 503")
    time.sleep(OUTAGE_S)
    server.order("faults clear")


def wipe(server):
    server.order("wipe")


def lose_answers(server):
    """What is asked is done, and nobody is told."""
    server.order("fault * 100000 cut_after")
    time.sleep(OUTAGE_S)
    server.order("faults clear")


def change_its_mind(server):
    """Now this request fails, now that one."""
    for status in (429, 500, 503, 409, 404) * 4:
        server.order(f"fault * 3 status {status}")
    time.sleep(OUTAGE_S)
    server.order("faults clear")


OUTAGES = [kill_and_start_empty, freeze, refuse, wipe, lose_answers, change_its_mind]


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: outage.__name__)
def test_members_are_whole_after_an_outage(comrade, server, outage):
    before = whole(comrade)
    outage(server)
    wait_until(lambda: whole(comrade) == before, "all are back, as they were")
    assert all(agent.poll() is None for agent in comrade.started)
    assert all("event=exited" not in agent.err.read_text() for agent in comrade.started)
    wait_until(lambda: "minimum" in comrade("role", "show", "app").stdout, "so is their minimum")
    # And what is asked of them now arrives.
    comrade("kill", "app-1", "--wait", check=DONE)
    assert comrade.started[1].wait(HANG_S) == KILLED
    assert {member[0] for member in whole(comrade)} == {"app-0", "app-2"}


def test_a_kill_is_heard_after_an_outage_in_which_nothing_could_be_heard(comrade, server):
    agent = comrade.started[2]
    agent.send_signal(signal.SIGSTOP)
    comrade("kill", "app-2", check=DONE)
    server.order("fault * 100000 silence")
    agent.send_signal(signal.SIGCONT)
    time.sleep(OUTAGE_S)
    assert agent.poll() is None
    server.order("faults clear")
    assert agent.wait(HANG_S) == KILLED
    assert {member[0] for member in whole(comrade)} == {"app-0", "app-1"}


def test_what_an_agent_that_was_killed_left_is_cleared(comrade, server):
    agent = comrade.started[0]
    child = next(found["pid"] for found in comrade.list() if found["id"] == "app-0")
    agent.kill()
    agent.wait(HANG_S)
    assert "app-0" in {found["id"] for found in comrade.list()}, "nobody took its record away"
    server.order(f"clock {STALE_MS}")  # an hour later
    wait_until(lambda: {member[0] for member in whole(comrade)} == {"app-1", "app-2"},
               "the others go on")
    assert comrade("clear-stale", "--ids", check=DONE).stdout == "app-0\n"
    assert {found["id"] for found in comrade.list()} == {"app-1", "app-2"}
    if os.path.exists(f"/proc/{child}"):
        os.kill(child, signal.SIGKILL)
