"""The figures on PostgreSQL, each on a fresh server of its own that syncs to the disk."""

import os
import statistics
import subprocess
import sys
import time

from common import (BENCH, COMRADE, ROOT, Agent, children_of, environment_of, memory_kb,
                    percentile, read, row, seconds_of, wait_for)

KEEPER = os.path.join(ROOT, "tests", "lib", "postgres_server.py")
SETTINGS = ["fsync=on", "shared_buffers=128MB", "max_wal_size=4GB", "track_commit_timestamp=on",
            "max_connections=1100"]


class Server:
    """A server and an empty database in it; None where PostgreSQL is not installed."""

    def __enter__(self):
        options = [part for setting in SETTINGS for part in ("--set", setting)]
        self.keeper = subprocess.Popen([sys.executable, KEEPER, *options], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True)
        words = self.keeper.stdout.readline().split()
        if words[:1] != ["ready"]:
            raise RuntimeError("no server: " + " ".join(words))
        self.folder = words[2]
        self.place = f"postgres://postgres@127.0.0.1:{words[1]}/"
        self.url = self.place + "bench"
        self.sql("CREATE DATABASE bench", self.place + "postgres")
        return self

    def __exit__(self, *error):
        self.keeper.stdin.close()
        self.keeper.wait()

    def sql(self, text, url=None):
        return subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", text, url or self.url],
                              check=True, capture_output=True, text=True).stdout.strip()

    def bench(self, name, *arguments):
        return subprocess.run([BENCH + name, self.url, *map(str, arguments)], check=True,
                              stdout=subprocess.PIPE, text=True,
                              env=environment_of(self.url)).stdout


def bench_kill(folder, rounds=400):
    """From the commit of the kill to `shutdown` in the member; see postgres_kill.c."""
    with Server() as server:
        lines = [line.split() for line in server.bench("postgres_kill", rounds).splitlines()]
    took = {who: [int(line[1]) / 1000 for line in lines if line[0] == who]
            for who in ("ours", "raw", "answering")}
    rows = []
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        ours, raw, answering = (percentile(took[who], share) for who in took)
        rows.append(row(f"kill committed -> `shutdown`, {name} of {rounds}",
                        f"{ours / raw:.2f} x ({ours:.2f} ms)", "<= 1.5 x", ours <= 1.5 * raw,
                        f"plain NOTIFY {raw:.2f} ms"))
        rows.append(row(f"the same, {name}, beside a listener that answers",
                        f"{ours / answering:.2f} x", "", True,
                        f"read and committed after NOTIFY {answering:.2f} ms"))
    return rows


def bench_heartbeats(folder, count=10000, rounds=61):
    with Server() as server:
        server.bench("fill", count)
        lines = server.bench("postgres_heartbeats", count, rounds).splitlines()
    found = {name: [float(value) for value in values]
             for name, *values in (line.split() for line in lines)}
    ours, raw = found["us"]
    one = found["one"][0]
    rows = [row(f"heartbeats of {count:,} members of one worker",
                f"{raw / ours:.2f} x ({count / ours * 1e6:,.0f}/s)", ">= 0.7 x", raw / ours >= 0.7,
                f"batched update {count / raw * 1e6:,.0f}/s"),
            row("the same, beside updates of one row",
                f"{one * count / ours:.0f} x", ">= 20 x", one * count / ours >= 20,
                f"on one connection, durable, {1e6 / one:,.0f}/s")]
    for name, what in (("wal", "WAL a heartbeat"),
                       ("wal_mean", "the same, a checkpoint each 30 batches")):
        ours, raw = found[name]
        rows.append(row(what, f"{ours / raw:.2f} x ({ours:.0f} bytes)", "<= 1.1 x",
                        ours <= 1.1 * raw, f"a table of (id, time) {raw:.0f} bytes"))
    rows.append(row("heap-only updates", f"{found['hot'][0]:.1f} %", ">= 99 %",
                    found["hot"][0] >= 99, f"a table of (id, time) {found['hot'][1]:.1f} %"))
    return rows


def bench_list(folder, rounds=15):
    rows = []
    for count in (10000, 100000):
        with Server() as server:
            server.bench("fill", count)
            server.sql("VACUUM ANALYZE")
            environment = environment_of(server.url)
            ours, raw = [], []
            for _ in range(rounds):
                ours.append(seconds_of([COMRADE, "list", "--all"], environment))
                raw.append(seconds_of([BENCH + "postgres_list_rows", server.url], environment))
        ratio = statistics.median(ours) / statistics.median(raw)
        rows.append(row(f"`comrade list` of {count:,} members",
                        f"{ratio:.2f} x ({statistics.median(ours) * 1000:.0f} ms)", "<= 1.5 x",
                        ratio <= 1.5, f"C on libpq {statistics.median(raw) * 1000:.0f} ms"))
    return rows


def bench_memory(folder):
    """360 heartbeats, an hour's worth at the default interval, made at 100 ms each."""
    with Server() as server:
        idle = subprocess.Popen([BENCH + "postgres_idle", server.url], stdout=subprocess.PIPE)
        agent = Agent(folder, server.url, "memory-1", ["sleep", "600"], "--heartbeat", "100ms",
                      "--min-healthy-time", "0")
        try:
            idle.stdout.readline()
            wait_for("registration", lambda: "event=registered" in read(agent.log_path))
            time.sleep(36)
            ours, raw = (memory_kb(pid)[0] / 1024 for pid in (agent.process.pid, idle.pid))
        finally:
            agent.stop()
            idle.kill()
            idle.wait()
    return [row("RSS of `comrade run`", f"{ours:.2f} MB", "<= + 2 MB", ours <= raw + 2,
                f"connected by libpq, listening {raw:.2f} MB")]


def bench_administrators(folder, administrators=64, members=100):
    """All at once, a process each, on one role of which half may go."""
    with Server() as server:
        server.bench("fill", 10 * members)
        environment = environment_of(server.url)
        subprocess.run([COMRADE, "role", "set", "role-0", "--min", str(members // 2)],
                       env=environment, check=True, stdout=subprocess.DEVNULL)
        started = time.monotonic()
        waiting = {subprocess.Popen([COMRADE, "kill-oldest", "--role", "role-0"], env=environment,
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                   for _ in range(administrators)}
        taken, statuses = [], {}
        while waiting:
            for process in [each for each in waiting if each.poll() is not None]:
                waiting.remove(process)
                taken.append(time.monotonic() - started)
                statuses[process.returncode] = statuses.get(process.returncode, 0) + 1
            time.sleep(0.005)
        asked = int(server.sql("SELECT count(*) FROM comrade.member WHERE request_kind = 1"))
    told = ", ".join(f"{n} exit {code}" for code, n in sorted(statuses.items()))
    return [row(f"{administrators} administrators on one role, the last one's answer",
                f"{max(taken):.2f} s", "<= 5 s",
                max(taken) <= 5 and set(statuses) <= {0, 3},
                f"{told}; {asked} of {members // 2} killed")]


def cpu_ms_of_server(server):
    """What all of its processes have used, in milliseconds."""
    postmaster = int(read(os.path.join(server.folder, "data", "postmaster.pid")).split()[0])
    pids = [postmaster, *children_of(postmaster)]
    return sum(int((read(f"/proc/{pid}/schedstat") or "0").split()[0]) for pid in pids) / 1e6


def bench_fleet(folder, seconds=30):
    """A thousand members of one worker; and BENCH_CONNECTIONS (200) of a worker each."""
    rows = []
    for workers, members in ((1, 1000), (int(os.environ.get("BENCH_CONNECTIONS", "200")), 1)):
        with Server() as server:
            fleet = subprocess.Popen([BENCH + "postgres_fleet", server.url, str(workers),
                                      str(members)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     env=environment_of(server.url))
            fleet.stdout.readline()
            time.sleep(12)  # the first interval, in which they find each other
            query = ("SELECT pg_current_wal_insert_lsn() - '0/0', xact_commit,"
                     " (SELECT count(*) FROM pg_stat_activity WHERE application_name = 'comrade')"
                     " FROM pg_stat_database WHERE datname = 'bench'")
            before, cpu = server.sql(query).split("|"), cpu_ms_of_server(server)
            time.sleep(seconds)
            cpu = cpu_ms_of_server(server) - cpu
            after = server.sql(query).split("|")
            fleet.stdin.close()
            fleet.wait()
        wal, commits = ((int(b) - int(a)) / seconds for a, b in zip(before[:2], after[:2]))
        rows.append(row(f"{workers * members:,} members, connections: {after[2]}; in a second",
                        f"{wal:,.0f} bytes of WAL, {commits:.1f} transactions", "", True,
                        f"{cpu / seconds / 10:.2f} % of a core in the server"))
    return rows


FIGURES = {"postgres-kill": bench_kill, "postgres-heartbeats": bench_heartbeats,
           "postgres-list": bench_list, "postgres-memory": bench_memory,
           "postgres-administrators": bench_administrators, "postgres-fleet": bench_fleet}
