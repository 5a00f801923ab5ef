"""The server fixture, and the program on it."""
from conftest import wait_until


def test_a_member_is_listed_from_a_fresh_database(comrade_on_postgres, postgres_server,
                                                  postgres_url):
    comrade = comrade_on_postgres
    comrade.start("run", "--role", "web", "--", "sleep", "100")
    wait_until(comrade.list, "the member is listed")
    assert postgres_server.sql("SELECT count(*) FROM comrade.member", postgres_url) == "1"


def test_a_member_survives_a_kill_and_a_pause_of_the_server(comrade_on_postgres, postgres_server):
    comrade = comrade_on_postgres
    agent = comrade.start("run", "--role", "web", "--", "sleep", "100")
    wait_until(comrade.list, "the member is listed")
    # What a member says of itself is not waited for on its way to the disk.
    postgres_server.sql("CHECKPOINT")
    postgres_server.kill()
    assert len(comrade.list()) == 1
    postgres_server.pause()
    postgres_server.resume()
    assert len(comrade.list()) == 1
    assert agent.poll() is None


def test_sql_that_fails_says_why(postgres_server):
    assert "no_such_table" in postgres_server.sql("SELECT * FROM no_such_table", check=3)
