"""Fixtures of the integration tests: the program, a fresh store, agents that are gone afterwards.

COMRADE_BUILD_DIR names the build to test (default: build/). No COMRADE_ variable of whoever runs
the tests reaches the program.
"""
import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("COMRADE_BUILD_DIR", ROOT / "build")).resolve()
PROGRAM = BUILD / "comrade"
IS_SANITIZED = "COMRADE_TEST_SANITIZED" in os.environ
# How long anything may take before it counts as hanging. Nothing is measured with it.
HANG_S = 120 if IS_SANITIZED else 60


def clean_environment(**variables):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COMRADE_")}
    return {**kept, **variables}


def wait_until(condition, what, limit_s=HANG_S):
    """Returns the first true value of condition(); asks 50 times a second."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {limit_s} s: {what}")


class Comrade:
    """The program on one store."""

    def __init__(self, store_url, folder):
        self.store_url = store_url
        self.folder = folder
        self.started = []

    def __call__(self, *arguments, check=None, **options):
        """Runs a verb to its end: a CompletedProcess with text. check: the exit code to demand."""
        environment = clean_environment(COMRADE_STORE=self.store_url, **options.pop("env", {}))
        done = subprocess.run([PROGRAM, *map(str, arguments)], env=environment, text=True,
                              capture_output=True, timeout=HANG_S, check=False,
                              stdin=options.pop("stdin", subprocess.DEVNULL), **options)
        if check is not None:
            assert done.returncode == check, f"{arguments}: {done}"
        return done

    def list(self, *arguments):
        """`comrade list --json`, as a list of dicts."""
        lines = self("list", "--json", *arguments, check=0).stdout.splitlines()
        return [json.loads(line) for line in lines]

    def start(self, *arguments, **options):
        """Starts a verb that stays, usually `run`. Its streams go to files: see output()."""
        environment = clean_environment(COMRADE_STORE=self.store_url, **options.pop("env", {}))
        name = self.folder / f"process-{len(self.started)}"
        with open(f"{name}.out", "wb") as out, open(f"{name}.err", "wb") as err:
            process = subprocess.Popen([PROGRAM, *map(str, arguments)], env=environment,
                                       stdin=subprocess.DEVNULL, stdout=out, stderr=err, **options)
        process.out = pathlib.Path(f"{name}.out")
        process.err = pathlib.Path(f"{name}.err")
        self.started.append(process)
        return process

    def stop_all(self):
        for process in self.started:
            for sent in (signal.SIGTERM, signal.SIGTERM, signal.SIGTERM):
                if process.poll() is None:
                    process.send_signal(sent)
                    time.sleep(0.02)
        for process in self.started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def comrade(tmp_path):
    """The program on a fresh SQLite store; what it started is stopped afterwards."""
    program = Comrade(f"sqlite:{tmp_path}/comrade.db", tmp_path)
    yield program
    program.stop_all()
