"""Hosts whose clocks are an hour off, by libfaketime: it changes nobody's health, and no moment that
the store keeps, since the store's clock decides."""
import glob
import json
import time

import pytest

from conftest import IS_SANITIZED, wait_until

CLOCKS = ("-1h", "+0", "+1h")


@pytest.fixture(scope="module", name="library")
def find_library():
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not found:
        pytest.skip("libfaketime is not installed")
    if IS_SANITIZED:
        pytest.skip("a sanitizer wants to be loaded first, as libfaketime does")
    return found[0]


def clock(library, offset):
    """The environment of a process on a host whose clock is off. The library's own correction of
    what waits by the monotonic clock lets such a wait end at once, now and then."""
    return {"LD_PRELOAD": library, "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0"}


def seconds_off(postgres_server, url, column, member):
    """How far what the store has is from its own clock."""
    return float(postgres_server.sql(
        f"SELECT abs(extract(epoch FROM now()) * 1000 - {column}) / 1000 FROM comrade.member m"
        f" JOIN comrade.heartbeat h USING (cluster, id) WHERE id = '{member}'", url))


def test_clocks_that_are_an_hour_off_change_nobodys_health(
        library, comrade_on_postgres, postgres_server, postgres_url):
    comrade = comrade_on_postgres
    for number, offset in enumerate(CLOCKS):
        comrade.start("run", "--role", "app", "--id", f"app-{number}", "--heartbeat", "300ms",
                      "--drain-delay", "0s", "--", "sh", "-c", "date +%s; exec sleep 1000",
                      env=clock(library, offset))
    wait_until(lambda: len(comrade.list()) == len(CLOCKS), "all are there")
    told = [wait_until(process.out.read_text, "its clock") for process in comrade.started]
    assert [round((int(text) - time.time()) / 3600) for text in told] == [-1, 0, 1]
    for number in range(len(CLOCKS)):
        assert seconds_off(postgres_server, postgres_url, "h.updated", f"app-{number}") < 60
        assert seconds_off(postgres_server, postgres_url, "m.created", f"app-{number}") < 60
    for offset in CLOCKS:
        seen = comrade("list", "--json", check=0, env=clock(library, offset)).stdout
        members = [json.loads(line) for line in seen.splitlines()]
        assert [member["healthy"] for member in members] == [True] * len(CLOCKS), offset
        assert [member["stale"] for member in members] == [False] * len(CLOCKS), offset
    assert postgres_server.sql("SELECT count(*) FROM comrade.live_members", postgres_url) == "3"

    for number, offset in enumerate(reversed(CLOCKS)):
        comrade("kill", f"app-{number}", "--force", check=0, env=clock(library, offset))
        assert seconds_off(postgres_server, postgres_url, "m.requested", f"app-{number}") < 60
        wait_until(lambda process=comrade.started[number]: process.poll() is not None, "it left")
