"""The program on a Datastore that others have written: the crate datastore-emulator, on the PATH
where `./dev test` puts it. It knows no base versions, so that heartbeats are transactions there."""
import json
import shutil
import socket
import subprocess
import urllib.request

import pytest

from conftest import HANG_S, Comrade, wait_until

EMULATOR = shutil.which("datastore-emulator")
DONE, REFUSED, KILLED = 0, 3, 90

pytestmark = pytest.mark.skipif(
    not EMULATOR, reason="datastore-emulator is not on the PATH; ./dev test installs it with cargo")


def is_listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def emulator():
    """HOST:PORT. It does not tell its port, so it is given one that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with subprocess.Popen(["setpriv", "--pdeathsig", "KILL", EMULATOR, "--no-store-on-disk",
                           "--host-port", f"127.0.0.1:{port}"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: is_listening(port) or process.poll() is not None, "it listens")
        assert process.poll() is None
        yield f"127.0.0.1:{port}"
        process.kill()


@pytest.fixture
def comrade_on_emulator(emulator, request, tmp_path):
    project = request.node.name.replace("_", "-")[:30].rstrip("-")
    program = Comrade(f"datastore://{project}", tmp_path, DATASTORE_EMULATOR_HOST=emulator)
    yield program
    program.stop_all()


def start(comrade, member_id):
    agent = comrade.start("run", "--role", "app", "--id", member_id, "--drain-delay", "0",
                          "--min-healthy-time", "0", "--heartbeat", "200ms", "--",
                          "sleep", "1000")
    wait_until(lambda: "event=available" in agent.err.read_text(), f"{member_id} is available")
    return agent


def test_a_member_is_listed_shown_and_killed(comrade_on_emulator):
    comrade = comrade_on_emulator
    agent = start(comrade, "app-1")
    start(comrade, "app-2")
    assert [(found["id"], found["healthy"]) for found in comrade.list()] == [("app-1", True),
                                                                            ("app-2", True)]
    assert "yes, the disruption budget counts it" in comrade("show", "app-1", check=DONE).stdout
    comrade("role", "set", "app", "--min", "2", check=DONE)
    assert "minimum of 2" in comrade("kill", "app-1", check=REFUSED).stderr
    comrade("role", "set", "app", "--min", "1", check=DONE)
    comrade("kill", "app-1", "--wait", check=DONE)
    assert agent.wait(HANG_S) == KILLED
    assert [found["id"] for found in comrade.list()] == ["app-2"]


def test_a_member_writes_the_originals_types(comrade_on_emulator, emulator):
    """As the emulator, which keeps what it is sent, tells them."""
    comrade = comrade_on_emulator
    start(comrade, "app-1")
    project = comrade.store_url.removeprefix("datastore://")
    body = {"keys": [{"path": [{"kind": "ComradeServer", "name": "app-1"}]}]}
    ask = urllib.request.Request(f"http://{emulator}/v1/projects/{project}:lookup",
                                 json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(ask, timeout=HANG_S) as answer:
        properties = json.load(answer)["found"][0]["entity"]["properties"]
    assert properties["role"]["stringValue"] == "app"
    assert properties["alive"]["booleanValue"] is True
    assert int(properties["created"]["integerValue"]) > 0
    assert int(properties["updated"]["integerValue"]) > 0
