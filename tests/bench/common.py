"""What the figures of all stores share: processes, waiting, rows of the table."""

import os
import re
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COMRADE = os.path.join(ROOT, "build", "comrade")
BENCH = os.path.join(ROOT, "build", "tests", "bench", "bench-")
PATIENCE_S = 60


class Agent:
    """One `comrade run`; its log goes to a file that can be searched."""

    def __init__(self, folder, store, name, command, *options):
        self.id = name
        self.log_path = os.path.join(folder, name + ".log")
        environment = environment_of(store)
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [COMRADE, "run", "--role", "bench", "--id", name, *options, "--", *command],
                stdout=subprocess.DEVNULL, stderr=log, env=environment)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def pids(self):
        """The agent and its keeper, without the service."""
        keepers = [pid for pid in children_of(self.process.pid) if name_of(pid) == "comrade-keeper"]
        return [self.process.pid, *keepers]


def environment_of(store):
    return dict(os.environ, COMRADE_STORE=store,
                COMRADE_MODULE_PATH=os.path.join(ROOT, "build", "modules"))


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def children_of(pid):
    return [int(child) for child in read(f"/proc/{pid}/task/{pid}/children").split()]


def name_of(pid):
    return read(f"/proc/{pid}/comm").strip()


def wait_for(what, test):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        value = test()
        if value:
            return value
        time.sleep(0.005)
    raise RuntimeError("waited in vain for " + what)


def row(figure, measured, target, reached, baseline=""):
    return (figure, measured, baseline, target, "yes" if reached else "NO")


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def memory_kb(pid):
    text = read(f"/proc/{pid}/smaps_rollup")
    return (int(re.search(r"^Rss:\s+(\d+)", text, re.M).group(1)),
            int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1)))


def seconds_of(command, environment):
    with open(os.devnull, "wb") as nowhere:
        start = time.monotonic()
        subprocess.run(command, stdout=nowhere, env=environment, check=True)
        return time.monotonic() - start


def print_table(rows):
    rows = [("figure", "measured", "beside it", "target", "reached"), *rows]
    widths = [max(len(each[i]) for each in rows) for i in range(5)]
    for i, each in enumerate(rows):
        print("| " + " | ".join(text.ljust(width) for text, width in zip(each, widths)) + " |")
        if i == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
