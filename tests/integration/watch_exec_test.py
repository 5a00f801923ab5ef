"""`comrade watch --exec`: one command at a time, told of files that changed or of events."""
import json
import shlex
import signal
import time

import pytest

from conftest import HANG_S, wait_until
from service import is_running
from watch_lines_test import LINE, at, start, text_of

DONE, USAGE = 0, 2


class Exec:
    """A watcher whose command writes what it sees into a log; each entry is one run."""

    def __init__(self, comrade, folder, command, *options, has_file=True):
        self.log = folder / "log"
        self.path = folder / "app.servers"
        self.mark = folder / ".app.servers.exec-due"
        self.log.touch()
        given = ("--line", LINE) + (("--output", self.path) if has_file else ())
        text = f"log={shlex.quote(str(self.log))}; file={shlex.quote(str(self.path))}; {command}"
        self.process = comrade.start("watch", "--role", "app", *(options or given), "--exec", text)

    def runs(self):
        return self.log.read_text().split("--\n")[:-1]

    def wait_for_last(self, run):
        wait_until(lambda: self.runs() and self.runs()[-1] == run, f"{run!r}; {self.log.read_text()}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(HANG_S) == DONE
        return self.process.err.read_text()


COPY = 'cat "$file" >>"$log"; echo -- >>"$log"'
READ = 'cat >>"$log"; echo -- >>"$log"'


@pytest.fixture
def watch(comrade, tmp_path):
    return lambda command, *options, **others: Exec(comrade, tmp_path, command, *options, **others)


def test_the_command_runs_once_the_file_has_changed(comrade, watch):
    start(comrade, "app-1", *at(1))
    watching = watch(COPY)
    watching.wait_for_last(text_of(1))
    wait_until(lambda: not watching.mark.exists(), "nothing is due")
    start(comrade, "app-2", *at(2))
    watching.wait_for_last(text_of(1, 2))
    assert watching.stop() == ""
    assert watching.runs() == [text_of(1), text_of(1, 2)]
    # The same again: there is nothing to be made known.
    again = watch(COPY)
    start(comrade, "app-3", *at(3))
    again.wait_for_last(text_of(1, 2, 3))
    assert again.runs() == [text_of(1), text_of(1, 2), text_of(1, 2, 3)]


def test_changes_during_a_run_make_one_more(comrade, watch, tmp_path):
    start(comrade, "app-1", *at(1))
    watching = watch('echo -- >>"$log"; until [ -e "$log.go" ]; do sleep 0.05; done')
    wait_until(lambda: len(watching.runs()) == 1, "the first run")
    for number in (2, 3, 4):
        start(comrade, f"app-{number}", *at(number))
        wait_until(lambda: text_of(number) in watching.path.read_text(), "the file goes on")
    assert len(watching.runs()) == 1, "one at a time"
    assert watching.mark.exists()
    (tmp_path / "log.go").touch()
    wait_until(lambda: not watching.mark.exists(), "all is made known")
    assert len(watching.runs()) == 2


def test_a_command_that_fails_is_run_again(comrade, watch):
    start(comrade, "app-1", *at(1))
    watching = watch('echo -- >>"$log"; test -e "$log.go" || exit 3')
    wait_until(lambda: "exited with code 3; it is run again" in watching.process.err.read_text(),
               "the failure is told")
    assert watching.mark.exists()
    (watching.log.with_name("log.go")).touch()
    wait_until(lambda: not watching.mark.exists(), "the next one")
    assert "has succeeded" in watching.stop()


def test_what_was_not_made_known_is_by_the_next_watcher(comrade, watch, tmp_path):
    """Killed between the file and the command's end: the file alone would look as it should."""
    start(comrade, "app-1", *at(1))
    first = watch("exec sleep 1000")
    wait_until(lambda: first.path.exists() and first.mark.exists(), "the command runs")
    first.process.kill()
    first.process.wait()
    second = watch(COPY)
    second.wait_for_last(text_of(1))
    wait_until(lambda: not second.mark.exists(), "done")
    assert second.runs() == [text_of(1)]


def test_without_a_file_the_command_reads_the_lines(comrade, watch):
    start(comrade, "app-1", *at(1))
    watching = watch(READ, has_file=False)
    watching.wait_for_last(text_of(1))
    start(comrade, "app-2", *at(2))
    watching.wait_for_last(text_of(1, 2))
    assert watching.process.out.read_text() == ""


def test_sigterm_waits_for_the_command(comrade, watch):
    start(comrade, "app-1", *at(1))
    watching = watch('echo $$ >>"$log"; until [ -e "$log.go" ]; do sleep 0.05; done; '
                     'echo -- >>"$log"')
    wait_until(lambda: watching.log.read_text(), "it runs")
    watching.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)  # whatever did not wait would be gone
    assert watching.process.poll() is None
    (watching.log.with_name("log.go")).touch()
    assert watching.process.wait(HANG_S) == DONE
    assert len(watching.runs()) == 1


def test_a_second_signal_asks_the_command_to_end(comrade, watch):
    start(comrade, "app-1", *at(1))
    watching = watch('echo $$ >>"$log"; exec sleep 1000')
    pid = int(wait_until(watching.log.read_text, "it runs"))
    watching.process.send_signal(signal.SIGINT)
    time.sleep(0.2)  # two at once may be one
    assert is_running(pid)
    watching.process.send_signal(signal.SIGINT)
    assert watching.process.wait(HANG_S) == DONE
    assert not is_running(pid)


def test_each_event_is_read_by_a_run_of_its_own(comrade, watch):
    watching = watch(READ, "--json", "--alive")

    def wait_for(change, member_id):
        wait_until(lambda: any((event["change"], event["id"]) == (change, member_id)
                               for event in map(json.loads, watching.runs())),
                   f"{member_id} {change}")
    for member_id in ("app-1", "app-2"):
        start(comrade, member_id, *at(1))
        wait_for("came", member_id)
    comrade("zombify", "app-1", check=DONE)
    wait_for("left", "app-1")
    assert watching.process.out.read_text() == ""


def test_no_text_of_a_member_is_part_of_a_command(comrade, watch, tmp_path):
    evil = tmp_path / "evil"
    start(comrade, "app-1", *at(1), f"note=$(touch {evil}); `touch {evil}`")
    watching = watch(READ, "--json")
    wait_until(lambda: len(watching.runs()) == 1, "it was told")
    assert json.loads(watching.runs()[0])["metadata"]["note"].startswith("$(touch")
    assert not evil.exists()


@pytest.mark.parametrize("options, why", [
    (("--exec", "true"), "--exec needs --line"),
    (("--exec", "", "--json"), "the command is empty"),
])
def test_a_command_without_anything_to_tell_is_refused(comrade, options, why):
    assert why in comrade("watch", *options, check=USAGE).stderr
