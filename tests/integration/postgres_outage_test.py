"""A server that is away, or answers nothing, under many members: nobody is killed, nobody is lost,
and its return is no stampede.

Some of the members are real agents, each with a child; the others are of one process, with a
connection each. What they ask of the server is counted in its own log.

./dev soak outage runs it with 200 members and five minutes, ./dev soak pause with thirty seconds.
"""
import collections
import datetime
import math
import os
import pathlib
import re
import subprocess
import time

import pytest

from conftest import BUILD, HANG_S, Comrade, PostgresServer, clean_environment, wait_until

SECONDS = int(os.environ.get("SOAK_AMOUNT", "1"))
IS_LONG = "SOAK_AMOUNT" in os.environ
AGENTS, OTHERS, HEARTBEAT_S = (20, 180, 10) if IS_LONG else (3, 37, 0.5)
TIMEOUT = () if IS_LONG else ("--timeout", "1s")  # of a verb, by default ten seconds
INTERVALS = 3  # looked at before and afterwards

LINE = re.compile(r"(\S+ \S+) UTC \[\d+\] comrade LOG:  (?:execute [^:]*: |statement: )?(.*)")
KINDS = {"connections": "connection authorized", "heartbeats": "WITH here AS",
         "snapshots": "SELECT r.role, r.revision", "listens": "LISTEN",
         "schema checks": "SELECT name, value FROM comrade.meta", "writes": "UPDATE comrade.role "}


class Load:
    """What members asked of the server, as its log has it."""

    def __init__(self, server):
        self.asked = []  # (moment, kind)
        for line in (server.folder / "log").read_text(errors="replace").splitlines():
            if match := LINE.match(line):
                moment = datetime.datetime.fromisoformat(match[1] + "+00:00").timestamp()
                self.asked += [(moment, kind) for kind, begin in KINDS.items()
                               if match[2].startswith(begin)]

    def between(self, start, end):
        return collections.Counter(kind for moment, kind in self.asked if start <= moment < end)

    def steady(self, until):
        """An interval's, on the average of some."""
        found = self.between(until - INTERVALS * HEARTBEAT_S, until)
        return {kind: n / INTERVALS for kind, n in found.items()}

    def connections_a_tenth(self, start):
        """How many came in each tenth of an interval."""
        return collections.Counter(
            math.floor((moment - start) / HEARTBEAT_S * 10) for moment, kind in self.asked
            if kind == "connections" and moment >= start)


def reads(found):
    return found.get("heartbeats", 0) + found.get("snapshots", 0)


class Members:
    """All of them on a fresh database of a server; `with` ends them."""

    def __init__(self, server, folder):
        self.server = server
        self.url = server.fresh_database()
        self.comrade = Comrade(self.url, folder)
        self.heard = folder / "heard"
        self.errors_at_first = 0

    def __enter__(self):
        for i in range(AGENTS):
            self.comrade.start("run", "--role", "app", "--id", f"agent-{i:03}", "--heartbeat",
                               f"{int(HEARTBEAT_S * 1000)}ms", "--", "sleep", "10000")
        with open(self.heard, "wb") as heard:
            self.others = subprocess.Popen(
                [BUILD / "tests/soak/soak-members", self.url, "app", "member", str(OTHERS),
                 str(int(HEARTBEAT_S * 1000))], stdin=subprocess.PIPE, stdout=heard,
                env=clean_environment())
        wait_until(lambda: len(self.comrade.list()) == AGENTS + OTHERS, "all are there")
        # So many at once may have had trouble to come: that ends with the registration.
        self.errors_at_first = self.what_was_heard()["error"]
        self.rows = self.records()
        self.children = self.starts()
        return self

    def __exit__(self, *_):
        self.comrade.stop_all()
        self.others.stdin.close()
        self.others.wait(HANG_S)

    def records(self):
        return self.server.sql("SELECT id, incarnation, created, pid, state, is_alive, request_kind"
                               " FROM comrade.member ORDER BY id", self.url).splitlines()

    def starts(self):
        """When each child of the agents was started. Fails if one is gone."""
        pids = [row.split("|")[3] for row in self.rows if row.startswith("agent")]
        return {pid: pathlib.Path(f"/proc/{pid}/stat").read_text().split()[21] for pid in pids}

    def wait_until_back(self, since):
        """All have had a heartbeat since a moment, and know it. Returns how many seconds that took.
        A heartbeat alone is no sign: one that was sent and given up may be done when the server
        goes on."""
        def is_back():
            time.sleep(HEARTBEAT_S / 10)
            beaten = self.server.sql("SELECT count(*) FROM comrade.heartbeat"
                                     f" WHERE updated > {since * 1000}", self.url)
            heard = self.what_was_heard()
            return (int(beaten) == AGENTS + OTHERS and heard["error"] == heard["restored"]
                    and time.time() - since)
        return wait_until(is_back, "all are back", 10 * HEARTBEAT_S + HANG_S)

    def what_was_heard(self):
        lines = self.heard.read_text().splitlines()
        heard = collections.Counter(line.split()[1] for line in lines)
        heard["error"] -= self.errors_at_first
        return heard

    def check_whole(self):
        assert self.records() == self.rows
        assert self.starts() == self.children
        assert all(process.poll() is None for process in self.comrade.started)
        heard = self.what_was_heard()
        assert heard["registered"] == OTHERS
        assert set(heard) <= {"registered", "error", "restored"}
        assert heard["error"] == heard["restored"] <= OTHERS
        return heard


@pytest.fixture(scope="module")
def server():
    own = PostgresServer(max_connections=AGENTS + OTHERS + 40,
                         set=["log_statement=all", "log_connections=on",
                              "log_line_prefix=%m [%p] %u "])
    yield own
    own.close()


def test_a_server_that_was_away_finds_all_members_as_they_were(server, tmp_path):
    with Members(server, tmp_path) as members:
        time.sleep((INTERVALS + 1) * HEARTBEAT_S)
        gone_at = time.time()
        server.stop()
        time.sleep(SECONDS)
        server.start()
        back_at = time.time()
        took_s = members.wait_until_back(back_at)
        time.sleep(max(0, back_at + INTERVALS * HEARTBEAT_S - time.time()))
        load = Load(server)
        heard = members.check_whole()
    steady = load.steady(gone_at)
    print(f"\n{AGENTS} agents and {OTHERS} other members, a heartbeat each {HEARTBEAT_S} s; the "
          f"server was away for {SECONDS} s; all were back after {took_s:.1f} s; "
          f"heard: {dict(heard)}")
    print(f"asked in an interval, steadily: {steady}")
    after = [load.between(back_at + i * HEARTBEAT_S, back_at + (i + 1) * HEARTBEAT_S)
             for i in range(INTERVALS)]
    for i, found in enumerate(after):
        print(f"asked in interval {i + 1} after the return: {dict(found)}: "
              f"{reads(found) / reads(steady):.2f} x the steady reads")
    tenths = load.connections_a_tenth(back_at)
    print(f"connections in each tenth of an interval: {[tenths[i] for i in range(11)]}", flush=True)
    # In half a second, what was measured is too much a matter of chance.
    usual = reads(steady) if IS_LONG else AGENTS + OTHERS
    assert all(0 < reads(found) <= 2 * usual for found in after)
    if IS_LONG:
        assert max(tenths.values()) <= (AGENTS + OTHERS) / 3  # a sixth is to be expected


def test_a_server_that_answers_nothing_kills_nobody(server, tmp_path):
    with Members(server, tmp_path) as members:
        server.pause()
        paused_at = time.time()
        try:
            listed = members.comrade("list", *TIMEOUT, check=5)
            answered_s = time.time() - paused_at
            time.sleep(max(0, paused_at + SECONDS - time.time()))
        finally:
            server.resume()
        resumed_at = time.time()
        took_s = members.wait_until_back(resumed_at)
        heard = members.check_whole()
        assert len(members.comrade.list()) == AGENTS + OTHERS
    print(f"\n{AGENTS} agents and {OTHERS} other members; the server was stopped for "
          f"{resumed_at - paused_at:.0f} s; all were back after {took_s:.1f} s; "
          f"heard: {dict(heard)}")
    print(f"meanwhile `comrade list {' '.join(TIMEOUT)}` said after {answered_s:.1f} s: "
          f"{listed.stderr}", flush=True)
    assert listed.stdout == ""
    assert str(server.port) in listed.stderr
