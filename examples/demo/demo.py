#!/usr/bin/python3
"""The main job of Comrade, for real: `./dev demo` runs this.

Three Node.js servers that know nothing of Comrade run under `comrade run` on a fresh SQLite store,
or on PostgreSQL or Google Cloud Datastore: on a server that is started for it (for Datastore, the one
of the tests), or on yours, in a namespace of its own.
A load generator discovers them through the client library and sends them requests, never
repeating one. The oldest is killed from outside: it leaves the list, drains and exits, and no
request may fail. A further kill must be refused, because two servers are the minimum.

With --drain-delay 0 servers are stopped in the middle of their requests, and the demo must fail.
Exit code: 0 if all was so.
"""
import argparse
import json
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
SERVER = HERE.parent / "node-http" / "server.js"
SERVERS = HERE.parent.parent / "tests" / "lib"
ROLE = "app"
N_SERVERS = 3
MINIMUM = 2
REQUESTS_A_SECOND = 100
# Nothing here takes as long as this unless it hangs.
LIMIT_S = 60
REFUSED = 3  # `comrade` exits so when the disruption budget says no


class Failed(Exception):
    """Something was not as promised."""


class Steps:
    """Prints what happens, and when: seconds since the start, and since the step's beginning."""

    def __init__(self):
        self.started = self.step_started = time.monotonic()
        self.taken = []
        self.name = None

    def begin(self, name):
        self.end()
        self.name, self.step_started = name, time.monotonic()
        print(f"\n[{self.step_started - self.started:5.1f} s] {name}", flush=True)

    def end(self):
        if self.name:
            self.taken.append((self.name, time.monotonic() - self.step_started))
        self.name = None

    def say(self, text):
        for line in text.rstrip("\n").splitlines():
            print(f"    {line}", flush=True)

    def moment(self, text):
        """Something happened, so long after the step began."""
        print(f"    +{time.monotonic() - self.step_started:7.3f} s  {text}", flush=True)


class Load:
    """The load generator, and what it has said."""

    def __init__(self, program, store, environment):
        name_space = environment.get("COMRADE_NAMESPACE", "")
        self.process = subprocess.Popen([program, store, ROLE, str(REQUESTS_A_SECOND), name_space],
                                        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.counts = {}
        self.targets = []
        self.failures = []
        self.news = queue.SimpleQueue()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            event = json.loads(line)
            if event["event"] == "targets":
                self.targets = event["ids"]
            elif event["event"] == "failure":
                self.failures.append(event)
            else:
                self.counts = event
            self.news.put(event["event"])

    def describe(self):
        count = {"answered": 0, "failed": 0, "slow": 0, "fresh": 0, "kept": 0, **self.counts}
        return (f"{count['answered']} requests answered ({count['fresh']} on fresh connections, "
                f"{count['kept']} on kept-alive ones, {count['slow']} of them took 2 s), "
                f"{max(count['failed'], len(self.failures))} failed")

    def stop(self):
        """Lets what is under way end. Returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(LIMIT_S)
        self.reader.join(LIMIT_S)
        return code


class Server:
    """A server for this demo, postgres or datastore, which ends when its input does."""

    def __init__(self, name):
        self.process = subprocess.Popen([SERVERS / f"{name}_server.py"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        answer = self.process.stdout.readline().split(maxsplit=3)
        if not answer or answer[0] != "ready":
            raise SystemExit(f"demo: the server could not be started: {' '.join(answer[1:])}")
        self.port = answer[1]
        self.environment = {}
        if name == "postgres":
            self.url = self.make_database()
        else:
            self.url = "datastore://demo"
            self.environment["DATASTORE_EMULATOR_HOST"] = f"127.0.0.1:{self.port}"

    def make_database(self):
        subprocess.run(["psql", "-qX", "-h", "127.0.0.1", "-p", self.port, "-U", "postgres", "-c",
                        "CREATE DATABASE demo OWNER comrade", "postgres"], check=True)
        return f"postgres://comrade@127.0.0.1:{self.port}/demo"

    def stop(self):
        self.process.stdin.close()
        self.process.wait(LIMIT_S)


class Demo:
    def __init__(self, build, drain_delay, store):
        self.program = build / "comrade"
        self.load_program = build / "examples" / "demo-load"
        self.steps = Steps()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="comrade-demo-"))
        self.server = Server(store) if store in ("postgres", "datastore") else None
        self.store = (self.server.url if self.server else
                      f"sqlite:{self.folder}/comrade.db" if store == "sqlite" else store)
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith("COMRADE_") and name != "PORT"}
        self.environment = {"COMRADE_MODULE_PATH": str(build / "modules"), **kept,
                            "COMRADE_STORE": self.store}
        if self.server:
            self.environment |= self.server.environment
        elif store != "sqlite":
            self.environment["COMRADE_NAMESPACE"] = f"demo-{os.getpid()}"
        if drain_delay is not None:
            self.environment["COMRADE_DRAIN_DELAY"] = drain_delay
        self.agents = []
        self.pids = {}  # of the servers, as the list told them
        self.load = None

    # --- Helpers ---

    def comrade(self, *arguments, expect=0):
        command = " ".join(("comrade",) + arguments)
        done = subprocess.run([self.program, *arguments], env=self.environment, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=LIMIT_S, check=False)
        if done.returncode != expect:
            raise Failed(f"`{command}` exited with {done.returncode}, not {expect}: {done.stdout}")
        return done.stdout

    def show(self, *arguments, expect=0):
        self.steps.say("$ " + " ".join(("comrade",) + arguments))
        self.steps.say(self.comrade(*arguments, expect=expect))

    def has_store(self):
        return subprocess.run([self.program, "list"], env=self.environment, timeout=LIMIT_S,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, check=False).returncode == 0

    def members(self):
        lines = self.comrade("list", "--role", ROLE, "--json").splitlines()
        members = [json.loads(line) for line in lines]
        for member in members:
            if member["pid"]:
                self.pids[member["id"]] = member["pid"]
        return members

    def wait_for(self, what, condition, on_wait=None):
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            if value := condition():
                return value
            for agent in self.agents:
                if agent.poll() is not None and agent.is_expected_to_run:
                    raise Failed(f"an agent exited with {agent.returncode}: {self.tail(agent)}")
            if on_wait:
                on_wait()
            time.sleep(0.02)
        raise Failed(f"not within {LIMIT_S} s: {what}")

    def tail(self, agent):
        return "\n" + "".join(agent.log.read_text(errors="replace").splitlines(True)[-10:])

    # --- The steps ---

    def start_servers(self):
        self.steps.begin(f"Start {N_SERVERS} Node.js servers on a fresh store, {self.store}")
        arguments = ["run", "--role", ROLE, "--port", "auto", "--", "node", str(SERVER)]
        self.steps.say("$ " + " ".join(["comrade", *arguments[:-1], SERVER.name])
                       + f"        # {N_SERVERS} times")
        for i in range(N_SERVERS):
            log = self.folder / f"server-{i}.log"
            with open(log, "wb") as out:
                agent = subprocess.Popen([self.program, *arguments], env=self.environment,
                                         stdin=subprocess.DEVNULL, stdout=out, stderr=out)
            agent.log = log
            agent.is_expected_to_run = True
            self.agents.append(agent)
        self.wait_for("the first of them has made the store", self.has_store)
        self.wait_for("three servers are listed", lambda: N_SERVERS == sum(
            member["alive"] and member["healthy"] for member in self.members()))
        self.steps.moment(f"all {N_SERVERS} are listed")
        self.show("role", "set", ROLE, "--min", str(MINIMUM))

    def start_load(self):
        self.steps.begin(f"Send {REQUESTS_A_SECOND} requests a second to whoever is listed")
        self.load = Load(self.load_program, self.store, self.environment)
        self.wait_for("the load has found three servers",
                      lambda: len(self.load.targets) == N_SERVERS)
        self.steps.moment(f"the client library has discovered {', '.join(self.load.targets)}")

    def wait_until_available(self):
        self.steps.begin("Wait until all are available: 10 healthy seconds each")
        seen = [-1]

        def n_available():
            return sum(member["available"] for member in self.members())

        def tell():
            count = n_available()
            if count != seen[0]:
                seen[0] = count
                self.steps.moment(f"{count} of {N_SERVERS} available")
            time.sleep(0.2)
        self.wait_for("three servers are available", lambda: n_available() == N_SERVERS, tell)
        tell()
        self.show("list", "--role", ROLE)
        self.steps.say(self.load.describe())

    def kill_oldest(self):
        oldest = min(self.members(), key=lambda member: (member["created"], member["id"]))
        self.steps.begin("Kill the oldest, from outside")
        agent = self.agent_of(oldest)  # before it may be gone
        self.show("kill-oldest", "--role", ROLE, "--reason", "demo")
        self.steps.moment("the request is in the store")
        agent.is_expected_to_run = False
        self.wait_for("it has left the list of the load generator",
                      lambda: oldest["id"] not in self.load.targets)
        self.steps.moment(f"{oldest['id']} has left the list: no new requests; it drains")
        self.expect_still_running(oldest)
        self.wait_for("the server has exited", lambda: not is_running(oldest["pid"]))
        self.steps.moment(f"its server, process {oldest['pid']}, has exited")
        code = agent.wait(LIMIT_S)
        self.steps.moment(f"its agent has exited, with code {code}")
        self.show("list", "--role", ROLE)
        self.steps.say(self.load.describe())

    def expect_still_running(self, member):
        """Gone from the list before gone; without a drain delay there is nothing to see of it."""
        if self.environment.get("COMRADE_DRAIN_DELAY") is None and not is_running(member["pid"]):
            raise Failed(f"{member['id']} was gone before its drain delay")

    def agent_of(self, member):
        for agent in self.agents:
            if member["pid"] in descendants(agent.pid):
                return agent
        raise Failed(f"no agent of ours runs {member['id']}, process {member['pid']}")

    def kill_another(self):
        alive = [member for member in self.members() if member["alive"]]
        self.steps.begin("Kill one more: two are the minimum, so this must be refused")
        self.show("kill", alive[0]["id"], expect=REFUSED)
        time.sleep(1)
        left = [member for member in self.members() if member["alive"]]
        if len(left) != MINIMUM or not all(is_running(member["pid"]) for member in left):
            raise Failed("a refused kill has changed something")
        self.steps.moment(f"both go on; exit code {REFUSED}")

    def end_load(self):
        self.steps.begin("End the load")
        time.sleep(1)
        code = self.load.stop()
        self.steps.say(self.load.describe())
        if self.load.failures:
            for failure in self.load.failures[:5]:
                self.steps.say(f"failed: {failure['request']} to {failure['id'] or 'nobody'}: "
                               f"{failure['why']}")
            raise Failed(f"{len(self.load.failures)} requests failed")
        missing = [name for name in ("answered", "fresh", "kept", "slow")
                   if not self.load.counts.get(name)]
        if code != 0 or missing:
            raise Failed(f"the load generator exited with {code}; never seen: {missing}")

    def stop_everything(self):
        """Also after a failure. Nothing that was started may be left."""
        self.steps.begin("Stop all that was started")
        if self.load and self.load.process.poll() is None:
            self.load.stop()
        for agent in self.agents:
            agent.is_expected_to_run = False
            if agent.poll() is None:
                agent.send_signal(signal.SIGTERM)
        for agent in self.agents:
            try:
                agent.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                agent.kill()  # its servers die with it
                agent.wait()
        shutil.rmtree(self.folder)
        if self.server:
            self.server.stop()
        left = [pid for pid in self.pids.values() if is_running(pid)]
        killed = [agent.pid for agent in self.agents if agent.returncode == -signal.SIGKILL]
        if left or killed:
            raise Failed(f"still running: {left}; had to be killed: {killed}")
        self.steps.moment("nothing is left running; the store is removed")

    def run(self):
        failures = []
        try:
            self.start_servers()
            self.start_load()
            self.wait_until_available()
            self.kill_oldest()
            self.kill_another()
            self.end_load()
        except (Failed, subprocess.TimeoutExpired) as failure:
            failures.append(str(failure))
            self.steps.say(f"FAILED: {failure}")
        finally:
            try:
                self.stop_everything()
            except (Failed, subprocess.TimeoutExpired) as failure:
                failures.append(str(failure))
        self.summarize(failures)
        return 1 if failures else 0

    def summarize(self, failures):
        self.steps.end()
        print("\nSummary")
        for name, seconds in self.steps.taken:
            print(f"    {seconds:6.1f} s  {name}")
        if self.load:
            print(f"    {self.load.describe()}")
        for failure in failures:
            print(f"    FAILED: {failure}")
        print("The demo FAILED." if failures else "All was as promised.", flush=True)


def is_running(pid):
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def descendants(pid):
    """The processes below pid."""
    parents = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def seconds(text):
    if not text.isdigit() or int(text) > 20:
        raise argparse.ArgumentTypeError("whole seconds, 0 to 20")
    return text


def main():
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default="build", help=argparse.SUPPRESS)
    parser.add_argument("--drain-delay", type=seconds, metavar="S",
                        help="seconds between leaving the list and being stopped (default 5)")
    parser.add_argument("--store", default="sqlite", metavar="URL",
                        help="sqlite (the default), postgres or datastore (a server for the demo alone), or the "
                             "URL of a store of yours")
    arguments = parser.parse_args()
    # Whoever stops the demo gets it cleaned up, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return Demo(arguments.build.resolve(), arguments.drain_delay,
                arguments.store).run()


if __name__ == "__main__":
    sys.exit(main())
