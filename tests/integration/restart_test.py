"""`comrade restart`: a member leaves and comes back, by its agent, in the budget, on each store."""
import signal

import pytest

from conftest import HANG_S, wait_until

DONE, REFUSED, USAGE, NOT_FOUND, KILLED = 0, 3, 2, 4, 90


@pytest.fixture(params=["comrade", "comrade_on_postgres", "comrade_on_datastore"])
def on_each_store(request):
    return request.getfixturevalue(request.param)


def start(comrade, name, *options, command=("sleep", "1000")):
    agent = comrade.start("run", "--role", "app", "--id", name, "--heartbeat", "200ms",
                          "--min-healthy-time", "100ms", "--drain-delay", "100ms", *options, "--",
                          *command)
    wait_until(lambda: "event=available" in agent.err.read_text(), f"{name} is available")
    return agent


def seen(comrade, name):
    return next((member for member in comrade.list("--all") if member["id"] == name), None)


def test_a_restart_is_a_new_process_of_the_same_id(on_each_store):
    comrade = on_each_store
    agent = start(comrade, "app-1", command=("sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"))
    before = seen(comrade, "app-1")
    said = comrade("restart", "app-1", "--reason", "new kernel", "--wait", check=DONE).stdout
    assert "app-1 was asked to restart" in said and "app-1: back (" in said
    after = seen(comrade, "app-1")
    assert after["pid"] != before["pid"] and after["incarnation"] > before["incarnation"]
    assert after["available"] and after["request"] is None
    assert agent.poll() is None
    log = agent.err.read_text()
    assert "event=request id=app-1 kind=restart" in log and 'reason="new kernel"' in log
    assert "event=backoff" not in log


def test_a_restart_is_refused_below_the_minimum(comrade):
    for name in ("app-1", "app-2"):
        start(comrade, name)
    comrade("role", "set", "app", "--min", "2", check=DONE)
    refused = comrade("restart", "app-1", check=REFUSED).stderr
    assert "not restarted" in refused and "--force" in refused
    comrade("restart", "app-1", "--force", "--wait", check=DONE)


def test_several_are_restarted_one_after_the_other(comrade):
    agents = {name: start(comrade, name) for name in ("app-1", "app-2", "app-3")}
    comrade("role", "set", "app", "--min", "2", check=DONE)
    before = {name: seen(comrade, name)["incarnation"] for name in agents}
    comrade("restart", *agents, "--wait", check=DONE)
    for name in agents:
        assert seen(comrade, name)["incarnation"] > before[name]


def test_a_kill_while_it_restarts_rules(on_each_store):
    comrade = on_each_store
    agent = start(comrade, "app-1", "--drain-delay", "2s")
    comrade("restart", "app-1", check=DONE)
    wait_until(lambda: "kind=restart" in agent.err.read_text(), "it hears of it")
    comrade("kill", "app-1", check=DONE)
    assert agent.wait(HANG_S) == KILLED


def test_sigterm_while_it_restarts_rules(comrade):
    agent = start(comrade, "app-1", "--drain-delay", "2s")
    comrade("restart", "app-1", check=DONE)
    wait_until(lambda: "kind=restart" in agent.err.read_text(), "it hears of it")
    agent.send_signal(signal.SIGTERM)
    agent.wait(HANG_S)
    assert agent.err.read_text().count("event=spawned") == 1


def test_one_that_does_not_come_back_is_told_of(comrade):
    agent = start(comrade, "app-1", "--drain-delay", "1s")
    waiting = comrade.start("restart", "app-1", "--wait")
    wait_until(lambda: "kind=restart" in agent.err.read_text(), "it hears of it")
    agent.send_signal(signal.SIGTERM)
    assert waiting.wait(HANG_S) == 1
    assert '"app-1" has not come back' in waiting.err.read_text()


def test_show_and_watch_say_that_it_was_asked_to_restart(comrade):
    start(comrade, "app-1", "--drain-delay", "3s")
    comrade("restart", "app-1", check=DONE)
    assert "asked to restart" in comrade("show", "app-1", check=DONE).stdout
    assert seen(comrade, "app-1")["request"]["kind"] == "restart"


def test_an_unknown_id_is_named(comrade):
    start(comrade, "app-1")
    assert "app-2" in comrade("restart", "app-2", check=NOT_FOUND).stderr
    comrade("restart", check=USAGE)
