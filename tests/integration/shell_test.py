"""The shell: at a terminal, with completion and history, and as a reader of scripts."""
import codecs
import os
import pty
import select
import signal
import stat
import time

import pytest

from conftest import HANG_S, PROGRAM, clean_environment, wait_until

PROMPT = "comrade> "


class Terminal:
    """The shell on a terminal of its own."""

    def __init__(self, folder, *arguments):
        self.screen = ""
        self.decoder = codecs.getincrementaldecoder("utf-8")()  # a read may end in a character
        environment = clean_environment(COMRADE_STORE=f"sqlite:{folder}/comrade.db", TERM="xterm",
                                        XDG_STATE_HOME=f"{folder}/state", LC_ALL="C.UTF-8")
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(PROGRAM, ["comrade", "shell", *arguments], environment)

    def wait_for(self, text):
        """Reads until `text` comes; returns what came before it."""
        deadline = time.monotonic() + HANG_S
        while text not in self.screen:
            assert time.monotonic() < deadline, f"{text!r} is not in {self.screen!r}"
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.screen += self.decoder.decode(os.read(self.fd, 4096))
                except OSError as error:
                    raise AssertionError(f"the shell ended: {self.screen!r}") from error
        before, self.screen = self.screen.split(text, 1)
        return before

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def end(self, keys="\x15\x04"):
        """Leaves, by Ctrl-D at the prompt; returns the exit code.

        libedit shows the prompt a moment before it takes the terminal over, and a Ctrl-D in between
        becomes a part of the line: Ctrl-U and Ctrl-D are typed until they are heard.
        """
        deadline = time.monotonic() + HANG_S
        while time.monotonic() < deadline:
            self.type(keys)
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    os.read(self.fd, 4096)
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid != 0:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
        raise AssertionError("the shell does not end")

    def close(self):
        if self.pid != 0:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


@pytest.fixture
def terminal(tmp_path):
    shell = Terminal(tmp_path)
    yield shell
    shell.close()


def test_a_command_runs_at_the_prompt(terminal):
    terminal.wait_for(PROMPT)
    terminal.type("version\n")
    terminal.wait_for("comrade 1.")
    terminal.wait_for(PROMPT)
    assert terminal.end() == 0


def test_a_failing_command_does_not_end_the_shell(terminal):
    terminal.wait_for(PROMPT)
    terminal.type("verzion\n")
    terminal.wait_for("did you mean 'version'?")
    terminal.wait_for(PROMPT)
    terminal.type("help \"\n")
    terminal.wait_for("is not closed")
    terminal.wait_for(PROMPT)
    terminal.type("version\n")
    terminal.wait_for("comrade 1.")
    terminal.wait_for(PROMPT)
    assert terminal.end() == 0


def test_tab_completes_verbs_and_options(terminal):
    terminal.wait_for(PROMPT)
    terminal.type("vers\t\n")
    terminal.wait_for("comrade 1.")
    terminal.wait_for(PROMPT)
    terminal.type("help --mark\t\n")
    terminal.wait_for("# comrade: the command line")
    terminal.wait_for(PROMPT)
    assert terminal.end() == 0


def test_the_history_is_kept_for_the_next_shell_and_its_owner_alone(tmp_path):
    for expected in (None, "comrade 1."):
        shell = Terminal(tmp_path)
        try:
            shell.wait_for(PROMPT)
            # Up: the last command of the shell before.
            shell.type("version\n" if expected is None else "\x1b[A\n")
            shell.wait_for("comrade 1.")
            shell.wait_for(PROMPT)
            shell.type("help --store redis://u:sesame@h\n")
            shell.wait_for("unknown option")
            shell.wait_for(PROMPT)
            assert shell.end() == 0
        finally:
            shell.close()
    history = tmp_path / "state/comrade/history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert "version" in history.read_text() and "sesame" not in history.read_text()


def test_exit_leaves_and_a_shell_in_the_shell_is_refused(terminal):
    terminal.wait_for(PROMPT)
    terminal.type("shell\n")
    terminal.wait_for("this is the shell")
    terminal.wait_for(PROMPT)
    assert terminal.end("exit\n") == 0


def test_ctrl_c_ends_what_stays_and_not_the_shell(terminal, tmp_path):
    terminal.wait_for(PROMPT)
    terminal.type(f"run --role app --drain-delay 0 -- sh -c 'touch {tmp_path}/up; exec sleep 1000'"
                  "\n")
    wait_until((tmp_path / "up").exists, "the service runs")
    terminal.type("\x03")
    terminal.wait_for(PROMPT)
    terminal.type("version\n")
    terminal.wait_for("comrade 1.")
    terminal.wait_for(PROMPT)
    assert terminal.end() == 0


def test_a_member_is_found_with_tab_and_killed_by_the_original_name(comrade, terminal):
    service = comrade.start("run", "--role", "apple", "--id", "pear-1", "--drain-delay", "0",
                            "--", "sleep", "1000")
    spare = comrade.start("run", "--role", "apple", "--id", "quince-1", "--drain-delay", "0",
                          "--min-healthy-time", "0", "--", "sleep", "1000")
    wait_until(lambda: len([m for m in comrade.list() if m["alive"]]) == 2, "both are listed")
    terminal.wait_for(PROMPT)
    terminal.type("kill --force pe\t\n")
    terminal.wait_for(PROMPT)
    assert service.wait(HANG_S) == 90
    terminal.type("killOldestMember --role app\t\n")
    terminal.wait_for("minimum")
    terminal.wait_for(PROMPT)
    assert spare.poll() is None
    assert terminal.end() == 0


def script(comrade, text, folder, *arguments):
    path = folder / "script"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with open(path, "rb") as file:
        return comrade("shell", *arguments, stdin=file)


def test_a_script_has_no_prompt_and_the_exit_code_of_its_last_command(comrade, tmp_path):
    done = script(comrade, "verzion\n# a comment\nversion\n", tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("comrade 1.")
    assert done.stdout.count("\n") == 1 and done.stderr.startswith("unknown verb 'verzion'")
    done = script(comrade, "version\nverzion", tmp_path)
    assert done.returncode == 2
    done = script(comrade, "verzion\n\n# nothing else\n", tmp_path)
    assert done.returncode == 2
    done = script(comrade, "verzion\nexit\nversion\n", tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert script(comrade, "", tmp_path).returncode == 0
    done = script(comrade, "run --role app --restart never -- sh -c 'exit 7'\n", tmp_path)
    assert done.returncode == 7


def test_a_line_that_is_too_long_is_refused_whole(comrade, tmp_path):
    done = script(comrade, "#" + "x" * 65534 + "version\nversion\n", tmp_path)
    assert done.stdout.count("comrade 1.") == 1 and "longer than" in done.stderr
    done = script(comrade, b"\xff\xfe\x00 \x1b[2J\n", tmp_path)
    assert done.returncode == 2 and "\x1b" not in done.stderr


def test_the_shell_stays_on_its_store(comrade, tmp_path):
    done = script(comrade, "shell --store sqlite:other\nversion --store x\n", tmp_path)
    assert done.returncode == 2 and not (tmp_path / "other").exists()
