"""Each state of `comrade run`, as others see it, and what the end of the agent does in it."""
import os
import signal
import socket
import subprocess

import pytest

from conftest import HANG_S, wait_until
from service import (is_running, member, python, run, shell, terminate, wait_for_file,
                     wait_for_state, wait_until_gone, writes_pid)

IGNORES_TERM = "trap '' TERM; while :; do sleep 1; done"


def test_it_is_not_listed_before_it_is_ready(comrade, tmp_path):
    run(comrade, "--ready", "notify", command=writes_pid(tmp_path / "pid"))
    pid = int(wait_for_file(tmp_path / "pid"))
    found = wait_until(lambda: (m := member(comrade)) and m["pid"] == pid and m, "its pid")
    assert (found["state"], found["alive"], found["available"]) == ("starting", False, False)


def test_it_is_listed_at_once_when_ready_and_counted_later(comrade):
    run(comrade, "--min-healthy-time", "1h")
    found = wait_for_state(comrade, "up")
    assert (found["alive"], found["available"]) == (True, False)


def test_it_is_counted_after_the_min_healthy_time(comrade):
    run(comrade, "--min-healthy-time", "100ms")
    wait_until(lambda: (m := member(comrade)) and m["available"], "available")


def test_failed_checks_make_it_unhealthy_and_passed_ones_mend_it(comrade, tmp_path):
    good = tmp_path / "good"
    good.touch()
    run(comrade, "--check-command", f"test -e {good}", "--check-interval", "20ms",
        "--min-healthy-time", "0")
    wait_until(lambda: (m := member(comrade)) and m["available"], "available")
    good.unlink()
    found = wait_for_state(comrade, "unhealthy")
    assert (found["alive"], found["available"]) == (True, False)
    assert "check" in found["details"]
    good.touch()
    wait_until(lambda: (m := member(comrade))["state"] == "up" and m["available"], "up again")


def test_an_unhealthy_service_is_restarted_only_if_wanted(comrade, tmp_path):
    good = tmp_path / "good"
    good.touch()
    run(comrade, "--check-command", f"test -e {good}", "--check-interval", "20ms",
        "--restart-unhealthy", command=shell(f"echo start >> {tmp_path}/starts; exec sleep 1000"))
    first = wait_for_state(comrade, "up")["pid"]
    good.unlink()
    wait_until_gone(first)
    good.touch()
    assert wait_for_state(comrade, "up")["pid"] != first
    assert (tmp_path / "starts").read_text() == "start\nstart\n"


def test_a_kill_request_drains_it(comrade):
    agent = run(comrade, "--drain-delay", "1h")
    pid = wait_for_state(comrade, "up")["pid"]
    comrade("kill", "one", check=0)
    found = wait_for_state(comrade, "draining")
    assert found["alive"] is False
    assert is_running(pid) and agent.poll() is None
    terminate(agent)  # The first one: it is leaving already.
    terminate(agent)  # The second one skips the delay.
    assert agent.wait(HANG_S) == 90
    assert not is_running(pid)


def test_it_is_off_the_list_before_it_is_told_to_stop(comrade, tmp_path):
    looks = f"""
import os, signal, subprocess, sys, time
def on_term(number, frame):
    out = subprocess.run([{str(comrade.start.__globals__['PROGRAM'])!r}, "list", "--all", "--json"],
                         env={{"COMRADE_STORE": {comrade.store_url!r}}}, capture_output=True)
    open(sys.argv[1] + ".new", "wb").write(out.stdout)
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    sys.exit(0)
signal.signal(signal.SIGTERM, on_term)
open(sys.argv[1] + ".up", "w").write("up")
while True:
    time.sleep(60)
"""
    agent = run(comrade, command=python(looks, tmp_path / "seen"))
    wait_for_file(tmp_path / "seen.up")
    wait_for_state(comrade, "up")
    terminate(agent)
    assert agent.wait(HANG_S) == 0
    assert '"alive":false' in (tmp_path / "seen").read_text()


def test_what_ignores_sigterm_is_stopping_until_it_is_killed(comrade, tmp_path):
    agent = run(comrade, "--stop-timeout", "1h",
                command=writes_pid(tmp_path / "pid", IGNORES_TERM))
    pid = int(wait_for_file(tmp_path / "pid"))
    wait_for_state(comrade, "up")
    terminate(agent)
    wait_for_state(comrade, "stopping")
    assert is_running(pid)
    terminate(agent)
    terminate(agent)  # The third one kills.
    assert agent.wait(HANG_S) == 128 + signal.SIGKILL
    assert not is_running(pid)


def test_what_ignores_sigterm_is_killed_after_the_stop_timeout(comrade, tmp_path):
    agent = run(comrade, "--stop-timeout", "100ms",
                command=writes_pid(tmp_path / "pid", IGNORES_TERM))
    pid = int(wait_for_file(tmp_path / "pid"))
    wait_for_state(comrade, "up")
    terminate(agent)
    assert agent.wait(HANG_S) == 128 + signal.SIGKILL
    assert not is_running(pid)


def test_a_crash_is_off_the_list_and_waits(comrade):
    run(comrade, command=shell("echo last words >&2; exit 3"))
    found = wait_for_state(comrade, "backoff")
    assert (found["alive"], found["pid"]) == (False, 0)
    assert found["details"]["exit"]["code"] == 3
    assert found["details"]["exit"]["stderr"] == "last words\n"
    assert 0 < found["details"]["next_retry_ms"] <= 1250


def test_at_the_end_it_is_stopped_and_says_how(comrade):
    agent = run(comrade, "--restart", "never", command=shell("echo bye >&2; exit 7"))
    assert agent.wait(HANG_S) == 7
    found = member(comrade)
    assert (found["state"], found["alive"]) == ("stopped", False)
    assert found["details"]["exit"]["code"] == 7
    assert found["details"]["exit"]["stderr"] == "bye\n"
    assert agent.err.read_text().count("bye\n") == 1


def test_a_start_that_takes_too_long_has_failed(comrade):
    agent = run(comrade, "--ready", "notify", "--ready-timeout", "100ms", "--restart", "never",
                command=python("import signal, sys, time\n"
                               "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
                               "time.sleep(1000)"))
    assert agent.wait(HANG_S) == 1
    agent = run(comrade, "--ready", "notify", "--ready-timeout", "100ms", "--restart", "never")
    assert agent.wait(HANG_S) == 1, "not 143, which a supervisor may take for a clean end"


STATES = {
    "starting": (("--ready", "notify"), "exec sleep 1000"),
    "up": ((), "exec sleep 1000"),
    "unhealthy": (("--ready", "up", "--check-command", "false", "--check-interval", "20ms"),
                  "exec sleep 1000"),
    "draining": (("--drain-delay", "1h"), "exec sleep 1000"),
    "stopping": (("--stop-timeout", "1h"), IGNORES_TERM),
}


@pytest.mark.parametrize("state", STATES)
def test_if_the_agent_is_killed_its_service_dies_too(comrade, tmp_path, state):
    options, then = STATES[state]
    agent = run(comrade, *options, command=writes_pid(tmp_path / "pid", then))
    pid = int(wait_for_file(tmp_path / "pid"))
    if state in ("draining", "stopping"):
        wait_for_state(comrade, "up")
        terminate(agent)
    wait_for_state(comrade, state)
    agent.kill()
    agent.wait(HANG_S)
    wait_until_gone(pid)


def test_if_the_agent_is_killed_while_it_waits_to_restart_nothing_is_left(comrade):
    agent = run(comrade, command=shell("exit 1"))
    wait_for_state(comrade, "backoff")
    [keeper] = [int(pid) for pid in subprocess.run(
        ["ps", "--ppid", str(agent.pid), "-o", "pid="], capture_output=True, text=True,
        check=True).stdout.split()]
    agent.kill()
    agent.wait(HANG_S)
    wait_until_gone(keeper)


@pytest.mark.parametrize("escape", ["setsid sleep 1000 &", "(setsid sleep 1000 & ) &",
                                    "(trap '' TERM; sleep 1000) &"])
def test_no_descendant_survives(comrade, tmp_path, escape):
    mark = f"COMRADE{os.getpid()}{tmp_path.name}"
    agent = run(comrade, "--stop-timeout", "200ms", env={"MARK": mark},
                command=shell(f"{escape} echo up > {tmp_path}/up; exec sleep 1000"))
    wait_for_file(tmp_path / "up")
    wait_for_state(comrade, "up")

    def marked():
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as environ:
                    if mark.encode() in environ.read() and is_running(pid):
                        found.append(int(pid))
            except OSError:
                pass
        return found
    assert len(marked()) >= 2
    terminate(agent)
    agent.wait(HANG_S)
    assert marked() == []


def test_sd_notify_makes_it_ready(comrade, tmp_path):
    code = """
import os, socket, sys, time
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
address = os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1)
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", address)
time.sleep(1000)
"""
    run(comrade, "--ready", "notify", command=python(code, tmp_path / "go"))
    wait_for_state(comrade, "starting")
    (tmp_path / "go").touch()
    wait_for_state(comrade, "up")


def test_it_may_be_ready_faster_than_it_is_told_of(comrade):
    run(comrade, "--ready", "fd:7", "--ready-timeout", "1h",
        command=shell("echo >&7; exec sleep 1000"))
    wait_for_state(comrade, "up")


def test_a_newline_on_a_descriptor_makes_it_ready(comrade, tmp_path):
    run(comrade, "--ready", "fd:7",
        command=shell(f"while ! test -e {tmp_path}/go; do sleep 0.01; done; echo >&7; "
                      "exec sleep 1000"))
    wait_for_state(comrade, "starting")
    (tmp_path / "go").touch()
    wait_for_state(comrade, "up")


SERVER = """
import http.server, os, sys, time
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])),
                       http.server.BaseHTTPRequestHandler).serve_forever()
"""


def test_a_server_is_listed_when_its_port_accepts(comrade, tmp_path):
    run(comrade, "--port", "auto", "--meta", "zone=eu-1", command=python(SERVER, tmp_path / "go"))
    wait_for_state(comrade, "starting")
    (tmp_path / "go").touch()
    metadata = wait_for_state(comrade, "up")["metadata"]
    assert metadata["ip"] == "127.0.0.1" and metadata["zone"] == "eu-1"
    socket.create_connection((metadata["ip"], metadata["port"]), HANG_S).close()


def test_an_http_check_wants_a_good_status(comrade, tmp_path):
    (tmp_path / "go").touch()
    agent = run(comrade, "--port", "auto", "--check-http", "/health", "--log-level", "debug",
                command=python(SERVER, tmp_path / "go"))
    wait_until(lambda: "status 501" in agent.err.read_text(), "the status in the log")
    assert member(comrade)["state"] == "starting"
