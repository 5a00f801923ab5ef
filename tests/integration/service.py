"""What the tests of `comrade run` share: starting it, looking at its member, and small services."""
import os
import pathlib
import shlex
import signal
import sys

from conftest import wait_until

# Fast where nothing is to be seen, and never restarted where nothing is said.
QUICK = ("--drain-delay", "0", "--stop-timeout", "30s", "--heartbeat", "100ms")

# A service that says in a file that it got a signal, and goes on.
SIGNAL_WRITER = """
import os, signal, sys, time
def note(number, frame):
    with open(sys.argv[1], "a") as file:
        file.write(signal.Signals(number).name + "\\n")
for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT, signal.SIGWINCH):
    signal.signal(number, note)
open(sys.argv[1], "w").close()
while True:
    time.sleep(60)
"""


def python(code, *arguments):
    return (sys.executable, "-c", code, *map(str, arguments))


def shell(code):
    return ("/bin/sh", "-c", code)


def run(comrade, *options, command=("sleep", "1000"), **others):
    """Starts `comrade run` with the role app and the id one."""
    return comrade.start("run", "--role", "app", "--id", "one", *QUICK, *options, "--", *command,
                         **others)


def member(comrade):
    """The member with the id one, or None."""
    return next((found for found in comrade.list("--all") if found["id"] == "one"), None)


def wait_for_state(comrade, state):
    def look():
        found = member(comrade)
        return found if found and found["state"] == state else None
    return wait_until(look, f"the state {state}; it is {member(comrade)}")


def wait_for_file(path):
    """The text of a file, once it is there and not empty."""
    return wait_until(lambda: pathlib.Path(path).exists() and pathlib.Path(path).read_text(), path)


def is_running(pid):
    """Is it there, and no zombie?"""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rsplit(")", 1)[1].split()[0] not in "ZX"


def wait_until_gone(pid):
    wait_until(lambda: not is_running(pid), f"the end of process {pid}")


def children(pid):
    return [int(child) for task in os.listdir(f"/proc/{pid}/task")
            for child in pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split()]


def writes_pid(path, then="exec sleep 1000"):
    """A shell service that writes its pid into a file first."""
    return shell(f"echo $$ > {shlex.quote(str(path))}; {then}")


def terminate(agent):
    """SIGTERM, and waits until it has been seen: two that come at once are one to the kernel."""
    seen = agent.err.read_text().count("event=signal")
    agent.send_signal(signal.SIGTERM)
    wait_until(lambda: agent.err.read_text().count("event=signal") > seen, "the signal in the log")
