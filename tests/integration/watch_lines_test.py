"""`comrade watch --line`: the members in rotation, as lines of a file that others read.

Two of these last ten seconds each, without doing anything: what nobody announces, such as a crash,
a watch sees when it looks again, once in an interval of heartbeats.
"""
import pathlib
import signal
import sqlite3
import time

import pytest

from conftest import HANG_S, wait_until

DONE, FAILED, USAGE = 0, 1, 2
OPTIONS = ("--role", "app", "--drain-delay", "0", "--heartbeat", "200ms")
LINE = "server {ip}:{port};"


def start(comrade, member_id, *metadata, heartbeat="200ms"):
    """A member whose metadata is as given; it is listed when this returns."""
    options = [word for text in metadata for word in ("--meta", text)]
    process = comrade.start("run", *OPTIONS, "--id", member_id, "--heartbeat", heartbeat, *options,
                            "--", "sleep", "1000")
    wait_until(lambda: any(found["id"] == member_id for found in comrade.list()), member_id)
    return process


def at(number):
    return ("ip=10.0.0.1", f"port={number}")


def text_of(*numbers):
    return "".join(f"server 10.0.0.1:{number};\n" for number in numbers)


class Watch:
    def __init__(self, comrade, folder, *options):
        self.path = folder / "app.servers"
        self.process = comrade.start("watch", "--role", "app", "--line", LINE, "--output",
                                     self.path, *options)

    def wait_for(self, text):
        wait_until(lambda: self.path.exists() and self.path.read_text() == text,
                   f"{text!r} in the file")

    def wait_to_say(self, text, times=1):
        wait_until(lambda: self.process.err.read_text().count(text) >= times,
                   f"{text!r} on stderr")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(HANG_S) == DONE


@pytest.fixture
def watch(comrade, tmp_path):
    return lambda *options: Watch(comrade, tmp_path, *options)


@pytest.fixture
def folder(comrade, tmp_path):
    """The store in a folder of its own, which can be moved away: then it is not to be reached."""
    path = tmp_path / "store"
    path.mkdir()
    comrade.store_url = f"sqlite:{path}/comrade.db"
    return path


def test_the_file_follows_who_is_in_rotation(comrade, watch):
    start(comrade, "app-2", *at(2))
    watching = watch()
    watching.wait_for(text_of(2))
    start(comrade, "app-1", *at(1))
    watching.wait_for(text_of(1, 2))
    comrade("zombify", "app-2", check=DONE)
    watching.wait_for(text_of(1))
    start(comrade, "app-3", *at(3))
    watching.wait_for(text_of(1, 3))
    comrade("kill", "app-1", "--force", "--wait", check=DONE)
    watching.wait_for(text_of(3))
    watching.stop()
    assert watching.process.err.read_text() == ""
    assert watching.process.out.read_text() == ""


def test_without_a_file_the_lines_are_printed_with_an_empty_one_behind(comrade):
    start(comrade, "app-1", *at(1))
    printing = comrade.start("watch", "--role", "app", "--line", "{id} {state}")
    wait_until(lambda: printing.out.read_text() == "app-1 up\n\n", "the first")
    start(comrade, "app-2", *at(2))
    wait_until(lambda: printing.out.read_text() == "app-1 up\n\napp-1 up\napp-2 up\n\n", "both")


def test_a_watcher_that_finds_the_same_writes_nothing(comrade, watch):
    start(comrade, "app-1", *at(1))
    first = watch()
    first.wait_for(text_of(1))
    first.path.chmod(0o640)
    first.process.kill()
    first.process.wait()
    before = first.path.stat()
    second = watch()
    start(comrade, "app-2", "ip=10.0.0.1")  # has no port: a sign that it has looked
    second.wait_to_say("app-2 is left out")
    after = second.path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    start(comrade, "app-3", *at(3))
    second.wait_for(text_of(1, 3))
    assert second.path.stat().st_ino != before.st_ino
    assert second.path.stat().st_mode & 0o777 == 0o640
    hidden = [path.name for path in second.path.parent.glob(".app.servers*")]
    assert hidden == []


def test_a_member_that_would_break_the_file_is_left_out_and_told_once(comrade, watch):
    start(comrade, "app-1", *at(1))
    start(comrade, "app-2", "ip=10.0.0.1; include /etc/passwd", "port=2")
    start(comrade, "app-3", "port=3\n}", "ip=10.0.0.1")
    start(comrade, "app-4", "port=4")
    watching = watch()
    watching.wait_for(text_of(1))
    start(comrade, "app-5", *at(5))
    watching.wait_for(text_of(1, 5))
    said = watching.process.err.read_text()
    assert said.count("left out") == 3
    for member_id in ("app-2", "app-3", "app-4"):
        assert said.count(f"comrade watch: {member_id} is left out: ") == 1
    assert "\\x0a}" in said
    assert 'app-4 is left out: its metadata has no "ip"' in said


def test_nobody_in_rotation_leaves_the_file_as_it_is(comrade, watch):
    comrade("store", "init", check=DONE)
    watching = watch()
    watching.wait_to_say("is not written")
    assert not watching.path.exists()
    start(comrade, "app-1", *at(1))
    watching.wait_for(text_of(1))
    comrade("kill", "app-1", "--force", "--wait", check=DONE)
    watching.wait_to_say("stays as it is (--empty says what to write then)")
    assert watching.path.read_text() == text_of(1)


@pytest.mark.parametrize("given, written", [("server 127.0.0.1:9 down;",
                                             "server 127.0.0.1:9 down;\n"), ("", "")])
def test_what_to_write_for_nobody_can_be_said(comrade, watch, given, written):
    comrade("store", "init", check=DONE)
    watching = watch("--empty", given)
    watching.wait_for(written)
    start(comrade, "app-1", *at(1))
    watching.wait_for(text_of(1))
    comrade("kill", "app-1", "--force", "--wait", check=DONE)
    watching.wait_for(written)


def test_the_crashed_leave_by_their_age_alone(comrade, watch):
    """Nothing is written to the store: nobody is there to do it."""
    start(comrade, "app-1", *at(1))
    crashed = start(comrade, "app-2", *at(2))
    watching = watch()
    watching.wait_for(text_of(1, 2))
    crashed.kill()
    crashed.wait()
    database = sqlite3.connect(comrade.store_url.removeprefix("sqlite:"))
    with database:  # as if 58 s had passed
        database.execute("UPDATE heartbeat SET updated = updated - 58 * 1000 WHERE key = "
                         "(SELECT key FROM member WHERE id = 'app-2')")
    database.close()
    assert watching.path.read_text() == text_of(1, 2)
    watching.wait_for(text_of(1))


def test_the_file_stays_while_the_store_is_away_and_until_all_are_back(comrade, watch, folder):
    """After an outage of a minute every heartbeat is too old, until the next one."""
    silent = start(comrade, "app-1", *at(1))
    watching = watch()
    watching.wait_for(text_of(1))
    silent.send_signal(signal.SIGSTOP)
    away = folder.with_name("away")
    folder.rename(away)
    watching.wait_to_say("app.servers stays as it is until it is back")
    assert watching.path.read_text() == text_of(1)
    time.sleep(1.5)  # an outage must last for a while to be one
    database = sqlite3.connect(away / "comrade.db")
    with database:
        database.execute("UPDATE heartbeat SET updated = ?", (int(time.time() * 1000) - 60500,))
    database.close()
    away.rename(folder)
    watching.wait_to_say("the store is back")
    assert not comrade.list("--healthy"), "taken at its word, nobody is there"
    start(comrade, "app-2", *at(2))
    watching.wait_for(text_of(1, 2))
    silent.send_signal(signal.SIGCONT)
    assert watching.process.err.read_text().count("until it is back") == 1


def test_a_file_that_cannot_be_written_is_tried_again(comrade, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    start(comrade, "app-1", *at(1))
    watching = Watch(comrade, inside)
    watching.wait_for(text_of(1))
    inside.rename(tmp_path / "elsewhere")
    start(comrade, "app-2", *at(2))
    watching.wait_to_say("cannot write")
    inside.mkdir()
    watching.wait_for(text_of(1, 2))
    watching.wait_to_say("app.servers is written")
    assert watching.process.err.read_text().count("cannot write") == 1


@pytest.mark.parametrize("options, why", [
    (("--output", "file"), "--output needs --line"),
    (("--empty", ""), "--empty needs --line"),
    (("--line", "{id}", "--json"), "give one of them"),
    (("--line", "{id"), "'{' at character 1"),
    (("--line", ""), "empty"),
    (("--line", "{id}", "--output", "/no/such/file"), "/no/such"),
    (("--line", "{id}", "--output", "/"), "no regular file"),
])
def test_what_cannot_work_is_refused_at_the_start(comrade, options, why):
    done = comrade("watch", "--role", "app", *options, check=USAGE)
    assert why in done.stderr and done.stdout == ""
    assert not pathlib.Path("file").exists()
