"""The store itself: who makes it, who does not, and how it is removed."""
import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

from conftest import BUILD, HANG_S, PROGRAM, clean_environment, wait_until

DONE, FAILED, USAGE, REFUSED, UNAVAILABLE = 0, 1, 2, 3, 5
MODULES = str(BUILD / "tests" / "modules")
OWNED = clean_environment(COMRADE_MODULE_PATH=MODULES)
READING = [["list"], ["show", "app-1"], ["kill", "app-1"], ["kill-oldest", "--role", "app"],
           ["rolling-kill", "--role", "app"], ["zombify", "app-1"], ["role", "show", "app"],
           ["role", "set", "app", "--min", "1"], ["clear-stale"], ["store", "check"],
           ["store", "drop", "--yes"]]


def owned(*arguments):
    """On a store whose owner has rights of his own, and which cannot be reached."""
    return subprocess.run([PROGRAM, *arguments], env=OWNED, text=True, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=HANG_S, check=False)


@pytest.mark.parametrize("verb", READING, ids=lambda verb: " ".join(verb[:2]))
def test_who_only_reads_makes_no_store(comrade, tmp_path, verb):
    done = comrade(*verb)
    assert done.returncode == UNAVAILABLE and done.stdout == ""
    assert "there is no store at this path yet" in done.stderr and "store init" in done.stderr
    assert not any(path.name.startswith("comrade.db") for path in tmp_path.iterdir())
    assert "no store at this path yet" in comrade("check", "--role", "app", check=3).stdout


def test_an_empty_file_is_no_store_yet(comrade, tmp_path):
    path = tmp_path / "comrade.db"
    path.touch()
    done = comrade("list", check=UNAVAILABLE)
    assert "there is no store at this path yet" in done.stderr
    assert path.read_bytes() == b"", "and stays empty"


def test_init_and_run_make_it(comrade, tmp_path):
    assert comrade("store", "init", check=DONE).stdout == f"sqlite:{tmp_path}/comrade.db is ready\n"
    comrade("store", "init", check=DONE)
    assert "no members in" in comrade("list", check=DONE).stderr
    other = f"sqlite:{tmp_path}/other.db"
    comrade("run", "--role", "app", "--store", other, "--", "true", check=DONE)
    assert comrade("list", "--all", "--ids", "--store", other, check=DONE).stdout.count("\n") == 1


def test_watch_waits_for_a_store_that_is_not_there_yet(comrade):
    watch = comrade.start("watch")
    wait_until(lambda: "no store at this path yet" in watch.err.read_text(), "it says so")
    comrade.start("run", "--role", "app", "--id", "app-1", "--heartbeat", "200ms", "--", "sleep",
                  "1000")
    wait_until(lambda: " came " in watch.out.read_text(), "the first member came")
    assert watch.err.read_text().count("no store at this path yet") == 1
    watch.send_signal(signal.SIGTERM)
    assert watch.wait(HANG_S) == DONE


def test_the_shell_makes_a_store_when_it_is_told_to(comrade, tmp_path):
    script = "list\nstore init\nlist\n"
    done = subprocess.run([PROGRAM, "shell"], input=script, text=True, capture_output=True,
                          env=clean_environment(COMRADE_STORE=comrade.store_url), timeout=HANG_S,
                          check=False)
    assert done.returncode == DONE, done
    assert done.stderr.count("no store at this path yet") == 1
    assert f"{comrade.store_url} is ready" in done.stdout
    assert "no members in" in done.stderr


def test_the_sql_is_printed_without_a_connection():
    done = owned("store", "init", "--print-sql", "--store", "owned://user:secret@nowhere/x")
    assert (done.returncode, done.stderr) == (DONE, "")
    assert done.stdout == "CREATE SCHEMA comrade;\n-- and what else there is\n"
    assert "for which store" in owned("store", "init", "--print-sql").stderr
    refused = owned("store", "init", "--print-sql", "--store", "sqlite:/nowhere/x.db")
    assert refused.returncode == UNAVAILABLE and refused.stdout == ""
    assert "needs no setting up" in refused.stderr


def test_a_store_that_cannot_be_reached_is_not_set_up_or_dropped():
    for verb in (["init"], ["drop", "--yes"]):
        done = owned("store", *verb, "--store", "owned://user:secret@nowhere/x")
        assert done.returncode == UNAVAILABLE and done.stdout == ""
        assert "nobody there" in done.stderr and "secret" not in done.stderr


# --- Push that cannot be had ----------------------------------------------------------------------

@pytest.fixture
def pushless(comrade, tmp_path):
    """Starts a verb on a store that cannot push until the file `push` is there."""
    comrade.store_url = f"pushless:{tmp_path}/push"
    return lambda *arguments: comrade.start(*arguments, env={"COMRADE_MODULE_PATH": MODULES})


def test_an_agent_says_once_that_nothing_is_pushed(pushless, tmp_path):
    agent = pushless("run", "--role", "app", "--heartbeat", "100ms", "--", "sleep", "1000")
    wait_until(lambda: "event=push-unavailable" in agent.err.read_text(), "it says so")
    assert f"there is no {tmp_path}/push" in agent.err.read_text()
    time.sleep(1)  # it is asked for again meanwhile
    (tmp_path / "push").touch()
    wait_until(lambda: "event=push-restored" in agent.err.read_text(), "it is back")
    said = agent.err.read_text()
    assert said.count("event=push-unavailable") == 1 and said.count("event=push-restored") == 1
    assert "store-error" not in said


def test_watch_says_once_that_nothing_is_pushed(pushless, tmp_path):
    watch = pushless("watch")
    wait_until(lambda: "not at once" in watch.err.read_text(), "it says so")
    assert f"there is no {tmp_path}/push" in watch.err.read_text()
    assert watch.err.read_text().count("\n") == 1


# --- drop -----------------------------------------------------------------------------------------

def at_a_terminal(comrade, answer, *arguments):
    """Answers the question of `store drop`; its exit code and what it said."""
    parent, child = pty.openpty()
    environment = clean_environment(COMRADE_STORE=comrade.store_url)
    process = subprocess.Popen([PROGRAM, "store", "drop", *arguments], env=environment,
                               stdin=child, stdout=child, stderr=child)
    os.close(child)
    said = b""
    deadline = time.monotonic() + HANG_S
    while time.monotonic() < deadline:
        if not select.select([parent], [], [], 1)[0]:
            continue
        try:
            piece = os.read(parent, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        had_asked = b"Type yes:" in said
        said += piece
        if b"Type yes:" in said and not had_asked:
            os.write(parent, answer.encode() + b"\n")
    os.close(parent)
    return process.wait(HANG_S), said.decode()


def test_drop_asks_at_a_terminal(comrade, tmp_path):
    comrade("store", "init", check=DONE)
    code, said = at_a_terminal(comrade, "no")
    assert code == FAILED and "nothing was removed" in said
    assert f"{comrade.store_url}: all that Comrade has made there is to be removed" in said
    assert "0 members" in said
    code, said = at_a_terminal(comrade, "yesterday")
    assert code == FAILED and "nothing was removed" in said
    code, said = at_a_terminal(comrade, "yes")
    assert code == UNAVAILABLE and f"{tmp_path}/comrade.db" in said, "SQLite's is removed by hand"
    assert re.search(r"-wal.*-notify", said, re.DOTALL)


def test_drop_asks_for_yes_where_nobody_can_be_asked(comrade):
    comrade("store", "init", check=DONE)
    done = comrade("store", "drop", check=USAGE)
    assert "--yes" in done.stderr
    assert "by hand" in comrade("store", "drop", "--yes", check=UNAVAILABLE).stderr


def test_drop_refuses_under_running_members(comrade):
    agent = comrade.start("run", "--role", "app", "--id", "app-1", "--heartbeat", "200ms",
                          "--drain-delay", "0", "--", "sleep", "1000")
    wait_until(lambda: comrade.list("--all"), "app-1 is there")
    refused = comrade("store", "drop", "--yes", check=REFUSED)
    assert "1 member, of which 1 runs" in refused.stderr and "--force" in refused.stderr
    forced = comrade("store", "drop", "--yes", "--force", check=UNAVAILABLE)
    assert "by hand" in forced.stderr
    agent.send_signal(signal.SIGTERM)
    agent.wait(HANG_S)
    assert "of which 0 run" in comrade("store", "drop", "--yes", check=UNAVAILABLE).stderr
