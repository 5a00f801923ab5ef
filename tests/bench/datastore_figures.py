"""The figures on Google Cloud Datastore, at the test server, which most of the time goes to: it is in
Python, and the same for ours and for the baseline."""

import os
import subprocess
import sys

from common import BENCH, ROOT, Agent, environment_of, memory_kb, read, row, wait_for

KEEPER = os.path.join(ROOT, "tests", "lib", "datastore_server.py")


class Server:
    """A server without entities."""

    def __enter__(self):
        self.keeper = subprocess.Popen([sys.executable, KEEPER], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True)
        self.host = "127.0.0.1:" + self.keeper.stdout.readline().split()[1]
        return self

    def __exit__(self, *error):
        self.keeper.stdin.close()
        self.keeper.wait()

    def environment(self):
        return dict(environment_of("datastore://bench"), DATASTORE_EMULATOR_HOST=self.host)

    def bench(self, name, *arguments):
        return subprocess.run([BENCH + name, *map(str, arguments)], check=True, text=True,
                              stdout=subprocess.PIPE, env=self.environment()).stdout


def bench_heartbeats(folder, members=10000, rounds=15):
    with Server() as server:
        for name in ("ours", "raw"):
            server.bench("fill", f"datastore://bench?namespace={name}", members)
        lines = [line.split() for line in
                 server.bench("datastore_heartbeats", members, rounds).splitlines()]
    took = {name: (float(ours) / 1000, float(raw) / 1000) for name, ours, raw in lines}
    (ours, raw), (cpu, raw_cpu) = took["us"], took["cpu"]
    return [row(f"{members:,} heartbeats of one worker, in 20 commits",
                f"{raw / ours:.2f} x ({ours:.0f} ms)", ">= 0.7 x", raw >= 0.7 * ours,
                f"bare libcurl {raw:.0f} ms"),
            row("of that, the worker's own work", f"{cpu:.0f} ms", "", True,
                f"bare libcurl {raw_cpu:.0f} ms")]


def bench_memory(folder):
    with Server() as server:
        idle = subprocess.Popen([BENCH + "datastore_idle", server.host], stdout=subprocess.PIPE)
        agent = Agent(folder, f"datastore://bench?endpoint=http://{server.host}", "memory-1",
                      ["sleep", "1000"], "--heartbeat", "100ms", "--min-healthy-time", "0")
        try:
            idle.stdout.readline()
            wait_for("registration", lambda: "event=registered" in read(agent.log_path))
            wait_for("readiness", lambda: "event=ready" in read(agent.log_path))
            subprocess.run(["sleep", "3"], check=True)
            ours, raw = (memory_kb(pid)[0] / 1024 for pid in (agent.process.pid, idle.pid))
        finally:
            agent.stop()
            idle.kill()
            idle.wait()
    return [row("RSS of an agent with one member", f"+ {ours - raw:.1f} MB ({ours:.1f} MB)",
                "+ 3 MB", ours <= raw + 3, f"bare libcurl {raw:.1f} MB")]


FIGURES = {"datastore-heartbeats": bench_heartbeats, "datastore-memory": bench_memory}
