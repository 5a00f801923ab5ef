"""The reference in docs/ is what the program says of itself."""
import re
import shutil
import subprocess

import pytest

from conftest import HANG_S, PROGRAM, ROOT, clean_environment


def output(*arguments):
    return subprocess.run([PROGRAM, *arguments], env=clean_environment(), text=True,
                          stdout=subprocess.PIPE, timeout=HANG_S, check=True).stdout


def test_the_reference_is_what_the_program_prints():
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == output("help", "--markdown"), \
        "run: build/comrade help --markdown >docs/cli.md"


def test_the_reference_names_exit_codes_variables_and_stores():
    reference = output("help", "--markdown")
    for code in range(7):
        assert re.search(rf"^\| {code} \| .+ \|$", reference, re.MULTILINE)
    for word in ("COMRADE_STORE", "XDG_STATE_HOME", "/var/lib/comrade/comrade.db", "--store-file"):
        assert word in reference


@pytest.mark.skipif(shutil.which("man") is None, reason="needs man")
def test_every_man_page_is_one():
    pages = [[]] + [name.split() for name in
                    re.findall(r"^## comrade (.+)$", output("help", "--markdown"), re.MULTILINE)]
    for words in pages:
        page = output("help", "--man", *words)
        shown = subprocess.run(["man", "--warnings", "-l", "-"], input=page, text=True,
                               capture_output=True, timeout=HANG_S, check=True,
                               env=clean_environment(MANWIDTH="80", LC_ALL="C.UTF-8"))
        assert shown.stderr == "", words
        assert "-".join(["comrade", *words]) in shown.stdout and "SYNOPSIS" in shown.stdout
