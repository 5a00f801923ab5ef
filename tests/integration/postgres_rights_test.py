"""Logins that own nothing, each in one group of PostgreSQL's: what the program does with them."""
import pytest

from conftest import HANG_S, Comrade, wait_until

DONE, UNAVAILABLE, IN_USE = 0, 5, 91
GROUPS = {"looker": "comrade_reader", "billing": "comrade_member", "web": "comrade_member",
          "alice": "comrade_admin"}


@pytest.fixture
def logins(postgres_server, postgres_url, tmp_path):
    """The program, for each of them, on a database that its owner has set up. All goes afterwards."""
    database = postgres_url.rpartition("/")[2]
    owner = Comrade(postgres_server.url(database, user="postgres"), tmp_path)
    owner("store", "init", check=DONE)
    programs = {}
    for name, group in GROUPS.items():
        postgres_server.sql(f"CREATE ROLE {name} LOGIN IN ROLE {group}")
        (tmp_path / name).mkdir()
        programs[name] = Comrade(postgres_server.url(database, user=name), tmp_path / name)
    yield programs
    for program in programs.values():
        program.stop_all()
    owner("store", "drop", "--yes", "--force", check=DONE)
    postgres_server.sql(f"DROP ROLE {', '.join(GROUPS)}")


def run(program, member_id, *options):
    return program.start("run", "--role", "app", "--id", member_id, "--drain-delay", "0",
                         "--min-healthy-time", "0", "--heartbeat", "1", *options, "--", "sleep",
                         "1000")


def ids(program, *arguments):
    return [member["id"] for member in program.list(*arguments)]


def test_members_register_admins_kill_and_readers_read(logins):
    killed, _ = run(logins["billing"], "b-1"), run(logins["web"], "w-1")
    wait_until(lambda: ids(logins["looker"]) == ["b-1", "w-1"], "both are listed")
    for name in ("looker", "billing", "web"):
        refused = logins[name]("kill", "--force", "b-1", check=UNAVAILABLE)
        assert f"GRANT comrade_admin TO {name}" in refused.stderr
    logins["alice"]("role", "set", "app", "--min", "1", check=DONE)
    refused = logins["billing"]("role", "set", "app", "--min", "0", check=UNAVAILABLE)
    assert "GRANT comrade_admin TO billing" in refused.stderr
    logins["alice"]("kill", "b-1", check=DONE)
    killed.wait(HANG_S)
    wait_until(lambda: ids(logins["looker"]) == ["w-1"], "it has left")


def test_a_service_whose_id_another_login_has_is_refused(logins):
    run(logins["billing"], "b-1")
    wait_until(lambda: ids(logins["looker"]) == ["b-1"], "it is listed")
    taker = run(logins["web"], "b-1")
    assert taker.wait(HANG_S) == IN_USE
    assert "not under our lock" in taker.err.read_text()


def test_a_takeover_of_another_login_s_id_runs_unlisted_and_says_why(logins):
    run(logins["billing"], "b-1")
    wait_until(lambda: ids(logins["looker"]) == ["b-1"], "it is listed")
    before = logins["looker"].list()[0]
    taker = run(logins["web"], "b-1", "--takeover")
    wait_until(lambda: "another login's" in taker.err.read_text(), "it says why")
    assert logins["looker"].list()[0]["incarnation"] == before["incarnation"]
