"""The figures of the npm package, beside bare Node.js, the C library and the original."""

import os
import statistics
import subprocess

import datastore_figures
import postgres_figures
from common import BENCH, ROOT, environment_of, memory_kb, percentile, read, row

NODE = ["node", "--expose-gc", os.path.join(ROOT, "tests", "bench", "node_figures.js")]
CPU_SECONDS = 40
KINDS = {"server": "an HTTP server", "bare": "a process that does nothing"}


def start(command, store=""):
    return subprocess.Popen([*map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                            env=environment_of(store))


def wait_up(process):
    for line in process.stdout:
        if line == "up\n":
            return process
    raise RuntimeError(f"{process.args}: ended")


def end(process):
    process.kill()
    process.wait()


def run(*command, store=""):
    return subprocess.run([*map(str, command)], check=True, stdout=subprocess.PIPE, text=True,
                          env=environment_of(store)).stdout


# --- Memory and time of one member ------------------------------------------------------------------

def cpu_ns(pid):
    """Of all threads, by the scheduler."""
    return sum(int(read(f"/proc/{pid}/task/{task}/schedstat").split()[0])
               for task in os.listdir(f"/proc/{pid}/task"))


def rss_mb(arguments, rounds):
    values = []
    for _ in range(rounds):
        process = wait_up(start([*NODE, *arguments]))
        values.append(memory_kb(process.pid)[0] / 1024)
        end(process)
    return statistics.median(values)


def cpu_percent(*arguments):
    """At the default heartbeat, of processes that run side by side."""
    processes = [wait_up(start([*NODE, "idle", "bare", *each])) for each in arguments]
    before = [cpu_ns(process.pid) for process in processes]
    subprocess.run(["sleep", str(CPU_SECONDS)], check=True)
    after = [cpu_ns(process.pid) for process in processes]
    for process in processes:
        end(process)
    return [(new - old) / 1e7 / CPU_SECONDS for old, new in zip(before, after)]


def bench_member(folder, rounds=7):
    store = "sqlite:" + os.path.join(folder, "comrade.db")
    rows = []
    with postgres_figures.Server() as postgres, datastore_figures.Server() as datastore:
        google = f"datastore://bench?endpoint=http://{datastore.host}"
        original = ["original", "http://" + datastore.host]
        names = {"sqlite": store, "postgres": postgres.url, "datastore": google}
        for kind in KINDS:
            alone = rss_mb(["idle", kind, "none"], rounds)
            theirs = rss_mb(["idle", kind, *original], rounds) - alone
            for name, url in names.items():
                more = rss_mb(["idle", kind, url], rounds) - alone
                rows.append(row(f"RSS of one member in {KINDS[kind]}, {name}", f"+ {more:.1f} MB",
                                "<= + 3 MB", more <= 3,
                                f"{alone:.1f} MB without; 0.0.3 + {theirs:.1f} MB"))
        idle, *ours, theirs = cpu_percent(["none"], *([url] for url in names.values()), original)
    for name, percent in zip(names, ours):
        rows.append(row(f"CPU of one member, {name}", f"{percent - idle:.3f} % of a core", "<= 0.1 %",
                        percent - idle <= 0.1, f"bare node {idle:.3f} %; 0.0.3 {theirs - idle:.3f} %"))
    return rows


# --- Listing ----------------------------------------------------------------------------------------

def compare_lists(name, store, count, rounds):
    ours, parsed, called = [], [], []
    for _ in range(3):
        for line in run(*NODE, "list", store, rounds, store=store).splitlines():
            ours.append(float(line.split()[0]))
            parsed.append(float(line.split()[1]))
        called += [float(line) / 1000 for line in
                   run(BENCH + "get_members", store, rounds, store=store).splitlines()]
    ours, parsed, called = map(statistics.median, (ours, parsed, called))
    ratio = ours / (called + parsed)
    return row(f"`getMembers` of {count:,}, {name}", f"{ratio:.2f} x ({ours:.1f} ms)", "<= 2 x", ratio <= 2,
               f"C {called:.1f} ms + JSON.parse {parsed:.1f} ms")


def bench_list(folder, count=10000, rounds=15):
    sqlite = "sqlite:" + os.path.join(folder, "list.db")
    run(BENCH + "fill", sqlite, count)
    rows = [compare_lists("sqlite", sqlite, count, rounds)]
    with postgres_figures.Server() as server:
        server.bench("fill", count)
        server.sql("VACUUM ANALYZE")
        rows.append(compare_lists("postgres", server.url, count, rounds))
    return rows


# --- Kill -> 'shutdown' -----------------------------------------------------------------------------

def bench_kill(folder, rounds=200):
    """Members of C and of Node.js on one store, killed in turn by the same client."""
    with postgres_figures.Server() as server:
        fleets = {"c": start([BENCH + "members", server.url, "c", rounds], server.url),
                  "node": start([*NODE, "members", server.url, "node", rounds], server.url)}
        for fleet in fleets.values():
            wait_up(fleet)
        subprocess.run(["sleep", "1"], check=True)
        ids = [f"{name}-{i}" for i in range(rounds) for name in fleets]
        called = {line.split()[0]: int(line.split()[1])
                  for line in server.bench("kill_latency", *ids).splitlines()}
        took = {}
        for name, fleet in fleets.items():
            told = [fleet.stdout.readline().split() for _ in range(rounds)]
            took[name] = [(int(at) - called[which]) / 1e6 for which, at in told]
            end(fleet)
    rows = []
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        c, node = (percentile(took[who], share) for who in ("c", "node"))
        rows.append(row(f"kill -> 'shutdown', postgres, {name} of {rounds}", f"{node - c:+.2f} ms ({node:.2f} ms)",
                        "<= + 2 ms", node - c <= 2, f"the C member {c:.2f} ms"))
    return rows


# --- The event loop while a store is stopped ---------------------------------------------------------

def bench_delay(folder):
    with postgres_figures.Server() as server:
        process = wait_up(start([*NODE, "delay", server.url], server.url))
        server.keeper.stdin.write("pause\n")
        server.keeper.stdin.flush()
        server.keeper.stdout.readline()
        process.stdin.write("go\n")
        process.stdin.flush()
        delays = [float(line) for line in process.stdout]
        process.wait()
        server.keeper.stdin.write("resume\n")
        server.keeper.stdin.flush()
        server.keeper.stdout.readline()
    worst, middle = max(delays), statistics.median(delays)
    return [row("event-loop delay, p99, store stopped", f"{middle:.2f} ms", "<= 5 ms", middle <= 5,
                f"the worst of ten seconds {worst:.2f} ms")]


FIGURES = {"node-member": bench_member, "node-list": bench_list, "node-kill": bench_kill,
           "node-delay": bench_delay}
