"""What `comrade run` does with its command: exit codes, restarts, environment, streams, ids."""
import os
import pathlib
import signal
import socket
import sqlite3
import subprocess
import time

import pytest

from conftest import HANG_S, IS_SANITIZED, PROGRAM, clean_environment, wait_until
from service import (QUICK, SIGNAL_WRITER, children, is_running, member, python, run, shell,
                     terminate, wait_for_file, wait_for_state, wait_until_gone, writes_pid)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="makes namespaces")

# --- Exit codes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("command, code", [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137),
                                           ("kill -SEGV $$", 139)])
def test_it_exits_as_its_command_does(comrade, command, code):
    assert run(comrade, "--restart", "never", command=shell(command)).wait(HANG_S) == code


def test_what_went_well_says_no_error(comrade):
    """Ports that were taken and ids that were locked were tried on the way."""
    first = run(comrade, "--port", "auto", "--no-check")
    wait_for_state(comrade, "up")
    for options in (("--port", "auto", "--no-check"), ()):
        agent = comrade.start("run", "--role", "app", *options, "--", "true")
        assert agent.wait(HANG_S) == 0
        assert "comrade run:" not in agent.err.read_text()
    assert first.poll() is None


def test_a_command_that_does_not_exist_is_127(comrade):
    agent = run(comrade, command=("no-such-command-anywhere",))
    assert agent.wait(HANG_S) == 127
    assert "no-such-command-anywhere" in agent.err.read_text()


def test_a_command_that_cannot_be_executed_is_126(comrade, tmp_path):
    (tmp_path / "text").write_text("not executable")
    assert run(comrade, command=(tmp_path / "text",)).wait(HANG_S) == 126
    assert run(comrade, command=(tmp_path,)).wait(HANG_S) == 126


def test_a_kill_request_is_90(comrade):
    agent = run(comrade)
    wait_for_state(comrade, "up")
    comrade("kill", "one", check=0)
    assert agent.wait(HANG_S) == 90
    assert member(comrade)["state"] == "stopped"


def test_sigterm_ends_in_the_commands_own_code(comrade, tmp_path):
    agent = run(comrade)
    wait_for_state(comrade, "up")
    terminate(agent)
    assert agent.wait(HANG_S) == 128 + signal.SIGTERM
    agent = run(comrade, command=shell(
        f"trap 'exit 5' TERM; touch {tmp_path}/up; echo > {tmp_path}/up; "
        "while :; do sleep 0.05; done"))
    wait_for_file(tmp_path / "up")
    wait_for_state(comrade, "up")
    agent.send_signal(signal.SIGINT)
    assert agent.wait(HANG_S) == 5


@pytest.mark.parametrize("options", [
    ("--port", "0"), ("--port", "65536"), ("--port", "http"), ("--restart", "sometimes"),
    ("--drain-delay", "5 parsecs"), ("--drain-delay", "-1s"), ("--check-timeout", "99999h"),
    ("--ready", "fd:1"), ("--ready", "check"), ("--meta", "novalue"), ("--advertise", "host"),
    ("--meta", "a=1", "--meta", "a=2"), ("--check-http", "health", "--port", "80"),
    ("--check-tcp", "1", "--no-check"), ("--log-level", "loud"), ("--id", "a/b"), ("--id", ""),
    ("--id", "x" * 1000), ("--heartbeat", "31s"), ("--id", "a\x1b[31m"), ("--check-tcp", "localhost"),
])
def test_bad_options_are_refused_before_anything_runs(comrade, tmp_path, options):
    done = comrade("run", "--role", "app", *options, "--", "touch", tmp_path / "ran", check=2)
    assert done.stderr.strip() and "\x1b" not in done.stderr
    assert not (tmp_path / "ran").exists()


def test_an_unknown_store_is_refused_before_anything_runs(comrade, tmp_path):
    done = comrade("run", "--store", "carrier-pigeon:x", "--role", "app", "--", "touch",
                   tmp_path / "ran")
    assert done.returncode not in (0, 90, 91)
    assert "sqlite" in done.stderr
    assert not (tmp_path / "ran").exists()


# --- Restarts -----------------------------------------------------------------------------------


def starts(tmp_path):
    path = tmp_path / "starts"
    return path.read_text().count("\n") if path.exists() else 0


def test_on_failure_a_good_exit_ends_it(comrade, tmp_path):
    agent = run(comrade, command=shell(f"echo >> {tmp_path}/starts; exit 0"))
    assert agent.wait(HANG_S) == 0
    assert starts(tmp_path) == 1


def test_on_failure_a_bad_exit_restarts_it(comrade, tmp_path):
    run(comrade, command=shell(f"echo >> {tmp_path}/starts; exit 1"))
    wait_until(lambda: starts(tmp_path) >= 2, "the second start")
    wait_until(lambda: member(comrade)["details"]["restarts"] >= 1, "restarts in the record")


def test_always_restarts_after_a_good_exit(comrade, tmp_path):
    run(comrade, "--restart", "always", command=shell(f"echo >> {tmp_path}/starts; exit 0"))
    wait_until(lambda: starts(tmp_path) >= 2, "the second start")


def test_sigterm_while_it_waits_to_restart_ends_it(comrade):
    agent = run(comrade, command=shell("exit 4"))
    wait_for_state(comrade, "backoff")
    terminate(agent)
    assert agent.wait(HANG_S) == 4
    assert member(comrade)["state"] == "stopped"


# --- Environment --------------------------------------------------------------------------------


def test_the_command_learns_who_it_is_and_not_the_store(comrade, tmp_path):
    run(comrade, "--port", "auto", "--no-check",
        command=shell(f"env > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/env; exec sleep 1000"),
        env={"COMRADE_META": "zone=eu-1", "OTHER": "kept"})
    env = dict(line.split("=", 1) for line in wait_for_file(tmp_path / "env").splitlines())
    found = wait_for_state(comrade, "up")
    assert {k: v for k, v in env.items() if k.startswith("COMRADE_")} == {
        "COMRADE_ID": "one", "COMRADE_ROLE": "app"}
    assert env["OTHER"] == "kept"
    assert int(env["PORT"]) == found["metadata"]["port"]
    assert found["metadata"]["zone"] == "eu-1"


def test_the_store_is_passed_when_asked_for(comrade, tmp_path):
    run(comrade, "--pass-store", "--namespace", "staging",
        command=shell(f"echo $COMRADE_STORE $COMRADE_NAMESPACE > {tmp_path}/env; exec sleep 1000"))
    assert wait_for_file(tmp_path / "env") == f"{comrade.store_url} staging\n"


def test_the_env_file_is_read_again_at_each_start(comrade, tmp_path):
    env_file = tmp_path / "app.env"
    env_file.write_text("# mine\nVALUE='one'\n")
    run(comrade, "--env-file", env_file, command=shell(f"echo $VALUE >> {tmp_path}/out; exit 1"))
    wait_until(lambda: (tmp_path / "out").exists() and (tmp_path / "out").read_text() == "one\n",
               "the first start")
    env_file.write_text("VALUE=two\n")
    wait_until(lambda: "two\n" in (tmp_path / "out").read_text(), "the second start")


def test_a_bad_env_file_names_its_line(comrade, tmp_path):
    env_file = tmp_path / "app.env"
    env_file.write_text("A=1\nthis is wrong\n")
    agent = run(comrade, "--env-file", env_file, command=("touch", tmp_path / "ran"))
    assert agent.wait(HANG_S) == 1
    assert "app.env, line 2" in agent.err.read_text()
    assert not (tmp_path / "ran").exists()


# --- Signals and processes ----------------------------------------------------------------------


def test_other_signals_are_forwarded(comrade, tmp_path):
    agent = run(comrade, command=python(SIGNAL_WRITER, tmp_path / "signals"))
    wait_until((tmp_path / "signals").exists, "the service")
    wait_for_state(comrade, "up")
    for name in ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGWINCH"):
        agent.send_signal(getattr(signal, name))
        wait_until(lambda: name in (tmp_path / "signals").read_text(), name)
    assert agent.poll() is None


@needs_root
def test_it_works_as_pid_1(comrade, tmp_path):
    command = [PROGRAM, "run", "--role", "app", "--id", "one", *QUICK, "--", "/bin/sh", "-c",
               f"(sleep 0.1 & ) ; (sleep 0.1 & ) ; trap 'exit 6' TERM; echo up > {tmp_path}/up; "
               "while :; do sleep 0.05; done"]
    outer = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", *command],
        env=clean_environment(COMRADE_STORE=comrade.store_url), stderr=subprocess.PIPE)
    comrade.started.append(outer)
    wait_for_file(tmp_path / "up")
    found = wait_for_state(comrade, "up")
    assert found["pid"] < 20
    [agent] = children(outer.pid)

    def zombies():
        return [pid for pid in children(agent) if not is_running(pid)]
    wait_until(lambda: not zombies(), "no zombies")
    os.kill(agent, signal.SIGTERM)
    assert outer.wait(HANG_S) == 6


def test_if_the_keeper_is_killed_nothing_is_left(comrade, tmp_path):
    agent = run(comrade, command=writes_pid(tmp_path / "pid"))
    pid = int(wait_for_file(tmp_path / "pid"))
    wait_for_state(comrade, "up")
    [keeper] = children(agent.pid)
    os.kill(keeper, signal.SIGKILL)
    assert agent.wait(HANG_S) == 128 + signal.SIGKILL
    wait_until_gone(pid)
    assert member(comrade)["state"] == "stopped"


# --- Streams ------------------------------------------------------------------------------------


def test_streams_pass_through(comrade):
    done = comrade("run", "--role", "app", "--", "/bin/sh", "-c", "cat; echo error >&2",
                   stdin=subprocess.DEVNULL, check=0)
    assert "error\n" in done.stderr
    done = subprocess.run([PROGRAM, "run", "--role", "app", "--", "cat"], input=b"through\n",
                          env=clean_environment(COMRADE_STORE=comrade.store_url),
                          capture_output=True, timeout=HANG_S, check=False)
    assert done.stdout == b"through\n"


@pytest.mark.parametrize("option", ["--takeover", "--no-stderr-tail"])
def test_a_flood_of_stderr_passes_and_takes_no_memory(comrade, option):
    code = ("import os, time\n"
            "for i in range(100):\n    os.write(2, b'x' * 999999 + b'\\n')\n"
            "os.write(2, b'done\\n')\ntime.sleep(1000)")
    agent = run(comrade, option, command=python(code))
    wait_until(lambda: agent.err.stat().st_size > 100_000_000, "100 MB", 2 * HANG_S)
    wait_until(lambda: agent.err.read_bytes()[-200:].find(b"done\n") >= 0, "the end")
    status = pathlib.Path(f"/proc/{agent.pid}/status").read_text()
    peak_kb = int(status.split("VmHWM:")[1].split()[0])
    assert IS_SANITIZED or peak_kb <= 5120
    agent.err.write_bytes(b"")


def test_nobody_reading_stderr_does_not_keep_it_from_leaving(comrade):
    reader, writer = os.pipe()
    agent = subprocess.Popen(
        [PROGRAM, "run", "--role", "app", "--id", "one", *QUICK, "--", "sh", "-c", "yes >&2"],
        env=clean_environment(COMRADE_STORE=comrade.store_url), stderr=writer)
    comrade.started.append(agent)
    os.close(writer)
    wait_for_state(comrade, "up")
    time.sleep(0.3)  # Until the pipes are full; the test is good without that, and worth less.
    comrade("kill", "one", check=0)
    assert agent.wait(HANG_S) == 90
    os.close(reader)


def test_a_service_may_close_its_streams_and_leave_its_input_unread(comrade, tmp_path):
    agent = subprocess.Popen(
        [PROGRAM, "run", "--role", "app", "--id", "one", *QUICK, "--", "sh", "-c",
         f"exec 0<&- 1>&- 2>&-; echo up > {tmp_path}/up; exec sleep 1000"],
        env=clean_environment(COMRADE_STORE=comrade.store_url), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    comrade.started.append(agent)
    wait_for_file(tmp_path / "up")
    wait_for_state(comrade, "up")
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(HANG_S) == 128 + signal.SIGTERM
    agent.stdin.close()
    agent.stdout.close()


def test_the_end_of_stderr_is_kept_unless_it_holds_secrets(comrade):
    code = "printf 'a\\033[31m\\377\\n' >&2; exit 1"
    agent = run(comrade, "--restart", "never", command=shell(code))
    assert agent.wait(HANG_S) == 1
    assert member(comrade)["details"]["exit"]["stderr"] == "a\x1b[31m\\xff\n"
    agent = run(comrade, "--restart", "never", "--no-stderr-tail", command=shell(code))
    assert agent.wait(HANG_S) == 1
    assert "stderr" not in member(comrade)["details"]["exit"]


# --- The store ----------------------------------------------------------------------------------


def test_the_service_is_started_although_the_store_cannot_be_reached(comrade, tmp_path):
    folder = tmp_path / "later"
    comrade.store_url = f"sqlite:{folder}/comrade.db"
    agent = run(comrade, command=writes_pid(tmp_path / "pid"))
    pid = int(wait_for_file(tmp_path / "pid"))
    assert "event=store-error" in agent.err.read_text()
    assert "runs without being listed; the store is tried again" in agent.err.read_text()
    folder.mkdir()
    found = wait_for_state(comrade, "up")
    assert found["pid"] == pid and found["alive"]


def test_without_a_store_it_still_leaves(comrade, tmp_path):
    comrade.store_url = f"sqlite:{tmp_path}/nowhere/comrade.db"
    agent = run(comrade, command=writes_pid(tmp_path / "pid"))
    wait_for_file(tmp_path / "pid")
    terminate(agent)
    terminate(agent)
    assert agent.wait(HANG_S) == 128 + signal.SIGTERM


def test_an_id_that_runs_on_this_host_is_refused(comrade, tmp_path):
    first = run(comrade)
    wait_for_state(comrade, "up")
    second = run(comrade, command=("touch", tmp_path / "ran"))
    assert second.wait(HANG_S) == 91
    said = second.err.read_text()
    assert f"pid {first.pid}" in said and "--takeover" in said
    assert not (tmp_path / "ran").exists()
    assert first.poll() is None


@needs_root
def test_an_id_that_runs_on_another_host_is_refused(comrade, tmp_path):
    """Another host is another UTS and mount namespace: its own name, its own lock files."""
    inner = " ".join(map(str, [PROGRAM, "run", "--role", "app", "--id", "one", *QUICK, "--",
                               "sleep", "1000"]))
    other = subprocess.Popen(
        ["unshare", "--uts", "--mount", "sh", "-c",
         f"hostname otherhost && mount -t tmpfs none /run && exec {inner}"],
        env=clean_environment(COMRADE_STORE=comrade.store_url))
    comrade.started.append(other)
    pid = wait_for_state(comrade, "up")["pid"]
    second = run(comrade, command=("touch", tmp_path / "ran"))
    assert second.wait(HANG_S) == 91
    said = second.err.read_text()
    assert "otherhost" in said and str(pid) in said
    assert not (tmp_path / "ran").exists()
    assert other.poll() is None


@needs_root
def test_an_id_that_turns_out_to_run_elsewhere_is_given_up(comrade, tmp_path):
    """The store comes back late, and knows another host's member of that id."""
    inner = " ".join(map(str, [PROGRAM, "run", "--role", "app", "--id", "one", *QUICK, "--",
                               "sleep", "1000"]))
    other = subprocess.Popen(
        ["unshare", "--uts", "--mount", "sh", "-c",
         f"hostname otherhost && mount -t tmpfs none /run && exec {inner}"],
        env=clean_environment(COMRADE_STORE=comrade.store_url))
    comrade.started.append(other)
    pid = wait_for_state(comrade, "up")["pid"]
    late = run(comrade, "--store", f"sqlite:{tmp_path}/link/comrade.db",
               command=writes_pid(tmp_path / "pid"))
    late_pid = int(wait_for_file(tmp_path / "pid"))
    (tmp_path / "link").symlink_to(tmp_path)
    assert late.wait(HANG_S) == 91
    assert "event=in-use" in late.err.read_text()
    assert not is_running(late_pid)
    found = member(comrade)
    assert (found["pid"], found["alive"]) == (pid, True)


def test_a_takeover_fences_the_other_which_leaves(comrade):
    first = run(comrade)
    pid = wait_for_state(comrade, "up")["pid"]
    second = run(comrade, "--takeover")
    assert first.wait(HANG_S) == 91
    assert "event=fenced" in first.err.read_text()
    assert not is_running(pid)
    found = wait_until(lambda: (m := member(comrade)) and m["state"] == "up" and m, "up")
    assert found["pid"] != pid and found["alive"]
    assert second.poll() is None
    # Once it has the lock, too, a third does not get by without --takeover.
    wait_until(lambda: "event=locked" in second.err.read_text(), "the lock")
    assert run(comrade).wait(HANG_S) == 91
    assert second.poll() is None


def test_default_ids_are_counted_up_and_used_again(comrade):
    host = socket.gethostname()
    agents = [comrade.start("run", "--role", "app", *QUICK, "--", "sleep", "1000")
              for _ in range(3)]
    expected = [f"app-{host}-{n}" for n in (1, 2, 3)]
    wait_until(lambda: [m["id"] for m in comrade.list("--all") if m["alive"]] == expected, expected)
    for agent in agents:
        agent.kill()
        agent.wait(HANG_S)
    comrade.start("run", "--role", "app", *QUICK, "--", "sleep", "1000")
    wait_until(lambda: [m["id"] for m in comrade.list("--all") if m["alive"]
                        and is_running(m["pid"])] == expected[:1], "the first id again")


def spelled_differently(comrade):
    """The same store by another URL, and so with other locks."""
    alias = comrade.folder / "alias.db"
    alias.symlink_to(comrade.store_url.removeprefix("sqlite:"))
    return f"sqlite:{alias}"


def test_an_id_that_runs_on_this_host_under_another_lock_is_refused(comrade, tmp_path):
    first = run(comrade)
    pid = wait_for_state(comrade, "up")["pid"]
    alias = spelled_differently(comrade)
    second = run(comrade, "--store", alias, command=("touch", tmp_path / "ran"))
    assert second.wait(HANG_S) == 91
    said = second.err.read_text()
    assert f"process {pid}" in said and "--takeover" in said and "URL" in said
    assert not (tmp_path / "ran").exists()
    found = member(comrade)
    assert (found["pid"], found["alive"]) == (pid, True) and first.poll() is None
    run(comrade, "--store", alias, "--takeover")
    assert first.wait(HANG_S) == 91


def test_a_default_id_that_runs_under_another_lock_is_passed_over(comrade):
    host = socket.gethostname()
    alias = spelled_differently(comrade)
    agents = []
    for n, store in enumerate((comrade.store_url, alias, alias), 1):
        tells = shell(f"echo $COMRADE_ID > {comrade.folder}/{n}; exec sleep 1000")
        agents.append(comrade.start("run", "--role", "app", "--store", store, *QUICK, "--", *tells))
        assert wait_for_file(comrade.folder / str(n)) == f"app-{host}-{n}\n"
        wait_until(lambda: [m["alive"] for m in comrade.list("--all")] == [True] * n, f"{n} alive")
    assert [agent.poll() for agent in agents] == [None] * 3


def test_another_spelling_of_a_server_fences_nobody(comrade_on_postgres):
    comrade = comrade_on_postgres
    first = run(comrade)
    pid = wait_for_state(comrade, "up")["pid"]
    second = run(comrade, "--store", comrade.store_url.replace("127.0.0.1", "localhost"))
    assert second.wait(HANG_S) == 91
    assert f"process {pid}" in second.err.read_text()
    third = run(comrade, "--store", comrade.store_url.replace("postgres:", "postgresql:"))
    assert third.wait(HANG_S) == 91
    assert f"pid {first.pid}" in third.err.read_text(), "the lock is the same"
    assert first.poll() is None


@needs_root
def test_a_pid_of_before_the_boot_keeps_no_id(comrade, tmp_path):
    """Process 1 is always there, but in a fresh namespace it is younger than the heartbeat."""
    agent = run(comrade)
    pid = wait_for_state(comrade, "up")["pid"]
    agent.kill()
    agent.wait(HANG_S)
    wait_until_gone(pid)
    with sqlite3.connect(comrade.store_url.removeprefix("sqlite:")) as database:
        database.execute("UPDATE member SET pid = 1")
        database.execute("UPDATE heartbeat SET updated = updated - 1000")
    database.close()
    assert run(comrade).wait(HANG_S) == 91
    again = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", PROGRAM, "run", "--role",
         "app", "--id", "one", *QUICK, "--", *writes_pid(tmp_path / "ran")],
        env=clean_environment(COMRADE_STORE=comrade.store_url))
    comrade.started.append(again)
    wait_for_file(tmp_path / "ran")
    wait_until(lambda: member(comrade)["pid"] > 1, "its record")
    again.kill()  # It ignores SIGTERM, and takes the namespace with it.


def test_a_port_in_use_is_named_before_anything_runs(comrade, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        agent = run(comrade, "--port", port, command=("touch", tmp_path / "ran"))
        assert agent.wait(HANG_S) == 1
        assert f"port {port} is in use" in agent.err.read_text()
        assert not (tmp_path / "ran").exists()


def test_agents_that_start_at_once_find_different_ports(comrade):
    for _ in range(8):
        comrade.start("run", "--role", "app", *QUICK, "--port", "auto", "--no-check", "--",
                      "sleep", "1000")
    found = wait_until(lambda: (m := [m for m in comrade.list("--all") if m["alive"]]) and len(m) == 8
                       and m, "eight members")
    assert len({m["metadata"]["port"] for m in found}) == 8


def test_it_is_small(comrade):
    agent = run(comrade)
    wait_for_state(comrade, "up")
    rollup = pathlib.Path(f"/proc/{agent.pid}/status").read_text()
    rss_kb = int(rollup.split("VmRSS:")[1].split()[0])
    assert IS_SANITIZED or rss_kb <= 5120


def test_show_tells_the_end_of_stderr_escaped(comrade):
    agent = run(comrade, "--restart", "never",
                command=shell("printf 'first\\nred: \\033[31m\\n' >&2; exit 3"))
    assert agent.wait(HANG_S) == 3
    shown = comrade("show", "one", check=0).stdout
    assert "first" in shown and "\\x1b[31m" in shown and "\x1b" not in shown
