"""The program where the endpoint's certificate is of an authority of its own."""
import json
import pathlib
import subprocess

import pytest

from conftest import Comrade, DatastoreServer

DONE, UNAVAILABLE = 0, 5
CERTIFICATES = pathlib.Path(__file__).resolve().parents[1] / "lib/certificates.sh"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    subprocess.run(["sh", CERTIFICATES, folder], check=True, capture_output=True)
    return folder


@pytest.fixture
def serve(folder, tmp_path):
    """serve(NAME): the program, and a server by TLS with that certificate that wants tokens."""
    servers = []

    def serve(name):
        server = DatastoreServer("--refresh-token=1//refresh", f"--certificate={folder}/{name}.crt",
                                 f"--key={folder}/{name}.key")
        servers.append(server)
        server.order("tokens on")
        endpoint = f"https://localhost:{server.host.partition(':')[2]}"
        user = {"type": "authorized_user", "client_id": "c", "client_secret": "s",
                "refresh_token": "1//refresh", "token_uri": f"{endpoint}/token"}
        (tmp_path / "user.json").write_text(json.dumps(user))
        return Comrade(f"datastore://judged?credentials={tmp_path}/user.json&endpoint={endpoint}",
                       tmp_path, SSL_CERT_FILE="", SSL_CERT_DIR="")

    yield serve
    for server in servers:
        server.close()


def test_an_authority_of_ones_own_is_believed(serve, folder):
    program = serve("local")
    said = program("store", "check", check=DONE, env={"SSL_CERT_FILE": f"{folder}/ca.crt"}).stdout
    assert "as gcloud's user (" in said


def test_a_folder_of_authorities_is_believed(serve, folder, tmp_path):
    hashed = subprocess.run(["openssl", "x509", "-noout", "-hash", "-in", folder / "ca.crt"],
                            capture_output=True, text=True, check=True).stdout.strip()
    (tmp_path / f"{hashed}.0").write_bytes((folder / "ca.crt").read_bytes())
    serve("local")("list", check=DONE, env={"SSL_CERT_DIR": str(tmp_path)})


@pytest.mark.parametrize("name", [None, "other_ca"])
def test_a_stranger_is_not_believed_and_what_to_do_is_told(serve, folder, name):
    environment = {"SSL_CERT_FILE": f"{folder}/{name}.crt"} if name else {}
    said = serve("local")("list", check=UNAVAILABLE, env=environment).stderr
    assert "issuer certificate" in said
    assert "name the file of its certificate in SSL_CERT_FILE" in said


def test_a_certificate_for_another_host_is_refused(serve, folder):
    said = serve("server")("list", check=UNAVAILABLE,
                           env={"SSL_CERT_FILE": f"{folder}/ca.crt"}).stderr
    assert "host name 'localhost'" in said
    assert "SSL_CERT_FILE" not in said, "that would be no help"


def test_a_file_of_no_certificates_is_named(serve, tmp_path):
    missing = str(tmp_path / "missing.crt")
    said = serve("local")("list", check=UNAVAILABLE, env={"SSL_CERT_FILE": missing}).stderr
    assert missing in said and "correct SSL_CERT_FILE, or unset it" in said
