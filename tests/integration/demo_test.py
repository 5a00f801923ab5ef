"""The main job, whole: `./dev demo` succeeds, and its count of failed requests counts."""
import subprocess

import pytest

from conftest import BUILD, IS_SANITIZED, ROOT, clean_environment

pytestmark = pytest.mark.skipif(IS_SANITIZED, reason="its programs are tested one by one")
DEMO = ROOT / "examples/demo/demo.py"
LIMIT_S = 240


def start(*arguments):
    return subprocess.Popen([DEMO, "--build", BUILD, *arguments], env=clean_environment(),
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)


@pytest.fixture(scope="module")
def demos():
    """All at once: they mostly wait."""
    running = {"as it should be": start(), "without a drain delay": start("--drain-delay", "0"),
               "on PostgreSQL": start("--store", "postgres"),
               "on Datastore": start("--store", "datastore")}
    done = {}
    for name, process in running.items():
        output = process.communicate(timeout=LIMIT_S)[0]
        done[name] = (process.returncode, output)
    return done


@pytest.mark.parametrize("name", ["as it should be", "on PostgreSQL", "on Datastore"])
def test_no_request_fails_while_the_oldest_is_killed(demos, name):
    code, output = demos[name]
    assert code == 0, output
    assert "All was as promised." in output
    assert ", 0 failed" in output
    assert "refused" in output.lower() or "not killed" in output


def test_without_a_drain_delay_requests_fail_and_are_counted(demos):
    code, output = demos["without a drain delay"]
    assert code == 1, output
    assert "requests failed" in output
    # Nothing else went wrong: it did all of its steps, and cleaned up.
    assert "nothing is left running" in output
    assert "The demo FAILED." in output
