"""The scripts that everything else is judged by: ./dev, and what it counts."""
import os
import pathlib
import stat
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def executable(path, text):
    path.write_text("#!/bin/bash\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return path


def dev(*arguments, path=None):
    """path: commands that come first; the machine's folders are then those beside it."""
    environment = dict(os.environ)
    if path:
        environment["PATH"] = f"{path}:{environment['PATH']}"
        environment["COMRADE_DEV_ROOT"] = str(path.parent)
    return subprocess.run([ROOT / "dev", *arguments], capture_output=True, text=True, timeout=60,
                          env=environment, stdin=subprocess.DEVNULL, check=False)


# --- Packages ---

@pytest.fixture
def fresh_machine(tmp_path):
    """Commands that say that no package is installed, and write down what they are asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    executable(folder / "dpkg-query", "exit 1\n")
    executable(folder / "apt-get", f'echo "$@" >>{tmp_path}/asked\nexit 100\n')
    return folder


def test_without_root_missing_packages_are_named_and_nothing_is_installed(fresh_machine):
    executable(fresh_machine / "id", "echo 1000\n")
    done = dev("build", path=fresh_machine)
    assert done.returncode == 1
    assert "apt-get install -y" in done.stderr and "libjansson-dev" in done.stderr
    assert not (fresh_machine.parent / "asked").exists()


def test_as_root_missing_packages_are_said_and_installed(fresh_machine):
    executable(fresh_machine / "id", "echo 0\n")
    done = dev("build", path=fresh_machine)
    asked = (fresh_machine.parent / "asked").read_text()
    assert "Installing what is missing" in done.stdout and "libsqlite3-dev" in done.stdout
    assert "install -y --no-install-recommends" in asked
    # This apt-get failed, and that is told.
    assert done.returncode == 1
    assert "could not install" in done.stderr


def test_what_is_there_without_a_package_is_not_installed(fresh_machine):
    executable(fresh_machine / "id", "echo 1000\n")
    for name in ("node", "go"):
        executable(fresh_machine / name, "true\n")
    server = fresh_machine.parent / "usr/lib/postgresql/15/bin"
    server.mkdir(parents=True)
    executable(server / "initdb", "true\n")
    missing = dev("test", path=fresh_machine).stderr.split()
    assert "pgbouncer" in missing
    assert not {"nodejs", "golang-go", "postgresql"} & set(missing)


def test_no_server_is_started_by_its_package(fresh_machine):
    """While apt-get runs, and only then, services are not to be started, nor databases made."""
    executable(fresh_machine / "id", "echo 0\n")
    root = fresh_machine.parent
    policy = root / "usr/sbin/policy-rc.d"
    cluster = root / "etc/postgresql-common/createcluster.d/comrade-dev.conf"
    executable(fresh_machine / "apt-get", f"""[ "$1" = install ] || exit 0
{policy}
echo $? >{root}/policy
cat {cluster} >{root}/cluster
exit 100
""")
    policy.parent.mkdir(parents=True)
    dev("build", path=fresh_machine)
    assert (root / "policy").read_text() == "101\n"
    assert (root / "cluster").read_text() == "create_main_cluster = false\n"
    assert not policy.exists() and not cluster.exists()


def test_a_rule_for_services_that_is_there_is_kept(fresh_machine):
    executable(fresh_machine / "id", "echo 0\n")
    policy = fresh_machine.parent / "usr/sbin/policy-rc.d"
    policy.parent.mkdir(parents=True)
    executable(policy, "exit 0\n")
    before = policy.read_text()
    dev("build", path=fresh_machine)
    assert policy.read_text() == before


# --- The emulator of Datastore, which is a crate ---

@pytest.fixture
def install_emulator(tmp_path):
    """Runs what `./dev test` does for it, with a cargo of the test's; the folder of its own is
    `kept`."""
    folder, kept = tmp_path / "bin", tmp_path / "kept"
    folder.mkdir()

    def install(cargo=None):
        if cargo:
            executable(folder / "cargo", f'echo "$@" >>{tmp_path}/asked\n{cargo}')
        return subprocess.run([ROOT / "dev", "install-emulator"], capture_output=True, text=True,
                              timeout=60, stdin=subprocess.DEVNULL, check=True,
                              env={"PATH": f"{folder}:/usr/bin:/bin", "XDG_CACHE_HOME": str(kept),
                                   "HOME": str(tmp_path)})
    return install


# What cargo does: --root FOLDER.
CARGO = """while [ "$1" != --root ]; do shift; done
mkdir -p "$2/bin" && printf '#!/bin/sh\n' >"$2/bin/datastore-emulator"
chmod +x "$2/bin/datastore-emulator"
"""


def test_the_emulator_is_installed_once_at_one_version(install_emulator, tmp_path):
    assert "Installing datastore-emulator 0." in install_emulator(CARGO).stdout
    asked = (tmp_path / "asked").read_text()
    assert "--locked" in asked and "--version 0." in asked and asked.count("\n") == 1
    assert list((tmp_path / "kept/comrade-dev").glob("*/bin/datastore-emulator"))
    assert install_emulator(CARGO).stdout == ""
    assert (tmp_path / "asked").read_text() == asked


def test_an_emulator_that_is_there_is_taken(install_emulator, tmp_path):
    executable(tmp_path / "bin/datastore-emulator", "true\n")
    assert install_emulator(CARGO).stdout == ""
    assert not (tmp_path / "asked").exists()


def test_without_cargo_nothing_is_said_of_the_emulator(install_emulator):
    done = install_emulator()
    assert done.stdout == done.stderr == ""


def test_an_emulator_that_cannot_be_had_fails_nothing_and_is_said(install_emulator):
    done = install_emulator("echo warning: slow >&2; echo error: no network >&2; exit 101\n")
    assert "its tests will be skipped: error: no network" in done.stdout


def test_what_builds_the_emulator_is_installed_where_cargo_is(fresh_machine):
    executable(fresh_machine / "id", "echo 1000\n")

    def missing():
        return subprocess.run([ROOT / "dev", "test"], capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL, check=False,
                              env={"PATH": f"{fresh_machine}:/usr/bin:/bin", "HOME": "/nowhere",
                                   "COMRADE_DEV_ROOT": str(fresh_machine.parent)}).stderr.split()
    assert "libprotobuf-dev" not in missing()
    executable(fresh_machine / "cargo", "true\n")
    assert "libprotobuf-dev" in missing()
    executable(fresh_machine / "datastore-emulator", "true\n")
    assert "libprotobuf-dev" not in missing()


def test_an_unknown_verb_shows_the_known_ones():
    done = dev("frobnicate")
    assert done.returncode != 0
    assert "no verb 'frobnicate'" in done.stderr and "mutants" in done.stderr


# --- Counting ---

def run_c_tests(tmp_path, scripts, *arguments):
    """Runs shell scripts as if they were the test executables of a build."""
    lines = []
    for name, text in scripts.items():
        script = executable(tmp_path / f"{name}.sh", text)
        lines.append(f'add_test({name} "{script}")')
        lines.append(f"set_tests_properties({name} PROPERTIES TIMEOUT 5)")
    (tmp_path / "CTestTestfile.cmake").write_text("\n".join(lines))
    return subprocess.run([ROOT / "tools/run_tests.py", "--only", "c", "--build", tmp_path,
                           *arguments], capture_output=True, text=True, timeout=60, check=False)


GOOD = "echo 1..2; echo 'ok 1 - one'; echo 'ok 2 - two'\n"


def test_single_cases_are_counted(tmp_path):
    done = run_c_tests(tmp_path, {"unit_a": GOOD, "unit_b": GOOD})
    assert done.stdout.splitlines()[-1] == "4 passed, 0 failed"
    assert done.returncode == 0


@pytest.mark.parametrize("name, text, last, told", [
    ("unit_failing", "echo 'ok 1 - one'; echo 'not ok 2 - two'; echo because; exit 1\n",
     "3 passed, 1 failed", "unit_failing: two"),
    ("unit_crash", "echo 'ok 1 - one'; kill -SEGV $$\n", "3 passed, 1 failed", "unit_crash: "),
    ("unit_silent", "exit 3\n", "2 passed, 1 failed", "unit_silent: "),
    ("unit_hang", "echo 'ok 1 - one'; sleep 60\n", "3 passed, 1 failed", "Timeout"),
    ("unit_lies", "echo 'not ok 1 - one'; exit 0\n", "2 passed, 1 failed", "unit_lies: one"),
])
def test_whatever_goes_wrong_is_a_failure(tmp_path, name, text, last, told):
    done = run_c_tests(tmp_path, {"unit_good": GOOD, name: text})
    assert done.stdout.splitlines()[-1] == last
    assert done.returncode == 1
    assert told in done.stdout


def test_a_skipped_case_is_no_passed_one(tmp_path):
    done = run_c_tests(tmp_path, {"unit_a": "echo 'ok 1 - one'; echo 'not ok 2 # SKIP two'\n"})
    assert done.stdout.splitlines()[-1] == "1 passed, 0 failed, 1 skipped"
    assert done.returncode == 0


def test_no_test_at_all_is_no_success(tmp_path):
    done = run_c_tests(tmp_path, {"unit_a": GOOD}, "nothing-like-it")
    assert done.returncode == 1


def test_a_report_of_a_sanitizer_is_a_failure(tmp_path):
    reports = tmp_path / "reports"
    text = GOOD + 'options=${ASAN_OPTIONS#log_path=}; echo leaked 7 bytes >"${options%%:*}.1"\n'
    done = run_c_tests(tmp_path, {"unit_a": text}, "--reports", reports)
    assert "leaked 7 bytes" in done.stdout
    assert done.stdout.splitlines()[-1] == "2 passed, 1 failed"
    assert done.returncode == 1


# --- Continuous integration ---

def test_ci_adds_up_its_steps_and_fails_with_any_of_them(tmp_path):
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci/run").write_text((ROOT / ".ci/run").read_text())
    executable(tmp_path / "dev", """case $1 in
test) echo '10 passed, 0 failed, 2 skipped' ;;
lint) echo '7 passed, 1 failed'; exit 1 ;;
asan) echo 'the build failed'; exit 1 ;;
tsan) echo '3 passed, 0 failed' ;;
esac
""")
    done = subprocess.run(["bash", tmp_path / ".ci/run"], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, check=False)
    assert done.stdout.splitlines()[-1] == "20 passed, 2 failed"
    assert done.returncode == 1
