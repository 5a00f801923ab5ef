"""The program where the server asks who it is: keys, users of gcloud, tokens that end or are revoked."""
import json
import subprocess

import pytest

from conftest import Comrade, DatastoreServer, wait_until

DONE, UNAVAILABLE = 0, 5
EMAIL = "comrade@judged.iam.gserviceaccount.com"


def make_key(folder, name):
    """Its private half and its public one, as files."""
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-out", private, "-pkeyopt",
                    "rsa_keygen_bits:2048"], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    return private, public


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    return make_key(folder, "good"), make_key(folder, "deleted")


@pytest.fixture
def server(keys):
    """It demands tokens."""
    server = DatastoreServer(f"--account={EMAIL}:{keys[0][1]}", "--refresh-token=1//refresh")
    server.order("tokens on")
    yield server
    server.close()


def service_account(server, private):
    return {"type": "service_account", "client_email": EMAIL, "private_key_id": "k1",
            "private_key": private.read_text(), "token_uri": f"http://{server.host}/token"}


@pytest.fixture
def program(server, keys, tmp_path):
    """The program with the key file that is good; program.key_file may be written anew."""
    key_file = tmp_path / "key file.json"
    key_file.write_text(json.dumps(service_account(server, keys[0][0])))
    url = f"datastore://judged?credentials={str(key_file).replace(' ', '%20')}" \
          f"&endpoint=http://{server.host}"
    program = Comrade(url, tmp_path, HOME=str(tmp_path))
    program.key_file = key_file
    yield program
    program.stop_all()


def run(program):
    agent = program.start("run", "--role", "app", "--id", "app-1", "--drain-delay", "0",
                          "--min-healthy-time", "0", "--heartbeat", "200ms", "--", "sleep", "1000")
    wait_until(lambda: "event=available" in agent.err.read_text(), "it is available")
    return agent


def n_tokens(server):
    return server.order("counts").get("token", 0)


def test_a_service_account_runs_a_member_on_one_token(program, server):
    agent = run(program)
    said = program("store", "check", check=DONE).stdout
    assert f"as service account {EMAIL} (" in said
    assert "credentials=***" in said
    n_before = n_tokens(server)
    n_commits = server.order("counts")["commit"]
    wait_until(lambda: server.order("counts")["commit"] > n_commits + 5, "heartbeats go on")
    assert n_tokens(server) == n_before, "a token is kept"
    program("kill", "app-1", "--wait", check=DONE)
    assert "PRIVATE KEY" not in agent.err.read_text() and "ya29." not in agent.err.read_text()


def test_a_user_of_gcloud_lists(program):
    uri = json.loads(program.key_file.read_text())["token_uri"]
    user = {"type": "authorized_user", "client_id": "c", "client_secret": "hunter2",
            "refresh_token": "1//refresh", "token_uri": uri}
    program.key_file.write_text(json.dumps(user))
    assert "as gcloud's user (" in program("store", "check", check=DONE).stdout
    program.key_file.write_text(json.dumps({**user, "refresh_token": "1//revoked"}))
    done = program("list", check=UNAVAILABLE)
    assert "gcloud auth application-default login" in done.stderr
    assert "hunter2" not in done.stderr and "1//" not in done.stderr


def test_the_project_that_pays_is_told(program, server):
    def payers(**environment):
        server.order("record on")
        program("list", check=DONE, env=environment)
        return {request["headers"].get("x-goog-user-project") for request in server.order("requests")}

    uri = json.loads(program.key_file.read_text())["token_uri"]
    assert payers() == {None}
    program.key_file.write_text(json.dumps(
        {"type": "authorized_user", "client_id": "c", "client_secret": "s", "token_uri": uri,
         "refresh_token": "1//refresh", "quota_project_id": "payer"}))
    assert payers() == {"payer"}
    assert payers(GOOGLE_CLOUD_QUOTA_PROJECT="other") == {"other"}
    assert "the quota of the project payer" in program("store", "check", check=DONE).stdout


@pytest.mark.parametrize("event", ["tokens revoke", "tokens life 1", "clock 3600000"])
def test_a_member_stays_when_its_token_is_revoked_or_ends(program, server, event):
    agent = run(program)
    server.order(event)
    if event.startswith("tokens life"):
        server.order("tokens revoke")
    n_before = n_tokens(server)
    wait_until(lambda: n_tokens(server) > n_before, "a new token is asked for")
    n_commits = server.order("counts")["commit"]
    wait_until(lambda: server.order("counts")["commit"] > n_commits + 5, "heartbeats go on")
    assert program.list("--alive", "--healthy")[0]["id"] == "app-1"
    assert "store-error" not in agent.err.read_text()


def test_a_clock_that_is_an_hour_off_is_made_up_for(program, server):
    for ms in (3600000, -3600000):
        server.order(f"clock {ms}")
        program("list", check=DONE)


def test_who_has_no_right_is_named(program, server):
    server.order("fault * 1000 status 403")
    said = program("list", check=UNAVAILABLE).stderr
    assert f"asked as service account {EMAIL}" in said
    assert "grant the role roles/datastore.user in the project judged" in said
    assert len(said) < 600, "it is still a line"


def test_a_deleted_key_is_told_and_a_new_one_in_its_place_is_used(program, server, keys):
    agent = run(program)
    good = program.key_file.read_text()
    program.key_file.write_text(json.dumps(service_account(server, keys[1][0])))
    done = program("list", check=UNAVAILABLE)
    assert "Invalid JWT Signature" in done.stderr and "gcloud iam service-accounts keys" in done.stderr
    assert "PRIVATE" not in done.stderr
    server.order("tokens revoke")
    wait_until(lambda: "event=store-error" in agent.err.read_text(), "it cannot go on")
    program.key_file.write_text(good)
    wait_until(lambda: "event=store-back" in agent.err.read_text(), "it is back")
    assert agent.poll() is None


def test_without_credentials_it_says_what_was_looked_for(program, tmp_path):
    done = program("list", "--store", "datastore://judged", check=UNAVAILABLE,
                   env={"GCE_METADATA_HOST": "127.0.0.1:1", "HOME": str(tmp_path),
                        "GOOGLE_APPLICATION_CREDENTIALS": "", "CLOUDSDK_CONFIG": ""})
    assert "no credentials: the URL names no file" in done.stderr
    assert "gcloud auth application-default login" in done.stderr
