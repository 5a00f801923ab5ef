"""Hosts whose clocks are an hour off, by libfaketime, on Datastore: it changes nobody's health, and no
moment that the store keeps, since the server's clock decides."""
import glob
import json
import signal
import time

import pytest

from conftest import IS_SANITIZED, wait_until

CLOCKS = ("-1h", "+0", "+1h")
NEAR_S, AHEAD_S = 60, 7200


@pytest.fixture(scope="module", name="library")
def find_library():
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not found:
        pytest.skip("libfaketime is not installed")
    if IS_SANITIZED:
        pytest.skip("a sanitizer wants to be loaded first, as libfaketime does")
    return found[0]


def clock(library, offset):
    """The environment of a process on a host whose clock is off."""
    return {"LD_PRELOAD": library, "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0"}


def start(comrade, library):
    for number, offset in enumerate(CLOCKS):
        comrade.start("run", "--role", "app", "--id", f"app-{number}", "--heartbeat", "300ms",
                      "--drain-delay", "0s", "--", "sh", "-c", "date +%s; exec sleep 1000",
                      env=clock(library, offset))
    wait_until(lambda: len(comrade.list()) == len(CLOCKS), "all are there")
    told = [wait_until(process.out.read_text, "its clock") for process in comrade.started]
    assert [round((int(text) - time.time()) / 3600) for text in told] == [-1, 0, 1]


def seconds_off(server, url, member, name):
    """How far what the store has is from the server's clock, which is this machine's."""
    value = server.look_up(url, member)[name]
    return abs(int(value["integerValue"]) / 1000 - time.time())


def test_clocks_that_are_an_hour_off_change_nobodys_health(library, comrade_on_datastore,
                                                           datastore_server):
    comrade, url = comrade_on_datastore, comrade_on_datastore.store_url
    start(comrade, library)
    for number in range(len(CLOCKS)):
        before = datastore_server.look_up(url, f"app-{number}")["updated"]
        wait_until(lambda m=f"app-{number}", b=before: datastore_server.look_up(url, m)["updated"]
                   != b, "it beats")
        for name in ("updated", "created"):
            assert seconds_off(datastore_server, url, f"app-{number}", name) < NEAR_S
    for offset in CLOCKS:
        seen = comrade("list", "--json", check=0, env=clock(library, offset)).stdout
        members = [json.loads(line) for line in seen.splitlines()]
        assert [member["healthy"] for member in members] == [True] * len(CLOCKS), offset
        assert [member["stale"] for member in members] == [False] * len(CLOCKS), offset
        assert comrade("clear-stale", "--ids", env=clock(library, offset)).stdout == "", offset
    for number, offset in enumerate(reversed(CLOCKS)):
        comrade.started[number].send_signal(signal.SIGSTOP)  # it must not leave before it was looked at
        comrade("kill", f"app-{number}", "--force", check=0, env=clock(library, offset))
        assert seconds_off(datastore_server, url, f"app-{number}", "shutdownDate") < NEAR_S
        comrade.started[number].send_signal(signal.SIGCONT)
        wait_until(lambda process=comrade.started[number]: process.poll() is not None, "it left")


def test_a_server_whose_clock_jumps_takes_its_members_along(comrade_on_datastore, datastore_server):
    """Its commits are never of an earlier time than those before them, so it only jumps ahead."""
    comrade, url = comrade_on_datastore, comrade_on_datastore.store_url
    agent = comrade.start("run", "--role", "app", "--id", "app-1", "--heartbeat", "200ms",
                          "--min-healthy-time", "0", "--", "sleep", "1000")
    wait_until(comrade.list, "it is there")
    datastore_server.order(f"clock {AHEAD_S * 1000}")
    wait_until(lambda: seconds_off(datastore_server, url, "app-1", "updated") > AHEAD_S - NEAR_S,
               "`updated` is the server's time")
    wait_until(lambda: comrade.list("--alive", "--healthy"), "it is healthy")
    assert agent.poll() is None and "event=exited" not in agent.err.read_text()
