#!/usr/bin/python3
"""Breaks the code in named ways, one at a time, and demands that a named test notices.

The mutants are in tests/mutants/table.py. Each is applied to a copy of the tree in build-mutants/,
the test executable is built, and the named case must fail; before that, all named cases must pass
on the code as it is. The last line is `N passed, N failed`: a mutant that was caught has passed.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = ROOT / "build-mutants"
TREE = WORK / "tree"
BUILD = WORK / "build"
TEST_LIMIT_S = 300

sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tests" / "mutants"))
from table import MUTANTS  # pylint: disable=wrong-import-position


def copy_tree():
    """Only what differs is copied, so that a second run builds little."""
    listing = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT,
                             capture_output=True, text=True, check=True).stdout
    wanted = {name for name in listing.splitlines() if (ROOT / name).is_file()}
    for name in wanted:
        source, target = ROOT / name, TREE / name
        if not target.exists() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)  # a program must stay one
    for old in [path for path in TREE.rglob("*") if path.is_file()]:
        if old.relative_to(TREE).as_posix() not in wanted:
            old.unlink()


def build(*targets):
    """Returns nothing, or what the compiler said."""
    done = subprocess.run(["ninja", "-C", BUILD, "-j2", *targets], capture_output=True, text=True,
                          check=False)
    return "" if done.returncode == 0 else done.stdout


def failed_cases(executable):
    """Runs it whole: the names of the cases that passed, and of those that failed."""
    environment = {**os.environ, "CMOCKA_MESSAGE_OUTPUT": "TAP"}
    try:
        done = subprocess.run([BUILD / "tests" / executable], capture_output=True, text=True,
                              errors="replace", timeout=TEST_LIMIT_S, check=False,
                              stdin=subprocess.DEVNULL, env=environment)
        output = done.stdout
    except subprocess.TimeoutExpired as expired:
        output = (expired.stdout or b"").decode(errors="replace")
    passed = set(re.findall(r"^ok \d+ - (\S+)", output, re.MULTILINE))
    failed = set(re.findall(r"^not ok \d+ - (\S+)", output, re.MULTILINE))
    return passed, failed


def try_mutant(mutant):
    """Why was it not caught? Nothing: it was."""
    file = TREE / mutant.file
    text = file.read_text()
    if text.count(mutant.old) != 1:
        return f"the text to break is {text.count(mutant.old)} times in {mutant.file}, not once"
    try:
        file.write_text(text.replace(mutant.old, mutant.new))
        if said := build(mutant.executable):
            return "it does not compile:\n" + said[-3000:]
        passed, failed = failed_cases(mutant.executable)
    finally:
        file.write_text(text)
    if mutant.case in failed:
        return None
    if mutant.case in passed:
        return f"{mutant.executable}: {mutant.case} did not notice" + (
            f" (but these did: {', '.join(sorted(failed))})" if failed else "")
    return f"{mutant.executable}: {mutant.case} did not come to an end"


def check_unbroken(mutants):
    """All named cases pass on the code as it is; else a failure would prove nothing."""
    executables = sorted({mutant.executable for mutant in mutants})
    if said := build(*executables):
        sys.exit(f"mutants: the code as it is does not build:\n{said[-3000:]}")
    passed = {name: failed_cases(name)[0] for name in executables}
    for mutant in mutants:
        if mutant.case not in passed[mutant.executable]:
            sys.exit(f"mutants: {mutant.executable}: {mutant.case} does not pass on the code as "
                     "it is, or does not exist")


def main():
    parser = argparse.ArgumentParser(prog="./dev mutants", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default="", help="only mutants whose name has this in it")
    pattern = parser.parse_args().name
    mutants = [mutant for mutant in MUTANTS if pattern in mutant.name]
    copy_tree()
    configured = subprocess.run(["cmake", "-S", TREE, "-B", BUILD, "-G", "Ninja",
                                 "-DCOMRADE_EXAMPLES=OFF", "-DCMAKE_BUILD_TYPE=Debug",
                                 # What is broken may well leave something unused.
                                 "-DCOMRADE_WERROR=OFF"], capture_output=True, text=True,
                                check=False)
    if configured.returncode != 0:
        sys.exit(f"mutants: cmake failed:\n{configured.stderr}")
    check_unbroken(mutants)
    n_failed = 0
    for mutant in mutants:
        why = try_mutant(mutant)
        n_failed += why is not None
        print(f"{'SURVIVED' if why else 'caught  '}  {mutant.name}: {mutant.breaks}", flush=True)
        print(f"          {why}" if why else f"          by {mutant.executable}: {mutant.case}")
    print(f"{len(mutants) - n_failed} passed, {n_failed} failed")
    return 0 if mutants and n_failed == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
