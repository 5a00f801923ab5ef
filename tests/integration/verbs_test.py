"""Each verb on real members: what it prints, and how it exits."""
import json
import os
import signal
import sqlite3
import subprocess
import time

import pytest

from conftest import HANG_S, PROGRAM, clean_environment, wait_until

DONE, FAILED, USAGE, REFUSED, NOT_FOUND, UNAVAILABLE = 0, 1, 2, 3, 4, 5
OPTIONS = ("--drain-delay", "0", "--heartbeat", "200ms", "--min-healthy-time", "0")


def start(comrade, member_id, *options, role="app", command=("sleep", "1000")):
    process = comrade.start("run", "--role", role, "--id", member_id, *OPTIONS, *options, "--",
                            *command)
    wait_until(lambda: any(found["id"] == member_id and found["available"]
                           for found in comrade.list()), f"{member_id} is available")
    return process


def one(comrade, member_id):
    return next(found for found in comrade.list("--all") if found["id"] == member_id)


def test_list_shows_what_is_in_rotation_and_all_on_demand(comrade):
    start(comrade, "app-1", "--meta", "zone=a")
    leaving = start(comrade, "app-2")
    comrade("zombify", "app-2", "--reason", "odd", check=DONE)
    shown = comrade("show", "app-2", check=DONE).stdout
    assert "taken off the list" in shown and "odd" in shown
    assert [found["id"] for found in comrade.list()] == ["app-1"]
    assert [found["id"] for found in comrade.list("--all")] == ["app-1", "app-2"]
    assert [found["id"] for found in comrade.list("--dead")] == ["app-2"]
    assert [found["id"] for found in comrade.list("--where", "zone=a", "--all")] == ["app-1"]
    assert comrade("list", "--ids", "--all", check=DONE).stdout == "app-1\napp-2\n"
    table = comrade("list", check=DONE).stdout.splitlines()
    assert table[0].split() == ["ID", "ROLE", "STATE", "HEALTH", "ADDRESS", "HOST", "PID", "AGE",
                                "HEARTBEAT"]
    assert len(table) == 2 and table[1].split()[:4] == ["app-1", "app", "up", "ok"]
    assert leaving.poll() is None, "zombified is not killed"


def test_an_empty_list_says_what_was_asked_for(comrade):
    start(comrade, "app-1")
    place = f"in {comrade.store_url}"
    for arguments, told in (
            (["--role", "bil"], f'no member of role "bil" {place}\n'),
            (["--role", "app", "--stale"], f'no member of role "app" that matches {place}\n'),
            (["--where", "host=none"], f"no member that matches {place}\n")):
        assert comrade("list", *arguments, check=DONE).stderr == told
    comrade("zombify", "app-1", check=DONE)
    wait_until(lambda: not comrade.list(), "app-1 is off the list")
    assert comrade("list", "--role", "app", check=DONE).stderr == (
        f'no member of role "app" is alive {place}; --all shows 1 that is not\n')


def test_the_environment_of_a_service_filters_nothing(comrade):
    start(comrade, "app-1")
    start(comrade, "db-1", role="db")
    done = comrade("list", "--ids", env={"COMRADE_ROLE": "db", "COMRADE_DEAD": "1"}, check=DONE)
    assert done.stdout == "app-1\ndb-1\n"
    comrade("kill-oldest", env={"COMRADE_ROLE": "db"}, check=USAGE)


def test_json_has_the_originals_names(comrade):
    process = start(comrade, "app-1", "--port", "auto", "--no-check", "--advertise", "10.0.0.5:80",
                    "--meta", "zone=a")
    found = one(comrade, "app-1")
    assert {name: found[name] for name in ("id", "role", "alive", "healthy", "stale")} == {
        "id": "app-1", "role": "app", "alive": True, "healthy": True, "stale": False}
    assert found["metadata"] == {"ip": "10.0.0.5", "port": 80, "zone": "a"}
    assert found["shutdownDate"] is None and found["request"] is None
    assert found["updated"] >= found["created"] > 1.6e12
    assert process.poll() is None


def test_a_kill_is_recorded_and_followed_to_its_end(comrade):
    process = start(comrade, "app-1")
    done = comrade("kill", "app-1", "--wait", "--reason", "old kernel", check=DONE)
    assert "app-1 was asked to leave\n" in done.stdout and "app-1: gone" in done.stdout
    assert process.wait(HANG_S) == 90
    found = one(comrade, "app-1")
    assert found["alive"] is False and found["state"] == "stopped"
    assert found["request"]["reason"] == "old kernel" and found["shutdownDate"] > 0
    shown = comrade("show", "app-1", check=DONE).stdout
    assert "old kernel" in shown and "asked to leave" in shown and "15 (Terminated)" in shown
    assert comrade("kill", "app-1").returncode == NOT_FOUND


def test_the_budget_refuses_and_force_overrides(comrade):
    start(comrade, "app-1")
    start(comrade, "app-2")
    comrade("role", "set", "app", "--min", "2", check=DONE)
    refused = comrade("kill", "app-1", check=REFUSED)
    assert "minimum of 2" in refused.stderr and "--force" in refused.stderr
    comrade("kill-oldest", "--role", "app", check=REFUSED)
    assert len(comrade.list()) == 2
    comrade("kill", "--force", "app-1", "--wait", check=DONE)
    assert [found["id"] for found in comrade.list()] == ["app-2"]
    shown = comrade("role", "show", "app", check=DONE).stdout
    assert "minimum    2" in shown and "available  1" in shown
    comrade("role", "set", "app", "--min", "none", check=DONE)
    assert json.loads(comrade("role", "show", "app", "--json").stdout)["minMembers"] is None


def test_kill_oldest_takes_the_oldest(comrade):
    start(comrade, "app-b")
    start(comrade, "app-a")
    assert comrade("kill-oldest", "--role", "app", "--ids", check=DONE).stdout == "app-b\n"
    wait_until(lambda: [found["id"] for found in comrade.list()] == ["app-a"], "app-b has left")
    comrade("kill-oldest", "--role", "app", check=REFUSED)  # one is implied
    comrade("kill-oldest", "--role", "nobody", check=NOT_FOUND)
    assert "--role" in comrade("kill-oldest", check=USAGE).stderr


def test_a_rolling_kill_goes_on_as_others_take_their_places(comrade):
    start(comrade, "app-1")
    start(comrade, "app-2")
    rolling = comrade.start("rolling-kill", "--role", "app", "--interval", "100ms")
    wait_until(lambda: len(comrade.list()) == 1, "the first has left")
    time.sleep(0.5)
    assert rolling.poll() is None and len(comrade.list()) == 1, "the last waits for a successor"
    start(comrade, "app-3")
    assert rolling.wait(HANG_S) == DONE
    assert [found["id"] for found in comrade.list()] == ["app-3"]
    assert "2 members were asked to leave" in rolling.out.read_text()


def test_unknown_and_ambiguous_ids(comrade):
    start(comrade, "app-web1-1")
    start(comrade, "app-web1-2")
    unknown = comrade("kill", "app-wbe1-1", check=NOT_FOUND)
    assert 'did you mean "app-web1-1"?' in unknown.stderr
    ambiguous = comrade("kill", "app-web", check=NOT_FOUND)
    assert "app-web1-1, app-web1-2" in ambiguous.stderr
    assert len(comrade.list()) == 2
    assert comrade("show", "app-web1-2", check=DONE).stdout.startswith("id")
    for verb in ("kill", "show"):  # they say it with the same words
        told = comrade(verb, "app-web", check=NOT_FOUND).stderr
        assert told == f'comrade {verb}: "app-web" fits 2 members: app-web1-1, app-web1-2\n'
    assert "did you mean" in comrade("show", "app-wbe1-1", check=NOT_FOUND).stderr
    comrade("show", "nobody", check=NOT_FOUND)
    comrade("kill", "app-web1-1", "nobody", check=NOT_FOUND)  # the first is killed all the same
    wait_until(lambda: len(comrade.list()) == 1, "app-web1-1 has left")


@pytest.mark.parametrize("bad", ["", "x" * 100000, "a\x1b[2Jb", "a/b", b"\xff\xfe"],
                         ids=["empty", "100 kB", "escape", "slash", "no UTF-8"])
def test_bad_ids_are_refused_unescaped_nowhere(comrade, bad):
    environment = clean_environment(COMRADE_STORE=comrade.store_url)
    comrade("store", "init", check=DONE)
    for arguments in (["kill", bad], ["zombify", bad], ["show", bad],
                      ["list", "--where", bad], ["role", "show", bad],
                      ["role", "set", "app", "--min", bad], ["run", "--role", "app", "--id", bad, "--",
                                                        "true"],
                      ["run", "--role", bad, "--", "true"]):
        done = subprocess.run([PROGRAM, *arguments], env=environment, capture_output=True,
                              timeout=HANG_S, check=False)
        assert done.returncode in (USAGE, NOT_FOUND), (arguments, done)
        assert b"\x1b" not in done.stderr and done.stderr.count(b"\n") <= 2
        assert len(done.stderr) < 2000
    assert comrade.list("--all") == []


def test_escapes_in_records_never_reach_a_terminal(comrade, tmp_path):
    start(comrade, "app-1")
    path = comrade.store_url.removeprefix("sqlite:")
    with sqlite3.connect(path) as database:  # as a hostile writer would
        database.execute("UPDATE member SET host = ?, metadata = ?, version = ?",
                         ("web\x1b[31m1", json.dumps({"ip": "10.0.0.1\x1b]0;x\x07", "k\n": "\x9b"}),
                          "1\x1bc"))
    database.close()
    for arguments in (["list"], ["show", "app-1"], ["role", "show", "app"]):
        done = comrade(*arguments, check=DONE)
        for forbidden in ("\x1b", "\x07", "\x9b"):
            assert forbidden not in done.stdout, arguments
    assert "\\x1b" in comrade("list").stdout
    assert json.loads(comrade("list", "--json").stdout)["host"] == "web\x1b[31m1"
    assert "\x1b" not in comrade("list", "--json").stdout


def test_watch_tells_of_each_change(comrade):
    comrade("store", "init", check=DONE)
    watch = comrade.start("watch", "--role", "app", "--alive", "--json")
    start(comrade, "app-1")
    comrade("kill", "app-1", "--wait", check=DONE)

    def changes():
        return [(line["change"], line["id"])
                for line in map(json.loads, watch.out.read_text().splitlines())]
    wait_until(lambda: ("left", "app-1") in changes(), "app-1 left")
    assert changes()[0] == ("came", "app-1")
    watch.send_signal(signal.SIGTERM)
    assert watch.wait(HANG_S) == DONE


def test_a_heartbeat_is_no_change(comrade):
    for member_id in ("app-1", "app-2"):
        start(comrade, member_id)
    watch = comrade.start("watch", "--role", "app", "--json")

    def lines():
        return [json.loads(line) for line in watch.out.read_text().splitlines()]
    wait_until(lambda: len(lines()) == 2, "both are there")
    seen = one(comrade, "app-1")["updated"]
    wait_until(lambda: one(comrade, "app-1")["updated"] > seen, "app-1 sent a heartbeat")
    comrade("zombify", "app-2", check=DONE)
    wait_until(lambda: len(lines()) > 2, "app-2 changed")
    assert {line["id"] for line in lines()[2:]} == {"app-2"}


def test_check_is_a_nagios_plugin(comrade):
    start(comrade, "app-1")
    done = comrade("check", "--role", "app", "--min", "1", check=0)
    assert done.stdout == "OK - app: 1 available, 1 wanted | available=1;;1:\n"
    done = comrade("check", "--role", "app", "--min", "2", check=2)
    assert done.stdout.startswith("CRITICAL - app: 1 available, 2 wanted")
    comrade("check", "--role", "app", "--min", "-1", check=3)
    gone = comrade("check", "--role", "app", "--store", "sqlite:/nowhere/x.db", check=3)
    assert "/nowhere" in gone.stdout


def test_clear_stale_deletes_only_the_long_gone(comrade):
    start(comrade, "app-1")
    gone = start(comrade, "app-2")
    gone.kill()
    gone.wait()
    path = comrade.store_url.removeprefix("sqlite:")
    with sqlite3.connect(path) as database:
        database.execute("UPDATE heartbeat SET updated = updated - 2 * 3600 * 1000 WHERE key = "
                         "(SELECT key FROM member WHERE id = 'app-2')")
    database.close()
    done = comrade("clear-stale", "--ids", check=DONE)
    assert done.stdout == "app-2\n"
    assert [found["id"] for found in comrade.list("--all")] == ["app-1"]


def test_store_check_says_what_is_promised(comrade):
    start(comrade, "app-1")
    done = comrade("store", "check", check=DONE)
    assert "ok: journal mode wal" in done.stdout and "problem" not in done.stdout


def test_an_unusable_store_is_named(comrade, tmp_path):
    text = tmp_path / "text.db"
    text.write_text("this is no database, and long enough to be sure of it" * 30)
    for url, word in ((f"sqlite:{tmp_path}/no/such/x.db", "does not exist"),
                      (f"sqlite:{tmp_path}", "directory"), (f"sqlite:{text}", "not a SQLite")):
        done = comrade("list", "--store", url, check=None)
        assert done.returncode in (USAGE, UNAVAILABLE) and str(tmp_path) in done.stderr
        assert word in done.stderr
    assert text.read_text().startswith("this is no database")


def test_a_reader_that_has_seen_enough_ends_list_quietly(comrade):
    start(comrade, "app-1")
    command = f"'{PROGRAM}' list --all; echo $? >&2"
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(["/bin/sh", "-c", command], stdout=write_end, stderr=subprocess.PIPE,
                          env=clean_environment(COMRADE_STORE=comrade.store_url), text=True,
                          timeout=HANG_S, check=False)
    os.close(write_end)
    assert done.stderr.strip() in ("1", "141"), done.stderr


def test_watch_ends_with_its_reader_though_nothing_changes(comrade):
    start(comrade, "app-1")
    watch = comrade.start("watch")
    wait_until(lambda: "came" in watch.out.read_text(), "app-1 was told")
    assert watch.poll() is None, "it does not end by itself"
    piped = subprocess.run(["/bin/sh", "-c", f"'{PROGRAM}' watch | head -n 1"], text=True,
                           env=clean_environment(COMRADE_STORE=comrade.store_url),
                           capture_output=True, timeout=HANG_S, check=False)
    assert " came " in piped.stdout and piped.stderr == ""


def test_what_a_followed_kill_prints_for_scripts_is_only_that(comrade):
    start(comrade, "app-1")
    done = comrade("kill", "app-1", "--wait", "--json", check=DONE)
    assert json.loads(done.stdout)["id"] == "app-1"
    assert "app-1: gone" in done.stderr


def test_a_followed_kill_notices_a_crash_of_the_unhealthy(comrade):
    """Nothing about such a member changes but its age."""
    agent = start(comrade, "app-1")
    agent.kill()
    agent.wait()
    path = comrade.store_url.removeprefix("sqlite:")
    with sqlite3.connect(path) as database:  # as if 58 s had passed
        database.execute("UPDATE heartbeat SET updated = updated - 58 * 1000")
        database.execute("UPDATE member SET state = 'unhealthy'")
    database.close()
    assert one(comrade, "app-1")["state"] == "unhealthy"
    done = comrade("kill", "app-1", "--force", "--wait", check=DONE)
    assert "silent for a minute" in done.stdout


def test_a_rolling_kill_says_why_nothing_happens(comrade):
    start(comrade, "app-1")
    rolling = comrade.start("rolling-kill", "--role", "app", "--interval", "100ms")
    wait_until(lambda: "waiting" in rolling.out.read_text(), "it says that it waits")
    assert "1 available now" in rolling.out.read_text()
    assert len(comrade.list()) == 1
    rolling.kill()
    rolling.wait()


def test_clear_stale_says_that_there_is_nothing(comrade):
    comrade("store", "init", check=DONE)
    done = comrade("clear-stale", check=DONE)
    assert done.stdout == "" and "nothing to delete" in done.stderr
