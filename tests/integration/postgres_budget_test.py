"""The budget under everything at once, on a real server, judged by what was committed.

Administrators kill the oldest of ten members, which are killed, crash, drain by SIGTERM and are
zombified meanwhile, and come back. Triggers record every change in the transaction that makes it
(tests/soak/audit.sql); tests/soak/history.py replays that and judges each kill by the rule.

./dev soak budget runs it with ten thousand rounds. A round is one attempt to kill the oldest.
"""
import collections
import csv
import io
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

from conftest import BUILD, HANG_S, Comrade, PostgresServer, clean_environment, wait_until

SOAK = pathlib.Path(__file__).resolve().parents[1] / "soak"
sys.path.insert(0, str(SOAK))
import history  # pylint: disable=wrong-import-position

ADMINISTRATORS, AGENTS, MEMBERS, MINIMUM, ZONES = 64, 4, 6, 3, 2
# How young the budget wants a heartbeat. Short, so that who crashes is not counted any more before
# somebody kills him, as the oldest that there is.
LIMIT_MS, HEARTBEAT_MS = 500, 100
TRIES = 20
ZOMBIFY_EACH_S = 0.7
ROUNDS = int(os.environ.get("SOAK_AMOUNT", "200"))
FEW_ROUNDS = 500  # of a run that shall go wrong
IS_LONG = "SOAK_AMOUNT" in os.environ
SEED = int(os.environ.get("SOAK_SEED", random.randrange(10**9)))


class Agent:
    """A `comrade run` that is disturbed again and again, and comes back under the same id."""

    def __init__(self, comrade, number, chance):
        self.comrade, self.name, self.chance = comrade, f"agent-{number}", chance
        self.zone = number % ZONES
        self.n_crashed = 0
        self.start()

    def start(self):
        self.process = self.comrade.start(
            "run", "--role", "app", "--id", self.name, "--meta", f"zone={self.zone}",
            "--heartbeat", f"{HEARTBEAT_MS}ms", "--restart", "never", "--min-healthy-time", "0s",
            "--drain-delay", "50ms", "--stop-timeout", "2s", "--log-level", "error", "--",
            "sleep", "1000")
        self.due = time.monotonic() + self.chance.choice((0.3, 0.6, 5))
        self.is_crashed = False

    def go_on(self):
        now = time.monotonic()
        if self.process.poll() is not None:
            if self.is_crashed:
                self.is_crashed = False
                self.due = now + self.chance.uniform(0, 5 * LIMIT_MS / 1000)
            elif self.due < now or self.process.returncode != -signal.SIGKILL:
                self.start()
        elif self.due < now:
            self.disturb(now)

    def disturb(self, now):
        self.is_crashed = self.chance.random() < 0.4
        if self.is_crashed:
            self.process.kill()
            self.n_crashed += 1
        else:
            self.process.terminate()
        self.due = now + 1


class Crowd:
    """The ten members on a fresh database; `with` ends them."""

    def __init__(self, server, folder):
        self.server = server
        self.url = server.fresh_database()
        self.counted = []
        self.said = folder / "members"
        self.chance = random.Random(SEED)
        self.comrade = Comrade(self.url, folder)
        self.comrade("store", "init")  # the schema alone: this login may make no groups
        self.comrade("role", "set", "app", "--min", MINIMUM, check=0)
        server.sql((SOAK / "audit.sql").read_text(), self.url)

    def __enter__(self):
        with open(self.said, "wb") as said:
            self.members = subprocess.Popen(
                [BUILD / "tests/soak/soak-members", self.url, "app", "member", str(MEMBERS),
                 str(HEARTBEAT_MS), "lively", str(SEED)], stdin=subprocess.PIPE, stdout=said,
                env=clean_environment())
        self.agents = [Agent(self.comrade, i, self.chance) for i in range(AGENTS)]
        wait_until(lambda: len(self.comrade.list("--available")) == AGENTS + MEMBERS, "all there")
        return self

    def __exit__(self, *_):
        self.comrade.stop_all()
        self.members.stdin.close()
        self.members.wait(HANG_S)

    def kill(self, *how, rounds=ROUNDS):
        """Lets the administrators loose. What they counted."""
        with subprocess.Popen(
                [BUILD / "tests/soak/soak-administrators", self.url, "app", str(ADMINISTRATORS),
                 str(rounds), str(LIMIT_MS), *how], stdout=subprocess.PIPE, text=True,
                env=clean_environment()) as administrators:
            due = time.monotonic()
            while administrators.poll() is None:
                for agent in self.agents:
                    agent.go_on()
                if due < time.monotonic():
                    self.zombify_one()
                    due = time.monotonic() + ZOMBIFY_EACH_S
                time.sleep(0.01)
            assert self.members.poll() is None
            self.counted.append(json.loads(administrators.stdout.read()))

    def zombify_one(self):
        """Whoever it is; one that has left already is left alone."""
        name = self.chance.choice([f"agent-{i}" for i in range(AGENTS)]
                                  + [f"member-{i:03}" for i in range(MEMBERS)])
        self.comrade.started = [one for one in self.comrade.started if one.poll() is None]
        self.comrade.start("zombify", name)

    def kill_until(self, has_seen_enough, *how, **rounds):
        """Again, where chance did not bring about in so few rounds what shall be seen."""
        for _ in range(TRIES):
            self.kill(*how, **rounds)
            told = self.history()
            self.tell(told)
            if has_seen_enough(told):
                return told
        raise AssertionError("it did not happen")

    def count(self, what):
        return sum((collections.Counter(counted[what]) for counted in self.counted),
                   collections.Counter())

    def history(self):
        rows = self.server.sql('COPY (SELECT number, transaction, at_ms, what, "row"'
                               ' FROM audit.event ORDER BY number) TO STDOUT (FORMAT csv)',
                               self.url)
        told = history.History(MINIMUM, LIMIT_MS)
        told.replay(history.read(csv.reader(io.StringIO(rows))))
        return told

    def tell(self, told):
        seconds = sum(counted["took_ms"] for counted in self.counted) / 1000
        rounds = sum(self.count("statuses").values())
        conflicts = sum(counted["conflicts"] for counted in self.counted)
        longest = max(counted["longest_ms"] for counted in self.counted)
        print(f"\nseed {SEED}: {ADMINISTRATORS} administrators, {rounds} rounds in {seconds:.1f} s "
              f"({rounds / seconds:.0f}/s): {dict(self.count('statuses'))}, {conflicts} conflicts, "
              f"the longest attempt {longest} ms")
        crashed = self.said.read_text().count("silent") + sum(one.n_crashed for one in self.agents)
        print(f"{crashed} crashed; history: {dict(told.seen)}; available after a kill: "
              f"{dict(sorted(told.left.items()))}; {len(told.violations)} violations")
        print(f"who won: {dict(told.winners.most_common())}", flush=True)


@pytest.fixture(scope="module")
def server():
    own = PostgresServer(max_connections=ADMINISTRATORS + 60)
    yield own
    own.close()


def is_below(told):
    return any("killed" in violation for violation in told.violations)


def test_the_minimum_holds_in_the_committed_history(server, tmp_path):
    with Crowd(server, tmp_path) as crowd:
        told = crowd.kill_until(lambda told: told.left[MINIMUM] > 0)
    assert told.violations == []
    # Each kill that somebody was told of is in the history, once, and no other.
    assert +crowd.count("won") == told.winners
    assert set(crowd.count("statuses")) <= {"OK", "REFUSED", "NOT_FOUND", "BUSY"}
    assert all(counted["conflicts"] > 0 for counted in crowd.counted)
    if IS_LONG:
        for what in ("drained by themselves", "zombified", "kills while one was silent"):
            assert told.seen[what] > 0, what


def test_the_history_shows_administrators_who_do_not_say_what_they_saw(server, tmp_path):
    """So the judge can tell: the same crowd, but a write names no revision."""
    with Crowd(server, tmp_path) as crowd:
        crowd.kill_until(is_below, "forget-revision", rounds=min(ROUNDS, FEW_ROUNDS))
