"""What is the same for every verb: exit codes, help, mistyped words, and secrets."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

import pytest

from conftest import HANG_S, PROGRAM, clean_environment

SECRET = "sesame-open-4711"


def run(*arguments, env=None, **options):
    return subprocess.run([PROGRAM, *arguments], env=env or clean_environment(), text=True,
                          capture_output=True, timeout=HANG_S, check=False,
                          stdin=subprocess.DEVNULL, **options)


def verbs():
    """Their names, as the program tells them."""
    reference = run("help", "--markdown").stdout
    return re.findall(r"^## comrade (.+)$", reference, re.MULTILINE)


def test_alone_it_shows_what_there_is():
    for arguments in ([], ["help"], ["--help"], ["-h"]):
        done = run(*arguments)
        assert done.returncode == 0 and done.stderr == ""
        for verb in verbs():
            assert re.search(rf"^  {verb} ", done.stdout, re.MULTILINE), verb


def test_the_version_has_three_names():
    outputs = {run(word).stdout for word in ("version", "--version", "-V")}
    assert len(outputs) == 1 and re.fullmatch(r"comrade \d+\.\d+\.\d+\n", outputs.pop())


def test_the_help_of_every_verb_has_examples_and_fits_the_terminal():
    assert "shell" in verbs()
    for verb in verbs():
        done = run(*verb.split(), "--help")
        assert done.returncode == 0 and done.stderr == "", verb
        assert done.stdout.startswith(f"Usage: comrade {verb}"), verb
        assert "\nExamples:\n  " in done.stdout, verb
        # Examples and usage are commands, which are not broken.
        explained = done.stdout.split("\nExamples:\n")[0].splitlines()[1:]
        assert max(map(len, explained)) <= 80, verb
        assert run("help", *verb.split()).stdout == done.stdout, verb


def test_a_mistyped_verb_proposes_the_nearest():
    done = run("shel")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "comrade: unknown verb 'shel'; did you mean 'shell'?\n"
    done = run("frobnicate")
    assert (done.returncode, done.stderr) == \
        (2, "comrade: unknown verb 'frobnicate'; see 'comrade help'\n")
    assert run("").returncode == 2


def test_a_mistyped_option_proposes_the_nearest():
    done = run("shell", "--stor", "x")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "comrade shell: unknown option --stor; did you mean --store?\n"


def test_options_in_front_of_the_verb_are_explained():
    done = run(f"--store=redis://u:{SECRET}@h", "shell")
    assert done.returncode == 2 and "stand behind the verb" in done.stderr
    assert SECRET not in done.stderr


def test_a_terminal_escape_in_a_word_is_shown_escaped():
    done = run("shell\x1b[2J")
    assert done.returncode == 2 and "\x1b" not in done.stderr and "\\x1b" in done.stderr


@pytest.mark.parametrize("url", ["mysql://host/db", "postgre://host/db"])
def test_an_unknown_store_is_wrong_usage_and_lists_the_known(url):
    for verb in ("shell", "list"):
        done = run(verb, "--store", url)
        assert done.returncode == 2
        assert "memory:, sqlite:PATH, postgres://… and datastore://PROJECT" in done.stderr


def test_a_store_without_a_driver_is_no_wrong_usage():
    done = run("list", "--store", "redis://host")
    assert done.returncode == 5 and "has no driver for redis: yet" in done.stderr


# What a verb that needs the store needs besides; `check` has exit codes of its own.
NEEDED = {"show": ["x"], "kill": ["x"], "zombify": ["x"], "kill-oldest": ["--role", "app"],
          "rolling-kill": ["--role", "app"], "role show": ["app"], "role set": ["app"],
          "check": ["--role", "app"], "run": ["--role", "app", "--", "true"]}


def test_no_verb_shows_the_secret_of_a_store_that_it_cannot_open():
    tried = 0
    for verb in verbs():
        if "--store URL" not in run(*verb.split(), "--help").stdout:
            continue
        tried += 1
        url = f"mysql://u:{SECRET}@host/db"
        done = run(*verb.split(), "--store", url, *NEEDED.get(verb, []))
        assert done.returncode in ((3,) if verb == "check" else (2, 5)), (verb, done)
        assert SECRET not in done.stdout + done.stderr, verb
    assert tried >= 10


def test_an_unknown_member_is_exit_code_4(comrade):
    comrade("store", "init", check=0)
    for verb in ("show", "kill", "zombify"):
        done = comrade(verb, "nobody")
        assert done.returncode == 4 and "nobody" in done.stderr, verb


def test_two_words_that_belong_together():
    assert "'role show' or 'role set'" in run("role").stderr
    done = run("role", "shwo", "app")
    assert done.returncode == 2 and "did you mean 'role show'" in done.stderr
    done = run("role", "--help")
    assert done.returncode == 0 and done.stdout.count("Usage: comrade role ") == 2


@pytest.mark.parametrize("url", ["nonsense", ":", "://", "sq lite:x", "sqlite"])
def test_what_is_no_url_is_wrong_usage(url):
    done = run("shell", "--store", url)
    assert done.returncode == 2 and done.stderr.startswith("comrade shell: ")


def test_a_secret_is_in_no_error():
    for url in (f"mysql://u:{SECRET}@h/db", f"mysql://h/db?password={SECRET}",
                f"mysql:u:{SECRET}"):
        for arguments in (["--store", url], [f"--store={url}"], [f"--stor={url}"], [url],
                          ["--timeout", "x", "--store", url]):
            done = run("shell", *arguments)
            if url.startswith("mysql://") or "--stor" in arguments[0]:
                assert SECRET not in done.stderr + done.stdout, arguments
            assert done.returncode in (2, 5)


def test_ps_does_not_show_the_store(tmp_path):
    # The folder's name stands in for a password: all of the value is hidden.
    folder = tmp_path / SECRET
    folder.mkdir()
    for arguments in (["--store", f"sqlite:{folder}/c.db"], [f"--store=sqlite:{folder}/c.db"],
                      [f"-ssqlite:{folder}/c.db"]):
        process = subprocess.Popen([PROGRAM, "shell", *arguments], env=clean_environment(),
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            # That it answers means that it has read its options.
            process.stdin.write("version\n")
            process.stdin.flush()
            assert process.stdout.readline().startswith("comrade ")
            with open(f"/proc/{process.pid}/cmdline", "rb") as file:
                command_line = file.read()
            assert b"shell" in command_line and SECRET.encode() not in command_line
        finally:
            process.communicate(timeout=HANG_S)
        assert process.returncode == 0


def test_the_store_can_be_named_in_a_file(tmp_path):
    file = tmp_path / "store"
    file.write_text(f"mysql://u:{SECRET}@h/db\nsecond line\n")
    done = run("shell", "--store-file", str(file))
    assert done.returncode == 2 and "mysql" in done.stderr and SECRET not in done.stderr
    # What is typed wins over the environment.
    done = run("shell", "--store-file", str(file),
               env=clean_environment(COMRADE_STORE=f"sqlite:{tmp_path}/c.db"))
    assert done.returncode == 2 and "mysql" in done.stderr
    done = run("shell", "--store-file", str(file), "--store", "sqlite:x")
    assert done.returncode == 2 and "name one of them" in done.stderr
    file.write_text("\n")
    assert run("shell", "--store-file", str(file)).returncode == 2
    done = run("shell", "--store-file", f"{tmp_path}/none")
    assert done.returncode == 2 and f"{tmp_path}/none" in done.stderr


@pytest.fixture
def open_folder():
    """A folder that other users can enter, which pytest's own is not."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield pathlib.Path(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_a_user_has_a_store_of_their_own(open_folder):
    program = shutil.copy(PROGRAM, open_folder / "comrade")
    home = open_folder / "home"
    home.mkdir()
    os.chown(home, 65534, 65534)

    def comrade(*verb, **variables):
        return subprocess.run([program, *verb], env=clean_environment(**variables), text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=HANG_S,
                              check=False, user=65534, group=65534, extra_groups=[],
                              cwd=open_folder)

    place = home / ".local/state/comrade"
    done = comrade("shell", HOME=str(home), XDG_STATE_HOME="")
    assert done.returncode == 5 and f"{place}/comrade.db" in done.stderr
    assert not place.parent.exists(), "what only reads makes nothing"
    done = comrade("store", "init", HOME=str(home), XDG_STATE_HOME="")
    assert done.returncode == 0, done.stderr
    assert place.stat().st_mode & 0o777 == 0o700
    done = comrade("shell", HOME=str(home), XDG_STATE_HOME="")
    assert done.returncode == 0, done.stderr
    done = comrade("store", "init", HOME=str(home), XDG_STATE_HOME=f"{home}/state")
    assert done.returncode == 0 and (home / "state/comrade").is_dir()
    done = comrade("store", "init", HOME=f"{open_folder}/other", XDG_STATE_HOME="")
    assert done.returncode == 5 and f"{open_folder}/other" in done.stderr
    done = comrade("shell", HOME="", XDG_STATE_HOME="")
    assert done.returncode == 2 and "--store" in done.stderr


def test_a_value_out_of_range_is_wrong_usage():
    done = run("shell", "--timeout", "5 minutes")
    assert done.returncode == 2 and "--timeout" in done.stderr and "5s" in done.stderr
    done = run("shell", env=clean_environment(COMRADE_TIMEOUT="0"))
    assert done.returncode == 2 and "COMRADE_TIMEOUT" in done.stderr


def test_a_full_disk_is_no_empty_answer():
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([PROGRAM, "help"], env=clean_environment(), stdout=full, text=True,
                              stderr=subprocess.PIPE, timeout=HANG_S, check=False)
    assert done.returncode == 1 and "writing the output" in done.stderr


def test_a_reader_who_leaves_ends_it_quietly():
    reader, writer = os.pipe()
    os.close(reader)
    # Whoever ignores SIGPIPE must not make us do so.
    old = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        done = subprocess.run([PROGRAM, "help"], env=clean_environment(), stdout=writer,
                              stderr=subprocess.PIPE, restore_signals=False, timeout=HANG_S,
                              check=False)
    finally:
        signal.signal(signal.SIGPIPE, old)
        os.close(writer)
    assert done.returncode == -signal.SIGPIPE and done.stderr == b""


def test_closed_streams_do_not_let_output_into_the_store(tmp_path):
    store = tmp_path / "c.db"
    command = f'printf "version\\n" | "{PROGRAM}" shell --store sqlite:{store} >&- 2>&-'
    subprocess.run(["sh", "-c", command], env=clean_environment(), timeout=HANG_S, check=False)
    assert not store.exists() or b"comrade 1" not in store.read_bytes()
