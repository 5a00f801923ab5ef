#!/usr/bin/python3
"""Runs the C tests (ctest), the integration tests (pytest) and those of the npm package (node --test)
of a build, and counts single cases.

The last line is `N passed, N failed`, with `, N skipped` behind it where there were any. A test
executable that crashed, timed out or said nothing counts as one failed case; so does each file that
a sanitizer wrote.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
PYTEST_LIMIT_S = 20 * 60
NODE_LIMIT_S = 10 * 60
NODE_TESTS = ROOT / "bindings/node/test"
# Those that a sanitizer has something to say of; the others are about what is not C.
NODE_TESTS_SANITIZED = ("blocked", "calls", "defects", "lifetime")
# Those that do nothing without the npm packages of their folder, which not everybody can fetch.
NODE_TESTS_WITH_PACKAGES = ("examples", "google-dataset", "graceful", "original", "types")


class Counts:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []

    def fail(self, name):
        self.failed += 1
        self.failures.append(name)

    def line(self):
        text = f"{self.passed} passed, {self.failed} failed"
        return text + (f", {self.skipped} skipped" if self.skipped else "")


def source_of(executable):
    folder, name = executable.split("_", 1)
    return ROOT / "tests" / folder / f"{name}.c"


def matches(executable, pattern):
    """A pattern names an executable, or a case in it."""
    if pattern in executable:
        return True
    source = source_of(executable)
    return source.exists() and pattern in source.read_text()


def select_c_tests(build, pattern):
    listing = subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1"],
                             capture_output=True, text=True, check=True).stdout
    names = [test["name"] for test in json.loads(listing)["tests"]]
    return [name for name in names if not pattern or matches(name, pattern)]


class CTestReader:
    """Reads what `ctest -V` prints: the TAP of each executable behind the executable's number."""

    def __init__(self, counts):
        self.counts = counts
        self.output = {}
        self.not_ok = {}

    def line(self, line):
        if found := re.match(r"\s*(\d+): (.*)", line):
            number, text = found.groups()
            self.output.setdefault(number, []).append(text)
            self.tap(number, text)
        elif found := re.match(r"\s*\d+/\d+ Test +#(\d+): (\S+) \.*(.*)", line):
            self.finished(*found.groups())

    def tap(self, number, text):
        if re.match(r"ok \d+ .*# ?SKIP", text) or re.match(r"not ok \d+ # SKIP", text):
            self.counts.skipped += 1
        elif re.match(r"ok \d+", text):
            self.counts.passed += 1
        elif found := re.match(r"not ok \d+ - (.*)", text):
            self.not_ok.setdefault(number, []).append(found.group(1))

    def finished(self, number, name, verdict):
        cases = self.not_ok.get(number, [])
        for case in cases:
            self.counts.fail(f"{name}: {case}")
        is_passed = "Passed" in verdict
        if not is_passed and (not cases or "Exception" in verdict or "Timeout" in verdict):
            self.counts.fail(f"{name}: {verdict.strip(' *')}")
        if not is_passed:
            print("\n".join(f"    {text}" for text in self.output.get(number, [])[-200:]))
        print(f"{name} {verdict.strip()}", flush=True)


def run_c_tests(build, pattern, environment, counts):
    names = select_c_tests(build, pattern)
    if not names:
        return
    reader = CTestReader(counts)
    command = ["ctest", "--test-dir", build, "-j2", "-V", "-R", f"^({'|'.join(names)})$"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                          stderr=subprocess.STDOUT, text=True, errors="replace",
                          env=environment) as ctest:
        for line in ctest.stdout:
            reader.line(line.rstrip("\n"))


def run_python_tests(build, pattern, environment, counts):
    report = pathlib.Path(build, "pytest.xml")
    report.unlink(missing_ok=True)
    command = ["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short",
               f"--junitxml={report}", "--durations=5",
               "--durations-min=1", "tests/integration"]
    if pattern:
        command += ["-k", pattern.replace("-", "_")]
    environment = {**environment, "COMRADE_BUILD_DIR": str(pathlib.Path(build).resolve()),
                   "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        code = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, env=environment,
                              timeout=PYTEST_LIMIT_S, check=False).returncode
    except subprocess.TimeoutExpired:
        counts.fail(f"pytest: not done after {PYTEST_LIMIT_S} s")
        return
    if not report.exists():
        counts.fail(f"pytest: exit code {code} without a report")
        return
    n_failed_before = counts.failed
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            counts.fail(f"{case.get('classname')}: {case.get('name')}")
        elif case.find("skipped") is not None:
            counts.skipped += 1
        else:
            counts.passed += 1
    if code not in (0, 5) and counts.failed == n_failed_before:
        counts.fail(f"pytest: exit code {code}")


class NodeReader:
    """Reads the TAP of `node --test`: single cases, each named behind the suites it is in."""

    def __init__(self, counts):
        self.counts = counts
        self.has_ended = False
        self.failed = []

    def line(self, line):
        if found := re.match(r"# (pass|fail|cancelled|skipped) (\d+)$", line):
            self.summary(found.group(1), int(found.group(2)))
        elif found := re.match(r"\s*not ok \d+ - (.*?)(?: # .*)?$", line):
            self.failed.append(found.group(1))

    def summary(self, word, n):
        if word == "pass":
            self.counts.passed += n
        elif word == "skipped":
            self.counts.skipped += n
            self.has_ended = True
        else:
            self.counts.failed += n

    def finish(self, code):
        self.counts.failures += [f"node: {name}" for name in self.failed]
        if not self.has_ended or (code != 0 and not self.failed):
            self.counts.fail(f"node --test: exit code {code}")


def run_node_tests(build, pattern, environment, counts):
    if not pathlib.Path(build, "node/comrade.node").exists():
        counts.fail("node --test: the addon was not built; node and its headers are needed")
        return
    is_sanitized = "COMRADE_TEST_SANITIZED" in environment
    files = [str(file) for file in sorted(NODE_TESTS.glob("*.test.js"))
             if (not is_sanitized or file.name.split(".")[0] in NODE_TESTS_SANITIZED)
             and (not pattern or pattern in f"node/{file.name}" or pattern in file.read_text())]
    if not (NODE_TESTS / "node_modules").exists():
        lacking = [file for file in files
                   if pathlib.Path(file).name.split(".")[0] in NODE_TESTS_WITH_PACKAGES]
        for file in lacking:
            print(f"skipped: {file}: the npm packages of bindings/node/test are not installed")
        counts.skipped += len(lacking)
        files = [file for file in files if file not in lacking]
    if is_sanitized:
        # Node itself is not built with the sanitizer, and does not free all that it has at its end.
        preloaded = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True,
                                   text=True, check=True).stdout.strip()
        environment = {**environment, "LD_PRELOAD": preloaded,
                       "ASAN_OPTIONS": environment["ASAN_OPTIONS"] + ":detect_leaks=0"}
    if not files:
        return
    reader = NodeReader(counts)
    environment = {**environment, "COMRADE_BUILD_DIR": str(pathlib.Path(build).resolve())}
    command = ["timeout", str(NODE_LIMIT_S), "node", "--expose-gc", "--test",
               "--test-reporter=tap", *files]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                          stderr=subprocess.STDOUT, text=True, errors="replace",
                          env=environment) as node:
        output = []
        for line in node.stdout:
            reader.line(line.rstrip("\n"))
            output.append(line)
    reader.finish(node.returncode)
    if reader.failed or node.returncode != 0:
        print("".join(output[-400:]))


def is_for_threads(build):
    cache = pathlib.Path(build, "CMakeCache.txt")
    return cache.exists() and "COMRADE_SANITIZE:STRING=thread" in cache.read_text()


def sanitizer_environment(reports):
    """Where reports go. The options of a sanitizer that was not built in mean nothing."""
    options = f"log_path={reports.resolve()}/report:exitcode=99"
    return {"ASAN_OPTIONS": f"{options}:detect_leaks=1:detect_stack_use_after_return=1",
            "UBSAN_OPTIONS": f"{options}:print_stacktrace=1",
            "TSAN_OPTIONS": f"{options}:second_deadlock_stack=1:halt_on_error=0"}


def count_reports(reports, counts):
    for report in sorted(reports.iterdir()):
        print(f"--- {report}\n{report.read_text(errors='replace')[:6000]}")
        counts.fail(f"sanitizer report {report}")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--reports", type=pathlib.Path, help="folder for sanitizers' reports")
    parser.add_argument("--only", choices=("c", "python", "node"))
    parser.add_argument("pattern", nargs="?", default="")
    arguments = parser.parse_args()

    started = time.monotonic()
    counts = Counts()
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith("COMRADE_") or name == "COMRADE_POSTGRES_BIN"}
    if arguments.reports:
        shutil.rmtree(arguments.reports, ignore_errors=True)
        arguments.reports.mkdir(parents=True)
        environment.update(sanitizer_environment(arguments.reports))
        environment["COMRADE_TEST_SANITIZED"] = "1"
    if arguments.only in (None, "c"):
        run_c_tests(arguments.build, arguments.pattern, environment, counts)
    if arguments.only in (None, "python"):
        run_python_tests(arguments.build, arguments.pattern, environment, counts)
    # Node cannot run under the thread sanitizer, which must be there from the start of a program.
    if arguments.only in (None, "node") and not is_for_threads(arguments.build):
        run_node_tests(arguments.build, arguments.pattern, environment, counts)
    if arguments.reports:
        count_reports(arguments.reports, counts)

    if counts.failures:
        print("\nFailed:\n" + "\n".join(f"  {name}" for name in counts.failures))
    print(f"\nTook {time.monotonic() - started:.0f} s")
    if counts.passed + counts.failed == 0:
        print(f"no test matches '{arguments.pattern}'")
    print(counts.line(), flush=True)
    return 0 if counts.failed == 0 and counts.passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
