"""The PostgreSQL store itself, through the program: who makes it, how an owner does, and how it goes;
and a pooler between, which swallows what the server pushes."""
import os
import shutil
import signal
import socket
import subprocess
import time

import pytest

from conftest import HANG_S, Comrade, wait_until

DONE, REFUSED, UNAVAILABLE = 0, 3, 5
OBJECTS = """SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname = 'comrade'
             UNION ALL SELECT 'group ' || rolname FROM pg_roles WHERE rolname LIKE 'comrade\\_%'
             ORDER BY 1"""
READING = [["list"], ["show", "app-1"], ["kill", "app-1"], ["role", "set", "app", "--min", "1"],
           ["rolling-kill", "--role", "app"], ["store", "check"], ["store", "drop", "--yes"]]


def run(comrade, member_id, *options):
    agent = comrade.start("run", "--role", "app", "--id", member_id, "--drain-delay", "0",
                          "--min-healthy-time", "0", *options, "--", "sleep", "1000")
    wait_until(lambda: f"id={member_id}" in agent.err.read_text()
               and "event=registered" in agent.err.read_text(), f"{member_id} is registered")
    return agent


@pytest.fixture
def owner(postgres_server, postgres_url, tmp_path):
    """The program, as superuser, on a fresh database. What is the whole server's goes afterwards."""
    name = postgres_url.rpartition("/")[2]
    program = Comrade(postgres_server.url(name, user="postgres"), tmp_path)
    yield program
    program.stop_all()
    program("store", "drop", "--yes", "--force")


def test_who_only_reads_makes_no_schema(comrade_on_postgres, postgres_server, postgres_url):
    for verb in READING:
        done = comrade_on_postgres(*verb, check=UNAVAILABLE)
        assert "no Comrade schema in this database yet" in done.stderr, verb
        assert "comrade store init" in done.stderr
    assert "schema comrade" not in postgres_server.sql(OBJECTS, postgres_url)


def test_the_printed_sql_is_all_that_init_does(owner, postgres_server, tmp_path):
    printed = owner("store", "init", "--print-sql", check=DONE).stdout
    postgres_server.sql(printed, owner.store_url)
    postgres_server.sql(printed, owner.store_url)  # again changes nothing
    assert postgres_server.sql(OBJECTS, owner.store_url).splitlines() == [
        "group comrade_admin", "group comrade_member", "group comrade_reader", "schema comrade"]
    owner("store", "init", check=DONE)
    name = owner.store_url.rpartition("/")[2]
    postgres_server.sql("CREATE ROLE looker LOGIN; GRANT comrade_reader TO looker")
    try:
        looker = Comrade(postgres_server.url(name, user="looker"), tmp_path)
        assert "no members in" in looker("list", check=DONE).stderr
        run(owner, "app-1")
        assert [found["id"] for found in looker.list("--all")] == ["app-1"]
        assert looker("kill", "app-1").returncode == UNAVAILABLE, "it may only read"
        assert looker("store", "drop", "--yes", "--force").returncode == UNAVAILABLE
    finally:
        postgres_server.sql("DROP OWNED BY looker; DROP ROLE looker")


def test_drop_leaves_nothing_once_nobody_runs(owner, postgres_server):
    owner("store", "init", check=DONE)
    before = postgres_server.sql("SELECT count(*) FROM pg_class", owner.store_url)
    agent = run(owner, "app-1")
    refused = owner("store", "drop", "--yes", check=REFUSED)
    assert "1 member, of which 1 runs" in refused.stderr
    assert owner.store_url in refused.stderr, "it is named"
    agent.send_signal(signal.SIGTERM)
    agent.wait(HANG_S)
    done = owner("store", "drop", "--yes", check=DONE)
    assert done.stdout == f"{owner.store_url}: removed\n"
    assert postgres_server.sql(OBJECTS, owner.store_url) == ""
    assert int(postgres_server.sql("SELECT count(*) FROM pg_class", owner.store_url)) < int(before)
    assert "no Comrade schema" in owner("store", "drop", "--yes", check=UNAVAILABLE).stderr


def test_members_under_which_all_is_dropped_make_it_anew(owner):
    agent = run(owner, "app-1", "--heartbeat", "200ms")
    owner("store", "drop", "--yes", "--force", check=DONE)
    wait_until(lambda: owner("list", "--ids").stdout == "app-1\n", "app-1 is back")
    assert agent.poll() is None


# --- Behind a pooler ------------------------------------------------------------------------------

def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def accepts(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def pooled(postgres_server, postgres_url, tmp_path):
    """The program on a fresh database behind a pooler that shares connections."""
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    if not os.access(program, os.X_OK):
        pytest.skip("needs pgbouncer")
    port = free_port()
    settings = tmp_path / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host=127.0.0.1 port={postgres_server.port}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        "auth_type = any\npool_mode = transaction\nmax_client_conn = 50\n"
        "ignore_startup_parameters = extra_float_digits,options\n")
    name = postgres_url.rpartition("/")[2]
    # Any user there is the one that its line for the database names.
    settings.write_text(settings.read_text().replace(
        "\n[pgbouncer]", " user=comrade\n[pgbouncer]"))
    settings.chmod(0o644)
    as_other = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    with open(tmp_path / "pgbouncer.log", "wb") as log:
        bouncer = subprocess.Popen([program, "-q", "/dev/stdin"], stdin=open(settings, "rb"),
                                   stdout=log, stderr=log, cwd="/", **as_other)
    wait_until(lambda: accepts(port), "the pooler listens")
    comrade = Comrade(f"postgres://comrade@127.0.0.1:{port}/{name}", tmp_path)
    yield comrade
    comrade.stop_all()
    bouncer.terminate()
    bouncer.wait(HANG_S)


def test_behind_a_pooler_requests_come_with_the_heartbeat_and_that_is_said_once(pooled):
    agent = run(pooled, "app-1", "--heartbeat", "500ms")
    wait_until(lambda: "event=push-unavailable" in agent.err.read_text(), "it says so")
    assert "pooler" in agent.err.read_text()
    time.sleep(2)
    pooled("kill", "app-1", "--force", check=DONE)
    assert agent.wait(HANG_S) == 90
    said = agent.err.read_text()
    assert said.count("event=push-unavailable") == 1 and "store-error" not in said
