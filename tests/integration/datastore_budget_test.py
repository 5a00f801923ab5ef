"""The disruption budget on Datastore, where no lock is held between looking and asking: many
administrators at once, each a process, and members that nothing but Datastore knows."""
import time
from concurrent.futures import ThreadPoolExecutor

DONE, REFUSED, BUSY = 0, 3, 6
N_MEMBERS, MINIMUM, N_ADMINISTRATORS = 12, 5, 24


def put_members(server, url):
    now = int(time.time() * 1000)
    for number in range(N_MEMBERS):
        server.put(url, f"old-{number}", {
            "role": {"stringValue": "app"}, "alive": {"booleanValue": True},
            "created": {"integerValue": str(now - 1000)},  # the same for all of them
            "updated": {"integerValue": str(now)}})


def killed(server, url):
    found = [server.look_up(url, f"old-{number}") for number in range(N_MEMBERS)]
    return sum("shutdownDate" in properties for properties in found)


def test_many_administrators_at_once_leave_the_minimum(comrade_on_datastore, datastore_server):
    comrade, url = comrade_on_datastore, comrade_on_datastore.store_url
    put_members(datastore_server, url)
    comrade("role", "set", "app", "--min", MINIMUM, check=DONE)
    # What is committed is looked at all the time, not only in the end.
    seen = []
    with ThreadPoolExecutor(N_ADMINISTRATORS + 1) as pool:
        asked = [pool.submit(comrade, "kill-oldest", "--role", "app")
                 for _ in range(N_ADMINISTRATORS)]
        while not all(future.done() for future in asked):
            seen.append(killed(datastore_server, url))
    codes = [future.result().returncode for future in asked]
    assert set(codes) <= {DONE, REFUSED, BUSY}, [future.result() for future in asked]
    assert codes.count(DONE) == killed(datastore_server, url)
    assert max(seen) <= N_MEMBERS - MINIMUM
    # Whoever was told that too many others change the same tries again.
    for _ in range(codes.count(BUSY)):
        comrade("kill-oldest", "--role", "app")
    assert killed(datastore_server, url) == N_MEMBERS - MINIMUM
    refused = comrade("kill-oldest", "--role", "app", check=REFUSED)
    assert f"{MINIMUM}" in refused.stderr


def test_a_budget_is_decided_without_locking_the_members(comrade_on_datastore, datastore_server):
    """No transaction reads them: their heartbeats would have to wait."""
    comrade, url = comrade_on_datastore, comrade_on_datastore.store_url
    put_members(datastore_server, url)
    datastore_server.order("record on")
    comrade("kill-oldest", "--role", "app", check=DONE)
    requests = datastore_server.order("requests")
    datastore_server.order("record off")
    methods = [request["method"] for request in requests]
    assert "beginTransaction" not in methods
    for request in requests:
        options = request["body"].get("readOptions", {})
        assert set(options) <= {"readConsistency"}, request
    query = next(i for i, request in enumerate(requests) if request["method"] == "runQuery")
    role = requests[query - 1]
    assert role["method"] == "lookup" and role["body"]["keys"][0]["path"][0]["name"] == "app"
    commit = [request["body"] for request in requests if request["method"] == "commit"
              and "ComradeServer.probe" not in str(request["body"])][-1]
    assert commit["mode"] == "TRANSACTIONAL"
    for mutation in commit["mutations"]:
        assert "insert" in mutation or (mutation["conflictResolutionStrategy"] == "FAIL"
                                        and mutation["baseVersion"])
