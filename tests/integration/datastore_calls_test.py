"""What a steady heartbeat costs on Datastore, counted at the server. Five minutes are played in ten
seconds, by libfaketime; examples/datastore-cost reckons with what is found here, and docs/stores/datastore.md
prints what it says."""
import glob
import re
import subprocess
import sys
import time

import pytest

from conftest import IS_SANITIZED, ROOT, wait_until

COST = ROOT / "examples/datastore-cost/cost.py"
SPEED = 30  # a call's deadline is a sixth of a second then
MONTH_S = 30 * 24 * 3600


@pytest.fixture(scope="module", name="faster")
def find_library():
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not found:
        pytest.skip("libfaketime is not installed")
    if IS_SANITIZED:
        pytest.skip("a sanitizer wants to be loaded first, as libfaketime does")
    return {"LD_PRELOAD": found[0], "FAKETIME": f"+0 x{SPEED}"}


def cost(*arguments):
    """{"this": [calls, reads, writes], "0.0.3": …}, as the example reckons them."""
    out = subprocess.run([sys.executable, COST, *map(str, arguments)], check=True, text=True,
                         capture_output=True).stdout
    return {line.split()[0]: [int(number.replace(",", "")) for number in line.split()[1:4]]
            for line in out.splitlines()[1:]}


def counts_at_heartbeat(server, n):
    """What was counted when the n-th commit since the last reset was there."""
    return wait_until(lambda: (counts := server.order("counts")).get("commit", 0) >= n and counts,
                      f"{n} commits")


def test_a_steady_heartbeat_is_one_call_and_one_write(comrade_on_datastore, datastore_server, faster):
    comrade = comrade_on_datastore
    comrade.start("run", "--role", "app", "--", "sleep", "1000", env=faster)
    wait_until(lambda: any(member["available"] for member in comrade.list()), "it is available")
    time.sleep(2)  # ready for ten seconds, in its time; what that makes it write is written
    datastore_server.order("counts reset")
    counts = counts_at_heartbeat(datastore_server, 30)
    assert counts["commit"] == counts["writes"]
    assert counts.get("lookup", 0) == 0
    assert counts["calls"] == counts["commit"] + counts["runQuery"]
    # The specs are read each minute: with six heartbeats, or five where one comes late.
    assert 4 <= counts["runQuery"] <= 6
    assert counts["reads"] == counts["runQuery"]  # of the one role


def test_the_example_reckons_with_what_was_counted():
    beats, minutes = MONTH_S // 10, MONTH_S // 60
    for members in (1, 10, 100):
        assert cost("--members", members) == {
            "this": [members * (beats + minutes), members * minutes, members * beats],
            "0.0.3": [4 * members * beats, 2 * members * beats, members * beats]}


def test_members_of_one_agent_share_a_call():
    beats, minutes = MONTH_S // 10, MONTH_S // 60
    assert cost("--members", 100, "--agents", 1)["this"] == [beats + minutes, minutes, 100 * beats]
    assert cost("--members", 1000, "--agents", 1)["this"][0] == 2 * beats + minutes


def test_the_docs_print_what_the_example_says():
    text = (ROOT / "docs/stores/datastore.md").read_text()
    for members in (1, 10, 100):
        for name, numbers in cost("--members", members).items():
            row = rf"^\| {members} \| {re.escape(name)} \|" + "".join(
                rf" {number:,} \|" for number in numbers)
            assert re.search(row, text, re.M), row
